"""Functions that are no NumPy code, with derivatives by hand: HIPS autograd's `primitive` and `defvjp`.

Examples
--------
>>> import numpy as np, wengert as wg
>>> from wengert.extend import primitive, defvjp
>>> @primitive
... def logsumexp(x):
...     top = np.max(x)
...     return top + np.log(np.sum(np.exp(x - top)))
>>> defvjp(logsumexp, lambda ans, x: lambda g: g * np.exp(x - ans))
>>> wg.grad(lambda x: logsumexp(x) * x[0])(np.zeros(2)).round(4)
array([0.6931, 0.    ])
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._core import Var
from .hosted import call, custom_vjp
from .protocols.registry import is_recorded

__all__ = ["defvjp", "primitive"]


class primitive:  # noqa: N801  a decorator
    """A function of plain arrays, used on Vars as one operation; `defvjp` gives its derivative.

    While a function is compiled it is called once with ones to learn the shape of its result.
    """

    def __init__(self, f: Callable):
        functools.update_wrapper(self, f)
        self._f = f
        self._rules: dict[int, Callable | None] = {}
        self._hosts: dict[Any, Callable] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not is_recorded(args):
            return self._f(*args, **kwargs)
        moving = [k for k, x in enumerate(args) if isinstance(x, (Var, np.ndarray))]
        fixed = {k: x for k, x in enumerate(args) if k not in moving}
        return self._custom(moving, fixed, kwargs)(*(args[k] for k in moving))

    def _host(self, moving: list[int], fixed: dict[int, Any], kwargs: dict) -> Callable:
        """The function of its arrays alone; kept, for a tape that calls it may live long."""
        key = (tuple(moving), tuple(fixed.items()), tuple(kwargs.items()))
        if key not in self._hosts:
            self._hosts[key] = lambda *arrays: self._f(*_merged(moving, arrays, fixed), **kwargs)
        return self._hosts[key]

    def _custom(self, moving: list[int], fixed: dict[int, Any], kwargs: dict) -> Callable:
        host = self._host(moving, fixed, kwargs)

        @custom_vjp
        @functools.wraps(self._f)
        def function(*arrays):
            like = np.asarray(host(*(np.ones(x.shape, x.dtype) for x in arrays)))
            return call(host, *arrays, shape=like.shape, dtype=like.dtype, stacks=False)

        def forward(*arrays):
            answer = function(*arrays)
            return answer, (answer, arrays)

        def backward(residuals, g):
            answer, arrays = residuals
            args = _merged(moving, arrays, fixed)
            return tuple(self._rule(k)(answer, *args, **kwargs)(g) if self._rule(k) else None for k in moving)

        function.defvjp(forward, backward)
        return function

    def _rule(self, k: int) -> Any:
        if k not in self._rules:
            raise TypeError(
                f"{self.__name__}: no derivative was defined by argument {k}; give it one with "  # type: ignore[attr-defined]
                f"wengert.extend.defvjp, or None for zero"
            )
        return self._rules[k]


def _merged(moving: list[int], arrays: Sequence[Any], fixed: dict[int, Any]) -> list[Any]:
    values = dict(zip(moving, arrays, strict=True)) | fixed
    return [values[k] for k in range(len(values))]


def defvjp(function: primitive, *makers: Callable | None, argnums: Sequence[int] | None = None) -> None:
    """Gives a primitive its derivative.

    Parameters
    ----------
    function : primitive
    *makers : callable
        For each argument in turn, or for those in `argnums`: a function of the answer and of all arguments
        that returns a function from the cotangent of the answer to that of the argument; None for zero.
    """
    numbers = range(len(makers)) if argnums is None else argnums
    function._rules.update(zip(numbers, makers, strict=True))
