/* A tier: one way of computing AES blocks and GHASH. Everything above it is the same for all tiers.
 *
 * A prepared key is understood only by the tier that prepared it, so whoever keeps one keeps the tier's address too.
 */
#ifndef SM_TIER_H
#define SM_TIER_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

enum { SM_BLOCK = 16, SM_POWERS = 8, SM_FEW_POWERS = 4, SM_POWERS_MOST = 16, SM_STRIDE = 8 * SM_BLOCK };

/* Round keys as the tier likes them: plain (16 bytes a round) or bitsliced (64 bytes a round). */
typedef struct {
    alignas(64) uint8_t bytes[15 * 64];
    unsigned rounds;
} sm_aes_key;

/* H, and H^2 up to H^count, as the tier likes them. */
typedef struct {
    alignas(64) uint8_t bytes[(SM_FEW_POWERS + SM_POWERS_MOST + 4) * SM_BLOCK];
    unsigned count;
} sm_ghash_key;

/* What is encrypted or decrypted; in and out may be the same place. */
typedef struct {
    const uint8_t *iv; /* 12 bytes */
    const uint8_t *in;
    uint8_t *out;
    size_t length;
    size_t ready; /* bytes at the end that are to be taken from `out`, where they are, and not from `in` */
    int decrypting;
} sm_gcm_text;

struct sm_lanes;

typedef struct {
    const char *name;
    size_t schedule_bytes; /* bytes of sm_aes_key.bytes that hold secrets */
    /* key_length is 16 or 32. */
    void (*aes_expand)(sm_aes_key *key, const uint8_t *raw, size_t key_length);
    /* Turn an expanded key into one for aes_decrypt. */
    void (*aes_invert)(sm_aes_key *key);
    /* in and out may be the same place. */
    void (*aes_encrypt)(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks);
    void (*aes_decrypt)(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks);
    /* Counter mode from this counter block on (its last 32 bits count). in and out may be the same place. */
    void (*aes_ctr)(const sm_aes_key *key, const uint8_t counter[16], const uint8_t *in, uint8_t *out, size_t length);
    /* powers is 1, SM_FEW_POWERS or SM_POWERS, and `count` may become more. */
    void (*ghash_prepare)(sm_ghash_key *key, const uint8_t h[16], unsigned powers);
    /* state = GHASH continued over data, its last block padded with zeros. */
    void (*ghash_update)(const sm_ghash_key *key, uint8_t state[16], const uint8_t *data, size_t length);
    /* Counter mode from this counter block on and GHASH over what is ciphertext of it, for so many SM_STRIDE bytes; with
     * SM_POWERS powers. NULL: this tier does the one after the other. in and out may be the same place. */
    void (*gcm_strides)(const sm_aes_key *key, const sm_ghash_key *ghash, const uint8_t counter[16], uint8_t state[16],
                        const uint8_t *in, uint8_t *out, size_t strides, int decrypting);
    /* A whole message under a key with SM_POWERS_MOST powers; NULL: gcm.c puts it together. aad: the last block of what is only
     * authenticated, padded, or zeros where nothing is; aad_length: of all of that; state: GHASH of what comes before that
     * block, becomes the tag. */
    void (*gcm)(const sm_aes_key *key, const sm_ghash_key *ghash, const sm_gcm_text *text, const uint8_t aad[16],
                size_t aad_length, uint8_t state[16]);
    const struct sm_lanes *lanes; /* messages side by side (sm_lanes.h); NULL when this tier does one at a time */
} sm_tier;

extern const sm_tier sm_tier_portable;
extern const sm_tier sm_tier_aesni; /* these three are present on x86-64 only */
extern const sm_tier sm_tier_avx2;
extern const sm_tier sm_tier_vaes;
extern const sm_tier sm_tier_aarch64; /* and this one on AArch64 */

/* The tier new work is given to. */
const sm_tier *sm_tier_now(void);

/* The pieces the tables in dispatch.c are made of, each from a file of its own. */
void sm_portable_aes_expand(sm_aes_key *key, const uint8_t *raw, size_t key_length);
void sm_portable_aes_invert(sm_aes_key *key);
void sm_portable_aes_encrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks);
void sm_portable_aes_decrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks);
void sm_portable_aes_ctr(const sm_aes_key *key, const uint8_t counter[16], const uint8_t *in, uint8_t *out,
                         size_t length);
void sm_portable_ghash_prepare(sm_ghash_key *key, const uint8_t h[16], unsigned powers);
void sm_portable_ghash_update(const sm_ghash_key *key, uint8_t state[16], const uint8_t *data, size_t length);

void sm_aesni_aes_expand(sm_aes_key *key, const uint8_t *raw, size_t key_length);
void sm_aesni_aes_invert(sm_aes_key *key);
void sm_aesni_aes_encrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks);
void sm_aesni_aes_decrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks);
void sm_aesni_aes_ctr(const sm_aes_key *key, const uint8_t counter[16], const uint8_t *in, uint8_t *out, size_t length);
void sm_pclmul_ghash_prepare(sm_ghash_key *key, const uint8_t h[16], unsigned powers);
void sm_pclmul_ghash_update(const sm_ghash_key *key, uint8_t state[16], const uint8_t *data, size_t length);
void sm_aesni_gcm_strides(const sm_aes_key *key, const sm_ghash_key *ghash, const uint8_t counter[16],
                          uint8_t state[16], const uint8_t *in, uint8_t *out, size_t strides, int decrypting);
void sm_vaes_ghash_prepare(sm_ghash_key *key, const uint8_t h[16], unsigned powers);
void sm_vaes_gcm(const sm_aes_key *key, const sm_ghash_key *ghash, const sm_gcm_text *text, const uint8_t aad[16],
                 size_t aad_length, uint8_t state[16]);

void sm_aarch64_aes_expand(sm_aes_key *key, const uint8_t *raw, size_t key_length);
void sm_aarch64_aes_invert(sm_aes_key *key);
void sm_aarch64_aes_encrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks);
void sm_aarch64_aes_decrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks);
void sm_aarch64_aes_ctr(const sm_aes_key *key, const uint8_t counter[16], const uint8_t *in, uint8_t *out,
                        size_t length);
void sm_pmull_ghash_prepare(sm_ghash_key *key, const uint8_t h[16], unsigned powers);
void sm_pmull_ghash_update(const sm_ghash_key *key, uint8_t state[16], const uint8_t *data, size_t length);

#endif
