/* Memory for keys: never in a core dump, never in a forked child, in RAM when the system lets us. */
#ifndef SM_ARENA_H
#define SM_ARENA_H

#include <stddef.h>
#include <stdint.h>

enum { SM_ARENA_ALIGN = 64 };

typedef struct {
    uint8_t *base;   /* the mapping; its first 64 bytes are the arena's own */
    uint8_t *memory; /* zeroed, 64-aligned, for the owner */
    size_t size;     /* of the mapping */
    long owner;      /* process, where the kernel cannot wipe a child's copy; otherwise 0 */
    int locked;
} sm_arena;

/* 0 when there is no memory. */
int sm_arena_open(sm_arena *arena, size_t bytes);
void sm_arena_close(sm_arena *arena);

/* What the first bytes of an arena's mapping hold in the process that made it. A forked child reads zero. */
#define SM_ARENA_ALIVE 0x534D455453314F4BULL
int sm_arena_foreign_owner(const sm_arena *arena);

static inline int sm_arena_foreign(const sm_arena *arena)
{
    return *(const volatile uint64_t *)arena->base != SM_ARENA_ALIVE ||
           (arena->owner != 0 && sm_arena_foreign_owner(arena));
}

#endif
