"""NumPy's calculus of sampled functions: differences, integrals, interpolation, convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import where
from .movement import broadcast_to, concatenate, moveaxis, ravel, reshape, stack, take
from .reductions import sum_
from .registry import NAMESPACE, implements, into, normalize_axes, normalize_axis, operand, recorded


def _along(axis: int, window: slice) -> tuple[Any, ...]:
    return (slice(None),) * axis + (window,)


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The n-th differences of neighbours along an axis."""
    a = recorded(a)
    axis = normalize_axis(axis, a.ndim)
    if n < 0:
        raise ValueError(f"diff: n={n}; expected 0 or more")
    edges: list[list] = []
    for edge in (prepend, append):
        if edge is None or edge is np._NoValue:
            edges.append([])
            continue
        edge = recorded(edge)
        if edge.ndim == 0:
            edge = broadcast_to(edge, tuple(1 if k == axis else m for k, m in enumerate(a.shape)))
        edges.append([edge])
    if edges != [[], []]:
        a = concatenate([*edges[0], a, *edges[1]], axis)
    differ = NAMESPACE["not_equal"] if a.dtype == bool else NAMESPACE["subtract"]
    for _ in range(n):
        a = differ(a[_along(axis, slice(1, None))], a[_along(axis, slice(None, -1))])
    return a


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of neighbours of the flattened array, with numbers in front and behind."""
    flat = ravel(recorded(ary))
    parts = [flat[1:] - flat[:-1]]
    if to_begin is not None:
        parts.insert(0, ravel(recorded(to_begin)))
    if to_end is not None:
        parts.append(ravel(recorded(to_end)))
    return concatenate(parts) if len(parts) > 1 else parts[0]


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of samples along an axis by the trapezoidal rule."""
    y = recorded(y)
    axis = normalize_axis(axis, y.ndim)
    width = dx
    if x is not None:
        x = recorded(x)
        width = diff(x, axis=-1 if x.ndim == 1 else axis)
        if x.ndim == 1:
            width = reshape(width, tuple(-1 if k == axis else 1 for k in range(y.ndim)))
    pairs = y[_along(axis, slice(1, None))] + y[_along(axis, slice(None, -1))]
    return sum_(width * pairs, axis) / 2.0


def _spacings(f: Any, axes: tuple[int, ...], varargs: tuple) -> list[Any]:
    """Per axis the distance of samples: a number, or the distances between neighbours."""
    if not varargs:
        return [1.0] * len(axes)
    if len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        return [varargs[0]] * len(axes)
    if len(varargs) != len(axes):
        raise TypeError(f"gradient: {len(varargs)} spacings for {len(axes)} axes")
    spacings = []
    for h, axis in zip(varargs, axes, strict=True):
        if np.ndim(h) == 0:
            spacings.append(h)
            continue
        if np.ndim(h) != 1 or np.shape(h)[0] != f.shape[axis]:
            raise ValueError(
                f"gradient: coordinates of shape {np.shape(h)} for an axis of {f.shape[axis]} samples"
            )
        width = diff(recorded(h))
        spacings.append(reshape(width, tuple(-1 if k == axis else 1 for k in range(f.ndim))))
    return spacings


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """The derivative of samples along axes: central differences, one-sided at both ends (Fornberg 1988)."""
    f = recorded(f)
    axes = tuple(range(f.ndim)) if axis is None else normalize_axes(axis, f.ndim)
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order={edge_order}; expected 1 or 2")
    f = f if f.dtype.kind in "fc" else f * 1.0
    slopes = []
    for k, h in zip(axes, _spacings(f, axes, varargs), strict=True):
        if f.shape[k] < edge_order + 1:
            raise ValueError(
                f"gradient: axis {k} has {f.shape[k]} samples; at least {edge_order + 1} are needed"
            )
        slopes.append(_slope(f, k, h, edge_order))
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


def _slope(f: Any, axis: int, h: Any, edge_order: int) -> Any:
    def part(a: Any, start: int | None, stop: int | None) -> Any:
        """A window along the axis; of one number for all samples, that."""
        return a if np.ndim(a) == 0 else a[_along(axis, slice(start, stop))]

    before, after = part(h, None, -1), part(h, 1, None)  # distances left and right of the inner samples
    left, centre, right = part(f, None, -2), part(f, 1, -1), part(f, 2, None)
    if np.ndim(h) == 0:
        inner = (right - left) / (2.0 * h)
    else:
        inner = (
            (before * before * right + (after * after - before * before) * centre - after * after * left)
            / (before * after * (before + after))
        )  # fmt: skip
    ends = []
    for sign, order in ((1, (0, 1, 2)), (-1, (-1, -2, -3))):
        y = [part(f, k, k + 1 or None) for k in order[: edge_order + 1]]
        d = [part(h, k, k + 1 or None) for k in order[:edge_order]]
        if edge_order == 1:
            ends.append(sign * (y[1] - y[0]) / d[0])
        else:  # the parabola through three samples
            total = d[0] + d[1]
            slope = total / (d[0] * d[1]) * (y[1] - y[0]) - d[0] / (d[1] * total) * (y[2] - y[0])
            ends.append(sign * slope)
    return concatenate([ends[0], inner, ends[1]], axis)


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """Without jumps of more than half a period along an axis: multiples of the period are added."""
    p = recorded(p)
    axis = normalize_axis(axis, p.ndim)
    discont = period / 2.0 if discont is None else discont
    jump = diff(p, axis=axis)
    reduced = NAMESPACE["remainder"](jump + period / 2.0, period) - period / 2.0
    both_ways = NAMESPACE["logical_and"](reduced == -period / 2.0, jump > 0)
    correction = where(both_ways, period / 2.0, reduced) - jump
    correction = where(NAMESPACE["absolute"](jump) < discont, 0.0, correction)
    first = p[_along(axis, slice(0, 1))]
    rest = p[_along(axis, slice(1, None))] + NAMESPACE["cumsum"](correction, axis)
    return concatenate([first, rest], axis)


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """The values at x of the broken line through the points (xp, fp), constant outside of it.

    It is differentiated by x, xp and fp; at a corner the derivative is that of the piece to the right.
    """
    x, xp, fp = recorded(x), recorded(xp), recorded(fp)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.shape[0]:
        raise ValueError(f"interp: xp and fp need one axis and one length, got {xp.shape} and {fp.shape}")
    if period is not None:
        x, xp = NAMESPACE["remainder"](x, period), NAMESPACE["remainder"](xp, period)
        order = NAMESPACE["argsort"](xp)
        xp, fp = take(xp, order), take(fp, order)
        xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    n = xp.shape[0]
    if n == 1:
        inside = x * 0.0 + fp[0]
    else:
        place = _piece(x, xp)
        x0, y0 = take(xp, place), take(fp, place)
        x1, y1 = take(xp, place + 1), take(fp, place + 1)
        inside = y0 + (x - x0) * ((y1 - y0) / (x1 - x0))
    below = where(x < xp[0], fp[0] if left is None else left, inside)
    return where(x > xp[-1], fp[-1] if right is None else right, below)


def _piece(x: Any, xp: Any) -> Any:
    """The number of the piece of a broken line in which each x lies: how many inner corners it has passed."""
    corners = reshape(xp[1:-1], (1,) * x.ndim + (-1,) if xp.shape[0] > 2 else (1,) * x.ndim + (0,))
    return sum_(where(reshape(x, (*x.shape, 1)) >= corners, 1, 0), -1)


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The discrete convolution of two sequences."""
    a, v = _sequences("convolve", a, v)
    a, v = (a, v) if a.shape[0] >= v.shape[0] else (v, a)
    return _slide(a, v[::-1], mode)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The products of a with v shifted along it, summed."""
    a, v = _sequences("correlate", a, v)
    v = NAMESPACE["conjugate"](v)
    return _slide(a, v, mode) if a.shape[0] >= v.shape[0] else _slide(v, a, mode)[::-1]


def _sequences(name: str, a: Any, v: Any) -> tuple[Any, Any]:
    a, v = ravel(recorded(a)), ravel(recorded(v))
    if not a.shape[0] or not v.shape[0]:
        raise ValueError(f"{name}: a sequence is empty")
    return a, v


def _slide(a: Any, v: Any, mode: str) -> Any:
    """The products of the m numbers of v with each window of a between zeros, n >= m: (windows, m) @ (m,)."""
    n, m = a.shape[0], v.shape[0]
    if mode not in ("full", "same", "valid"):
        raise ValueError(f'mode={mode!r}; expected "full", "same" or "valid"')
    left = {"full": m - 1, "same": m // 2, "valid": 0}[mode]  # windows that begin before a does
    right = {"full": m - 1, "same": m - 1 - m // 2, "valid": 0}[mode]
    zeros = np.zeros(max(left, right), a.dtype)
    padded = concatenate([zeros[:left], a, zeros[:right]]) if left or right else a
    return take(padded, np.arange(n - m + 1 + left + right)[:, None] + np.arange(m)) @ v


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of vectors applied to each vector along an axis."""
    a = recorded(arr)
    axis = normalize_axis(axis, a.ndim)
    rows = moveaxis(a, axis, -1)
    outer = rows.shape[:-1]
    rows = reshape(rows, (-1, rows.shape[-1]))
    results = stack([operand(func1d(rows[k], *args, **kwargs)) for k in range(rows.shape[0])])
    inner = results.shape[1:]
    results = reshape(results, (*outer, *inner))
    places = tuple(range(len(outer), len(outer) + len(inner)))
    return moveaxis(results, places, tuple(range(axis, axis + len(inner)))) if inner else results


@implements(np.apply_over_axes)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """A function of an array and an axis applied over several axes in turn."""
    a = recorded(a)
    for axis in normalize_axes(axes, a.ndim):
        reduced = func(a, axis)
        a = reduced if reduced.ndim == a.ndim else NAMESPACE["expand_dims"](reduced, axis)
    return a


def _cumulative(name: str, first: float) -> Any:
    def function(
        x: Any,
        /,
        *,
        axis: int | None = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Any:
        """The sums, or products, of the elements up to each along an axis."""
        x = recorded(x)
        if axis is None and x.ndim > 1:
            raise ValueError(f"{name}: an array of more than one axis needs axis=")
        axis = normalize_axis(0 if axis is None else axis, x.ndim)
        y = NAMESPACE[name](x, axis, dtype)
        edge = np.full([1 if k == axis else n for k, n in enumerate(y.shape)], first, y.dtype)
        return into(out, concatenate([edge, y], axis) if include_initial else y)

    return function


implements(getattr(np, "cumulative_sum", None))(_cumulative("cumsum", 0.0))
implements(getattr(np, "cumulative_prod", None))(_cumulative("cumprod", 1.0))
