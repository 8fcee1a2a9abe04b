"""Functions that rearrange, split and join arrays, made of those in `movement` and of indexing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Function
from .movement import (
    atleast_2d,
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    for_each,
    in_c_order,
    line,
    moveaxis,
    ravel,
    reshape,
    split,
    swapaxes,
    take,
    transpose,
)  # fmt: skip
from .registry import (
    FUNCTIONS,
    NAMESPACE,
    append,
    dims,
    implements,
    normalize_axes,
    normalize_axis,
    operand,
    recorded,
    refuse_options,
    unsupported,
)


@implements(np.atleast_3d)
@for_each
def atleast_3d(a: Any) -> Any:
    """With at least three axes: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1)."""
    if a.ndim >= 3:
        return a
    return reshape(a, {0: (1, 1, 1), 1: (1, *a.shape, 1), 2: (*a.shape, 1)}[a.ndim])


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """Arrays joined along the third axis."""
    return concatenate([atleast_3d(a) for a in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Arrays side by side, one with a single axis as a column."""
    return concatenate([_column(operand(a)) for a in tup], 1)


def _column(a: Any) -> Any:
    return a if a.ndim >= 2 else reshape(a, (math.prod(a.shape), 1))


class Joined:
    """`np.r_` and `np.c_`: what stands in brackets, joined along the first axis, or as columns."""

    def __init__(self, plain: Any, columns: bool) -> None:
        def joined(*items: Any) -> Any:
            if isinstance(items[0], str):
                raise unsupported(f"{'c_' if columns else 'r_'} with {items[0]!r}")
            parts = [operand(plain[item] if isinstance(item, slice) else item) for item in items]
            as_row_or_column = _column if columns else NAMESPACE["atleast_1d"]
            return concatenate([as_row_or_column(a) for a in parts], -1 if columns else 0)

        self._join = Function(lambda *items: plain[items], joined)

    def __getitem__(self, key: Any) -> Any:
        return self._join(*key) if isinstance(key, tuple) else self._join(key)


NAMESPACE.update(r_=Joined(np.r_, False), c_=Joined(np.c_, True))


@implements(np.append)
def append_(arr: Any, values: Any, axis: Any = None) -> Any:
    """`values` behind the end of an array, along an axis or of both flattened."""
    return concatenate([operand(arr), operand(values)], axis)


@implements(np.block)
def block(arrays: Any) -> Any:
    """An array put together from nested lists of blocks, the innermost side by side."""
    depth, ndim = _depth(arrays), _most_axes(arrays)
    if not depth:
        return NAMESPACE["copy"](arrays, "C")
    return _block(arrays, depth, max(depth, ndim), -depth)


def _depth(arrays: Any) -> int:
    return 1 + max(map(_depth, arrays), default=0) if isinstance(arrays, list) else 0


def _most_axes(arrays: Any) -> int:
    return max(map(_most_axes, arrays), default=1) if isinstance(arrays, list) else operand(arrays).ndim


def _block(arrays: Any, depth: int, ndim: int, axis: int) -> Any:
    if depth == 0:
        a = operand(arrays)
        return reshape(a, (1,) * (ndim - a.ndim) + a.shape)
    if not isinstance(arrays, list):
        raise ValueError("block: the lists are not nested to one depth")
    return concatenate([_block(a, depth - 1, ndim, axis + 1) for a in arrays], axis)


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """As `split`, into parts that differ in length by one where the extent is no multiple."""
    a = operand(ary)
    if not isinstance(indices_or_sections, (int, np.integer)):
        return split(a, indices_or_sections, axis)
    extent, sections = a.shape[normalize_axis(axis, a.ndim)], int(indices_or_sections)
    if sections < 1:
        raise ValueError(f"array_split: {sections} parts; expected one or more")
    size, longer = divmod(extent, sections)
    return split(a, [k * size + min(k, longer) for k in range(1, sections)], axis)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the second axis; along the only one of a vector."""
    return split(ary, indices_or_sections, 1 if operand(ary).ndim > 1 else 0)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the first axis."""
    return split(atleast_2d(ary), indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the third axis."""
    return split(ary, indices_or_sections, 2)


@implements(getattr(np, "unstack", None))
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The parts of extent 1 along an axis, without it."""
    parts = moveaxis(operand(x), axis, 0)
    return tuple(parts[k] for k in range(parts.shape[0]))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """Arrays broadcast to the shape that they share."""
    parts = [operand(a) for a in args]
    shape = np.broadcast_shapes(*(a.shape for a in parts))
    return tuple(broadcast_to(a, shape) for a in parts)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """Coordinates of a grid from those along its axes."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: indexing={indexing!r}; expected "xy" or "ij"')
    n, parts = len(xi), []
    for k, x in enumerate(xi):
        place = 1 - k if indexing == "xy" and k < 2 <= n else k
        x = operand(x)
        parts.append(reshape(x, tuple(math.prod(x.shape) if i == place else 1 for i in range(n))))
    parts = parts if sparse else broadcast_arrays(*parts)
    return tuple(NAMESPACE["copy"](x) if copy else x for x in parts)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """An axis moved to stand before another."""
    a = operand(a)
    axis = normalize_axis(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return moveaxis(a, axis, start - 1 if start > axis else start)


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    if operand(x).ndim < 2:
        raise ValueError(f"matrix_transpose: needs two axes or more, got shape {operand(x).shape}")
    return swapaxes(x, -1, -2)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Turned by k quarters of a circle in the plane of two axes, from the first towards the second."""
    m = operand(m)
    first, second = normalize_axes(axes, m.ndim)
    k %= 4
    if k == 0:
        return reshape(m, m.shape)
    if k == 2:
        return flip(m, (first, second))
    return swapaxes(flip(m, second), first, second) if k == 1 else flip(swapaxes(m, first, second), second)


@implements(np.flipud)
def flipud(m: Any) -> Any:
    """The rows in reverse order."""
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """The columns in reverse order."""
    return flip(m, 1)


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements whose indices along two axes differ by an offset, as a last axis.

    A view that is not to be written, as NumPy's.
    """
    found = writable_diagonal(a, offset, axis1, axis2)
    return broadcast_to(found, found.shape)  # which is read-only


def writable_diagonal(a: Any, offset: int, axis1: int, axis2: int) -> Any:
    """As `diagonal`; what is written to it goes to the array."""
    a = operand(a)
    axes = normalize_axes((axis1, axis2), a.ndim)
    offset = offset if axes[0] < axes[1] else -offset  # as the axes lie: what is in order is not copied
    a = moveaxis(a, sorted(axes), (-2, -1))
    m, n = a.shape[-2:]
    row, column = max(-offset, 0), max(offset, 0)
    length = max(min(m - row, n - column), 0)
    flat = append("reshape", a, attrs=(*a.shape[:-2], m * n)).share()  # also where strides cannot express it
    start = row * n + column
    return flat[..., start : start + length * (n + 1) : n + 1] if length else flat[..., :0]


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """The sum of a diagonal."""
    return NAMESPACE["sum"](writable_diagonal(a, offset, axis1, axis2), -1, dtype, out)


def _last_axes(function: Any) -> Any:
    """As a function of a diagonal, that of the last two axes."""
    return lambda x, /, *, offset=0, **kwargs: function(x, offset, -2, -1, **kwargs)


FUNCTIONS[np.linalg.diagonal], FUNCTIONS[np.linalg.trace] = _last_axes(diagonal), _last_axes(trace)


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """Repeated or cut to a shape."""
    shape, flat = dims(new_shape), ravel(a)
    return reshape(flat[np.arange(math.prod(shape)) % max(flat.shape[0], 1)], shape)


def kept(a: Any, obj: Any, axis: Any) -> tuple[Any, int, np.ndarray]:
    """An array, an axis and the places along it that deleting `obj` leaves."""
    a, axis = line(recorded(a), axis)
    return a, axis, np.delete(np.arange(a.shape[axis]), obj)


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """Without the elements at places along an axis."""
    a, axis, places = kept(arr, obj, axis)
    return take(a, places, axis)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """With values before places along an axis."""
    a, axis = line(recorded(arr), axis)
    extent = a.shape[axis]
    # NumPy's own insert says which places of the result hold a's elements (>= 0) and which hold values.
    numbers = np.insert(np.arange(extent), obj, -1)
    fresh = int(np.sum(numbers < 0))
    numbers[numbers < 0] = extent + _order_of_insertion(obj, extent, fresh)
    values = recorded(values)
    if np.ndim(obj) == 0 and not isinstance(obj, slice) and values.ndim:
        values = moveaxis(values, 0, axis) if values.ndim == a.ndim else expand_dims(values, axis)
    shape = tuple(fresh if k == axis else n for k, n in enumerate(a.shape))
    return take(concatenate([a, broadcast_to(values, shape)], axis), numbers, axis)


def _order_of_insertion(obj: Any, extent: int, fresh: int) -> np.ndarray:
    """Which value comes first in the result: places may be given in any order."""
    places = np.arange(extent)[obj] if isinstance(obj, slice) else np.atleast_1d(np.asarray(obj))
    if places.size != fresh or places.dtype == bool:
        return np.arange(fresh)
    return np.argsort(np.where(places < 0, places + extent, places), kind="stable")


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """Without zeros in front (f) and behind (b); an eager Var of one axis."""
    v = recorded(filt)
    refuse_options("trim_zeros", axis=axis)
    places = np.nonzero(NAMESPACE["array"](v).value)[0]
    if not places.size:
        return v[:0]
    start = places[0] if "f" in trim.lower() else 0
    return v[start : places[-1] + 1 if "b" in trim.lower() else None]


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(x: Any, window_shape: Any, axis: Any = None, *, subok=False, writeable=False) -> Any:
    """All windows of a shape, as further axes: a view that is not to be written."""
    a, extents = recorded(x), dims(window_shape)
    axes = tuple(range(a.ndim)) if axis is None else normalize_axes(axis, a.ndim)
    if len(axes) != len(extents):
        raise ValueError(f"sliding_window_view: {len(extents)} extents for {len(axes)} axes")
    for k, n in zip(axes, extents, strict=True):
        count = a.shape[k] - n + 1
        if n < 0 or count < 1:
            raise ValueError(f"sliding_window_view: a window of {n} does not fit axis {k} of shape {a.shape}")
        windows = append("gather", moveaxis(a, k, 0), np.arange(count)[:, None] + np.arange(n))
        a = moveaxis(windows.share(), (0, 1), (k, -1))
    return a


@implements(np.ascontiguousarray)
def ascontiguousarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """As `asarray`; a copy of a view whose elements do not lie one after the other."""
    return in_c_order(recorded(NAMESPACE["asarray"](a, dtype)))


@implements(np.asfortranarray)
def asfortranarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """As `ascontiguousarray`, columns one after the other."""
    return transpose(ascontiguousarray(transpose(operand(a)), dtype))


@implements(np.require, np.asanyarray)
def require(a: Any, dtype: Any = None, requirements: Any = None, **kwargs: Any) -> Any:
    """As `asarray`; what copies to meet a requirement has names of its own."""
    refuse_options("require", requirements=requirements)
    return NAMESPACE["asarray"](a, dtype)


# ---- numbers at equal distances -----------------------------------------------------------------------


@implements(np.linspace)
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
    axis: int = 0, **kwargs: Any,
) -> Any:  # fmt: skip
    """Numbers at equal distances from start to stop."""
    refuse_options("linspace", **kwargs)
    start, stop = recorded(start), recorded(stop)
    n = int(num)
    width = stop - start
    steps = n - 1 if endpoint else n
    places = np.arange(n) / max(steps, 1)
    places = places.reshape(-1, *(1,) * width.ndim)
    values = start * (1 - places) + stop * places  # exact at both ends
    values = values if axis == 0 else moveaxis(values, 0, axis)
    values = values if dtype is None else NAMESPACE["astype"](values, dtype)
    return (values, width / steps if steps else np.nan) if retstep else values


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None,
    axis: int = 0,
) -> Any:  # fmt: skip
    """Powers of a base whose exponents stand at equal distances."""
    values = NAMESPACE["power"](base, linspace(start, stop, num, endpoint, axis=axis))
    return values if dtype is None else NAMESPACE["astype"](values, dtype)


@implements(np.geomspace)
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """Numbers of equal quotients from start to stop, both of one sign."""
    start, stop = recorded(start), recorded(stop)
    log = NAMESPACE["log"]
    values = start * NAMESPACE["exp"](
        linspace(log(start / start), log(stop / start), num, endpoint, axis=axis)
    )
    return values if dtype is None else NAMESPACE["astype"](values, dtype)


# ---- `like=v`: arrays of constants, unless they are made of Vars ----------------------------------------


def _creating(create: Any) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("like", None)
        return create(*args, **kwargs)

    return function


_CREATING: tuple[Any, ...] = (
    np.arange, np.empty, np.eye, np.frombuffer, np.fromfile, np.fromfunction, np.fromiter, np.fromstring,
    np.genfromtxt, np.identity, np.loadtxt, np.ones, np.tri, np.zeros,
)  # fmt: skip
FUNCTIONS.update({function: _creating(function) for function in _CREATING})
FUNCTIONS.update({np.array: _creating(NAMESPACE["array"]), np.asarray: _creating(NAMESPACE["asarray"])})


def full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """A number, or what broadcasts, repeated to a shape; a Var where the number is one."""
    fill = recorded(fill_value)
    if isinstance(fill, np.ndarray):
        return np.full(shape, fill_value, dtype, **kwargs)
    refuse_options("full", **kwargs)
    fill = fill if dtype is None else NAMESPACE["astype"](fill, dtype)
    return append("copy", broadcast_to(fill, dims(shape)))


NAMESPACE["full"] = FUNCTIONS[np.full] = _creating(full)
