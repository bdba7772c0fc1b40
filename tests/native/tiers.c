/* One tier beside the portable one and beside published values, on any CPU: `tiers <tier>`.
 *
 * Everything a tier computes is reached through the calls Python makes: messages, batches, keys and packets of all lengths
 * around its blocks, under both key lengths. The portable tier gives the same bytes and the same refusals. Prints how many
 * values were compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sm_api.h"

#define CHECK(truth)                                                                                                   \
    do {                                                                                                               \
        if (!(truth)) {                                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #truth);                                                \
            exit(2);                                                                                                   \
        }                                                                                                              \
        compared++;                                                                                                    \
    } while (0)

enum { COUNT = 40, LONGEST = 700, ROOM = COUNT * 800 };

static unsigned compared;
static const char *tier;

static uint32_t chance(void)
{
    static uint64_t state = 88172645463325252ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20);
}

static void fill(uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)chance();
}

static void use(const char *name)
{
    CHECK(sm_select(name) == SM_OK);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        out[n++] = (uint8_t)byte;
    return n;
}

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 4 (AES-128) and 16 (AES-256). */
static void published_gcm(const char *key_hex, const char *sealed_hex)
{
    uint8_t key[32], iv[12], aad[20], text[60], sealed[76], out[76];
    const size_t key_length = from_hex(key_hex, key);
    from_hex("cafebabefacedbaddecaf888", iv);
    from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
    from_hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
             "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39", text);
    CHECK(from_hex(sealed_hex, sealed) == sizeof sealed);
    CHECK(sm_gcm_seal(key, key_length, iv, aad, sizeof aad, text, sizeof text, out, 16) == SM_OK);
    CHECK(memcmp(out, sealed, sizeof sealed) == 0);
    CHECK(sm_gcm_open(key, key_length, iv, aad, sizeof aad, sealed, sizeof sealed, out, 16) == SM_OK);
    CHECK(memcmp(out, text, sizeof text) == 0);
    sealed[3] ^= 4;
    CHECK(sm_gcm_open(key, key_length, iv, aad, sizeof aad, sealed, sizeof sealed, out, 16) == -SM_TAG);
}

/* RFC 3394 4.1, 4.3 and 4.6. */
static void published_wrap(const char *kek_hex, const char *key_hex, const char *wrapped_hex)
{
    uint8_t kek[32], key[32], wrapped[40], out[40];
    const size_t kek_length = from_hex(kek_hex, kek), length = from_hex(key_hex, key);
    CHECK(from_hex(wrapped_hex, wrapped) == length + 8);
    CHECK(sm_key_wrap(kek, kek_length, key, length, out) == SM_OK && memcmp(out, wrapped, length + 8) == 0);
    CHECK(sm_key_unwrap(kek, kek_length, wrapped, length + 8, out) == SM_OK && memcmp(out, key, length) == 0);
}

static void published(void)
{
    published_gcm("feffe9928665731c6d6a8f9467308308",
                  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac"
                  "973d58e0915bc94fbc3221a5db94fae95ae7121a47");
    published_gcm("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
                  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a"
                  "0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
    published_wrap("000102030405060708090A0B0C0D0E0F", "00112233445566778899AABBCCDDEEFF",
                   "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5");
    published_wrap("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "00112233445566778899AABBCCDDEEFF",
                   "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7");
    published_wrap("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
                   "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
                   "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21");
}

static void given_keys(size_t key_length)
{
    static uint8_t key[32], iv[12], aad[LONGEST], text[LONGEST], ours[LONGEST + 16], theirs[LONGEST + 16];
    for (size_t length = 0; length < LONGEST; length += 1 + length / 40) {
        const size_t aad_length = chance() % 100;
        fill(key, sizeof key);
        fill(iv, sizeof iv);
        fill(aad, aad_length);
        fill(text, length);
        use(tier);
        CHECK(sm_gcm_seal(key, key_length, iv, aad, aad_length, text, length, ours, 16) == SM_OK);
        use("portable");
        CHECK(sm_gcm_seal(key, key_length, iv, aad, aad_length, text, length, theirs, 16) == SM_OK);
        CHECK(memcmp(ours, theirs, length + 16) == 0);
        use(tier);
        CHECK(sm_gcm_open(key, key_length, iv, aad, aad_length, theirs, length + 16, ours, 16) == SM_OK);
        CHECK(memcmp(ours, text, length) == 0);
    }
}

static void packets(size_t key_length)
{
    static uint8_t key[32], inner[LONGEST], ours[LONGEST + 64], theirs[LONGEST + 64];
    fill(key, sizeof key);
    use(tier);
    sm_sa *out = sm_sa_new(1, key, key_length, key, 1, 0, 0), *into = sm_sa_new(1, key, key_length, key, 1, 0, 0);
    use("portable");
    sm_sa *plain = sm_sa_new(1, key, key_length, key, 1, 0, 0);
    CHECK(out != NULL && into != NULL && plain != NULL);
    for (size_t length = 0; length < LONGEST; length += 1 + length / 30) {
        fill(inner, length);
        const int64_t size = sm_esp_seal(out, inner, length, 4, ours, sizeof ours);
        CHECK(size > 0 && sm_esp_seal(plain, inner, length, 4, theirs, sizeof theirs) == size);
        CHECK(memcmp(ours, theirs, (size_t)size) == 0);
        CHECK(sm_esp_open(into, theirs, (size_t)size, ours, sizeof ours) == ((int64_t)4 << 32 | (int64_t)length));
        CHECK(memcmp(ours, inner, length) == 0);
    }
    sm_sa_free(out);
    sm_sa_free(into);
    sm_sa_free(plain);
}

/* Contexts of suites 0 and 2 by turns, at even places. */
static sm_store *store_of(const uint8_t *keys)
{
    sm_store *store = sm_store_new(2 * COUNT);
    CHECK(store != NULL);
    for (uint32_t i = 0; i < COUNT; i++) {
        const uint8_t *k = keys + 112 * i;
        CHECK(sm_context_load_suite(store, 2 * i, i % 3 == 0 ? 2 : 0, k, k + 32, k + 96, k + 104, 5, 0, k + 64) == SM_OK);
    }
    return store;
}

static void batches(void)
{
    static uint8_t keys[112 * COUNT], in[ROOM], ours[ROOM], theirs[ROOM], tags[2][ROOM], control[COUNT], status[2][COUNT];
    uint32_t index[COUNT], length[COUNT], counter[2][COUNT], out_at[COUNT];
    fill(keys, sizeof keys);
    fill(in, sizeof in);
    for (int round = 0; round < 30; round++) {
        sm_store *a = store_of(keys), *b = store_of(keys);
        uint32_t at = 0;
        for (uint32_t k = 0; k < COUNT; k++) {
            const uint32_t n = chance() % COUNT;
            index[k] = 2 * n;
            control[k] = (uint8_t)((k % 11 == 0 ? 0x10 : 0x30) | (n % 3 == 0 ? 2 : 0));
            length[k] = round % 3 == 0 ? 64 : chance() % (round % 3 == 1 ? 130 : 600);
            out_at[k] = at;
            at += (length[k] + 12 + 15) / 16 * 16 + 16;
        }
        const uint32_t count = round % 2 ? COUNT : chance() % COUNT;
        use(tier);
        CHECK(sm_seal_batch(a, count, index, control, in, ROOM, NULL, length, ours, ROOM, out_at, counter[0],
                            status[0]) == count);
        use("portable");
        CHECK(sm_seal_batch(b, count, index, control, in, ROOM, NULL, length, theirs, ROOM, out_at, counter[1],
                            status[1]) == count);
        CHECK(memcmp(counter[0], counter[1], count * sizeof counter[0][0]) == 0);
        for (uint32_t k = 0; k < count; k++)
            CHECK(memcmp(ours + out_at[k], theirs + out_at[k], length[k] + 12) == 0);
        use(tier);
        CHECK(sm_gmac_batch(a, count, index, in, ROOM, NULL, length, tags[0], ROOM, out_at, counter[0], status[0]) == count);
        use("portable");
        CHECK(sm_gmac_batch(b, count, index, in, ROOM, NULL, length, tags[1], ROOM, out_at, counter[1], status[1]) == count);
        for (uint32_t k = 0; k < count; k++)
            CHECK(memcmp(tags[0] + out_at[k], tags[1] + out_at[k], 12) == 0);
        sm_store_free(a);
        sm_store_free(b);

        /* What was sealed is opened by the peer: the same keys, titles the other way round. One tag is bent. */
        static uint8_t turned[sizeof keys];
        memcpy(turned, keys, sizeof keys);
        for (uint32_t i = 0; i < COUNT; i++) {
            memcpy(turned + 112 * i + 96, keys + 112 * i + 104, 8);
            memcpy(turned + 112 * i + 104, keys + 112 * i + 96, 8);
        }
        a = store_of(turned);
        b = store_of(turned);
        for (uint32_t k = 0; k < count; k++)
            length[k] += 12;
        if (count > 0)
            theirs[out_at[count / 2] + length[count / 2] - 1] ^= 1;
        uint32_t first[COUNT]; /* as sealed: gmac_batch has taken later ones */
        for (uint32_t k = 0; k < count; k++) {
            first[k] = 5;
            for (uint32_t before = 0; before < k; before++)
                first[k] += index[before] == index[k];
        }
        use(tier);
        const int64_t good = sm_open_batch(a, count, index, control, theirs, ROOM, out_at, length, ours, ROOM, out_at,
                                           first, status[0]);
        CHECK(good == (int64_t)count - (count > 0));
        use("portable");
        static uint8_t again[ROOM];
        CHECK(sm_open_batch(b, count, index, control, theirs, ROOM, out_at, length, again, ROOM, out_at, first,
                            status[1]) == good);
        CHECK(memcmp(status[0], status[1], count) == 0);
        for (uint32_t k = 0; k < count; k++)
            CHECK(memcmp(ours + out_at[k], again + out_at[k], length[k] - 12) == 0);
        sm_store_free(a);
        sm_store_free(b);
    }
}

static void wraps(void)
{
    static uint8_t keys[112 * COUNT], in[40 * COUNT], ours[64 * COUNT], theirs[64 * COUNT], back[64 * COUNT];
    uint8_t status[COUNT];
    uint32_t index[COUNT], length[COUNT], at[COUNT];
    fill(keys, sizeof keys);
    fill(in, sizeof in);
    sm_store *store = store_of(keys);
    for (uint32_t k = 0; k < COUNT; k++) {
        index[k] = 2 * k;
        length[k] = k % 3 == 0 ? 32 : 16;
        at[k] = 64 * k;
    }
    use(tier);
    CHECK(sm_wrap_batch(store, COUNT, index, in, sizeof in, NULL, length, ours, sizeof ours, at, status) == COUNT);
    use("portable");
    CHECK(sm_wrap_batch(store, COUNT, index, in, sizeof in, NULL, length, theirs, sizeof theirs, at, status) == COUNT);
    for (uint32_t k = 0; k < COUNT; k++) {
        length[k] += 8;
        CHECK(memcmp(ours + at[k], theirs + at[k], length[k]) == 0);
    }
    theirs[at[7] + 2] ^= 1;
    use(tier);
    CHECK(sm_unwrap_batch(store, COUNT, index, theirs, sizeof theirs, at, length, back, sizeof back, at, status) == COUNT - 1);
    CHECK(status[7] == SM_TAG && back[at[7]] == 0);
    size_t from = 0;
    for (uint32_t k = 0; k < COUNT; from += length[k++] - 8)
        CHECK(k == 7 || memcmp(back + at[k], in + from, length[k] - 8) == 0);
    sm_store_free(store);
}

int main(int count, char **arguments)
{
    if (count != 2 || sm_select(arguments[1]) != SM_OK) {
        fprintf(stderr, "no such tier here\n");
        return 77;
    }
    tier = arguments[1];
    published();
    given_keys(16);
    given_keys(32);
    packets(16);
    packets(32);
    batches();
    wraps();
    printf("%s: %u values compared\n", tier, compared);
    return 0;
}
