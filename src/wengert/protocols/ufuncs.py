"""What NumPy's ufuncs do with a Var beyond a plain call: keyword arguments and their methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Var, record, register
from . import elementwise
from .indexing import add_at
from .movement import astype, moveaxis, reshape, stack
from .registry import FUNCTIONS, NAMESPACE, WAY_OUT, normalize_axes, normalize_axis, recorded, refuse_options

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
    targets = [x for x in (out if isinstance(out, tuple) else (out,)) if x is not None]
    for target in targets:
        if not isinstance(target, Var):
            raise TypeError(
                f"np.{ufunc.__name__}: writing a Var into a plain array (out=, or +=, -=, *= on an ndarray) "
                f"would drop the derivative; write a = a + v instead of a += v"
            )
    if method == "__call__":
        return _written(ufunc, targets, _call(ufunc, inputs, targets, **kwargs))
    if method not in METHODS or ufunc.nin != 2:
        raise TypeError(f"np.{ufunc.__name__}.{method} is not supported on a Var; {WAY_OUT}")
    return _written(ufunc, targets, METHODS[method](ufunc, *inputs, **kwargs))


def _call(
    ufunc: Any, inputs: tuple, targets: list, where: Any = True, dtype: Any = None, **options: Any
) -> Any:
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
    if not targets:
        raise TypeError(
            f"np.{ufunc.__name__}: where= without out= leaves elements unset; use np.where(mask, ..., value)"
        )
    return NAMESPACE["where"](where, result, targets[0])


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
            raise TypeError(f"the ufunc {ufunc.__name__} is not supported on a Var; {WAY_OUT}")
        register(ufuncs={ufunc: code})
    return record(code, inputs)


def _written(ufunc: Any, targets: list, result: Any) -> Any:
    """The result, or the Var of `out` after it has been written there."""
    if not targets:
        return result
    if len(targets) > 1 or isinstance(result, tuple):
        raise TypeError(f"np.{ufunc.__name__}: several out= are not supported on a Var; use the results")
    targets[0][...] = result
    return targets[0]


def _reduce(
    ufunc: Any, array: Any, axis: Any = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None,
    where: Any = True,
) -> Any:  # fmt: skip
    """The function folded over axes, by the reduction that has a name where there is one."""
    a = recorded(array)
    a = a if dtype is None else astype(a, dtype)
    if where is not True:
        if ufunc.identity is None:
            raise TypeError(f"np.{ufunc.__name__}.reduce: where= is not supported on a Var; use np.where")
        a = NAMESPACE["where"](where, a, ufunc.identity)
    axes = normalize_axes(axis, a.ndim)
    if ufunc in REDUCTIONS:
        result = NAMESPACE[REDUCTIONS[ufunc]](a, axis=axes, keepdims=keepdims)
    else:
        if len(axes) != 1:
            raise TypeError(f"np.{ufunc.__name__}.reduce over several axes is not supported on a Var")
        result = _fold(ufunc, a, axes[0])[-1]
        result = NAMESPACE["expand_dims"](result, axes[0]) if keepdims else result
    initial = None if initial is np._NoValue else initial
    return result if initial is None else ufunc(initial, result)


def _fold(ufunc: Any, a: Any, axis: int) -> list[Any]:
    rows = moveaxis(a, axis, 0)
    if not rows.shape[0]:
        raise ValueError(f"np.{ufunc.__name__}: reduction of an empty axis")
    results = [rows[0]]
    for k in range(1, rows.shape[0]):
        results.append(ufunc(results[-1], rows[k]))
    return results


def _accumulate(ufunc: Any, array: Any, axis: int = 0, dtype: Any = None) -> Any:
    """All intermediate results of a fold along an axis."""
    a = recorded(array)
    a = a if dtype is None else astype(a, dtype)
    axis = normalize_axis(axis, a.ndim)
    if ufunc in RUNNING:
        return NAMESPACE[RUNNING[ufunc]](a, axis=axis)
    return stack(_fold(ufunc, a, axis), axis)


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
    if not isinstance(a, Var):
        raise TypeError(
            f"np.{ufunc.__name__}.at: writing a Var into a plain array would drop the derivative; use "
            f"wengert.numpy.index_add(a, indices, v), which returns a Var"
        )
    if ufunc not in (np.add, np.subtract):
        raise TypeError(f"np.{ufunc.__name__}.at is not supported on a Var; np.add.at and np.subtract.at are")
    add_at(a, indices, b if ufunc is np.add else NAMESPACE["negative"](recorded(b)))


METHODS: dict[str, Any] = {"reduce": _reduce, "accumulate": _accumulate, "outer": _outer}
