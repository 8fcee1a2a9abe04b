"""Repeating, shifting, padding, and the parts of matrices on one side of a diagonal."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import innermost
from .elementwise import where
from .movement import astype, broadcast_to, concatenate, flip, line, moveaxis, ravel, reshape, take, windows
from .reductions import max_, mean, min_
from .registry import NAMESPACE, append, dims, extra, implements, method, normalize_axis, operand, recorded
from .statistics import median


def _cut(a: Any, axis: int, start: int, stop: int) -> Any:
    """Elements start to stop of an axis."""
    return windows(a, {axis: (start, 1, stop - start)})


@extra
def make_diagonal(D: Any, offset: int = 0, axis1: int = -1, axis2: int = -2) -> Any:
    """Matrices with the last axis of D on the diagonal, 0 elsewhere; HIPS autograd's name for it.

    Examples
    --------
    >>> import wengert.numpy as np
    >>> np.make_diagonal(np.array([[1.0, 2.0]]))
    array([[[1., 0.],
            [0., 2.]]])
    """
    if offset or {axis1, axis2} != {-1, -2}:
        raise TypeError("make_diagonal: only the main diagonal of the last two axes is supported")
    D = operand(D)
    return where(np.eye(D.shape[-1], dtype=bool), reshape(D, (*D.shape, 1)), 0)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Elements moved on along axes; those that leave at the end come in at the start."""
    a = recorded(a)
    if axis is None:
        return reshape(roll(ravel(a), sum(dims(shift)), 0), a.shape)
    pairs = np.broadcast(dims(shift) if np.ndim(shift) else shift, axis)
    for by, k in pairs:
        axis = normalize_axis(int(k), a.ndim)
        n = a.shape[axis]
        cut = -int(by) % n if n else 0
        if cut:
            a = concatenate([_cut(a, axis, cut, n), _cut(a, axis, 0, cut)], axis)
    return append("copy", a)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """An array laid side by side so many times along each axis."""
    a, counts = recorded(A), dims(reps)
    ndim = max(a.ndim, len(counts))
    shape = (1,) * (ndim - a.ndim) + a.shape
    counts = (1,) * (ndim - len(counts)) + counts
    spread = broadcast_to(
        reshape(a, tuple(x for n in shape for x in (1, n))),
        tuple(x for n, count in zip(shape, counts, strict=True) for x in (count, n)),
    )
    return append("copy", reshape(spread, tuple(n * count for n, count in zip(shape, counts, strict=True))))


@implements(np.repeat)
@method("repeat")
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Each element so many times in a row along an axis, or of the flattened array."""
    a, axis = line(recorded(a), axis)
    counts = dims(repeats) if np.ndim(repeats) else (int(dims(repeats)[0]),)
    if min(counts, default=0) < 0:
        raise ValueError(f"repeat: repeats={repeats}; an element cannot be repeated less than 0 times")
    if len(counts) != 1:
        if len(counts) != a.shape[axis]:
            raise ValueError(f"repeat: {len(counts)} repeats for {a.shape[axis]} elements along axis {axis}")
        return take(a, np.repeat(np.arange(a.shape[axis]), counts), axis)
    before, (n, *behind) = a.shape[:axis], a.shape[axis:]
    spread = broadcast_to(reshape(a, (*before, n, 1, *behind)), (*before, n, counts[0], *behind))
    return append("copy", reshape(spread, (*before, n * counts[0], *behind)))


# ---- padding ------------------------------------------------------------------------------------------


_OF_ITSELF = ("edge", "reflect", "symmetric", "wrap")  # what stands outside are elements of the array
_STATISTICS = {"maximum": max_, "minimum": min_, "mean": mean, "median": median}
_OPTIONS = {
    "constant": "constant_values",
    "linear_ramp": "end_values",
    **dict.fromkeys(("reflect", "symmetric"), "reflect_type"),
    **dict.fromkeys(_STATISTICS, "stat_length"),
}


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    """With more elements before and after along each axis: constants, or what the array's elements say.

    Raises
    ------
    TypeError
        For a mode that is a function.
    """
    a = recorded(array)
    widths = _pairs("pad_width", pad_width, a.ndim)
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(f"pad: pad_width={pad_width}; widths cannot be negative")
    if callable(mode):
        raise TypeError(f"pad: mode={mode!r}: a function is not supported on a Var; name a mode")
    if mode not in (*_OPTIONS, *_OF_ITSELF, "empty") or options.keys() - {_OPTIONS.get(mode)}:
        raise ValueError(
            f"pad: mode={mode!r} {options or ''}: NumPy has no such mode or no such option of it"
        )
    if mode in ("constant", "empty"):
        return _pad_constant(a, widths, **options)
    given = options.get(_OPTIONS.get(mode, ""), 0 if mode == "linear_ramp" else None)
    for axis, pair in enumerate(widths):
        if pair == (0, 0):
            continue
        if a.shape[axis] == 0:
            raise ValueError(f'pad: axis {axis} is empty; only mode="constant" and "empty" extend it')
        if mode not in _OF_ITSELF:
            ends = _pairs(_OPTIONS[mode], given, a.ndim)[axis]
            sides = zip(("before", "after"), pair, ends, strict=True)
            before, after = (_beside(a, axis, mode, *side) for side in sides)
            a = concatenate([before, a, after], axis)
        elif given == "odd":  # reflected in the edge element: each new one is a sum of a few
            weights = np.pad(np.eye(a.shape[axis]), (pair, (0, 0)), mode, reflect_type="odd")
            a = moveaxis(NAMESPACE["tensordot"](weights.astype(a.dtype), a, (1, axis)), 0, axis)
        else:
            a = take(a, np.pad(np.arange(a.shape[axis]), pair, mode), axis)
    return append("copy", a)


def _beside(a: Any, axis: int, mode: str, side: str, width: int, given: Any) -> Any:
    """On one side, `width` elements along an axis: the way from an end value, or a statistic repeated."""
    n = a.shape[axis]
    if mode == "linear_ramp":
        edge = _cut(a, axis, 0, 1) if side == "before" else _cut(a, axis, n - 1, n)
        places = np.arange(width).reshape(-1, *(1,) * (a.ndim - 1 - axis))
        values = given + places * ((edge - given) / max(width, 1))
        values = NAMESPACE["floor"](values) if a.dtype.kind in "iu" else values
        return astype(values if side == "before" else flip(values, axis), a.dtype)
    length = n if given is None else min(int(given), n)
    part = _cut(a, axis, 0, length) if side == "before" else _cut(a, axis, n - length, n)
    value = _STATISTICS[mode](part, axis, keepdims=True)
    value = NAMESPACE["rint"](value) if a.dtype.kind in "iu" else value
    return broadcast_to(
        astype(value, a.dtype), tuple(width if k == axis else m for k, m in enumerate(a.shape))
    )


def _pairs(name: str, given: Any, ndim: int) -> list[tuple[Any, Any]]:
    """A number, a pair, or a pair for each axis, as a pair for each axis.  Elements may be Vars."""
    if isinstance(given, dict):
        raise TypeError(f"pad: {name} as a dictionary is not supported on a Var; pass a pair for each axis")
    rows: list[Any] = list(given) if isinstance(given, (tuple, list, np.ndarray)) else [given]
    if not any(isinstance(row, (tuple, list, np.ndarray)) for row in rows):
        rows = [rows]  # one for every axis
    if len(rows) not in (1, ndim) or any(len(row) not in (1, 2) for row in rows):
        raise ValueError(f"pad: {name}={given}; expected a number, a pair, or a pair for each of {ndim} axes")
    return [(row[0], row[-1]) for row in (rows * ndim if len(rows) == 1 else rows)]


def _pad_constant(a: Any, widths: list[tuple[int, int]], constant_values: Any = 0) -> Any:
    values = _pairs("constant_values", constant_values, a.ndim)
    flat = [value for pair in values for value in pair]
    if any(value is not flat[0] for value in flat):  # axis by axis, as in NumPy
        for axis, (width, ends) in enumerate(zip(widths, values, strict=True)):
            shapes = [tuple(n if k == axis else m for k, m in enumerate(a.shape)) for n in width]
            parts = [_constant(a, value, shape) for value, shape in zip(ends, shapes, strict=True)]
            a = concatenate([parts[0], a, parts[1]], axis)
        return a
    shape = tuple(before + n + after for n, (before, after) in zip(a.shape, widths, strict=True))
    inside = tuple(x for n, (before, _) in zip(a.shape, widths, strict=True) for x in (before, 1, n))
    return append("slice_set", _constant(a, flat[0] if flat else 0, shape), a, attrs=inside)


def _constant(a: Any, value: Any, shape: tuple[int, ...]) -> Any:
    return broadcast_to(astype(innermost((a, value)).as_var(value), a.dtype), shape)


# ---- matrices and their diagonals ---------------------------------------------------------------------


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """A square matrix with the elements on a diagonal and 0 elsewhere."""
    v = ravel(recorded(v))
    n = v.shape[0] + abs(k)
    start = k if k >= 0 else -k * n
    zeros = _constant(v, 0, (n * n,))
    box = (start if v.shape[0] else 0, n + 1, v.shape[0])
    return reshape(append("slice_set", zeros, v, attrs=box), (n, n))


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    v = recorded(v)
    if v.ndim == 1:
        return diagflat(v, k)
    if v.ndim != 2:
        raise ValueError(f"diag: takes one axis or two, got an array of shape {v.shape}")
    return NAMESPACE["diagonal"](v, k)


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """Matrices without what lies above a diagonal."""
    m = recorded(m)
    return where(_lower(m, k), m, m.dtype.type(0))


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """Matrices without what lies below a diagonal."""
    m = recorded(m)
    return where(_lower(m, k - 1), m.dtype.type(0), m)


def _lower(m: Any, k: int) -> np.ndarray:
    """Where the elements of matrices lie on the k-th diagonal or below."""
    rows, columns = m.shape[-2:] if m.ndim > 1 else (*m.shape, *m.shape)  # a row is repeated, as in NumPy
    return np.arange(rows)[:, None] + k >= np.arange(columns)
