/* For MemorySanitizer, included before all else: two instructions it does not know, and would report whenever a secret
 * comes near, said in terms it does know. A function of three bits is put together from its table; a test for nought
 * gives a verdict only (sm_verdict takes it up at once), so what goes into it may be looked at. And the marks on
 * secrets, in its words. */
#ifndef KNOWN_TO_MSAN_H
#define KNOWN_TO_MSAN_H

#include <immintrin.h>
#include <sanitizer/msan_interface.h>

#define SM_MARK(bytes, length) __msan_poison(bytes, length)
#define SM_UNMARK(bytes, length) __msan_unpoison(bytes, length)
#define SM_IS_MARKED(byte) (__msan_test_shadow(byte, 1) == 0)

#undef _mm512_ternarylogic_epi64
#define _mm512_ternarylogic_epi64(a, b, c, table)                                                                      \
    ({                                                                                                                 \
        const __m512i ones = _mm512_set1_epi64(-1), in[3] = {c, b, a};                                                 \
        __m512i sum = _mm512_setzero_si512();                                                                          \
        for (int row = 0; row < 8; row++) {                                                                            \
            __m512i product = ones;                                                                                    \
            for (int bit = 0; bit < 3; bit++)                                                                          \
                product = _mm512_and_si512(product, row >> bit & 1 ? in[bit] : _mm512_xor_si512(in[bit], ones));       \
            if ((table) >> row & 1)                                                                                    \
                sum = _mm512_or_si512(sum, product);                                                                   \
        }                                                                                                              \
        sum;                                                                                                           \
    })

#define _mm_testz_si128(a, b)                                                                                          \
    ({                                                                                                                 \
        __m128i looked_at = _mm_and_si128(a, b);                                                                       \
        __msan_unpoison(&looked_at, sizeof looked_at);                                                                 \
        (int)(_mm_cvtsi128_si64(looked_at) == 0 && _mm_cvtsi128_si64(_mm_unpackhi_epi64(looked_at, looked_at)) == 0);  \
    })

#endif
