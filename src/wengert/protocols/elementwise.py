"""Elementwise functions: one per row of the op table, and the few that are made of several."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Function, Op, Var, ops
from .constants import known
from .registry import (
    NAMESPACE,
    append,
    extra,
    implements,
    into,
    method,
    operand,
    recorded,
    refuse_options,
    sharing,
)

ELEMENTWISE_KINDS = ("UNARY", "BINARY", "ZERO", "COMPARE", "BITWISE")
INNER = ("one_minus_square", "gelu_tanh")  # rows that `wengert.numpy` does not offer by themselves
# What the core computes of small plain arrays.  The first line differs from NumPy by the units in the last
# place that either may err, and is there for it is faster at every size; the others have one right answer.
COMPUTED = frozenset(
    "exp expm1 sin cos hypot "
    "neg abs sign floor ceil trunc rint reciprocal square sqrt add sub mul div remainder maximum minimum "
    "equal not_equal less less_equal greater greater_equal".split()
)
UFUNCS: dict[Any, int] = {}  # NumPy ufunc -> op code
BY_NAME: dict[str, int] = {}  # name that a ufunc of another package (scipy.special) may have -> op code


def _elementwise(op: Op, numpy_function: Any):
    """The function of `wengert.numpy` for one row of the table."""

    def with_options(*args, **kwargs):
        if not kwargs:
            raise TypeError(f"{op.numpy} takes {op.arity} arrays, got {len(args)}")
        return numpy_function(*(recorded(x) for x in args), **kwargs)  # which asks the Var

    function = Function(numpy_function, with_options, op.code, appends=True, computes=op.name in COMPUTED)
    function.__module__, function.__name__, function.__qualname__ = "wengert.numpy", op.numpy, op.numpy
    function.__doc__ = f"{op.doc}\n\nAs `numpy.{op.numpy}`; takes Vars, arrays and scalars."
    return function


def _beyond_numpy(op: Op):
    """The function of `wengert.numpy` for a row that NumPy has no function for."""

    def function(a):
        return append(op.name, a)

    function.__module__, function.__name__, function.__qualname__ = "wengert.numpy", op.name, op.name
    function.__doc__ = f"{op.doc}, elementwise."
    return extra(function, op.code)


def _file_rows() -> None:
    for op in ops():
        numpy_function = getattr(np, op.numpy or "", None)
        if op.kind not in ELEMENTWISE_KINDS:
            continue
        if op.numpy:
            BY_NAME[op.numpy] = op.code
        if numpy_function is not None:
            UFUNCS[numpy_function] = op.code
            NAMESPACE[op.numpy] = _elementwise(op, numpy_function)
        elif op.arity == 1 and not op.n_params and op.name not in INNER:
            NAMESPACE[op.numpy or op.name] = _beyond_numpy(op)


_file_rows()
del UFUNCS[np.power]  # constant exponents have ops of their own: see `power`
NAMESPACE["abs"] = NAMESPACE["absolute"]
NAMESPACE["true_divide"] = NAMESPACE["divide"]
NAMESPACE["mod"] = NAMESPACE["remainder"]
NAMESPACE["bitwise_not"] = NAMESPACE["bitwise_invert"] = NAMESPACE["invert"]
NAMESPACE.update({f"bitwise_{_name}": NAMESPACE[_name] for _name in ("left_shift", "right_shift")})
for _name in ("sin", "cos", "tan", "sinh", "cosh", "tanh"):
    if f"arc{_name}" in NAMESPACE:
        NAMESPACE[f"a{_name}"] = NAMESPACE[f"arc{_name}"]  # NumPy 2's names
NAMESPACE["atan2"] = NAMESPACE["arctan2"]


@method("of_complex")
def of_complex(op: int, z: Var) -> Any:
    """The result of an op that the core has of real numbers only; None where it has no meaning of `z`."""
    if z.dtype.kind != "c":
        return None
    from ..hosted.holomorphic import OF_COMPLEX

    return OF_COMPLEX[op](z) if op in OF_COMPLEX else None


@implements(np.power, names=("pow",))
def power(x1: Any, x2: Any, **kwargs: Any) -> Var:
    """x1 ** x2, elementwise; squares, roots and reciprocals by constant exponents have ops of their own."""
    refuse_options("power", **kwargs)
    return x1**x2 if isinstance(x1, Var) else append("pow", x1, x2)


@implements(np.float_power)
def float_power(x1: Any, x2: Any, **kwargs: Any) -> Var:
    """x1 ** x2, elementwise, in double precision."""
    a, b = operand(x1), operand(x2)
    dtype = np.result_type(a.dtype, b.dtype, np.float64)
    return power(a.astype(dtype), b.astype(dtype), **kwargs)


@implements(np.sinc)
def sinc(x: Any) -> Var:
    """sin(pi x) / (pi x), 1 at 0."""
    return append("sinc", x)


@implements(np.positive)
def positive(x: Any) -> Var:
    """+x"""
    return append("copy", x)


@implements(np.conjugate, names=("conj",))
def conjugate(x: Any) -> Any:
    """The complex conjugate."""
    x = operand(x)
    return append("conj" if x.dtype.kind == "c" else "copy", x)


@method("conj", "conjugate")
def _conj(x: Var) -> Var:
    """The complex conjugate, which of real numbers is they themselves."""
    return append("conj", x) if x.dtype.kind == "c" else x


@implements(np.real)
def real(val: Any) -> Any:
    """The real part."""
    val = operand(val)
    return append("real", val) if val.dtype.kind == "c" else val


@implements(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """The real part where the imaginary parts are within rounding of 0, as values say."""
    a = operand(a)
    if a.dtype.kind != "c":
        return a
    parts = known("real_if_close", imag(a))
    return real(a) if np.all(np.abs(parts) < (tol * np.finfo(a.dtype).eps if tol > 1 else tol)) else a


@implements(np.imag)
def imag(val: Any) -> Any:
    """The imaginary part, which of real numbers is 0."""
    val = operand(val)
    return append("imag", val) if val.dtype.kind == "c" else NAMESPACE["zeros_like"](val)


method("real")(implements(np.real)(sharing(real, most=64)))
method("imag")(implements(np.imag)(sharing(imag, most=64)))


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Var:
    """The angle of a complex number in the plane; of 0 it is 0, and so is the derivative there."""
    turned = append("atan2", imag(z), real(z))
    return append("mul", turned, 180 / np.pi) if deg else turned


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """x where the condition holds, else y; of a condition alone the indices of what is not zero."""
    if x is None and y is None:
        return np.nonzero(known("where", condition))
    if x is None or y is None:
        raise ValueError("where: either both or neither of x and y must be given")
    return append("where", as_bool(condition), x, y)


implements(np.where, computes="where")(sharing(where, of_numbers=True))


@implements(np.clip, np._core.umath.clip)  # type: ignore[attr-defined]  # the ufunc has no public name
@method("clip")
def clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None
) -> Var:
    """`a` limited to [a_min, a_max]; at a bound the derivative is shared with it."""
    lower = a_min if min is None else min
    upper = a_max if max is None else max
    limited = a if lower is None else append("maximum", a, lower)
    limited = limited if upper is None else append("minimum", limited, upper)
    return into(out, append("copy", a) if lower is None and upper is None else limited)


@implements(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Var:
    """`a` rounded to so many decimals, halves to even; the derivative is zero."""
    refuse_options("round", out=out)
    kind = operand(a).dtype.kind
    if decimals == 0 or kind not in "fc":
        return append("rint", a) if kind in "fc" else append("copy", a)
    scale = 10.0 ** abs(decimals)
    forth, back = ("mul", "div") if decimals > 0 else ("div", "mul")
    return append(back, append("rint", append(forth, a, scale)), scale)


@implements(np.logaddexp)
def logaddexp(x1: Any, x2: Any) -> Var:
    """log(e^x1 + e^x2), without overflow; smooth where the operands are equal, which a maximum is not."""
    first = append("greater_equal", x1, x2)
    high, low = append("where", first, x1, x2), append("where", first, x2, x1)
    both = append("bitwise_and", append("equal", low, high), isinf(high))  # their difference is NaN
    return append("add", high, append("softplus", append("where", both, 0.0, append("sub", low, high))))


def as_bool(x: Any) -> Any:
    """Truth of each element."""
    if operand(x).dtype == bool:
        return x
    return NAMESPACE["not_equal"](x, 0)


@implements(np.logical_and)
def logical_and(x1: Any, x2: Any) -> Var:
    """Whether both hold; of bools also `x1 & x2`."""
    return append("where", as_bool(x1), as_bool(x2), False)


@implements(np.logical_or)
def logical_or(x1: Any, x2: Any) -> Var:
    """Whether either holds; of bools also `x1 | x2`."""
    return append("where", as_bool(x1), True, as_bool(x2))


@implements(np.logical_not)
def logical_not(x: Any) -> Var:
    """Whether it does not hold; of bools also `~x`."""
    return append("where", as_bool(x), False, True)


@implements(np.logical_xor)
def logical_xor(x1: Any, x2: Any) -> Var:
    """Whether exactly one holds."""
    return append("not_equal", as_bool(x1), as_bool(x2))


@implements(np.isnan)
def isnan(x: Any) -> Var:
    """Whether an element is not a number."""
    return append("not_equal", x, x)


@implements(np.isinf)
def isinf(x: Any) -> Var:
    """Whether an element is infinite."""
    return append("equal", append("abs", x), np.inf)


@implements(np.isfinite)
def isfinite(x: Any) -> Var:
    """Whether an element is neither infinite nor not a number."""
    return append("less", append("abs", x), np.inf)


# ---- names that NumPy does not have -------------------------------------------------------------------


def polygamma(n: Any, x: Any) -> Any:
    """The derivative number n of `digamma`, n an integer and at least 0.

    Examples
    --------
    >>> import numpy as np, wengert.numpy as wnp
    >>> bool(abs(wnp.polygamma(1, 1.0) - np.pi**2 / 6) < 1e-15)
    True
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise TypeError(f"polygamma: n={n!r}; expected a Python integer, 0 or more")
    return append("digamma", x) if n == 0 else _trigamma(x, int(n))


@extra
def _trigamma(x: Any, n: int) -> Any:
    return append("mul", math.factorial(n) * (-1.0) ** (n + 1), append("zeta", n + 1.0, x))


@extra
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where x > 0, else negative_slope * x."""
    return append("leaky_relu", x, attrs=(float(negative_slope),))


@extra
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else alpha * (e^x - 1)."""
    return append("elu", x, attrs=(float(alpha),))


@extra
def gelu(x: Any, approximate: bool = False) -> Any:
    """x * Phi(x), Phi the standard normal distribution function; approximate: by a tanh, 5e-4 off at most."""
    return append("gelu_tanh" if approximate else "gelu", x)


@extra
def celu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else alpha * (e^(x / alpha) - 1)."""
    return append("celu", x, attrs=(float(alpha),))


NAMESPACE["polygamma"] = polygamma
del NAMESPACE["_trigamma"]
