/* GHASH with AArch64's carry-less multiplication: ghash_pclmul.c, which explains it, in other words. */
#include "sm_aarch64.h"

#if defined(SM_AARCH64)

#include <string.h>

#include "sm_tier.h"

#define FOLD 0xC200000000000000ULL

typedef struct {
    uint64x2_t low, middle, high;
} product;

INLINE uint64x2_t load_swapped(const uint8_t *p)
{
    const uint8x16_t halves = vrev64q_u8(vld1q_u8(p));
    return vreinterpretq_u64_u8(vextq_u8(halves, halves, 8));
}

INLINE uint64x2_t times_half(uint64_t a, uint64_t b)
{
    return vreinterpretq_u64_p128(vmull_p64((poly64_t)a, (poly64_t)b));
}

INLINE void add_product(product *sum, uint64x2_t a, uint64x2_t b)
{
    const uint64_t a0 = vgetq_lane_u64(a, 0), a1 = vgetq_lane_u64(a, 1);
    const uint64_t b0 = vgetq_lane_u64(b, 0), b1 = vgetq_lane_u64(b, 1);
    sum->low = veorq_u64(sum->low, times_half(a0, b0));
    sum->high = veorq_u64(sum->high, times_half(a1, b1));
    sum->middle = veorq_u64(sum->middle, veorq_u64(times_half(a0, b1), times_half(a1, b0)));
}

INLINE uint64x2_t reduced(const product *p)
{
    const uint64x2_t zero = vdupq_n_u64(0);
    uint64x2_t low = veorq_u64(p->low, vextq_u64(zero, p->middle, 1));
    const uint64x2_t high = veorq_u64(p->high, vextq_u64(p->middle, zero, 1));
    for (int i = 0; i < 2; i++)
        low = veorq_u64(vextq_u64(low, low, 1), times_half(vgetq_lane_u64(low, 0), FOLD));
    return veorq_u64(high, low);
}

INLINE uint64x2_t times(uint64x2_t a, uint64x2_t b)
{
    product p = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
    add_product(&p, a, b);
    return reduced(&p);
}

INLINE uint64x2_t power_of(const sm_ghash_key *key, unsigned n)
{
    return vreinterpretq_u64_u8(vld1q_u8(key->bytes + SM_BLOCK * (n - 1)));
}

ARM void sm_pmull_ghash_prepare(sm_ghash_key *key, const uint8_t h[16], unsigned powers)
{
    uint64x2_t x = load_swapped(h);
    const uint64_t low = vgetq_lane_u64(x, 0), high = vgetq_lane_u64(x, 1), fell = 0 - (high >> 63);
    x = vsetq_lane_u64(low << 1 ^ (fell & 1), x, 0);
    x = vsetq_lane_u64((high << 1 | low >> 63) ^ (fell & FOLD), x, 1);
    uint64x2_t power = x;
    key->count = powers;
    for (unsigned n = 1;; n++) {
        vst1q_u8(key->bytes + SM_BLOCK * (n - 1), vreinterpretq_u8_u64(power));
        if (n == powers)
            break;
        power = times(power, x);
    }
}

ARM void sm_pmull_ghash_update(const sm_ghash_key *key, uint8_t state[16], const uint8_t *data, size_t length)
{
    uint64x2_t y = load_swapped(state);
    const uint64x2_t h = power_of(key, 1);
    if (key->count >= SM_FEW_POWERS) {
        for (; length >= 4 * SM_BLOCK; length -= 4 * SM_BLOCK, data += 4 * SM_BLOCK) {
            product p = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
            add_product(&p, veorq_u64(y, load_swapped(data)), power_of(key, 4));
            for (unsigned n = 3; n > 0; n--)
                add_product(&p, load_swapped(data + SM_BLOCK * (4 - n)), power_of(key, n));
            y = reduced(&p);
        }
    }
    for (; length >= SM_BLOCK; length -= SM_BLOCK, data += SM_BLOCK)
        y = times(veorq_u64(y, load_swapped(data)), h);
    if (length > 0) {
        uint8_t last[SM_BLOCK] = {0};
        memcpy(last, data, length);
        y = times(veorq_u64(y, load_swapped(last)), h);
    }
    const uint8x16_t halves = vrev64q_u8(vreinterpretq_u8_u64(y));
    vst1q_u8(state, vextq_u8(halves, halves, 8));
}

#else
typedef int sm_ghash_pmull_is_for_aarch64;
#endif
