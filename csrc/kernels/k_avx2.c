/* AVX2 with FMA (x86 since 2013): the float32 and float64 kernels. */
#include "kernels.h"

#if defined(__x86_64__)

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))
#if defined(__clang__)
#define UNROLL /* clang does so early enough by itself */
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif

#define REAL_BITS 32
#include "vec_avx2.h"
#include "vsimple.inc"
#include "vmath.inc"
#include "elementwise.inc"
#include "reduce.inc"
#include "gemm.inc"
#undef REAL_BITS

#define REAL_BITS 64
#include "vec_avx2.h"
#include "vsimple.inc"
#include "vmath.inc"
#include "elementwise.inc"
#include "reduce.inc"
#include "gemm.inc"
#undef REAL_BITS

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

void wg_kernels_avx2(wg_kernels *k) {
    fill_maps_f32(k);
    fill_maps_f64(k);
    fill_folds_f32(k);
    fill_folds_f64(k);
    fill_gemm_f32(k);
    fill_gemm_f64(k);
    k->isa = "avx2";
}

#else

void wg_kernels_avx2(wg_kernels *k) { (void)k; }

#endif
