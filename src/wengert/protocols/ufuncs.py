"""What NumPy's ufuncs do with a Var beyond a plain call: keyword arguments and their methods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Var, record, register
from . import elementwise
from .constants import known
from .indexing import add_at
from .movement import (
    astype,
    broadcast_to,
    concatenate,
    disordered,
    is_ordered,
    moveaxis,
    ravel,
    reshape,
    stack,
)
from .refusals import users_line, written_to
from .registry import (
    FUNCTIONS,
    NAMESPACE,
    normalize_axes,
    normalize_axis,
    recorded,
    refuse_options,
    unsupported,
)

REDUCTIONS = {
    np.add: "sum", np.multiply: "prod", np.maximum: "max", np.minimum: "min", np.logical_and: "all",
    np.logical_or: "any", np.logaddexp: "logsumexp",
}  # fmt: skip
RUNNING = {np.add: "cumsum", np.multiply: "cumprod"}


def array_ufunc(ufunc: Any, method: str, inputs: tuple, kwargs: dict) -> Any:
    """Answers `__array_ufunc__` for what the binding's own table of plain ufuncs does not know."""
    if method == "at":
        return _at(ufunc, *inputs)
    out = kwargs.pop("out", None)
    out = out if isinstance(out, tuple) or out is None else (out,)
    for target in out or ():
        if target is not None and not isinstance(target, Var):
            raise TypeError(
                f"np.{ufunc.__name__}: writing a Var into a plain array (out=, or +=, -=, *= on an ndarray) "
                f"would drop the derivative ({users_line()}); write a = a + v instead of a += v"
            )
    if method == "__call__":
        return _written(out, _call(ufunc, inputs, out, **kwargs))
    if method not in METHODS or ufunc.nin != 2 or ufunc.signature:
        raise unsupported(f"np.{ufunc.__name__}.{method}")
    return _written(out, METHODS[method](ufunc, *inputs, **kwargs))


def _call(ufunc: Any, inputs: tuple, out: Any, where: Any = True, dtype: Any = None, **options: Any) -> Any:
    """The function itself, in a dtype; where a mask does not hold, what `out` held."""
    refuse_options(
        f"np.{ufunc.__name__}",
        **{k: v for k, v in options.items() if k not in ("casting", "order", "subok")},
    )
    if dtype is not None:
        inputs = tuple(astype(recorded(x), dtype) for x in inputs)
    result = _plain(ufunc, inputs)
    if where is True:
        return result
    if out is None or None in out:
        raise TypeError(
            f"np.{ufunc.__name__}: where= without out= leaves elements unset; use np.where(mask, ..., value)"
        )
    select, several = NAMESPACE["where"], isinstance(result, tuple)
    chosen = [select(where, y, old) for y, old in zip(result if several else (result,), out, strict=True)]
    return tuple(chosen) if several else chosen[0]


def _plain(ufunc: Any, inputs: tuple) -> Any:
    implementation = FUNCTIONS.get(ufunc)
    if implementation is not None:
        return implementation(*inputs)
    code = elementwise.UFUNCS.get(ufunc)
    if code is None and not hasattr(np, ufunc.__name__):
        from ..scipy import special  # noqa: F401  files scipy.special's, and is loaded when one is asked for

        implementation = FUNCTIONS.get(ufunc)
        if implementation is not None:
            return implementation(*inputs)
    if code is None:  # scipy.special's ufuncs bear the names of the table
        code = elementwise.BY_NAME.get(ufunc.__name__)
        if code is None or len(inputs) != ufunc.nin:
            raise unsupported(f"the ufunc {ufunc.__name__}")
        register(ufuncs={ufunc: code})
    return record(code, inputs)


def _written(out: Any, result: Any) -> Any:
    """The results, or the Vars of `out` after they have been written there."""
    if out is None:
        return result
    several = isinstance(result, tuple)
    results = []
    for target, value in zip(out, result if several else (result,), strict=True):
        if target is not None:
            target[...] = value
        results.append(value if target is None else target)
    return tuple(results) if several else results[0]


def _prepared(ufunc: Any, array: Any, dtype: Any) -> Any:
    """What a method folds: in a dtype; truths where those are what is folded."""
    a = recorded(array)
    if ufunc in (np.logical_and, np.logical_or, np.logical_xor):
        return elementwise.as_bool(a)
    if ufunc not in REDUCTIONS:
        ufunc.accumulate(np.ones(1, a.dtype))  # NumPy's error where results are no operands
    return a if dtype is None else astype(a, dtype)


def _reduce(
    ufunc: Any, array: Any, axis: Any = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None,
    where: Any = True,
) -> Any:  # fmt: skip
    """The function folded over axes, by the reduction that has a name where there is one."""
    a = _prepared(ufunc, array, dtype)
    axes = normalize_axes(axis, a.ndim)
    initial = None if initial is np._NoValue else initial
    start = ufunc.identity if initial is None else initial
    if where is not True and start is None:
        raise ValueError(f"np.{ufunc.__name__}.reduce: it has no identity, so where= needs initial= too")
    if ufunc not in REDUCTIONS:
        last = _folded(ufunc, a, axes, start if where is not True else initial, where)
        return NAMESPACE["expand_dims"](last, axes) if keepdims else last
    if where is not True:
        a = NAMESPACE["where"](where, a, start if ufunc.identity is None else ufunc.identity)
    result = NAMESPACE[REDUCTIONS[ufunc]](a, axis=axes, keepdims=keepdims)
    return result if initial is None else ufunc(initial, result)


def _folded(ufunc: Any, a: Any, axes: tuple[int, ...], start: Any, where: Any) -> Any:
    """The last result of a fold over axes, one element after the other."""
    if len(axes) > 1:
        ufunc.reduce(np.ones((1,) * a.ndim, a.dtype), axes)  # NumPy's error where their order would matter
    mask = None if where is True else _in_front(broadcast_to(where, a.shape), axes)
    a = _in_front(a, axes)
    if not a.shape[0] and (start is not None or ufunc.identity is not None):
        start = ufunc.identity if start is None else start
        return broadcast_to(astype(recorded(start), a.dtype), a.shape[1:])
    return _fold(ufunc, a, start, mask)[-1]


def _in_front(a: Any, axes: tuple[int, ...]) -> Any:
    """Axes as one, the first."""
    a = moveaxis(a, axes, tuple(range(len(axes))))
    return reshape(a, (math.prod(a.shape[: len(axes)]), *a.shape[len(axes) :]))


def _fold(ufunc: Any, rows: Any, start: Any = None, mask: Any = None) -> list[Any]:
    """All intermediate results of a fold over the first axis."""
    if not rows.shape[0]:
        raise ValueError(f"np.{ufunc.__name__}: reduction of an empty axis")
    results = [rows[0]] if start is None else [start]
    for k in range(start is None, rows.shape[0]):
        following = ufunc(results[-1], rows[k])
        results.append(following if mask is None else NAMESPACE["where"](mask[k], following, results[-1]))
    return results


def _accumulate(ufunc: Any, array: Any, axis: int = 0, dtype: Any = None) -> Any:
    """All intermediate results of a fold along an axis."""
    a = _prepared(ufunc, array, dtype)
    axis = normalize_axis(axis, a.ndim)
    if ufunc in RUNNING:
        return NAMESPACE[RUNNING[ufunc]](a, axis=axis)
    results = stack(_fold(ufunc, moveaxis(a, axis, 0)), axis)
    return results if is_ordered(a) else disordered(results)


def _reduceat(ufunc: Any, array: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    """Folds from each index to the next one, or of one element where the next is not behind it."""
    a = recorded(array)
    axis, n = normalize_axis(axis, a.ndim), a.shape[axis]
    starts = np.asarray(known(f"{ufunc.__name__}.reduceat", indices)).tolist()
    if not all(0 <= k < n for k in starts):
        raise IndexError(f"np.{ufunc.__name__}.reduceat: indices {starts} for an axis of {n} elements")
    boxes = [slice(k, max(stop, k + 1)) for k, stop in zip(starts, [*starts[1:], n], strict=True)]
    parts = [a[(slice(None),) * axis + (box,)] for box in boxes]
    return concatenate([_reduce(ufunc, part, axis, dtype, True) for part in parts], axis)


def _outer(ufunc: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    """The function of every element of a with every element of b."""
    a, b = recorded(a), recorded(b)
    return ufunc(reshape(a, (*a.shape, *(1,) * b.ndim)), b, **kwargs)


def _method(ufunc: Any, name: str) -> Any:
    """A method of a function of `wengert.numpy`: what is recorded is a Var, which NumPy asks."""
    return lambda a, *args, **kwargs: getattr(ufunc, name)(recorded(a), *args, **kwargs)


for _name, _function in NAMESPACE.items():
    _ufunc = getattr(np, _name, None)
    if isinstance(_ufunc, np.ufunc):
        for _of in ("reduce", "accumulate", "outer", "at", "reduceat"):
            setattr(_function, _of, _method(_ufunc, _of))


def _at(ufunc: Any, a: Any, indices: Any, b: Any = None) -> None:
    """`ufunc.at(a, indices, b)`: a[indices] = ufunc(a[indices], b), repeated indices counting again."""
    a = written_to(
        f"{ufunc.__name__}.at", a, "use wengert.numpy.index_add(a, indices, v), which returns a Var"
    )
    if ufunc in (np.add, np.subtract):
        add_at(a, indices, b if ufunc is np.add else NAMESPACE["negative"](recorded(b)))
        return
    if ufunc.nout > 1 or ufunc.nin != 1 + (b is not None):
        raise unsupported(f"np.{ufunc.__name__}.at")
    places = np.arange(math.prod(a.shape)).reshape(a.shape)[known(f"{ufunc.__name__}.at", indices)]
    operands = [] if b is None else [ravel(broadcast_to(recorded(b), places.shape))]
    places = np.ravel(places)
    for turn in _turns(places):
        key = np.unravel_index(places[turn], a.shape)
        a[key] = ufunc(a[key], *(x[turn] for x in operands))


def _turns(places: np.ndarray) -> list[np.ndarray]:
    """Where each place occurs for the first time, where for the second, and so on."""
    order = np.argsort(places, kind="stable")
    position = np.arange(len(places))
    new = np.diff(places[order], prepend=-1) != 0
    turn = np.empty_like(position)
    turn[order] = position - np.maximum.accumulate(np.where(new, position, 0))
    return [np.flatnonzero(turn == k) for k in range(turn.max(initial=-1) + 1)]


METHODS: dict[str, Any] = {
    "reduce": _reduce, "accumulate": _accumulate, "outer": _outer, "reduceat": _reduceat,
}  # fmt: skip
