"""NumPy's protocols: what `np.tanh(v)`, `np.sum(v)` and `v[i]` do with a Var.

A function that is not implemented raises a TypeError that names it: a derivative is never dropped silently.
"""

from __future__ import annotations

from typing import Any

from .._core import record, register
from . import elementwise, indexing, movement, products, reductions
from .registry import FUNCTIONS, METHODS, NAMESPACE

__all__ = ["FUNCTIONS", "NAMESPACE", "elementwise", "indexing", "movement", "products", "reductions"]

_WAY_OUT = "compute it from functions that wengert has (see wengert.numpy), or use v.value for a constant"


def array_ufunc(ufunc: Any, method: str, inputs: tuple, kwargs: dict) -> Any:
    """Answers `__array_ufunc__` for what the binding's own table of plain ufuncs does not know."""
    name = ufunc.__name__
    if method != "__call__":
        raise TypeError(f"np.{name}.{method} is not supported on a Var; {_WAY_OUT}")
    if kwargs.get("out") is not None:
        raise TypeError(
            f"np.{name}: writing a Var into a plain array (out=, or +=, -=, *= on an ndarray) would drop the "
            f"derivative; write a = a + v instead of a += v"
        )
    if kwargs:
        raise TypeError(
            f"np.{name}: the argument {next(iter(kwargs))}= is not supported on a Var; compute without it"
        )
    implementation = FUNCTIONS.get(ufunc)
    if implementation is not None:
        return implementation(*inputs)
    code = elementwise.BY_NAME.get(name)  # scipy.special's ufuncs bear the names of the table
    if code is None or len(inputs) != ufunc.nin:
        raise TypeError(f"the ufunc {name} is not supported on a Var; {_WAY_OUT}")
    register(ufuncs={ufunc: code})
    return record(code, inputs)


def array_function(function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
    """Answers `__array_function__`."""
    implementation = FUNCTIONS.get(function)
    if implementation is None:
        module = getattr(function, "__module__", "numpy") or "numpy"
        raise TypeError(f"{module}.{function.__name__} is not supported on a Var; {_WAY_OUT}")
    return implementation(*args, **kwargs)


register(METHODS, elementwise.UFUNCS, array_ufunc, array_function)
