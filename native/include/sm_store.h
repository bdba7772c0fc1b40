/* The context line, the store, and who may touch them when.
 *
 * A context of suite 2 (AES-256) is two adjacent lines: the first has the first halves of EK and AK and all the rest, the
 * second the other halves; its KEK lies over both places of the cold array. The second line is no context.
 */
#ifndef SM_STORE_H
#define SM_STORE_H

#include "sm_api.h"
#include "sm_arena.h"
#include "sm_bytes.h"
#include "sm_gate.h"

enum { SM_KEY = 16, SM_TITLE = 8, SM_LINE = 64, SM_EXPORT = SM_LINE + SM_KEY };
/* FRESH: nothing sealed yet under a newly installed EK. SECOND: the second line of the context before it. */
enum { SM_LOADED = 1, SM_FRESH = 2, SM_MASTER = 4, SM_SECOND = 8 };
enum { SM_SUITE_LONG = 2 }; /* the suite with keys of 32 bytes */
#define SM_COUNTER_MAX 0xFFFFFFFFu                   /* never sent, never accepted */

/* All that one message needs, in one cache line. Integers are little-endian bytes, so a line is also its own export. */
typedef struct {
    uint8_t ek[SM_KEY];
    uint8_t ak[SM_KEY];
    uint8_t title[SM_TITLE]; /* ours */
    uint8_t tx[4];           /* next counter to be used */
    uint8_t rx[4];           /* lowest acceptable counter */
    uint8_t suite;           /* 0, 1 or 2 */
    uint8_t control;         /* default security control, kept for a later cut */
    uint8_t flags;
    uint8_t more_flags;
    uint8_t epoch[4]; /* key installations */
    uint8_t peer[SM_TITLE];
} sm_line;

_Static_assert(sizeof(sm_line) == SM_LINE, "a context is one cache line");

struct sm_store {
    sm_arena arena;
    sm_gate *gate; /* apart, so that a store that is only read can be entered */
    sm_line *lines;
    uint8_t *keks; /* cold: read when a key is wrapped or unwrapped */
    uint32_t capacity;
};

/* SM_OK, SM_FOREIGN or SM_USAGE (no such context, or no store). */
static inline int sm_store_fault(const sm_store *store, uint32_t index)
{
    if (store == NULL)
        return SM_USAGE;
    if (sm_arena_foreign(&store->arena))
        return SM_FOREIGN;
    return index < store->capacity ? SM_OK : SM_USAGE;
}

/* 1 where keys have 32 bytes. */
static inline int sm_line_long(const sm_line *line)
{
    return line->suite == SM_SUITE_LONG;
}

/* Lines a context takes. */
static inline uint32_t sm_line_count(const sm_line *line)
{
    return 1 + (uint32_t)sm_line_long(line);
}

/* A key of a context, its halves put together: 16 bytes in place, or 32 in `whole`, which is to be wiped. */
static inline const uint8_t *sm_line_key(const sm_line *line, size_t at, uint8_t whole[2 * SM_KEY])
{
    const uint8_t *first = (const uint8_t *)line + at;
    if (!sm_line_long(line))
        return first;
    memcpy(whole, first, SM_KEY);
    memcpy(whole + SM_KEY, first + SM_LINE, SM_KEY);
    return whole;
}

/* Take the next counter for sealing: SM_OK, SM_NO_KEY or SM_EXHAUSTED. */
static inline int sm_line_take(sm_line *line, uint32_t *counter)
{
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
