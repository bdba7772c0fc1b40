/* What the files for AVX-512 with VAES and VPCLMULQDQ have in common: four blocks, side by side in one vector. */
#ifndef SM_VAES_H
#define SM_VAES_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define TIER __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmul")))
#define INLINE static inline __attribute__((always_inline)) TIER
#define SHARED static __attribute__((noinline)) TIER /* by two calls: a copy each would cost more than it saves */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef __m512i four;

/* The same block four times. */
INLINE four all_four(__m128i block)
{
    return _mm512_broadcast_i32x4(block);
}

INLINE four swapped(four x)
{
    return _mm512_shuffle_epi8(x, all_four(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

INLINE four xor3(four a, four b, four c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

/* Halves of blocks exchanged. */
INLINE four turned(four x)
{
    return _mm512_shuffle_epi32(x, (_MM_PERM_ENUM)0x4E);
}

/* The lower half of each block times what x^-64 is above it: with turned(x) it makes x times x^-64 (ghash_pclmul.c). */
INLINE four fold_of(four x)
{
    return _mm512_clmulepi64_epi128(x, all_four(_mm_set_epi64x(0, (long long)0xC200000000000000ULL)), 0x00);
}

#endif
