/* Which tier works. The choice is the only global state of the core. */
#include "sm_tier.h"

#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "sm_aarch64.h"
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
    .ghash_update = sm_pclmul_ghash_update
#define WITH_STRIDES .ghash_prepare = sm_pclmul_ghash_prepare, .gcm_strides = sm_aesni_gcm_strides

const sm_tier sm_tier_aesni = {.name = "aesni", WITH_AESNI, WITH_STRIDES, .lanes = &sm_lanes_sse};
const sm_tier sm_tier_avx2 = {.name = "avx2", WITH_AESNI, WITH_STRIDES, .lanes = &sm_lanes_avx2};
const sm_tier sm_tier_vaes = {
    .name = "vaes", WITH_AESNI, .ghash_prepare = sm_vaes_ghash_prepare, .gcm = sm_vaes_gcm, .lanes = &sm_lanes_vaes};

static int has_aesni(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

static int has_avx2(void)
{
    return has_aesni() && __builtin_cpu_supports("avx2");
}

static int has_vaes(void)
{
    unsigned a, b, c = 0, d;
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES) && (c & bit_VPCLMULQDQ);
}
#endif

#if defined(SM_AARCH64)
const sm_tier sm_tier_aarch64 = {
    .name = "aarch64",
    .schedule_bytes = 15 * 16,
    .aes_expand = sm_aarch64_aes_expand,
    .aes_invert = sm_aarch64_aes_invert,
    .aes_encrypt = sm_aarch64_aes_encrypt,
    .aes_decrypt = sm_aarch64_aes_decrypt,
    .aes_ctr = sm_aarch64_aes_ctr,
    .ghash_prepare = sm_pmull_ghash_prepare,
    .ghash_update = sm_pmull_ghash_update,
};

static int has_aarch64(void)
{
#if defined(__linux__)
    const unsigned long wanted = HWCAP_AES | HWCAP_PMULL;
    return (getauxval(AT_HWCAP) & wanted) == wanted;
#else
    return 1; /* every AArch64 that runs another system has it */
#endif
}
#endif

static int has_portable(void)
{
    return 1;
}

/* Best first. */
static const struct {
    const sm_tier *tier;
    int (*here)(void);
} tiers[] = {
#if defined(__x86_64__)
    {&sm_tier_vaes, has_vaes},
    {&sm_tier_avx2, has_avx2},
    {&sm_tier_aesni, has_aesni},
#endif
#if defined(SM_AARCH64)
    {&sm_tier_aarch64, has_aarch64},
#endif
    {&sm_tier_portable, has_portable},
};

static const sm_tier *chosen = &sm_tier_portable;

const sm_tier *sm_tier_now(void)
{
    return chosen;
}

int sm_select(const char *name)
{
    for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++) {
        if ((*name == '\0' || strcmp(name, tiers[i].tier->name) == 0) && tiers[i].here()) {
            chosen = tiers[i].tier;
            return SM_OK;
        }
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
