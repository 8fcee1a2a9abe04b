/* What the C tests of csrc/kernels share: counting checks, random numbers, and arrays of float32 or float64. */
#ifndef KERNEL_TESTING_H
#define KERNEL_TESTING_H

#include "kernels/kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed;

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (condition) {                                                                                               \
            passed++;                                                                                                  \
        } else if (failed++ < 40) {                                                                                    \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                                                     \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
        }                                                                                                              \
    } while (0)

static uint64_t state = 88172645463325252u;
static inline uint64_t random_bits(void) { /* xorshift64, Marsaglia 2003 */
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}
static inline double uniform(double lo, double hi) { return lo + (hi - lo) * (double)(random_bits() >> 11) * 0x1p-53; }

static inline void *
allocate(size_t bytes) { /* exactly as large as asked, so that the sanitizer sees every step outside */
    void *p = malloc(bytes ? bytes : 1);
    if (!p) {
        printf("out of memory\n");
        exit(2);
    }
    return p;
}

static const size_t item_size[] = {
    [WG_BOOL] = 1, [WG_I32] = 4, [WG_I64] = 8, [WG_F32] = 4, [WG_F64] = 8, [WG_C64] = 8, [WG_C128] = 16};

static inline double get(wg_dtype dtype, const void *p, int64_t i) {
    return dtype == WG_F32 ? ((const float *)p)[i] : ((const double *)p)[i];
}
static inline void set(wg_dtype dtype, void *p, int64_t i, double value) {
    if (dtype == WG_F32)
        ((float *)p)[i] = (float)value;
    else
        ((double *)p)[i] = value;
}
static inline const char *dtype_name(wg_dtype dtype) { return dtype == WG_F32 ? "f32" : "f64"; }

/* Where functions have edges, in either dtype. */
static const double special[] = {
    0.0,     -0.0,    1.0,  -1.0,   INFINITY, -INFINITY, NAN,  0x1p-149, -0x1p-149, 0x1p-1074,
    1e-40,   1e-310,  2.0,  -2.0,   3.0,      -3.0,      0.5,  -0.5,     1e30,      -1e30,
    FLT_MAX, DBL_MAX, 88.8, -103.9, 709.9,    -745.0,    0.55, -0.9,     16777217,  9007199254740993.0};
enum { N_SPECIAL = sizeof special / sizeof *special };
static const double params[1] = {0.25}; /* of the rows that have one */

/* The sample number i: in the function's range, near 1, over all exponents, any bits at all, and the special values. */
static inline double sample(wg_dtype dtype, int i, double lo, double hi) {
    if (i < N_SPECIAL) return special[i];
    switch (i % 5) {
    case 0:
    case 1: return uniform(lo, hi);
    case 2: return uniform(-1, 1) * exp2(uniform(-6, 2));
    case 3: return 1 + uniform(-1, 1) * exp2(uniform(-20, 0));
    default: return uniform(-1, 1) * exp2(dtype == WG_F32 ? uniform(-148, 127) : uniform(-1070, 1020));
    }
}

/* Runs a test with every instruction set that this build and the CPU have, beside the generic one. */
static inline void with_every_set(void (*test)(const wg_kernels *k, const wg_kernels *generic)) {
    static const char *const names[] = {"generic", "avx2", "avx512", "neon"};
    static wg_kernels k, generic;
    char message[200];
    wg_kernels_build("generic", &generic, message, sizeof message);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!wg_isa_supported(names[i])) continue;
        printf("%s\n", names[i]);
        CHECK(wg_kernels_build(names[i], &k, message, sizeof message) == WG_OK, "%s", message);
        test(&k, &generic);
    }
}

/* The last line of a test program, and its exit status. */
static inline int report(void) {
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}

#endif
