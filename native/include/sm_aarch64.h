/* What the files for AArch64 have in common. SM_AARCH64 says that the cryptographic extension can be compiled: by gcc for
 * single functions, by clang where the whole is compiled for a CPU that has it (its arm_neon.h has the intrinsics then). */
#ifndef SM_AARCH64_H
#define SM_AARCH64_H

#if defined(__aarch64__) && defined(__AARCH64EL__) && (!defined(__clang__) || defined(__ARM_FEATURE_AES))
#define SM_AARCH64

#include <arm_neon.h>

#if defined(__clang__)
#define ARM
#define UNROLL _Pragma("unroll")
#else
#define ARM __attribute__((target("arch=armv8-a+crypto")))
#define UNROLL _Pragma("GCC unroll 8")
#endif
#define INLINE static inline __attribute__((always_inline)) ARM

#endif

#endif
