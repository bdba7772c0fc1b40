/* A whole message under a key that is kept, sixteen blocks at a time: AES-GCM with VAES and VPCLMULQDQ.
 *
 * The counter blocks (the one that hides the tag, then those of the text) and the blocks that are hashed (the last of AAD,
 * then those of the text, then the lengths) stand beside each other one by one. So one loop goes over both, and knows neither
 * a block for the tag nor one for AAD: the text is taken to begin a block early, where a mask hides that nothing is there, and
 * AAD is in the hash before anything else is.
 *
 * Encrypting the next sixteen blocks keeps one port busy while the sixteen before are read, written and hashed: under H^16 to
 * H^1, so they are reduced once. Nothing here depends on key or text but data (lanes_vaes.c). NIST SP 800-38D.
 */
#if defined(__x86_64__)

#include <string.h>

#include "sm_bytes.h"
#include "sm_tier.h"
#include "sm_vaes.h"

enum { Q = SM_POWERS_MOST / 4, AT_ONCE = SM_POWERS_MOST, PLAIN = SM_FEW_POWERS * SM_BLOCK };

/* The hash of blocks before, and products that wait for their reduction. */
typedef struct {
    four y, low, middle, high;
} hashing;

typedef struct {
    const uint8_t *powers; /* H^16 to H^1, byte-swapped; then nothing */
    const uint8_t *in;
    uint8_t *out;
    ptrdiff_t length, in_length; /* of the text; of what is in `in` of it, while the rest is in `out` */
    int decrypting;
} message;

INLINE four load4(const uint8_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

INLINE __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Four more blocks under four powers; `first` of a sum. */
INLINE void add_products(hashing *s, four a, four b, int first)
{
    const four low = _mm512_clmulepi64_epi128(a, b, 0x00), high = _mm512_clmulepi64_epi128(a, b, 0x11);
    const four one = _mm512_clmulepi64_epi128(a, b, 0x01), other = _mm512_clmulepi64_epi128(a, b, 0x10);
    s->low = first ? low : _mm512_xor_si512(s->low, low);
    s->high = first ? high : _mm512_xor_si512(s->high, high);
    s->middle = first ? _mm512_xor_si512(one, other) : xor3(s->middle, one, other);
}

/* x^-128 of each product. */
INLINE four reduced(const hashing *s)
{
    const four middle = xor3(s->middle, turned(s->low), fold_of(s->low));
    return xor3(s->high, turned(middle), fold_of(middle));
}

/* The sum of four blocks, where the first is; nothing elsewhere. */
INLINE four gathered(four x)
{
    const __m256i two = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm512_zextsi128_si512(_mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1)));
}

INLINE four times(four a, four b)
{
    hashing s;
    add_products(&s, a, b, 1);
    return reduced(&s);
}

TIER void sm_vaes_ghash_prepare(sm_ghash_key *key, const uint8_t h[16], unsigned powers)
{
    sm_pclmul_ghash_prepare(key, h, powers == 1 ? 1 : SM_FEW_POWERS); /* for sm_pclmul_ghash_update, and to go on from */
    if (powers < SM_POWERS)
        return;
    key->count = SM_POWERS_MOST;
    uint8_t *out = key->bytes + PLAIN;
    four x = _mm512_shuffle_i64x2(load4(key->bytes), load4(key->bytes), 0x1B);
    const four most = _mm512_shuffle_i64x2(x, x, 0);
    _mm512_storeu_si512((void *)(out + 16 * AT_ONCE), _mm512_setzero_si512());
    for (int q = Q - 1; q >= 0; q--) {
        _mm512_storeu_si512((void *)(out + 64 * q), x);
        x = times(x, most);
    }
}

INLINE four round_key(const sm_aes_key *key, unsigned round)
{
    return all_four(_mm_load_si128((const __m128i *)key->bytes + round));
}

/* The text's bytes in the four blocks from `at` on (a block less than nothing where there is none before). */
INLINE __mmask64 bytes_there(const message *m, ptrdiff_t at)
{
    const ptrdiff_t left = m->length - at;
    const __mmask64 before = at < 0 ? 0xFFFF : 0;
    return (left >= 64 ? ~0ULL : left > 0 ? (1ULL << left) - 1 : 0) & ~before;
}

/* Encrypt or decrypt those of four blocks that are text, and give them as they are hashed. */
INLINE four one_text(const message *m, four key, ptrdiff_t at, __mmask64 mask)
{
    four text;
    if (at + 64 <= m->in_length) {
        text = _mm512_maskz_loadu_epi8(mask, m->in + at);
    } else {
        const __mmask64 from_in = at < m->in_length ? mask & ((1ULL << (m->in_length - at)) - 1) : 0;
        text = _mm512_maskz_loadu_epi8(from_in, m->in + at);
        text = _mm512_mask_loadu_epi8(text, mask & ~from_in, m->out + at);
    }
    const four other = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(text, key));
    _mm512_mask_storeu_epi8(m->out + at, mask, other);
    return swapped(m->decrypting ? text : other);
}

/* Sixteen blocks that are encrypted and not yet read, written and hashed. */
typedef struct {
    four key[Q];
    ptrdiff_t at;
    __mmask64 first, last; /* the bytes there are of the first four and of the last; all of the others */
} waiting;

/* A piece of what is to be done with them, Q pieces in all. */
INLINE void one_piece(const message *m, hashing *s, const waiting *x, int q)
{
    const __mmask64 mask = q == 0 ? x->first : q == Q - 1 ? x->last : ~0ULL;
    four text = one_text(m, x->key[q], x->at + 64 * q, mask);
    if (q == 0)
        text = _mm512_xor_si512(text, s->y);
    add_products(s, text, load4(m->powers + 64 * q), q == 0);
}

/* AES over `n` times four counter blocks; beside it, what waits, if anything does. */
INLINE void stage(const sm_aes_key *key, four b[Q], int n, const message *m, hashing *s, const waiting *x)
{
    four k = round_key(key, 0);
    UNROLL
    for (int q = 0; q < n; q++)
        b[q] = _mm512_xor_si512(b[q], k);
    UNROLL
    for (int round = 1; round < 10; round++) {
        k = round_key(key, (unsigned)round);
        UNROLL
        for (int q = 0; q < n; q++)
            b[q] = _mm512_aesenc_epi128(b[q], k);
        if (x != NULL && round <= Q)
            one_piece(m, s, x, round - 1);
        if (x != NULL && round == Q + 2)
            s->y = reduced(s);
        if (x != NULL && round == Q + 4)
            s->y = gathered(s->y);
    }
    for (unsigned round = 10; round < key->rounds; round++) {
        k = round_key(key, round);
        UNROLL
        for (int q = 0; q < n; q++)
            b[q] = _mm512_aesenc_epi128(b[q], k);
    }
    k = round_key(key, key->rounds);
    UNROLL
    for (int q = 0; q < n; q++)
        b[q] = _mm512_aesenclast_epi128(b[q], k);
}

/* `n` times four counter blocks: the IV and what `count` says, little-endian, where it ends. */
INLINE void count_on(four b[Q], four iv, four *count, int n)
{
    const four backwards = all_four(_mm_set_epi8(12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    UNROLL
    for (int q = 0; q < n; q++) {
        b[q] = _mm512_or_si512(iv, _mm512_shuffle_epi8(*count, backwards));
        *count = _mm512_add_epi32(*count, _mm512_maskz_set1_epi32(0x8888, 4));
    }
}

TIER void sm_vaes_gcm(const sm_aes_key *key, const sm_ghash_key *ghash, const sm_gcm_text *given, const uint8_t aad[16],
                      size_t aad_length, uint8_t state[16])
{
    const message m = {.powers = ghash->bytes + PLAIN,
                       .in = given->in,
                       .out = given->out,
                       .length = (ptrdiff_t)given->length,
                       .in_length = (ptrdiff_t)(given->length - given->ready),
                       .decrypting = given->decrypting};
    const four nonce = _mm512_maskz_mov_epi32(0x7777, all_four(_mm_maskz_loadu_epi8(0x0FFF, given->iv)));
    const size_t blocks = 1 + (given->length + SM_BLOCK - 1) / SM_BLOCK; /* with the one before the text */
    const unsigned left = blocks % AT_ONCE;
    four count = _mm512_set_epi32(4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0);
    four b[Q], hide;
    waiting x = {.at = -SM_BLOCK, .first = ~0xFFFFULL, .last = ~0ULL};
    hashing s;
    s.y = swapped(_mm512_zextsi128_si512(_mm_xor_si128(load(state), load(aad))));
    if (blocks > 8) {
        count_on(x.key, nonce, &count, Q);
        stage(key, x.key, Q, NULL, NULL, NULL);
    } else {
        count_on(x.key, nonce, &count, 2);
        stage(key, x.key, 2, NULL, NULL, NULL);
        x.key[2] = x.key[3] = _mm512_setzero_si512();
    }
    hide = x.key[0];
    for (size_t n = blocks / AT_ONCE; n > 0; n--) {
        count_on(b, nonce, &count, Q);
        if (n == 1)
            x.last = bytes_there(&m, x.at + 64 * (Q - 1));
        stage(key, b, Q, &m, &s, &x);
        x.first = ~0ULL;
        x.at += SM_BLOCK * AT_ONCE;
        UNROLL
        for (int q = 0; q < Q; q++)
            x.key[q] = b[q];
    }

    /* What is left, and the lengths behind it. */
    const uint8_t *power = m.powers + SM_BLOCK * (AT_ONCE - 1 - left);
    const four bits = all_four(_mm_set_epi64x((long long)aad_length * 8, (long long)given->length * 8));
    UNROLL
    for (unsigned q = 0; q < Q; q++) {
        if (q > left / 4)
            continue;
        four text = one_text(&m, x.key[q], x.at + 64 * (ptrdiff_t)q, bytes_there(&m, x.at + 64 * (ptrdiff_t)q));
        if (q == left / 4)
            text = _mm512_mask_mov_epi32(text, (__mmask16)(0xF << 4 * (left % 4)), bits);
        if (q == 0)
            text = _mm512_xor_si512(text, s.y);
        add_products(&s, text, load4(power + 64 * q), q == 0);
    }
    const four tag = _mm512_xor_si512(swapped(gathered(reduced(&s))), hide);
    _mm_storeu_si128((__m128i *)state, _mm512_castsi512_si128(tag));
}

#else
typedef int sm_gcm_vaes_is_for_x86_64;
#endif
