/* Every tier against the reference: AES-GCM with given keys, key wrap, and a DLMS message in every lane of a batch.
 *
 * The first bytes choose sizes; keys, IV, AAD and text are what follows. Each answer must be the reference's, must open
 * again, and with one bit changed must not.
 */
#include "check.h"
#include "reference.h"

enum { AAD = 100, TEXT = 700, LANES = 8 };

typedef struct {
    uint8_t key[32], iv[12], ak[16], aad[AAD];
    size_t key_length, aad_length, length, tag_length;
    uint32_t change;
} given;

static void seal_and_open(const given *g, const uint8_t *text)
{
    const size_t size = g->length + g->tag_length;
    uint8_t *wanted = block(g->length + 16, 0), *sealed = block(size, 0), *opened = block(g->length, 0);
    uint8_t *aad = copy(g->aad, g->aad_length);
    reference_gcm(g->key, g->key_length, g->iv, aad, g->aad_length, text, g->length, wanted);
    CHECK(sm_gcm_seal(g->key, g->key_length, g->iv, aad, g->aad_length, text, g->length, sealed, g->tag_length) == SM_OK);
    CHECK(memcmp(sealed, wanted, size) == 0);
    CHECK(sm_gcm_open(g->key, g->key_length, g->iv, aad, g->aad_length, sealed, size, opened, g->tag_length) == SM_OK);
    CHECK(g->length == 0 || memcmp(opened, text, g->length) == 0);
    sealed[g->change / 8 % size] ^= (uint8_t)(1 << g->change % 8);
    CHECK(sm_gcm_open(g->key, g->key_length, g->iv, aad, g->aad_length, sealed, size, opened, g->tag_length) == -SM_TAG);
    CHECK(all_are(opened, g->length, 0));
    sealed[g->change / 8 % size] ^= (uint8_t)(1 << g->change % 8); /* and in its own place */
    CHECK(sm_gcm_open(g->key, g->key_length, g->iv, aad, g->aad_length, sealed, size, sealed, g->tag_length) == SM_OK);
    CHECK(g->length == 0 || memcmp(sealed, text, g->length) == 0);
    free(wanted);
    free(sealed);
    free(opened);
    free(aad);
}

static void wrap_and_unwrap(const given *g, const uint8_t *text)
{
    const size_t length = 16 + g->aad_length % 7 * 8;
    uint8_t wanted[72], wrapped[72], key[64], back[64];
    for (size_t i = 0; i < length; i++)
        key[i] = (uint8_t)(g->aad[i] + (g->length ? text[i % g->length] : 0));
    reference_wrap(g->key, g->key_length, key, length, wanted);
    CHECK(sm_key_wrap(g->key, g->key_length, key, length, wrapped) == SM_OK);
    CHECK(memcmp(wrapped, wanted, length + 8) == 0);
    CHECK(sm_key_unwrap(g->key, g->key_length, wrapped, length + 8, back) == SM_OK);
    CHECK(memcmp(back, key, length) == 0);
    wrapped[g->change / 8 % (length + 8)] ^= (uint8_t)(1 << g->change % 8);
    CHECK(sm_key_unwrap(g->key, g->key_length, wrapped, length + 8, back) == -SM_TAG);
    CHECK(all_are(back, length, 0));
}

/* Eight messages under eight keys: the same bytes, a little shorter each time, keys turned by one bit. */
static void in_lanes(const given *g, const uint8_t *text)
{
    uint32_t index[LANES], length[LANES], counter[LANES], size[LANES];
    uint8_t control[LANES], status[LANES], out[LANES * (TEXT + 32)], again[LANES * (TEXT + 32)], in[LANES * TEXT];
    uint8_t whole[LANES * (TEXT + 12)], sealed[TEXT + 16], ek[16], ak[16], aad[17];
    sm_store *ours = sm_store_new(LANES), *theirs = sm_store_new(LANES);
    CHECK(ours != NULL && theirs != NULL);
    size_t in_size = 0, out_size = 0, whole_size = 0, at = 0;
    uint32_t tx = (uint32_t)g->iv[8] << 24 | (uint32_t)g->iv[9] << 16 | (uint32_t)g->iv[10] << 8 | g->iv[11];
    tx -= tx == 0xFFFFFFFF;
    for (uint32_t n = 0; n < LANES; n++) {
        memcpy(ek, g->key, 16);
        memcpy(ak, g->ak, 16);
        ek[n] ^= 1;
        ak[n] ^= 0x80;
        CHECK(sm_context_load(ours, n, ek, ak, g->iv, g->iv, tx, 0, NULL) == SM_OK);
        CHECK(sm_context_load(theirs, n, ek, ak, g->iv, g->iv, 0, tx, NULL) == SM_OK);
        index[n] = n;
        control[n] = 0x30;
        length[n] = (uint32_t)(g->length - g->length * n / 16);
        memcpy(in + in_size, text, length[n]);
        in_size += length[n];
        out_size += (length[n] + 15) / 16 * 16 + 16;
    }
    CHECK(sm_seal_batch(ours, LANES, index, control, in, in_size, NULL, length, out, out_size, NULL, counter, status) ==
          LANES);
    for (uint32_t n = 0; n < LANES; n++) {
        uint8_t iv[12];
        memcpy(ek, g->key, 16);
        memcpy(aad + 1, g->ak, 16);
        ek[n] ^= 1;
        aad[0] = 0x30;
        aad[1 + n] ^= 0x80;
        memcpy(iv, g->iv, 8);
        for (int i = 0; i < 4; i++)
            iv[8 + i] = (uint8_t)(tx >> (24 - 8 * i));
        reference_gcm(ek, 16, iv, aad, sizeof aad, text, length[n], sealed);
        CHECK(memcmp(out + at, sealed, length[n] + 12) == 0);
        CHECK(counter[n] == tx);
        memcpy(whole + whole_size, sealed, length[n] + 12);
        at += (length[n] + 15) / 16 * 16 + 16;
        size[n] = length[n] + 12;
        whole_size += size[n];
    }
    const uint32_t victim = g->change % LANES;
    size_t start = 0;
    for (uint32_t n = 0; n < victim; n++)
        start += size[n];
    whole[start + g->change / 8 % size[victim]] ^= (uint8_t)(1 << g->change % 8);
    CHECK(sm_open_batch(theirs, LANES, index, control, whole, whole_size, NULL, size, again, sizeof again, NULL, counter,
                        status) == LANES - 1);
    for (uint32_t n = 0, slots = 0; n < LANES; n++) {
        CHECK(status[n] == (n == victim ? SM_TAG : SM_OK));
        CHECK(n == victim ? all_are(again + slots, (size[n] + 15) / 16 * 16 + 16, 0)
                          : memcmp(again + slots, text, length[n]) == 0);
        slots += (size[n] + 15) / 16 * 16 + 16;
    }
    sm_store_free(ours);
    sm_store_free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes b = {data, size};
    given g;
    const uint32_t kind = next(&b);
    g.key_length = kind & 1 ? 32 : 16;
    g.tag_length = kind & 2 ? 12 : 16;
    g.aad_length = next(&b) % (AAD + 1);
    g.length = next16(&b) % (TEXT + 1);
    g.change = next16(&b);
    fill(&b, g.key, sizeof g.key);
    fill(&b, g.iv, sizeof g.iv);
    fill(&b, g.ak, sizeof g.ak);
    fill(&b, g.aad, sizeof g.aad);
    uint8_t *text = block(g.length, 0);
    fill(&b, text, g.length);
    choose_tier(kind >> 2);
    seal_and_open(&g, text);
    wrap_and_unwrap(&g, text);
    in_lanes(&g, text);
    free(text);
    return 0;
}
