/* What every driver needs: a check that ends the program, exact blocks, tiers by name. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sm_api.h"

#define CHECK(truth)                                                                                                   \
    do {                                                                                                               \
        if (!(truth)) {                                                                                                \
            fprintf(stderr, "%s:%d: %s (tier %s)\n", __FILE__, __LINE__, #truth, sm_selected());                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* SM_TIERS comes from the command line: "portable", "aesni", ... as the core's sources name them. */
static const char *const tier_names[] = {SM_TIERS};
enum { TIERS = sizeof tier_names / sizeof *tier_names };

/* Choose the tier number n leads to; one that this CPU has not gives way to the best it has. */
static inline void choose_tier(unsigned n)
{
    if (sm_select(tier_names[n % TIERS]) != SM_OK)
        CHECK(sm_select("") == SM_OK);
}

/* Exactly n bytes on the heap, so that one too far is seen. */
static inline uint8_t *block(size_t n, int fill)
{
    uint8_t *p = malloc(n ? n : 1);
    CHECK(p != NULL);
    memset(p, fill, n ? n : 1);
    return p;
}

static inline uint8_t *copy(const uint8_t *from, size_t n)
{
    uint8_t *p = block(n, 0);
    if (n)
        memcpy(p, from, n);
    return p;
}

static inline int all_are(const uint8_t *p, size_t n, uint8_t value)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != value)
            return 0;
    return 1;
}

/* The bytes a case is made of: read one after another, noughts behind their end. */
typedef struct {
    const uint8_t *at;
    size_t left;
} bytes;

static inline uint32_t next(bytes *b)
{
    if (b->left == 0)
        return 0;
    b->left--;
    return *b->at++;
}

static inline uint32_t next16(bytes *b)
{
    const uint32_t high = next(b);
    return high << 8 | next(b);
}

static inline void fill(bytes *b, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(next(b) + 31 * i); /* still something when the bytes are at their end */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
