/* A batch from any bytes: whatever a caller describes, nothing beside the buffers is touched, what is refused is zeroed
 * and the rest is what the calls for one message give, one after the other, on a second store.
 *
 * The first bytes say which operation on which tier and how the memory lies; then each message has its own. An orderly
 * layout is computed, so that most cases have good messages in them; a wild one takes sizes and offsets as the bytes
 * have them.
 */
#include "check.h"

enum { PLACES = 9, EMPTY = 4, LONG = 5, MOST = 48, LENGTHS = 300, SEAL = 0, OPEN, GMAC, WRAP, UNWRAP, OPERATIONS };

extern int planted __attribute__((weak));
unsigned long statuses[SM_USAGE + 1]; /* met so far, to see that the cases are not all of a kind */

typedef struct {
    uint32_t count, operation;
    int offsets, shared, wild;
    size_t in_size, out_size;
    uint32_t index[MOST], length[MOST], in_at[MOST], out_at[MOST], counter[MOST];
    uint8_t control[MOST];
} description;

static sm_store *ours, *twin, *peers;

static size_t slot(size_t length)
{
    return (length + 15) / 16 * 16 + 16;
}

/* Whether a context begins here: 0 to 3 are of suite 0, 4 is empty, 5 and 7 are of suite 2 and take the next place too. */
static int begins(uint32_t n)
{
    return n < PLACES && n != EMPTY && (n < LONG || n % 2 == 1);
}

/* Contexts as they are at the beginning of every case: one without a master key, one near its last counter. */
static void load_all(void)
{
    static const uint8_t title[8] = "METER  1", peer[8] = "CLIENT 2";
    if (ours == NULL) {
        ours = sm_store_new(PLACES);
        twin = sm_store_new(PLACES);
        peers = sm_store_new(PLACES);
        CHECK(ours != NULL && twin != NULL && peers != NULL);
    }
    for (uint32_t n = 0; n < PLACES; n++) {
        if (!begins(n))
            continue;
        uint8_t ek[32], ak[32], kek[32];
        const uint32_t suite = n < LONG ? 0 : 2;
        memset(ek, 0x11 + (int)n, sizeof ek);
        memset(ak, 0x61 + (int)n, sizeof ak);
        memset(kek, 0xA1 + (int)n, sizeof kek);
        const uint32_t tx = n == 3 ? 0xFFFFFFF8 : 0, rx = n == 2 ? 7 : 0;
        CHECK(sm_context_load_suite(ours, n, suite, ek, ak, title, peer, tx, rx, n == 1 ? NULL : kek) == SM_OK);
        CHECK(sm_context_load_suite(twin, n, suite, ek, ak, title, peer, tx, rx, n == 1 ? NULL : kek) == SM_OK);
        CHECK(sm_context_load_suite(peers, n, suite, ek, ak, peer, title, 0, 0, kek) == SM_OK);
    }
}

static void describe(bytes *b, description *d)
{
    static const uint8_t controls[8] = {0x30, 0x30, 0x30, 0x30, 0x10, 0x20, 0x31, 0x00};
    const uint32_t manner = next(b);
    choose_tier(next(b));
    d->operation = next(b) % OPERATIONS;
    d->count = next(b) % (MOST + 1);
    d->offsets = manner & 1;
    d->shared = manner & 2 && d->offsets;
    d->wild = (manner & 12) == 12;
    d->in_size = d->out_size = 0;
    for (uint32_t k = 0; k < d->count; k++) {
        const uint32_t usual = next(b);
        d->index[k] = usual < 244 ? usual % 6 : usual < 252 ? 7 + usual % 3 : 0xFFFFFFFFu - usual;
        const int long_key = d->index[k] >= LONG && usual % 11 != 3;
        d->control[k] = (uint8_t)(controls[next(b) % 8] | (long_key ? 2 : 0));
        d->length[k] = d->operation < WRAP ? next16(b) % LENGTHS : long_key ? 32 : 16;
        if (d->operation == UNWRAP)
            d->length[k] += 8;
        if (usual % 16 == 5)
            d->length[k] = next(b);
        d->counter[k] = usual % 32 == 7 ? 0xFFFFFFFF : next(b);
        d->in_at[k] = (uint32_t)d->in_size;
        d->out_at[k] = (uint32_t)d->out_size;
        d->in_size += d->length[k];
        d->out_size += slot(d->length[k]);
    }
    if (d->shared) {
        memcpy(d->in_at, d->out_at, sizeof d->in_at);
        d->in_size = d->out_size;
    }
    if (!d->wild)
        return;
    d->out_size = next16(b) % 4096;
    d->in_size = d->shared ? d->out_size : next16(b) % 4096;
    for (uint32_t k = 0; k < d->count; k++) {
        const uint32_t how = next(b);
        if (how & 1)
            d->in_at[k] = next16(b) % 5000;
        if (how & 2)
            d->out_at[k] = how & 4 ? d->in_at[k] : next16(b) % 5000;
        if ((how & 0xF0) == 0xF0) /* sums that would go round */
            d->in_at[k] = 0xFFFFFFFF - next(b);
        if ((how & 0xF8) == 0xE8)
            d->length[k] = 0xFFFFFFFF - next(b);
    }
}

/* Where message k lies; 0 when not inside the buffers. */
static int lies(const description *d, uint32_t k, size_t *in_at, size_t *out_at)
{
    *in_at = *out_at = 0;
    if (d->offsets) {
        *in_at = d->in_at[k];
        *out_at = d->out_at[k];
    } else {
        for (uint32_t i = 0; i < k; i++) {
            *in_at += d->length[i];
            *out_at += slot(d->length[i]);
        }
    }
    return *in_at + d->length[k] <= d->in_size && *out_at + slot(d->length[k]) <= d->out_size &&
           !(d->shared && *in_at != *out_at);
}

/* Put true messages where messages to be opened lie: some of what is there, sealed by the other side. */
static void make_true(const description *d, uint8_t *in)
{
    for (uint32_t k = 0; k < d->count; k++) {
        size_t in_at, out_at;
        const uint32_t n = d->index[k], length = d->length[k];
        if (!lies(d, k, &in_at, &out_at) || !begins(n) || (d->counter[k] & 3) == 3)
            continue;
        if (d->operation == UNWRAP && length == (n < LONG ? 24 : 40)) {
            uint8_t key[32];
            memcpy(key, in + in_at, length - 8);
            CHECK(sm_wrap_one(peers, n, key, length - 8, in + in_at) == SM_OK);
        } else if (d->operation == OPEN && length >= 12 && d->control[k] & 0x30 && (d->control[k] & 0x0F) == (n < LONG ? 0 : 2) &&
                   d->counter[k] != 0xFFFFFFFF) {
            const size_t text = length - (d->control[k] & 0x10 ? 12 : 0);
            uint8_t *sealed = block(length + 12, 0);
            if (sm_context_set_counters(peers, n, 1, d->counter[k], 0) == SM_OK) {
                CHECK(sm_seal_one(peers, n, d->control[k], in + in_at, text, sealed, length + 12) == d->counter[k]);
                memcpy(in + in_at, sealed, length);
            }
            free(sealed);
        }
    }
}

static int64_t call(const description *d, const uint8_t *in, uint8_t *out, uint32_t *counter, uint8_t *status)
{
    const uint32_t *in_at = d->offsets ? d->in_at : NULL, *out_at = d->offsets ? d->out_at : NULL;
    switch (d->operation) {
    case SEAL:
        return sm_seal_batch(ours, d->count, d->index, d->control, in, d->in_size, in_at, d->length, out, d->out_size,
                             out_at, counter, status);
    case OPEN:
        return sm_open_batch(ours, d->count, d->index, d->control, in, d->in_size, in_at, d->length, out, d->out_size,
                             out_at, counter, status);
    case GMAC:
        return sm_gmac_batch(ours, d->count, d->index, in, d->in_size, in_at, d->length, out, d->out_size, out_at,
                             counter, status);
    case WRAP:
        return sm_wrap_batch(ours, d->count, d->index, in, d->in_size, in_at, d->length, out, d->out_size, out_at,
                             status);
    default:
        return sm_unwrap_batch(ours, d->count, d->index, in, d->in_size, in_at, d->length, out, d->out_size, out_at,
                               status);
    }
}

/* Message k alone on the twin: a status, what it gave (in `out`, as long as it is) and its counter. */
static int alone(const description *d, uint32_t k, const uint8_t *text, uint8_t *out, size_t *size, uint32_t *counter)
{
    const uint32_t n = d->index[k], length = d->length[k];
    int64_t came;
    switch (d->operation) {
    case SEAL:
        *size = length + (d->control[k] & 0x10 ? 12 : 0);
        came = sm_seal_one(twin, n, d->control[k], text, length, out, length + 12);
        break;
    case OPEN:
        came = sm_open_one(twin, n, d->control[k], d->counter[k], text, length, out, length);
        *size = came > 0 ? (size_t)came : 0;
        *counter = d->counter[k];
        return came < 0 ? (int)-came : SM_OK;
    case GMAC:
        *size = 12;
        came = sm_gmac_one(twin, n, text, length, out);
        break;
    case WRAP:
        *size = length + 8;
        return (int)-sm_wrap_one(twin, n, text, length, out);
    default:
        *size = length - (length < 8 ? length : 8);
        return (int)-sm_unwrap_one(twin, n, text, length, out);
    }
    *counter = (uint32_t)came;
    return came < 0 ? (int)-came : SM_OK;
}

/* Whether no two slots inside the buffer share a byte; `belongs` is marked where there is a slot. */
static int slots_apart(const description *d, uint8_t *belongs)
{
    int apart = 1;
    for (uint32_t k = 0; k < d->count; k++) {
        size_t in_at, out_at;
        if (!lies(d, k, &in_at, &out_at))
            continue;
        for (size_t i = out_at; i < out_at + slot(d->length[k]); i++) {
            apart &= !belongs[i];
            belongs[i] = 1;
        }
    }
    return apart;
}

static void compare(const description *d, const uint8_t *before, const uint8_t *out, const uint32_t *counter,
                    const uint8_t *status)
{
    for (uint32_t k = 0; k < d->count; k++) {
        size_t in_at, out_at, size = 0;
        uint32_t own = 0;
        if (!lies(d, k, &in_at, &out_at)) {
            CHECK(status[k] == SM_USAGE);
            continue;
        }
        uint8_t *text = copy(before + in_at, d->length[k]), *result = block(d->length[k] + 24, 0);
        CHECK(alone(d, k, text, result, &size, &own) == status[k]);
        if (status[k] == SM_OK) {
            CHECK(memcmp(out + out_at, result, size) == 0);
            CHECK(d->operation >= WRAP || counter[k] == own);
        } else {
            CHECK(all_are(out + out_at, slot(d->length[k]), 0));
        }
        free(text);
        free(result);
    }
    for (uint32_t n = 0; n < PLACES; n++) { /* counters stand where they do when one goes after the other */
        uint8_t a[160] = {0}, b[160] = {0};
        if (!begins(n))
            continue;
        CHECK(sm_context_export(ours, n, a) == SM_OK && sm_context_export(twin, n, b) == SM_OK);
        CHECK(memcmp(a, b, sizeof a) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes b = {data, size};
    description d = {0};
    load_all();
    describe(&b, &d);
    const size_t told = &planted != NULL && planted && d.in_size > 0 && !d.shared;
    uint8_t *in = block(d.in_size - told, 0), *out = d.shared ? in : block(d.out_size, 0xA5);
    uint32_t *counter = malloc(sizeof *counter * (d.count + 1));
    uint8_t *status = block(d.count, 0xFF), *belongs = block(d.out_size, 0);
    CHECK(counter != NULL);
    memcpy(counter, d.counter, sizeof *counter * d.count);
    fill(&b, in, d.in_size - told);
    if (!told)
        make_true(&d, in);
    uint8_t *before = copy(in, d.in_size - told), *out_before = copy(out, d.out_size);

    const int64_t good = call(&d, in, out, counter, status);
    CHECK(good >= 0 && good <= d.count);
    CHECK(d.shared || memcmp(in, before, d.in_size - told) == 0);
    int64_t said = 0;
    for (uint32_t k = 0; k < d.count; k++) {
        CHECK(status[k] <= SM_USAGE);
        statuses[status[k]]++;
        said += status[k] == SM_OK;
    }
    CHECK(said == good);
    const int apart = slots_apart(&d, belongs);
    for (size_t i = 0; i < d.out_size; i++)
        CHECK(belongs[i] || out[i] == out_before[i]);
    if (apart && !told)
        compare(&d, before, out, counter, status);

    if (!d.shared)
        free(out);
    free(in);
    free(counter);
    free(status);
    free(belongs);
    free(before);
    free(out_before);
    return 0;
}
