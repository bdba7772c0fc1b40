/* Bytes: order, wiping, comparison without a branch on what is compared. */
#ifndef SM_BYTES_H
#define SM_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t sm_be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline void sm_put_be16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline uint32_t sm_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void sm_put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline uint64_t sm_be64(const uint8_t *p)
{
    return (uint64_t)sm_be32(p) << 32 | sm_be32(p + 4);
}

static inline void sm_put_be64(uint8_t *p, uint64_t v)
{
    sm_put_be32(p, (uint32_t)(v >> 32));
    sm_put_be32(p + 4, (uint32_t)v);
}

static inline uint32_t sm_le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline void sm_put_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline uint64_t sm_le64(const uint8_t *p)
{
    return (uint64_t)sm_le32(p + 4) << 32 | sm_le32(p);
}

static inline void sm_put_le64(uint8_t *p, uint64_t v)
{
    sm_put_le32(p, (uint32_t)v);
    sm_put_le32(p + 4, (uint32_t)(v >> 32));
}

/* Zero that the compiler may not remove: the asm claims to read the bytes. */
static inline void sm_wipe(void *bytes, size_t length)
{
    memset(bytes, 0, length);
    __asm__ __volatile__("" : : "r"(bytes) : "memory");
}

/* A verdict may be branched on though it comes from secrets, and so may what an authentic packet says of its own length.
 * For the check that nothing else is (native/prove.py, under valgrind) these two say so; otherwise they do nothing. */
#ifdef SM_CHECK_SECRETS
#ifndef SM_UNMARK /* valgrind, unless another watchman has brought his own */
#include <valgrind/memcheck.h>
#define SM_UNMARK(bytes, length) VALGRIND_MAKE_MEM_DEFINED(bytes, length)
#endif
static inline int sm_verdict(int value)
{
    SM_UNMARK(&value, sizeof value);
    return value;
}
static inline void sm_shown(const void *bytes, size_t length)
{
    SM_UNMARK(bytes, length);
}
#else
static inline int sm_verdict(int value)
{
    return value;
}
static inline void sm_shown(const void *bytes, size_t length)
{
    (void)bytes;
    (void)length;
}
#endif

/* 1 when equal, 0 when not; the time depends on the length alone. */
static inline int sm_equal(const uint8_t *a, const uint8_t *b, size_t length)
{
    uint64_t difference = 0;
    for (; length >= 8; length -= 8, a += 8, b += 8) {
        uint64_t x, y;
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        difference |= x ^ y;
    }
    for (size_t i = 0; i < length; i++)
        difference |= (uint64_t)(a[i] ^ b[i]);
    difference = (difference | difference >> 32) & 0xFFFFFFFF;
    return sm_verdict((int)((difference - 1) >> 63));
}

/* 1 when two runs of bytes lie across each other: they share bytes and do not begin together. */
static inline int sm_across(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
    const uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return x != y && a_length > 0 && b_length > 0 && x < y + b_length && y < x + a_length;
}

static inline void sm_xor(uint8_t *out, const uint8_t *a, const uint8_t *b, size_t length)
{
    for (; length >= 8; length -= 8, out += 8, a += 8, b += 8) {
        uint64_t x, y;
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        x ^= y;
        memcpy(out, &x, 8);
    }
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(a[i] ^ b[i]);
}

#endif
