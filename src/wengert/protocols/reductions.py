"""Sums, means, extremes and what is made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Var, innermost
from .elementwise import as_bool
from .movement import astype, broadcast_to, expand_dims, line, reshape
from .registry import (
    append,
    extra,
    implements,
    into,
    method,
    normalize_axes,
    operand,
    recorded,
    refuse_options,
)


def _reduce(name: str, a: Any, axis: Any, keepdims: Any) -> Var:
    ndim = operand(a).ndim
    mask = (1 << ndim) - 1 if axis is None else sum(1 << k for k in normalize_axes(axis, ndim))
    return append(name, a, attrs=(mask, int(keepdims is True or keepdims == 1)))


def _masked(name: str, a: Any, where: Any, neutral: Any) -> Any:
    """`a` with what changes nothing in place of elements that the mask leaves out."""
    a = operand(a)
    if not _given(where) or where is True:
        return a
    if neutral is None:
        raise ValueError(f"{name}: without a neutral element, where= needs initial=")
    chosen = append("where", as_bool(where), a, neutral)
    if chosen.shape != a.shape:
        raise ValueError(f"{name}: where= of shape {np.shape(where)} does not broadcast to {a.shape}")
    return chosen


def _given(option: Any) -> bool:
    return option is not None and option is not np._NoValue


def _with_initial(combine: str, result: Var, initial: Any) -> Var:
    return append(combine, result, initial) if _given(initial) else result


@implements(np.sum, computes="sum")
@method("sum")
def sum_(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None) -> Var:
    """The sum over axes."""
    a = _masked("sum", a, where, 0)
    total = _reduce("sum", a if dtype is None else astype(a, dtype), axis, keepdims)
    return into(out, _with_initial("add", total, initial))


@implements(np.prod, computes="prod")
@method("prod")
def prod(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None) -> Var:
    """The product over axes; factors may be 0, also in derivatives."""
    a = _masked("prod", a, where, 1)
    product = _reduce("prod", a if dtype is None else astype(a, dtype), axis, keepdims)
    return into(out, _with_initial("mul", product, initial))


def _count(a: Any, axis: Any) -> int:
    return math.prod(operand(a).shape[k] for k in normalize_axes(axis, operand(a).ndim))


def _number(a: Any, axis: Any, keepdims: Any, where: Any) -> Any:
    """How many elements a mean is taken over: a float, or a Var where a mask says so."""
    if not _given(where) or where is True:
        return float(_count(a, axis))
    chosen = broadcast_to(innermost((a, where)).as_var(where), a.shape)
    return _reduce("sum", astype(as_bool(chosen), real_dtype(a)), axis, keepdims)


def real_dtype(a: Any) -> Any:
    """That of the parts of a floating-point array's numbers."""
    return np.dtype(a.dtype.char.lower())


def squares(a: Any) -> Any:
    """|a|^2, of complex numbers without the root in |a|, which has no slope at 0."""
    if a.dtype.kind != "c":
        return append("square", a)
    return append("add", *(append("square", append(part, a)) for part in ("real", "imag")))


def _as_float(a: Any, dtype: Any) -> Any:
    """`a` as the floating-point array over which a mean is taken."""
    a = operand(a)
    if dtype is not None:
        return astype(a, dtype)
    return a if a.dtype.kind in "fc" else astype(a, np.float64)


@implements(np.mean)
@method("mean")
def mean(a, axis=None, dtype=None, out=None, keepdims=False, *, where=None) -> Var:
    """The mean over axes; that of no elements is NaN."""
    a = _as_float(a, dtype)
    total = _reduce("sum", _masked("mean", a, where, 0), axis, keepdims)
    return into(out, append("div", total, _number(a, axis, keepdims, where)))


@implements(np.var)
@method("var")
def var(
    a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None
) -> Var:
    """The mean squared distance from the mean, over n - ddof."""
    a = _as_float(a, dtype)
    if _given(mean):
        centre = mean
    else:
        total = _reduce("sum", _masked("var", a, where, 0), axis, True)
        centre = append("div", total, _number(a, axis, True, where))
    distances = _masked("var", squares(append("sub", a, centre)), where, 0)
    rest = float(correction if _given(correction) else ddof)
    number = _number(a, axis, keepdims, where)
    number = max(number - rest, 0.0) if isinstance(number, float) else append("maximum", number - rest, 0.0)
    return into(out, append("div", _reduce("sum", distances, axis, keepdims), number))


@implements(np.std)
@method("std")
def std(
    a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None
) -> Var:
    """The square root of the variance; where that is 0 the derivative is 0."""
    spread = var(a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction)
    return into(out, _root(spread))


def _root(squares: Any) -> Var:
    """The square root of a sum of squares.  At 0 its derivatives are 0, to any order."""
    zero = append("equal", squares, 0)
    return append("where", zero, 0, append("sqrt", append("where", zero, 1, squares)))


def _extreme(name: str, a: Any, axis: Any, keepdims: Any, where: Any, neutral: Any) -> Var:
    """max or min; neutral is what they give for no elements, None where there is no such thing."""
    a = _masked(name, a, where, neutral)
    if neutral is None or _count(a, axis):
        return _reduce(name, a, axis, keepdims)
    return _filled(_reduce("sum", a, axis, keepdims), neutral, a.dtype)


@implements(np.max, np.amax, computes="max")
@method("max")
def max_(a, axis=None, out=None, keepdims=False, initial=None, where=None) -> Var:
    """The largest element over axes; ties share the derivative."""
    neutral = initial if _given(initial) else None
    return into(out, _with_initial("maximum", _extreme("max", a, axis, keepdims, where, neutral), initial))


@implements(np.min, np.amin, computes="min")
@method("min")
def min_(a, axis=None, out=None, keepdims=False, initial=None, where=None) -> Var:
    """The smallest element over axes; ties share the derivative."""
    neutral = initial if _given(initial) else None
    return into(out, _with_initial("minimum", _extreme("min", a, axis, keepdims, where, neutral), initial))


@implements(np.any)
@method("any")
def any_(a, axis=None, out=None, keepdims=False, *, where=None) -> Var:
    """Whether any element over axes is not 0."""
    return into(out, _extreme("max", as_bool(recorded(a)), axis, keepdims, where, False))


@implements(np.all)
@method("all")
def all_(a, axis=None, out=None, keepdims=False, *, where=None) -> Var:
    """Whether no element over axes is 0."""
    return into(out, _extreme("min", as_bool(recorded(a)), axis, keepdims, where, True))


def _first(name: str, a: Any, axis: Any, keepdims: Any) -> Var:
    a = operand(a)
    row, along = line(a, axis)
    index = append(name, row, attrs=(along,))
    if keepdims is not True:
        return index
    return reshape(index, (1,) * a.ndim) if axis is None else expand_dims(index, axis)


@implements(np.argmax)
@method("argmax")
def argmax(a, axis=None, out=None, *, keepdims=False) -> Var:
    """The index of the first largest element along an axis, or of the flattened array."""
    return into(out, _first("argmax", a, axis, keepdims))


@implements(np.argmin)
@method("argmin")
def argmin(a, axis=None, out=None, *, keepdims=False) -> Var:
    """The index of the first smallest element along an axis, or of the flattened array."""
    return into(out, _first("argmin", a, axis, keepdims))


@implements(np.cumsum)
@method("cumsum")
def cumsum(a, axis=None, dtype=None, out=None) -> Var:
    """Running sums along an axis, or of the flattened array; integers are summed as int64."""
    a, axis = _lines(a, axis, dtype)
    return into(out, append("recurrence", _filled(a, 1), a, attrs=(axis, 0)))


@implements(np.cumprod)
@method("cumprod")
def cumprod(a, axis=None, dtype=None, out=None) -> Var:
    """Running products along an axis, or of the flattened array; factors may be 0, also in derivatives."""
    refuse_options("cumprod", out=out)
    a, axis = _lines(a, axis, dtype)
    if not a.shape[axis]:
        return append("copy", a)
    first = tuple(x for k, n in enumerate(a.shape) for x in (0, 1, 1 if k == axis else n))
    # y[k] = a[k] y[k-1] from y[0] = a[0]; to add -0 changes nothing, not even the sign of a 0
    start = append("slice_set", _filled(a, -0.0), append("slice", a, attrs=first), attrs=first)
    return append("recurrence", a, start, attrs=(axis, 0))


def _lines(a: Any, axis: Any, dtype: Any) -> tuple[Any, int]:
    """An array and the axis of it that a running sum or product follows."""
    a, axis = line(operand(a), axis)
    if dtype is None and a.dtype.kind in "bi":
        dtype = np.int64
    return a if dtype is None else astype(a, dtype), axis


def _filled(a: Any, value: float, dtype: Any = None) -> Var:
    """A number repeated to an array's shape, of its dtype or another."""
    return innermost((a,)).full(value, a.dtype if dtype is None else dtype, a.shape)


@extra
def logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log of the sum of e^a over axes, without overflow."""
    return _reduce("logsumexp", a, axis, keepdims)


@extra
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """x - logsumexp(x), along an axis."""
    return append("sub", x, _reduce("logsumexp", x, axis, True))


@extra
def softmax(x: Any, axis: Any = -1) -> Any:
    """e^x, scaled to sum to one along an axis."""
    return append("exp", append("sub", x, _reduce("logsumexp", x, axis, True)))
