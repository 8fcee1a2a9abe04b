/* The generic ISA: plain C for every entry of the table.  It is what other ISAs start from and are tested against. */
#include "kernels.h"

#include <math.h>
#include <string.h>

#define WIDENED 0

#define REAL_BITS 32
#include "vec_generic.h"
#include "vsimple.inc"
#include "vmath_generic.inc"
#include "elementwise.inc"
#include "pairs.inc"
#include "chains.inc"
#include "reduce.inc"
#undef REAL_BITS

#define REAL_BITS 64
#include "vec_generic.h"
#include "vsimple.inc"
#include "vmath_generic.inc"
#include "elementwise.inc"
#include "pairs.inc"
#include "chains.inc"
#include "reduce.inc"
#undef REAL_BITS

#include "plain.inc"

#define T float
#define GEMM gemm_f32
#define ZERO 0
#define ONE 1
#define MULTIPLY_ADD(c, a, b) ((c) + (a) * (b))
#include "gemm_plain.inc"

#define T double
#define GEMM gemm_f64
#define ZERO 0
#define ONE 1
#define MULTIPLY_ADD(c, a, b) ((c) + (a) * (b))
#include "gemm_plain.inc"

static size_t no_scratch(int64_t m, int64_t n, int64_t k) {
    (void)m, (void)n, (void)k;
    return 0;
}

void wg_kernels_generic(wg_kernels *k) {
    memset(k, 0, sizeof *k);
    fill_maps_f32(k);
    fill_maps_f64(k);
    fill_pairs_f32(k);
    fill_pairs_f64(k);
    fill_chains_f32(k);
    fill_chains_f64(k);
    fill_folds_f32(k);
    fill_folds_f64(k);
    fill_plain(k);
    k->gemm[WG_F32] = k->gemv[WG_F32] = k->dot[WG_F32] = gemm_f32;
    k->gemm[WG_F64] = k->gemv[WG_F64] = k->dot[WG_F64] = gemm_f64;
    for (int dtype = 0; dtype < WG_DTYPE_COUNT; dtype++) k->gemm_scratch[dtype] = no_scratch;
    k->isa = "generic";
}
