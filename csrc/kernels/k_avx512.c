/* AVX-512 (Intel since Ice Lake, AMD since Zen 4): the float32 and float64 maps and matrix products.  Folds, and
 * products of a single row or column but for long rows, stay with AVX2: they add in the order of its lanes, and in
 * vectors of twice the width they gained nothing, or lost (docs/adr/0012-avx512-maps.md). */
#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))),                   \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif

#define VEC "vec_avx512.h"
#define KERNELS wg_kernels_avx512
#define ISA "avx512"
#define GENERIC 0
#define WIDENED 1
#include "isa.inc"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
