/* Many messages in one call: the loop, the bounds and the zeroing of refused slots.
 *
 * In the order given, so two messages of one context take their counters in that order. One message at a time for now; the shape
 * (offsets, slots in steps of a block, statuses beside) leaves room for messages side by side without a new interface.
 */
#include <string.h>

#include "sm_bytes.h"
#include "sm_message.h"

enum { STEP = 16 };

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
    size_t next_in, next_out; /* where messages lie without offsets */
} columns;

typedef struct {
    const uint8_t *text;
    size_t length;
    uint8_t *out;
    size_t slot;
} row;

/* Row k, or 0 when it does not lie inside the buffers. */
static int take(columns *c, size_t k, row *r)
{
    const size_t in_at = c->in_offset ? c->in_offset[k] : c->next_in;
    const size_t out_at = c->out_offset ? c->out_offset[k] : c->next_out;
    r->length = c->length[k];
    r->slot = ((size_t)r->length + STEP - 1) / STEP * STEP + STEP;
    c->next_in += r->length;
    c->next_out += r->slot;
    if (in_at > c->in_size || r->length > c->in_size - in_at || out_at > c->out_size || r->slot > c->out_size - out_at)
        return 0;
    r->text = c->in + in_at;
    r->out = c->out + out_at;
    return 1;
}

static int64_t settle(uint8_t *status, size_t k, const row *r, int fault)
{
    status[k] = (uint8_t)fault;
    if (fault == SM_OK)
        return 1;
    sm_wipe(r->out, r->slot);
    return 0;
}

/* A store nobody may use refuses the batch, not each message. */
#define REFUSE_STORE(store)                                                                                           \
    do {                                                                                                               \
        int fault_of_store = sm_store_fault(store, 0);                                                                 \
        if (fault_of_store != SM_OK)                                                                                   \
            return -fault_of_store;                                                                                    \
    } while (0)

int64_t sm_seal_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *control, const uint8_t *in,
                      size_t in_size, const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint32_t *counter, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, 0, 0};
    int64_t good = 0;
    row r;
    REFUSE_STORE(store);
    for (size_t k = 0; k < count; k++) {
        if (!take(&c, k, &r)) {
            status[k] = SM_USAGE;
            continue;
        }
        good += settle(status, k, &r,
                       sm_message_seal(store, index[k], control[k], r.text, r.length, r.out, &counter[k]));
    }
    return good;
}

int64_t sm_open_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *control, const uint8_t *in,
                      size_t in_size, const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, const uint32_t *counter, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, 0, 0};
    int64_t good = 0;
    size_t plain;
    row r;
    REFUSE_STORE(store);
    for (size_t k = 0; k < count; k++) {
        if (!take(&c, k, &r)) {
            status[k] = SM_USAGE;
            continue;
        }
        good += settle(status, k, &r,
                       sm_message_open(store, index[k], control[k], counter[k], r.text, r.length, r.out, &plain));
    }
    return good;
}

int64_t sm_gmac_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                      const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint32_t *counter, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, 0, 0};
    int64_t good = 0;
    row r;
    REFUSE_STORE(store);
    for (size_t k = 0; k < count; k++) {
        if (!take(&c, k, &r)) {
            status[k] = SM_USAGE;
            continue;
        }
        good += settle(status, k, &r, sm_message_gmac(store, index[k], r.text, r.length, r.out, &counter[k]));
    }
    return good;
}

typedef int (*keyed)(sm_store *, uint32_t, const uint8_t *, size_t, uint8_t *);

static int64_t key_batch(sm_store *store, size_t count, columns *c, uint8_t *status, keyed one)
{
    int64_t good = 0;
    row r;
    REFUSE_STORE(store);
    for (size_t k = 0; k < count; k++) {
        if (!take(c, k, &r)) {
            status[k] = SM_USAGE;
            continue;
        }
        good += settle(status, k, &r, one(store, c->index[k], r.text, r.length, r.out));
    }
    return good;
}

int64_t sm_wrap_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                      const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                      const uint32_t *out_offset, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, 0, 0};
    return key_batch(store, count, &c, status, sm_message_wrap);
}

int64_t sm_unwrap_batch(sm_store *store, size_t count, const uint32_t *index, const uint8_t *in, size_t in_size,
                        const uint32_t *in_offset, const uint32_t *length, uint8_t *out, size_t out_size,
                        const uint32_t *out_offset, uint8_t *status)
{
    columns c = {index, in, in_size, in_offset, length, out, out_size, out_offset, 0, 0};
    return key_batch(store, count, &c, status, sm_message_unwrap);
}
