"""Functions that move, join and cast elements without computing with them."""

from __future__ import annotations

import functools
import math
from itertools import pairwise
from typing import Any

import numpy as np

from .._core import Var, current, dtype_code
from .registry import (
    NAMESPACE,
    append,
    dims,
    extra,
    implements,
    into,
    is_recorded,
    method,
    normalize_axes,
    normalize_axis,
    operand,
    refuse_options,
    sharing,
)  # fmt: skip


@implements(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    """The extents along each axis."""
    return operand(a).shape


@implements(np.ndim)
def ndim(a: Any) -> int:
    """The number of axes."""
    return operand(a).ndim


@implements(np.size)
def size(a: Any, axis: Any = None) -> int:
    """The number of elements, in all or along axes."""
    a = operand(a)
    return math.prod(a.shape[k] for k in normalize_axes(axis, a.ndim))


@implements(np.result_type)
def result_type(*arrays: Any) -> np.dtype:
    """The dtype to which arrays promote."""
    return np.result_type(*(_weak_stand_in(x) for x in arrays))


def _weak_stand_in(x: Any) -> Any:
    """What promotes as x does: a Python number for a weak Var, the dtype for any other."""
    if not isinstance(x, Var):
        return x
    return x.dtype.type(0).item() if x.weak else x.dtype


# ---- shapes -------------------------------------------------------------------------------------------


@implements(np.reshape)
def reshape(a: Any, shape: Any, order: str = "C", **kwargs: Any) -> Any:
    """The same elements in another shape; one extent may be -1."""
    refuse_options("reshape", **kwargs)
    a = operand(a)
    if order == "A" and a.in_order < 0:
        raise ValueError(
            'reshape: order="A" asks how an array lies in memory, which is not followed where it was made '
            'of transposed or strided ones; say order="C" or "F"'
        )
    if order == "F" or (order == "A" and not a.in_order and transpose(a).in_order):
        return transpose(reshape(transpose(a), dims(shape)[::-1]))
    if order not in ("C", "A"):
        raise ValueError(f'reshape: order={order!r}; expected "C", "F" or "A"')
    extents = dims(shape)
    if -1 in extents:
        known = -math.prod(extents)
        total = math.prod(a.shape)
        if extents.count(-1) > 1 or known <= 0 or total % known:
            raise ValueError(f"reshape: cannot reshape {a.shape} into {extents}")
        extents = tuple(total // known if n == -1 else n for n in extents)
    return a if extents == a.shape and isinstance(a, Var) else append("reshape", a, attrs=extents)


@method("reshape")
@sharing
def _reshape_method(a: Var, *shape: Any, order: str = "C", **kwargs: Any) -> Any:
    return reshape(a, shape[0] if len(shape) == 1 else shape, order=order, **kwargs)


@implements(np.ravel)
@method("ravel")
def ravel(a: Any, order: str = "C") -> Any:
    """The elements in one axis: a view where they lie one after the other, else a copy."""
    a = operand(a)
    return in_c_order(reshape(a, (math.prod(a.shape),), order=order))


def line(a: Any, axis: Any) -> tuple[Any, int]:
    """An array and an axis of it, from the front; with None that of the flattened array."""
    return (ravel(a), 0) if axis is None else (a, normalize_axis(axis, a.ndim))


def is_ordered(a: Any) -> bool:
    """Whether NumPy is known to have the axes in C's order in memory."""
    return not a.turned if isinstance(a, Var) else a.flags.c_contiguous


def disordered(a: Any) -> Any:
    """A result of which it is not followed how NumPy lays it in memory, as what is made of turned ones."""
    return transpose(append("copy", transpose(a))) if a.ndim > 1 else a


def in_c_order(a: Any) -> Any:
    """An array in C order: itself or a copy, or what may be either."""
    if a.in_order < 0:
        return append("reshape", a, attrs=a.shape)
    return a if a.in_order else append("copy", a).share()


@method("flatten")
def flatten(a: Var, order: str = "C") -> Var:
    """A copy of the elements in one axis."""
    return append("copy", reshape(a, (math.prod(a.shape),), order=order))


@implements(np.transpose, names=("permute_dims",))
def transpose(a: Any, axes: Any = None) -> Var:
    """The axes permuted, or reversed."""
    a = operand(a)
    order = tuple(range(a.ndim))[::-1] if axes is None else tuple(normalize_axis(k, a.ndim) for k in axes)
    if len(order) != a.ndim or len(set(order)) != a.ndim:
        raise ValueError(f"transpose: axes {axes} are no permutation of the {a.ndim} axes")
    return append("transpose", a, attrs=order)


@method("transpose")
@sharing
def _transpose_method(a: Var, *axes: Any) -> Var:
    return transpose(a, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None)


@implements(np.swapaxes)
@method("swapaxes")
def swapaxes(a: Any, axis1: int, axis2: int) -> Var:
    """Two axes exchanged."""
    a = operand(a)
    order = list(range(a.ndim))
    i, j = normalize_axis(axis1, a.ndim), normalize_axis(axis2, a.ndim)
    order[i], order[j] = order[j], order[i]
    return transpose(a, order)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Var:
    """Axes moved to new places, the others keeping their order."""
    a = operand(a)
    sources, targets = normalize_axes(source, a.ndim), normalize_axes(destination, a.ndim)
    if len(sources) != len(targets):
        raise ValueError(f"moveaxis: {len(sources)} source axes for {len(targets)} destinations")
    order = [k for k in range(a.ndim) if k not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return transpose(a, order)


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """New axes of extent 1 at places of the result."""
    a = operand(a)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    axes = normalize_axes(axis, a.ndim + count)
    rest = iter(a.shape)
    return reshape(a, tuple(1 if k in axes else next(rest) for k in range(a.ndim + count)))


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Without axes of extent 1: all of them, or those named."""
    a = operand(a)
    axes = [k for k in range(a.ndim) if a.shape[k] == 1] if axis is None else normalize_axes(axis, a.ndim)
    for k in axes:
        if a.shape[k] != 1:
            raise ValueError(f"squeeze: axis {k} has extent {a.shape[k]}, only extent 1 can be squeezed")
    return reshape(a, tuple(n for k, n in enumerate(a.shape) if k not in axes))


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Var:
    """Repeated along axes of extent 1 to a shape."""
    return append("broadcast", array, attrs=dims(shape))


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Var:
    """Elements in reverse order along axes."""
    a = operand(m)
    return windows(
        a, {k: (a.shape[k] - 1, -1, a.shape[k]) for k in normalize_axes(axis, a.ndim) if a.shape[k]}
    )


def windows(a: Any, chosen: dict[int, tuple[int, int, int]]) -> Var:
    """Elements at a start, by a step, so many, along some axes."""
    boxes = (chosen.get(k, (0, 1, n)) for k, n in enumerate(a.shape))
    return append("slice", a, attrs=tuple(x for box in boxes for x in box))


# ---- joining and parting ------------------------------------------------------------------------------


@implements(np.concatenate, names=("concat",))
def concatenate(arrays: Any, axis: Any = 0, out: Any = None, **kwargs: Any) -> Var:
    """Arrays joined along an existing axis."""
    refuse_options("concatenate", **kwargs)
    parts = [operand(a) for a in arrays]
    if not parts:
        raise ValueError("concatenate: needs at least one array")
    if axis is None:
        parts, axis = [ravel(a) for a in parts], 0
    if any(a.ndim == 0 for a in parts):
        raise ValueError("concatenate: arrays of shape () cannot be joined; use stack")
    return into(out, append("concatenate", *parts, attrs=(normalize_axis(axis, parts[0].ndim),)))


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, **kwargs: Any) -> Var:
    """Arrays of one shape joined along a new axis."""
    refuse_options("stack", **kwargs)
    parts = [operand(a) for a in arrays]
    if len({a.shape for a in parts}) != 1:
        raise ValueError(f"stack: needs arrays of one shape, got {[a.shape for a in parts]}")
    return concatenate([expand_dims(a, axis) for a in parts], normalize_axis(axis, parts[0].ndim + 1), out)


def for_each(function: Any) -> Any:
    """The function of one array; of several the tuple of its results."""

    @functools.wraps(function)
    def result(*arrays: Any) -> Any:
        results = tuple(function(operand(a)) for a in arrays)
        return results[0] if len(arrays) == 1 else results

    return result


@implements(np.atleast_1d)
@for_each
def atleast_1d(a: Any) -> Any:
    """With at least one axis."""
    return reshape(a, (1,)) if a.ndim == 0 else a


@implements(np.atleast_2d)
@for_each
def atleast_2d(a: Any) -> Any:
    """With at least two axes, the new ones in front."""
    return a if a.ndim >= 2 else reshape(a, (1, math.prod(a.shape)))


@implements(np.vstack)
def vstack(tup: Any, **kwargs: Any) -> Var:
    """Arrays one below the other."""
    refuse_options("vstack", **kwargs)
    return concatenate([atleast_2d(a) for a in tup], 0)


@implements(np.hstack)
def hstack(tup: Any, **kwargs: Any) -> Var:
    """Arrays side by side."""
    refuse_options("hstack", **kwargs)
    parts = [atleast_1d(a) for a in tup]
    return concatenate(parts, 0 if parts and parts[0].ndim == 1 else 1)


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Var]:
    """Parts along an axis: a number of equal ones, or cut at indices."""
    a = operand(ary)
    axis = normalize_axis(axis, a.ndim)
    extent = a.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if sections < 1 or extent % sections:
            raise ValueError(
                f"split: {extent} elements along axis {axis} cannot be divided into {sections} equal parts"
            )
        cuts = [k * (extent // sections) for k in range(sections + 1)]
    else:
        inner = [min(max(i + extent if i < 0 else i, 0), extent) for i in dims(list(indices_or_sections))]
        cuts = [0, *inner, extent]
    boxes = ((start, 1, stop - start) if start < stop else (0, 1, 0) for start, stop in pairwise(cuts))
    return [windows(a, {axis: box}) for box in boxes]


@implements(np.take)
@method("take")
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Var:
    """Elements at integer indices along an axis, or of the flattened array."""
    refuse_options("take", out=out)
    if mode != "raise":
        raise TypeError(f'take: mode={mode!r} is not supported on a Var; use "raise"')
    (a, axis), index = line(operand(a), axis), operand(indices)
    if axis == 0:
        return append("gather", a, index)
    rows = append("gather", moveaxis(a, axis, 0), index)
    return moveaxis(rows, tuple(range(index.ndim)), tuple(range(axis, axis + index.ndim)))


# ---- dtypes and new arrays ----------------------------------------------------------------------------


@method("astype")
@sharing
def astype(
    a: Any, dtype: Any, order: Any = None, casting: Any = None, subok: Any = None, copy: bool = True
) -> Any:
    """In another dtype."""
    refuse_options("astype", order=order, casting=casting, subok=subok)
    if not is_recorded((a,)):
        return np.asarray(a).astype(dtype, copy=copy)
    if not copy and isinstance(a, Var) and a.dtype == dtype and not a.weak:
        return a
    return append("cast", a, attrs=(dtype_code(dtype),))


NAMESPACE["astype"] = astype
if hasattr(np, "astype"):  # NumPy >= 2.1
    implements(np.astype)(astype)
    NAMESPACE["astype"] = astype


def array(object: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """An array of numbers, arrays and Vars nested in lists; with a Var inside, a Var."""
    if not is_recorded((object,)):
        return np.array(object, dtype, **kwargs)
    refuse_options("array", **{k: v for k, v in kwargs.items() if k != "copy"})
    if isinstance(object, (list, tuple)):
        parts = [array(x) for x in object]
        whole = stack(parts)
    elif isinstance(object, Var):
        whole = append("copy", object) if kwargs.get("copy", True) else object
    else:
        whole = _on_tape(object)
    return whole if dtype is None or whole.dtype == dtype else astype(whole, dtype)


def _on_tape(x: np.ndarray) -> Var:
    recording = current()
    assert recording is not None  # is_recorded says so
    return recording.as_var(x)


def asarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """As `array`; an ndarray or a Var of the right dtype is returned as it is."""
    if is_recorded((a,)):
        return array(a, dtype, **kwargs, copy=None)
    return np.asarray(a, dtype, **kwargs)


NAMESPACE.update(array=array, asarray=asarray)


def _like(create: Any) -> Any:
    def function(a: Any, dtype: Any = None, **options: Any) -> np.ndarray:
        """An ndarray of a Var's shape and dtype, its elements zeros, ones or unset."""
        shape = options.pop("shape", None)
        refuse_options(f"{create.__name__}_like", **options)
        a = operand(a)
        turned = shape is None and isinstance(a, Var) and a.turned and a.T.in_order == 1
        extents = a.shape if shape is None else shape
        return create(extents, a.dtype if dtype is None else dtype, "F" if turned else "C")

    return function


implements(np.zeros_like)(_like(np.zeros))
implements(np.ones_like)(_like(np.ones))
empty_like = implements(np.empty_like)(_like(np.empty))


@implements(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """A number (or what broadcasts) repeated to an array's shape; a Var where the number is one."""
    if not isinstance(fill_value, Var):
        zeros = empty_like(a, dtype, **kwargs)
        zeros[...] = fill_value
        return zeros
    refuse_options("full_like", **kwargs)
    a = operand(a)
    full = NAMESPACE["full"](a.shape, fill_value, a.dtype if dtype is None else dtype)
    return full if is_ordered(a) else disordered(full)


@extra
def stop_gradient(x: Any) -> Any:
    """The same elements, taken as a constant by every derivative."""
    return append("stop_gradient", x)


@implements(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Var:
    """The same elements."""
    return a.copy(order) if isinstance(a, Var) else append("copy", a)


# What users call.  In this package the functions above serve results that are numbers, as sums are, too.
implements(np.reshape)(sharing(reshape))
implements(np.copy)(sharing(copy, of_numbers=True))
implements(np.transpose, names=("permute_dims",))(sharing(transpose))
method("squeeze")(implements(np.squeeze)(sharing(squeeze)))
