/* Many messages in one call: bounds, order, groups of eight, and the zeroing of refused slots.
 *
 * In effect a batch is its messages one after the other: two of one context take their counters in that order, and of two
 * with one counter the first is opened and the second is a replay. In fact those in the usual form (SC 30h, not very long)
 * are looked at in order, sorted by their number of blocks, sealed or opened eight at a time, and judged in order again.
 * Whatever cannot go that way ends the stretch before it and goes alone. A stretch is short enough for its context lines,
 * fetched from memory well ahead in the first pass, to be still in the cache in the second.
 */
#include <string.h>

#include "sm_bytes.h"
#include "sm_gcm.h"
#include "sm_lanes.h"
#include "sm_message.h"
#include "sm_tier.h"

enum { STEP = 16, STRETCH = 1024, AHEAD = 24, USUAL = 0x30, EXACT = 16, SORTS = 32, WRAPPED = SM_KEY + 8 };

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
    uint32_t count;
    int64_t good;
    sm_lane lane[STRETCH];
    uint32_t k[STRETCH];
    uint8_t sort[STRETCH], held[STRETCH];
    uint16_t order[STRETCH];
    _Alignas(64) uint8_t scratch[SM_LANES_SCRATCH];
} stretch;

/* SM_OK, or why no message can be looked at: a store nobody may use, or buffers that lie across each other. */
static int batch_fault(const sm_store *store, columns *c)
{
    const uintptr_t in = (uintptr_t)c->in, out = (uintptr_t)c->out;
    const int fault = sm_store_fault(store, 0);
    if (fault != SM_OK)
        return fault;
    c->shared = in == out;
    return !c->shared && c->in_size && c->out_size && in < out + c->out_size && out < in + c->in_size ? SM_USAGE : SM_OK;
}

static size_t slot_of(size_t length)
{
    return (length + STEP - 1) / STEP * STEP + STEP;
}

/* Row k, or 0 when it does not lie inside the buffers. */
static int take(columns *c, size_t k, row *r)
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

static void begin(stretch *s, sm_store *store, columns *c)
{
    s->store = store;
    s->c = c;
    s->lanes = sm_tier_now()->lanes;
    s->count = 0;
    s->good = 0;
}

static int64_t end(stretch *s)
{
    if (s->lanes != NULL)
        sm_wipe(s->scratch, sizeof s->scratch);
    return s->good;
}

static void fetch_ahead(const sm_store *store, const uint32_t *index, size_t k, size_t count)
{
    if (k + AHEAD < count && index[k + AHEAD] < store->capacity)
        __builtin_prefetch(&store->lines[index[k + AHEAD]], 1);
}

/* Have a message wait; 1 when the stretch is full. Its key's line, or for key wrapping its KEK, is `line`. */
static int await(stretch *s, size_t k, const row *r, const void *line, size_t text, uint32_t counter)
{
    const size_t blocks = (text + STEP - 1) / STEP;
    const uint32_t at = s->count++;
    s->lane[at] = (sm_lane){line, r->text, r->out, (uint32_t)text, counter};
    s->k[at] = (uint32_t)k;
    s->sort[at] = (uint8_t)(blocks < EXACT ? blocks : EXACT + (blocks - EXACT) / EXACT);
    return s->count == STRETCH;
}

/* Those of a length side by side, so that a group wastes little; else in order. */
static void sort(stretch *s)
{
    uint16_t place[SORTS + 1] = {0};
    for (uint32_t i = 0; i < s->count; i++)
        place[s->sort[i] + 1]++;
    for (int i = 0; i < SORTS; i++)
        place[i + 1] = (uint16_t)(place[i + 1] + place[i]);
    for (uint32_t i = 0; i < s->count; i++)
        s->order[place[s->sort[i]]++] = (uint16_t)i;
}

/* Nobody's message, for the lanes a group has no message for. */
static const sm_line nobody;
static const uint8_t nothing[2 * STEP];

typedef struct {
    const sm_lane *lane[SM_LANES];
    sm_lane idle;
    uint8_t waste[2 * STEP];
} group;

static void fill(const stretch *s, uint32_t at, group *g)
{
    uint32_t lane = 0;
    for (; lane < SM_LANES && at + lane < s->count; lane++)
        g->lane[lane] = &s->lane[s->order[at + lane]];
    if (lane < SM_LANES)
        g->idle = (sm_lane){&nobody, nothing, g->waste, 0, 0};
    for (; lane < SM_LANES; lane++)
        g->lane[lane] = &g->idle;
}

static void seal_stretch(stretch *s)
{
    group g;
    sort(s);
    for (uint32_t at = 0; at < s->count; at += SM_LANES) {
        fill(s, at, &g);
        s->lanes->seal(g.lane, s->scratch);
    }
    s->good += s->count;
    s->count = 0;
}

static void open_stretch(stretch *s)
{
    group g;
    uint8_t good[SM_LANES];
    sort(s);
    for (uint32_t at = 0; at < s->count; at += SM_LANES) {
        fill(s, at, &g);
        s->lanes->open(g.lane, good, s->scratch);
        for (uint32_t lane = 0; lane < SM_LANES && at + lane < s->count; lane++)
            s->held[s->order[at + lane]] = good[lane];
    }
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
    s->count = 0;
}

int64_t sm_seal_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *control, const uint8_t *in,
                      size_t in_size, const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint32_t *counter, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, status, 0, 0, 0};
    stretch s;
    row r;
    int fault = batch_fault(store, &c);
    if (fault != SM_OK)
        return -fault;
    begin(&s, store, &c);
    sm_store_enter(store);
    for (size_t k = 0; k < count; k++) {
        fetch_ahead(store, index, k, count);
        if (!take(&c, k, &r))
            continue;
        if (s.lanes == NULL || control[k] != USUAL || r.length > SM_LANES_TEXT || r.readable < r.slot - STEP) {
            s.good += settle(&status[k], r.out, r.slot,
                             sm_message_seal(store, index[k], control[k], r.text, r.length, r.out, &counter[k]));
            continue;
        }
        fault = index[k] < store->capacity ? sm_line_take(store, &store->lines[index[k]], &counter[k]) : SM_USAGE;
        if (fault != SM_OK) {
            settle(&status[k], r.out, r.slot, fault);
            continue;
        }
        status[k] = SM_OK;
        if (await(&s, k, &r, &store->lines[index[k]], r.length, counter[k]))
            seal_stretch(&s);
    }
    seal_stretch(&s);
    sm_store_leave(store);
    return end(&s);
}

int64_t sm_open_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *control, const uint8_t *in,
                      size_t in_size, const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, const uint32_t *counter, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, status, 0, 0, 0};
    stretch s;
    size_t plain;
    row r;
    int fault = batch_fault(store, &c);
    if (fault != SM_OK)
        return -fault;
    begin(&s, store, &c);
    for (size_t k = 0; k < count; k++) {
        fetch_ahead(store, index, k, count);
        if (!take(&c, k, &r))
            continue;
        if (s.lanes == NULL || control[k] != USUAL || r.length < SM_DLMS_TAG || r.length > SM_LANES_TEXT ||
            r.readable < r.slot - STEP) {
            open_stretch(&s);
            s.good += settle(&status[k], r.out, r.slot,
                             sm_message_open(store, index[k], control[k], counter[k], r.text, r.length, r.out, &plain));
            continue;
        }
        fault = index[k] < store->capacity ? sm_line_fault(&store->lines[index[k]], counter[k]) : SM_USAGE;
        if (fault != SM_OK) {
            settle(&status[k], r.out, r.slot, fault);
            continue;
        }
        if (await(&s, k, &r, &store->lines[index[k]], r.length - SM_DLMS_TAG, counter[k]))
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
    int64_t good = 0;
    row r;
    const int fault = batch_fault(store, &c);
    if (fault != SM_OK)
        return -fault;
    sm_store_enter(store);
    for (size_t k = 0; k < count; k++) {
        fetch_ahead(store, index, k, count);
        if (take(&c, k, &r))
            good += settle(&status[k], r.out, r.slot,
                           sm_message_gmac(store, index[k], r.text, r.length, r.out, &counter[k]));
    }
    sm_store_leave(store);
    return good;
}

/* Keys under keys: eight at once of those that are as long as they should be, the others (all of them refusals) alone. */
static void key_stretch(stretch *s, int wrapping)
{
    const uint8_t *kek[SM_LANES], *in[SM_LANES];
    uint8_t *out[SM_LANES], good[SM_LANES], waste[2 * STEP];
    for (uint32_t at = 0; at < s->count; at += SM_LANES) {
        for (uint32_t i = 0; i < SM_LANES; i++) {
            const int used = at + i < s->count;
            const sm_lane *lane = &s->lane[used ? at + i : 0];
            kek[i] = used ? (const uint8_t *)lane->line : nothing;
            in[i] = used ? lane->in : nothing;
            out[i] = used ? lane->out : waste;
        }
        if (wrapping)
            s->lanes->wrap(kek, in, out, s->scratch);
        else
            s->lanes->unwrap(kek, in, out, good, s->scratch);
        for (uint32_t i = 0; i < SM_LANES && at + i < s->count; i++) {
            const sm_lane *lane = &s->lane[at + i];
            const int fault = wrapping || good[i] ? SM_OK : SM_TAG;
            s->good += settle(&s->c->status[s->k[at + i]], lane->out, slot_of(lane->length), fault);
        }
        sm_wipe(waste, sizeof waste);
    }
    s->count = 0;
}

static int64_t key_batch(sm_store *store, size_t count, columns *c, int wrapping)
{
    stretch s;
    row r;
    int fault = batch_fault(store, c);
    if (fault != SM_OK)
        return -fault;
    begin(&s, store, c);
    for (size_t k = 0; k < count; k++) {
        fetch_ahead(store, c->index, k, count);
        if (!take(c, k, &r))
            continue;
        if (s.lanes != NULL && r.length == (wrapping ? SM_KEY : WRAPPED) &&
            sm_message_may_wrap(store, c->index[k]) == SM_OK) {
            if (await(&s, k, &r, store->keks + (size_t)c->index[k] * SM_KEY, r.length, 0))
                key_stretch(&s, wrapping);
            continue;
        }
        fault = wrapping ? sm_message_wrap(store, c->index[k], r.text, r.length, r.out)
                         : sm_message_unwrap(store, c->index[k], r.text, r.length, r.out);
        s.good += settle(&c->status[k], r.out, r.slot, fault);
    }
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
