/* One message under one context: DLMS ciphering with suite 0. Green Book 9.2.3.3.7 and 9.2.7.2.4.
 *
 * IV = system title of the sender | invocation counter. Authenticated: AAD = SC | AK | text; encrypted: no AAD, no tag;
 * both: AAD = SC | AK. The tag is 12 bytes. The counter is taken here and nowhere else, after all that can be refused
 * has been.
 */
#include "sm_message.h"

#include <string.h>

#include "sm_bytes.h"
#include "sm_gcm.h"
#include "sm_keywrap.h"

enum {
    AUTHENTICATED = 0x10,
    ENCRYPTED = 0x20,
    PROTECTED = AUTHENTICATED | ENCRYPTED,
    SUITE_OR_BROADCAST = 0x4F,
    HEAD = 1 + SM_KEY,
    WRAPPED = SM_KEY + SM_WRAP_MORE,
};

static int control_fault(uint32_t control)
{
    if (control == PROTECTED || control == AUTHENTICATED || control == ENCRYPTED)
        return SM_OK;
    return control <= 0xFF && control & SUITE_OR_BROADCAST ? SM_NO_KEY : SM_USAGE;
}

static void make_iv(uint8_t iv[SM_IV], const uint8_t title[SM_TITLE], uint32_t counter)
{
    memcpy(iv, title, SM_TITLE);
    sm_put_be32(iv + SM_TITLE, counter);
}

static void make_head(uint8_t head[HEAD], uint32_t control, const sm_line *line)
{
    head[0] = (uint8_t)control;
    memcpy(head + 1, line->ak, SM_KEY);
}

/* The 16-byte tag over SC | AK | text, nothing encrypted. */
static void authenticate(const sm_line *line, const uint8_t iv[SM_IV], const uint8_t *text, size_t length,
                         uint8_t tag[SM_TAG_BYTES])
{
    sm_gcm_key key;
    uint8_t head[HEAD];
    make_head(head, AUTHENTICATED, line);
    const sm_gcm_message message = {.iv = iv, .head = head, .head_length = HEAD, .aad = text, .aad_length = length};
    sm_gcm_key_once(&key, line->ek, SM_KEY);
    sm_gcm_encrypt(&key, &message, tag);
    sm_gcm_key_wipe(&key);
    sm_wipe(head, sizeof head);
}

int sm_message_seal(sm_store *store, uint32_t index, uint32_t control, const uint8_t *text, size_t length,
                    uint8_t *out, uint32_t *counter)
{
    int fault = sm_store_fault(store, index);
    if (fault == SM_OK)
        fault = control_fault(control);
    if (fault == SM_OK && length > SM_MESSAGE_MAX)
        fault = SM_USAGE;
    if (fault == SM_OK)
        fault = sm_line_take(store, &store->lines[index], counter);
    if (fault != SM_OK)
        return fault;
    const sm_line *line = &store->lines[index];
    const uint32_t taken = *counter;

    uint8_t iv[SM_IV], tag[SM_TAG_BYTES];
    make_iv(iv, line->title, taken);
    if (control == AUTHENTICATED) {
        authenticate(line, iv, text, length, tag);
        memmove(out, text, length);
        memcpy(out + length, tag, SM_DLMS_TAG);
        return SM_OK;
    }
    sm_gcm_key key;
    uint8_t head[HEAD];
    make_head(head, control, line);
    const sm_gcm_message message = {.iv = iv, .head = head, .head_length = control == PROTECTED ? HEAD : 0,
                                    .in = text, .out = out, .length = length};
    sm_gcm_key_once(&key, line->ek, SM_KEY);
    sm_gcm_encrypt(&key, &message, tag);
    if (control == PROTECTED)
        memcpy(out + length, tag, SM_DLMS_TAG);
    sm_gcm_key_wipe(&key);
    sm_wipe(head, sizeof head);
    return SM_OK;
}

int sm_message_open(sm_store *store, uint32_t index, uint32_t control, uint32_t counter, const uint8_t *text,
                    size_t length, uint8_t *out, size_t *plain)
{
    int fault = sm_store_fault(store, index);
    if (fault == SM_OK)
        fault = control_fault(control);
    if (fault == SM_OK && length > SM_MESSAGE_MAX)
        fault = SM_USAGE;
    if (fault == SM_OK)
        fault = sm_line_fault(&store->lines[index], counter);
    if (fault != SM_OK)
        return fault;
    sm_line *line = &store->lines[index];
    const size_t tag_length = control == ENCRYPTED ? 0 : SM_DLMS_TAG;
    if (length < tag_length)
        return SM_TAG;
    *plain = length - tag_length;

    uint8_t iv[SM_IV], tag[SM_TAG_BYTES];
    make_iv(iv, line->peer, counter);
    if (control == AUTHENTICATED) {
        authenticate(line, iv, text, *plain, tag);
    } else {
        sm_gcm_key key;
        uint8_t head[HEAD];
        make_head(head, control, line);
        const sm_gcm_message message = {.iv = iv, .head = head, .head_length = control == PROTECTED ? HEAD : 0,
                                        .in = text, .out = out, .length = *plain};
        sm_gcm_key_once(&key, line->ek, SM_KEY);
        sm_gcm_decrypt(&key, &message, tag);
        sm_gcm_key_wipe(&key);
        sm_wipe(head, sizeof head);
    }
    if (!sm_equal(tag, text + *plain, tag_length)) {
        sm_wipe(out, *plain);
        return SM_TAG;
    }
    if (control == AUTHENTICATED)
        memmove(out, text, *plain);
    sm_put_le32(line->rx, counter + 1);
    return SM_OK;
}

int sm_message_gmac(sm_store *store, uint32_t index, const uint8_t *challenge, size_t length, uint8_t *tag,
                    uint32_t *counter)
{
    int fault = sm_store_fault(store, index);
    if (fault == SM_OK && length > SM_MESSAGE_MAX)
        fault = SM_USAGE;
    if (fault == SM_OK)
        fault = sm_line_take(store, &store->lines[index], counter);
    if (fault != SM_OK)
        return fault;
    const sm_line *line = &store->lines[index];
    uint8_t iv[SM_IV], whole[SM_TAG_BYTES];
    make_iv(iv, line->title, *counter);
    authenticate(line, iv, challenge, length, whole);
    memcpy(tag, whole, SM_DLMS_TAG);
    return SM_OK;
}

int sm_message_may_wrap(const sm_store *store, uint32_t index)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return fault;
    const uint8_t flags = store->lines[index].flags;
    return flags & SM_LOADED && flags & SM_MASTER ? SM_OK : SM_NO_KEY;
}

int sm_message_wrap(sm_store *store, uint32_t index, const uint8_t *key, size_t length, uint8_t *out)
{
    const int fault = sm_message_may_wrap(store, index);
    if (fault != SM_OK)
        return fault;
    if (length != SM_KEY)
        return SM_USAGE;
    sm_keywrap(sm_tier_now(), store->keks + (size_t)index * SM_KEY, SM_KEY, key, length, out);
    return SM_OK;
}

int sm_message_unwrap(sm_store *store, uint32_t index, const uint8_t *wrapped, size_t length, uint8_t *out)
{
    const int fault = sm_message_may_wrap(store, index);
    if (fault != SM_OK)
        return fault;
    if (length != WRAPPED)
        return SM_TAG;
    return sm_keyunwrap(sm_tier_now(), store->keks + (size_t)index * SM_KEY, SM_KEY, wrapped, length, out);
}

int64_t sm_seal_one(sm_store *store, uint32_t index, uint32_t control, const uint8_t *text, size_t length,
                    uint8_t *out, size_t room)
{
    uint32_t counter;
    if (length > SM_MESSAGE_MAX || room < length + SM_DLMS_TAG)
        return -SM_USAGE;
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_store_enter(store);
    fault = sm_message_seal(store, index, control, text, length, out, &counter);
    sm_store_leave(store);
    return fault == SM_OK ? (int64_t)counter : -fault;
}

int64_t sm_open_one(sm_store *store, uint32_t index, uint32_t control, uint32_t counter, const uint8_t *text,
                    size_t length, uint8_t *out, size_t room)
{
    size_t plain;
    if (length > SM_MESSAGE_MAX || room < length)
        return -SM_USAGE;
    int fault = sm_message_open(store, index, control, counter, text, length, out, &plain);
    return fault == SM_OK ? (int64_t)plain : -fault;
}

int64_t sm_gmac_one(sm_store *store, uint32_t index, const uint8_t *challenge, size_t length, uint8_t *tag)
{
    uint32_t counter;
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_store_enter(store);
    fault = sm_message_gmac(store, index, challenge, length, tag, &counter);
    sm_store_leave(store);
    return fault == SM_OK ? (int64_t)counter : -fault;
}

/* The challenge is fresh, so an old counter is no replay: the APDU around the tag was sealed later and opened first. */
int64_t sm_gmac_check(sm_store *store, uint32_t index, uint32_t counter, const uint8_t *tag, size_t tag_length,
                      const uint8_t *challenge, size_t length)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_line *line = &store->lines[index];
    if (!(line->flags & SM_LOADED))
        return -SM_NO_KEY;
    if (length > SM_MESSAGE_MAX)
        return -SM_USAGE;
    if (tag_length != SM_DLMS_TAG)
        return -SM_TAG;
    uint8_t iv[SM_IV], whole[SM_TAG_BYTES];
    make_iv(iv, line->peer, counter);
    authenticate(line, iv, challenge, length, whole);
    if (!sm_equal(whole, tag, SM_DLMS_TAG))
        return -SM_TAG;
    if (counter >= sm_le32(line->rx))
        sm_put_le32(line->rx, counter == SM_COUNTER_MAX ? SM_COUNTER_MAX : counter + 1);
    return SM_OK;
}

int64_t sm_wrap_one(sm_store *store, uint32_t index, const uint8_t *key, size_t length, uint8_t *out)
{
    return -sm_message_wrap(store, index, key, length, out);
}

int64_t sm_unwrap_one(sm_store *store, uint32_t index, const uint8_t *wrapped, size_t length, uint8_t *out)
{
    return -sm_message_unwrap(store, index, wrapped, length, out);
}
