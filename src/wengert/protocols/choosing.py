"""Functions that choose among elements by conditions, made of `where` and of indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .constants import known
from .elementwise import as_bool, where
from .movement import astype, concatenate, ravel, reshape, take
from .refusals import written_to
from .registry import NAMESPACE, append, implements, into, normalize_axis, operand, recorded, refuse_options
from .sorting import along


@implements(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """The elements of the first choice whose condition holds, of the default where none does."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(f"select: {len(condlist)} conditions for {len(choicelist)} choices")
    result = recorded(default)
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, recorded(choice), result)
    return result


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """A function given by pieces: functions or numbers with their conditions, the last that holds.

    NumPy calls a function with the elements of its piece, here it sees all of them; what it makes of the
    others is dropped, infinities and NaN in its derivative too.
    """
    x = recorded(x)
    many = isinstance(condlist, (list, tuple)) and condlist and np.ndim(condlist[0]) >= 1
    conditions = list(condlist) if many or (np.ndim(condlist) > x.ndim) else [condlist]
    if x.ndim == 0 and isinstance(condlist, (list, tuple)):
        conditions = list(condlist)
    pieces = list(funclist)
    if len(pieces) == len(conditions) + 1:  # the last is for where none holds
        pieces.insert(0, pieces.pop())
        conditions.insert(0, np.ones(x.shape, bool))
    if len(pieces) != len(conditions):
        raise ValueError(f"piecewise: {len(conditions)} conditions for {len(pieces)} functions")
    result: Any = np.zeros(x.shape, x.dtype)
    for condition, piece in zip(conditions, pieces, strict=True):
        value = piece(x, *args, **kw) if callable(piece) else piece
        result = where(condition, value, result)
    return astype(result, x.dtype, copy=False)


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """The elements of that array of a list whose number stands at their place."""
    refuse_options("choose", out=out)
    n = len(choices)
    numbers = recorded(a)
    if mode == "wrap":
        numbers = NAMESPACE["remainder"](numbers, n)
    elif mode == "clip":
        numbers = NAMESPACE["clip"](numbers, 0, n - 1)
    else:
        inside = np.asarray(known("choose", a))
        if np.any((inside < 0) | (inside >= n)):
            raise ValueError(f"choose: a number is outside of the {n} choices")
    result = recorded(choices[n - 1])
    for k in range(n - 2, -1, -1):
        result = where(numbers == k, recorded(choices[k]), result)
    return append("copy", result) if result.shape == numbers.shape else where(numbers == n, result, result)


@implements(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """The elements along an axis where a condition holds."""
    places = np.nonzero(known("compress", condition))[0]
    return into(out, take(recorded(a), places, axis))


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """The elements where a condition holds."""
    places = np.nonzero(np.ravel(known("extract", condition)))[0]
    return take(ravel(recorded(arr)), places)


@implements(np.unique)
def unique(
    ar: Any, return_index=False, return_inverse=False, return_counts=False, axis=None, **kwargs
) -> Any:
    """The distinct elements in order; the first of equal ones has the derivative."""
    refuse_options("unique", axis=axis)
    _, places, inverse, counts = np.unique(known("unique", ar), True, True, True, **kwargs)
    asked = zip((return_index, return_inverse, return_counts), (places, inverse, counts), strict=True)
    rest = [x for wanted, x in asked if wanted]
    values = take(ravel(recorded(ar)), places)
    return (values, *rest) if rest else values


@implements(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """The distinct elements of both arrays, in order."""
    return unique(concatenate((ravel(ar1), ravel(ar2))))


@implements(np.intersect1d)
def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The elements that are in both arrays, in order; the first array's have the derivative."""
    pair = known("intersect1d", ar1), known("intersect1d", ar2)
    values, places, others = np.intersect1d(*pair, assume_unique, return_indices=True)
    values = take(ravel(recorded(ar1)), places)
    return (values, places, others) if return_indices else values


@implements(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The distinct elements of the first array that are not in the second, in order."""
    a = ravel(recorded(ar1)) if assume_unique else unique(ar1)
    outside = ~np.isin(known("setdiff1d", a), known("setdiff1d", ar2))
    return take(a, np.flatnonzero(outside))


@implements(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The elements that are in one array only, in order."""
    return unique(concatenate((setdiff1d(ar1, ar2), setdiff1d(ar2, ar1))))


@implements(np.unique_values)
def unique_values(x: Any, /, **kwargs: Any) -> Any:
    """The distinct elements."""
    return unique(x, equal_nan=False)


@implements(np.unique_counts)
def unique_counts(x: Any, /) -> Any:
    """The distinct elements, and how often each occurs."""
    return np.lib._arraysetops_impl.UniqueCountsResult(*unique(x, return_counts=True, equal_nan=False))


@implements(np.unique_inverse)
def unique_inverse(x: Any, /) -> Any:
    """The distinct elements, and which of them each element is."""
    return np.lib._arraysetops_impl.UniqueInverseResult(*unique(x, return_inverse=True, equal_nan=False))


@implements(np.unique_all)
def unique_all(x: Any, /) -> Any:
    """The distinct elements, their first places, which of them each element is, and their counts."""
    return np.lib._arraysetops_impl.UniqueAllResult(*unique(x, True, True, True, equal_nan=False))


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced by numbers."""
    x = operand(x)
    if x.dtype.kind not in "fc":
        return append("copy", x) if copy else x
    if x.dtype.kind == "c":
        parts = NAMESPACE["real"](x), NAMESPACE["imag"](x)
        y = append("to_complex", *(nan_to_num(part, True, nan, posinf, neginf) for part in parts))
    else:
        info = np.finfo(x.dtype)
        y = where(NAMESPACE["isnan"](x), nan, x)
        y = where(NAMESPACE["equal"](y, np.inf), float(info.max) if posinf is None else posinf, y)
        y = where(NAMESPACE["equal"](y, -np.inf), float(info.min) if neginf is None else neginf, y)
    if copy or not x.ndim:
        return y
    written_to("nan_to_num", x)[...] = y
    return x


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether elements are equal within tolerances."""
    a, b = recorded(a), recorded(b)
    both = NAMESPACE["logical_and"]
    near = both(
        NAMESPACE["absolute"](a - b) <= atol + rtol * NAMESPACE["absolute"](b), NAMESPACE["isfinite"](b)
    )
    near = NAMESPACE["logical_or"](near, NAMESPACE["equal"](a, b))
    if not equal_nan:
        return near
    return NAMESPACE["logical_or"](near, both(NAMESPACE["isnan"](a), NAMESPACE["isnan"](b)))


@implements(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """Whether elements are +inf."""
    return into(out, append("equal", x, np.inf))


@implements(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """Whether elements are -inf."""
    return into(out, append("equal", x, -np.inf))


@implements(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    """Rounded towards zero."""
    return into(out, append("trunc", x))


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The number of elements that are not zero, over axes."""
    return NAMESPACE["sum"](where(as_bool(a), 1, 0), axis, keepdims=keepdims)


# ---- functions that write to their first argument -----------------------------------------------------


@implements(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """dst[...] = src, where a mask holds."""
    dst = written_to("copyto", dst)
    dst[...] = src if where is True else NAMESPACE["where"](where, src, dst)


def _cycled(values: Any, n: int) -> Any:
    """The first n of values that are repeated as often as it takes."""
    flat = ravel(recorded(values))
    return take(flat, np.arange(n) % max(flat.shape[0], 1))


@implements(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """a[mask] = values, each value at its own place."""
    a = written_to("putmask", a)
    a[...] = where(mask, reshape(_cycled(values, a.size), a.shape), a)


@implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """arr[mask] = vals, in order."""
    arr = written_to("place", arr)
    places = np.nonzero(np.ravel(known("place", mask)))[0]
    put(arr, places, _cycled(vals, len(places)))


@implements(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """a.flat[ind] = v."""
    a = written_to("put", a)
    index = recorded(ind)
    if mode == "wrap":
        index = NAMESPACE["remainder"](index, a.size)
    elif mode == "clip":
        index = NAMESPACE["clip"](index, 0, a.size - 1)
    flat = append("copy", ravel(a))
    flat[ravel(index)] = _cycled(v, index.size)
    a[...] = reshape(flat, a.shape)


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """a[i, i, ...] = val."""
    a = written_to("fill_diagonal", a)
    n = min(a.shape)
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise ValueError("fill_diagonal: all extents of an array of more than two axes must be equal")
    if wrap and a.ndim == 2 and a.shape[0] > a.shape[1] + 1:
        raise TypeError("fill_diagonal: wrap=True is not supported on a Var")
    a[(np.arange(n),) * a.ndim] = _cycled(val, n)


@implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """arr[..., indices, ...] = values along an axis."""
    arr = written_to("put_along_axis", arr)
    if axis is None:
        return put(arr, indices, values)
    arr[along(arr, recorded(indices), normalize_axis(axis, arr.ndim))] = values
    return None
