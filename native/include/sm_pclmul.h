/* What the files for PCLMULQDQ have in common: a 256-bit product in three parts, and its reduction.
 *
 * GHASH's bits run backwards. Byte-swapped, its product is the Montgomery-like product of POLYVAL (RFC 8452, appendix A:
 * a b x^-128) once H is multiplied by x, so no 256-bit shift is needed per block: four multiplications and two folds.
 */
#ifndef SM_PCLMUL_H
#define SM_PCLMUL_H

#include <immintrin.h>

#define SM_PCLMUL static inline __attribute__((always_inline, target("pclmul,sse4.1")))

typedef struct {
    __m128i low, middle, high;
} product;

SM_PCLMUL __m128i swapped(__m128i x)
{
    return _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* Schoolbook: a fourth multiplication is cheaper here than Karatsuba's shuffles, which use the same port. */
SM_PCLMUL void add_product(product *sum, __m128i a, __m128i b)
{
    sum->low = _mm_xor_si128(sum->low, _mm_clmulepi64_si128(a, b, 0x00));
    sum->high = _mm_xor_si128(sum->high, _mm_clmulepi64_si128(a, b, 0x11));
    sum->middle = _mm_xor_si128(sum->middle, _mm_clmulepi64_si128(a, b, 0x01));
    sum->middle = _mm_xor_si128(sum->middle, _mm_clmulepi64_si128(a, b, 0x10));
}

/* x^-128 of a 256-bit product: two folds by x^128 + x^127 + x^126 + x^121 + 1, 64 bits each. */
SM_PCLMUL __m128i reduced(const product *p)
{
    const __m128i fold = _mm_set_epi64x(0, (long long)0xC200000000000000ULL);
    __m128i low = _mm_xor_si128(p->low, _mm_slli_si128(p->middle, 8));
    const __m128i high = _mm_xor_si128(p->high, _mm_srli_si128(p->middle, 8));
    for (int i = 0; i < 2; i++)
        low = _mm_xor_si128(_mm_shuffle_epi32(low, 0x4E), _mm_clmulepi64_si128(low, fold, 0x00));
    return _mm_xor_si128(high, low);
}

#endif
