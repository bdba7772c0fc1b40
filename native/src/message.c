/* One message under one context: DLMS ciphering with AES-GCM. Green Book 9.2.3.3.7 and 9.2.7.2.4.
 *
 * IV = system title of the sender | invocation counter. Authenticated: AAD = SC | AK | text; encrypted: no AAD, no tag;
 * both: AAD = SC | AK. The tag is 12 bytes. SC names the suite, which must be the context's: 0 and 1 have AES-128, 2 has
 * AES-256. The counter is taken here and in batch.c (both by sm_line_take), after all that can be refused has been.
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
    SUITE = 0x0F,
    BROADCAST = 0x40,
    HEAD = 1 + 2 * SM_KEY,
};

/* SM_OK, or why nothing is done under this control byte: no key of another suite or of the broadcast kind is here. */
static int control_fault(uint32_t control, uint32_t suite)
{
    const uint32_t protection = control & (uint32_t)~SUITE;
    if (control <= 0xFF && (control & BROADCAST || (control & SUITE) != suite))
        return SM_NO_KEY;
    return protection == PROTECTED || protection == AUTHENTICATED || protection == ENCRYPTED ? SM_OK : SM_USAGE;
}

static void make_iv(uint8_t iv[SM_IV], const uint8_t title[SM_TITLE], uint32_t counter)
{
    memcpy(iv, title, SM_TITLE);
    sm_put_be32(iv + SM_TITLE, counter);
}

/* SC | AK; its length. */
static size_t make_head(uint8_t head[HEAD], uint32_t control, const sm_line *line)
{
    uint8_t whole[2 * SM_KEY];
    const size_t size = SM_KEY * (size_t)sm_line_count(line);
    head[0] = (uint8_t)control;
    memcpy(head + 1, sm_line_key(line, offsetof(sm_line, ak), whole), size);
    sm_wipe(whole, sizeof whole);
    return 1 + size;
}

static void prepare(sm_gcm_key *key, const sm_line *line)
{
    uint8_t whole[2 * SM_KEY];
    sm_gcm_key_once(key, sm_line_key(line, offsetof(sm_line, ek), whole), SM_KEY * (size_t)sm_line_count(line));
    sm_wipe(whole, sizeof whole);
}

/* The 16-byte tag over SC | AK | text, nothing encrypted. */
static void authenticate(const sm_line *line, const uint8_t iv[SM_IV], const uint8_t *text, size_t length,
                         uint8_t tag[SM_TAG_BYTES])
{
    sm_gcm_key key;
    uint8_t head[HEAD];
    const size_t head_length = make_head(head, AUTHENTICATED | line->suite, line);
    const sm_gcm_message message = {.iv = iv, .head = head, .head_length = head_length, .aad = text,
                                    .aad_length = length};
    prepare(&key, line);
    sm_gcm_encrypt(&key, &message, tag);
    sm_gcm_key_wipe(&key);
    sm_wipe(head, sizeof head);
}

/* Encrypt or decrypt a text and give the 16-byte tag over it, which means nothing for SC 2xh. */
static void cipher(const sm_line *line, uint32_t control, const uint8_t iv[SM_IV], const uint8_t *text, size_t length,
                   uint8_t *out, int opening, uint8_t tag[SM_TAG_BYTES])
{
    sm_gcm_key key;
    uint8_t head[HEAD];
    const size_t head_length = make_head(head, control, line);
    const sm_gcm_message message = {.iv = iv, .head = head, .head_length = control & AUTHENTICATED ? head_length : 0,
                                    .in = text, .out = out, .length = length};
    prepare(&key, line);
    if (opening)
        sm_gcm_decrypt(&key, &message, tag);
    else
        sm_gcm_encrypt(&key, &message, tag);
    sm_gcm_key_wipe(&key);
    sm_wipe(head, sizeof head);
}

/* Take the counter to be sealed under: SM_OK, SM_NO_KEY or SM_EXHAUSTED. */
static int take_counter(sm_store *store, sm_line *line, uint32_t *counter)
{
    sm_gate_count(store->gate);
    const int fault = sm_line_take(line, counter);
    sm_gate_counted(store->gate);
    return fault;
}

/* Whether a counter may be opened under; with `now`, it is spent by this. */
static int check_counter(sm_store *store, sm_line *line, uint32_t counter, int now)
{
    sm_gate_count(store->gate);
    const int fault = sm_line_fault(line, counter);
    if (now && fault == SM_OK)
        sm_put_le32(line->rx, counter + 1);
    sm_gate_counted(store->gate);
    return fault;
}

int sm_message_seal(sm_store *store, uint32_t index, uint32_t control, const uint8_t *text, size_t length,
                    uint8_t *out, uint32_t *counter)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return fault;
    sm_line *line = &store->lines[index];
    fault = control_fault(control, line->suite);
    if (fault == SM_OK && length > SM_MESSAGE_MAX)
        fault = SM_USAGE;
    if (fault == SM_OK)
        fault = take_counter(store, line, counter);
    if (fault != SM_OK)
        return fault;

    uint8_t iv[SM_IV], tag[SM_TAG_BYTES];
    make_iv(iv, line->title, *counter);
    if (control & ENCRYPTED) {
        cipher(line, control, iv, text, length, out, 0, tag);
    } else {
        authenticate(line, iv, text, length, tag);
        memmove(out, text, length);
    }
    if (control & AUTHENTICATED)
        memcpy(out + length, tag, SM_DLMS_TAG);
    return SM_OK;
}

int sm_message_open(sm_store *store, uint32_t index, uint32_t control, uint32_t counter, const uint8_t *text,
                    size_t length, uint8_t *out, size_t *plain)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return fault;
    sm_line *line = &store->lines[index];
    fault = control_fault(control, line->suite);
    if (fault == SM_OK && length > SM_MESSAGE_MAX)
        fault = SM_USAGE;
    if (fault == SM_OK)
        fault = check_counter(store, line, counter, 0);
    if (fault != SM_OK)
        return fault;
    const size_t tag_length = control & AUTHENTICATED ? SM_DLMS_TAG : 0;
    if (length < tag_length)
        return SM_TAG;
    *plain = length - tag_length;

    uint8_t iv[SM_IV], tag[SM_TAG_BYTES];
    make_iv(iv, line->peer, counter);
    if (control & ENCRYPTED)
        cipher(line, control, iv, text, *plain, out, 1, tag);
    else
        authenticate(line, iv, text, *plain, tag);
    fault = sm_equal(tag, text + *plain, tag_length) ? check_counter(store, line, counter, 1) : SM_TAG;
    if (fault != SM_OK) {
        if (control & ENCRYPTED)
            sm_wipe(out, *plain);
        return fault;
    }
    if (!(control & ENCRYPTED))
        memmove(out, text, *plain);
    return SM_OK;
}

int sm_message_gmac(sm_store *store, uint32_t index, const uint8_t *challenge, size_t length, uint8_t *tag,
                    uint32_t *counter)
{
    int fault = sm_store_fault(store, index);
    if (fault == SM_OK && length > SM_MESSAGE_MAX)
        fault = SM_USAGE;
    if (fault == SM_OK)
        fault = take_counter(store, &store->lines[index], counter);
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
    const size_t size = SM_KEY * (size_t)sm_line_count(&store->lines[index]);
    if (length != size)
        return SM_USAGE;
    sm_keywrap(sm_tier_now(), store->keks + (size_t)index * SM_KEY, size, key, length, out);
    return SM_OK;
}

int sm_message_unwrap(sm_store *store, uint32_t index, const uint8_t *wrapped, size_t length, uint8_t *out)
{
    const int fault = sm_message_may_wrap(store, index);
    if (fault != SM_OK)
        return fault;
    const size_t size = SM_KEY * (size_t)sm_line_count(&store->lines[index]);
    if (length != size + SM_WRAP_MORE)
        return SM_TAG;
    return sm_keyunwrap(sm_tier_now(), store->keks + (size_t)index * SM_KEY, size, wrapped, length, out);
}

/* From here on the calls from outside, each of which enters the store once. */

int64_t sm_seal_one(sm_store *store, uint32_t index, uint32_t control, const uint8_t *text, size_t length,
                    uint8_t *out, size_t room)
{
    uint32_t counter;
    const size_t sealed = control & AUTHENTICATED ? length + SM_DLMS_TAG : length;
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    if (length > SM_MESSAGE_MAX || room < sealed || sm_across(text, length, out, sealed))
        return -SM_USAGE;
    sm_gate_enter(store->gate);
    fault = sm_message_seal(store, index, control, text, length, out, &counter);
    sm_gate_leave(store->gate);
    return fault == SM_OK ? (int64_t)counter : -fault;
}

int64_t sm_open_one(sm_store *store, uint32_t index, uint32_t control, uint32_t counter, const uint8_t *text,
                    size_t length, uint8_t *out, size_t room)
{
    size_t plain = control & AUTHENTICATED ? length - (length < SM_DLMS_TAG ? length : SM_DLMS_TAG) : length;
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    if (length > SM_MESSAGE_MAX || room < plain || sm_across(text, length, out, plain))
        return -SM_USAGE;
    sm_gate_enter(store->gate);
    fault = sm_message_open(store, index, control, counter, text, length, out, &plain);
    sm_gate_leave(store->gate);
    return fault == SM_OK ? (int64_t)plain : -fault;
}

int64_t sm_gmac_one(sm_store *store, uint32_t index, const uint8_t *challenge, size_t length, uint8_t *tag)
{
    uint32_t counter;
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_gate_enter(store->gate);
    fault = sm_message_gmac(store, index, challenge, length, tag, &counter);
    sm_gate_leave(store->gate);
    return fault == SM_OK ? (int64_t)counter : -fault;
}

static int gmac_check(sm_store *store, sm_line *line, uint32_t counter, const uint8_t *tag, size_t tag_length,
                      const uint8_t *challenge, size_t length)
{
    if (!(line->flags & SM_LOADED))
        return SM_NO_KEY;
    if (length > SM_MESSAGE_MAX)
        return SM_USAGE;
    if (tag_length != SM_DLMS_TAG)
        return SM_TAG;
    uint8_t iv[SM_IV], whole[SM_TAG_BYTES];
    make_iv(iv, line->peer, counter);
    authenticate(line, iv, challenge, length, whole);
    if (!sm_equal(whole, tag, SM_DLMS_TAG))
        return SM_TAG;
    sm_gate_count(store->gate);
    if (counter >= sm_le32(line->rx))
        sm_put_le32(line->rx, counter == SM_COUNTER_MAX ? SM_COUNTER_MAX : counter + 1);
    sm_gate_counted(store->gate);
    return SM_OK;
}

/* The challenge is fresh, so an old counter is no replay: the APDU around the tag was sealed later and opened first. */
int64_t sm_gmac_check(sm_store *store, uint32_t index, uint32_t counter, const uint8_t *tag, size_t tag_length,
                      const uint8_t *challenge, size_t length)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_gate_enter(store->gate);
    fault = gmac_check(store, &store->lines[index], counter, tag, tag_length, challenge, length);
    sm_gate_leave(store->gate);
    return -fault;
}

int64_t sm_wrap_one(sm_store *store, uint32_t index, const uint8_t *key, size_t length, uint8_t *out)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_gate_enter(store->gate);
    fault = sm_message_wrap(store, index, key, length, out);
    sm_gate_leave(store->gate);
    return -fault;
}

int64_t sm_unwrap_one(sm_store *store, uint32_t index, const uint8_t *wrapped, size_t length, uint8_t *out)
{
    int fault = sm_store_fault(store, index);
    if (fault != SM_OK)
        return -fault;
    sm_gate_enter(store->gate);
    fault = sm_message_unwrap(store, index, wrapped, length, out);
    sm_gate_leave(store->gate);
    return -fault;
}
