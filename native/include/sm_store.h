/* The context line and the store. */
#ifndef SM_STORE_H
#define SM_STORE_H

#include "sm_api.h"
#include "sm_arena.h"
#include "sm_bytes.h"

enum { SM_KEY = 16, SM_TITLE = 8, SM_LINE = 64, SM_EXPORT = SM_LINE + SM_KEY };
enum { SM_LOADED = 1, SM_FRESH = 2, SM_MASTER = 4 }; /* FRESH: nothing sealed yet under a newly installed EK */
#define SM_COUNTER_MAX 0xFFFFFFFFu                   /* never sent, never accepted */

/* All that one message needs, in one cache line. Integers are little-endian bytes, so a line is also its own export. */
typedef struct {
    uint8_t ek[SM_KEY];
    uint8_t ak[SM_KEY];
    uint8_t title[SM_TITLE]; /* ours */
    uint8_t tx[4];           /* next counter to be used */
    uint8_t rx[4];           /* lowest acceptable counter */
    uint8_t suite;           /* 0 */
    uint8_t control;         /* default security control, kept for a later cut */
    uint8_t flags;
    uint8_t more_flags;
    uint8_t epoch[4]; /* key installations */
    uint8_t peer[SM_TITLE];
} sm_line;

_Static_assert(sizeof(sm_line) == SM_LINE, "a context is one cache line");

struct sm_store {
    sm_arena arena;
    sm_line *lines;
    uint8_t *keks; /* cold: read when a key is wrapped or unwrapped */
    uint32_t capacity;
    uint32_t alone;  /* a thread is sealing that thinks so */
    uint32_t shared; /* two have been seen at once; for good */
};

/* Around every call that takes counters, so that two threads under one context never take the same one. The step is
 * atomic only where it has to be: atomic always, it costs a tenth of a short message. Whoever comes upon another waits
 * for that one's call to end, once in a store's life; from then on all steps are atomic. */
void sm_store_enter(sm_store *store);
void sm_store_leave(sm_store *store);

/* SM_OK, SM_FOREIGN or SM_USAGE (no such context, or no store). */
static inline int sm_store_fault(const sm_store *store, uint32_t index)
{
    if (store == NULL)
        return SM_USAGE;
    if (sm_arena_foreign(&store->arena))
        return SM_FOREIGN;
    return index < store->capacity ? SM_OK : SM_USAGE;
}

/* As sm_line_take, among threads. */
int sm_line_take_shared(sm_line *line, uint32_t *counter);

/* Take the next counter for sealing: SM_OK, SM_NO_KEY or SM_EXHAUSTED. Between sm_store_enter and sm_store_leave. */
static inline int sm_line_take(const sm_store *store, sm_line *line, uint32_t *counter)
{
    if (__atomic_load_n(&store->shared, __ATOMIC_RELAXED))
        return sm_line_take_shared(line, counter);
    const uint32_t taken = sm_le32(line->tx);
    if (!(line->flags & SM_LOADED))
        return SM_NO_KEY;
    if (taken == SM_COUNTER_MAX)
        return SM_EXHAUSTED;
    sm_put_le32(line->tx, taken + 1);
    line->flags &= (uint8_t)~SM_FRESH;
    *counter = taken;
    return SM_OK;
}

/* Whether a message under this counter may be opened: SM_OK, SM_NO_KEY or SM_REPLAY. */
static inline int sm_line_fault(const sm_line *line, uint32_t counter)
{
    if (!(line->flags & SM_LOADED))
        return SM_NO_KEY;
    return counter < sm_le32(line->rx) || counter == SM_COUNTER_MAX ? SM_REPLAY : SM_OK;
}

#endif
