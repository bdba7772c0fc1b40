/* AES-GCM with a 96-bit IV, over any tier. NIST SP 800-38D. */
#ifndef SM_GCM_H
#define SM_GCM_H

#include "sm_tier.h"

enum { SM_IV = 12, SM_TAG_BYTES = 16, SM_DLMS_TAG = 12, SM_MESSAGE_MAX = 1 << 24 };

/* A key ready for use. `hashed`: H and its powers are there too; otherwise the message computes H beside its own blocks
 * and leaves it, so a key is prepared in one go with its only message. */
typedef struct {
    const sm_tier *tier;
    int hashed;
    sm_ghash_key ghash;
    sm_aes_key aes;
} sm_gcm_key;

/* What is authenticated but not hidden comes in two pieces, because DLMS puts a key in front of the text. */
typedef struct {
    const uint8_t *iv; /* 12 bytes */
    const uint8_t *head;
    size_t head_length;
    const uint8_t *aad;
    size_t aad_length;
    const uint8_t *in;
    uint8_t *out; /* may be in */
    size_t length;
    size_t ready; /* bytes at the text's end that are in `out` already, which is not `in` then */
} sm_gcm_message;

void sm_gcm_key_once(sm_gcm_key *key, const uint8_t *raw, size_t key_length);
void sm_gcm_key_kept(sm_gcm_key *key, const uint8_t *raw, size_t key_length);
void sm_gcm_key_wipe(sm_gcm_key *key);

/* Encrypt (or decrypt) and give the whole 16-byte tag over what travels; to compare or cut it is the caller's part. */
void sm_gcm_encrypt(sm_gcm_key *key, const sm_gcm_message *message, uint8_t tag[SM_TAG_BYTES]);
void sm_gcm_decrypt(sm_gcm_key *key, const sm_gcm_message *message, uint8_t tag[SM_TAG_BYTES]);

#endif
