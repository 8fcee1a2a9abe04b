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
