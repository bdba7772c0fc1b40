/* AES with the instructions made for it: x86-64 AES-NI, up to eight blocks side by side.
 *
 * The key schedule uses PSHUFB and AESENCLAST where AESKEYGENASSIST would be expected: with the same word in all four
 * columns ShiftRows changes nothing, so AESENCLAST is SubWord and the round constant in one, at a third of the latency.
 * FIPS 197.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "sm_bytes.h"
#include "sm_tier.h"

#define X86 __attribute__((target("aes,sse4.1")))
#define INLINE static inline __attribute__((always_inline)) X86

/* Lanes must live in registers, which takes unrolled loops; gcc does not unroll at -O2 unless told. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { LANES = 8 };

/* Each word becomes the xor of itself and all words before it. */
INLINE __m128i chain(__m128i k)
{
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    return _mm_xor_si128(k, _mm_slli_si128(k, 8));
}

INLINE __m128i round_key(const sm_aes_key *key, unsigned round)
{
    return _mm_load_si128((const __m128i *)key->bytes + round);
}

X86 void sm_aesni_aes_expand(sm_aes_key *key, const uint8_t *raw, size_t key_length)
{
    const __m128i rotated = _mm_set1_epi32(0x0C0F0E0D); /* the last word, rotated, in every column */
    const __m128i last = _mm_set1_epi32(0x0F0E0D0C);    /* the last word as it is */
    __m128i *out = (__m128i *)key->bytes;
    __m128i a = _mm_loadu_si128((const __m128i *)raw);
    int constant = 1;
    _mm_store_si128(out++, a);
    if (key_length == 16) {
        key->rounds = 10;
        for (int i = 0; i < 10; i++) {
            __m128i word = _mm_aesenclast_si128(_mm_shuffle_epi8(a, rotated), _mm_set1_epi32(constant));
            a = _mm_xor_si128(chain(a), word);
            _mm_store_si128(out++, a);
            constant = i == 7 ? 0x1B : constant << 1;
        }
        return;
    }
    key->rounds = 14;
    __m128i b = _mm_loadu_si128((const __m128i *)raw + 1);
    _mm_store_si128(out++, b);
    for (int i = 0; i < 7; i++) {
        __m128i word = _mm_aesenclast_si128(_mm_shuffle_epi8(b, rotated), _mm_set1_epi32(constant));
        a = _mm_xor_si128(chain(a), word);
        _mm_store_si128(out++, a);
        constant <<= 1;
        if (i == 6)
            break;
        word = _mm_aesenclast_si128(_mm_shuffle_epi8(a, last), _mm_setzero_si128());
        b = _mm_xor_si128(chain(b), word);
        _mm_store_si128(out++, b);
    }
}

X86 void sm_aesni_aes_invert(sm_aes_key *key)
{
    __m128i *keys = (__m128i *)key->bytes;
    for (unsigned low = 0, high = key->rounds; low < high; low++, high--) {
        __m128i swap = keys[low];
        keys[low] = keys[high];
        keys[high] = swap;
    }
    for (unsigned i = 1; i < key->rounds; i++)
        keys[i] = _mm_aesimc_si128(keys[i]);
}

/* All rounds over n blocks, n known when this is inlined. */
INLINE void encrypt_lanes(const sm_aes_key *key, __m128i *lane, int n)
{
    __m128i k = round_key(key, 0);
    UNROLL
    for (int i = 0; i < n; i++)
        lane[i] = _mm_xor_si128(lane[i], k);
    for (unsigned round = 1; round < key->rounds; round++) {
        k = round_key(key, round);
        UNROLL
        for (int i = 0; i < n; i++)
            lane[i] = _mm_aesenc_si128(lane[i], k);
    }
    k = round_key(key, key->rounds);
    UNROLL
    for (int i = 0; i < n; i++)
        lane[i] = _mm_aesenclast_si128(lane[i], k);
}

X86 void sm_aesni_aes_encrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    __m128i lane[LANES];
    while (blocks > 0) {
        /* Idle lanes are cheaper than a loop for every count: the instructions overlap. */
        size_t now = blocks < LANES ? blocks : LANES;
        for (size_t i = 0; i < now; i++)
            lane[i] = _mm_loadu_si128((const __m128i *)in + i);
        if (now > 4) {
            for (size_t i = now; i < LANES; i++)
                lane[i] = _mm_setzero_si128();
            encrypt_lanes(key, lane, LANES);
        } else if (now > 1) {
            for (size_t i = now; i < 4; i++)
                lane[i] = _mm_setzero_si128();
            encrypt_lanes(key, lane, 4);
        } else {
            encrypt_lanes(key, lane, 1);
        }
        for (size_t i = 0; i < now; i++)
            _mm_storeu_si128((__m128i *)out + i, lane[i]);
        in += now * SM_BLOCK;
        out += now * SM_BLOCK;
        blocks -= now;
    }
}

X86 void sm_aesni_aes_decrypt(const sm_aes_key *key, const uint8_t *in, uint8_t *out, size_t blocks)
{
    for (size_t n = 0; n < blocks; n++) {
        __m128i lane = _mm_xor_si128(_mm_loadu_si128((const __m128i *)in + n), round_key(key, 0));
        for (unsigned round = 1; round < key->rounds; round++)
            lane = _mm_aesdec_si128(lane, round_key(key, round));
        lane = _mm_aesdeclast_si128(lane, round_key(key, key->rounds));
        _mm_storeu_si128((__m128i *)out + n, lane);
    }
}

X86 void sm_aesni_aes_ctr(const sm_aes_key *key, const uint8_t counter[16], const uint8_t *in, uint8_t *out,
                          size_t length)
{
    const __m128i base = _mm_loadu_si128((const __m128i *)counter);
    uint32_t number = sm_be32(counter + 12);
    __m128i lane[LANES];
    while (length > 0) {
        UNROLL
        for (int i = 0; i < LANES; i++)
            lane[i] = _mm_insert_epi32(base, (int)__builtin_bswap32(number++), 3);
        encrypt_lanes(key, lane, LANES);
        if (length < LANES * SM_BLOCK) {
            alignas(16) uint8_t pad[LANES * SM_BLOCK];
            UNROLL
            for (int i = 0; i < LANES; i++)
                _mm_store_si128((__m128i *)pad + i, lane[i]);
            sm_xor(out, in, pad, length);
            sm_wipe(pad, sizeof pad);
            return;
        }
        UNROLL
        for (int i = 0; i < LANES; i++) {
            __m128i text = _mm_loadu_si128((const __m128i *)in + i);
            _mm_storeu_si128((__m128i *)out + i, _mm_xor_si128(text, lane[i]));
        }
        in += LANES * SM_BLOCK;
        out += LANES * SM_BLOCK;
        length -= LANES * SM_BLOCK;
    }
}

#else
typedef int sm_aes_aesni_is_for_x86_64;
#endif
