"""Complex numbers in the reference: their parts, and rows that are functions of a complex variable.

The cotangent of x + iy is that of x less i times that of y (HIPS autograd's convention): so a function of a
complex variable multiplies it by its derivative, and the partial derivatives of the rows serve as they are.
"""

import cmath

import reference_functions  # noqa: F401  (its rows are extended here)
from reference import COMPLEX, FLOATS, OPS, Op, c99, common_shape, make, neg

# ---- parts -------------------------------------------------------------------------------------------------


def part(which):
    """The real numbers that are a part of an array's."""
    return lambda attrs, a: make(
        FLOATS[COMPLEX.index(a.dtype)], a.shape, [getattr(x, which) for x in a.data], a.weak
    )


def pair(attrs, a, b):
    shape, narrow = common_shape(a.shape, b.shape), {a.dtype, b.dtype} == {"float32"}
    return make(COMPLEX[not narrow], shape, map(complex, a.spread(shape).data, b.spread(shape).data))


real = Op("real", part("real"), lambda g, y, a: [g])
imag = Op("imag", part("imag"), lambda g, y, a: [to_complex(g.zeros, neg(g))])
conj = Op(
    "conj",
    lambda attrs, a: make(a.dtype, a.shape, [x.conjugate() for x in a.data]),
    lambda g, y, a: [conj(g)],
)
to_complex = Op("to_complex", pair, lambda g, y, a, b: [real(g), neg(imag(g))])

# ---- functions ---------------------------------------------------------------------------------------------


def quotient(a, b):
    zero = complex(cmath.inf, cmath.inf) if a else complex(cmath.nan, cmath.nan)
    return a / b if b else zero


def power(a, b):
    try:
        return a**b
    except ZeroDivisionError:
        return complex(cmath.nan, cmath.nan)


def either(of_reals, of_complex):
    """The one or the other by the kind of the numbers."""
    return lambda *xs: (of_complex if any(isinstance(x, complex) for x in xs) else of_reals)(*xs)


for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh"):
    OPS[name].function = either(OPS[name].function, c99(getattr(cmath, name)))
OPS["div"].function = either(OPS["div"].function, quotient)
OPS["pow"].function = either(OPS["pow"].function, power)
