/* Arenas: anonymous private mappings with everything the kernel can do for secrets. */
#define _GNU_SOURCE
#include "sm_arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include "sm_bytes.h"

enum { HUGE_FROM = 4 << 20 };

int sm_arena_open(sm_arena *arena, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t size = (bytes + SM_ARENA_ALIGN + page - 1) / page * page;
    uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return 0;
    arena->base = base;
    arena->memory = base + SM_ARENA_ALIGN;
    arena->size = size;
    arena->owner = getpid();
#ifdef MADV_WIPEONFORK
    if (madvise(base, size, MADV_WIPEONFORK) == 0)
        arena->owner = 0;
#endif
#ifdef MADV_DONTDUMP
    (void)madvise(base, size, MADV_DONTDUMP);
#endif
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_FROM)
        (void)madvise(base, size, MADV_HUGEPAGE);
#endif
    arena->locked = mlock(base, size) == 0;
    *(volatile uint64_t *)base = SM_ARENA_ALIVE;
    return 1;
}

void sm_arena_close(sm_arena *arena)
{
    sm_wipe(arena->base, arena->size);
    (void)munmap(arena->base, arena->size);
    arena->base = arena->memory = NULL;
}

int sm_arena_foreign_owner(const sm_arena *arena)
{
    return arena->owner != getpid();
}
