/* Eight lanes for CPUs with AVX2: three-operand forms, wider transpositions. */
#if defined(__x86_64__)

#define TIER __attribute__((target("avx2,aes,pclmul")))
#define WIDE
#define NAME(x) sm_avx2_##x
#include "sm_lanes_x86.h"

const sm_lanes sm_lanes_avx2 = {.width = SM_LANES,
                                .seal = sm_avx2_seal,
                                .open = sm_avx2_open,
                                .gmac = sm_avx2_gmac,
                                .wrap = sm_avx2_wrap,
                                .unwrap = sm_avx2_unwrap};

#else
typedef int sm_lanes_avx2_is_for_x86_64;
#endif
