/* Advanced SIMD, which every AArch64 processor has: the float32 and float64 kernels. */
#include "kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#define VEC "vec_neon.h"
#define KERNELS wg_kernels_neon
#define ISA "neon"
#define GENERIC 0
#define WIDENED 0
#include "isa.inc"

#endif
