"""The elementary functions of the reference: one row each, as in csrc/ops.def.

A row is the function of the operands, and for each operand its partial derivative as a function of operands
and result (then of parameters, if any); both take numbers or nodes.
"""
import functools
import math
from math import copysign, inf, nan

from reference import (
    Row,
    abs_,
    c99,
    div,
    equal,
    exp,
    greater,
    less,
    maximum,
    minimum,
    neg,
    reciprocal,
    square,
    where,
)

LN2, LN10 = math.log(2), math.log(10)

# ---- steps -------------------------------------------------------------------------------------------------
def rounded(function):
    """A function to whole numbers that keeps the sign of 0, infinities and NaN."""
    return lambda a: a if isinstance(a, int) else copysign(function(a), a) if math.isfinite(a) else a


floor = Row("floor", rounded(math.floor), lowest=False)
ceil = Row("ceil", rounded(math.ceil), lowest=False)
trunc = Row("trunc", rounded(math.trunc), lowest=False)
rint = Row("rint", rounded(round))


def modulo(a, b):  # NumPy's: 0 for integers by 0; NaN for floats
    if isinstance(b, int):
        return a % b if b else 0
    if math.isinf(a) or not b:
        return nan
    rest = math.fmod(a, b)
    return rest + b if rest and (rest < 0) != (b < 0) else rest or copysign(0.0, b)


remainder = Row("remainder", modulo, lambda a, b, y: 1, lambda a, b, y: -floor(div(a, b)), lowest=0)

# ---- roots, exponentials, logarithms -----------------------------------------------------------------------
def cube_root(a):
    if not a or not math.isfinite(a):
        return a
    y = math.cbrt(a)  # up to 4 ULP off: one step of Newton
    square, error = y * y, math.fsum((y * y * y, -a))
    return y - error / (3 * square) if math.isfinite(error) and square else y


sqrt = Row("sqrt", c99(math.sqrt), lambda a, y: div(0.5, y))
cbrt = Row("cbrt", cube_root, lambda a, y: reciprocal(3 * square(y)))
hypot = Row("hypot", math.hypot, lambda a, b, y: where(equal(y, 0), 0, div(a, y)),
            lambda a, b, y: where(equal(y, 0), 0, div(b, y)))
expm1 = Row("expm1", c99(math.expm1), lambda a, y: y + 1)
exp2 = Row("exp2", c99(math.exp2), lambda a, y: LN2 * y)
log1p = Row("log1p", c99(math.log1p, pole=-1), lambda a, y: reciprocal(1 + a))
log2 = Row("log2", c99(math.log2, pole=0), lambda a, y: div(1 / LN2, a))
log10 = Row("log10", c99(math.log10, pole=0), lambda a, y: div(1 / LN10, a))

# ---- trigonometry ------------------------------------------------------------------------------------------
def angle_slope(part, a, b):  # of an angle by a coordinate: the other one over the square of the radius
    radius = hypot(a, b)
    return where(equal(radius, 0), 0, div(div(part, radius), radius))


def sine_cardinal(a):
    nearest = round(a) if math.isfinite(a) else 0
    if not a or not math.isfinite(a):
        return 1 if a == 0 else nan if a != a else 0
    return (-1) ** nearest * math.sin(math.pi * (a - nearest)) / (math.pi * a)


def sinc_slope(a, y):  # near 0, where the quotient cancels, the sum of (-1)^k 2k pi^2k a^(2k-1) / (2k+1)!
    terms = [(-1) ** k * 2 * k * math.pi ** (2 * k) / math.factorial(2 * k + 1) for k in range(8, 0, -1)]
    near = functools.reduce(lambda sum, term: term + square(a) * sum, terms)
    return where(less(abs_(a), 0.25), a * near, div(cos(math.pi * a) - y, a))


sinc = Row("sinc", sine_cardinal, sinc_slope)
sin = Row("sin", c99(math.sin), lambda a, y: cos(a))
cos = Row("cos", c99(math.cos), lambda a, y: -sin(a))
tan = Row("tan", c99(math.tan), lambda a, y: 1 + square(y))
one_minus_square = Row("one_minus_square", lambda a: (1 - a) * (1 + a), lambda a, y: -2 * a)
asin = Row("asin", c99(math.asin), lambda a, y: reciprocal(sqrt(one_minus_square(a))))
acos = Row("acos", c99(math.acos), lambda a, y: -reciprocal(sqrt(one_minus_square(a))))
atan = Row("atan", math.atan, lambda a, y: reciprocal(1 + square(a)))
atan2 = Row("atan2", math.atan2,
            lambda a, b, y: angle_slope(b, a, b), lambda a, b, y: angle_slope(neg(a), a, b))

# ---- hyperbolic functions ----------------------------------------------------------------------------------
sinh = Row("sinh", lambda a: copysign(c99(math.sinh)(abs(a)), a), lambda a, y: cosh(a))
cosh = Row("cosh", c99(math.cosh), lambda a, y: sinh(a))
tanh = Row("tanh", math.tanh, lambda a, y: one_minus_square(y))
asinh = Row("asinh", math.asinh, lambda a, y: reciprocal(hypot(a, 1)))
acosh = Row("acosh", c99(math.acosh), lambda a, y: reciprocal(sqrt(a - 1) * sqrt(a + 1)))
atanh = Row("atanh", lambda a: copysign(inf, a) if abs(a) == 1 else c99(math.atanh)(a),
            lambda a, y: reciprocal(one_minus_square(a)))

# ---- error functions and activations -----------------------------------------------------------------------
erf = Row("erf", math.erf, lambda a, y: 2 / math.sqrt(math.pi) * exp(-square(a)))
erfc = Row("erfc", math.erfc, lambda a, y: -2 / math.sqrt(math.pi) * exp(-square(a)))
def inverse_erf(a):
    if not abs(a) < 1:
        return copysign(inf, a) if abs(a) == 1 else nan
    x = abs(a)
    slope = math.sqrt(math.pi) / 2
    y = slope * x / (1 + x * x)
    for _ in range(60):  # Halley's method; the residual without cancellation
        step = (math.erf(y) - x if x < 0.5 else 1 - x - math.erfc(y)) * slope * math.exp(y * y)
        y -= step / (1 + y * step)
    return copysign(y, a)


erfinv = Row("erfinv", inverse_erf, lambda a, y: math.sqrt(math.pi) / 2 * exp(square(y)))
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)  # B_2, B_4, ...


def digamma_right(x):  # Abramowitz & Stegun 6.3.5, 6.3.18
    far = x + 12
    series = [math.log(far), -0.5 / far, *(-b / (2 * k * far ** (2 * k)) for k, b in enumerate(BERNOULLI, 1))]
    return math.fsum(series + [-1 / (x + k) for k in range(12)])


def digamma_value(x):
    if x <= 0 and x == rounded(math.floor)(x):
        return copysign(inf, -x) if x == 0 else nan
    return digamma_right(x) if x > 0 else digamma_right(1 - x) - math.pi / math.tan(math.pi * (x - round(x)))


def zeta_value(s, q):  # Euler and Maclaurin's formula; for q < 0 the reference knows the poles only
    if not s > 1 or not q > 0:
        return inf if s == 1 or (s > 1 and q <= 0 and q == math.floor(q)) else nan
    far, factor, sum = q + 14, s, [(q + k) ** -s for k in range(14)]
    sum += [far ** (1 - s) / (s - 1), far**-s / 2]
    for k, b in enumerate(BERNOULLI, 1):
        sum.append(b / math.factorial(2 * k) * factor * far ** (1 - s - 2 * k))
        factor *= (s + 2 * k - 1) * (s + 2 * k)
    return math.fsum(sum)


lgamma = Row("lgamma", lambda a: inf if a <= 0 and a == math.floor(a) else math.lgamma(a),
             lambda a, y: digamma(a))
digamma = Row("digamma", digamma_value, lambda a, y: zeta(2, a))
zeta = Row("zeta", zeta_value, lambda s, q, y: nan, lambda s, q, y: -(s * zeta(s + 1, q)))
sigmoid = Row("sigmoid", lambda a: (exp(a) if a < 0 else 1) / (1 + exp(-abs(a))), lambda a, y: y * (1 - y))
softplus = Row("softplus", lambda a: maximum(a, 0) + log1p(exp(-abs(a))), lambda a, y: sigmoid(a))
log_sigmoid = Row("log_sigmoid", lambda a: -softplus(-a), lambda a, y: sigmoid(-a))
relu = Row("relu", lambda a: maximum(a, 0), lambda a, y: where(greater(y, 0), 1, 0))
relu6 = Row("relu6", lambda a: minimum(maximum(a, 0), 6),
            lambda a, y: where(greater(a, 0), where(less(a, 6), 1, 0), 0))
leaky_relu = Row("leaky_relu", lambda a, p: a if a > 0 else p * a, lambda a, y, p: where(greater(a, 0), 1, p))
elu = Row("elu", lambda a, p: a if a > 0 else p * math.expm1(a),
          lambda a, y, p: where(greater(a, 0), 1, p * exp(a)))
celu = Row("celu", lambda a, p: a if a > 0 else p * math.expm1(a / p),
           lambda a, y, p: where(greater(a, 0), 1, exp(div(a, p))))
SELU, LIMIT = 1.0507009873554805, 1.7580993408473769  # lambda, and lambda alpha of Klambauer et al. 2017
selu = Row("selu", lambda a: SELU * a if a > 0 else LIMIT * math.expm1(a),
           lambda a, y: where(greater(a, 0), SELU, LIMIT * exp(a)))
gelu = Row("gelu", lambda a: a * 0.5 * math.erfc(-a * math.sqrt(0.5)), lambda a, y:
           0.5 * (1 + erf(math.sqrt(0.5) * a)) + a * (exp(-0.5 * square(a)) * (1 / math.sqrt(math.tau))))


def gelu_tanh_slope(a):
    z, slope = (a * (GELU + c * GELU * 0.044715 * square(a)) for c in (1, 3))
    return sigmoid(z) * (1 + slope * sigmoid(-z))


GELU = 2 * math.sqrt(2 / math.pi)
gelu_tanh = Row("gelu_tanh", lambda a: a * sigmoid(GELU * a * (1 + 0.044715 * a * a)),
                lambda a, y: gelu_tanh_slope(a))
silu = Row("silu", lambda a: a * sigmoid(a), lambda a, y: sigmoid(a) * (1 + a * sigmoid(-a)))


def mish_slope(a):
    t = tanh(softplus(a))
    return t + a * sigmoid(a) * one_minus_square(t)


mish = Row("mish", lambda a: a * math.tanh(softplus(a)), lambda a, y: mish_slope(a))
hard_tanh = Row("hard_tanh", lambda a: minimum(maximum(a, -1), 1), lambda a, y: where(less(abs_(a), 1), 1, 0))
hard_sigmoid = Row("hard_sigmoid", lambda a: relu6(a + 3) / 6, lambda a, y: where(less(abs_(a), 3), 1 / 6, 0))
hard_swish = Row("hard_swish", lambda a: maximum(a, -3) * hard_sigmoid(a), lambda a, y: where(
    less(abs_(a), 3), 1 / 3 * (a + 1.5), where(less(a, 3), 0, 1)))
