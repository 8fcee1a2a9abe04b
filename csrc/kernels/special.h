/* Special functions in long double (on x86 eleven bits more than double): the generic twins of vspecial.inc, which
 * calls them too for what is rare.  They are good to an ULP of double where long double is wider, zeta away from zeros.
 */
#ifndef WG_SPECIAL_H
#define WG_SPECIAL_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

long double lgammal_r(long double a, int *sign); /* every libm has it; no standard header under -std=c11 does */

#define PI_LONG 3.14159265358979323846264338327950288L
enum { SHIFTED = 12 }; /* from here on the asymptotic series below are good to 2^-63 */

/* Coefficients B_2k / (2k)!, k = 1, 2, ... (Abramowitz & Stegun 23.1). */
static const long double special_bernoulli[] = {1.0L / 12,          -1.0L / 720,
                                                1.0L / 30240,       -1.0L / 1209600,
                                                1.0L / 47900160,    -691.0L / 1307674368000,
                                                1.0L / 74724249600, -3617.0L / 10670622842880000};
enum { N_BERNOULLI = sizeof special_bernoulli / sizeof *special_bernoulli };

static inline double special_lgamma(double a) {
    int sign;
    return (double)lgammal_r(a, &sign);
}

/* The sum of (q + k)^-s, s > 1, q > 0: terms up to q + k >= SHIFTED + 2 s, then Euler and Maclaurin's formula. */
static inline long double special_zeta_right(long double s, long double q) {
    long double sum = 0;
    for (; q < SHIFTED + 2 * s; q++) {
        const long double term = powl(q, -s);
        sum += term;
        if (!(term > sum * 0x1p-70L)) return sum; /* s so large that the rest has no say */
    }
    long double term = powl(q, -s), factor = s / q; /* s (s + 1) ... (s + 2k - 2) q^(1 - 2k) */
    sum += term * (q / (s - 1) + 0.5L);
    for (int k = 0; k < N_BERNOULLI; k++) {
        sum += term * factor * special_bernoulli[k];
        factor *= (s + 2 * k + 1) * (s + 2 * k + 2) / (q * q);
    }
    return sum;
}

/* On the left, for a whole s: with f = q - floor(q), the terms below 0 are those of zeta(s, 1 - f) up to 1 - q. */
static inline double special_zeta(double s, double q) {
    if (isnan(s) || isnan(q) || s < 1) return NAN;
    if (s == 1) return INFINITY;
    if (q > 0) return isinf(q) ? 0 : (double)special_zeta_right(s, q);
    if (q == rint(q)) return isinf(q) ? NAN : INFINITY;
    if (s != rint(s)) return NAN;
    const long double near = q - rint(q), f = near < 0 ? 1 + near : near, rest = near < 0 ? -near : 1 - near;
    const long double left = special_zeta_right(s, rest) - special_zeta_right(s, 1 - (long double)q);
    return (double)(special_zeta_right(s, f) + (fmod(s, 2) != 0 ? -left : left));
}

/* (-1)^n zeta(n, x0), n = 2, 3, ... at the positive zero x0 of digamma: its Taylor series there. */
static const long double special_digamma_q[] = {
    0.9676722454476211704274L,   -0.4427631689835921060929L,  0.2584997609556510106244L,  -0.1639427054424065275043L,
    0.1078240506912623657572L,   -0.07219956125645471092612L, 0.04880428816414310722509L, -0.03316112647484735929226L,
    0.02259764823221810465962L,  -0.0154247659049489591388L,  0.01053879161661217538812L, -0.00720453438635686824097L,
    0.004926781395729853446354L, -0.003369801655439328082793L};
enum { N_DIGAMMA = sizeof special_digamma_q / sizeof *special_digamma_q };

static inline long double special_digamma_right(long double x) {
    const long double d = x - 1.4616321449683622 - 9.549995429965697715184e-17L; /* x0 in two parts */
    if (fabsl(d) < 0.0625L) {
        long double sum = 0;
        for (int k = N_DIGAMMA; k-- > 0;) sum = sum * d + special_digamma_q[k];
        return sum * d;
    }
    long double below = 0;
    for (; x < SHIFTED; x++) below += 1 / x;
    const long double square = 1 / (x * x);
    long double power = square, factor = 1, sum = 0; /* B_2k / (2k) = (2k - 1)! times the coefficient */
    for (int k = 0; k < N_BERNOULLI; k++) {
        sum += power * factor * special_bernoulli[k];
        power *= square;
        factor *= (2 * k + 2) * (2 * k + 3);
    }
    return logl(x) - 0.5L / x - sum - below;
}

/* ---- digamma about its zeros on the left, where two large terms cancel: in twice the precision ---------------- */
typedef struct {
    long double hi, lo;
} special_pair;

static inline special_pair special_plus(special_pair a, special_pair b) {
    const long double sum = a.hi + b.hi, moved = sum - a.hi;
    const long double lo = (a.hi - (sum - moved)) + (b.hi - moved) + (a.lo + b.lo), hi = sum + lo;
    return (special_pair){hi, lo - (hi - sum)};
}

/* a b less the product as rounded, by halves of the factors (Dekker 1971): fmal takes a microsecond. */
static inline long double special_lost(long double a, long double b, long double product) {
    const long double halves = 1 + ldexpl(1, (LDBL_MANT_DIG + 1) / 2), a_far = halves * a, b_far = halves * b;
    const long double a_hi = a_far - (a_far - a), b_hi = b_far - (b_far - b), a_lo = a - a_hi, b_lo = b - b_hi;
    return ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo;
}

static inline special_pair special_times(special_pair a, special_pair b) {
    const long double product = a.hi * b.hi;
    const long double lo = special_lost(a.hi, b.hi, product) + (a.hi * b.lo + a.lo * b.hi), hi = product + lo;
    return (special_pair){hi, lo - (hi - product)};
}

static inline special_pair special_over(special_pair a, special_pair b) {
    const long double q = a.hi / b.hi, product = q * b.hi;
    const long double rest = (a.hi - product) - special_lost(q, b.hi, product);
    const long double lo = (rest + (a.lo - q * b.lo)) / b.hi, hi = q + lo;
    return (special_pair){hi, lo - (hi - q)};
}

/* 1 - w1 z / (3 - w2 z / (5 - ...)) (Abramowitz & Stegun 4.3.94, 4.6.35): sqrt(z) over tan(sqrt(z)) with wk = 1, over
 * atanh(sqrt(z)) with wk = k^2; to 2^-115 for z up to (pi / 2)^2 and 0.03. */
static inline special_pair special_fraction(special_pair z, bool of_atanh) {
    enum { TERMS = 20 };
    special_pair c = {2 * TERMS + 1, 0};
    for (int k = TERMS; k > 0; k--) {
        c = special_times(special_over(z, c), (special_pair){of_atanh ? -k * k : -1, 0});
        c = special_plus((special_pair){2 * k - 1, 0}, c);
    }
    return c;
}

/* B_2k / (2k) */
static const int32_t special_numerators[] = {1,     -1,    1,       -1,    1,          -691,  1,
                                             -3617, 43867, -174611, 77683, -236364091, 657931};
static const int32_t special_denominators[] = {12, 120, 252, 240, 132, 32760, 12, 8160, 14364, 6600, 276, 65520, 12};

/* digamma(x) as a pair, x > 1, x + SHIFT without error in a long double. */
static inline special_pair special_digamma_pair(long double x) {
    enum { SHIFT = 26, TERMS = sizeof special_numerators / sizeof *special_numerators };
    const special_pair one = {1, 0}, ln2 = {0x1.62e42fefa39efp-1, 2.3190468138462995584177710e-17L};
    special_pair y = {0, 0}, sum = {0, 0};
    for (; x < SHIFT; x++) y = special_plus(y, special_over((special_pair){-1, 0}, (special_pair){x, 0}));
    const special_pair inverse = special_over(one, (special_pair){x, 0}), square = special_times(inverse, inverse);
    for (int k = TERMS; k-- > 0;) {
        const special_pair above = {special_numerators[k], 0}, below = {special_denominators[k], 0};
        sum = special_times(special_plus(sum, special_over(above, below)), square);
    }
    y = special_plus(y, (special_pair){-sum.hi, -sum.lo});
    y = special_plus(y, special_times((special_pair){-0.5L, 0}, inverse));

    int exponent;
    long double m = frexpl(x, &exponent); /* log(x) = exponent ln 2 + 2 atanh(s) */
    if (m < 0.70710678L) m *= 2, exponent--;
    const special_pair s = special_over((special_pair){m - 1, 0}, special_plus((special_pair){m, 0}, one));
    const special_pair atanh = special_over(s, special_fraction(special_times(s, s), true));
    y = special_plus(y, special_times((special_pair){exponent, 0}, ln2));
    return special_plus(y, special_times((special_pair){2, 0}, atanh));
}

/* digamma(1 - a) - pi / tan(pi rest), rest = a - rint(a) */
static inline double special_digamma_reflected(double a) {
    const special_pair pi = {0x1.921fb54442d18p1, 1.2246467991473531772260659e-16L}, rest = {a - rint(a), 0};
    const special_pair angle = special_times(pi, rest);
    const special_pair cotangent = special_over(special_fraction(special_times(angle, angle), false), rest);
    const special_pair y = special_digamma_pair(1 - (long double)a);
    return (double)special_plus(y, (special_pair){-cotangent.hi, -cotangent.lo}).hi;
}

static inline double special_digamma(double a) {
    if (a > 0 || isnan(a)) return isinf(a) ? a : (double)special_digamma_right(a);
    if (a == 0) return copysign(INFINITY, -a);
    if (a == rint(a)) return NAN;
    const long double y = special_digamma_right(1 - (long double)a) - PI_LONG / tanl(PI_LONG * (a - rint(a)));
    return fabsl(y) < 0x1p-8L ? special_digamma_reflected(a) : (double)y; /* it is good to 2^-61 */
}

#endif
