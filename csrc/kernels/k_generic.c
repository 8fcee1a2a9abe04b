/* The generic ISA: plain C for every entry of the table.  It is what other ISAs start from and are tested against. */
#include "kernels.h"

#include <math.h>
#include <string.h>

typedef struct {
    float re, im;
} c64;
typedef struct {
    double re, im;
} c128;

#define REAL_BITS 32
#include "vec_generic.h"
#include "vsimple.inc"
#include "vmath_generic.inc"
#include "elementwise.inc"
#include "reduce.inc"
#undef REAL_BITS

#define REAL_BITS 64
#include "vec_generic.h"
#include "vsimple.inc"
#include "vmath_generic.inc"
#include "elementwise.inc"
#include "reduce.inc"
#undef REAL_BITS

#undef T
#undef DTYPE
#undef FN

#define T uint8_t
#define U uint8_t
#define DTYPE WG_BOOL
#define FN(name) name##_bool
#define NUMBERS 0
#include "integers.inc"

#define T int32_t
#define U uint32_t
#define DTYPE WG_I32
#define FN(name) name##_i32
#define NUMBERS 1
#include "integers.inc"

#define T int64_t
#define U uint64_t
#define DTYPE WG_I64
#define FN(name) name##_i64
#define NUMBERS 1
#include "integers.inc"

#define T c64
#define R float
#define DTYPE WG_C64
#define FN(name) name##_c64
#include "complex.inc"

#define T c128
#define R double
#define DTYPE WG_C128
#define FN(name) name##_c128
#include "complex.inc"

#include "cast.inc"
#include "philox.inc"

/* where only moves elements: the loop depends on their size alone. */
#define WHERE(dtype, T)                                                                                                \
    static void where_##dtype(void *result, const void *const *in, int64_t n, const double *params) {                  \
        T *const out = result;                                                                                         \
        const uint8_t *const condition = in[0];                                                                        \
        const T *const a = in[1], *const b = in[2];                                                                    \
        (void)params;                                                                                                  \
        for (int64_t i = 0; i < n; i++) out[i] = condition[i] ? a[i] : b[i];                                           \
    }
WHERE(bool, uint8_t)
WHERE(i32, int32_t)
WHERE(i64, int64_t)
WHERE(c64, c64)
WHERE(c128, c128)
#undef WHERE

#define T uint8_t
#define GEMM gemm_bool
#define ZERO 0
#define MULTIPLY_ADD(c, a, b) ((c) | ((a) & (b)))
#include "gemm_plain.inc"

#define T uint32_t
#define GEMM gemm_i32
#define ZERO 0
#define MULTIPLY_ADD(c, a, b) ((c) + (a) * (b))
#include "gemm_plain.inc"

#define T uint64_t
#define GEMM gemm_i64
#define ZERO 0
#define MULTIPLY_ADD(c, a, b) ((c) + (a) * (b))
#include "gemm_plain.inc"

#define T float
#define GEMM gemm_f32
#define ZERO 0
#define MULTIPLY_ADD(c, a, b) ((c) + (a) * (b))
#include "gemm_plain.inc"

#define T double
#define GEMM gemm_f64
#define ZERO 0
#define MULTIPLY_ADD(c, a, b) ((c) + (a) * (b))
#include "gemm_plain.inc"

#define T c64
#define GEMM gemm_c64
#define ZERO ((c64){0, 0})
#define MULTIPLY_ADD(c, a, b) plus_c64(c, times_c64(a, b))
#include "gemm_plain.inc"

#define T c128
#define GEMM gemm_c128
#define ZERO ((c128){0, 0})
#define MULTIPLY_ADD(c, a, b) plus_c128(c, times_c128(a, b))
#include "gemm_plain.inc"

static size_t no_scratch(int64_t m, int64_t n, int64_t k) {
    (void)m, (void)n, (void)k;
    return 0;
}

void wg_kernels_generic(wg_kernels *k) {
    memset(k, 0, sizeof *k);
    fill_maps_f32(k);
    fill_maps_f64(k);
    fill_folds_f32(k);
    fill_folds_f64(k);
    fill_bool(k);
    fill_i32(k);
    fill_i64(k);
    fill_c64(k);
    fill_c128(k);
    fill_casts(k);

    const wg_map_fn where[] = {[WG_BOOL] = where_bool,
                               [WG_I32] = where_i32,
                               [WG_I64] = where_i64,
                               [WG_C64] = where_c64,
                               [WG_C128] = where_c128};
    const wg_gemm_fn gemm[] = {[WG_BOOL] = gemm_bool, [WG_I32] = gemm_i32, [WG_I64] = gemm_i64,  [WG_F32] = gemm_f32,
                               [WG_F64] = gemm_f64,   [WG_C64] = gemm_c64, [WG_C128] = gemm_c128};
    for (int dtype = 0; dtype < WG_DTYPE_COUNT; dtype++) {
        if (where[dtype]) k->map[WG_where][dtype] = where[dtype];
        k->gemm[dtype] = k->gemv[dtype] = k->dot[dtype] = gemm[dtype];
        k->gemm_scratch[dtype] = no_scratch;
    }
    k->random = random_elements;
    k->isa = "generic";
}
