/* Secrets for a watchman: with SM_CHECK_SECRETS bytes marked as secret are undefined, and whatever becomes of them is,
 * until it is made public. The watchman is valgrind, or MemorySanitizer (known_to_msan.h). Without it these do nothing. */
#ifndef SECRET_H
#define SECRET_H

#include "check.h"

#ifdef SM_CHECK_SECRETS
#ifndef SM_MARK
#include <valgrind/memcheck.h>
#define SM_MARK(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED(p, n))
#define SM_UNMARK(p, n) ((void)VALGRIND_MAKE_MEM_DEFINED(p, n))
static inline int is_marked(const uint8_t *byte)
{
    uint8_t undefined = 0;
    (void)VALGRIND_GET_VBITS(byte, &undefined, 1);
    return undefined != 0;
}
#define SM_IS_MARKED(byte) is_marked(byte)
#endif
#define SECRET(p, n) SM_MARK(p, n)
#define PUBLIC(p, n) SM_UNMARK(p, n)
#else
#define SECRET(p, n) ((void)(p), (void)(n))
#define PUBLIC(p, n) ((void)(p), (void)(n))
#endif

static inline uint8_t *secret(size_t n, int fill)
{
    uint8_t *p = block(n, fill);
    SECRET(p, n);
    return p;
}

/* Every byte made with a secret must bear its mark: else the watch would see nothing of what comes after. */
static inline int marked(const uint8_t *p, size_t n)
{
#ifdef SM_CHECK_SECRETS
    for (size_t i = 0; i < n; i++)
        if (!SM_IS_MARKED(p + i))
            return 0;
#else
    (void)p;
    (void)n;
#endif
    return 1;
}

#endif
