/* AES-GCM: counter mode, GHASH, and the order in which they take each other's bytes.
 *
 * A DLMS message is a few blocks under a key that is used once, so the block of H, the block that hides the tag and the first
 * counter blocks go through AES together: a short message costs one pass. Longer ones go on in strides of eight blocks, where
 * the tier has them (and the first pass takes as many blocks as leave whole strides), or in counter mode. A tier may also take
 * long messages, and all under a key that is kept, as a whole.
 */
#include "sm_gcm.h"

#include <string.h>

#include "sm_api.h"
#include "sm_bytes.h"

enum { FIRST = 8, SOME_BLOCKS = 8, MANY_BLOCKS = 32, IN_STRIDE = SM_STRIDE / SM_BLOCK };

void sm_gcm_key_once(sm_gcm_key *key, const uint8_t *raw, size_t key_length)
{
    key->tier = sm_tier_now();
    key->hashed = 0;
    key->ghash.count = 1;
    key->tier->aes_expand(&key->aes, raw, key_length);
}

/* H and all its powers. */
static void hash_key(sm_gcm_key *key)
{
    uint8_t h[SM_BLOCK] = {0};
    key->tier->aes_encrypt(&key->aes, h, h, 1);
    key->tier->ghash_prepare(&key->ghash, h, SM_POWERS);
    key->hashed = 1;
    sm_wipe(h, sizeof h);
}

void sm_gcm_key_kept(sm_gcm_key *key, const uint8_t *raw, size_t key_length)
{
    sm_gcm_key_once(key, raw, key_length);
    hash_key(key);
}

void sm_gcm_key_wipe(sm_gcm_key *key)
{
    sm_wipe(key->ghash.bytes, key->ghash.count == 1 ? SM_BLOCK : sizeof key->ghash.bytes);
    sm_wipe(key->aes.bytes, key->tier->schedule_bytes);
}

/* GHASH over head and aad as one run of bytes, padded at its end. */
static void hash_aad(const sm_gcm_key *key, const sm_gcm_message *m, uint8_t state[SM_BLOCK])
{
    uint8_t joint[64];
    const size_t total = m->head_length + m->aad_length;
    const uint8_t *rest = m->aad;
    size_t rest_length = m->aad_length;
    if (m->head_length > 0) {
        /* head, and as much of aad as ends on a block or ends it all */
        size_t room = sizeof joint - m->head_length;
        size_t taken = rest_length < room ? rest_length : room;
        memcpy(joint, m->head, m->head_length);
        if (taken > 0)
            memcpy(joint + m->head_length, rest, taken);
        key->tier->ghash_update(&key->ghash, state, joint, m->head_length + taken);
        if (total <= sizeof joint) {
            sm_wipe(joint, sizeof joint);
            return;
        }
        rest += taken;
        rest_length -= taken;
        sm_wipe(joint, sizeof joint);
    }
    if (rest_length > 0)
        key->tier->ghash_update(&key->ghash, state, rest, rest_length);
}

/* Powers of H that pay for themselves over so many blocks. */
static unsigned powers_for(size_t blocks)
{
    return blocks >= MANY_BLOCKS ? SM_POWERS : blocks >= SOME_BLOCKS ? SM_FEW_POWERS : 1;
}

static void counter_block(uint8_t block[SM_BLOCK], const sm_gcm_message *m, size_t number)
{
    memcpy(block, m->iv, SM_IV);
    sm_put_be32(block + SM_IV, (uint32_t)number);
}

/* A message in one go, where the tier can: 1 when it is done. */
static int in_one_go(sm_gcm_key *key, const sm_gcm_message *m, int decrypting, uint8_t tag[SM_TAG_BYTES])
{
    const size_t total = m->head_length + m->aad_length, last = total > 0 ? (total - 1) % SM_BLOCK + 1 : 0;
    const int in_aad = m->aad_length >= last;
    uint8_t block[SM_BLOCK] = {0};
    if (key->tier->gcm == NULL || (!in_aad && m->aad_length > 0)) /* a last block from two places */
        return 0;
    if (!key->hashed && m->length < SOME_BLOCKS * SM_BLOCK)
        return 0;
    if (!key->hashed)
        hash_key(key);
    if (key->ghash.count != SM_POWERS_MOST)
        return 0;
    if (last > 0)
        memcpy(block, in_aad ? m->aad + m->aad_length - last : m->head + m->head_length - last, last);
    memset(tag, 0, SM_TAG_BYTES);
    if (last < total) {
        sm_gcm_message before = *m;
        if (in_aad)
            before.aad_length -= last;
        else
            before.head_length -= last;
        hash_aad(key, &before, tag);
    }
    const sm_gcm_text text = {m->iv, m->in, m->out, m->length, m->ready, decrypting};
    key->tier->gcm(&key->aes, &key->ghash, &text, block, total, tag);
    return 1;
}

static inline void run(sm_gcm_key *key, const sm_gcm_message *m, int decrypting, uint8_t tag[SM_TAG_BYTES])
{
    const sm_tier *tier = key->tier;
    const size_t own = key->hashed ? 0 : 1; /* leading block that becomes H */
    const size_t blocks = (m->length + SM_BLOCK - 1) / SM_BLOCK, whole = m->length / SM_BLOCK;
    const size_t room = FIRST - own - 1;
    const unsigned powers = own ? powers_for(blocks + (m->head_length + m->aad_length) / SM_BLOCK) : key->ghash.count;
    const int striding = tier->gcm_strides != NULL && powers == SM_POWERS && whole >= IN_STRIDE;
    size_t first = blocks < room ? blocks : room;
    if (striding && whole % IN_STRIDE <= room)
        first = whole % IN_STRIDE;
    /* The last, partial block's pad comes with the first blocks where there is room for it. */
    const size_t early = striding && blocks > whole && whole % IN_STRIDE == first && first < room;
    const size_t first_length = first == blocks ? m->length : first * SM_BLOCK;
    alignas(16) uint8_t pad[FIRST * SM_BLOCK];
    uint8_t lengths[SM_BLOCK], state[SM_BLOCK] = {0}, counter[SM_BLOCK];

    memset(pad, 0, own * SM_BLOCK);
    for (size_t i = own; i < own + 1 + first; i++)
        counter_block(pad + i * SM_BLOCK, m, i - own + 1);
    if (early)
        counter_block(pad + (own + 1 + first) * SM_BLOCK, m, whole + 2);
    tier->aes_encrypt(&key->aes, pad, pad, own + 1 + first + early);
    const uint8_t *hides_tag = pad + own * SM_BLOCK;
    if (own) {
        tier->ghash_prepare(&key->ghash, pad, powers);
        key->hashed = 1;
    }

    hash_aad(key, m, state);
    if (decrypting && first_length > 0)
        tier->ghash_update(&key->ghash, state, m->in, first_length);
    sm_xor(m->out, m->in, hides_tag + SM_BLOCK, first_length);
    if (!decrypting && first_length > 0)
        tier->ghash_update(&key->ghash, state, m->out, first_length);

    size_t done = first_length;
    if (striding && m->length - done >= SM_STRIDE) {
        const size_t strides = (m->length - done) / SM_STRIDE;
        counter_block(counter, m, done / SM_BLOCK + 2);
        tier->gcm_strides(&key->aes, &key->ghash, counter, state, m->in + done, m->out + done, strides, decrypting);
        done += strides * SM_STRIDE;
    }
    if (done < m->length) {
        const size_t rest = m->length - done;
        if (decrypting)
            tier->ghash_update(&key->ghash, state, m->in + done, rest);
        if (early) {
            sm_xor(m->out + done, m->in + done, hides_tag + (1 + first) * SM_BLOCK, rest);
        } else {
            counter_block(counter, m, done / SM_BLOCK + 2);
            tier->aes_ctr(&key->aes, counter, m->in + done, m->out + done, rest);
        }
        if (!decrypting)
            tier->ghash_update(&key->ghash, state, m->out + done, rest);
    }

    sm_put_be64(lengths, (uint64_t)(m->head_length + m->aad_length) * 8);
    sm_put_be64(lengths + 8, (uint64_t)m->length * 8);
    tier->ghash_update(&key->ghash, state, lengths, sizeof lengths);
    sm_xor(tag, state, hides_tag, SM_TAG_BYTES);
    sm_wipe(pad, sizeof pad);
}

void sm_gcm_encrypt(sm_gcm_key *key, const sm_gcm_message *message, uint8_t tag[SM_TAG_BYTES])
{
    sm_gcm_message placed = *message;
    if (in_one_go(key, message, 0, tag))
        return;
    if (message->ready > 0) {
        memcpy(message->out, message->in, message->length - message->ready);
        placed.in = message->out;
    }
    run(key, &placed, 0, tag);
}

void sm_gcm_decrypt(sm_gcm_key *key, const sm_gcm_message *message, uint8_t tag[SM_TAG_BYTES])
{
    if (!in_one_go(key, message, 1, tag))
        run(key, message, 1, tag);
}

static int fit(size_t key_length, size_t aad_length, size_t length, size_t tag_length)
{
    return (key_length == 16 || key_length == 32) && (tag_length == SM_DLMS_TAG || tag_length == SM_TAG_BYTES) &&
           aad_length <= SM_MESSAGE_MAX && length <= SM_MESSAGE_MAX;
}

int sm_gcm_seal(const uint8_t *key, size_t key_length, const uint8_t *iv, const uint8_t *aad, size_t aad_length,
                const uint8_t *text, size_t length, uint8_t *out, size_t tag_length)
{
    sm_gcm_key prepared;
    uint8_t tag[SM_TAG_BYTES];
    if (!fit(key_length, aad_length, length, tag_length) || sm_across(text, length, out, length + tag_length))
        return -SM_USAGE;
    const sm_gcm_message message = {.iv = iv, .aad = aad, .aad_length = aad_length, .in = text, .out = out,
                                    .length = length};
    sm_gcm_key_once(&prepared, key, key_length);
    sm_gcm_encrypt(&prepared, &message, tag);
    memcpy(out + length, tag, tag_length);
    sm_gcm_key_wipe(&prepared);
    return SM_OK;
}

int sm_gcm_open(const uint8_t *key, size_t key_length, const uint8_t *iv, const uint8_t *aad, size_t aad_length,
                const uint8_t *text, size_t length, uint8_t *out, size_t tag_length)
{
    sm_gcm_key prepared;
    uint8_t tag[SM_TAG_BYTES];
    if (!fit(key_length, aad_length, length, tag_length))
        return -SM_USAGE;
    if (length < tag_length)
        return -SM_TAG;
    const size_t plain = length - tag_length;
    if (sm_across(text, length, out, plain))
        return -SM_USAGE;
    const sm_gcm_message message = {.iv = iv, .aad = aad, .aad_length = aad_length, .in = text, .out = out,
                                    .length = plain};
    sm_gcm_key_once(&prepared, key, key_length);
    sm_gcm_decrypt(&prepared, &message, tag);
    sm_gcm_key_wipe(&prepared);
    if (sm_equal(tag, text + plain, tag_length))
        return SM_OK;
    sm_wipe(out, plain);
    return -SM_TAG;
}
