#include "reference.h"

#include <string.h>

static uint8_t sbox[256], doubled[256];

static uint8_t times(uint8_t a, uint8_t b) /* FIPS 197 4.2 */
{
    uint8_t product = 0;
    for (; b; b >>= 1) {
        if (b & 1)
            product ^= a;
        a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1B : 0));
    }
    return product;
}

static void make_sbox(void) /* FIPS 197 5.1.1: the inverse, then the affine map */
{
    for (int a = 0; a < 256; a++) {
        uint8_t inverse = 0;
        for (int b = 1; b < 256 && !inverse; b++)
            if (times((uint8_t)a, (uint8_t)b) == 1)
                inverse = (uint8_t)b;
        uint8_t mapped = 0x63;
        for (int turn = 0; turn < 5; turn++)
            mapped ^= (uint8_t)(inverse << turn | inverse >> (8 - turn));
        sbox[a] = mapped;
        doubled[a] = times((uint8_t)a, 2);
    }
}

typedef struct {
    uint8_t round[15][16];
    int rounds;
} schedule;

static void expand(schedule *s, const uint8_t *key, size_t key_length) /* FIPS 197 5.2 */
{
    const int words = (int)key_length / 4;
    uint8_t *w = s->round[0], constant = 1;
    if (!sbox[0])
        make_sbox();
    s->rounds = words + 6;
    memcpy(w, key, key_length);
    for (int i = words; i < 4 * (s->rounds + 1); i++) {
        uint8_t t[4];
        memcpy(t, w + 4 * (i - 1), 4);
        if (i % words == 0) {
            const uint8_t first = t[0];
            for (int k = 0; k < 3; k++)
                t[k] = sbox[t[k + 1]];
            t[3] = sbox[first];
            t[0] ^= constant;
            constant = times(constant, 2);
        } else if (words > 6 && i % words == 4) {
            for (int k = 0; k < 4; k++)
                t[k] = sbox[t[k]];
        }
        for (int k = 0; k < 4; k++)
            w[4 * i + k] = w[4 * (i - words) + k] ^ t[k];
    }
}

static void encrypt(const schedule *s, const uint8_t in[16], uint8_t out[16]) /* FIPS 197 5.1 */
{
    uint8_t state[16], moved[16];
    for (int i = 0; i < 16; i++)
        state[i] = in[i] ^ s->round[0][i];
    for (int round = 1; round <= s->rounds; round++) {
        for (int i = 0; i < 16; i++)
            moved[i] = sbox[state[(i + 4 * (i % 4)) % 16]];
        for (int i = 0; i < 16; i++) {
            const uint8_t *column = moved + i / 4 * 4;
            const uint8_t one = column[i % 4], two = column[(i + 1) % 4];
            const uint8_t mixed = doubled[one] ^ doubled[two] ^ two ^ column[(i + 2) % 4] ^ column[(i + 3) % 4];
            state[i] = (round < s->rounds ? mixed : moved[i]) ^ s->round[round][i];
        }
    }
    memcpy(out, state, 16);
}

static uint64_t word(const uint8_t *p)
{
    uint64_t w = 0;
    for (int i = 0; i < 8; i++)
        w = w << 8 | p[i];
    return w;
}

static void hash(uint64_t y[2], const uint8_t h[16], const uint8_t *data, size_t length) /* SP 800-38D 6.3, 6.4 */
{
    for (size_t at = 0; at < length; at += 16) {
        uint8_t block[16] = {0};
        memcpy(block, data + at, length - at < 16 ? length - at : 16);
        y[0] ^= word(block);
        y[1] ^= word(block + 8);
        uint64_t z[2] = {0}, v[2] = {word(h), word(h + 8)};
        for (int bit = 0; bit < 128; bit++) {
            if (y[bit / 64] >> (63 - bit % 64) & 1) {
                z[0] ^= v[0];
                z[1] ^= v[1];
            }
            const uint64_t last = v[1] & 1;
            v[1] = v[1] >> 1 | v[0] << 63;
            v[0] = v[0] >> 1 ^ (last ? 0xE1ULL << 56 : 0);
        }
        y[0] = z[0];
        y[1] = z[1];
    }
}

void reference_gcm(const uint8_t *key, size_t key_length, const uint8_t *iv, const uint8_t *aad, size_t aad_length,
                   const uint8_t *text, size_t length, uint8_t *out)
{
    schedule s;
    uint8_t h[16] = {0}, counter[16] = {0}, hides[16], pad[16], lengths[16] = {0};
    uint64_t y[2] = {0};
    expand(&s, key, key_length);
    encrypt(&s, h, h);
    memcpy(counter, iv, 12);
    counter[15] = 1;
    encrypt(&s, counter, hides);
    for (size_t i = 0; i < length; i++) {
        if (i % 16 == 0) {
            for (int at = 15; at >= 12 && ++counter[at] == 0; at--)
                ;
            encrypt(&s, counter, pad);
        }
        out[i] = text[i] ^ pad[i % 16];
    }
    hash(y, h, aad, aad_length);
    hash(y, h, out, length);
    for (int i = 0; i < 8; i++) {
        lengths[7 - i] = (uint8_t)((uint64_t)aad_length * 8 >> 8 * i);
        lengths[15 - i] = (uint8_t)((uint64_t)length * 8 >> 8 * i);
    }
    hash(y, h, lengths, 16);
    for (int i = 0; i < 16; i++)
        out[length + (size_t)i] = (uint8_t)(y[i / 8] >> (56 - i % 8 * 8)) ^ hides[i];
}

void reference_wrap(const uint8_t *kek, size_t kek_length, const uint8_t *key, size_t length, uint8_t *out)
{
    schedule s;
    uint8_t block[16];
    unsigned step = 1; /* below 256: keys of at most 40 halves */
    expand(&s, kek, kek_length);
    memset(block, 0xA6, 8);
    memcpy(out + 8, key, length);
    for (int pass = 0; pass < 6; pass++) /* RFC 3394 2.2.1 */
        for (size_t half = 8; half <= length; half += 8) {
            memcpy(block + 8, out + half, 8);
            encrypt(&s, block, block);
            block[7] ^= (uint8_t)step++;
            memcpy(out + half, block + 8, 8);
        }
    memcpy(out, block, 8);
}
