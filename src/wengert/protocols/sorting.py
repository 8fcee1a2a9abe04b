"""Order: sorting, the largest elements, and elements picked along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Var
from .constants import known
from .indexing import getitem, index_set
from .movement import astype, disordered, expand_dims, is_ordered, line, moveaxis, reshape
from .registry import append, extra, implements, method, normalize_axis, operand, recorded, refuse_options


@implements(np.argsort)
@method("argsort")
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Var:
    """The indices that sort along an axis.  NaN comes last; equal elements keep their order."""
    refuse_options("argsort", order=order)
    a, axis = line(operand(a), axis)
    return append("argsort", a, attrs=(axis, 0, 0))


@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """The elements in order along an axis; a derivative follows each to its place, ties in their order."""
    refuse_options("sort", order=order)
    a, axis = line(operand(a), axis)
    return append("gather", reshape(a, -1), append("argsort", a, attrs=(axis, 0, a.ndim)))


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Any:
    """The elements in order along an axis: those before place `kth` are the smaller ones, as asked."""
    return sort(*parted(a, kth, axis), order=order)


@implements(np.argpartition)
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Any:
    """The indices of `partition`."""
    return argsort(*parted(a, kth, axis), order=order)


def parted(a: Any, kth: Any, axis: Any) -> tuple[Any, int]:
    """An array and its axis, along which it has places `kth`, or NumPy's error."""
    a, axis = line(operand(a), axis)
    np.arange(a.shape[axis]).partition(known("partition", kth))
    return a, axis


@implements(np.sort_complex)
def sort_complex(a: Any) -> Any:
    """The elements as complex numbers, in the order of their real parts; imaginary parts break ties."""
    a = operand(a)
    order = np.argsort(known("sort_complex", a), axis=-1)
    found = take_along_axis(astype(recorded(a), np.result_type(a.dtype, np.complex64)), order)
    return found if is_ordered(a) else disordered(found)


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """Elements at integer indices along an axis, which match the array along the others."""
    (a, axis), index = line(recorded(arr), axis), recorded(indices)
    if a.ndim != index.ndim:
        raise ValueError(
            f"take_along_axis: indices of shape {index.shape} for an array of shape {a.shape}; expected as "
            f"many axes"
        )
    if index.dtype.kind not in "iu":
        raise IndexError(f"take_along_axis: indices must be integers, got {index.dtype}; pass .astype(int)")
    return append("gather", a, index) if a.ndim == 1 else getitem(append("copy", a), along(a, index, axis))


def along(a: Any, index: Any, axis: int) -> tuple:
    """The key of an array's elements at indices along an axis, which match it along the others."""
    places = [np.arange(n).reshape(n, *(1,) * (a.ndim - 1 - k)) for k, n in enumerate(a.shape)]
    return tuple(index if k == axis else place for k, place in enumerate(places))


@extra
def scatter(x: Any, indices: Any, values: Any, axis: int = -1) -> Any:
    """A copy of `x` with values at integer indices along an axis: np.put_along_axis, but not in place.

    `index_set` and `index_add` take any key, and `index_add` adds what meets at one place.

    Examples
    --------
    >>> import wengert.numpy as np
    >>> np.scatter(np.zeros((2, 3)), np.array([[2], [0]]), 1.0, axis=1)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    x = operand(x)
    return index_set(x, along(x, recorded(indices), normalize_axis(axis, x.ndim)), values)


@extra
def topk(x: Any, k: int, axis: int = -1) -> Any:
    """The k largest elements along an axis, in falling order, and their indices; ties in their order.

    Examples
    --------
    >>> import wengert.numpy as np
    >>> np.topk(np.array([3.0, 1.0, 5.0]), 2)
    (array([5., 3.]), array([2, 0]))
    """
    x = operand(x)
    axis = normalize_axis(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"topk: k={k}; the axis has {x.shape[axis]} elements")
    index = append("argsort", x, attrs=(axis, 1, 0))[(slice(None),) * axis + (slice(k),)]
    return take_along_axis(x, index, axis), index


@extra
def one_hot(x: Any, num_classes: int, *, dtype: Any = np.float64, axis: int = -1) -> Any:
    """1 at each integer's place along a new axis and 0 elsewhere; integers out of range give zeros.

    Examples
    --------
    >>> import wengert.numpy as np
    >>> np.one_hot(np.array([0, 2]), 3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    x = operand(x)
    if x.dtype.kind not in "iu":
        raise TypeError(f"one_hot: classes must be integers, got {x.dtype}")
    hot = astype(append("equal", expand_dims(x, -1), np.arange(num_classes)), dtype)
    return hot if axis in (-1, x.ndim) else moveaxis(hot, -1, axis)
