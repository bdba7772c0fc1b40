/* Eight lanes for CPUs whose AES and carry-less multiplication take four blocks at once (AVX-512 with VAES and
 * VPCLMULQDQ: Ice Lake, Zen 4 and later). The design is that of sm_lanes_x86.h, four lanes a vector, and two differences:
 * a key is expanded beside the encryption of H and J0, each round as its key comes; and nothing is interleaved by hand,
 * since a group is so few instructions that the CPU sees from one of its phases into the next, and into the next group.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "sm_bytes.h"
#include "sm_lanes.h"

#define TIER __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmul")))
#define INLINE static inline __attribute__((always_inline)) TIER
#define SHARED static __attribute__((noinline)) TIER /* by two calls: a copy each would cost more than it saves */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { N = SM_LANES, Q = N / 4, MOST_ROUNDS = 14 }; /* Q quads of lanes */
enum { TITLE_AT = offsetof(sm_line, title), SUITE_AT = offsetof(sm_line, suite) };
_Static_assert(SUITE_AT + 8 == offsetof(sm_line, peer), "one load has the suite and the peer");

typedef struct {
    __m512i key[MOST_ROUNDS + 1][Q];
    __m512i half[4][Q]; /* of keys on their way: their lower eight bytes */
    uint8_t front[N][4][16];
    int rounds;
} work;

_Static_assert(sizeof(work) <= SM_LANES_SCRATCH, "the scratch is large enough");

INLINE __m512i all(int byte)
{
    return _mm512_set1_epi8((char)byte);
}

/* Four blocks, side by side. */
INLINE __m512i four(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d)
{
    __m512i quad = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)a));
    quad = _mm512_inserti32x4(quad, _mm_loadu_si128((const __m128i *)b), 1);
    quad = _mm512_inserti32x4(quad, _mm_loadu_si128((const __m128i *)c), 2);
    return _mm512_inserti32x4(quad, _mm_loadu_si128((const __m128i *)d), 3);
}

/* 16 bytes of four lines at an offset. */
INLINE __m512i of_lines(const sm_lane *const g[4], size_t at)
{
    return four((const uint8_t *)g[0]->line + at, (const uint8_t *)g[1]->line + at, (const uint8_t *)g[2]->line + at,
                (const uint8_t *)g[3]->line + at);
}

INLINE __m128i lane_of(__m512i quad, int lane)
{
    switch (lane) {
    case 0:
        return _mm512_castsi512_si128(quad);
    case 1:
        return _mm512_extracti32x4_epi32(quad, 1);
    case 2:
        return _mm512_extracti32x4_epi32(quad, 2);
    default:
        return _mm512_extracti32x4_epi32(quad, 3);
    }
}

INLINE __m512i swapped(__m512i x)
{
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(
                                      _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

/* Each word the xor of itself and those before it, and of `word`. */
INLINE __m512i chained(__m512i k, __m512i word)
{
    k = _mm512_xor_si512(k, _mm512_bslli_epi128(k, 4));
    return _mm512_ternarylogic_epi64(k, _mm512_bslli_epi128(k, 8), word, 0x96);
}

/* The next round's keys from the one a key's length back and the one before: aes_aesni.c has the reason. */
INLINE __m512i next_key(__m512i back, __m512i before, int constant)
{
    if (constant == 0) /* the middle of a long key: no rotation */
        return chained(back, _mm512_aesenclast_epi128(_mm512_shuffle_epi8(before, _mm512_set1_epi32(0x0F0E0D0C)),
                                                      _mm512_setzero_si512()));
    return chained(back, _mm512_aesenclast_epi128(_mm512_shuffle_epi8(before, _mm512_set1_epi32(0x0C0F0E0D)),
                                                  _mm512_set1_epi32(constant)));
}

/* Expand the keys of a quad, and encrypt two blocks under them on the way. */
INLINE void expand(work *w, int q, __m512i a, __m512i b, int long_key, __m512i *one, __m512i *two)
{
    __m512i s = _mm512_xor_si512(*one, a), t = _mm512_xor_si512(*two, a);
    int constant = 1;
    w->key[0][q] = a;
    if (long_key) {
        w->key[1][q] = b;
        s = _mm512_aesenc_epi128(s, b);
        t = _mm512_aesenc_epi128(t, b);
        for (int round = 2; round < 14; round += 2) {
            a = next_key(a, b, constant);
            w->key[round][q] = a;
            s = _mm512_aesenc_epi128(s, a);
            t = _mm512_aesenc_epi128(t, a);
            b = next_key(b, a, 0);
            w->key[round + 1][q] = b;
            s = _mm512_aesenc_epi128(s, b);
            t = _mm512_aesenc_epi128(t, b);
            constant <<= 1;
        }
        a = next_key(a, b, constant);
    } else {
        for (int round = 1; round < 10; round++) {
            a = next_key(a, a, constant);
            w->key[round][q] = a;
            s = _mm512_aesenc_epi128(s, a);
            t = _mm512_aesenc_epi128(t, a);
            constant = round == 8 ? 0x1B : constant << 1;
        }
        a = next_key(a, a, constant);
    }
    w->key[long_key ? 14 : 10][q] = a;
    *one = _mm512_aesenclast_epi128(s, a);
    *two = _mm512_aesenclast_epi128(t, a);
}

INLINE void encrypt(const work *w, __m512i s[Q])
{
    const int rounds = w->rounds;
    UNROLL
    for (int q = 0; q < Q; q++)
        s[q] = _mm512_xor_si512(s[q], w->key[0][q]);
    UNROLL
    for (int round = 1; round < 10; round++) {
        for (int q = 0; q < Q; q++)
            s[q] = _mm512_aesenc_epi128(s[q], w->key[round][q]);
    }
    for (int round = 10; round < rounds; round++) {
        for (int q = 0; q < Q; q++)
            s[q] = _mm512_aesenc_epi128(s[q], w->key[round][q]);
    }
    UNROLL
    for (int q = 0; q < Q; q++)
        s[q] = _mm512_aesenclast_epi128(s[q], w->key[rounds][q]);
}

/* H times x, byte-swapped: see ghash_pclmul.c. */
INLINE __m512i hash_key(__m512i h)
{
    __m512i x = swapped(h);
    const __m512i carry = _mm512_srli_epi64(x, 63);
    const __m512i fell = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_shuffle_epi32(carry, (_MM_PERM_ENUM)0xAA));
    const __m512i fold = _mm512_broadcast_i32x4(_mm_set_epi64x((long long)0xC200000000000000ULL, 1));
    x = _mm512_or_si512(_mm512_slli_epi64(x, 1), _mm512_bslli_epi128(carry, 8));
    return _mm512_ternarylogic_epi64(x, fell, fold, 0x78); /* x ^ (fell & fold) */
}

/* One block more of each lane's GHASH. */
INLINE __m512i hash(__m512i y, __m512i block, __m512i h)
{
    const __m512i fold = _mm512_set1_epi64((long long)0xC200000000000000ULL);
    const __m512i a = _mm512_xor_si512(y, swapped(block));
    const __m512i low = _mm512_clmulepi64_epi128(a, h, 0x00), high = _mm512_clmulepi64_epi128(a, h, 0x11);
    const __m512i other = _mm512_clmulepi64_epi128(a, h, 0x10);
    __m512i middle = _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(a, h, 0x01), other,
                                               _mm512_shuffle_epi32(low, (_MM_PERM_ENUM)0x4E), 0x96);
    middle = _mm512_xor_si512(middle, _mm512_clmulepi64_epi128(low, fold, 0x00));
    return _mm512_ternarylogic_epi64(high, _mm512_shuffle_epi32(middle, (_MM_PERM_ENUM)0x4E),
                                     _mm512_clmulepi64_epi128(middle, fold, 0x00), 0x96);
}

/* What is the same for a quad through its message. */
typedef struct {
    __m512i h, y, hide, front[3];
} quad;

INLINE __m512i counter_blocks(const sm_lane *const g[4], __m512i titles)
{
    __m512i iv = _mm512_maskz_mov_epi64(0x55, titles);
    iv = _mm512_mask_set1_epi32(iv, 1 << 2, (int)__builtin_bswap32(g[0]->counter));
    iv = _mm512_mask_set1_epi32(iv, 1 << 6, (int)__builtin_bswap32(g[1]->counter));
    iv = _mm512_mask_set1_epi32(iv, 1 << 10, (int)__builtin_bswap32(g[2]->counter));
    return _mm512_mask_set1_epi32(iv, 1 << 14, (int)__builtin_bswap32(g[3]->counter));
}

/* Keys, H, E(J0) and SC | AK of the quads; gives their IVs with nothing in the counter's place. */
SHARED void begin(work *w, const sm_lane *const g[N], quad quads[Q], __m512i iv[Q], int control, int opening,
                  int long_key)
{
    w->rounds = long_key ? 14 : 10;
    UNROLL
    for (int q = 0; q < Q; q++) {
        const sm_lane *const *four_of = g + 4 * q;
        quad *p = &quads[q];
        const __m512i a = of_lines(four_of, offsetof(sm_line, ek));
        const __m512i b = long_key ? of_lines(four_of, SM_LINE + offsetof(sm_line, ek)) : a;
        const __m512i back = of_lines(four_of, SUITE_AT); /* suite 1 | ... | peer 8 */
        const __m512i titles = opening ? _mm512_bsrli_epi128(back, 8) : of_lines(four_of, TITLE_AT);
        const __m512i ak = of_lines(four_of, offsetof(sm_line, ak));
        const __m512i more = long_key ? of_lines(four_of, SM_LINE + offsetof(sm_line, ak)) : _mm512_setzero_si512();
        const __m512i suite = _mm512_maskz_mov_epi8(0x0001000100010001ULL, _mm512_or_si512(back, all(control)));
        iv[q] = counter_blocks(four_of, titles);
        p->front[0] = _mm512_or_si512(_mm512_bslli_epi128(ak, 1), suite);
        p->front[1] = _mm512_alignr_epi8(more, ak, 15);
        p->front[2] = _mm512_bsrli_epi128(more, 15);
        p->y = p->h = _mm512_setzero_si512();
        p->hide = _mm512_mask_set1_epi32(iv[q], 0x8888, 0x01000000);
        expand(w, q, a, b, long_key, &p->h, &p->hide);
        p->h = hash_key(p->h);
    }
}

/* SC | AK where lanes that begin later can reach it, behind a block of nothing. */
SHARED void put_fronts(work *w, const quad quads[Q])
{
    for (int i = 0; i < N; i++) {
        _mm_storeu_si128((__m128i *)w->front[i][0], _mm_setzero_si128());
        for (int item = 0; item < 3; item++) {
            __m512i from = quads[i / 4].front[item];
            uint8_t bytes[64];
            _mm512_storeu_si512(bytes, from);
            memcpy(w->front[i][item + 1], bytes + 16 * (i % 4), 16);
            sm_wipe(bytes, sizeof bytes);
        }
    }
}

INLINE const uint8_t *front_of(const work *w, int lane, int item)
{
    return w->front[lane][item < 0 ? 0 : item + 1];
}

INLINE uint64_t bytes_of(unsigned length)
{
    return length >= 16 ? 0xFFFF : (1ULL << length) - 1;
}

/* A block of every lane: encrypted or decrypted, and hashed. `waits`: how many blocks later a lane begins, or NULL. */
INLINE void step(work *w, const sm_lane *const g[N], quad quads[Q], __m512i counter[Q], const uint64_t valid[Q], int t,
                 const int *waits, int items, int opening)
{
    __m512i s[Q];
    UNROLL
    for (int q = 0; q < Q; q++) {
        s[q] = counter[q];
        counter[q] = _mm512_add_epi32(counter[q], _mm512_maskz_set1_epi32(0x8888, 1 << 24)); /* at most 253 blocks */
    }
    encrypt(w, s);
    UNROLL
    for (int q = 0; q < Q; q++) {
        const uint8_t *from[4];
        uint64_t active = 0;
        UNROLL
        for (int i = 0; i < 4; i++) {
            const int lane = 4 * q + i, at = waits == NULL ? t : t - waits[lane];
            from[i] = at < 0 ? front_of(w, lane, at + items) : g[lane]->in + 16 * at;
            active |= (uint64_t)(at < 0 ? 0 : 0xFFFF) << 16 * i;
        }
        const __m512i came = _mm512_maskz_mov_epi8(valid[q], four(from[0], from[1], from[2], from[3]));
        const __m512i other = _mm512_xor_si512(came, _mm512_maskz_mov_epi8(valid[q] & active, s[q]));
        UNROLL
        for (int i = 0; i < 4; i++) {
            const int lane = 4 * q + i, at = waits == NULL ? t : t - waits[lane];
            if (at >= 0)
                _mm_storeu_si128((__m128i *)g[lane]->out + at, lane_of(other, i));
        }
        quads[q].y = hash(quads[q].y, opening ? came : other, quads[q].h);
    }
}

SHARED void gcm(const sm_lane *const g[N], work *w, uint8_t *good, int opening, int long_key)
{
    const int items = 2 + long_key;
    quad quads[Q];
    __m512i counter[Q], came[Q];
    uint64_t valid[Q];
    int waits[N], most = 0, late = 0;
    begin(w, g, quads, counter, 0x30, opening, long_key);
    UNROLL
    for (int i = 0; i < N; i++) {
        waits[i] = (int)((g[i]->length + 15) / 16);
        most = waits[i] > most ? waits[i] : most;
    }
    UNROLL
    for (int i = 0; i < N; i++) {
        waits[i] = most - waits[i];
        late |= waits[i];
    }
    UNROLL
    for (int q = 0; q < Q; q++) {
        const sm_lane *const *lane = g + 4 * q;
        /* The block counter of a lane that waits begins below 2, and is 2 when its text begins. */
        const __m512i before = _mm512_inserti32x4(
            _mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(_mm_insert_epi32(
                                                      _mm_setzero_si128(), (2 - waits[4 * q]) * (1 << 24), 3)),
                                                  _mm_insert_epi32(_mm_setzero_si128(), (2 - waits[4 * q + 1]) * (1 << 24), 3), 1),
                               _mm_insert_epi32(_mm_setzero_si128(), (2 - waits[4 * q + 2]) * (1 << 24), 3), 2),
            _mm_insert_epi32(_mm_setzero_si128(), (2 - waits[4 * q + 3]) * (1 << 24), 3), 3);
        counter[q] = _mm512_or_si512(counter[q], before);
        valid[q] = 0;
        UNROLL
        for (int i = 0; i < 4; i++) /* of the last block, which all lanes have at once */
            valid[q] |= bytes_of(lane[i]->length == 0 ? 16 : lane[i]->length - 16 * ((lane[i]->length - 1) / 16)) << 16 * i;
        came[q] = _mm512_setzero_si512();
        if (opening) { /* now: what is opened in its place is written over its tag */
            __m128i tag[4];
            UNROLL
            for (int i = 0; i < 4; i++)
                tag[i] = _mm_maskz_loadu_epi8(0x0FFF, lane[i]->in + lane[i]->length);
            came[q] = _mm512_inserti32x4(_mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(tag[0]), tag[1], 1),
                                                            tag[2], 2), tag[3], 3);
        }
    }
    const uint64_t whole[Q] = {~0ULL, ~0ULL};
    if (late == 0) {
        for (int item = 0; item < items; item++) {
            UNROLL
            for (int q = 0; q < Q; q++)
                quads[q].y = hash(quads[q].y, quads[q].front[item], quads[q].h);
        }
        for (int t = 0; t < most; t++)
            step(w, g, quads, counter, t == most - 1 ? valid : whole, t, NULL, items, opening);
    } else {
        put_fronts(w, quads);
        for (int t = -items; t < 0; t++) {
            for (int q = 0; q < Q; q++) {
                const uint8_t *from[4];
                for (int i = 0; i < 4; i++)
                    from[i] = front_of(w, 4 * q + i, t - waits[4 * q + i] + items);
                quads[q].y = hash(quads[q].y, four(from[0], from[1], from[2], from[3]), quads[q].h);
            }
        }
        for (int t = 0; t < most; t++)
            step(w, g, quads, counter, t == most - 1 ? valid : whole, t, waits, items, opening);
    }
    UNROLL
    for (int q = 0; q < Q; q++) {
        const sm_lane *const *lane = g + 4 * q;
        const uint64_t aad = __builtin_bswap64((1 + 16 * (1 + (uint64_t)long_key)) * 8);
        __m512i lengths = _mm512_maskz_set1_epi64(0x55, (long long)aad);
        lengths = _mm512_mask_set1_epi32(lengths, 1 << 3, (int)__builtin_bswap32(lane[0]->length * 8));
        lengths = _mm512_mask_set1_epi32(lengths, 1 << 7, (int)__builtin_bswap32(lane[1]->length * 8));
        lengths = _mm512_mask_set1_epi32(lengths, 1 << 11, (int)__builtin_bswap32(lane[2]->length * 8));
        lengths = _mm512_mask_set1_epi32(lengths, 1 << 15, (int)__builtin_bswap32(lane[3]->length * 8));
        const __m512i y = hash(quads[q].y, lengths, quads[q].h);
        const __m512i tag = _mm512_maskz_xor_epi32(0x7777, swapped(y), quads[q].hide);
        if (!opening) {
            UNROLL
            for (int i = 0; i < 4; i++)
                _mm_storeu_si128((__m128i *)(lane[i]->out + lane[i]->length), lane_of(tag, i));
        } else {
            const unsigned differs = _mm512_cmpneq_epi32_mask(tag, came[q]);
            UNROLL
            for (int i = 0; i < 4; i++)
                good[4 * q + i] = (uint8_t)sm_verdict((differs >> 4 * i & 0xF) == 0);
        }
    }
}

TIER static void seal(const sm_lane *const lane[N], int long_key, void *scratch)
{
    gcm(lane, scratch, NULL, 0, long_key);
}

TIER static void open(const sm_lane *const lane[N], int long_key, uint8_t good[N], void *scratch)
{
    gcm(lane, scratch, good, 1, long_key);
}

TIER static void gmac(const sm_lane *const g[N], int long_key, void *scratch)
{
    work *w = scratch;
    const int before = 1 + 16 * (1 + long_key), shared = 1 + long_key; /* bytes of SC | AK; the block where they end */
    quad quads[Q];
    __m512i iv[Q];
    int blocks[N], most = 0;
    begin(w, g, quads, iv, 0x10, 0, long_key);
    put_fronts(w, quads);
    for (int i = 0; i < N; i++) {
        blocks[i] = (before + (int)g[i]->length + 15) / 16;
        most = blocks[i] > most ? blocks[i] : most;
        const __m128i text = _mm_loadu_si128((const __m128i *)g[i]->in);
        const __mmask16 mine = (__mmask16)bytes_of(g[i]->length);
        __m128i joint = _mm_loadu_si128((const __m128i *)w->front[i][shared + 1]);
        joint = _mm_or_si128(joint, _mm_slli_si128(_mm_maskz_mov_epi8(mine, text), 1));
        _mm_storeu_si128((__m128i *)w->front[i][shared + 1], joint);
    }
    for (int t = 0; t < most; t++) {
        UNROLL
        for (int q = 0; q < Q; q++) {
            const uint8_t *from[4];
            uint64_t valid = 0;
            for (int i = 0; i < 4; i++) {
                const int lane = 4 * q + i, at = t - most + blocks[lane];
                const int left = before + (int)g[lane]->length - 16 * at;
                from[i] = at <= shared ? front_of(w, lane, at) : g[lane]->in + 16 * at - before;
                valid |= bytes_of((unsigned)left) << 16 * i;
            }
            const __m512i block = four(from[0], from[1], from[2], from[3]);
            quads[q].y = hash(quads[q].y, _mm512_maskz_mov_epi8(valid, block), quads[q].h);
        }
    }
    UNROLL
    for (int q = 0; q < Q; q++) {
        uint64_t bits[8] = {0};
        for (int i = 0; i < 4; i++)
            bits[2 * i] = __builtin_bswap64(((uint64_t)before + g[4 * q + i]->length) * 8);
        const __m512i y = hash(quads[q].y, _mm512_loadu_si512(bits), quads[q].h);
        const __m512i tag = _mm512_maskz_xor_epi32(0x7777, swapped(y), quads[q].hide);
        UNROLL
        for (int i = 0; i < 4; i++)
            _mm_storeu_si128((__m128i *)g[4 * q + i]->out, lane_of(tag, i));
    }
}

/* The schedules of eight KEKs, and the halves of the eight keys behind `skip` bytes, as many as a KEK has; how many. */
SHARED int begin_keys(work *w, const uint8_t *const kek[N], const uint8_t *const key[N], int skip, int long_key)
{
    const int halves = long_key ? 4 : 2;
    w->rounds = long_key ? 14 : 10;
    UNROLL
    for (int q = 0; q < Q; q++) {
        const uint8_t *const *k = kek + 4 * q;
        __m512i unused = _mm512_setzero_si512(), also = unused;
        const __m512i a = four(k[0], k[1], k[2], k[3]);
        expand(w, q, a, long_key ? four(k[0] + 16, k[1] + 16, k[2] + 16, k[3] + 16) : a, long_key, &unused, &also);
    }
    for (int half = 0; half < halves; half++) {
        for (int i = 0; i < N; i++)
            _mm_storeu_si128((__m128i *)&w->half[half][i / 4] + i % 4,
                             _mm_loadl_epi64((const __m128i *)(key[i] + skip + 8 * half)));
    }
    return halves;
}

INLINE __m512i step_number(int step)
{
    return _mm512_maskz_set1_epi64(0x55, (long long)__builtin_bswap64((uint64_t)step));
}

SHARED void put_half(__m512i from[Q], uint8_t *const out[N], int at)
{
    for (int q = 0; q < Q; q++) {
        UNROLL
        for (int i = 0; i < 4; i++)
            _mm_storel_epi64((__m128i *)(out[4 * q + i] + at), lane_of(from[q], i));
    }
}

/* RFC 3394 2.2.1, as in sm_lanes_x86.h. */
TIER static void wrap(const uint8_t *const kek[N], const uint8_t *const key[N], uint8_t *const out[N], int long_key,
                      void *scratch)
{
    work *w = scratch;
    const int halves = begin_keys(w, kek, key, 0, long_key);
    __m512i s[Q] = {all(0xA6), all(0xA6)};
    int half = 0;
    for (int step = 1; step <= 6 * halves; step++) {
        for (int q = 0; q < Q; q++)
            s[q] = _mm512_unpacklo_epi64(s[q], w->half[half][q]);
        encrypt(w, s);
        for (int q = 0; q < Q; q++) {
            w->half[half][q] = _mm512_unpackhi_epi64(s[q], s[q]);
            s[q] = _mm512_xor_si512(s[q], step_number(step));
        }
        half = half + 1 == halves ? 0 : half + 1;
    }
    put_half(s, out, 0);
    for (int at = 0; at < halves; at++)
        put_half(w->half[at], out, 8 + 8 * at);
}

TIER static void unwrap(const uint8_t *const kek[N], const uint8_t *const wrapped[N], uint8_t *const out[N],
                        int long_key, uint8_t good[N], void *scratch)
{
    work *w = scratch;
    const int halves = begin_keys(w, kek, wrapped, 8, long_key), rounds = w->rounds;
    const __m512i zero = _mm512_setzero_si512();
    __m512i s[Q];
    int half = halves - 1;
    for (int round = 1; round < rounds; round++) {
        for (int q = 0; q < Q; q++) /* there is no AESIMC of four blocks, but this undoes all of a round but that */
            w->key[round][q] = _mm512_aesdec_epi128(_mm512_aesenclast_epi128(w->key[round][q], zero), zero);
    }
    for (int q = 0; q < Q; q++) {
        const uint8_t *const *from = wrapped + 4 * q;
        s[q] = four(from[0], from[1], from[2], from[3]);
    }
    for (int step = 6 * halves; step > 0; step--) {
        for (int q = 0; q < Q; q++) {
            s[q] = _mm512_unpacklo_epi64(_mm512_xor_si512(s[q], step_number(step)), w->half[half][q]);
            s[q] = _mm512_xor_si512(s[q], w->key[rounds][q]);
        }
        for (int round = rounds - 1; round > 0; round--) {
            for (int q = 0; q < Q; q++)
                s[q] = _mm512_aesdec_epi128(s[q], w->key[round][q]);
        }
        for (int q = 0; q < Q; q++) {
            s[q] = _mm512_aesdeclast_epi128(s[q], w->key[0][q]);
            w->half[half][q] = _mm512_unpackhi_epi64(s[q], s[q]);
        }
        half = half == 0 ? halves - 1 : half - 1;
    }
    for (int q = 0; q < Q; q++) {
        const unsigned differs = _mm512_mask_cmpneq_epi32_mask(0x3333, s[q], all(0xA6));
        __mmask16 kept = 0;
        for (int i = 0; i < 4; i++) {
            good[4 * q + i] = (uint8_t)sm_verdict((differs >> 4 * i & 0xF) == 0);
            kept = (__mmask16)(kept | (good[4 * q + i] ? 0xF << 4 * i : 0));
        }
        for (int at = 0; at < halves; at++)
            w->half[at][q] = _mm512_maskz_mov_epi32(kept, w->half[at][q]);
    }
    for (int at = 0; at < halves; at++)
        put_half(w->half[at], out, 8 * at);
}

const sm_lanes sm_lanes_vaes = {.seal = seal, .open = open, .gmac = gmac, .wrap = wrap, .unwrap = unwrap};

#else
typedef int sm_lanes_vaes_is_for_x86_64;
#endif
