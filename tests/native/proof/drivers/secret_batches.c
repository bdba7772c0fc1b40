/* Every batch operation and ESP on secrets: `program TIER [leak WHERE]`.
 *
 * Keys, texts and keys to be wrapped are secret; lengths, counters, indices and what travels are not. Of each batch some messages
 * are changed on their way. With a leak, the program branches on what came out of that operation, which must be
 * reported: then the marks survive the lanes and the watch is awake behind them.
 */
#include "secret.h"

enum { CONTEXTS = 6, MOST = 40, LONGEST = 700, PLACES = CONTEXTS + 2 };

static const uint32_t suites[CONTEXTS] = {0, 2, 0, 1, 2, 0};
static const uint8_t title[8] = "METER  1", peer[8] = "CLIENT 2";
static const char *leak = "nowhere";
static sm_store *ours, *theirs;
static uint32_t place[CONTEXTS];

/* The planted fault. */
static void perhaps_leak(const char *where, const uint8_t *secret_byte)
{
    if (strcmp(where, leak) == 0 && *secret_byte == 1)
        puts("one");
}

static size_t slot(size_t length)
{
    return (length + 15) / 16 * 16 + 16;
}

static void load_all(void)
{
    uint32_t at = 0;
    ours = sm_store_new(PLACES);
    theirs = sm_store_new(PLACES);
    CHECK(ours != NULL && theirs != NULL);
    for (uint32_t n = 0; n < CONTEXTS; n++) {
        uint8_t *ek = secret(32, (int)n + 1), *ak = secret(32, (int)n + 51), *kek = secret(32, (int)n + 101);
        place[n] = at;
        CHECK(sm_context_load_suite(ours, at, suites[n], ek, ak, title, peer, 0, 0, kek) == SM_OK);
        CHECK(sm_context_load_suite(theirs, at, suites[n], ek, ak, peer, title, 0, 0, kek) == SM_OK);
        at += suites[n] == 2 ? 2 : 1;
        if (n == 0)
            perhaps_leak("key", ek);
        free(ek);
        free(ak);
        free(kek);
    }
}

typedef struct {
    uint32_t count, index[MOST], length[MOST], counter[MOST];
    uint8_t control[MOST], status[MOST];
    uint8_t *in, *out;
    size_t in_size, out_size;
} batch;

static void begin(batch *b, uint32_t count, uint32_t protection)
{
    b->count = count;
    b->in_size = b->out_size = 0;
    for (uint32_t k = 0; k < count; k++) {
        b->index[k] = place[k % CONTEXTS];
        b->control[k] = (uint8_t)(protection | suites[k % CONTEXTS]);
    }
}

static void lay(batch *b)
{
    for (uint32_t k = 0; k < b->count; k++) {
        b->in_size += b->length[k];
        b->out_size += slot(b->length[k]);
    }
    b->in = secret(b->in_size, 7);
    b->out = block(b->out_size, 0);
}

static void end(batch *b)
{
    free(b->in);
    free(b->out);
}

/* The other side's batch: what came out of `from`, `more` longer (or shorter), every fifth message changed. */
static void answer(batch *to, const batch *from, uint32_t protection, int more)
{
    begin(to, from->count, protection);
    for (uint32_t k = 0; k < from->count; k++) {
        to->length[k] = (uint32_t)((int)from->length[k] + more);
        to->counter[k] = from->counter[k];
    }
    lay(to);
    size_t at = 0, slots = 0;
    for (uint32_t k = 0; k < from->count; k++) {
        memcpy(to->in + at, from->out + slots, to->length[k]);
        slots += slot(from->length[k]);
        at += to->length[k];
    }
    PUBLIC(to->in, to->in_size); /* it has travelled */
    for (uint32_t k = 0, start = 0; k < from->count; start += to->length[k++])
        if (k % 5 == 4)
            to->in[start + k % to->length[k]] ^= 0x10;
}

/* `hidden`: it did not travel in the clear. */
static void judge(const batch *b, const char *where, uint32_t size_less, int hidden)
{
    size_t slots = 0;
    for (uint32_t k = 0; k < b->count; k++) {
        const int changed = k % 5 == 4;
        CHECK(b->status[k] == (changed ? SM_TAG : SM_OK));
        CHECK(changed ? all_are(b->out + slots, slot(b->length[k]), 0)
                      : !hidden || marked(b->out + slots, b->length[k] - size_less));
        slots += slot(b->length[k]);
    }
    perhaps_leak(where, b->out);
}

static void messages(uint32_t count, uint32_t protection, uint32_t step)
{
    batch sealing, opening;
    const uint32_t tag = protection & 0x10 ? 12 : 0;
    begin(&sealing, count, protection);
    for (uint32_t k = 0; k < count; k++)
        sealing.length[k] = 1 + (k * step + count) % LONGEST;
    lay(&sealing);
    CHECK(sm_seal_batch(ours, count, sealing.index, sealing.control, sealing.in, sealing.in_size, NULL, sealing.length,
                        sealing.out, sealing.out_size, NULL, sealing.counter, sealing.status) == count);
    for (uint32_t k = 0, slots = 0; k < count; slots += (uint32_t)slot(sealing.length[k++]))
        CHECK(marked(sealing.out + slots, sealing.length[k] + tag));
    perhaps_leak("seal", sealing.out);
    if (tag) {
        answer(&opening, &sealing, protection, (int)tag);
        CHECK(sm_open_batch(theirs, count, opening.index, opening.control, opening.in, opening.in_size, NULL,
                            opening.length, opening.out, opening.out_size, NULL, opening.counter, opening.status) ==
              count - count / 5);
        judge(&opening, "open", tag, protection & 0x20);
        end(&opening);
    }
    end(&sealing);
}

static void tags(uint32_t count, uint32_t step)
{
    batch b;
    begin(&b, count, 0x10);
    for (uint32_t k = 0; k < count; k++)
        b.length[k] = (k * step + count) % 120;
    lay(&b);
    CHECK(sm_gmac_batch(ours, count, b.index, b.in, b.in_size, NULL, b.length, b.out, b.out_size, NULL, b.counter,
                        b.status) == count);
    for (uint32_t k = 0, slots = 0, at = 0; k < count; k++) {
        uint8_t tag[12];
        CHECK(marked(b.out + slots, 12));
        memcpy(tag, b.out + slots, sizeof tag);
        PUBLIC(tag, sizeof tag);
        CHECK(sm_gmac_check(theirs, b.index[k], b.counter[k], tag, 12, b.in + at, b.length[k]) == SM_OK);
        tag[k % 12] ^= 2;
        CHECK(sm_gmac_check(theirs, b.index[k], b.counter[k], tag, 12, b.in + at, b.length[k]) == -SM_TAG);
        slots += (uint32_t)slot(b.length[k]);
        at += b.length[k];
    }
    perhaps_leak("gmac", b.out);
    end(&b);
}

static void keys(uint32_t count)
{
    batch wrapping, unwrapping;
    begin(&wrapping, count, 0);
    for (uint32_t k = 0; k < count; k++)
        wrapping.length[k] = suites[k % CONTEXTS] == 2 ? 32 : 16;
    lay(&wrapping);
    CHECK(sm_wrap_batch(ours, count, wrapping.index, wrapping.in, wrapping.in_size, NULL, wrapping.length, wrapping.out,
                        wrapping.out_size, NULL, wrapping.status) == count);
    for (uint32_t k = 0, slots = 0; k < count; slots += (uint32_t)slot(wrapping.length[k++]))
        CHECK(marked(wrapping.out + slots, wrapping.length[k] + 8));
    perhaps_leak("wrap", wrapping.out);
    answer(&unwrapping, &wrapping, 0, 8);
    CHECK(sm_unwrap_batch(theirs, count, unwrapping.index, unwrapping.in, unwrapping.in_size, NULL, unwrapping.length,
                          unwrapping.out, unwrapping.out_size, NULL, unwrapping.status) == count - count / 5);
    judge(&unwrapping, "unwrap", 8, 1);
    end(&wrapping);
    end(&unwrapping);
}

static void packets(size_t key_length)
{
    uint8_t *key = secret(key_length, 3), salt[4] = {1, 2, 3, 4};
    sm_sa *out = sm_sa_new(9, key, key_length, salt, 1, 0, 0), *into = sm_sa_new(9, key, key_length, salt, 1, 0, 0);
    CHECK(out != NULL && into != NULL);
    for (size_t length = 1; length < 1500; length += 1 + length / 3) {
        uint8_t *inner = secret(length, 5), *packet = block(length + 64, 0), *opened = block(length + 64, 0);
        const int64_t size = sm_esp_seal(out, inner, length, 4, packet, length + 64);
        CHECK(size > 0 && marked(packet + 16, (size_t)size - 16));
        perhaps_leak("esp", packet + 16);
        PUBLIC(packet, (size_t)size);
        packet[16 + length / 2] ^= 4;
        CHECK(sm_esp_open(into, packet, (size_t)size, opened, length + 64) == -SM_TAG);
        packet[16 + length / 2] ^= 4;
        CHECK(sm_esp_open(into, packet, (size_t)size, opened, length + 64) == ((int64_t)4 << 32 | (int64_t)length));
        CHECK(marked(opened, length));
        free(inner);
        free(packet);
        free(opened);
    }
    sm_sa_free(out);
    sm_sa_free(into);
    free(key);
}

/* A whole packet there and back: headers may be looked at when it is authentic, the frame not. */
static void tunnels(void)
{
    static const uint8_t outer[20] = {0x45, 0, 0, 20, 0, 0, 0x40, 0, 64, 50, 0, 0, 198, 18, 0, 1, 198, 19, 0, 1};
    static const uint8_t inner[28] = {0x45, 0, 0, 28, 0, 0, 0x40, 0, 63, 17}, salt[4] = {1, 2, 3, 4};
    uint8_t *key = secret(16, 3);
    sm_sa *out = sm_sa_new(9, key, 16, salt, 1, 0, 0), *into = sm_sa_new(9, key, 16, salt, 1, 0, 0);
    CHECK(sm_tunnel_set(out, outer, inner) == SM_OK && sm_tunnel_set(into, outer, inner) == SM_OK);
    for (size_t length = 0; length < 600; length += 1 + length / 3) {
        uint8_t *frame = secret(length, 6), *packet = block(length + 128, 0), *opened = block(length + 128, 0);
        const int64_t size = sm_tunnel_seal(out, 1, 2, 3, 4, 5, frame, length, packet, length + 128);
        CHECK(size > 0);
        PUBLIC(packet, (size_t)size);
        CHECK(sm_tunnel_open(into, packet, (size_t)size, opened, length + 128) == (int64_t)length + 28);
        CHECK(marked(opened + 28, length));
        free(frame);
        free(packet);
        free(opened);
    }
    sm_sa_free(out);
    sm_sa_free(into);
    free(key);
}

int main(int count, char **arguments)
{
    static const uint32_t counts[] = {1, 5, 8, 9, 16, 27, 40};
    CHECK(count >= 2);
    if (sm_select(arguments[1]) != SM_OK) {
        puts("no such tier here");
        return 3;
    }
    if (count > 3)
        leak = arguments[3];
    load_all();
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (uint32_t step = 3; step < 100; step += 19) {
            messages(counts[i], 0x30, step);
            tags(counts[i], step);
        }
        messages(counts[i], 0x10, 11);
        messages(counts[i], 0x20, 11);
        keys(counts[i]);
    }
    packets(16);
    packets(32);
    tunnels();
    sm_store_free(ours);
    sm_store_free(theirs);
    return 0;
}
