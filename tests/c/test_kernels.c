/* C unit tests of csrc/kernels: every instruction set of this build that the CPU has, in one process.
 *
 *   cc -std=c11 -ffp-contract=off -Icsrc tests/c/test_kernels.c csrc/kernels/{cpu,k_*}.c -lm
 */
#include "kernel_testing.h"

/* ---- the elementwise rows ---------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    int op, arity; /* arity 4: a derivative column over g, a, b, y */
    int forward;   /* of a derivative: its row's op and arity */
    int forward_arity;
    double lo, hi;
} row;

static const row rows[] = {
#define UNARY(name, numpy, class, params, lo, hi, da, doc)                                                             \
    {#name, WG_##name, 1, 0, 0, lo, hi}, {"d_" #name "_0", WG_d_##name##_0, 4, WG_##name, 1, lo, hi},
#define BINARY(name, numpy, class, lo, hi, da, db, doc)                                                                \
    {#name, WG_##name, 2, 0, 0, lo, hi}, {"d_" #name "_0", WG_d_##name##_0, 4, WG_##name, 2, lo, hi},                  \
        {"d_" #name "_1", WG_d_##name##_1, 4, WG_##name, 2, lo, hi},
#define ZERO(name, numpy, class, lo, hi, doc) {#name, WG_##name, 1, 0, 0, lo, hi},
#include "ops.def"
};
enum { N_ROWS = sizeof rows / sizeof *rows };
static const int comparisons[] = {
#define COMPARE(name, numpy, doc) WG_##name,
#include "ops.def"
};
enum { N_COMPARISONS = sizeof comparisons / sizeof *comparisons };

static const double special[] = {
    0.0,     -0.0,    1.0,  -1.0,   INFINITY, -INFINITY, NAN,  0x1p-149, -0x1p-149, 0x1p-1074,
    1e-40,   1e-310,  2.0,  -2.0,   3.0,      -3.0,      0.5,  -0.5,     1e30,      -1e30,
    FLT_MAX, DBL_MAX, 88.8, -103.9, 709.9,    -745.0,    0.55, -0.9,     16777217,  9007199254740993.0};
enum { N_SPECIAL = sizeof special / sizeof *special };
static const double params[1] = {0.25};

/* Distance in units in the last place of the dtype at the reference. */
static double ulps(wg_dtype dtype, double got, long double want) {
    const double rounded = dtype == WG_F32 ? (double)(float)want : (double)want;
    if (isnan(rounded) || isnan(got)) return isnan(rounded) && isnan(got) ? 0 : INFINITY;
    if (got == rounded) return signbit(got) == signbit(rounded) || got != 0 ? 0 : INFINITY;
    const double most = dtype == WG_F32 ? FLT_MAX : DBL_MAX;
    if (isinf(rounded) || isinf(got)) return fabs(isinf(got) ? rounded : got) == most ? 1 : INFINITY;
    int exponent;
    frexp(rounded, &exponent);
    const int least = dtype == WG_F32 ? -149 : -1074, digits = dtype == WG_F32 ? 24 : 53;
    const int unit = rounded == 0 || exponent - digits < least ? least : exponent - digits;
    return (double)(fabsl((long double)got - want) / ldexpl(1, unit));
}

/* Every kernel of an ISA against the generic one, element by element, for every length up to a few vectors, in place
 * and not, without touching what lies beyond. */
static void test_maps_against_generic(const wg_kernels *k, const wg_kernels *generic, wg_dtype dtype, const row *r) {
    enum { MOST = 67 };
    const size_t size = item_size[dtype];
    for (int64_t n = 0; n <= MOST; n++) {
        void *in[4], *want = allocate(MOST * size), *got = allocate((size_t)n * size);
        for (int j = 0; j < 4; j++) {
            in[j] = allocate((size_t)n * size);
            for (int64_t i = 0; i < n; i++) set(dtype, in[j], i, uniform(r->lo, r->hi));
        }
        if (r->arity == 4) generic->map[r->forward][dtype](in[3], (const void *const[]){in[1], in[2]}, n, params);
        const void *const *operands = (const void *const *)in;
        generic->map[r->op][dtype](want, operands, n, params);
        k->map[r->op][dtype](got, operands, n, params);
        double worst = 0;
        for (int64_t i = 0; i < n; i++) {
            const double a = get(dtype, got, i), b = get(dtype, want, i);
            /* two correct functions differ by 4 ULP at most; a column composes a few of them, and may cancel */
            const double scale = fabs(b) + (r->arity == 4 ? fabs(get(dtype, in[0], i)) : 0);
            const double error = fabs(a - b) / (scale * (dtype == WG_F32 ? FLT_EPSILON : DBL_EPSILON));
            if (a != b && !(error <= worst) && !(isnan(a) && isnan(b))) worst = error;
        }
        CHECK(worst <= (r->arity == 4 ? 24 : 4), "%s %s n=%d: %g ULP from generic", k->isa, r->name, (int)n, worst);
        for (int j = 0; j < (r->arity == 4 ? 4 : r->arity); j++) {
            void *const saved = allocate((size_t)n * size);
            memcpy(saved, in[j], (size_t)n * size);
            k->map[r->op][dtype](in[j], operands, n, params);
            CHECK(memcmp(in[j], got, (size_t)n * size) == 0, "%s %s n=%d: in place of operand %d", k->isa, r->name,
                  (int)n, j);
            memcpy(in[j], saved, (size_t)n * size);
            free(saved);
        }
        for (int j = 0; j < 4; j++) free(in[j]);
        free(want);
        free(got);
    }
}

/* Where the cotangent is 0 the product is 0, whatever the derivative is. */
static void test_zero_cotangent(const wg_kernels *k, wg_dtype dtype, const row *r) {
    const size_t size = item_size[dtype];
    enum { N = N_SPECIAL * N_SPECIAL };
    void *g = allocate(N * size), *a = allocate(N * size), *b = allocate(N * size), *y = allocate(N * size);
    for (int i = 0; i < N; i++) {
        set(dtype, g, i, i % 2 ? 0.0 : -0.0);
        set(dtype, a, i, special[i / N_SPECIAL]);
        set(dtype, b, i, special[i % N_SPECIAL]);
    }
    k->map[r->forward][dtype](y, (const void *const[]){a, b}, N, params);
    k->map[r->op][dtype](g, (const void *const[]){g, a, b, y}, N, params);
    bool zero = true;
    for (int i = 0; i < N; i++) zero = zero && get(dtype, g, i) == 0;
    CHECK(zero, "%s %s: 0 times the derivative is not 0", k->isa, r->name);
    free(g), free(a), free(b), free(y);
}

/* ---- accuracy and special values of the elementary functions -------------------------------------------------- */

static long double neg_l(long double a) { return -a; }
static long double reciprocal_l(long double a) { return 1 / a; }
static long double square_l(long double a) { return a * a; }
static long double sign_l(long double a) { return a > 0 ? 1 : a < 0 ? -1 : a == 0 ? 0 : a; }
static long double sigmoid_l(long double a) { return a < 0 ? expl(a) / (1 + expl(a)) : 1 / (1 + expl(-a)); }
static long double softplus_l(long double a) { return isnan(a) ? a : fmaxl(a, 0) + log1pl(expl(-fabsl(a))); }
static long double relu_l(long double a) { return a > 0 || isnan(a) ? a : 0; }
static long double leaky_relu_l(long double a) { return a > 0 ? a : a / 4; }
static long double elu_l(long double a) { return a > 0 ? a : expm1l(a) / 4; }
static long double gelu_l(long double a) {
    return a == -INFINITY ? -0.0L : a * erfcl(-a * 0.707106781186547524400844362104849039L) / 2;
}
static long double gelu_tanh_l(long double a) {
    return a == -INFINITY ? -0.0L : a / (1 + expl(-1.59576912160573071176L * (a + 0.044715L * a * a * a)));
}
static long double sinc_l(long double a) {
    const long double pi = 3.14159265358979323846264338327950288L, rest = a - rintl(a);
    if (a == 0 || rest == 0 || isnan(a) || isinf(a)) return isnan(a) ? a : a == 0;
    return (fmodl(rintl(a), 2) == 0 ? 1 : -1) * sinl(pi * rest) / (pi * a);
}
static long double erfinv_l(long double a) {
    const long double x = fabsl(a), slope = 0.88622692545275801364908374167057259L;
    if (!(x < 1)) return x == 1 ? copysignl(INFINITY, a) : NAN;
    long double y = slope * x / (1 + x * x);
    for (int i = 0; i < 60; i++) {
        const long double step = (x < 0.5L ? erfl(y) - x : 1 - x - erfcl(y)) * slope * expl(y * y);
        y -= step / (1 + y * step);
    }
    return copysignl(y, a);
}
static long double silu_l(long double a) { return a == -INFINITY ? -0.0L : a * sigmoid_l(a); }
static long double mish_l(long double a) { return a == -INFINITY ? -0.0L : a * tanhl(log1pl(expl(fminl(a, 11000)))); }
static long double log_sigmoid_l(long double a) { return -softplus_l(-a); }
static long double relu6_l(long double a) { return a > 6 ? 6 : relu_l(a); }
static long double celu_l(long double a) { return a > 0 ? a : expm1l(a * 4) / 4; }
static long double selu_l(long double a) {
    return a > 0 ? 1.05070098735548049341933498529461L * a : 1.75809934084737685994021752081231L * expm1l(a);
}
static long double hard_tanh_l(long double a) { return a > 1 ? 1 : a < -1 ? -1 : a; }
static long double hard_sigmoid_l(long double a) { return relu6_l(a + 3) / 6; }
static long double hard_swish_l(long double a) { return isnan(a) ? a : fmaxl(a, -3) * hard_sigmoid_l(a); }

static const struct {
    int op;
    const char *name;
    long double (*function)(long double);
    double lo, hi;
} functions[] = {
#define FUNCTION(name, function, lo, hi)                                                                               \
    { WG_##name, #name, function, lo, hi }
    FUNCTION(neg, neg_l, -9, 9),
    FUNCTION(abs, fabsl, -9, 9),
    FUNCTION(sign, sign_l, -9, 9),
    FUNCTION(square, square_l, -9, 9),
    FUNCTION(sqrt, sqrtl, 0, 99),
    FUNCTION(reciprocal, reciprocal_l, -9, 9),
    FUNCTION(exp, expl, -110, 90),
    FUNCTION(expm1, expm1l, -20, 90),
    FUNCTION(log, logl, 0, 20),
    FUNCTION(log1p, log1pl, -1, 20),
    FUNCTION(sin, sinl, -99, 99),
    FUNCTION(cos, cosl, -99, 99),
    FUNCTION(tanh, tanhl, -20, 20),
    FUNCTION(floor, floorl, -99, 99),
    FUNCTION(ceil, ceill, -99, 99),
    FUNCTION(trunc, truncl, -99, 99),
    FUNCTION(rint, rintl, -99, 99),
    FUNCTION(cbrt, cbrtl, -99, 99),
    FUNCTION(exp2, exp2l, -150, 128),
    FUNCTION(log2, log2l, 0, 20),
    FUNCTION(log10, log10l, 0, 20),
    FUNCTION(tan, tanl, -99, 99),
    FUNCTION(asin, asinl, -1, 1),
    FUNCTION(acos, acosl, -1, 1),
    FUNCTION(atan, atanl, -9, 9),
    FUNCTION(sinh, sinhl, -89, 89),
    FUNCTION(cosh, coshl, -89, 89),
    FUNCTION(asinh, asinhl, -9, 9),
    FUNCTION(acosh, acoshl, 1, 9),
    FUNCTION(atanh, atanhl, -1, 1),
    FUNCTION(erf, erfl, -6, 6),
    FUNCTION(erfc, erfcl, -6, 9),
    FUNCTION(sigmoid, sigmoid_l, -110, 40),
    FUNCTION(softplus, softplus_l, -110, 40),
    FUNCTION(relu, relu_l, -9, 9),
    FUNCTION(leaky_relu, leaky_relu_l, -9, 9),
    FUNCTION(elu, elu_l, -40, 9),
    FUNCTION(gelu, gelu_l, -12, 12),
    FUNCTION(gelu_tanh, gelu_tanh_l, -12, 12),
    FUNCTION(sinc, sinc_l, -9, 9),
    FUNCTION(erfinv, erfinv_l, -1, 1),
    FUNCTION(silu, silu_l, -110, 40),
    FUNCTION(mish, mish_l, -110, 40),
    FUNCTION(log_sigmoid, log_sigmoid_l, -40, 110),
    FUNCTION(relu6, relu6_l, -3, 9),
    FUNCTION(celu, celu_l, -40, 9),
    FUNCTION(selu, selu_l, -40, 9),
    FUNCTION(hard_tanh, hard_tanh_l, -3, 3),
    FUNCTION(hard_sigmoid, hard_sigmoid_l, -9, 9),
    FUNCTION(hard_swish, hard_swish_l, -9, 9),
#undef FUNCTION
};

static long double remainder_l(long double a, long double b) {
    const long double rest = fmodl(a, b);
    return rest == 0 ? copysignl(0, b) : (rest < 0) != (b < 0) ? rest + b : rest;
}

static const struct {
    int op;
    const char *name;
    long double (*function)(long double, long double);
} functions_of_two[] = {
    {WG_hypot, "hypot", hypotl},
    {WG_atan2, "atan2", atan2l},
    {WG_remainder, "remainder", remainder_l},
};

/* The sample number i: in the function's range, near 1, over all exponents, any bits at all, and the special values. */
static double sample(wg_dtype dtype, int i, double lo, double hi) {
    if (i < N_SPECIAL) return special[i];
    switch (i % 5) {
    case 0:
    case 1: return uniform(lo, hi);
    case 2: return uniform(-1, 1) * exp2(uniform(-6, 2));
    case 3: return 1 + uniform(-1, 1) * exp2(uniform(-20, 0));
    default: return uniform(-1, 1) * exp2(dtype == WG_F32 ? uniform(-148, 127) : uniform(-1070, 1020));
    }
}

static void test_accuracy(const wg_kernels *k, wg_dtype dtype) {
    enum { N = 20000 };
    void *x = allocate(N * item_size[dtype]), *z = allocate(N * item_size[dtype]), *y = allocate(N * item_size[dtype]);
    /* glibc's manual gives at most 3 ULP for erfc, its worst function here; the twin rounds once more */
    const double limit = strcmp(k->isa, "generic") == 0 && dtype == WG_F64 ? 4 : 2;
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        for (int i = 0; i < N; i++) {
            double a = sample(dtype, i, functions[f].lo, functions[f].hi);
            const bool bell = functions[f].op == WG_gelu || functions[f].op == WG_gelu_tanh;
            if (bell && a < functions[f].lo && isfinite(a)) a = -1; /* there the reference has too few digits */
            set(dtype, x, i, a);
        }
        k->map[functions[f].op][dtype](y, (const void *const[]){x}, N, params);
        double worst = 0, at = 0;
        for (int i = 0; i < N; i++) {
            const double a = get(dtype, x, i), error = ulps(dtype, get(dtype, y, i), functions[f].function(a));
            if (error > worst) worst = error, at = a;
        }
        CHECK(worst <= limit, "%s %s %s(%.17g): %g ULP", k->isa, dtype_name(dtype), functions[f].name, at, worst);
    }

    for (size_t f = 0; f < sizeof functions_of_two / sizeof *functions_of_two; f++) {
        for (int i = 0; i < N; i++) {
            const bool edge = i < N_SPECIAL * N_SPECIAL;
            const double a = edge ? special[i / N_SPECIAL] : sample(dtype, N_SPECIAL + i, -9, 9);
            set(dtype, x, i, a);
            set(dtype, z, i, edge ? special[i % N_SPECIAL] : i % 3 ? a * uniform(-2, 2) : uniform(-9, 9));
        }
        k->map[functions_of_two[f].op][dtype](y, (const void *const[]){x, z}, N, params);
        double worst = 0, at[2] = {0};
        for (int i = 0; i < N; i++) {
            const double a = get(dtype, x, i), b = get(dtype, z, i);
            const double error = ulps(dtype, get(dtype, y, i), functions_of_two[f].function(a, b));
            if (error > worst) worst = error, at[0] = a, at[1] = b;
        }
        CHECK(worst <= 2, "%s %s %s(%.17g, %.17g): %g ULP", k->isa, dtype_name(dtype), functions_of_two[f].name, at[0],
              at[1], worst);
    }

    double worst = 0, at[2] = {0};
    for (int i = 0; i < N; i++) {
        const double a = i < N_SPECIAL * N_SPECIAL ? special[i / N_SPECIAL]
                         : i % 3                   ? exp2(uniform(-9, 9))
                                                   : -floor(uniform(1, 99));
        const double reach = (dtype == WG_F32 ? 150 : 1080) / fabs(log2(fabs(a))); /* into overflow and underflow */
        const double b = i < N_SPECIAL * N_SPECIAL ? special[i % N_SPECIAL] : uniform(-1, 1) * fmin(reach, 1e9);
        set(dtype, x, i, a);
        set(dtype, z, i, i % 3 ? b : floor(b));
    }
    k->map[WG_pow][dtype](y, (const void *const[]){x, z}, N, params);
    for (int i = 0; i < N; i++) {
        const double a = get(dtype, x, i), b = get(dtype, z, i), error = ulps(dtype, get(dtype, y, i), powl(a, b));
        if (error > worst) worst = error, at[0] = a, at[1] = b;
    }
    CHECK(worst <= limit, "%s %s pow(%.17g, %.17g): %g ULP", k->isa, dtype_name(dtype), at[0], at[1], worst);
    free(x), free(y), free(z);
}

/* Whatever has fused multiply-adds gives the same bits: one source, lane by lane.  (A NaN's own bits may differ.) */
static void test_same_bits(const wg_kernels *k, const wg_kernels *other, wg_dtype dtype, const row *r) {
    enum { N = N_SPECIAL * N_SPECIAL + 2000 };
    const size_t size = item_size[dtype];
    void *in[4], *mine = allocate(N * size), *its = allocate(N * size);
    for (int j = 0; j < 4; j++) {
        in[j] = allocate(N * size);
        for (int i = 0; i < N; i++) {
            const int pair = i - 2000;
            set(dtype, in[j], i,
                pair < 0 ? sample(dtype, N_SPECIAL + i, r->lo, r->hi)
                         : special[j == 1 ? pair / N_SPECIAL : pair % N_SPECIAL]);
        }
    }
    const void *const *operands = (const void *const *)in;
    if (r->arity == 4) other->map[r->forward][dtype](in[3], (const void *const[]){in[1], in[2]}, N, params);
    k->map[r->op][dtype](mine, operands, N, params);
    other->map[r->op][dtype](its, operands, N, params);
    int apart = 0;
    for (int i = 0; i < N; i++) {
        const double a = get(dtype, mine, i), b = get(dtype, its, i);
        apart += memcmp((char *)mine + i * size, (char *)its + i * size, size) != 0 && !(isnan(a) && isnan(b));
    }
    CHECK(apart == 0, "%s %s %s: %d of %d are not what %s gives", k->isa, dtype_name(dtype), r->name, apart, N,
          other->isa);
    for (int j = 0; j < 4; j++) free(in[j]);
    free(mine), free(its);
}

static void test_compare_and_where(const wg_kernels *k, wg_dtype dtype) {
    enum { N = N_SPECIAL * N_SPECIAL };
    void *a = allocate(N * item_size[dtype]), *b = allocate(N * item_size[dtype]), *y = allocate(N * item_size[dtype]);
    uint8_t *less = allocate(N);
    for (int i = 0; i < N; i++) {
        set(dtype, a, i, special[i / N_SPECIAL]);
        set(dtype, b, i, special[i % N_SPECIAL]);
    }
    const void *const in[] = {a, b};
    for (int c = 0; c < N_COMPARISONS; c++)
        for (int n = N; n > N - 9; n--) {
            k->map[comparisons[c]][dtype](less, in, n, params);
            bool right = true;
            for (int i = 0; i < n; i++) {
                const double x = get(dtype, a, i), z = get(dtype, b, i);
                const bool want = comparisons[c] == WG_equal        ? x == z
                                  : comparisons[c] == WG_not_equal  ? x != z
                                  : comparisons[c] == WG_less       ? x < z
                                  : comparisons[c] == WG_less_equal ? x <= z
                                  : comparisons[c] == WG_greater    ? x > z
                                                                    : x >= z;
                right = right && less[i] == want;
            }
            CHECK(right, "%s comparison %d, n=%d", k->isa, c, n);
        }
    k->map[WG_less][dtype](less, in, N, params);
    k->map[WG_where][dtype](y, (const void *const[]){less, a, b}, N, params);
    bool chosen = true, extreme = true;
    for (int i = 0; i < N; i++) {
        const double x = get(dtype, a, i), z = get(dtype, b, i), got = get(dtype, y, i), want = x < z ? x : z;
        chosen = chosen && (got == want || (isnan(got) && isnan(want)));
    }
    for (int sign = 0; sign < 2; sign++) {
        k->map[sign ? WG_minimum : WG_maximum][dtype](y, in, N, params);
        for (int i = 0; i < N; i++) {
            const double x = get(dtype, a, i), z = get(dtype, b, i), got = get(dtype, y, i);
            extreme = extreme && (isnan(x) || isnan(z) ? isnan(got) : got == (sign ? fmin(x, z) : fmax(x, z)));
        }
    }
    CHECK(chosen, "%s where", k->isa);
    CHECK(extreme, "%s maximum or minimum", k->isa);
    free(a), free(b), free(y), free(less);
}

/* ---- folds --------------------------------------------------------------------------------------------------- */

static void test_folds(const wg_kernels *k, wg_dtype dtype) {
    const int64_t sizes[] = {1, 2, 3, 7, 8, 9, 31, 64, 65, 1000, 4095, 4096, 4097, 20001, 70000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        const size_t bytes = (size_t)n * item_size[dtype];
        void *x = allocate(bytes), *shifted = allocate(bytes + item_size[dtype]);
        void *elsewhere = (char *)shifted + item_size[dtype];
        long double sum = 0, size = 0;
        double least = INFINITY, most = -INFINITY, got = 0, again = 0;
        for (int64_t i = 0; i < n; i++) {
            set(dtype, x, i, uniform(-3, 5));
            const double a = get(dtype, x, i);
            sum += a, size += fabs(a), least = fmin(least, a), most = fmax(most, a);
        }
        memcpy(elsewhere, x, bytes);
        k->fold[WG_FOLD_PROD][dtype](&got, x, n < 60 ? n : 60); /* beyond, it may leave the range of float32 */
        long double product = 1;
        for (int64_t i = 0; i < n && i < 60; i++) product *= get(dtype, x, i);
        CHECK(fabsl(get(dtype, &got, 0) - product) <=
                  60 * (dtype == WG_F32 ? FLT_EPSILON : DBL_EPSILON) * fabsl(product),
              "%s product n=%d", k->isa, (int)n);
        k->fold[WG_FOLD_SUM][dtype](&got, x, n);
        k->fold[WG_FOLD_SUM][dtype](&again, elsewhere, n);
        /* chains of at most 64 additions, then trees: 64 + log2 n roundings of half an epsilon each */
        const double error = (double)(fabsl(get(dtype, &got, 0) - sum) / size);
        CHECK(error <= 40 * (dtype == WG_F32 ? FLT_EPSILON : DBL_EPSILON), "%s sum n=%d off by %g", k->isa, (int)n,
              error);
        CHECK(memcmp(&got, &again, sizeof got) == 0, "%s sum n=%d depends on alignment", k->isa, (int)n);
        k->fold[WG_FOLD_MAX][dtype](&got, x, n);
        CHECK(get(dtype, &got, 0) == most, "%s max n=%d", k->isa, (int)n);
        k->fold[WG_FOLD_MIN][dtype](&got, x, n);
        CHECK(get(dtype, &got, 0) == least, "%s min n=%d", k->isa, (int)n);
        for (int64_t i = 0; i < n; i += n / 7 + 1) {
            const double kept = get(dtype, x, i);
            set(dtype, x, i, NAN);
            k->fold[WG_FOLD_MAX][dtype](&got, x, n);
            k->fold[WG_FOLD_MIN][dtype](&again, x, n);
            CHECK(isnan(get(dtype, &got, 0)) && isnan(get(dtype, &again, 0)), "%s lost NaN %d of %d", k->isa, (int)i,
                  (int)n);
            set(dtype, x, i, kept);
        }
        free(x), free(shifted);
    }
}

/* ---- integers, bool, complex, casts ---------------------------------------------------------------------------- */

static void test_integers(const wg_kernels *k) {
    const int32_t a[] = {INT32_MAX, INT32_MIN, -3, 0}, b[] = {1, -1, 5, 0};
    const struct {
        int op;
        int32_t want[4];
    } cases[] = {
        {WG_add, {INT32_MIN, INT32_MAX, 2, 0}},
        {WG_sub, {INT32_MAX - 1, -INT32_MAX, -8, 0}},
        {WG_mul, {INT32_MAX, INT32_MIN, -15, 0}},
        {WG_neg, {-INT32_MAX, INT32_MIN, 3, 0}},
        {WG_abs, {INT32_MAX, INT32_MIN, 3, 0}},
        {WG_sign, {1, -1, -1, 0}},
        {WG_square, {1, 0, 9, 0}},
        {WG_maximum, {INT32_MAX, -1, 5, 0}},
        {WG_minimum, {1, INT32_MIN, -3, 0}},
        {WG_floor, {INT32_MAX, INT32_MIN, -3, 0}},
        {WG_remainder, {0, 0, 2, 0}},
        {WG_pow, {INT32_MAX, 0, -243, 1}},
        {WG_bitwise_and, {1, INT32_MIN, 5, 0}},
        {WG_bitwise_xor, {INT32_MAX - 1, INT32_MAX, -8, 0}},
        {WG_left_shift, {-2, 0, -96, 0}},
        {WG_right_shift, {INT32_MAX >> 1, -1, -1, 0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int32_t got[4];
        int64_t wide[3][4];
        k->map[cases[c].op][WG_I32](got, (const void *const[]){a, b}, 4, params);
        CHECK(memcmp(got, cases[c].want, sizeof got) == 0, "int32 op %d", cases[c].op);
        for (int i = 0; i < 4; i++) wide[0][i] = a[i], wide[1][i] = b[i];
        k->map[cases[c].op][WG_I64](wide[2], (const void *const[]){wide[0], wide[1]}, 4, params);
        CHECK(wide[2][2] == cases[c].want[2] && wide[2][3] == cases[c].want[3], "int64 op %d", cases[c].op);
    }
    int64_t total;
    int32_t most;
    k->fold[WG_FOLD_SUM][WG_I32](&total, (const int32_t[]){INT32_MAX, INT32_MAX, 2}, 3);
    k->fold[WG_FOLD_MAX][WG_I32](&most, a, 4);
    CHECK(total == 4294967296 && most == INT32_MAX, "int32 folds");
    k->fold[WG_FOLD_SUM][WG_BOOL](&total, (const uint8_t[]){1, 0, 1}, 3);
    CHECK(total == 2, "bool sum");
    uint8_t greater[4];
    k->map[WG_greater][WG_BOOL](greater, (const void *const[]){(const uint8_t[]){0, 1, 1}, (const uint8_t[]){0, 0, 1}},
                                3, params);
    CHECK(!greater[0] && greater[1] && !greater[2], "bool comparison");
}

static void test_casts(const wg_kernels *k) {
    const double x[] = {NAN, INFINITY, -INFINITY, 1e30, -2147483648.9, 2147483647.9, -0.9, 3.7};
    const int32_t want[] = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MAX, 0, 3};
    int32_t narrow[8];
    int64_t wide[8];
    float single[8];
    uint8_t truth[8];
    k->cast[WG_F64][WG_I32](narrow, (const void *const[]){x}, 8, params);
    CHECK(memcmp(narrow, want, sizeof want) == 0, "float64 to int32");
    k->cast[WG_F64][WG_F32](single, (const void *const[]){x}, 8, params);
    k->cast[WG_F32][WG_I64](wide, (const void *const[]){single}, 8, params);
    CHECK(wide[0] == INT64_MIN && wide[1] == INT64_MIN && wide[3] == INT64_MIN && wide[5] == 2147483648 && wide[7] == 3,
          "float32 to int64");
    k->cast[WG_F64][WG_BOOL](truth, (const void *const[]){x}, 8, params);
    CHECK(truth[0] && truth[6], "float64 to bool");
    k->cast[WG_I32][WG_F32](single, (const void *const[]){(const int32_t[]){16777217}}, 1, params);
    CHECK(single[0] == 16777216, "int32 to float32");
    double pair[2];
    k->cast[WG_F64][WG_C128](pair, (const void *const[]){x + 7}, 1, params);
    CHECK(pair[0] == 3.7 && pair[1] == 0, "float64 to complex128");
    k->map[WG_square][WG_C128](pair, (const void *const[]){(const double[]){1, 2}}, 1, params);
    CHECK(pair[0] == -3 && pair[1] == 4, "complex square");
}

static void test_names(void) {
    char message[200];
    wg_kernels k;
    CHECK(wg_kernels_build("foo", &k, message, sizeof message) == WG_VALUE_ERROR && strstr(message, "'foo'") &&
              strstr(message, "generic"),
          "%s", message);
    CHECK(wg_kernels_init("generic", message, sizeof message) == WG_OK && !strcmp(wg_isa(), "generic"), "generic");
    CHECK(wg_kernels_init("", message, sizeof message) == WG_OK && wg_isa_supported(wg_isa()), "the best");
    CHECK(!wg_isa_supported("foo") && wg_kernels_table()->gemm[WG_F32], "table");
}

static void test_set(const wg_kernels *k, const wg_kernels *generic) {
    static wg_kernels avx2;
    char message[200];
    const bool fused = strcmp(k->isa, "generic") != 0 && wg_isa_supported("avx2");
    if (fused) wg_kernels_build("avx2", &avx2, message, sizeof message);
    for (wg_dtype dtype = WG_F32; dtype <= WG_F64; dtype++) {
        for (int r = 0; r < N_ROWS; r++) {
            test_maps_against_generic(k, generic, dtype, &rows[r]);
            if (rows[r].arity == 4) test_zero_cotangent(k, dtype, &rows[r]);
            if (fused) test_same_bits(k, &avx2, dtype, &rows[r]);
        }
        test_compare_and_where(k, dtype);
        test_accuracy(k, dtype);
        test_folds(k, dtype);
    }
    test_integers(k);
    test_casts(k);
}

int main(void) {
    test_names();
    with_every_set(test_set);
    return report();
}
