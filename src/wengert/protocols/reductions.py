"""Sums, means, extremes and what is made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Var
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
