/* C unit tests of csrc/kernels: every elementary function of every instruction set against the C library in long
 * double.
 *
 *   cc -std=c11 -ffp-contract=off -Icsrc tests/c/test_functions.c csrc/kernels/{cpu,k_*}.c -lm
 */
#include "kernel_testing.h"
#include "kernels/special.h"

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
static long double special_digamma_l(long double a) { return special_digamma((double)a); }
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
    FUNCTION(lgamma, lgammal, -30, 30),
    FUNCTION(digamma, special_digamma_l, -30, 30),
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

enum { N = 20000 }; /* samples of each */

static void test_functions(const wg_kernels *k, wg_dtype dtype) {
    void *x = allocate(N * item_size[dtype]), *y = allocate(N * item_size[dtype]);
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
        CHECK(worst <= 2, "%s %s %s(%.17g): %g ULP", k->isa, dtype_name(dtype), functions[f].name, at, worst);
    }
    free(x), free(y);
}

static void test_functions_of_two(const wg_kernels *k, wg_dtype dtype) {
    void *x = allocate(N * item_size[dtype]), *z = allocate(N * item_size[dtype]), *y = allocate(N * item_size[dtype]);
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
    free(x), free(y), free(z);
}

static void test_power(const wg_kernels *k, wg_dtype dtype) {
    void *x = allocate(N * item_size[dtype]), *z = allocate(N * item_size[dtype]), *y = allocate(N * item_size[dtype]);
    double worst = 0, at[2] = {0};
    for (int i = 0; i < N; i++) { /* about 0.988 most terms of the logarithm cancel */
        const double a = i < N_SPECIAL * N_SPECIAL ? special[i / N_SPECIAL]
                         : i % 3 == 0              ? -floor(uniform(1, 99))
                         : i % 3 == 1              ? exp2(uniform(-9, 9))
                                                   : uniform(0.988, 0.98834);
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
    CHECK(worst <= 2, "%s %s pow(%.17g, %.17g): %g ULP", k->isa, dtype_name(dtype), at[0], at[1], worst);
    free(x), free(y), free(z);
}

static void test_set(const wg_kernels *k, const wg_kernels *generic) {
    (void)generic;
    for (wg_dtype dtype = WG_F32; dtype <= WG_F64; dtype++) {
        test_functions(k, dtype);
        test_functions_of_two(k, dtype);
        test_power(k, dtype);
    }
}

int main(void) {
    with_every_set(test_set);
    return report();
}
