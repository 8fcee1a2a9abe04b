"""Ufuncs made of a few operations: quotients and remainders, angles, signs, extremes that leave NaN out."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import innermost
from .elementwise import where
from .registry import NAMESPACE, append, implements, method, operand, recorded

NAMES = NAMESPACE


@implements(np.floor_divide)
@method("floor_divide")
def floor_divide(x1: Any, x2: Any) -> Any:
    """The largest whole number that is not above x1 / x2; the derivative is zero."""
    x1, x2 = map(NAMES["stop_gradient"], _on_one_tape(x1, x2))
    if {x1.dtype.kind, x2.dtype.kind} <= set("biu"):
        divisor = where(x2 == 0, 1, x2)
        rest = _rest(x1, divisor)
        y = NAMES["astype"](NAMES["rint"]((x1 - rest) / divisor), rest.dtype)
        # an integer may have more digits than a float: what the quotient lacks
        y = y + NAMES["astype"](NAMES["rint"]((x1 - rest - y * divisor) / divisor), y.dtype)
        return where(x2 == 0, 0, y - NAMES["astype"](NAMES["remainder"](x1, divisor) != rest, y.dtype))
    rest, quotient = NAMES["remainder"](x1, x2), x1 / x2
    y = (x1 - rest) / x2
    below = NAMES["floor"](y)
    y = where(y - below > 0.5, below + 1, below)
    y = where(NAMES["isinf"](rest), -1.0, where(y == 0, NAMES["trunc"](quotient), y))  # 0 has a sign
    return where(x2 == 0, quotient, y)


def _on_one_tape(*operands: Any) -> Any:
    return map(innermost(operands).as_var, operands)


def _rest(x1: Any, x2: Any) -> Any:
    """The remainder of integers that has the sign of x1; neither it nor x1 less it overflows."""
    rest = NAMES["remainder"](x1, x2)
    return where((rest != 0) & ((rest < 0) != (x1 < 0)), rest - x2, rest)


@implements(np.divmod)
@method("divmod")
def divmod_(x1: Any, x2: Any) -> tuple[Any, Any]:
    """The quotient rounded down, and the remainder."""
    return floor_divide(x1, x2), NAMES["remainder"](x1, x2)


@implements(np.fmod)
def fmod(x1: Any, x2: Any) -> Any:
    """The remainder of the sign of x1."""
    x1, x2 = _on_one_tape(x1, x2)
    if {x1.dtype.kind, x2.dtype.kind} <= set("biu"):
        return _rest(x1, x2)
    minus = signbit(x1)
    size = NAMES["remainder"](where(minus, -x1, x1), abs(x2))
    return where(minus, -size, size)


@implements(np.modf)
def modf(x: Any) -> tuple[Any, Any]:
    """The fraction and the whole part, both of the sign of x."""
    x = recorded(x) / 1.0
    whole = NAMES["trunc"](x)
    return where(NAMES["isinf"](x), 0.0, x - whole), whole


@implements(np.ldexp)
def ldexp(x1: Any, x2: Any) -> Any:
    """x1 * 2**x2, in two steps, for which neither is too large."""
    x1, half = recorded(x1) / 1.0, NAMES["floor"](recorded(x2) / 2)
    factors = (NAMES["astype"](NAMES["exp2"](part), x1.dtype) for part in (half, x2 - half))
    return x1 * next(factors) * next(factors)


@implements(np.frexp)
def frexp(x: Any) -> tuple[Any, Any]:
    """The part in [0.5, 1) and the exponent of x = part * 2**exponent; the exponent is a constant."""
    x = recorded(x) / 1.0
    size = NAMES["absolute"](x)
    plain = NAMES["logical_and"](NAMES["isfinite"](x), size > 0)
    exponent = NAMES["floor"](NAMES["log2"](where(plain, size, 1.0))) + 1.0
    part = ldexp(size, -exponent)  # which the logarithm's rounding may have put at an edge
    exponent = NAMES["stop_gradient"](where(plain, exponent + (part >= 1) - (part < 0.5), 0.0))
    return ldexp(x, -exponent), NAMES["astype"](exponent, np.int32)


@implements(np.isreal)
def isreal(x: Any) -> Any:
    """Whether an element has no imaginary part."""
    return NAMES["imag"](x) == 0


@implements(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """Whether an element has an imaginary part."""
    return NAMES["imag"](x) != 0


@implements(np.deg2rad, np.radians)
def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return append("mul", x, np.pi / 180)


@implements(np.rad2deg, np.degrees)
def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return append("mul", x, 180 / np.pi)


@implements(np.fabs)
def fabs(x: Any) -> Any:
    """The absolute value of real numbers."""
    if operand(x).dtype.kind == "c":
        raise TypeError("fabs does not take complex numbers; np.abs(z) does")
    return append("abs", x)


@implements(np.signbit)
def signbit(x: Any) -> Any:
    """Whether the sign is minus, that of -0 too."""
    x = recorded(x)
    return NAMES["arctan2"](x, -1.0) < 0


@implements(np.copysign)
def copysign(x1: Any, x2: Any) -> Any:
    """x1 with the sign of x2."""
    size = NAMES["absolute"](x1)
    return where(signbit(x2), -size, size)


@implements(np.heaviside)
def heaviside(x1: Any, x2: Any) -> Any:
    """0 below zero, x2 at zero, 1 above."""
    return where(NAMES["equal"](x1, 0), x2, (NAMES["sign"](x1) + 1) / 2)


@implements(np.fmax)
def fmax(x1: Any, x2: Any) -> Any:
    """The larger of both, or the one that is not NaN."""
    larger = NAMES["maximum"](x1, x2)
    return where(NAMES["isnan"](x1), x2, where(NAMES["isnan"](x2), x1, larger))


@implements(np.fmin)
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of both, or the one that is not NaN."""
    smaller = NAMES["minimum"](x1, x2)
    return where(NAMES["isnan"](x1), x2, where(NAMES["isnan"](x2), x1, smaller))


@implements(np.logaddexp2)
def logaddexp2(x1: Any, x2: Any) -> Any:
    """log2(2^x1 + 2^x2), without overflow."""
    log2 = float(np.log(2.0))
    x1, x2 = _on_one_tape(x1, x2)
    return NAMES["logaddexp"](x1 * log2, x2 * log2) / log2
