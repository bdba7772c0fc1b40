/* AES-GCM and key wrap from the text of FIPS 197, SP 800-38D and RFC 3394: slow, branching on secrets, and sharing
 * nothing with the core. For comparing alone. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stddef.h>
#include <stdint.h>

/* key_length 16 or 32; iv 12 bytes; out: length bytes and a tag of 16. */
void reference_gcm(const uint8_t *key, size_t key_length, const uint8_t *iv, const uint8_t *aad, size_t aad_length,
                   const uint8_t *text, size_t length, uint8_t *out);
/* length a multiple of 8; out: length + 8 bytes. */
void reference_wrap(const uint8_t *kek, size_t kek_length, const uint8_t *key, size_t length, uint8_t *out);

#endif
