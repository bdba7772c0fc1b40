/* Secrets for a watchman: under valgrind (SM_CHECK_SECRETS) bytes marked as secret are undefined, and whatever becomes of
 * them is until it is made public. Without it these do nothing. */
#ifndef SECRET_H
#define SECRET_H

#include "check.h"

#ifdef SM_CHECK_SECRETS
#include <valgrind/memcheck.h>
#define SECRET(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED(p, n))
#define PUBLIC(p, n) ((void)VALGRIND_MAKE_MEM_DEFINED(p, n))
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
    for (size_t i = 0; i < n; i++) {
        uint8_t undefined = 0;
        (void)VALGRIND_GET_VBITS(p + i, &undefined, 1);
        if (undefined == 0)
            return 0;
    }
#else
    (void)p;
    (void)n;
#endif
    return 1;
}

#endif
