"""Sums, means, extremes and what is made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Var, innermost
from .movement import astype, expand_dims, ravel, reshape
from .registry import (
    append,
    extra,
    implements,
    method,
    normalize_axes,
    normalize_axis,
    operand,
    refuse_options,
)


def _reduce(name: str, a: Any, axis: Any, keepdims: Any) -> Var:
    axes = normalize_axes(axis, operand(a).ndim)
    return append(name, a, attrs=(sum(1 << k for k in axes), int(keepdims is True or keepdims == 1)))


@implements(np.sum)
@method("sum")
def sum_(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None) -> Var:
    """The sum over axes."""
    refuse_options("sum", out=out, initial=initial, where=where)
    a = operand(a)
    return _reduce("sum", a if dtype is None else astype(a, dtype), axis, keepdims)


def _count(a: Any, axis: Any) -> int:
    return math.prod(operand(a).shape[k] for k in normalize_axes(axis, operand(a).ndim))


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
    refuse_options("mean", out=out, where=where)
    a = _as_float(a, dtype)
    return append("div", _reduce("sum", a, axis, keepdims), float(_count(a, axis)))


@implements(np.var)
@method("var")
def var(
    a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None
) -> Var:
    """The mean squared distance from the mean, over n - ddof."""
    refuse_options("var", out=out, where=where, mean=mean)
    a = _as_float(a, dtype)
    n = _count(a, axis)
    centre = append("div", _reduce("sum", a, axis, True), float(n))
    squares = append("square", append("sub", a, centre))
    return append(
        "div",
        _reduce("sum", squares, axis, keepdims),
        float(n - (ddof if correction is None else correction)),
    )


@implements(np.std)
@method("std")
def std(
    a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, mean=None, correction=None
) -> Var:
    """The square root of the variance."""
    return append(
        "sqrt", var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction)
    )


@implements(np.max, np.amax)
@method("max")
def max_(a, axis=None, out=None, keepdims=False, initial=None, where=None) -> Var:
    """The largest element over axes; ties share the derivative."""
    refuse_options("max", out=out, initial=initial, where=where)
    return _reduce("max", a, axis, keepdims)


@implements(np.min, np.amin)
@method("min")
def min_(a, axis=None, out=None, keepdims=False, initial=None, where=None) -> Var:
    """The smallest element over axes; ties share the derivative."""
    refuse_options("min", out=out, initial=initial, where=where)
    return _reduce("min", a, axis, keepdims)


@implements(np.argmax)
@method("argmax")
def argmax(a, axis=None, out=None, *, keepdims=False) -> Var:
    """The index of the first largest element along an axis, or of the flattened array."""
    refuse_options("argmax", out=out)
    a = operand(a)
    index = append(
        "argmax",
        ravel(a) if axis is None else a,
        attrs=(0 if axis is None else normalize_axis(axis, a.ndim),),
    )
    if keepdims is not True:
        return index
    return reshape(index, (1,) * a.ndim) if axis is None else expand_dims(index, axis)


@implements(np.argmin)
@method("argmin")
def argmin(a, axis=None, out=None, *, keepdims=False) -> Var:
    """The index of the first smallest element along an axis, or of the flattened array."""
    return argmax(append("neg", a), axis, out, keepdims=keepdims)


@implements(np.cumsum)
@method("cumsum")
def cumsum(a, axis=None, dtype=None, out=None) -> Var:
    """Running sums along an axis, or of the flattened array; integers are summed as int64."""
    refuse_options("cumsum", out=out)
    a, axis = _lines(a, axis, dtype)
    return append("recurrence", _filled(a, 1), a, attrs=(axis, 0))


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
    a = operand(a)
    if axis is None:
        a, axis = ravel(a), 0
    if dtype is None and a.dtype.kind in "bi":
        dtype = np.int64
    return a if dtype is None else astype(a, dtype), normalize_axis(axis, a.ndim)


def _filled(a: Any, value: float) -> Var:
    """A number repeated to an array's shape, of its dtype."""
    return innermost((a,)).full(value, a.dtype, a.shape)


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
