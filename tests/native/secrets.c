/* Every call on secrets, for two watchmen.
 *
 * Built with SM_CHECK_SECRETS and run under valgrind, keys and texts are marked undefined: a branch or an address that
 * depends on one is reported. Built with the sanitizers, every buffer is as long as it may be and no longer. With
 * the argument "leak" it branches on a key, to show that the watchman is awake.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sm_api.h"
#include "sm_bytes.h"

#ifdef SM_CHECK_SECRETS
#define SECRET(p, n) VALGRIND_MAKE_MEM_UNDEFINED(p, n)
#define PUBLIC(p, n) VALGRIND_MAKE_MEM_DEFINED(p, n)
#else
#define SECRET(p, n) ((void)(p), (void)(n))
#define PUBLIC(p, n) ((void)(p), (void)(n))
#endif

#define CHECK(truth)                                                                                                   \
    do {                                                                                                               \
        if (!(truth)) {                                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #truth);                                                \
            exit(2);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { LONGEST = 300 };

static const uint8_t title[8] = "METER  1", salt[4] = "salt";

static int all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return any == 0;
}

/* A heap block of exactly n bytes, so that one byte too far is seen. */
static uint8_t *block(size_t n, int fill)
{
    uint8_t *p = malloc(n ? n : 1);
    CHECK(p != NULL);
    memset(p, fill, n);
    return p;
}

static uint8_t *secret(size_t n, int fill)
{
    uint8_t *p = block(n, fill);
    SECRET(p, n);
    return p;
}

static void messages(sm_store *store, size_t length)
{
    static const uint32_t controls[3] = {0x10, 0x20, 0x30};
    uint8_t *text = secret(length, 7), *sealed = block(length + 12, 0), *opened = block(length + 12, 0);
    uint8_t *bent = block(length + 12, 0), tag[12];
    for (int i = 0; i < 3; i++) {
        const size_t size = length + (controls[i] == 0x20 ? 0 : 12);
        int64_t counter = sm_seal_one(store, 0, controls[i], text, length, sealed, length + 12);
        CHECK(counter >= 0);
        PUBLIC(sealed, size);
        memcpy(bent, sealed, size);
        if (size > length) {
            bent[size - 1] ^= 1;
            CHECK(sm_open_one(store, 0, controls[i], (uint32_t)counter, bent, size, opened, size) == -SM_TAG);
            CHECK(all_zero(opened, length));
        }
        CHECK(sm_open_one(store, 0, controls[i], (uint32_t)counter, sealed, size, opened, size) == (int64_t)length);
        PUBLIC(opened, length);
        PUBLIC(text, length);
        CHECK(memcmp(opened, text, length) == 0);
        SECRET(text, length);
    }
    int64_t counter = sm_gmac_one(store, 0, text, length, tag);
    PUBLIC(tag, sizeof tag);
    CHECK(sm_gmac_check(store, 0, (uint32_t)counter, tag, sizeof tag, text, length) == SM_OK);
    tag[0] ^= 1;
    CHECK(sm_gmac_check(store, 0, (uint32_t)counter, tag, sizeof tag, text, length) == -SM_TAG);
    free(text);
    free(sealed);
    free(opened);
    free(bent);
}

static void given_keys(size_t key_length, size_t length)
{
    uint8_t *key = secret(key_length, 3), *text = secret(length, 7), iv[12] = {1};
    uint8_t *sealed = block(length + 16, 0), *opened = block(length + 16, 0), *aad = block(length, 5);
    CHECK(sm_gcm_seal(key, key_length, iv, aad, length, text, length, sealed, 16) == SM_OK);
    PUBLIC(sealed, length + 16);
    CHECK(sm_gcm_open(key, key_length, iv, aad, length, sealed, length + 16, opened, 16) == SM_OK);
    sealed[0] ^= 1;
    CHECK(sm_gcm_open(key, key_length, iv, aad, length, sealed, length + 16, opened, 16) == -SM_TAG);
    CHECK(all_zero(opened, length));
    free(key);
    free(text);
    free(sealed);
    free(opened);
    free(aad);
}

static void keys(sm_store *store, size_t kek_length)
{
    uint8_t *kek = secret(kek_length, 9);
    for (size_t length = 16; length <= 64; length += 8) {
        uint8_t *key = secret(length, 4), *wrapped = block(length + 8, 0), *back = block(length, 0);
        CHECK(sm_key_wrap(kek, kek_length, key, length, wrapped) == SM_OK);
        PUBLIC(wrapped, length + 8);
        CHECK(sm_key_unwrap(kek, kek_length, wrapped, length + 8, back) == SM_OK);
        wrapped[3] ^= 1;
        CHECK(sm_key_unwrap(kek, kek_length, wrapped, length + 8, back) == -SM_TAG);
        CHECK(all_zero(back, length));
        if (length == 16) {
            CHECK(sm_wrap_one(store, 0, key, length, wrapped) == SM_OK);
            PUBLIC(wrapped, length + 8);
            CHECK(sm_unwrap_one(store, 0, wrapped, length + 8, back) == SM_OK);
        }
        free(key);
        free(wrapped);
        free(back);
    }
    free(kek);
}

static void packets(size_t key_length)
{
    uint8_t *key = secret(key_length, 2);
    sm_sa *out = sm_sa_new(1, key, key_length, salt, 1, 0, 0), *into = sm_sa_new(1, key, key_length, salt, 1, 0, 0);
    CHECK(out != NULL && into != NULL);
    for (size_t length = 0; length < LONGEST; length += 13) {
        uint8_t *inner = secret(length, 6), *packet = block(length + 64, 0);
        int64_t size = sm_esp_seal(out, inner, length, 4, packet, length + 64);
        CHECK(size > 0);
        PUBLIC(packet, (size_t)size);
#ifndef SM_CHECK_SECRETS /* what was authentic may be looked at: padding and next header */
        uint8_t *exact = block((size_t)size, 0), *opened = block((size_t)size, 0);
        memcpy(exact, packet, (size_t)size);
        exact[size - 1] ^= 1;
        CHECK(sm_esp_open(into, exact, (size_t)size, opened, (size_t)size) == -SM_TAG);
        CHECK(all_zero(opened, (size_t)size));
        exact[size - 1] ^= 1;
        CHECK(sm_esp_open(into, exact, (size_t)size, opened, (size_t)size) == ((int64_t)4 << 32 | (int64_t)length));
        CHECK(memcmp(opened, inner, length) == 0);
        CHECK(sm_esp_open(into, exact, (size_t)size, opened, (size_t)size) == -SM_REPLAY);
        free(exact);
        free(opened);
#endif
        free(inner);
        free(packet);
    }
    sm_sa_free(out);
    sm_sa_free(into);
    free(key);
}

#ifndef SM_CHECK_SECRETS
/* The header of an outer packet of this many bytes. */
static void outer_header(uint8_t *packet, const uint8_t *common, size_t total)
{
    uint32_t sum = (uint32_t)total;
    memcpy(packet, common, 20);
    memset(packet + 10, 0, 2);
    memset(packet + 2, 0, 2);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)packet[i] << 8 | packet[i + 1];
    sum = ~((sum & 0xFFFF) + (sum >> 16));
    packet[2] = (uint8_t)(total >> 8);
    packet[3] = (uint8_t)total;
    packet[10] = (uint8_t)(sum >> 8);
    packet[11] = (uint8_t)sum;
}

/* Authentic packets around anything but a datagram: refused, and the window stands. */
static void oddities(sm_sa *out, sm_sa *into, const uint8_t *outer)
{
    uint64_t before[3], after[3];
    CHECK(sm_sa_state(into, before) == SM_OK);
    for (size_t length = 0; length < 80; length++) {
        uint8_t *inner = block(length, 0x45), *sealed = block(length + 64, 0);
        const int64_t size = sm_esp_seal(out, inner, length, length % 7 == 0 ? 59 : 4, sealed, length + 64);
        CHECK(size > 0);
        const size_t total = 20 + (size_t)size;
        uint8_t *exact = block(total, 0), *opened = block(total - 20, 0);
        outer_header(exact, outer, total);
        memcpy(exact + 20, sealed, (size_t)size);
        CHECK(sm_tunnel_open(into, exact, total, opened, total - 20) == -SM_FRAME);
        CHECK(all_zero(opened, length));
        CHECK(sm_esp_open(into, exact + 20, (size_t)size, opened, (size_t)size) > 0);
        CHECK(sm_sa_state(into, after) == SM_OK && after[1] == before[1] + length + 1);
        free(inner);
        free(sealed);
        free(exact);
        free(opened);
    }
}
#endif

/* Whole packets: frames are secret, addresses and ports are not. */
static void tunnels(size_t key_length)
{
    static const uint8_t outer[20] = {0x45, 0, 0, 20, 0, 0, 0x40, 0, 64, 50, 0, 0, 198, 18, 0, 1, 198, 19, 0, 1};
    static const uint8_t inner[28] = {0x45, 0, 0, 28, 0, 0, 0x40, 0, 63, 17};
    enum { AROUND = 20 + 16 + 28 + 3 + 2 + 16 };
    uint8_t *key = secret(key_length, 2);
    sm_sa *out = sm_sa_new(1, key, key_length, salt, 1, 0, 0), *into = sm_sa_new(1, key, key_length, salt, 1, 0, 0);
    CHECK(out != NULL && into != NULL);
    CHECK(sm_tunnel_open(into, outer, sizeof outer, key, 0) == -SM_USAGE); /* nothing agreed yet */
    CHECK(sm_tunnel_set(out, inner, inner) == -SM_USAGE && sm_tunnel_set(out, outer, outer) == -SM_USAGE);
    CHECK(sm_tunnel_set(out, outer, inner) == SM_OK && sm_tunnel_set(into, outer, inner) == SM_OK);
    for (size_t length = 0; length < LONGEST; length += 1 + length / 16) {
        uint8_t *frame = secret(length, 0xFF), *packet = block(length + AROUND, 0);
        CHECK(sm_tunnel_seal(out, 1, 2, 3, 4, 5, frame, length, packet, length + AROUND - 1) == -SM_USAGE);
        CHECK(sm_tunnel_seal(out, 1, 2, 0x10000, 4, 5, frame, length, packet, length + AROUND) == -SM_USAGE);
        const int64_t size = sm_tunnel_seal(out, 1, 2, 3, 4, 5, frame, length, packet, length + AROUND);
        CHECK(size > 0);
        PUBLIC(packet, (size_t)size);
#ifndef SM_CHECK_SECRETS /* what was authentic may be looked at */
        const size_t total = (size_t)size;
        uint8_t *exact = block(total, 0), *opened = block(total - 20, 0);
        memcpy(exact, packet, total);
        for (size_t at = 0; at < total; at++) {
            exact[at] ^= 0x40;
            CHECK(sm_tunnel_open(into, exact, total, opened, total - 20) < 0);
            CHECK(all_zero(opened, total - 20));
            exact[at] ^= 0x40;
        }
        for (size_t cut = 0; cut < total; cut++) {
            uint8_t *less = block(cut, 0);
            memcpy(less, exact, cut);
            CHECK(sm_tunnel_open(into, less, cut, opened, total - 20) < 0);
            free(less);
        }
        CHECK(sm_tunnel_open(into, exact, total, opened, total - 21) == -SM_USAGE);
        CHECK(sm_tunnel_open(into, exact, total, opened, total - 20) == (int64_t)length + 28);
        CHECK(memcmp(opened + 28, frame, length) == 0);
        CHECK(sm_tunnel_open(into, exact, total, opened, total - 20) == -SM_REPLAY);
        free(exact);
        free(opened);
#endif
        free(frame);
        free(packet);
    }
#ifndef SM_CHECK_SECRETS
    oddities(out, into, outer);
#endif
    sm_sa_free(out);
    sm_sa_free(into);
    free(key);
}

static void batches(sm_store *store)
{
    enum { COUNT = 40 };
    uint32_t index[COUNT], length[COUNT], counter[COUNT];
    uint8_t control[COUNT], status[COUNT];
    size_t in_size = 0, out_size = 0;
    for (uint32_t k = 0; k < COUNT; k++) {
        index[k] = k % 3; /* 1 is empty, 2 is outside */
        length[k] = k * 5;
        control[k] = 0x30;
        in_size += length[k];
        out_size += (length[k] + 15) / 16 * 16 + 16;
    }
    uint8_t *in = secret(in_size, 8), *out = block(out_size, 0);
    CHECK(sm_seal_batch(store, COUNT, index, control, in, in_size, NULL, length, out, out_size, NULL, counter,
                        status) == 14);
    CHECK(status[0] == SM_OK && status[1] == SM_NO_KEY && status[2] == SM_USAGE);
    CHECK(sm_seal_batch(store, COUNT, index, control, in, in_size - 1, NULL, length, out, out_size - 1, NULL, counter,
                        status) == 13);
    CHECK(status[COUNT - 1] == SM_USAGE);
    CHECK(sm_gmac_batch(store, COUNT, index, in, in_size, NULL, length, out, out_size, NULL, counter, status) == 14);
    free(in);
    free(out);
}

int main(int count, char **arguments)
{
    CHECK(count >= 2 && sm_select(arguments[1]) == SM_OK);
    sm_store *store = sm_store_new(2);
    uint8_t *ek = secret(16, 1), *ak = secret(16, 2), *kek = secret(16, 3);
    CHECK(store != NULL);
    CHECK(sm_context_load(store, 0, ek, ak, title, title, 0, 0, kek) == SM_OK);
    if (count > 2 && strcmp(arguments[2], "leak") == 0 && ek[5] == 1)
        puts("leaked");
    for (size_t length = 0; length < LONGEST; length += 1 + length / 8) {
        messages(store, length);
        given_keys(16, length + 1);
        given_keys(32, length + 1);
    }
    keys(store, 16);
    keys(store, 32);
    packets(16);
    packets(32);
    tunnels(16);
    tunnels(32);
    batches(store);
    sm_store_free(store);
    free(ek);
    free(ak);
    free(kek);
    return 0;
}
