/* GHASH with integer multiplication, in constant time and without tables.
 *
 * Integer products carry; GF(2) products must not. Operands are cut into four combs of every fourth bit. In the product
 * of two combs every place is four bits wide and receives at most fifteen ones, which cannot reach the next place;
 * only the topmost may receive sixteen, and its carry falls off the word. The lowest bit of a place is the answer. The
 * upper half of a product is the lower half of the reversed operands' product, reversed. The multiplier must not take a
 * time that depends on its operands; those of x86-64 and AArch64 do not. NIST SP 800-38D 6.4.
 */
#include <string.h>

#include "sm_bytes.h"
#include "sm_tier.h"

#define COMB 0x1111111111111111ULL

/* Lower 64 bits of the carry-less product. */
static uint64_t low_product(uint64_t a, uint64_t b)
{
    uint64_t result = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t sum = 0;
        for (unsigned j = 0; j < 4; j++)
            sum ^= (a & COMB << j) * (b & COMB << ((i - j) & 3));
        result |= sum & COMB << i;
    }
    return result;
}

static uint64_t reversed(uint64_t x)
{
    x = (x & 0x5555555555555555ULL) << 1 | (x >> 1 & 0x5555555555555555ULL);
    x = (x & 0x3333333333333333ULL) << 2 | (x >> 2 & 0x3333333333333333ULL);
    x = (x & 0x0F0F0F0F0F0F0F0FULL) << 4 | (x >> 4 & 0x0F0F0F0F0F0F0F0FULL);
    x = (x & 0x00FF00FF00FF00FFULL) << 8 | (x >> 8 & 0x00FF00FF00FF00FFULL);
    x = (x & 0x0000FFFF0000FFFFULL) << 16 | (x >> 16 & 0x0000FFFF0000FFFFULL);
    return x << 32 | x >> 32;
}

typedef struct {
    uint64_t high, low; /* the block's first and last eight bytes */
} element;

typedef struct {
    uint64_t low, high;
} wide;

static wide full_product(uint64_t a, uint64_t b)
{
    return (wide){low_product(a, b), reversed(low_product(reversed(a), reversed(b))) >> 1};
}

static element times(element a, element b)
{
    wide low = full_product(a.low, b.low);
    wide high = full_product(a.high, b.high);
    wide middle = full_product(a.low ^ a.high, b.low ^ b.high);
    middle.low ^= low.low ^ high.low;
    middle.high ^= low.high ^ high.high;
    /* 256 bits, one to the left: coefficient i of the product then stands at bit 255 - i */
    uint64_t v0 = low.low, v1 = low.high ^ middle.low, v2 = high.low ^ middle.high, v3 = high.high;
    v3 = v3 << 1 | v2 >> 63;
    v2 = v2 << 1 | v1 >> 63;
    v1 = v1 << 1 | v0 >> 63;
    v0 = v0 << 1;
    /* x^128 = 1 + x + x^2 + x^7: fold the lowest word into the next two, then the second into the upper half */
    v2 ^= v0 ^ v0 >> 1 ^ v0 >> 2 ^ v0 >> 7;
    v1 ^= v0 << 63 ^ v0 << 62 ^ v0 << 57;
    v3 ^= v1 ^ v1 >> 1 ^ v1 >> 2 ^ v1 >> 7;
    v2 ^= v1 << 63 ^ v1 << 62 ^ v1 << 57;
    return (element){v3, v2};
}

void sm_portable_ghash_prepare(sm_ghash_key *key, const uint8_t h[16], unsigned powers)
{
    (void)powers; /* more powers save nothing here */
    memcpy(key->bytes, h, SM_BLOCK);
    key->count = 1;
}

void sm_portable_ghash_update(const sm_ghash_key *key, uint8_t state[16], const uint8_t *data, size_t length)
{
    const element h = {sm_be64(key->bytes), sm_be64(key->bytes + 8)};
    element y = {sm_be64(state), sm_be64(state + 8)};
    uint8_t last[SM_BLOCK] = {0};
    while (length > 0) {
        const uint8_t *block = data;
        size_t now = SM_BLOCK;
        if (length < SM_BLOCK) {
            memcpy(last, data, length);
            block = last;
            now = length;
        }
        y.high ^= sm_be64(block);
        y.low ^= sm_be64(block + 8);
        y = times(y, h);
        data += now;
        length -= now;
    }
    sm_put_be64(state, y.high);
    sm_put_be64(state + 8, y.low);
}
