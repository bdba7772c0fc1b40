/* Which tier works. The choice is the only global state of the core. */
#include "sm_tier.h"

#include <string.h>

#include "sm_api.h"
#include "sm_lanes.h"

const sm_tier sm_tier_portable = {
    .name = "portable",
    .schedule_bytes = 15 * 64,
    .aes_expand = sm_portable_aes_expand,
    .aes_invert = sm_portable_aes_invert,
    .aes_encrypt = sm_portable_aes_encrypt,
    .aes_decrypt = sm_portable_aes_decrypt,
    .aes_ctr = sm_portable_aes_ctr,
    .ghash_prepare = sm_portable_ghash_prepare,
    .ghash_update = sm_portable_ghash_update,
};

#if defined(__x86_64__)
#define WITH_AESNI                                                                                                     \
    .schedule_bytes = 15 * 16, .aes_expand = sm_aesni_aes_expand, .aes_invert = sm_aesni_aes_invert,                   \
    .aes_encrypt = sm_aesni_aes_encrypt, .aes_decrypt = sm_aesni_aes_decrypt, .aes_ctr = sm_aesni_aes_ctr,             \
    .ghash_prepare = sm_pclmul_ghash_prepare, .ghash_update = sm_pclmul_ghash_update

const sm_tier sm_tier_aesni = {.name = "aesni", WITH_AESNI, .lanes = &sm_lanes_sse};
const sm_tier sm_tier_avx2 = {.name = "avx2", WITH_AESNI, .lanes = &sm_lanes_avx2};

static int has_aesni(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

static int has_avx2(void)
{
    return has_aesni() && __builtin_cpu_supports("avx2");
}
#endif

static const sm_tier *chosen = &sm_tier_portable;

const sm_tier *sm_tier_now(void)
{
    return chosen;
}

int sm_select(const char *name)
{
#if defined(__x86_64__)
    if ((*name == '\0' || strcmp(name, sm_tier_avx2.name) == 0) && has_avx2()) {
        chosen = &sm_tier_avx2;
        return SM_OK;
    }
    if ((*name == '\0' || strcmp(name, sm_tier_aesni.name) == 0) && has_aesni()) {
        chosen = &sm_tier_aesni;
        return SM_OK;
    }
#endif
    if (*name == '\0' || strcmp(name, sm_tier_portable.name) == 0) {
        chosen = &sm_tier_portable;
        return SM_OK;
    }
    return SM_USAGE;
}

const char *sm_selected(void)
{
    return chosen->name;
}

int sm_interface(void)
{
    return 3;
}
