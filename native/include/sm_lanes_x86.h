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
#define SHARED static __attribute__((noinline)) TIER /* by two calls: a copy each would cost more than it saves */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* Around the rounds: unrolled where that pays, else a loop over what is kept in memory. */
#ifdef WIDE
#define PER_LANE UNROLL
#else
#define PER_LANE
#endif

enum { N = SM_LANES, MOST_ROUNDS = 14 };

typedef struct {
    __m128i key[MOST_ROUNDS + 1][N];
    __m128i h[N];
    __m128i y[N];       /* GHASH so far, byte-swapped */
    __m128i pend[N];    /* the block to be hashed next, byte-swapped */
    __m128i counter[N]; /* counter block of the first text block, less the blocks it waits */
    __m128i hide[N];    /* E(J0) */
    __m128i came[N]; /* tags of what is opened */
    __m128i front[4][N];
    __m128i half[4][N]; /* of keys on their way: their lower eight bytes */
    int rounds;
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

/* SubWord in each column, and RotWord with it: the bytes are placed so that the ShiftRows of AESENCLAST puts them right. */
INLINE __m128i rotated_sub(__m128i words, __m128i constant)
{
    const __m128i order = _mm_set_epi8(0, 7, 10, 13, 12, 3, 6, 9, 8, 15, 2, 5, 4, 11, 14, 1);
    return _mm_aesenclast_si128(_mm_shuffle_epi8(words, order), constant);
}

INLINE __m128i plain_sub(__m128i words)
{
    const __m128i order = _mm_set_epi8(3, 6, 9, 12, 15, 2, 5, 8, 11, 14, 1, 4, 7, 10, 13, 0);
    return _mm_aesenclast_si128(_mm_shuffle_epi8(words, order), _mm_setzero_si128());
}

#ifndef WIDE
/* Each word of the next round's keys from the word before it and the one a key's length back. */
#define CHAIN4(a, b, c, d, first_word)                                                                                 \
    do {                                                                                                               \
        a = _mm_xor_si128(a, first_word);                                                                              \
        b = _mm_xor_si128(b, a);                                                                                       \
        c = _mm_xor_si128(c, b);                                                                                       \
        d = _mm_xor_si128(d, c);                                                                                       \
    } while (0)

INLINE void keep4(work *w, int round, int first, __m128i a, __m128i b, __m128i c, __m128i d)
{
    w->key[round][first] = a;
    w->key[round][first + 1] = b;
    w->key[round][first + 2] = c;
    w->key[round][first + 3] = d;
}

INLINE void turn_and_keep4(work *w, int round, int first, __m128i a, __m128i b, __m128i c, __m128i d)
{
    TRANSPOSE4(a, b, c, d);
    keep4(w, round, first, a, b, c, d);
}

INLINE __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

INLINE void expand4(work *w, int at, const uint8_t *const raw[], const uint8_t *const more[], int long_key)
{
    __m128i a = load(raw[0]), b = load(raw[1]), c = load(raw[2]), d = load(raw[3]);
    int constant = 1;
    keep4(w, 0, at, a, b, c, d);
    TRANSPOSE4(a, b, c, d);
    if (!long_key) {
        for (int round = 1; round <= 10; round++) {
            CHAIN4(a, b, c, d, rotated_sub(d, _mm_set1_epi32(constant)));
            turn_and_keep4(w, round, at, a, b, c, d);
            constant = round == 8 ? 0x1B : constant << 1;
        }
        return;
    }
    __m128i e = load(more[0]), f = load(more[1]), g = load(more[2]), h = load(more[3]);
    keep4(w, 1, at, e, f, g, h);
    TRANSPOSE4(e, f, g, h);
    for (int round = 2;; round += 2) {
        CHAIN4(a, b, c, d, rotated_sub(h, _mm_set1_epi32(constant)));
        turn_and_keep4(w, round, at, a, b, c, d);
        constant <<= 1;
        if (round == MOST_ROUNDS)
            break;
        CHAIN4(e, f, g, h, plain_sub(d));
        turn_and_keep4(w, round + 1, at, e, f, g, h);
    }
}

INLINE void expand(work *w, const uint8_t *const raw[N], const uint8_t *const more[N], int long_key)
{
    w->rounds = long_key ? 14 : 10;
    expand4(w, 0, raw, more, long_key);
    expand4(w, 4, raw + 4, more + 4, long_key);
}
#else
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

/* Each word of the next round's keys from the word before it and the one a key's length back. */
#define CHAIN8(a, b, c, d, first_word)                                                                                 \
    do {                                                                                                               \
        a = _mm256_xor_si256(a, first_word);                                                                           \
        b = _mm256_xor_si256(b, a);                                                                                    \
        c = _mm256_xor_si256(c, b);                                                                                    \
        d = _mm256_xor_si256(d, c);                                                                                    \
    } while (0)

INLINE void keep2(__m128i *at, __m256i pair)
{
    _mm_store_si128(at, _mm256_castsi256_si128(pair));
    _mm_store_si128(at + 4, _mm256_extracti128_si256(pair, 1));
}

INLINE void keep8(work *w, int round, __m256i a, __m256i b, __m256i c, __m256i d)
{
    keep2(&w->key[round][0], a);
    keep2(&w->key[round][1], b);
    keep2(&w->key[round][2], c);
    keep2(&w->key[round][3], d);
}

INLINE void turn_and_keep8(work *w, int round, __m256i a, __m256i b, __m256i c, __m256i d)
{
    TRANSPOSE8(a, b, c, d);
    keep8(w, round, a, b, c, d);
}

INLINE __m256i pair_of(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                   _mm_loadu_si128((const __m128i *)high), 1);
}

INLINE __m256i both_subs(__m256i words, int constant, int rotating)
{
    const __m128i rc = _mm_set1_epi32(constant);
    const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(rotating ? rotated_sub(low, rc) : plain_sub(low)),
                                   rotating ? rotated_sub(high, rc) : plain_sub(high), 1);
}

INLINE void expand(work *w, const uint8_t *const raw[N], const uint8_t *const more[N], int long_key)
{
    __m256i a = pair_of(raw[0], raw[4]), b = pair_of(raw[1], raw[5]);
    __m256i c = pair_of(raw[2], raw[6]), d = pair_of(raw[3], raw[7]);
    int constant = 1;
    w->rounds = long_key ? 14 : 10;
    keep8(w, 0, a, b, c, d);
    TRANSPOSE8(a, b, c, d);
    if (!long_key) {
        for (int round = 1; round <= 10; round++) {
            CHAIN8(a, b, c, d, both_subs(d, constant, 1));
            turn_and_keep8(w, round, a, b, c, d);
            constant = round == 8 ? 0x1B : constant << 1;
        }
        return;
    }
    __m256i e = pair_of(more[0], more[4]), f = pair_of(more[1], more[5]);
    __m256i g = pair_of(more[2], more[6]), h = pair_of(more[3], more[7]);
    keep8(w, 1, e, f, g, h);
    TRANSPOSE8(e, f, g, h);
    for (int round = 2;; round += 2) {
        CHAIN8(a, b, c, d, both_subs(h, constant, 1));
        turn_and_keep8(w, round, a, b, c, d);
        constant <<= 1;
        if (round == MOST_ROUNDS)
            break;
        CHAIN8(e, f, g, h, both_subs(d, 0, 0));
        turn_and_keep8(w, round + 1, e, f, g, h);
    }
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
INLINE void stage(work *w, __m128i *s, int hashing)
{
    const int rounds = w->rounds;
    __m128i r[N];
    UNROLL
    for (int i = 0; i < N; i++)
        r[i] = _mm_xor_si128(s[i], w->key[0][i]);
    for (int round = 1; round <= N; round++) {
        UNROLL
        for (int i = 0; i < N; i++)
            r[i] = _mm_aesenc_si128(r[i], w->key[round][i]);
        if (hashing)
            hash_lane(w, round - 1);
    }
    for (int round = N + 1; round < rounds; round++) {
        UNROLL
        for (int i = 0; i < N; i++)
            r[i] = _mm_aesenc_si128(r[i], w->key[round][i]);
    }
    UNROLL
    for (int i = 0; i < N; i++)
        s[i] = _mm_aesenclast_si128(r[i], w->key[rounds][i]);
}

static const uint8_t NAME(mask)[32] __attribute__((aligned(32))) = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
};

/* All ones in the first n bytes, 0 to 16. */
INLINE __m128i first_bytes(unsigned n)
{
    return _mm_loadu_si128((const __m128i *)(NAME(mask) + 16 - n));
}

/* Lay out what each lane hashes before its text, SC | AK, in front of which there is nothing. */
INLINE void put_fronts(work *w, const sm_lane *const g[N], int control, int long_key)
{
    PER_LANE
    for (int i = 0; i < N; i++) {
        const sm_line *line = g[i]->line;
        const __m128i ak = _mm_loadu_si128((const __m128i *)line->ak);
        const __m128i more = long_key ? _mm_loadu_si128((const __m128i *)line[1].ak) : _mm_setzero_si128();
        w->front[0][i] = _mm_setzero_si128();
        w->front[1][i] = swapped(_mm_or_si128(_mm_slli_si128(ak, 1), _mm_cvtsi32_si128(control | line->suite)));
        w->front[2][i] = swapped(_mm_alignr_epi8(more, ak, 15));
        w->front[3][i] = swapped(_mm_srli_si128(more, 15));
    }
}

/* Block `item` of it: two, of a long key three. */
INLINE __m128i front(const work *w, int lane, int item)
{
    return w->front[item < 0 ? 0 : item + 1][lane];
}

INLINE __m128i counter_block(const sm_lane *lane, const uint8_t *title)
{
    const __m128i iv = _mm_loadl_epi64((const __m128i *)title);
    return _mm_insert_epi32(iv, (int)__builtin_bswap32(lane->counter), 2);
}

/* The keys of a group; H in w->h, nothing hashed yet. */
SHARED void NAME(begin)(work *w, const sm_lane *const g[N], int control, int long_key)
{
    const uint8_t *raw[N], *more[N];
    __m128i s[N];
    PER_LANE
    for (int i = 0; i < N; i++) {
        raw[i] = g[i]->line->ek;
        more[i] = g[i]->line[long_key].ek;
    }
    expand(w, raw, more, long_key);
    put_fronts(w, g, control, long_key);
    PER_LANE
    for (int i = 0; i < N; i++)
        s[i] = _mm_setzero_si128();
    stage(w, s, 0);
    PER_LANE
    for (int i = 0; i < N; i++) {
        w->h[i] = hash_key(s[i]);
        w->y[i] = _mm_setzero_si128();
    }
}

INLINE void hash_all(work *w)
{
    for (int i = 0; i < N; i++)
        hash_lane(w, i);
}

SHARED void NAME(gcm)(const sm_lane *const g[N], work *w, uint8_t *good, int opening, int long_key)
{
    const int items = 2 + long_key;
    __m128i s[N];
    unsigned blocks[N], most = 0;
    int wait[N];
    PER_LANE
    for (int i = 0; i < N; i++) {
        blocks[i] = (g[i]->length + 15) / 16;
        most = blocks[i] > most ? blocks[i] : most;
    }
    NAME(begin)(w, g, 0x30, long_key);
    PER_LANE
    for (int i = 0; i < N; i++)
        wait[i] = (int)(most - blocks[i]);
    if (long_key) {
        PER_LANE
        for (int i = 0; i < N; i++)
            w->pend[i] = front(w, i, -wait[i]);
        hash_all(w);
    }
    PER_LANE
    for (int i = 0; i < N; i++) {
        w->pend[i] = front(w, i, items - 2 - wait[i]);
        const __m128i iv = counter_block(g[i], opening ? g[i]->line->peer : g[i]->line->title);
        w->counter[i] = _mm_insert_epi32(iv, (int)((2u - (unsigned)wait[i]) << 24), 3);
        s[i] = _mm_insert_epi32(iv, 0x01000000, 3);
        if (opening) {
            const uint8_t *tag = g[i]->in + g[i]->length;
            uint32_t end;
            memcpy(&end, tag + 8, 4);
            w->came[i] = _mm_insert_epi32(_mm_loadl_epi64((const __m128i *)tag), (int)end, 2);
        }
    }
    stage(w, s, 1);
    PER_LANE
    for (int i = 0; i < N; i++) {
        w->hide[i] = s[i];
        w->pend[i] = front(w, i, items - 1 - wait[i]);
    }
    const __m128i one = _mm_set_epi32(1 << 24, 0, 0, 0); /* at most 253 blocks, so nothing is carried */
    for (int t = 0; t < (int)most; t++) {
        PER_LANE
        for (int i = 0; i < N; i++) {
            s[i] = w->counter[i];
            w->counter[i] = _mm_add_epi32(s[i], one);
        }
        stage(w, s, 1);
        PER_LANE
        for (int i = 0; i < N; i++) {
            const int at = t - wait[i];
            if (at < 0) {
                w->pend[i] = front(w, i, at + items);
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
    hash_all(w);
    PER_LANE
    for (int i = 0; i < N; i++) {
        w->pend[i] = _mm_set_epi64x((1 + 16 * (1 + long_key)) * 8, (long long)g[i]->length * 8);
        hash_lane(w, i);
    }
    PER_LANE
    for (int i = 0; i < N; i++) {
        const __m128i tag = _mm_and_si128(_mm_xor_si128(swapped(w->y[i]), w->hide[i]), first_bytes(12));
        if (!opening) {
            _mm_storeu_si128((__m128i *)(g[i]->out + g[i]->length), tag);
        } else {
            const __m128i differs = _mm_xor_si128(tag, w->came[i]);
            good[i] = (uint8_t)sm_verdict(_mm_testz_si128(differs, differs));
        }
    }
}

TIER static void NAME(seal)(const sm_lane *const lane[N], int long_key, void *scratch)
{
    NAME(gcm)(lane, scratch, NULL, 0, long_key);
}

TIER static void NAME(open)(const sm_lane *const lane[N], int long_key, uint8_t good[N], void *scratch)
{
    NAME(gcm)(lane, scratch, good, 1, long_key);
}

/* Block `at` of what a GMAC is over, SC | AK | challenge, its last one padded; nothing before the first. */
INLINE __m128i authenticated(const work *w, const sm_lane *const g[N], int lane, int at, int long_key)
{
    const int before = 1 + 16 * (1 + long_key), shared = 1 + long_key; /* the block where AK ends */
    if (at < shared)
        return front(w, lane, at);
    const unsigned left = (unsigned)before + g[lane]->length - 16 * (unsigned)at;
    const __m128i mask = first_bytes(left < 16 ? left : 16);
    if (at > shared)
        return swapped(_mm_and_si128(_mm_loadu_si128((const __m128i *)(g[lane]->in + 16 * at - before)), mask));
    const __m128i text = _mm_slli_si128(_mm_loadu_si128((const __m128i *)g[lane]->in), 1);
    return _mm_or_si128(front(w, lane, at), swapped(_mm_and_si128(text, mask)));
}

TIER static void NAME(gmac)(const sm_lane *const g[N], int long_key, void *scratch)
{
    work *w = scratch;
    const unsigned before = 1 + 16 * (1 + (unsigned)long_key);
    __m128i s[N];
    int blocks[N], most = 0;
    NAME(begin)(w, g, 0x10, long_key);
    PER_LANE
    for (int i = 0; i < N; i++) {
        blocks[i] = (int)((before + g[i]->length + 15) / 16);
        most = blocks[i] > most ? blocks[i] : most;
        s[i] = _mm_insert_epi32(counter_block(g[i], g[i]->line->title), 0x01000000, 3);
    }
    stage(w, s, 0);
    for (int i = 0; i < N; i++)
        w->hide[i] = s[i];
    for (int t = 0; t < most; t++) {
        for (int i = 0; i < N; i++) {
            w->pend[i] = authenticated(w, g, i, t - most + blocks[i], long_key);
            hash_lane(w, i);
        }
    }
    for (int i = 0; i < N; i++) {
        w->pend[i] = _mm_set_epi64x((long long)(before + g[i]->length) * 8, 0);
        hash_lane(w, i);
        const __m128i tag = _mm_xor_si128(swapped(w->y[i]), w->hide[i]);
        _mm_storeu_si128((__m128i *)g[i]->out, _mm_and_si128(tag, first_bytes(12)));
    }
}

/* The schedules of eight KEKs, and the halves of the eight keys behind `skip` bytes, as many as a KEK has. */
SHARED int NAME(begin_keys)(work *w, const uint8_t *const kek[N], const uint8_t *const key[N], int skip, int long_key)
{
    const int halves = long_key ? 4 : 2;
    const uint8_t *more[N];
    for (int i = 0; i < N; i++)
        more[i] = kek[i] + 16 * long_key;
    expand(w, kek, more, long_key);
    for (int half = 0; half < halves; half++) {
        for (int i = 0; i < N; i++)
            w->half[half][i] = _mm_loadl_epi64((const __m128i *)(key[i] + skip + 8 * half));
    }
    return halves;
}

/* RFC 3394 2.2.1: six times as many blocks one after the other as a key has halves, of eight lanes side by side. */
TIER static void NAME(wrap)(const uint8_t *const kek[N], const uint8_t *const key[N], uint8_t *const out[N],
                            int long_key, void *scratch)
{
    work *w = scratch;
    const int halves = NAME(begin_keys)(w, kek, key, 0, long_key);
    __m128i s[N];
    int half = 0;
    PER_LANE
    for (int i = 0; i < N; i++)
        s[i] = _mm_set1_epi64x((long long)0xA6A6A6A6A6A6A6A6ULL);
    for (int step = 1; step <= 6 * halves; step++) {
        const __m128i count = _mm_set_epi64x(0, (long long)__builtin_bswap64((uint64_t)step));
        PER_LANE
        for (int i = 0; i < N; i++)
            s[i] = _mm_unpacklo_epi64(s[i], w->half[half][i]);
        stage(w, s, 0);
        PER_LANE
        for (int i = 0; i < N; i++) {
            w->half[half][i] = _mm_unpackhi_epi64(s[i], s[i]);
            s[i] = _mm_xor_si128(s[i], count);
        }
        half = half + 1 == halves ? 0 : half + 1;
    }
    for (int i = 0; i < N; i++) {
        _mm_storel_epi64((__m128i *)out[i], s[i]);
        for (int at = 0; at < halves; at++)
            _mm_storel_epi64((__m128i *)(out[i] + 8 + 8 * at), w->half[at][i]);
    }
}

INLINE void unstage(work *w, __m128i *s)
{
    const int rounds = w->rounds;
    __m128i r[N];
    UNROLL
    for (int i = 0; i < N; i++)
        r[i] = _mm_xor_si128(s[i], w->key[rounds][i]);
    for (int round = rounds - 1; round > 0; round--) {
        UNROLL
        for (int i = 0; i < N; i++)
            r[i] = _mm_aesdec_si128(r[i], w->key[round][i]);
    }
    UNROLL
    for (int i = 0; i < N; i++)
        s[i] = _mm_aesdeclast_si128(r[i], w->key[0][i]);
}

TIER static void NAME(unwrap)(const uint8_t *const kek[N], const uint8_t *const wrapped[N], uint8_t *const out[N],
                              int long_key, uint8_t good[N], void *scratch)
{
    work *w = scratch;
    const int halves = NAME(begin_keys)(w, kek, wrapped, 8, long_key);
    __m128i s[N];
    int half = halves - 1;
    for (int round = 1; round < w->rounds; round++) {
        PER_LANE
        for (int i = 0; i < N; i++)
            w->key[round][i] = _mm_aesimc_si128(w->key[round][i]);
    }
    PER_LANE
    for (int i = 0; i < N; i++)
        s[i] = _mm_loadl_epi64((const __m128i *)wrapped[i]);
    for (int step = 6 * halves; step > 0; step--) {
        const __m128i count = _mm_set_epi64x(0, (long long)__builtin_bswap64((uint64_t)step));
        PER_LANE
        for (int i = 0; i < N; i++)
            s[i] = _mm_unpacklo_epi64(_mm_xor_si128(s[i], count), w->half[half][i]);
        unstage(w, s);
        PER_LANE
        for (int i = 0; i < N; i++)
            w->half[half][i] = _mm_unpackhi_epi64(s[i], s[i]);
        half = half == 0 ? halves - 1 : half - 1;
    }
    for (int i = 0; i < N; i++) {
        const __m128i check = _mm_set1_epi64x((long long)0xA6A6A6A6A6A6A6A6ULL);
        const __m128i differs = _mm_unpacklo_epi64(_mm_xor_si128(s[i], check), _mm_setzero_si128());
        good[i] = (uint8_t)sm_verdict(_mm_testz_si128(differs, differs));
        const __m128i kept = _mm_set1_epi8((char)-(int)good[i]);
        for (int at = 0; at < halves; at++)
            _mm_storel_epi64((__m128i *)(out[i] + 8 * at), _mm_and_si128(w->half[at][i], kept));
    }
}
