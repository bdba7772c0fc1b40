/* AES key wrap, RFC 3394. Lengths are checked by the caller: 16 to 64 bytes in steps of 8. */
#ifndef SM_KEYWRAP_H
#define SM_KEYWRAP_H

#include "sm_tier.h"

enum { SM_WRAP_MORE = 8, SM_WRAP_LEAST = 16, SM_WRAP_MOST = 64 };

/* out: length + 8 bytes. */
void sm_keywrap(const sm_tier *tier, const uint8_t *kek, size_t kek_length, const uint8_t *key, size_t length,
                uint8_t *out);
/* length: of the wrapped key; out: length - 8 bytes, zeroed on failure. SM_OK or SM_TAG. */
int sm_keyunwrap(const sm_tier *tier, const uint8_t *kek, size_t kek_length, const uint8_t *wrapped, size_t length,
                 uint8_t *out);

#endif
