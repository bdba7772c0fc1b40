/* One message under one context. Each gives an sm_status and has changed nothing unless that is SM_OK. */
#ifndef SM_MESSAGE_H
#define SM_MESSAGE_H

#include "sm_store.h"

/* out: length bytes, and 12 more unless the control byte says encrypted only. */
int sm_message_seal(sm_store *store, uint32_t index, uint32_t control, const uint8_t *text, size_t length,
                    uint8_t *out, uint32_t *counter);
/* out: length bytes (12 fewer with a tag) and never more; zeroed when the tag does not hold. */
int sm_message_open(sm_store *store, uint32_t index, uint32_t control, uint32_t counter, const uint8_t *text,
                    size_t length, uint8_t *out, size_t *plain);
/* SM_OK when a key can be wrapped or unwrapped under this context's master key. */
int sm_message_may_wrap(const sm_store *store, uint32_t index);
/* tag: 12 bytes. */
int sm_message_gmac(sm_store *store, uint32_t index, const uint8_t *challenge, size_t length, uint8_t *tag,
                    uint32_t *counter);
int sm_message_wrap(sm_store *store, uint32_t index, const uint8_t *key, size_t length, uint8_t *out);
int sm_message_unwrap(sm_store *store, uint32_t index, const uint8_t *wrapped, size_t length, uint8_t *out);

#endif
