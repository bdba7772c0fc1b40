/* Long messages under one key: counter mode over eight blocks, and between its rounds the GHASH of eight.
 *
 * AES keeps one port busy and carry-less multiplication another, so together they take as long as the slower. What is
 * hashed is ciphertext: when opened it lies there, when sealed it is what the stride before has written. With H^1..H^8 eight
 * blocks share one reduction (sm_pclmul.h).
 */
#if defined(__x86_64__)

#include "sm_bytes.h"
#include "sm_pclmul.h"
#include "sm_tier.h"

#define X86 __attribute__((target("aes,pclmul,sse4.1")))
#define INLINE static inline __attribute__((always_inline)) X86
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { LANES = SM_STRIDE / SM_BLOCK };

/* Block i of eight, times its power of H. */
INLINE void hash(product *sum, const sm_ghash_key *key, __m128i y, const uint8_t *blocks, int i)
{
    __m128i block = swapped(_mm_loadu_si128((const __m128i *)blocks + i));
    if (i == 0)
        block = _mm_xor_si128(block, y);
    add_product(sum, block, _mm_load_si128((const __m128i *)key->bytes + LANES - 1 - i));
}

X86 void sm_aesni_gcm_strides(const sm_aes_key *key, const sm_ghash_key *ghash, const uint8_t counter[16],
                              uint8_t state[16], const uint8_t *in, uint8_t *out, size_t strides, int decrypting)
{
    const __m128i *keys = (const __m128i *)key->bytes, base = _mm_loadu_si128((const __m128i *)counter);
    const __m128i zero = _mm_setzero_si128();
    uint32_t number = sm_be32(counter + 12);
    __m128i y = swapped(_mm_loadu_si128((const __m128i *)state)), lane[LANES];
    const uint8_t *ready = decrypting ? in : NULL;
    for (; strides > 0; strides--, in += SM_STRIDE, out += SM_STRIDE) {
        product sum = {zero, zero, zero};
        UNROLL
        for (int i = 0; i < LANES; i++)
            lane[i] = _mm_xor_si128(_mm_insert_epi32(base, (int)__builtin_bswap32(number++), 3), keys[0]);
        for (int round = 1; round <= LANES; round++) {
            UNROLL
            for (int i = 0; i < LANES; i++)
                lane[i] = _mm_aesenc_si128(lane[i], keys[round]);
            if (ready != NULL)
                hash(&sum, ghash, y, ready, round - 1);
        }
        for (unsigned round = LANES + 1; round < key->rounds; round++) {
            UNROLL
            for (int i = 0; i < LANES; i++)
                lane[i] = _mm_aesenc_si128(lane[i], keys[round]);
        }
        if (ready != NULL)
            y = reduced(&sum);
        UNROLL
        for (int i = 0; i < LANES; i++) {
            lane[i] = _mm_aesenclast_si128(lane[i], keys[key->rounds]);
            lane[i] = _mm_xor_si128(lane[i], _mm_loadu_si128((const __m128i *)in + i));
            _mm_storeu_si128((__m128i *)out + i, lane[i]);
        }
        ready = decrypting ? in + SM_STRIDE : out;
    }
    if (!decrypting && ready != NULL) {
        product sum = {zero, zero, zero};
        for (int i = 0; i < LANES; i++)
            hash(&sum, ghash, y, ready, i);
        y = reduced(&sum);
    }
    _mm_storeu_si128((__m128i *)state, swapped(y));
}

#else
typedef int sm_stride_aesni_is_for_x86_64;
#endif
