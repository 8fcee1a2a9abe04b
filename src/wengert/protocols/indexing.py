"""v[key]: basic slices are views, integer arrays gather rows, boolean masks become integer arrays.

The rules are NumPy's: an integer beside index arrays counts as one of them; index arrays are broadcast
together; their axes come where they stood if they stood side by side, in front otherwise.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .._core import Var, innermost
from .movement import reshape, transpose
from .registry import append, method


class _Item(NamedTuple):
    """One entry of a spelled-out key: `axis` is None for a new axis, `index` a slice, an int or an array."""

    axis: int | None
    index: Any


class _Chosen(NamedTuple):
    """Where a boolean mask is true along one of its axes, and that axis's extent."""

    places: np.ndarray
    extent: int


@method("getitem")
def getitem(v: Var, key: Any) -> Any:
    """v[key].

    Raises
    ------
    IndexError
        For an index out of range, too many indices, or an index that is no integer.
    TypeError
        For a boolean mask while a function is compiled, where the result's shape would depend on values.
    """
    shape = v.shape
    key = key if type(key) is tuple else (key,)
    if len(key) <= len(shape):
        for entry in key:
            if type(entry) is not int and type(entry) is not slice:
                break
        else:
            return _plain(v, shape, key)
    items = _spell_out(v, key, shape)
    arrays = any(isinstance(item.index, (Var, np.ndarray)) for item in items)
    sliced = _basic(v, shape, items, ints_too=not arrays)
    if arrays:
        return _advanced(sliced, items)
    kept = [_extent(item, shape) for item in items if not isinstance(item.index, int)]
    return reshape(sliced, tuple(kept))


def _plain(v: Var, shape: tuple[int, ...], key: tuple) -> Any:
    """`v` at integers and slices alone, the common case."""
    attrs: list[int] = []
    kept: list[int] = []
    for axis, extent in enumerate(shape):
        entry = key[axis] if axis < len(key) else slice(None)
        if type(entry) is int:
            attrs += (_in_range(entry, axis, extent), 1, 1)
        else:
            start, step, length = _window(entry, extent)
            attrs += (start, step, length)
            kept.append(length)
    sliced = append("slice", v, attrs=tuple(attrs))
    return sliced if len(kept) == len(shape) else append("reshape", sliced, attrs=tuple(kept))


def _window(entry: slice, extent: int) -> tuple[int, int, int]:
    """Start, step and length of a slice of an axis."""
    start, stop, step = entry.indices(extent)
    length = len(range(start, stop, step))
    return (start, step, length) if length else (0, 1, 0)


def _in_range(index: int, axis: int, extent: int) -> int:
    if not -extent <= index < extent:
        raise IndexError(f"index {index} is out of bounds for axis {axis} with size {extent}")
    return index + extent if index < 0 else index


def _spell_out(v: Var, key: tuple, shape: tuple[int, ...]) -> list[_Item]:
    """The key with masks as integer arrays, `...` and missing axes as slices, integers not negative."""
    entries = [part for entry in key for part in _entry(v, entry)]
    n_axes = sum(1 for entry in entries if entry is not None and entry is not Ellipsis)
    n_ellipses = sum(1 for entry in entries if entry is Ellipsis)
    if n_ellipses > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if n_axes > len(shape):
        raise IndexError(f"too many indices: the array has {len(shape)} axes, but {n_axes} were indexed")
    if not n_ellipses:
        entries.append(Ellipsis)
    items: list[_Item] = []
    axis = 0
    for entry in entries:
        if entry is None:
            items.append(_Item(None, None))
        elif entry is Ellipsis:
            count = len(shape) - n_axes
            items += [_Item(k, slice(None)) for k in range(axis, axis + count)]
            axis += count
        else:
            items.append(_Item(axis, _checked(entry, axis, shape[axis])))
            axis += 1
    return items


def _checked(entry: Any, axis: int, extent: int) -> Any:
    """A slice, index or array of indices, now that the axis is known."""
    if isinstance(entry, int):
        return _in_range(entry, axis, extent)
    if isinstance(entry, _Chosen):
        if entry.extent != extent:
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis}; size of axis is {extent} "
                f"but size of corresponding boolean axis is {entry.extent}"
            )
        return entry.places
    return entry


def _entry(v: Var, entry: Any) -> list[Any]:
    """One entry of a key as a list of None, Ellipsis, slice, int and integer arrays."""
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return [entry]
    if isinstance(entry, (int, np.integer)) and not isinstance(entry, bool):
        return [int(entry)]
    index = entry if isinstance(entry, Var) else np.asarray(entry)
    if index.dtype == bool:
        return _mask(v, index)
    if isinstance(index, np.ndarray) and index.size == 0 and not isinstance(entry, np.ndarray):
        index = index.astype(np.int64)  # x[[]]
    if index.dtype.kind not in "iu":
        raise IndexError(
            f"only integers, slices, `...`, None and integer or boolean arrays are indices; got {index.dtype}"
        )
    return [index]


def _mask(v: Var, mask: Any) -> list[Any]:
    tape = innermost([v, mask])
    if tape.abstract:
        raise TypeError(
            "v[mask]: the shape of the result would depend on values, which are unknown while a function is "
            "compiled; use np.where(mask, v, 0), or index with integers"
        )
    if mask.ndim == 0:
        raise IndexError("a single True or False is not an index of a Var; use np.where")
    mask = mask.value if isinstance(mask, Var) else mask
    return [_Chosen(places, n) for places, n in zip(np.nonzero(mask), mask.shape, strict=True)]


def _extent(item: _Item, shape: tuple[int, ...]) -> int:
    return 1 if item.axis is None else _window(item.index, shape[item.axis])[2]


def _basic(v: Var, shape: tuple[int, ...], items: list[_Item], ints_too: bool) -> Var:
    """`v` after its slices (and integers, which leave an extent of 1)."""
    triples = [(0, 1, n) for n in shape]
    for axis, index in items:
        if axis is None:
            continue
        if isinstance(index, slice):
            triples[axis] = _window(index, shape[axis])
        elif isinstance(index, int) and ints_too:
            triples[axis] = (index, 1, 1)
    if all(triple == (0, 1, n) for triple, n in zip(triples, shape, strict=True)):
        return v
    return append("slice", v, attrs=tuple(x for triple in triples for x in triple))


def _advanced(v: Var, items: list[_Item]) -> Any:
    """Gathers with the index arrays among `items` from `v`, whose slices have been taken."""
    places = [k for k, item in enumerate(items) if isinstance(item.index, (int, Var, np.ndarray))]
    axes = [axis for axis, index in items if axis is not None and not isinstance(index, slice)]
    rest = [axis for axis, index in items if axis is not None and isinstance(index, slice)]
    shape = v.shape
    extents = [shape[axis] for axis in axes]
    index, index_shape = _row_numbers(
        [items[k].index for k in places], extents, innermost([v, *(items[k].index for k in places)])
    )
    rows = transpose(v, (*axes, *rest)) if (*axes, *rest) != tuple(range(len(shape))) else v
    rows = reshape(rows, (math.prod(extents), *(shape[axis] for axis in rest)))
    picked = append("gather", rows, index)
    # The axes of the indices are in front now; new axes join the slices' ones, then all go where NumPy puts
    # them.
    others = [1 if item.axis is None else shape[item.axis] for k, item in enumerate(items) if k not in places]
    picked = reshape(picked, (*index_shape, *others))
    side_by_side = places == list(range(places[0], places[0] + len(places)))
    before = places[0] if side_by_side else 0
    if not before:
        return picked
    n = len(index_shape)
    return transpose(picked, (*range(n, n + before), *range(n), *range(n + before, n + len(others))))


def _row_numbers(indices: list[Any], extents: list[int], tape: Any) -> tuple[Any, tuple[int, ...]]:
    """Index arrays, one per axis, as row numbers into the axes laid end to end, with its shape."""
    if len(indices) == 1:
        return indices[0], np.shape(indices[0])
    if not tape.abstract and not any(isinstance(index, Var) for index in indices):
        wrapped = [np.asarray(index) for index in indices]
        for index, extent in zip(wrapped, extents, strict=True):
            outside = index[(index < -extent) | (index >= extent)]
            if outside.size:
                raise IndexError(f"index {outside.flat[0]} is out of bounds for an axis with size {extent}")
        wrapped = [
            np.where(index < 0, index + extent, index) for index, extent in zip(wrapped, extents, strict=True)
        ]
        number: Any = 0
        for index, extent in zip(wrapped, extents, strict=True):
            number = number * extent + index
        return number, number.shape
    # The C core checks row numbers only as a whole: an index outside of its own axis is sent outside of all
    # rows.
    total = math.prod(extents)
    number = 0
    for index, extent in zip(indices, extents, strict=True):
        node = tape.as_var(index)
        positive = append("where", append("less", node, 0), append("add", node, extent), node)
        inside = append("where", append("less", positive, 0), False, append("less", positive, extent))
        number = append(
            "add", append("mul", number, extent), append("where", inside, positive, total * total)
        )
    return number, number.shape
