/* Long messages under one key where AES and carry-less multiplication take four blocks at once: stride_aesni.c, in half
 * a vector register a block. Nothing is interleaved by hand: the strides' AES does not wait for their GHASH. */
#if defined(__x86_64__)

#include <immintrin.h>

#include "sm_bytes.h"
#include "sm_tier.h"

#define X86 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmul")))
#define INLINE static inline __attribute__((always_inline)) X86

enum { QUADS = SM_STRIDE / 64 };

INLINE __m512i swapped(__m512i x)
{
    return _mm512_shuffle_epi8(
        x, _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

INLINE __m512i on_all(const uint8_t *block)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)block));
}

INLINE __m128i folded(__m512i x)
{
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* Eight blocks on: y times H^8, plus the first times H^8, ..., plus the last times H. */
INLINE __m128i hash(__m128i y, const __m512i block[QUADS], const __m512i power[QUADS])
{
    const __m128i fold = _mm_set_epi64x(0, (long long)0xC200000000000000ULL);
    const __m512i a = _mm512_xor_si512(swapped(block[0]), _mm512_zextsi128_si512(y)), b = swapped(block[1]);
    const __m128i low = folded(
        _mm512_xor_si512(_mm512_clmulepi64_epi128(a, power[0], 0x00), _mm512_clmulepi64_epi128(b, power[1], 0x00)));
    const __m128i high = folded(
        _mm512_xor_si512(_mm512_clmulepi64_epi128(a, power[0], 0x11), _mm512_clmulepi64_epi128(b, power[1], 0x11)));
    const __m512i cross = _mm512_ternarylogic_epi64(
        _mm512_clmulepi64_epi128(a, power[0], 0x01), _mm512_clmulepi64_epi128(a, power[0], 0x10),
        _mm512_xor_si512(_mm512_clmulepi64_epi128(b, power[1], 0x01), _mm512_clmulepi64_epi128(b, power[1], 0x10)),
        0x96);
    __m128i middle = _mm_xor_si128(folded(cross), _mm_shuffle_epi32(low, 0x4E));
    middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(low, fold, 0x00));
    return _mm_xor_si128(high,
                         _mm_xor_si128(_mm_shuffle_epi32(middle, 0x4E), _mm_clmulepi64_si128(middle, fold, 0x00)));
}

X86 void sm_vaes_gcm_strides(const sm_aes_key *key, const sm_ghash_key *ghash, const uint8_t counter[16],
                             uint8_t state[16], const uint8_t *in, uint8_t *out, size_t strides, int decrypting)
{
    /* The block counter is big-endian: it is counted byte-swapped. */
    const __m128i start = _mm_loadu_si128((const __m128i *)counter), order = _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i turned = _mm512_broadcast_i32x4(order), four = _mm512_maskz_set1_epi32(0x8888, 4);
    const __m512i ahead = _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    __m512i number = _mm512_add_epi32(_mm512_shuffle_epi8(_mm512_broadcast_i32x4(start), turned), ahead);
    __m512i power[QUADS];
    __m128i y = _mm512_castsi512_si128(swapped(_mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)state))));
    for (int q = 0; q < QUADS; q++) { /* H^8 first */
        const __m512i rising = _mm512_loadu_si512(ghash->bytes + 64 * (QUADS - 1 - q));
        power[q] = _mm512_shuffle_i64x2(rising, rising, 0x1B);
    }
    const unsigned rounds = key->rounds;
    for (; strides > 0; strides--, in += SM_STRIDE, out += SM_STRIDE) {
        __m512i a = _mm512_shuffle_epi8(number, turned), b;
        number = _mm512_add_epi32(number, four);
        b = _mm512_shuffle_epi8(number, turned);
        number = _mm512_add_epi32(number, four);
        a = _mm512_xor_si512(a, on_all(key->bytes));
        b = _mm512_xor_si512(b, on_all(key->bytes));
        for (unsigned round = 1; round < rounds; round++) {
            const __m512i k = on_all(key->bytes + SM_BLOCK * round);
            a = _mm512_aesenc_epi128(a, k);
            b = _mm512_aesenc_epi128(b, k);
        }
        const __m512i last = on_all(key->bytes + SM_BLOCK * rounds);
        const __m512i came[QUADS] = {_mm512_loadu_si512(in), _mm512_loadu_si512(in + 64)};
        const __m512i other[QUADS] = {_mm512_xor_si512(_mm512_aesenclast_epi128(a, last), came[0]),
                                      _mm512_xor_si512(_mm512_aesenclast_epi128(b, last), came[1])};
        _mm512_storeu_si512(out, other[0]);
        _mm512_storeu_si512(out + 64, other[1]);
        y = hash(y, decrypting ? came : other, power);
    }
    _mm_storeu_si128((__m128i *)state, _mm512_castsi512_si128(swapped(_mm512_castsi128_si512(y))));
}

#else
typedef int sm_stride_vaes_is_for_x86_64;
#endif
