/* GHASH with carry-less multiplication (sm_pclmul.h).
 *
 * With H^2..H^4 at hand four blocks share one reduction. NIST SP 800-38D 6.4.
 */
#if defined(__x86_64__)

#include <string.h>

#include "sm_pclmul.h"
#include "sm_tier.h"

#define X86 __attribute__((target("pclmul,sse4.1")))
#define INLINE static inline __attribute__((always_inline)) X86

INLINE __m128i times(__m128i a, __m128i b)
{
    product p = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    add_product(&p, a, b);
    return reduced(&p);
}

X86 void sm_pclmul_ghash_prepare(sm_ghash_key *key, const uint8_t h[16], unsigned powers)
{
    __m128i *out = (__m128i *)key->bytes;
    __m128i x = swapped(_mm_loadu_si128((const __m128i *)h));
    /* x <<= 1; if a bit fell out, fold it back in */
    __m128i carry = _mm_srli_epi64(x, 63);
    __m128i fell = _mm_sub_epi32(_mm_setzero_si128(), _mm_shuffle_epi32(carry, 0xAA));
    x = _mm_or_si128(_mm_slli_epi64(x, 1), _mm_slli_si128(carry, 8));
    x = _mm_xor_si128(x, _mm_and_si128(fell, _mm_set_epi64x((long long)0xC200000000000000ULL, 1)));
    _mm_store_si128(out, x);
    key->count = powers;
    for (unsigned i = 1; i < powers; i++)
        _mm_store_si128(out + i, times(out[i - 1], x));
}

X86 void sm_pclmul_ghash_update(const sm_ghash_key *key, uint8_t state[16], const uint8_t *data, size_t length)
{
    const __m128i *power = (const __m128i *)key->bytes;
    __m128i y = swapped(_mm_loadu_si128((const __m128i *)state));
    const __m128i *block = (const __m128i *)data;
    if (key->count >= SM_FEW_POWERS) {
        for (; length >= 4 * SM_BLOCK; length -= 4 * SM_BLOCK, block += 4) {
            product p = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
            add_product(&p, _mm_xor_si128(y, swapped(_mm_loadu_si128(block))), power[3]);
            add_product(&p, swapped(_mm_loadu_si128(block + 1)), power[2]);
            add_product(&p, swapped(_mm_loadu_si128(block + 2)), power[1]);
            add_product(&p, swapped(_mm_loadu_si128(block + 3)), power[0]);
            y = reduced(&p);
        }
    }
    for (; length >= SM_BLOCK; length -= SM_BLOCK, block++)
        y = times(_mm_xor_si128(y, swapped(_mm_loadu_si128(block))), power[0]);
    if (length > 0) {
        uint8_t last[SM_BLOCK] = {0};
        memcpy(last, block, length);
        y = times(_mm_xor_si128(y, swapped(_mm_loadu_si128((const __m128i *)last))), power[0]);
    }
    _mm_storeu_si128((__m128i *)state, swapped(y));
}

#else
typedef int sm_ghash_pclmul_is_for_x86_64;
#endif
