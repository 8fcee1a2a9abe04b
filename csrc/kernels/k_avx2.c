/* AVX2 with FMA (x86 since 2013): the float32 and float64 kernels. */
#include "kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define VEC "vec_avx2.h"
#define KERNELS wg_kernels_avx2
#define ISA "avx2"
#define GENERIC 0
#define WIDENED 0
#include "isa.inc"

void wg_gemm_avx2_f32(const wg_gemm *g) { gemm_f32(g); }
void wg_gemm_avx2_f64(const wg_gemm *g) { gemm_f64(g); }
void wg_gemv_avx2_f32(const wg_gemm *g) { gemv_f32(g); }
void wg_gemv_avx2_f64(const wg_gemm *g) { gemv_f64(g); }
void wg_sort_avx2_f32(void *x, int64_t n, int64_t columns) { sort_columns_f32(x, n, columns); }
void wg_sort_avx2_f64(void *x, int64_t n, int64_t columns) { sort_columns_f64(x, n, columns); }

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
