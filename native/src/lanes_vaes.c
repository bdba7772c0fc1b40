/* Sixteen lanes for CPUs with AVX-512, VAES and VPCLMULQDQ: four blocks, of four messages under four keys, an instruction.
 *
 * A vector of 64 bytes holds a block, a round key or a hash of each of four lanes, and four such vectors a group. On these
 * CPUs AES keeps one port busy and everything that multiplies or shuffles the other, and a hash waits for itself: sixteen
 * lanes have enough to do meanwhile. Each round of AES carries a piece of the GHASH step before it (sm_lanes_x86.h says why).
 *
 * GHASH: with B' = b x^-64 at hand, a b x^-128 = x^-64 (a1 b + a0 B') for a = a1 x^64 + a0, and both products together have
 * 192 bits instead of 256. So one fold is left of the two in ghash_pclmul.c, and B' costs one for a whole message.
 *
 * All lanes begin together; one that is shorter than the group's longest stops: what it reads and writes after that is
 * nobody's, and masks keep its hash as it was. The masks are made of lengths, which are no secret. Keys and texts decide on no
 * branch and no address. Valgrind knows no AVX-512, so this is watched from inside only (the proof called marked-memory).
 */
#if defined(__x86_64__)

#include "sm_bytes.h"
#include "sm_lanes.h"
#include "sm_vaes.h"

enum { N = 16, Q = N / 4, MOST_ROUNDS = 14 };

typedef struct {
    four key[MOST_ROUNDS + 1][Q];
    four base[Q]; /* title | counter | 0, and the first round's key */
    four hide[Q]; /* E(J0), then the tags */
    four came[Q]; /* tags of what is opened */
    four h[Q], folded[Q]; /* H x and H x^-63, byte-swapped */
    four live[Q]; /* all ones where a lane still hashes */
    four half[4][Q]; /* of keys on their way: their lower eight bytes */
    uint8_t waste[16];
    int rounds;
} work;

/* Hides from the compiler that it has seen the scratch: it would keep copies of the round keys in its own stack. */
#define FORGET(w) __asm__ __volatile__("" : "+m"(*(w)))

_Static_assert(sizeof(work) <= SM_LANES_SCRATCH, "the scratch is large enough");

/* Of each lane: the hash so far, in two parts, and the block to be hashed next, byte-swapped; products on their way. */
typedef struct {
    four y[Q], more[Q], pend[Q], low[Q], high[Q], other[Q];
} hashing;

static const uint8_t nothing[16];
static const uint8_t ascending[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

INLINE __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Sixteen bytes of four lanes, `at` bytes into what each pointer says. */
INLINE four gather_at(const uint8_t *const p[4], size_t at)
{
    four x = _mm512_castsi128_si512(load(p[0] + at));
    x = _mm512_inserti32x4(x, load(p[1] + at), 1);
    x = _mm512_inserti32x4(x, load(p[2] + at), 2);
    return _mm512_inserti32x4(x, load(p[3] + at), 3);
}

INLINE four gather(const uint8_t *const p[4])
{
    return gather_at(p, 0);
}

INLINE void scatter_at(uint8_t *const p[4], size_t at, four x)
{
    /* Not by the intrinsic: this way an extraction and its store are one instruction, which needs no port for shuffles. */
    _mm_storeu_si128((__m128i *)(p[0] + at), _mm512_castsi512_si128(x));
    _mm_storeu_si128((__m128i *)(p[1] + at), (__m128i)__builtin_shufflevector(x, x, 2, 3));
    _mm_storeu_si128((__m128i *)(p[2] + at), (__m128i)__builtin_shufflevector(x, x, 4, 5));
    _mm_storeu_si128((__m128i *)(p[3] + at), (__m128i)__builtin_shufflevector(x, x, 6, 7));
}

/* The next key of each lane from the one a key's length back and the word its first word is changed by. */
INLINE four chained(four k, four word)
{
    k = _mm512_xor_si512(k, _mm512_bslli_epi128(k, 4));
    return xor3(k, _mm512_bslli_epi128(k, 8), word);
}

/* SubWord of a lane's last word in every column, where the ShiftRows of AESENCLAST changes nothing; and RotWord. */
INLINE four rotated_sub(four k, int constant)
{
    return _mm512_aesenclast_epi128(_mm512_shuffle_epi8(k, _mm512_set1_epi32(0x0C0F0E0D)),
                                    _mm512_set1_epi32(constant));
}

INLINE four plain_sub(four k)
{
    return _mm512_aesenclast_epi128(_mm512_shuffle_epi32(k, (_MM_PERM_ENUM)0xFF), _mm512_setzero_si512());
}

/* The schedules of sixteen keys, whose bytes are where the first round's keys go, and of long keys the second's too. */
SHARED void expand(work *w, int long_key)
{
    four a[Q], b[Q];
    int constant = 1;
    UNROLL
    for (int q = 0; q < Q; q++)
        a[q] = w->key[0][q];
    if (!long_key) {
        w->rounds = 10;
        for (int round = 1; round <= 10; round++) {
            UNROLL
            for (int q = 0; q < Q; q++)
                w->key[round][q] = a[q] = chained(a[q], rotated_sub(a[q], constant));
            constant = round == 8 ? 0x1B : constant << 1;
        }
        return;
    }
    w->rounds = MOST_ROUNDS;
    UNROLL
    for (int q = 0; q < Q; q++)
        b[q] = w->key[1][q];
    for (int round = 2;; round += 2) {
        UNROLL
        for (int q = 0; q < Q; q++)
            w->key[round][q] = a[q] = chained(a[q], rotated_sub(b[q], constant));
        constant <<= 1;
        if (round == MOST_ROUNDS)
            break;
        UNROLL
        for (int q = 0; q < Q; q++)
            w->key[round + 1][q] = b[q] = chained(b[q], plain_sub(a[q]));
    }
}

/* Ready to hash under the H of each lane. */
INLINE void hash_keys(work *w, const four h[Q])
{
    UNROLL
    for (int q = 0; q < Q; q++) {
        const four x = swapped(h[q]);
        const four carry = _mm512_srli_epi64(x, 63);
        const four fell = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_shuffle_epi32(carry, (_MM_PERM_ENUM)0xAA));
        const four twice = _mm512_or_si512(_mm512_slli_epi64(x, 1), _mm512_bslli_epi128(carry, 8));
        const four poly = all_four(_mm_set_epi64x((long long)0xC200000000000000ULL, 1));
        const four hx = _mm512_ternarylogic_epi64(twice, fell, poly, 0x78); /* twice ^ (fell & poly) */
        w->h[q] = hx;
        w->folded[q] = _mm512_xor_si512(turned(hx), fold_of(hx));
    }
}

/* One block of the GHASH of four lanes, in two pieces. */
INLINE void hash_multiply(const work *w, hashing *s, int q)
{
    const four a = xor3(s->y[q], s->more[q], s->pend[q]);
    s->low[q] = _mm512_xor_si512(_mm512_clmulepi64_epi128(a, w->h[q], 0x01),
                                 _mm512_clmulepi64_epi128(a, w->folded[q], 0x00));
    s->high[q] = _mm512_clmulepi64_epi128(a, w->h[q], 0x11);
    s->other[q] = _mm512_clmulepi64_epi128(a, w->folded[q], 0x10);
}

/* `some`: not all lanes still hash. */
INLINE void hash_reduce(const work *w, hashing *s, int q, int some)
{
    const four y = xor3(s->high[q], s->other[q], turned(s->low[q])), more = fold_of(s->low[q]);
    if (some) {
        s->y[q] = _mm512_ternarylogic_epi64(s->y[q], y, w->live[q], 0xD8); /* live ? y : as it was */
        s->more[q] = _mm512_ternarylogic_epi64(s->more[q], more, w->live[q], 0xD8);
    } else {
        s->y[q] = y;
        s->more[q] = more;
    }
}

INLINE void hash(work *w, hashing *s, int some)
{
    FORGET(w);
    UNROLL
    for (int q = 0; q < Q; q++)
        hash_multiply(w, s, q);
    UNROLL
    for (int q = 0; q < Q; q++)
        hash_reduce(w, s, q, some);
}

/* Which bytes a text of these lengths has in the block `at`, if it begins `before` bytes late; `live`: who has any. */
INLINE __mmask64 bytes_of(four length, int at, int before, four *live)
{
    const four nought = _mm512_setzero_si512();
    four left = _mm512_add_epi32(length, _mm512_set1_epi32(before - 16 * at));
    left = _mm512_min_epi32(_mm512_max_epi32(left, nought), _mm512_set1_epi32(16));
    *live = _mm512_maskz_set1_epi32(_mm512_test_epi32_mask(left, left), -1);
    return _mm512_cmplt_epu8_mask(all_four(load(ascending)), _mm512_shuffle_epi8(left, nought));
}

/* What each round of AES carries besides. */
enum { ALONE, A_HASH, A_TEXT };

/* A block of the texts that waits for the next stage. */
typedef struct {
    const uint8_t *const *from;
    uint8_t *const *to;
    size_t at;
    const four *length;
    int opening, number, masked; /* some have less than all of this block */
    four key[Q];                 /* what encrypts it */
} texts;

/* Encrypt or decrypt a block of four lanes, to be hashed next. */
INLINE void one_text(work *w, hashing *s, const texts *x, int q)
{
    four text = gather_at(x->from + 4 * q, x->at);
    four other = _mm512_xor_si512(text, x->key[q]);
    if (x->masked) {
        const __mmask64 mask = bytes_of(x->length[q], x->number, 0, &w->live[q]);
        text = _mm512_maskz_mov_epi8(mask, text);
        other = _mm512_maskz_mov_epi8(mask, other);
    }
    scatter_at(x->to + 4 * q, x->at, other);
    s->pend[q] = swapped(x->opening ? text : other);
}

/* AES over a block of sixteen lanes, to which the first round's key is added already, and beside it a step of their hashes,
 * of which the text may be still to do. */
INLINE void stage(work *w, four b[Q], int besides, hashing *s, const texts *x)
{
    FORGET(w);
    UNROLL
    for (int round = 1; round < 10; round++) {
        UNROLL
        for (int q = 0; q < Q; q++)
            b[q] = _mm512_aesenc_epi128(b[q], w->key[round][q]);
        if (besides == A_TEXT && round <= Q)
            one_text(w, s, x, round - 1);
        if (besides != ALONE && round > 1 && round <= Q + 1)
            hash_multiply(w, s, round - 2);
        if (besides != ALONE && round > 4 && round <= Q + 4)
            hash_reduce(w, s, round - 5, besides == A_TEXT && x->masked);
    }
    for (int round = 10; round < w->rounds; round++) {
        UNROLL
        for (int q = 0; q < Q; q++)
            b[q] = _mm512_aesenc_epi128(b[q], w->key[round][q]);
    }
    UNROLL
    for (int q = 0; q < Q; q++)
        b[q] = _mm512_aesenclast_epi128(b[q], w->key[w->rounds][q]);
}

/* What a group's lines and rows say, four lanes a vector. */
typedef struct {
    four front[3][Q]; /* SC | AK in blocks, byte-swapped; of a long key the last is not empty */
    four length[Q];   /* of the text, in every word of a lane */
} heads;

SHARED void read_heads(work *w, heads *d, const sm_lane *const g[N], int control, int opening, int long_key)
{
    const four to_counter = _mm512_set_epi32(0, 7, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0);
    const four to_length = _mm512_set_epi32(6, 6, 6, 6, 4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0);
    const four backwards = all_four(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    const four first = _mm512_maskz_set1_epi32(0x1111, 0xFF);
    UNROLL
    for (int q = 0; q < Q; q++) {
        const sm_lane *const *lane = g + 4 * q;
        const four a = _mm512_loadu_si512(lane[0]->line), b = _mm512_loadu_si512(lane[1]->line);
        const four c = _mm512_loadu_si512(lane[2]->line), e = _mm512_loadu_si512(lane[3]->line);
        const four t0 = _mm512_shuffle_i32x4(a, b, 0x44), t1 = _mm512_shuffle_i32x4(a, b, 0xEE);
        const four t2 = _mm512_shuffle_i32x4(c, e, 0x44), t3 = _mm512_shuffle_i32x4(c, e, 0xEE);
        w->key[0][q] = _mm512_shuffle_i32x4(t0, t2, 0x88);
        const four ak = _mm512_shuffle_i32x4(t0, t2, 0xDD);
        const four ours = _mm512_shuffle_i32x4(t1, t3, 0x88), theirs = _mm512_shuffle_i32x4(t1, t3, 0xDD);
        four more = _mm512_setzero_si512();
        if (long_key) {
            const uint8_t *ek2[4], *ak2[4];
            for (int i = 0; i < 4; i++) {
                ek2[i] = lane[i]->line[1].ek;
                ak2[i] = lane[i]->line[1].ak;
            }
            w->key[1][q] = gather(ek2);
            more = gather(ak2);
        }
        /* SC = control | suite, and a line's suite is the first byte of its last 16. */
        const four sc = _mm512_and_si512(first, _mm512_or_si512(theirs, _mm512_set1_epi32(control)));
        d->front[0][q] = swapped(_mm512_or_si512(_mm512_bslli_epi128(ak, 1), sc));
        d->front[1][q] = swapped(_mm512_alignr_epi8(more, ak, 15));
        d->front[2][q] = swapped(_mm512_bsrli_epi128(more, 15));

        const __m128i low = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)&lane[0]->length),
                                               _mm_loadl_epi64((const __m128i *)&lane[1]->length));
        const __m128i high = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)&lane[2]->length),
                                                _mm_loadl_epi64((const __m128i *)&lane[3]->length));
        const four pairs = _mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1));
        const four counter = _mm512_maskz_permutexvar_epi32(0x4444, to_counter, pairs);
        d->length[q] = _mm512_permutexvar_epi32(to_length, pairs);
        const four title = opening ? _mm512_bsrli_epi128(theirs, 8) : _mm512_maskz_mov_epi64(0x55, ours);
        const four iv = _mm512_mask_shuffle_epi8(title, 0x0F000F000F000F00, counter, backwards);
        w->base[q] = _mm512_xor_si512(iv, w->key[0][q]);
    }
}

_Static_assert(offsetof(sm_lane, counter) == offsetof(sm_lane, length) + 4, "read_heads takes both at once");
_Static_assert(offsetof(sm_line, suite) == 48 && offsetof(sm_line, peer) == 56 && offsetof(sm_line, title) == 32,
               "read_heads takes a line apart in quarters");

/* The keys of a group, and nothing hashed yet. */
SHARED void begin(work *w, int long_key)
{
    four b[Q];
    expand(w, long_key);
    UNROLL
    for (int q = 0; q < Q; q++)
        b[q] = w->key[0][q];
    stage(w, b, ALONE, NULL, NULL);
    hash_keys(w, b);
}

INLINE void hash_nothing(hashing *s)
{
    UNROLL
    for (int q = 0; q < Q; q++)
        s->y[q] = s->more[q] = _mm512_setzero_si512();
}

/* The blocks of this number (where it ends in a counter block) of all lanes. */
INLINE void number_blocks(const work *w, four b[Q], four number)
{
    UNROLL
    for (int q = 0; q < Q; q++)
        b[q] = _mm512_xor_si512(w->base[q], number);
}

INLINE void set_pend(hashing *s, const four pend[Q])
{
    UNROLL
    for (int q = 0; q < Q; q++)
        s->pend[q] = pend[q];
}

/* Hash how many bytes there were, and turn what hides the tags into them. */
INLINE void finish(work *w, hashing *s, const four length[Q], int aad, int text)
{
    UNROLL
    for (int q = 0; q < Q; q++) {
        const four bits = _mm512_slli_epi32(length[q], 3);
        s->pend[q] = text ? _mm512_mask_mov_epi32(_mm512_maskz_set1_epi32(0x4444, aad * 8), 0x1111, bits)
                          : _mm512_maskz_add_epi32(0x4444, bits, _mm512_set1_epi32(aad * 8));
    }
    hash(w, s, 0);
    UNROLL
    for (int q = 0; q < Q; q++) {
        const four y = _mm512_xor_si512(s->y[q], s->more[q]);
        w->hide[q] = _mm512_maskz_xor_epi32(0x7777, swapped(y), w->hide[q]);
    }
}

SHARED void gcm(const sm_lane *const g[N], work *w, uint8_t *good, int opening, int long_key)
{
    heads d;
    hashing s;
    four number = _mm512_maskz_set1_epi32(0x8888, 1 << 24), block[Q];
    const uint8_t *in[N], *late_in[N];
    uint8_t *out[N], *late_out[N];
    unsigned most = 0, full = SM_LANES_TEXT, least = SM_LANES_TEXT;
    const four one = _mm512_maskz_set1_epi32(0x8888, 1 << 24); /* at most 253 blocks, so nothing is carried */
    for (int i = 0; i < N; i++) {
        const unsigned blocks = (g[i]->length + 15) / 16, whole = g[i]->length / 16;
        most = blocks > most ? blocks : most;
        least = blocks < least ? blocks : least;
        full = whole < full ? whole : full;
        in[i] = g[i]->in;
        out[i] = g[i]->out;
    }
    if (opening) {
        for (int q = 0; q < Q; q++) {
            __m128i tag[4];
            for (int i = 0; i < 4; i++)
                tag[i] = _mm_maskz_loadu_epi8(0x0FFF, g[4 * q + i]->in + g[4 * q + i]->length);
            w->came[q] = _mm512_inserti32x4(
                _mm512_inserti32x4(_mm512_inserti32x4(_mm512_castsi128_si512(tag[0]), tag[1], 1), tag[2], 2), tag[3], 3);
        }
    }
    read_heads(w, &d, g, 0x30, opening, long_key);
    texts x = {.from = in, .to = out, .length = d.length, .opening = opening};
    begin(w, long_key);
    hash_nothing(&s);
    number_blocks(w, block, number);
    set_pend(&s, d.front[0]);
    stage(w, block, A_HASH, &s, NULL);
    UNROLL
    for (int q = 0; q < Q; q++)
        w->hide[q] = block[q];
    set_pend(&s, d.front[1]);
    if (long_key) {
        hash(w, &s, 0);
        set_pend(&s, d.front[2]);
    }
    for (unsigned t = 0; t < most; t++) {
        number = _mm512_add_epi32(number, one);
        number_blocks(w, block, number);
        if (t == 0)
            stage(w, block, A_HASH, &s, NULL);
        else
            stage(w, block, A_TEXT, &s, &x);
        UNROLL
        for (int q = 0; q < Q; q++)
            x.key[q] = block[q];
        x.at = 16 * (size_t)t;
        x.number = (int)t;
        x.masked = t >= full;
        if (t >= least) { /* not all of them */
            for (int i = 0; i < N; i++) {
                const int has = x.at < g[i]->length;
                late_in[i] = has ? g[i]->in + x.at : nothing;
                late_out[i] = has ? g[i]->out + x.at : w->waste;
            }
            x.from = late_in;
            x.to = late_out;
            x.at = 0;
        }
    }
    if (most > 0) {
        UNROLL
        for (int q = 0; q < Q; q++)
            one_text(w, &s, &x, q);
    }
    hash(w, &s, most > 0 && x.masked);
    finish(w, &s, d.length, 1 + 16 * (1 + long_key), 1);
    for (int q = 0; q < Q; q++) {
        if (!opening) {
            for (int i = 4 * q; i < 4 * q + 4; i++)
                out[i] += g[i]->length;
            scatter_at(out + 4 * q, 0, w->hide[q]);
            continue;
        }
        const unsigned differs = _mm512_cmpneq_epi64_mask(w->hide[q], w->came[q]);
        for (int i = 0; i < 4; i++)
            good[4 * q + i] = (uint8_t)sm_verdict((differs >> 2 * i & 3) == 0);
    }
}

TIER static void vaes_seal(const sm_lane *const g[N], int long_key, void *scratch)
{
    gcm(g, scratch, NULL, 0, long_key);
}

TIER static void vaes_open(const sm_lane *const g[N], int long_key, uint8_t good[N], void *scratch)
{
    gcm(g, scratch, good, 1, long_key);
}

TIER static void vaes_gmac(const sm_lane *const g[N], int long_key, void *scratch)
{
    work *w = scratch;
    heads d;
    hashing s;
    four block[Q];
    const int before = 1 + 16 * (1 + long_key), shared = 1 + long_key; /* the block where AK ends */
    unsigned most = 0;
    for (int i = 0; i < N; i++)
        most = g[i]->length > most ? g[i]->length : most;
    const int blocks = (int)(most + (unsigned)before + 15) / 16;
    read_heads(w, &d, g, 0x10, 0, long_key);
    begin(w, long_key);
    hash_nothing(&s);
    set_pend(&s, d.front[0]);
    number_blocks(w, block, _mm512_maskz_set1_epi32(0x8888, 1 << 24));
    stage(w, block, A_HASH, &s, NULL);
    UNROLL
    for (int q = 0; q < Q; q++)
        w->hide[q] = block[q];
    if (long_key) {
        set_pend(&s, d.front[1]);
        hash(w, &s, 0);
    }
    for (int t = shared; t < blocks; t++) {
        for (int q = 0; q < Q; q++) {
            const uint8_t *from[4];
            const __mmask64 mask = bytes_of(d.length[q], t, before, &w->live[q]);
            for (int i = 0; i < 4; i++) {
                const sm_lane *lane = g[4 * q + i];
                const int at = t == shared ? 0 : 16 * t - before;
                from[i] = at < (int)lane->length ? lane->in + at : nothing;
            }
            four text = gather(from);
            if (t == shared)
                text = _mm512_bslli_epi128(text, 1);
            text = swapped(_mm512_maskz_mov_epi8(mask, text));
            s.pend[q] = t == shared ? _mm512_or_si512(text, d.front[shared][q]) : text;
        }
        hash(w, &s, 1);
    }
    finish(w, &s, d.length, before, 0);
    for (int q = 0; q < Q; q++) {
        uint8_t *const to[4] = {g[4 * q]->out, g[4 * q + 1]->out, g[4 * q + 2]->out, g[4 * q + 3]->out};
        scatter_at(to, 0, w->hide[q]);
    }
}

/* The schedules of sixteen KEKs, and the halves of the keys behind `skip` bytes, as many as a KEK has. */
SHARED int begin_keys(work *w, const uint8_t *const kek[N], const uint8_t *const key[N], size_t skip, int long_key)
{
    for (int part = 0; part <= long_key; part++) {
        UNROLL
        for (int q = 0; q < Q; q++) {
            const four both = gather_at(key + 4 * q, 16 * (size_t)part + skip);
            w->key[part][q] = gather_at(kek + 4 * q, 16 * (size_t)part);
            w->half[2 * part][q] = both;
            w->half[2 * part + 1][q] = _mm512_unpackhi_epi64(both, both);
        }
    }
    expand(w, long_key);
    return long_key ? 4 : 2;
}

/* Where a key's halves 2 * part - 1 and 2 * part are in what is wrapped; half 0 is the check before the key. */
INLINE void put_wrapped(uint8_t *const out[N], int q, size_t at, four x, int whole)
{
    if (whole) {
        scatter_at(out + 4 * q, at, x);
        return;
    }
    uint8_t *const *to = out + 4 * q;
    _mm_storel_epi64((__m128i *)(to[0] + at), _mm512_castsi512_si128(x));
    _mm_storel_epi64((__m128i *)(to[1] + at), _mm512_extracti32x4_epi32(x, 1));
    _mm_storel_epi64((__m128i *)(to[2] + at), _mm512_extracti32x4_epi32(x, 2));
    _mm_storel_epi64((__m128i *)(to[3] + at), _mm512_extracti32x4_epi32(x, 3));
}

/* RFC 3394 2.2.1: six times as many blocks one after the other as a key has halves, of sixteen lanes side by side. */
TIER static void vaes_wrap(const uint8_t *const kek[N], const uint8_t *const key[N], uint8_t *const out[N], int long_key,
                           void *scratch)
{
    work *w = scratch;
    const int halves = begin_keys(w, kek, key, 0, long_key);
    four s[Q];
    int half = 0;
    UNROLL
    for (int q = 0; q < Q; q++)
        s[q] = _mm512_set1_epi64((long long)0xA6A6A6A6A6A6A6A6ULL);
    for (int step = 1; step <= 6 * halves; step++) {
        const four count = _mm512_maskz_set1_epi64(0x55, (long long)__builtin_bswap64((uint64_t)step));
        UNROLL
        for (int q = 0; q < Q; q++)
            s[q] = _mm512_xor_si512(_mm512_unpacklo_epi64(s[q], w->half[half][q]), w->key[0][q]);
        stage(w, s, ALONE, NULL, NULL);
        UNROLL
        for (int q = 0; q < Q; q++) {
            w->half[half][q] = _mm512_unpackhi_epi64(s[q], s[q]);
            s[q] = _mm512_xor_si512(s[q], count);
        }
        half = half + 1 == halves ? 0 : half + 1;
    }
    for (int q = 0; q < Q; q++) {
        put_wrapped(out, q, 0, _mm512_unpacklo_epi64(s[q], w->half[0][q]), 1);
        if (long_key)
            put_wrapped(out, q, 16, _mm512_unpacklo_epi64(w->half[1][q], w->half[2][q]), 1);
        put_wrapped(out, q, 8 * (size_t)halves, w->half[halves - 1][q], 0);
    }
}

INLINE void unstage(work *w, four s[Q])
{
    FORGET(w);
    const int rounds = w->rounds;
    UNROLL
    for (int q = 0; q < Q; q++)
        s[q] = _mm512_xor_si512(s[q], w->key[rounds][q]);
    for (int round = rounds - 1; round > 0; round--) {
        UNROLL
        for (int q = 0; q < Q; q++)
            s[q] = _mm512_aesdec_epi128(s[q], w->key[round][q]);
    }
    UNROLL
    for (int q = 0; q < Q; q++)
        s[q] = _mm512_aesdeclast_epi128(s[q], w->key[0][q]);
}

TIER static void vaes_unwrap(const uint8_t *const kek[N], const uint8_t *const wrapped[N], uint8_t *const out[N],
                             int long_key, uint8_t good[N], void *scratch)
{
    work *w = scratch;
    const four nought = _mm512_setzero_si512();
    const int halves = begin_keys(w, kek, wrapped, 8, long_key);
    four s[Q];
    int half = halves - 1;
    /* AESDEC of AESENCLAST is InvMixColumns: everything else in the two undoes itself. */
    for (int round = 1; round < w->rounds; round++) {
        UNROLL
        for (int q = 0; q < Q; q++)
            w->key[round][q] = _mm512_aesdec_epi128(_mm512_aesenclast_epi128(w->key[round][q], nought), nought);
    }
    UNROLL
    for (int q = 0; q < Q; q++)
        s[q] = gather(wrapped + 4 * q);
    for (int step = 6 * halves; step > 0; step--) {
        const four count = _mm512_maskz_set1_epi64(0x55, (long long)__builtin_bswap64((uint64_t)step));
        UNROLL
        for (int q = 0; q < Q; q++)
            s[q] = _mm512_unpacklo_epi64(_mm512_xor_si512(s[q], count), w->half[half][q]);
        unstage(w, s);
        UNROLL
        for (int q = 0; q < Q; q++)
            w->half[half][q] = _mm512_unpackhi_epi64(s[q], s[q]);
        half = half == 0 ? halves - 1 : half - 1;
    }
    for (int q = 0; q < Q; q++) {
        const four check = _mm512_set1_epi64((long long)0xA6A6A6A6A6A6A6A6ULL);
        const unsigned differs = _mm512_mask_cmpneq_epi64_mask(0x55, s[q], check);
        unsigned kept = 0;
        for (int i = 0; i < 4; i++) {
            good[4 * q + i] = (uint8_t)sm_verdict((differs >> 2 * i & 1) == 0);
            kept |= 3u * good[4 * q + i] << 2 * i;
        }
        for (int part = 0; part <= long_key; part++)
            put_wrapped(out, q, 16 * (size_t)part,
                        _mm512_maskz_unpacklo_epi64((__mmask8)kept, w->half[2 * part][q], w->half[2 * part + 1][q]), 1);
    }
}

const sm_lanes sm_lanes_vaes = {.width = N,
                                .seal = vaes_seal,
                                .open = vaes_open,
                                .gmac = vaes_gmac,
                                .wrap = vaes_wrap,
                                .unwrap = vaes_unwrap};

#else
typedef int sm_lanes_vaes_is_for_x86_64;
#endif
