/* Special functions in long double (on x86 eleven bits more than double): the generic twins of vspecial.inc, which
 * calls them too for what is rare.  Away from their zeros they are good to an ULP of double where long double is wider.
 */
#ifndef WG_SPECIAL_H
#define WG_SPECIAL_H

#include <math.h>

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

static inline double special_digamma(double a) {
    if (a > 0 || isnan(a)) return isinf(a) ? a : (double)special_digamma_right(a);
    if (a == 0) return copysign(INFINITY, -a);
    if (a == rint(a)) return NAN;
    return (double)(special_digamma_right(1 - (long double)a) - PI_LONG / tanl(PI_LONG * (a - rint(a))));
}

#endif
