"""v[key]: basic slices are views, integer arrays gather rows, boolean masks become integer arrays.

The rules are NumPy's: an integer beside index arrays counts as one of them; index arrays are broadcast
together; their axes come where they stood if they stood side by side, in front otherwise.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .._core import Var, innermost
from .movement import astype, broadcast_to, reshape, transpose
from .refusals import users_line
from .registry import OPS, append, extra, method, operand, rely_on


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
        For a boolean mask that is traced while a function is compiled: the result's shape would depend on
        its values.
    """
    key, shape = key if type(key) is tuple else (key,), v.shape
    items = _spell_out(v, key, shape)
    arrays = any(isinstance(item.index, (Var, np.ndarray)) for item in items)
    sliced = _basic(v, _windows(shape, items, ints_too=not arrays))
    if arrays:
        return _advanced(sliced, items)
    kept = tuple(_extent(item, shape) for item in items if not isinstance(item.index, int))
    array = kept or any(entry is Ellipsis for entry in key)  # else a number
    if v.is_number and not array:
        return v
    found = append("reshape", append("copy", v) if v.is_number else sliced, attrs=kept)
    return found if kept or not array else found.share()


def _window(entry: slice, extent: int) -> tuple[int, int, int]:
    """Start, step and length of a slice of an axis."""
    start, stop, step = entry.indices(extent)
    length = len(range(start, stop, step))
    return (start, step, length) if length > 1 else (start if length else 0, 1, length)


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
    if index.dtype == np.uint64:  # which a tape does not hold
        index = index.astype(np.int64)
    if index.dtype.kind not in "iu":
        raise IndexError(
            f"only integers, slices, `...`, None and integer or boolean arrays are indices; got {index.dtype}"
            + ("; pass .astype(int)" if index.dtype.kind == "f" else "")
        )
    return [index]


def _mask(v: Var, mask: Any) -> list[Any]:
    tape = innermost([v, mask])
    if tape.abstract and isinstance(mask, Var):
        raise TypeError(
            f"v[mask] ({users_line()}): the shape of the result depends on values, unknown while "
            "a function is compiled; use np.where(mask, v, 0), integers, or a mask made of plain arrays"
        )
    if tape.abstract:
        rely_on(tape, [(mask, mask.copy())])
    if mask.ndim == 0:
        raise IndexError("a single True or False is not an index of a Var; use np.where")
    mask = mask.value if isinstance(mask, Var) else mask
    return [_Chosen(places, n) for places, n in zip(np.nonzero(mask), mask.shape, strict=True)]


def _extent(item: _Item, shape: tuple[int, ...]) -> int:
    return 1 if item.axis is None else _window(item.index, shape[item.axis])[2]


def _windows(shape: tuple[int, ...], items: list[_Item], ints_too: bool) -> list[tuple[int, int, int]]:
    """Start, step and length along each axis of the slices among `items` (and of integers, with length 1)."""
    triples = [(0, 1, n) for n in shape]
    for axis, index in items:
        if axis is None:
            continue
        if isinstance(index, slice):
            triples[axis] = _window(index, shape[axis])
        elif isinstance(index, int) and ints_too:
            triples[axis] = (index, 1, 1)
    return triples


def _basic(v: Var, triples: list[tuple[int, int, int]]) -> Var:
    """`v` after its slices."""
    if all(triple == (0, 1, n) for triple, n in zip(triples, v.shape, strict=True)):
        return v
    return append("slice", v, attrs=tuple(x for triple in triples for x in triple))


class _Rows(NamedTuple):
    """What index arrays pick from an array: rows of it, after its axes were permuted by `order`.

    The indexed axes are laid end to end, so that there is one index for all of them.  The picked rows have
    the shape (*index_shape, *others), where others has new axes too; `before` of the latter go in front of
    the index's axes, where NumPy puts them.
    """

    rows: Any
    order: tuple[int, ...]
    index: Any
    index_shape: tuple[int, ...]
    others: tuple[int, ...]
    before: int

    @property
    def axes(self) -> tuple[int, ...]:
        """The permutation that brings the picked rows' axes to where NumPy has them."""
        n, last = len(self.index_shape), len(self.index_shape) + len(self.others)
        return (*range(n, n + self.before), *range(n), *range(n + self.before, last))


def _rows(v: Var, items: list[_Item]) -> _Rows:
    """How the index arrays among `items` pick from `v`, whose slices have been taken."""
    places = [k for k, item in enumerate(items) if isinstance(item.index, (int, Var, np.ndarray))]
    axes = [axis for axis, index in items if axis is not None and not isinstance(index, slice)]
    rest = [axis for axis, index in items if axis is not None and isinstance(index, slice)]
    shape = v.shape
    extents = tuple(shape[axis] for axis in axes)
    indices = [items[k].index for k in places]
    index = indices[0]
    if len(indices) > 1:
        index = append("ravel_index", innermost((v, *indices)).as_var(index), *indices[1:], attrs=extents)
    order = (*axes, *rest)
    rows = v if order == tuple(range(len(shape))) else transpose(v, order)
    rows = reshape(rows, (math.prod(extents), *(shape[axis] for axis in rest)))
    others = tuple(
        1 if item.axis is None else shape[item.axis] for k, item in enumerate(items) if k not in places
    )
    side_by_side = places == list(range(places[0], places[0] + len(places)))
    return _Rows(rows, order, index, np.shape(index), others, places[0] if side_by_side else 0)


def _advanced(v: Var, items: list[_Item]) -> Any:
    """Gathers with the index arrays among `items` from `v`, whose slices have been taken."""
    r = _rows(v, items)
    picked = reshape(append("gather", r.rows, r.index), (*r.index_shape, *r.others))
    return transpose(picked, r.axes) if r.before else picked


# ---- changing a part ----------------------------------------------------------------------------------


@extra
def index_set(a: Any, key: Any, value: Any) -> Any:
    """A copy of `a` in which a[key] is `value`; of several values for one element the last counts.

    Takes every key that indexing takes.  Values broadcast, and are cast to the array's dtype.

    Examples
    --------
    >>> import wengert.numpy as np
    >>> np.index_set(np.zeros(4), [2, 0], np.array([5.0, 7.0]))
    array([7., 0., 5., 0.])
    """
    return _changed("index_set", "set", a, key, value)


@extra
def index_add(a: Any, key: Any, value: Any) -> Any:
    """A copy of `a` with `value` added to a[key]; several values for one element are all added.

    Takes every key that indexing takes.  Values broadcast, and are cast to the array's dtype.

    Examples
    --------
    >>> import wengert.numpy as np
    >>> np.index_add(np.zeros(3), [2, 0, 2], 1.0)
    array([1., 0., 2.])
    """
    return _changed("index_add", "add", a, key, value)


@method("setitem")
def setitem(v: Var, key: Any, value: Any) -> None:
    """v[key] = value: seen by v, by what it is a view of, and by all other views of that."""
    if v.is_number:
        raise TypeError("a Var of shape () is a number, and no view: it does not support item assignment")
    _refuse_outside(v, value, *(key if type(key) is tuple else (key,)))
    mask = key.dtype == bool and key.shape == v.shape if isinstance(key, (Var, np.ndarray)) else False
    if mask and np.ndim(value) == 0:  # whatever the mask is, of one shape: also compiled
        value = _as_same_kind("v[mask] = value", operand(value), v.dtype)
        _write("copy", v, append("where", key, value, v))
    else:
        _changed("v[key] = value", "set", v, key, value, _write)


def add_at(v: Var, key: Any, value: Any) -> None:
    """`np.add.at(v, key, value)`: added in place, several values for one element all of them."""
    _refuse_outside(v, value, *(key if type(key) is tuple else (key,)))
    _write("copy", v, _changed("np.add.at", "add", v, key, value))


@method("overwrite")
def overwrite(v: Var, result: Var) -> None:
    """v[...] = result, where nothing else refers to `result`."""
    _refuse_outside(v, result)
    if result.shape != v.shape:
        raise ValueError(
            f"an array of shape {v.shape} cannot hold a result of shape {result.shape}; "
            f"write v = v + w in place of v += w"
        )
    _write("copy", v, _as_same_kind("an operation in place", result, v.dtype))


def _write(name: str, v: Var, *operands: Any, attrs: tuple = ()) -> None:
    v.tape.write(OPS[name], (v, *operands), attrs)


def _refuse_outside(v: Var, *others: Any) -> None:
    """Raises TypeError where a write would be recorded on another tape than the one that has the array."""
    if innermost((v, *others)) is not v.tape:
        raise TypeError(
            "a Var cannot be written in place inside of a function that is recorded (wg.compile, vmap, ...) "
            "when it was made outside of it: write to a copy, v = v.copy(), and return that"
        )


def _as_same_kind(name: str, value: Any, dtype: np.dtype) -> Any:
    if not np.can_cast(value.dtype, dtype, "same_kind"):
        raise TypeError(f"{name}: values of dtype {value.dtype} do not fit an array of {dtype}; cast one")
    return value if value.dtype == dtype else astype(value, dtype)


def _changed(name: str, what: str, a: Any, key: Any, value: Any, last: Any = append) -> Any:
    """`a` with values at a key; `last` appends, or writes, what takes `a` as its first operand."""
    key = key if type(key) is tuple else (key,)
    a = innermost((a, value, *key)).as_var(a)
    items = _spell_out(a, key, a.shape)
    arrays = any(isinstance(item.index, (Var, np.ndarray)) for item in items)
    triples = _windows(a.shape, items, ints_too=not arrays)
    attrs = tuple(x for triple in triples for x in triple)
    value = _as_same_kind(name, operand(value), a.dtype)
    if not arrays:
        kept = [_extent(item, a.shape) for item in items if not isinstance(item.index, int)]
        value = reshape(_fitted(name, value, tuple(kept)), tuple(length for _, _, length in triples))
        return last(f"slice_{what}", a, value, attrs=attrs)
    sliced = _basic(a, triples)
    r = _rows(sliced, items)
    picked = (*r.index_shape, *r.others)
    value = _fitted(name, value, tuple(picked[k] for k in r.axes))
    value = transpose(value, np.argsort(r.axes).tolist()) if r.before else value
    value = reshape(value, r.index_shape + r.rows.shape[1:])
    if r.rows is a:
        return last(f"index_{what}", a, r.index, value)
    rows = append(f"index_{what}", r.rows, r.index, value)
    rows = reshape(rows, tuple(sliced.shape[axis] for axis in r.order))
    changed = transpose(rows, np.argsort(r.order).tolist())
    if sliced is not a:
        return last("slice_set", a, changed, attrs=attrs)
    return changed if last is append else last("copy", a, changed)


def _fitted(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """`value` broadcast to the shape of what it goes to; as in NumPy, axes of extent 1 may be too many."""
    extra_axes = max(value.ndim - len(shape), 0)
    try:
        fits = np.broadcast_shapes(value.shape[extra_axes:], shape) == shape
    except ValueError:
        fits = False
    if not fits or value.shape[:extra_axes] != (1,) * extra_axes:
        raise ValueError(f"{name}: values of shape {value.shape} do not broadcast to a[key] of shape {shape}")
    return broadcast_to(reshape(value, value.shape[extra_axes:]), shape)
