/* Eight or more messages, each under its own key, side by side: what a batch gives to a tier that can. */
#ifndef SM_LANES_H
#define SM_LANES_H

#include "sm_store.h"

enum { SM_LANES = 8, SM_LANES_MOST = 16 }; /* messages a group has in most tiers, and in the widest */

/* One message: `in` may be read up to the end of its last block, and whole blocks and a tag's 16 bytes (its last 4 zero)
 * are written to `out`, which may be `in`. When opened, the 12 bytes behind the text are its tag. For a GMAC 16 bytes more
 * may be read, and 16 are written. */
typedef struct {
    const sm_line *line; /* and the one behind it, where keys are long */
    const uint8_t *in;
    uint8_t *out;
    uint32_t length; /* of the text, at most SM_LANES_TEXT */
    uint32_t counter;
} sm_lane;

/* `long_key` (0 or 1, the same for all): AES-256 and 32-byte keys instead of AES-128 and 16-byte ones. */
typedef struct sm_lanes {
    unsigned width; /* messages a group has; every call is given as many */
    /* SC 3xh, AAD = SC | AK. IV = title (seal) or peer (open) | counter. A group takes as long as its longest text. */
    void (*seal)(const sm_lane *const lane[], int long_key, void *scratch);
    void (*open)(const sm_lane *const lane[], int long_key, uint8_t good[], void *scratch);
    /* SC 1xh, AAD = SC | AK | text, nothing encrypted; the tag alone is written. */
    void (*gmac)(const sm_lane *const lane[], int long_key, void *scratch);
    /* RFC 3394 of keys as long as their KEKs. */
    void (*wrap)(const uint8_t *const kek[], const uint8_t *const key[], uint8_t *const out[],
                 int long_key, void *scratch);
    void (*unwrap)(const uint8_t *const kek[], const uint8_t *const wrapped[],
                   uint8_t *const out[], int long_key, uint8_t good[], void *scratch);
} sm_lanes;

enum { SM_LANES_SCRATCH = 6528, SM_LANES_TEXT = 253 * 16 }; /* bytes a group works in (aligned to 64); a text's most */

extern const sm_lanes sm_lanes_sse;
extern const sm_lanes sm_lanes_avx2;
extern const sm_lanes sm_lanes_vaes;

#endif
