/* AES without tables: bitsliced, four blocks at once, in constant time on any machine with 64-bit words.
 *
 * Word i of a slice holds bit i of all 64 bytes. The byte in row r and column c of block b is lane 16r + 4c + b: a
 * row is sixteen lanes, so ShiftRows rotates inside them and MixColumns rotates whole words. The S-box is computed:
 * change of basis, inversion in the tower GF(((2^2)^2)^2), change back. The four linear layers and the tower are the
 * cheapest that native/tools/sbox_layers.py found, which also proves them. FIPS 197.
 */
#include <string.h>

#include "sm_schedule.h"
#include "sm_tier.h"

enum { SLICES = 8, LANES = 4 };

/* Inversion in the tower. GF(4): w^2 = w + 1; GF(16): Z^2 = Z + w^2; GF(256): Y^2 = Y + (w Z + w^2).
 * An element of GF(4) is two slices, low bit first; of GF(16) four; of GF(256) eight. */

static inline void times4(uint64_t *r, const uint64_t *a, const uint64_t *b)
{
    uint64_t high = a[1] & b[1], low = a[0] & b[0], mixed = (a[0] ^ a[1]) & (b[0] ^ b[1]);
    r[1] = mixed ^ low;
    r[0] = low ^ high;
}

static inline void times16(uint64_t *r, const uint64_t *a, const uint64_t *b)
{
    uint64_t high[2], low[2], mixed[2];
    const uint64_t sum_a[2] = {a[0] ^ a[2], a[1] ^ a[3]}, sum_b[2] = {b[0] ^ b[2], b[1] ^ b[3]};
    times4(high, a + 2, b + 2);
    times4(low, a, b);
    times4(mixed, sum_a, sum_b);
    r[3] = mixed[1] ^ low[1];
    r[2] = mixed[0] ^ low[0];
    r[1] = low[1] ^ high[0]; /* times w^2: (b1, b0) -> (b0, b1 + b0) */
    r[0] = low[0] ^ high[0] ^ high[1];
}

static inline void invert16(uint64_t *r, const uint64_t *a)
{
    uint64_t norm[2];
    const uint64_t sum[2] = {a[0] ^ a[2], a[1] ^ a[3]};
    times4(norm, a, a + 2);
    /* + w^2 high^2 + low^2; then the inverse, which in GF(4) is the square */
    norm[1] ^= a[2] ^ a[3] ^ a[1];
    norm[0] ^= a[2] ^ a[0] ^ a[1] ^ norm[1];
    times4(r + 2, a + 2, norm);
    times4(r, sum, norm);
}

static inline void invert256(uint64_t *a)
{
    uint64_t norm[4], inverse[4];
    const uint64_t *low = a, *high = a + 4;
    const uint64_t sum[4] = {a[0] ^ a[4], a[1] ^ a[5], a[2] ^ a[6], a[3] ^ a[7]};
    times16(norm, low, high);
    /* + (w Z + w^2) high^2 + low^2 */
    norm[0] ^= high[0] ^ high[2] ^ low[0] ^ low[1] ^ low[2];
    norm[1] ^= high[0] ^ high[1] ^ high[2] ^ high[3] ^ low[1] ^ low[2] ^ low[3];
    norm[2] ^= high[1] ^ low[2] ^ low[3];
    norm[3] ^= high[0] ^ low[3];
    invert16(inverse, norm);
    times16(a + 4, a + 4, inverse);
    times16(a, sum, inverse);
}

static inline void forward_in(uint64_t *d, const uint64_t *s)
{
    uint64_t t0 = s[2] ^ s[5];
    uint64_t t1 = s[3] ^ t0;
    uint64_t t2 = s[1] ^ s[6];
    uint64_t t3 = s[7] ^ t2;
    uint64_t t4 = s[3] ^ t3;
    d[0] = s[0] ^ s[2] ^ t4;
    d[1] = t1;
    d[2] = t0;
    d[3] = t4;
    d[4] = s[1];
    d[5] = s[7] ^ t1;
    d[6] = s[4] ^ t1 ^ t2;
    d[7] = s[5] ^ s[7];
}

static inline void forward_out(uint64_t *d, const uint64_t *s)
{
    uint64_t t0 = s[4] ^ s[6];
    uint64_t t1 = s[5] ^ t0;
    uint64_t t2 = s[2] ^ s[3];
    uint64_t t3 = t1 ^ t2;
    uint64_t t4 = s[0] ^ s[1];
    d[0] = s[0] ^ t3;
    d[1] = t4;
    d[2] = s[2] ^ t4;
    d[3] = s[0] ^ s[4] ^ s[5] ^ t2;
    d[4] = s[0] ^ t1;
    d[5] = t3;
    d[6] = t0;
    d[7] = s[2] ^ s[7] ^ t0;
}

static inline void inverse_in(uint64_t *d, const uint64_t *s)
{
    uint64_t t0 = s[1] ^ s[2];
    uint64_t t1 = s[0] ^ s[5];
    uint64_t t2 = s[0] ^ s[3];
    d[0] = t1;
    d[1] = s[1] ^ t1;
    d[2] = t0;
    d[3] = s[0] ^ s[4] ^ t0;
    d[4] = s[6] ^ t2;
    d[5] = s[4] ^ s[6] ^ t1;
    d[6] = t2;
    d[7] = s[6] ^ s[7] ^ t0;
}

static inline void inverse_out(uint64_t *d, const uint64_t *s)
{
    uint64_t t0 = s[1] ^ s[5];
    uint64_t t1 = s[7] ^ t0;
    uint64_t t2 = s[2] ^ s[3];
    d[0] = s[0] ^ t1 ^ t2;
    d[1] = s[4];
    d[2] = s[2] ^ t1;
    d[3] = s[1] ^ s[2];
    d[4] = s[6] ^ t0 ^ t2;
    d[5] = t1;
    d[6] = s[4] ^ s[5] ^ t2;
    d[7] = t0;
}

/* Adding 63h flips bits 0, 1, 5 and 6. */
static inline void add_63(uint64_t *q)
{
    q[0] = ~q[0];
    q[1] = ~q[1];
    q[5] = ~q[5];
    q[6] = ~q[6];
}

static void sub_bytes(uint64_t *q)
{
    uint64_t t[SLICES];
    forward_in(t, q);
    invert256(t);
    forward_out(q, t);
    add_63(q);
}

static void inverse_sub_bytes(uint64_t *q)
{
    uint64_t t[SLICES];
    add_63(q);
    inverse_in(t, q);
    invert256(t);
    inverse_out(q, t);
}

/* Transpose: bit i of byte j of word k <-> bit 8j + k of word i. Its own inverse. */
static void transpose(uint64_t *q)
{
    static const uint64_t masks[3] = {0x5555555555555555ULL, 0x3333333333333333ULL, 0x0F0F0F0F0F0F0F0FULL};
    for (unsigned step = 0; step < 3; step++) {
        unsigned apart = 1u << step;
        for (unsigned k = 0; k < SLICES; k++) {
            if (k & apart)
                continue;
            uint64_t moved = (q[k] >> apart ^ q[k + apart]) & masks[step];
            q[k + apart] ^= moved;
            q[k] ^= moved << apart;
        }
    }
}

/* Four bytes into every other byte of a word, and back. */
static uint64_t spread(uint32_t column)
{
    uint64_t x = column;
    x = (x | x << 16) & 0x0000FFFF0000FFFFULL;
    return (x | x << 8) & 0x00FF00FF00FF00FFULL;
}

static uint32_t gathered(uint64_t x)
{
    x &= 0x00FF00FF00FF00FFULL;
    x = (x | x >> 8) & 0x0000FFFF0000FFFFULL;
    return (uint32_t)(x | x >> 16);
}

/* Word b takes columns 0 and 2 of block b, word 4 + b its columns 1 and 3. */
static void slice(uint64_t *q, const uint8_t *in, size_t blocks)
{
    for (size_t b = 0; b < LANES; b++) {
        if (b >= blocks) {
            q[b] = q[LANES + b] = 0;
            continue;
        }
        const uint8_t *block = in + b * SM_BLOCK;
        q[b] = spread(sm_le32(block)) | spread(sm_le32(block + 8)) << 8;
        q[LANES + b] = spread(sm_le32(block + 4)) | spread(sm_le32(block + 12)) << 8;
    }
    transpose(q);
}

static void unslice(uint8_t *out, uint64_t *q, size_t blocks)
{
    transpose(q);
    for (size_t b = 0; b < blocks; b++) {
        uint8_t *block = out + b * SM_BLOCK;
        sm_put_le32(block, gathered(q[b]));
        sm_put_le32(block + 4, gathered(q[LANES + b]));
        sm_put_le32(block + 8, gathered(q[b] >> 8));
        sm_put_le32(block + 12, gathered(q[LANES + b] >> 8));
    }
}

static inline void add_round_key(uint64_t *q, const sm_aes_key *key, unsigned round)
{
    uint64_t k[SLICES];
    memcpy(k, key->bytes + round * sizeof k, sizeof k);
    for (unsigned i = 0; i < SLICES; i++)
        q[i] ^= k[i];
}

/* Row r: lane of column c takes column c + r (four lanes a column). */
static void shift_rows(uint64_t *q)
{
    for (unsigned i = 0; i < SLICES; i++) {
        uint64_t x = q[i];
        q[i] = (x & 0x000000000000FFFFULL) | (x & 0x00000000FFF00000ULL) >> 4 | (x & 0x00000000000F0000ULL) << 12 |
               (x & 0x0000FF0000000000ULL) >> 8 | (x & 0x000000FF00000000ULL) << 8 |
               (x & 0xF000000000000000ULL) >> 12 | (x & 0x0FFF000000000000ULL) << 4;
    }
}

static void inverse_shift_rows(uint64_t *q)
{
    for (unsigned i = 0; i < SLICES; i++) {
        uint64_t x = q[i];
        q[i] = (x & 0x000000000000FFFFULL) | (x & 0x000000000FFF0000ULL) << 4 | (x & 0x00000000F0000000ULL) >> 12 |
               (x & 0x0000FF0000000000ULL) >> 8 | (x & 0x000000FF00000000ULL) << 8 |
               (x & 0xFFF0000000000000ULL) >> 4 | (x & 0x000F000000000000ULL) << 12;
    }
}

static inline uint64_t rows_up(uint64_t x, unsigned rows)
{
    return x >> 16 * rows | x << (64 - 16 * rows);
}

/* d += 02 s, in the field of AES. */
static inline void add_doubled(uint64_t *d, const uint64_t *s)
{
    d[0] ^= s[7];
    d[1] ^= s[0] ^ s[7];
    d[2] ^= s[1];
    d[3] ^= s[2] ^ s[7];
    d[4] ^= s[3] ^ s[7];
    d[5] ^= s[4];
    d[6] ^= s[5];
    d[7] ^= s[6];
}

/* 2 a[r] + 3 a[r+1] + a[r+2] + a[r+3] = 2 (a[r] + a[r+1]) + a[r+1] + (a[r+2] + a[r+3]) */
static void mix_columns(uint64_t *q)
{
    uint64_t pair[SLICES];
    for (unsigned i = 0; i < SLICES; i++) {
        uint64_t next = rows_up(q[i], 1);
        pair[i] = q[i] ^ next;
        q[i] = next ^ rows_up(pair[i], 2);
    }
    add_doubled(q, pair);
}

/* The inverse matrix is mix_columns after a[r] + 4 (a[r] + a[r+2]). */
static void inverse_mix_columns(uint64_t *q)
{
    uint64_t pair[SLICES], doubled[SLICES] = {0};
    for (unsigned i = 0; i < SLICES; i++)
        pair[i] = q[i] ^ rows_up(q[i], 2);
    add_doubled(doubled, pair);
    add_doubled(q, doubled);
    mix_columns(q);
}

static uint32_t sub_word(uint32_t word)
{
    uint64_t q[SLICES] = {word};
    transpose(q);
    sub_bytes(q);
    transpose(q);
    return (uint32_t)q[0];
}

void sm_portable_aes_expand(sm_aes_key *key, const uint8_t *raw, size_t key_length)
{
    uint32_t words[SM_SCHEDULE_WORDS];
    key->rounds = sm_schedule(words, raw, key_length, sub_word);
    for (unsigned round = 0; round <= key->rounds; round++) {
        uint8_t four[LANES * SM_BLOCK];
        uint64_t q[SLICES];
        for (unsigned i = 0; i < LANES * 4; i++)
            sm_put_le32(four + 4 * i, words[4 * round + i % 4]);
        slice(q, four, LANES);
        memcpy(key->bytes + round * sizeof q, q, sizeof q);
    }
    sm_wipe(words, sizeof words);
}

void sm_portable_aes_invert(sm_aes_key *key)
{
    (void)key; /* decryption walks the same keys backwards */
}

void sm_portable_aes_encrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    uint64_t q[SLICES];
    while (blocks > 0) {
        size_t now = blocks < LANES ? blocks : LANES;
        slice(q, in, now);
        add_round_key(q, key, 0);
        for (unsigned round = 1; round < key->rounds; round++) {
            sub_bytes(q);
            shift_rows(q);
            mix_columns(q);
            add_round_key(q, key, round);
        }
        sub_bytes(q);
        shift_rows(q);
        add_round_key(q, key, key->rounds);
        unslice(out, q, now);
        in += now * SM_BLOCK;
        out += now * SM_BLOCK;
        blocks -= now;
    }
    sm_wipe(q, sizeof q);
}

void sm_portable_aes_decrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    uint64_t q[SLICES];
    while (blocks > 0) {
        size_t now = blocks < LANES ? blocks : LANES;
        slice(q, in, now);
        add_round_key(q, key, key->rounds);
        for (unsigned round = key->rounds - 1; round > 0; round--) {
            inverse_shift_rows(q);
            inverse_sub_bytes(q);
            add_round_key(q, key, round);
            inverse_mix_columns(q);
        }
        inverse_shift_rows(q);
        inverse_sub_bytes(q);
        add_round_key(q, key, 0);
        unslice(out, q, now);
        in += now * SM_BLOCK;
        out += now * SM_BLOCK;
        blocks -= now;
    }
    sm_wipe(q, sizeof q);
}

void sm_portable_aes_ctr(const sm_aes_key *key, const uint8_t counter[16], const uint8_t *in, uint8_t *out,
                         size_t length)
{
    uint8_t pad[LANES * SM_BLOCK];
    uint32_t number = sm_be32(counter + 12);
    while (length > 0) {
        size_t now = length < sizeof pad ? length : sizeof pad;
        size_t blocks = (now + SM_BLOCK - 1) / SM_BLOCK;
        for (size_t i = 0; i < blocks; i++) {
            memcpy(pad + i * SM_BLOCK, counter, 12);
            sm_put_be32(pad + i * SM_BLOCK + 12, number++);
        }
        sm_portable_aes_encrypt(key, pad, pad, blocks);
        sm_xor(out, in, pad, now);
        in += now;
        out += now;
        length -= now;
    }
    sm_wipe(pad, sizeof pad);
}
