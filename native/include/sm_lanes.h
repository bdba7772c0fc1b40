/* Eight messages under eight keys, side by side: what a batch gives to a tier that can. */
#ifndef SM_LANES_H
#define SM_LANES_H

#include "sm_store.h"

enum { SM_LANES = 8 };

/* A group. All lanes are used: a short group is filled up with copies of a lane of nobody's. Texts may be longer in one
 * lane than in another; the group takes as long as its longest. Reads up to 15 bytes behind a text where `slack` says
 * so, and writes whole blocks and a tag's 16 bytes (its last 4 zero) into each slot. */
typedef struct {
    const sm_line *line[SM_LANES];
    const uint8_t *in[SM_LANES];
    uint8_t *out[SM_LANES]; /* may be in */
    uint32_t length[SM_LANES];
    uint32_t iv_counter[SM_LANES];
    uint8_t good[SM_LANES]; /* open: whether the tag held */
    const uint8_t *tag[SM_LANES]; /* open: the 12 bytes that came */
} sm_group;

typedef struct sm_lanes {
    /* SC 30h, AAD = SC | AK. IV = title (seal) or peer (open) | iv_counter. */
    void (*seal)(const sm_group *group, void *scratch);
    void (*open)(sm_group *group, void *scratch);
    /* RFC 3394 of one 16-byte key under one 16-byte key, eight times. */
    void (*wrap)(const uint8_t *const kek[SM_LANES], const uint8_t *const key[SM_LANES], uint8_t *const out[SM_LANES],
                 void *scratch);
    void (*unwrap)(const uint8_t *const kek[SM_LANES], const uint8_t *const wrapped[SM_LANES],
                   uint8_t *const out[SM_LANES], uint8_t good[SM_LANES], void *scratch);
} sm_lanes;

enum { SM_LANES_SCRATCH = 2304, SM_LANES_TEXT = 253 * 16 }; /* bytes a group works in (aligned to 64); a text's most */

extern const sm_lanes sm_lanes_sse;
extern const sm_lanes sm_lanes_avx2;

#endif
