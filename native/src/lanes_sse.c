/* Eight lanes for any CPU with AES and carry-less multiplication. */
#if defined(__x86_64__)

#define TIER __attribute__((target("sse4.1,aes,pclmul")))
#define NAME(x) sm_sse_##x
#include "sm_lanes_x86.h"

const sm_lanes sm_lanes_sse = {.width = SM_LANES,
                                .seal = sm_sse_seal,
                                .open = sm_sse_open,
                                .gmac = sm_sse_gmac,
                                .wrap = sm_sse_wrap,
                                .unwrap = sm_sse_unwrap};

#else
typedef int sm_lanes_sse_is_for_x86_64;
#endif
