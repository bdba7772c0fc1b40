/* AES key wrap: six passes over the key in halves of a block, with a counter mixed in. RFC 3394 2.2. */
#include "sm_keywrap.h"

#include <string.h>

#include "sm_api.h"
#include "sm_bytes.h"

static const uint8_t check_value[SM_WRAP_MORE] = {0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6};

void sm_keywrap(const sm_tier *tier, const uint8_t *kek, size_t kek_length, const uint8_t *key, size_t length,
                uint8_t *out)
{
    sm_aes_key prepared;
    uint8_t block[SM_BLOCK], work[SM_WRAP_MOST];
    uint64_t step = 0;
    tier->aes_expand(&prepared, kek, kek_length);
    memcpy(block, check_value, sizeof check_value);
    memcpy(work, key, length);
    for (int pass = 0; pass < 6; pass++) {
        for (size_t half = 0; half < length; half += 8) {
            memcpy(block + 8, work + half, 8);
            tier->aes_encrypt(&prepared, block, block, 1);
            sm_put_be64(block, sm_be64(block) ^ ++step);
            memcpy(work + half, block + 8, 8);
        }
    }
    memcpy(out, block, 8);
    memcpy(out + 8, work, length);
    sm_wipe(work, sizeof work);
    sm_wipe(block, sizeof block);
    sm_wipe(prepared.bytes, tier->schedule_bytes);
}

int sm_keyunwrap(const sm_tier *tier, const uint8_t *kek, size_t kek_length, const uint8_t *wrapped, size_t length,
                 uint8_t *out)
{
    sm_aes_key prepared;
    uint8_t block[SM_BLOCK], work[SM_WRAP_MOST];
    const size_t plain = length - SM_WRAP_MORE;
    uint64_t step = 6 * (plain / 8);
    tier->aes_expand(&prepared, kek, kek_length);
    tier->aes_invert(&prepared);
    memcpy(block, wrapped, 8);
    memcpy(work, wrapped + 8, plain);
    for (int pass = 0; pass < 6; pass++) {
        for (size_t half = plain; half > 0; half -= 8) {
            sm_put_be64(block, sm_be64(block) ^ step--);
            memcpy(block + 8, work + half - 8, 8);
            tier->aes_decrypt(&prepared, block, block, 1);
            memcpy(work + half - 8, block + 8, 8);
        }
    }
    const int good = sm_equal(block, check_value, sizeof check_value);
    if (good)
        memcpy(out, work, plain);
    else
        memset(out, 0, plain);
    sm_wipe(work, sizeof work);
    sm_wipe(block, sizeof block);
    sm_wipe(prepared.bytes, tier->schedule_bytes);
    return good ? SM_OK : SM_TAG;
}

static int kek_fits(size_t kek_length)
{
    return kek_length == 16 || kek_length == 32;
}

int sm_key_wrap(const uint8_t *kek, size_t kek_length, const uint8_t *key, size_t length, uint8_t *out)
{
    if (!kek_fits(kek_length) || length % 8 != 0 || length < SM_WRAP_LEAST || length > SM_WRAP_MOST)
        return -SM_USAGE;
    sm_keywrap(sm_tier_now(), kek, kek_length, key, length, out);
    return SM_OK;
}

int sm_key_unwrap(const uint8_t *kek, size_t kek_length, const uint8_t *wrapped, size_t length, uint8_t *out)
{
    if (!kek_fits(kek_length))
        return -SM_USAGE;
    if (length % 8 != 0 || length < SM_WRAP_LEAST + SM_WRAP_MORE || length > SM_WRAP_MOST + SM_WRAP_MORE)
        return -SM_TAG;
    return -sm_keyunwrap(sm_tier_now(), kek, kek_length, wrapped, length, out);
}

void sm_wipe_bytes(uint8_t *bytes, size_t length)
{
    sm_wipe(bytes, length);
}
