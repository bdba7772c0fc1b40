/* Many messages in one call: bounds, order, groups of eight or more, and the zeroing of refused slots.
 *
 * In effect a batch is its messages one after the other: two of one context take their counters in that order, and of two
 * with one counter the first is opened and the second is a replay. In fact those in the usual form (SC 3xh, not very long)
 * are looked at in order, sorted by suite and number of blocks, sealed or opened a group at a time, and judged in order again.
 * Whatever cannot go that way goes alone, and in opening ends the stretch before it.
 *
 * A line out of memory takes as long as a few messages, so lines are asked for long before: while a stretch is worked on,
 * those of the next are. Counters are locked while a stretch is looked at or judged, not while it is worked on.
 */
#include <string.h>

#include "sm_bytes.h"
#include "sm_gcm.h"
#include "sm_keywrap.h"
#include "sm_lanes.h"
#include "sm_message.h"
#include "sm_tier.h"

enum { STEP = 16, STRETCH = 1024, AHEAD = 32, USUAL = 0x30, EXACT = 16, LONG = 32, SORTS = 2 * LONG };

/* The columns every batch has. */
typedef struct {
    const uint32_t *index;
    const uint8_t *in;
    size_t in_size;
    const uint32_t *in_offset;
    const uint32_t *length;
    uint8_t *out;
    size_t out_size;
    const uint32_t *out_offset;
    uint8_t *status;
    size_t next_in, next_out; /* where messages lie without offsets */
    int shared;               /* in is out: each message in its own place */
} columns;

typedef struct {
    const uint8_t *text;
    size_t length;
    uint8_t *out;
    size_t slot;
    size_t readable; /* bytes that may be read from text on */
} row;

/* Messages that wait for their groups, with what else must be known of each. */
typedef struct {
    sm_store *store;
    columns *c;
    const sm_lanes *lanes;
    size_t total, fetched; /* of the whole batch: messages, and those whose lines were asked for */
    int counting;          /* we have the lock on counters */
    int keks;              /* what is fetched is KEKs too */
    int mixed;             /* not all of one sort */
    uint32_t count;
    int64_t good;
    sm_lane lane[STRETCH];
    uint32_t k[STRETCH];
    uint8_t sort[STRETCH], held[STRETCH];
    uint16_t order[STRETCH];
    _Alignas(64) uint8_t scratch[SM_LANES_SCRATCH];
} stretch;

static size_t slot_of(size_t length)
{
    return (length + STEP - 1) / STEP * STEP + STEP;
}

/* Row k, or 0 when it does not lie inside the buffers. */
static inline int take(columns *c, size_t k, row *r)
{
    const size_t in_at = c->in_offset ? c->in_offset[k] : c->next_in;
    const size_t out_at = c->out_offset ? c->out_offset[k] : c->next_out;
    r->length = c->length[k];
    r->slot = slot_of(r->length);
    c->next_in += r->length;
    c->next_out += r->slot;
    if (in_at > c->in_size || r->length > c->in_size - in_at || out_at > c->out_size || r->slot > c->out_size - out_at ||
        (c->shared && in_at != out_at)) {
        c->status[k] = SM_USAGE;
        return 0;
    }
    r->text = c->in + in_at;
    r->out = c->out + out_at;
    r->readable = c->in_size - in_at;
    return 1;
}

static int64_t settle(uint8_t *status, uint8_t *out, size_t slot, int fault)
{
    *status = (uint8_t)fault;
    if (fault == SM_OK)
        return 1;
    sm_wipe(out, slot);
    return 0;
}

/* In the store and ready, or why no message can be looked at: a store nobody may use, or buffers that lie across each
 * other. */
static int begin(stretch *s, sm_store *store, columns *c, size_t total)
{
    const uintptr_t in = (uintptr_t)c->in, out = (uintptr_t)c->out;
    const int fault = sm_store_fault(store, 0);
    if (fault != SM_OK)
        return fault;
    c->shared = in == out;
    if (!c->shared && c->in_size && c->out_size && in < out + c->out_size && out < in + c->in_size)
        return SM_USAGE;
    s->store = store;
    s->c = c;
    s->lanes = sm_tier_now()->lanes;
    s->total = total;
    s->fetched = 0;
    s->counting = s->keks = s->mixed = 0;
    s->count = 0;
    s->good = 0;
    sm_gate_enter(store->gate);
    return SM_OK;
}

static void count_freely(stretch *s)
{
    if (!s->counting)
        sm_gate_count(s->store->gate);
    s->counting = 1;
}

static void let_others_count(stretch *s)
{
    if (s->counting)
        sm_gate_counted(s->store->gate);
    s->counting = 0;
}

static int64_t end(stretch *s)
{
    let_others_count(s);
    sm_gate_leave(s->store->gate);
    if (s->lanes != NULL)
        sm_wipe(s->scratch, sizeof s->scratch);
    return s->good;
}

/* Ask for the lines of the messages up to this one. */
static inline void fetch(stretch *s, size_t until)
{
    const sm_store *store = s->store;
    const uint32_t *index = s->c->index;
    for (; s->fetched < until && s->fetched < s->total; s->fetched++) {
        const uint32_t at = index[s->fetched];
        if (at >= store->capacity)
            continue;
        __builtin_prefetch(&store->lines[at], 1);
        if (s->keks)
            __builtin_prefetch(store->keks + (size_t)at * SM_KEY);
    }
}

/* Have a message wait; 1 when the stretch is full. Its key's line, or for key wrapping its KEK, is `line`. */
static inline int await(stretch *s, size_t k, const row *r, const void *line, int long_key, size_t text,
                        uint32_t counter)
{
    const size_t blocks = (text + STEP - 1) / STEP;
    const uint32_t at = s->count++;
    s->lane[at] = (sm_lane){line, r->text, r->out, (uint32_t)text, counter};
    s->k[at] = (uint32_t)k;
    s->sort[at] = (uint8_t)((blocks < EXACT ? blocks : EXACT + (blocks - EXACT) / EXACT) + (long_key ? LONG : 0));
    s->mixed |= s->sort[at] ^ s->sort[0];
    return s->count == STRETCH;
}

/* Those of a length side by side, so that a group wastes little; else in order. */
static void sort(stretch *s)
{
    uint16_t place[SORTS + 1] = {0};
    if (!s->mixed)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        place[s->sort[i] + 1]++;
    for (int i = 0; i < SORTS; i++)
        place[i + 1] = (uint16_t)(place[i + 1] + place[i]);
    for (uint32_t i = 0; i < s->count; i++)
        s->order[place[s->sort[i]]++] = (uint16_t)i;
}

static void emptied(stretch *s)
{
    s->count = 0;
    s->mixed = 0;
}

/* Nobody's message, for the lanes a group has no message for. */
static const sm_line nobody[2];
static const uint8_t nothing[4 * STEP];

typedef struct {
    const sm_lane *lane[SM_LANES_MOST];
    uint32_t number[SM_LANES_MOST]; /* in the stretch */
    uint32_t used;
    int long_key;
    sm_lane idle;
    uint8_t waste[4 * STEP];
} group;

/* The group that begins at place `at`; lines for the next stretch meanwhile. */
static inline void fill(stretch *s, uint32_t at, group *g)
{
    const uint32_t first = s->mixed ? s->order[at] : at;
    const uint32_t width = s->lanes->width;
    uint32_t lane = 0;
    fetch(s, s->fetched + width);
    g->long_key = s->sort[first] >= LONG;
    for (; lane < width && at + lane < s->count; lane++) {
        const uint32_t number = s->mixed ? s->order[at + lane] : at + lane;
        if ((s->sort[number] >= LONG) != g->long_key)
            break;
        g->number[lane] = number;
        g->lane[lane] = &s->lane[number];
    }
    g->used = lane;
    if (lane < width)
        g->idle = (sm_lane){nobody, nothing, g->waste, 0, 0};
    for (; lane < width; lane++)
        g->lane[lane] = &g->idle;
}

typedef void sealing(const sm_lane *const lane[SM_LANES_MOST], int long_key, void *scratch);

static void seal_stretch(stretch *s, sealing *seal)
{
    group g;
    let_others_count(s);
    sort(s);
    for (uint32_t at = 0; at < s->count; at += g.used) {
        fill(s, at, &g);
        seal(g.lane, g.long_key, s->scratch);
    }
    s->good += s->count;
    emptied(s);
}

static void open_stretch(stretch *s)
{
    group g;
    uint8_t good[SM_LANES_MOST];
    let_others_count(s);
    sort(s);
    for (uint32_t at = 0; at < s->count; at += g.used) {
        fill(s, at, &g);
        s->lanes->open(g.lane, g.long_key, good, s->scratch);
        for (uint32_t lane = 0; lane < g.used; lane++)
            s->held[g.number[lane]] = good[lane];
    }
    if (s->count > 0)
        count_freely(s);
    for (uint32_t i = 0; i < s->count; i++) {
        const sm_lane *lane = &s->lane[i];
        sm_line *line = &s->store->lines[s->c->index[s->k[i]]];
        /* A replay is refused as one, whether its tag holds or not, as it would have been before it was opened. */
        int fault = sm_line_fault(line, lane->counter);
        if (fault == SM_OK && !s->held[i])
            fault = SM_TAG;
        if (fault == SM_OK)
            sm_put_le32(line->rx, lane->counter + 1);
        s->good += settle(&s->c->status[s->k[i]], lane->out, slot_of(lane->length + SM_DLMS_TAG), fault);
    }
    emptied(s);
}

/* The line of a message that may go with others, or NULL. */
static inline sm_line *usual(const stretch *s, size_t k, const uint8_t *control, const row *r, size_t more)
{
    const uint32_t index = s->c->index[k];
    if (s->lanes == NULL || index >= s->store->capacity || r->length > SM_LANES_TEXT || r->readable < r->slot - STEP + more)
        return NULL;
    sm_line *line = &s->store->lines[index];
    return control == NULL || control[k] == (USUAL | line->suite) ? line : NULL;
}

/* Seals, with a security control byte for each message; without them it is GMACs. */
static int64_t protect(sm_store *store, columns *c, size_t count, const uint8_t *control, uint32_t *counter)
{
    const size_t more = control == NULL ? STEP : 0;
    stretch s;
    row r;
    int fault = begin(&s, store, c, count);
    if (fault != SM_OK)
        return -fault;
    sealing *seal = s.lanes == NULL ? NULL : control == NULL ? s.lanes->gmac : s.lanes->seal;
    for (size_t k = 0; k < count; k++) {
        const uint32_t index = c->index[k];
        fetch(&s, k + AHEAD);
        if (!take(c, k, &r))
            continue;
        sm_line *line = usual(&s, k, control, &r, more);
        if (line == NULL) {
            let_others_count(&s);
            fault = control == NULL ? sm_message_gmac(store, index, r.text, r.length, r.out, &counter[k])
                                    : sm_message_seal(store, index, control[k], r.text, r.length, r.out, &counter[k]);
            s.good += settle(&c->status[k], r.out, r.slot, fault);
            continue;
        }
        count_freely(&s);
        fault = sm_line_take(line, &counter[k]);
        if (fault != SM_OK) {
            settle(&c->status[k], r.out, r.slot, fault);
            continue;
        }
        c->status[k] = SM_OK;
        if (await(&s, k, &r, line, sm_line_long(line), r.length, counter[k]))
            seal_stretch(&s, seal);
    }
    if (s.count > 0)
        seal_stretch(&s, seal);
    return end(&s);
}

int64_t sm_seal_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *control, const uint8_t *in,
                      size_t in_size, const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint32_t *counter, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, status, 0, 0, 0};
    if (control == NULL && count > 0)
        return -SM_USAGE;
    return protect(store, &c, count, control, counter);
}

int64_t sm_open_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *control, const uint8_t *in,
                      size_t in_size, const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, const uint32_t *counter, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, status, 0, 0, 0};
    stretch s;
    size_t plain;
    row r;
    int fault = begin(&s, store, &c, count);
    if (fault != SM_OK)
        return -fault;
    for (size_t k = 0; k < count; k++) {
        fetch(&s, k + AHEAD);
        if (!take(&c, k, &r))
            continue;
        const sm_line *line = usual(&s, k, control, &r, 0);
        if (line == NULL || r.length < SM_DLMS_TAG) {
            open_stretch(&s);
            let_others_count(&s);
            s.good += settle(&status[k], r.out, r.slot,
                             sm_message_open(store, index[k], control[k], counter[k], r.text, r.length, r.out, &plain));
            continue;
        }
        count_freely(&s);
        fault = sm_line_fault(line, counter[k]);
        if (fault != SM_OK) {
            settle(&status[k], r.out, r.slot, fault);
            continue;
        }
        if (await(&s, k, &r, line, sm_line_long(line), r.length - SM_DLMS_TAG, counter[k]))
            open_stretch(&s);
    }
    open_stretch(&s);
    return end(&s);
}

int64_t sm_gmac_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                      const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint32_t *counter, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, status, 0, 0, 0};
    return protect(store, &c, count, NULL, counter);
}

/* Keys under keys: a group at once of those that are as long as they should be, the others (all of them refusals) alone. */
static void key_stretch(stretch *s, int wrapping)
{
    const uint8_t *kek[SM_LANES_MOST], *in[SM_LANES_MOST];
    uint8_t *out[SM_LANES_MOST], good[SM_LANES_MOST];
    group g;
    sort(s);
    for (uint32_t at = 0; at < s->count; at += g.used) {
        fill(s, at, &g);
        for (uint32_t i = 0; i < s->lanes->width; i++) {
            kek[i] = i < g.used ? (const uint8_t *)g.lane[i]->line : nothing;
            in[i] = g.lane[i]->in;
            out[i] = g.lane[i]->out;
        }
        if (wrapping)
            s->lanes->wrap(kek, in, out, g.long_key, s->scratch);
        else
            s->lanes->unwrap(kek, in, out, g.long_key, good, s->scratch);
        for (uint32_t i = 0; i < g.used; i++) {
            const int fault = wrapping || good[i] ? SM_OK : SM_TAG;
            s->good += settle(&s->c->status[s->k[g.number[i]]], out[i], slot_of(g.lane[i]->length), fault);
        }
    }
    emptied(s);
}

static int64_t key_batch(sm_store *store, size_t count, columns *c, int wrapping)
{
    stretch s;
    row r;
    int fault = begin(&s, store, c, count);
    if (fault != SM_OK)
        return -fault;
    s.keks = 1;
    for (size_t k = 0; k < count; k++) {
        const uint32_t index = c->index[k];
        fetch(&s, k + AHEAD);
        if (!take(c, k, &r))
            continue;
        if (s.lanes != NULL && sm_message_may_wrap(store, index) == SM_OK) {
            const int long_key = sm_line_long(&store->lines[index]);
            if (r.length == (size_t)SM_KEY * (1 + (size_t)long_key) + (wrapping ? 0 : SM_WRAP_MORE)) {
                if (await(&s, k, &r, store->keks + (size_t)index * SM_KEY, long_key, r.length, 0))
                    key_stretch(&s, wrapping);
                continue;
            }
        }
        fault = wrapping ? sm_message_wrap(store, index, r.text, r.length, r.out)
                         : sm_message_unwrap(store, index, r.text, r.length, r.out);
        s.good += settle(&c->status[k], r.out, r.slot, fault);
    }
    if (s.count > 0)
        key_stretch(&s, wrapping);
    return end(&s);
}

int64_t sm_wrap_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                      const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, status, 0, 0, 0};
    return key_batch(store, count, &c, 1);
}

int64_t sm_unwrap_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                        const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                        const uint32_t *out_offset, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, status, 0, 0, 0};
    return key_batch(store, count, &c, 0);
}
