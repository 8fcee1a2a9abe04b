"""Statistics made of sums and extremes, and the variants that leave NaN out."""

from __future__ import annotations

from typing import Any

import numpy as np

from .constants import known
from .elementwise import where
from .movement import astype, concatenate, moveaxis, reshape, take, transpose
from .products import dot
from .reductions import max_, mean, min_, squares, sum_
from .registry import (
    NAMESPACE,
    append,
    implements,
    into,
    normalize_axes,
    recorded,
    refuse_options,
)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    """The largest element less the smallest, over axes."""
    return into(out, max_(a, axis, keepdims=keepdims) - min_(a, axis, keepdims=keepdims))


@implements(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False
) -> Any:
    """The mean over axes, with weights."""
    a = recorded(a)
    if weights is None:
        result = mean(a, axis, keepdims=keepdims)
        total: Any = np.full(result.shape, a.dtype.type(np.size(a) / max(np.size(result), 1)))
    else:
        w = recorded(weights)
        if w.shape != a.shape:
            if axis is None:
                raise TypeError(f"average: weights of shape {w.shape} for {a.shape} need an axis")
            axes = normalize_axes(axis, a.ndim)
            if w.shape != tuple(a.shape[k] for k in axes):
                raise ValueError(f"average: weights of shape {w.shape} for axes {axis} of shape {a.shape}")
            order = np.argsort(axes)
            w = transpose(w, tuple(int(k) for k in order)) if w.ndim > 1 else w
            w = reshape(w, tuple(n if k in axes else 1 for k, n in enumerate(a.shape)))
        total = sum_(NAMESPACE["broadcast_to"](w, a.shape), axis, keepdims=keepdims)
        result = sum_(a * w, axis, keepdims=keepdims) / total
    return (result, total) if returned else result


@implements(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None,
    aweights: Any = None, *, dtype: Any = None,
) -> Any:  # fmt: skip
    """The covariance matrix of variables, one per row."""
    x = recorded(m)
    x = reshape(x, (1, -1)) if x.ndim < 2 else (x if rowvar else transpose(x))
    if y is not None:
        other = recorded(y)
        other = reshape(other, (1, -1)) if other.ndim < 2 else (other if rowvar else transpose(other))
        x = concatenate([x, other], 0)
    x = x * 1.0 if dtype is None else astype(x, dtype)
    ddof = (0 if bias else 1) if ddof is None else ddof
    w = None
    for weights in (fweights, aweights):
        if weights is not None:
            w = recorded(weights) if w is None else w * recorded(weights)
    total: Any = float(x.shape[1]) if w is None else sum_(w)
    centre = mean(x, 1, keepdims=True) if w is None else sum_(x * w, 1, keepdims=True) / total
    x = x - centre
    if w is None or ddof == 0 or aweights is None:
        n = total - ddof
    else:
        n = total - ddof * sum_(w * recorded(aweights)) / total
    product = dot(x if w is None else x * w, transpose(NAMESPACE["conjugate"](x))) / n
    return reshape(product, ()) if product.shape == (1, 1) else product


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """The correlation coefficients of variables, one per row."""
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    d = NAMESPACE["sqrt"](NAMESPACE["diagonal"](c))
    return NAMESPACE["clip"](c / reshape(d, (-1, 1)) / reshape(d, (1, -1)), -1, 1)


# ---- quantiles ----------------------------------------------------------------------------------------

# alpha and beta of Hyndman & Fan 1996: the place of a quantile is q (n + 1 - alpha - beta) + alpha - 1.
_PLOTTING = {
    "linear": (1.0, 1.0), "hazen": (0.5, 0.5), "weibull": (0.0, 0.0), "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8), "interpolated_inverted_cdf": (0.0, 1.0),
}  # fmt: skip


@implements(np.quantile)
def quantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """Numbers below which the fractions q of the elements lie, over axes; linear in a and in q."""
    refuse_options("quantile", weights=weights)
    a, fractions = recorded(a), recorded(q)
    axes = normalize_axes(axis, a.ndim)
    rest = tuple(k for k in range(a.ndim) if k not in axes)
    rows = NAMESPACE["sort"](reshape(transpose(a, (*axes, *rest)), (-1, *(a.shape[k] for k in rest))), 0)
    n = rows.shape[0]
    rows = rows if rows.dtype.kind == "f" else rows * 1.0
    if method in _PLOTTING:
        alpha, beta = _PLOTTING[method]
        place = fractions * (n + 1 - alpha - beta) + (alpha - 1)
    elif method in ("lower", "higher", "nearest", "midpoint"):
        place = fractions * (n - 1.0)
        floor, ceil = NAMESPACE["floor"](place), NAMESPACE["ceil"](place)
        place = {"lower": floor, "higher": ceil, "midpoint": (floor + ceil) / 2.0}.get(
            method, NAMESPACE["rint"](place)
        )
    else:
        raise TypeError(f"quantile: method={method!r} is not supported on a Var; use one of {[*_PLOTTING]}")
    flat = reshape(NAMESPACE["clip"](place, 0.0, n - 1.0), (-1,))
    low = NAMESPACE["floor"](NAMESPACE["minimum"](flat, max(n - 2.0, 0.0)))
    index = astype(low, np.int64)
    part = reshape(astype(flat - low, rows.dtype), (-1, *(1,) * (rows.ndim - 1)))
    below, above = take(rows, index, 0), take(rows, NAMESPACE["minimum"](index + 1, n - 1), 0)
    result = where(part == 0, below, where(part == 1, above, below + (above - below) * part))
    result = where(NAMESPACE["isnan"](rows[-1:]), rows[-1:], result)  # NaN, which are last, spread
    if keepdims:
        result = reshape(result, (-1, *(1 if k in axes else m for k, m in enumerate(a.shape))))
    return into(out, reshape(result, (*fractions.shape, *result.shape[1:])))


@implements(np.percentile)
def percentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    """As `quantile`, of percents."""
    return quantile(a, recorded(q) / 100.0, *args, **kwargs)


def _middle(of: Any) -> Any:
    def function(
        a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False
    ) -> Any:
        """The number in the middle, or the mean of both, over axes."""
        return of(a, 0.5, axis, out, keepdims=keepdims in (True, 1))

    return function


median = implements(np.median)(_middle(quantile))


# ---- without NaN --------------------------------------------------------------------------------------


def _without_nan(a: Any, instead: float) -> tuple[Any, Any]:
    """An array with a number instead of NaN, and where there was none."""
    a = recorded(a)
    if a.dtype.kind not in "fc":
        return a, np.ones(a.shape, bool)
    absent = NAMESPACE["isnan"](a)
    return where(absent, instead, a), NAMESPACE["logical_not"](absent)


def _numbers(present: Any, axis: Any, keepdims: Any = False) -> Any:
    return sum_(astype(present, np.float64), axis, keepdims=keepdims)


def _of_numbers(name: str, neutral: float) -> Any:
    def function(a: Any, *args: Any, **kwargs: Any) -> Any:
        return NAMESPACE[name](_without_nan(a, neutral)[0], *args, **kwargs)

    function.__doc__ = f"As `{name}`, of what is not NaN."
    return function


for _function, _name, _neutral in (
    (np.nansum, "sum", 0.0), (np.nanprod, "prod", 1.0),
    (np.nancumsum, "cumsum", 0.0), (np.nancumprod, "cumprod", 1.0),
):  # fmt: skip
    implements(_function)(_of_numbers(_name, _neutral))


@implements(np.nanmean)
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    """The mean over axes of what is not NaN."""
    numbers, present = _without_nan(a, 0.0)
    count = astype(_numbers(present, axis, keepdims), numbers.dtype if dtype is None else dtype)
    return into(out, sum_(numbers, axis, dtype, keepdims=keepdims) / count)


@implements(np.nanvar)
def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False
) -> Any:
    """The variance over axes of what is not NaN."""
    numbers, present = _without_nan(a, 0.0)
    numbers = numbers if dtype is None else astype(numbers, dtype)
    count = astype(_numbers(present, axis, True), numbers.dtype)
    centre = sum_(numbers, axis, keepdims=True) / count
    distances = where(present, squares(numbers - centre), 0.0)
    count = astype(_numbers(present, axis, keepdims), distances.dtype)
    freedom = where(count > ddof, count - ddof, np.nan)
    return into(out, sum_(distances, axis, keepdims=keepdims) / freedom)


@implements(np.nanstd)
def nanstd(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The standard deviation over axes of what is not NaN."""
    return into(out, append("sqrt", nanvar(a, axis, dtype, None, *args, **kwargs)))


def _nan_extreme(reduce: Any, instead: float) -> Any:
    def function(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **options: Any) -> Any:
        """The largest (nanmax) or smallest (nanmin) element over axes that is not NaN."""
        refuse_options("nanmax, nanmin", **options)
        numbers, present = _without_nan(a, instead)
        found = reduce(numbers, axis, keepdims=keepdims)
        return into(out, where(_numbers(present, axis, keepdims) > 0, found, np.nan))

    return function


implements(np.nanmax)(_nan_extreme(max_, -np.inf))
implements(np.nanmin)(_nan_extreme(min_, np.inf))


@implements(np.nanquantile)
def nanquantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False,
) -> Any:  # fmt: skip
    """As `quantile`, of what is not NaN."""
    a = recorded(a)
    axes = normalize_axes(axis, a.ndim)
    rest = tuple(k for k in range(a.ndim) if k not in axes)
    rows = reshape(transpose(a, (*rest, *axes)), (-1, int(np.prod([a.shape[k] for k in axes]))))
    parts = [quantile(row[_without_nan(row, 0.0)[1]], q, method=method) for row in rows]
    result = moveaxis(NAMESPACE["stack"](parts), 0, -1)
    shape = tuple(1 if k in axes else n for k, n in enumerate(a.shape) if keepdims or k not in axes)
    return into(out, reshape(result, (*np.shape(q), *shape)))


@implements(np.nanpercentile)
def nanpercentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    """As `percentile`, of what is not NaN."""
    return nanquantile(a, recorded(q) / 100.0, *args, **kwargs)


implements(np.nanmedian)(_middle(nanquantile))


@implements(np.bincount)
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each whole number occurs, or the sums of its weights."""
    numbers = known("bincount", x)
    if weights is None:
        return np.bincount(numbers, minlength=minlength)
    weights = recorded(weights)
    zeros = np.bincount(numbers, np.zeros(weights.shape), minlength)  # which also checks them
    return NAMESPACE["index_add"](zeros, numbers, weights)
