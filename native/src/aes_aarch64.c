/* AES with the instructions made for it: AArch64 with the cryptographic extension, up to eight blocks side by side.
 *
 * AESE adds the round key before SubBytes and ShiftRows where x86 adds it after them, so the last key but one goes into the
 * last AESE and the last is added by hand. The key schedule takes SubWord from AESE with a key of nought: with the same
 * word in all four columns ShiftRows changes nothing. FIPS 197.
 */
#include "sm_aarch64.h"

#if defined(SM_AARCH64)

#include <string.h>

#include "sm_schedule.h"
#include "sm_tier.h"

enum { LANES = 8 };

INLINE uint8x16_t round_key(const sm_aes_key *key, unsigned round)
{
    return vld1q_u8(key->bytes + SM_BLOCK * round);
}

static ARM uint32_t sub_word(uint32_t word)
{
    return vgetq_lane_u32(vreinterpretq_u32_u8(vaeseq_u8(vreinterpretq_u8_u32(vdupq_n_u32(word)), vdupq_n_u8(0))), 0);
}

ARM void sm_aarch64_aes_expand(sm_aes_key *key, const uint8_t *raw, size_t key_length)
{
    uint32_t words[SM_SCHEDULE_WORDS];
    key->rounds = sm_schedule(words, raw, key_length, sub_word);
    memcpy(key->bytes, words, SM_BLOCK * (key->rounds + 1)); /* little-endian, as AArch64 is run */
    sm_wipe(words, sizeof words);
}

ARM void sm_aarch64_aes_invert(sm_aes_key *key)
{
    for (unsigned low = 0, high = key->rounds; low < high; low++, high--) {
        const uint8x16_t a = round_key(key, low), b = round_key(key, high);
        vst1q_u8(key->bytes + SM_BLOCK * low, b);
        vst1q_u8(key->bytes + SM_BLOCK * high, a);
    }
    for (unsigned i = 1; i < key->rounds; i++)
        vst1q_u8(key->bytes + SM_BLOCK * i, vaesimcq_u8(round_key(key, i)));
}

/* All rounds over n blocks, n known when this is inlined. */
INLINE void encrypt_lanes(const sm_aes_key *key, uint8x16_t *lane, int n)
{
    for (unsigned round = 0; round + 1 < key->rounds; round++) {
        const uint8x16_t k = round_key(key, round);
        UNROLL
        for (int i = 0; i < n; i++)
            lane[i] = vaesmcq_u8(vaeseq_u8(lane[i], k));
    }
    const uint8x16_t before = round_key(key, key->rounds - 1), last = round_key(key, key->rounds);
    UNROLL
    for (int i = 0; i < n; i++)
        lane[i] = veorq_u8(vaeseq_u8(lane[i], before), last);
}

ARM void sm_aarch64_aes_encrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    uint8x16_t lane[LANES];
    for (; blocks >= LANES; blocks -= LANES, in += sizeof lane, out += sizeof lane) {
        UNROLL
        for (int i = 0; i < LANES; i++)
            lane[i] = vld1q_u8(in + SM_BLOCK * i);
        encrypt_lanes(key, lane, LANES);
        UNROLL
        for (int i = 0; i < LANES; i++)
            vst1q_u8(out + SM_BLOCK * i, lane[i]);
    }
    for (; blocks > 0; blocks--, in += SM_BLOCK, out += SM_BLOCK) {
        uint8x16_t one = vld1q_u8(in);
        encrypt_lanes(key, &one, 1);
        vst1q_u8(out, one);
    }
}

ARM void sm_aarch64_aes_decrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    for (; blocks > 0; blocks--, in += SM_BLOCK, out += SM_BLOCK) {
        uint8x16_t lane = vld1q_u8(in);
        for (unsigned round = 0; round + 1 < key->rounds; round++)
            lane = vaesimcq_u8(vaesdq_u8(lane, round_key(key, round)));
        lane = veorq_u8(vaesdq_u8(lane, round_key(key, key->rounds - 1)), round_key(key, key->rounds));
        vst1q_u8(out, lane);
    }
}

ARM void sm_aarch64_aes_ctr(const sm_aes_key *key, const uint8_t counter[16], const uint8_t *in, uint8_t *out,
                            size_t length)
{
    const uint32x4_t base = vreinterpretq_u32_u8(vld1q_u8(counter));
    uint32_t number = sm_be32(counter + 12);
    uint8x16_t lane[LANES];
    while (length > 0) {
        UNROLL
        for (int i = 0; i < LANES; i++)
            lane[i] = vreinterpretq_u8_u32(vsetq_lane_u32(__builtin_bswap32(number++), base, 3));
        encrypt_lanes(key, lane, LANES);
        if (length < sizeof lane) {
            uint8_t pad[sizeof lane];
            UNROLL
            for (int i = 0; i < LANES; i++)
                vst1q_u8(pad + SM_BLOCK * i, lane[i]);
            sm_xor(out, in, pad, length);
            sm_wipe(pad, sizeof pad);
            return;
        }
        UNROLL
        for (int i = 0; i < LANES; i++)
            vst1q_u8(out + SM_BLOCK * i, veorq_u8(vld1q_u8(in + SM_BLOCK * i), lane[i]));
        in += sizeof lane;
        out += sizeof lane;
        length -= sizeof lane;
    }
}

#else
typedef int sm_aes_aarch64_is_for_aarch64;
#endif
