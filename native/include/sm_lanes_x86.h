/* The kernel of eight lanes, compiled once a tier: define TIER (attribute) and NAME(x) before including this.
 *
 * Every lane has its own key, so nothing is kept: keys are expanded on the way, eight at a time, as columns of words (word
 * i of eight keys in one vector), where SubWord is one AESENCLAST behind a shuffle that undoes its ShiftRows. Encrypting
 * the counter blocks keeps one port busy and GHASH another, and neither waits for itself, since eight lanes are independent.
 * They only overlap when they stand side by side in the program, so each round of AES over eight lanes carries the GHASH step
 * of one lane. A text shorter than the group's longest begins later: leading zero blocks do nothing to a GHASH that
 * is still zero... except that AAD comes first, so the AAD begins later with it.
 */
#include <immintrin.h>
#include <string.h>

#include "sm_bytes.h"
#include "sm_lanes.h"

#define INLINE static inline __attribute__((always_inline)) TIER
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { N = SM_LANES, ROUNDS = 10 };

typedef struct {
    __m128i key[ROUNDS + 1][N];
    __m128i h[N];
    __m128i y[N];       /* GHASH so far, byte-swapped */
    __m128i pend[N];    /* the block to be hashed next, byte-swapped */
    __m128i counter[N]; /* counter block of the first text block, less the blocks it waits */
    __m128i hide[N];    /* E(J0) */
    __m128i state[N];
} work;

_Static_assert(sizeof(work) <= SM_LANES_SCRATCH, "the scratch is large enough");

INLINE __m128i swapped(__m128i x)
{
    return _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* Four words of four keys, and back: a transposition. */
#define TRANSPOSE4(a, b, c, d)                                                                                         \
    do {                                                                                                               \
        const __m128i t0 = _mm_unpacklo_epi32(a, b), t1 = _mm_unpacklo_epi32(c, d);                                    \
        const __m128i t2 = _mm_unpackhi_epi32(a, b), t3 = _mm_unpackhi_epi32(c, d);                                    \
        a = _mm_unpacklo_epi64(t0, t1);                                                                                \
        b = _mm_unpackhi_epi64(t0, t1);                                                                                \
        c = _mm_unpacklo_epi64(t2, t3);                                                                                \
        d = _mm_unpackhi_epi64(t2, t3);                                                                                \
    } while (0)

/* Before AESENCLAST: RotWord in each column, and the bytes placed so that its ShiftRows puts them right. */
INLINE __m128i rotated_sub(__m128i words, __m128i constant)
{
    const __m128i order = _mm_set_epi8(0, 7, 10, 13, 12, 3, 6, 9, 8, 15, 2, 5, 4, 11, 14, 1);
    return _mm_aesenclast_si128(_mm_shuffle_epi8(words, order), constant);
}

#ifndef WIDE
INLINE void expand4(work *w, int first, const uint8_t *const raw[])
{
    __m128i a = _mm_loadu_si128((const __m128i *)raw[0]), b = _mm_loadu_si128((const __m128i *)raw[1]);
    __m128i c = _mm_loadu_si128((const __m128i *)raw[2]), d = _mm_loadu_si128((const __m128i *)raw[3]);
    w->key[0][first] = a;
    w->key[0][first + 1] = b;
    w->key[0][first + 2] = c;
    w->key[0][first + 3] = d;
    TRANSPOSE4(a, b, c, d);
    int constant = 1;
    for (int round = 1; round <= ROUNDS; round++) {
        a = _mm_xor_si128(a, rotated_sub(d, _mm_set1_epi32(constant)));
        b = _mm_xor_si128(b, a);
        c = _mm_xor_si128(c, b);
        d = _mm_xor_si128(d, c);
        __m128i ka = a, kb = b, kc = c, kd = d;
        TRANSPOSE4(ka, kb, kc, kd);
        w->key[round][first] = ka;
        w->key[round][first + 1] = kb;
        w->key[round][first + 2] = kc;
        w->key[round][first + 3] = kd;
        constant = round == 8 ? 0x1B : constant << 1;
    }
}
#endif

#ifdef WIDE
/* Two transpositions in one: keys 0 to 3 in the lower halves, 4 to 7 in the upper. */
#define TRANSPOSE8(a, b, c, d)                                                                                         \
    do {                                                                                                               \
        const __m256i t0 = _mm256_unpacklo_epi32(a, b), t1 = _mm256_unpacklo_epi32(c, d);                              \
        const __m256i t2 = _mm256_unpackhi_epi32(a, b), t3 = _mm256_unpackhi_epi32(c, d);                              \
        a = _mm256_unpacklo_epi64(t0, t1);                                                                             \
        b = _mm256_unpackhi_epi64(t0, t1);                                                                             \
        c = _mm256_unpacklo_epi64(t2, t3);                                                                             \
        d = _mm256_unpackhi_epi64(t2, t3);                                                                             \
    } while (0)

INLINE void keep8(__m128i *at, __m256i pair)
{
    _mm_store_si128(at, _mm256_castsi256_si128(pair));
    _mm_store_si128(at + 4, _mm256_extracti128_si256(pair, 1));
}

INLINE __m256i pair_of(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                   _mm_loadu_si128((const __m128i *)high), 1);
}

INLINE void expand(work *w, const uint8_t *const raw[N])
{
    __m256i a = pair_of(raw[0], raw[4]), b = pair_of(raw[1], raw[5]);
    __m256i c = pair_of(raw[2], raw[6]), d = pair_of(raw[3], raw[7]);
    keep8(&w->key[0][0], a);
    keep8(&w->key[0][1], b);
    keep8(&w->key[0][2], c);
    keep8(&w->key[0][3], d);
    TRANSPOSE8(a, b, c, d);
    int constant = 1;
    for (int round = 1; round <= ROUNDS; round++) {
        const __m128i rc = _mm_set1_epi32(constant);
        const __m128i low = rotated_sub(_mm256_castsi256_si128(d), rc);
        const __m128i high = rotated_sub(_mm256_extracti128_si256(d, 1), rc);
        a = _mm256_xor_si256(a, _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1));
        b = _mm256_xor_si256(b, a);
        c = _mm256_xor_si256(c, b);
        d = _mm256_xor_si256(d, c);
        __m256i ka = a, kb = b, kc = c, kd = d;
        TRANSPOSE8(ka, kb, kc, kd);
        keep8(&w->key[round][0], ka);
        keep8(&w->key[round][1], kb);
        keep8(&w->key[round][2], kc);
        keep8(&w->key[round][3], kd);
        constant = round == 8 ? 0x1B : constant << 1;
    }
}
#else
INLINE void expand(work *w, const uint8_t *const raw[N])
{
    expand4(w, 0, raw);
    expand4(w, 4, raw + 4);
}
#endif

/* H times x, byte-swapped: see ghash_pclmul.c. */
INLINE __m128i hash_key(__m128i h)
{
    __m128i x = swapped(h);
    const __m128i carry = _mm_srli_epi64(x, 63);
    const __m128i fell = _mm_sub_epi32(_mm_setzero_si128(), _mm_shuffle_epi32(carry, 0xAA));
    x = _mm_or_si128(_mm_slli_epi64(x, 1), _mm_slli_si128(carry, 8));
    return _mm_xor_si128(x, _mm_and_si128(fell, _mm_set_epi64x((long long)0xC200000000000000ULL, 1)));
}

/* One block of one lane's GHASH. */
INLINE void hash_lane(work *w, int lane)
{
    const __m128i fold = _mm_set_epi64x(0, (long long)0xC200000000000000ULL);
    const __m128i a = _mm_xor_si128(w->y[lane], w->pend[lane]), b = w->h[lane];
    const __m128i low = _mm_clmulepi64_si128(a, b, 0x00), high = _mm_clmulepi64_si128(a, b, 0x11);
    __m128i middle = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
    /* Folding low into the middle before that is split spares two shifts on the busiest port. */
    middle = _mm_xor_si128(middle, _mm_xor_si128(_mm_shuffle_epi32(low, 0x4E), _mm_clmulepi64_si128(low, fold, 0x00)));
    w->y[lane] = _mm_xor_si128(
        high, _mm_xor_si128(_mm_shuffle_epi32(middle, 0x4E), _mm_clmulepi64_si128(middle, fold, 0x00)));
}

/* AES over the blocks of eight lanes, and with `hashing` one block of each lane's GHASH beside it. */
INLINE void stage(work *w, __m128i s[N], int hashing)
{
    UNROLL
    for (int i = 0; i < N; i++)
        s[i] = _mm_xor_si128(s[i], w->key[0][i]);
    for (int round = 1; round < ROUNDS - 1; round++) {
        UNROLL
        for (int i = 0; i < N; i++)
            s[i] = _mm_aesenc_si128(s[i], w->key[round][i]);
        if (hashing)
            hash_lane(w, round - 1);
    }
    UNROLL
    for (int i = 0; i < N; i++)
        s[i] = _mm_aesenc_si128(s[i], w->key[ROUNDS - 1][i]);
    UNROLL
    for (int i = 0; i < N; i++)
        s[i] = _mm_aesenclast_si128(s[i], w->key[ROUNDS][i]);
}

static const uint8_t NAME(mask)[32] __attribute__((aligned(32))) = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
};

/* All ones in the first n bytes, 0 to 16. */
INLINE __m128i first_bytes(unsigned n)
{
    return _mm_loadu_si128((const __m128i *)(NAME(mask) + 16 - n));
}

/* What lane `lane` hashes before its text: item 0 is SC | AK up to its fifteenth byte, item 1 the last byte of AK; nothing
 * before that. */
INLINE __m128i front(const sm_lane *const g[N], int lane, int item)
{
    const __m128i ak = _mm_loadu_si128((const __m128i *)g[lane]->line->ak);
    if (item == 0)
        return swapped(_mm_or_si128(_mm_slli_si128(ak, 1), _mm_cvtsi32_si128(0x30)));
    if (item == 1)
        return swapped(_mm_srli_si128(ak, 15));
    return _mm_setzero_si128();
}

INLINE void gcm(const sm_lane *const g[N], work *w, uint8_t *good, int opening)
{
    const uint8_t *raw[N];
    __m128i s[N], came[N];
    unsigned blocks[N], most = 0;
    int wait[N];
    UNROLL
    for (int i = 0; i < N; i++) {
        raw[i] = g[i]->line->ek;
        blocks[i] = (g[i]->length + 15) / 16;
        most = blocks[i] > most ? blocks[i] : most;
    }
    expand(w, raw);
    UNROLL
    for (int i = 0; i < N; i++)
        s[i] = _mm_setzero_si128();
    stage(w, s, 0);
    UNROLL
    for (int i = 0; i < N; i++) {
        const sm_line *line = g[i]->line;
        wait[i] = (int)(most - blocks[i]);
        w->h[i] = hash_key(s[i]);
        w->y[i] = _mm_setzero_si128();
        w->pend[i] = front(g, i, -wait[i]);
        const __m128i title = _mm_loadl_epi64((const __m128i *)(opening ? line->peer : line->title));
        const __m128i iv = _mm_insert_epi32(title, (int)__builtin_bswap32(g[i]->counter), 2);
        w->counter[i] = _mm_insert_epi32(iv, (int)((2u - (unsigned)wait[i]) << 24), 3);
        s[i] = _mm_insert_epi32(iv, 0x01000000, 3);
        if (opening) {
            const uint8_t *tag = g[i]->in + g[i]->length;
            uint32_t end;
            memcpy(&end, tag + 8, 4);
            came[i] = _mm_insert_epi32(_mm_loadl_epi64((const __m128i *)tag), (int)end, 2);
        }
    }
    stage(w, s, 1);
    UNROLL
    for (int i = 0; i < N; i++) {
        w->hide[i] = s[i];
        w->pend[i] = front(g, i, 1 - wait[i]);
    }
    const __m128i one = _mm_set_epi32(1 << 24, 0, 0, 0); /* at most 253 blocks, so nothing is carried */
    for (int t = 0; t < (int)most; t++) {
        UNROLL
        for (int i = 0; i < N; i++) {
            s[i] = w->counter[i];
            w->counter[i] = _mm_add_epi32(s[i], one);
        }
        stage(w, s, 1);
        UNROLL
        for (int i = 0; i < N; i++) {
            const int at = t - wait[i];
            if (at < 0) {
                w->pend[i] = front(g, i, at + 2);
                continue;
            }
            const __m128i text = _mm_loadu_si128((const __m128i *)g[i]->in + at);
            const unsigned left = g[i]->length - 16 * (unsigned)at;
            const __m128i mask = first_bytes(left < 16 ? left : 16);
            const __m128i other = _mm_and_si128(_mm_xor_si128(text, s[i]), mask);
            _mm_storeu_si128((__m128i *)g[i]->out + at, other);
            w->pend[i] = swapped(opening ? _mm_and_si128(text, mask) : other);
        }
    }
    UNROLL
    for (int i = 0; i < N; i++)
        hash_lane(w, i);
    UNROLL
    for (int i = 0; i < N; i++) {
        w->pend[i] = _mm_set_epi64x(17 * 8, (long long)g[i]->length * 8);
        hash_lane(w, i);
    }
    UNROLL
    for (int i = 0; i < N; i++) {
        const __m128i tag = _mm_and_si128(_mm_xor_si128(swapped(w->y[i]), w->hide[i]), first_bytes(12));
        if (!opening) {
            _mm_storeu_si128((__m128i *)(g[i]->out + g[i]->length), tag);
        } else {
            const __m128i differs = _mm_xor_si128(tag, came[i]);
            good[i] = (uint8_t)sm_verdict(_mm_testz_si128(differs, differs));
        }
    }
}

TIER static void NAME(seal)(const sm_lane *const lane[N], void *scratch)
{
    gcm(lane, scratch, NULL, 0);
}

TIER static void NAME(open)(const sm_lane *const lane[N], uint8_t good[N], void *scratch)
{
    gcm(lane, scratch, good, 1);
}

/* RFC 3394 2.2.1 for two halves: twelve blocks one after the other, of eight lanes side by side. */
TIER static void NAME(wrap)(const uint8_t *const kek[N], const uint8_t *const key[N], uint8_t *const out[N],
                            void *scratch)
{
    work *w = scratch;
    __m128i s[N], half[N];
    const __m128i check = _mm_set_epi64x(0, (long long)0xA6A6A6A6A6A6A6A6ULL);
    expand(w, kek);
    UNROLL
    for (int i = 0; i < N; i++) {
        const __m128i plain = _mm_loadu_si128((const __m128i *)key[i]);
        s[i] = _mm_unpacklo_epi64(check, plain);
        w->state[i] = _mm_unpackhi_epi64(plain, plain); /* the half that waits, in both places */
    }
    for (int step = 1; step <= 12; step++) {
        const __m128i count = _mm_set_epi64x(0, (long long)__builtin_bswap64((uint64_t)step));
        stage(w, s, 0);
        UNROLL
        for (int i = 0; i < N; i++) {
            half[i] = _mm_unpackhi_epi64(s[i], s[i]);
            s[i] = _mm_unpacklo_epi64(_mm_xor_si128(s[i], count), w->state[i]);
            w->state[i] = half[i];
        }
    }
    /* After an even number of steps the halves stand in their order: the next to go on is the first. */
    UNROLL
    for (int i = 0; i < N; i++) {
        _mm_storeu_si128((__m128i *)out[i], s[i]);
        _mm_storel_epi64((__m128i *)(out[i] + 16), w->state[i]);
    }
}

INLINE void unstage(work *w, __m128i s[N])
{
    UNROLL
    for (int i = 0; i < N; i++)
        s[i] = _mm_xor_si128(s[i], w->key[ROUNDS][i]);
    for (int round = ROUNDS - 1; round > 0; round--) {
        UNROLL
        for (int i = 0; i < N; i++)
            s[i] = _mm_aesdec_si128(s[i], w->key[round][i]);
    }
    UNROLL
    for (int i = 0; i < N; i++)
        s[i] = _mm_aesdeclast_si128(s[i], w->key[0][i]);
}

TIER static void NAME(unwrap)(const uint8_t *const kek[N], const uint8_t *const wrapped[N], uint8_t *const out[N],
                              uint8_t good[N], void *scratch)
{
    work *w = scratch;
    __m128i s[N];
    expand(w, kek);
    for (int round = 1; round < ROUNDS; round++) {
        UNROLL
        for (int i = 0; i < N; i++)
            w->key[round][i] = _mm_aesimc_si128(w->key[round][i]);
    }
    UNROLL
    for (int i = 0; i < N; i++) {
        const __m128i front = _mm_loadu_si128((const __m128i *)wrapped[i]);
        s[i] = _mm_unpacklo_epi64(front, _mm_loadl_epi64((const __m128i *)(wrapped[i] + 16)));
        w->state[i] = _mm_unpackhi_epi64(front, front); /* the half whose turn is next */
    }
    for (int step = 12; step > 0; step--) {
        const __m128i count = _mm_set_epi64x(0, (long long)__builtin_bswap64((uint64_t)step));
        UNROLL
        for (int i = 0; i < N; i++)
            s[i] = _mm_xor_si128(s[i], count);
        unstage(w, s);
        UNROLL
        for (int i = 0; i < N; i++) {
            const __m128i half = _mm_unpackhi_epi64(s[i], s[i]);
            s[i] = _mm_unpacklo_epi64(s[i], w->state[i]);
            w->state[i] = half;
        }
    }
    UNROLL
    for (int i = 0; i < N; i++) {
        const __m128i check = _mm_set1_epi64x((long long)0xA6A6A6A6A6A6A6A6ULL);
        const __m128i differs = _mm_unpacklo_epi64(_mm_xor_si128(s[i], check), _mm_setzero_si128());
        /* s = check | second half, state = first half */
        const __m128i plain = _mm_unpackhi_epi64(w->state[i], s[i]);
        good[i] = (uint8_t)sm_verdict(_mm_testz_si128(differs, differs));
        const __m128i kept = _mm_and_si128(plain, _mm_set1_epi8((char)-(int)good[i]));
        _mm_storeu_si128((__m128i *)out[i], kept);
    }
}
