"""Functions that are no NumPy code, with derivatives by hand, as HIPS autograd's `primitive` and `defvjp`.

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

import copy
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ._core import Var
from .hosted import call, custom_jvp, custom_vjp
from .protocols.registry import is_recorded
from .tape import recording_on

__all__ = ["defjvp", "defvjp", "host_call", "primitive"]


def host_call(f: Callable, shape: Any, dtype: Any = float, vjp: Callable | None = None) -> Any:
    """A Python function of plain arrays as one operation, called anew at each replay.

    A compiled function calls it once for the same operands, and not at all where nothing reads the result.

    Parameters
    ----------
    f : callable
        Takes arrays to one array.
    shape : tuple of int, or callable
        Of the result; a callable takes the arguments' shapes to it.
    dtype : dtype
        Of the result.
    vjp : callable, optional
        The rule, in code that can be differentiated: takes a cotangent of the result, the result and the
        arguments to a tuple of their cotangents, None for zero.  It serves both modes, to any order.

    Returns
    -------
    callable
        Takes arrays and Vars.  Under `vmap` it calls `f` once for each element.

    Raises
    ------
    TypeError
        From a derivative, where there is no rule.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> from scipy.special import erfcx
    >>> f = wg.host_call(erfcx, np.broadcast_shapes, vjp=lambda g, y, x: (g * 2 * (x * y - np.pi**-0.5),))
    >>> wg.grad(f)(1.0) == 2 * (erfcx(1.0) - np.pi**-0.5)
    np.True_
    """

    @functools.wraps(f, updated=())
    def host(*arrays):
        return np.asarray(_unrecorded(f, *arrays), dtype)

    @functools.wraps(f, updated=())
    def copying(*arrays):
        return host(*map(np.array, arrays))

    @functools.wraps(f, updated=())
    def function(*arrays):
        shapes = [np.shape(x) for x in arrays]
        if not is_recorded(arrays):
            return host(*arrays)[()]
        return call(
            copying, *arrays, shape=shape(*shapes) if callable(shape) else shape, dtype=dtype, stacks=False
        )

    custom: Any = custom_vjp(function)

    def forward(*arrays):
        y = custom(*arrays)
        return y, (y, *arrays)

    def backward(residuals, g):
        if vjp is None:
            raise TypeError(
                f"host_call: {getattr(f, '__name__', f)} has no derivative; pass its rule as vjp=, or stop "
                f"those of its arguments with wg.stop_gradient"
            )
        return tuple(vjp(g, *residuals))

    custom.defvjp(forward, backward)
    return custom


def _unrecorded(f: Callable, *args: Any, **kwargs: Any) -> Any:
    """What `f` returns; wengert.numpy's functions compute, whatever is being recorded."""
    with recording_on(None):
        return f(*args, **kwargs)


class primitive:  # noqa: N801  a decorator
    """A function of plain arrays, used on Vars as one operation; `defvjp` or `defjvp` gives its derivative.

    Either serves both modes, to any order; where both are given the former counts.

    It is called once with ones, for each shape and dtype of its arguments, to learn those of its result.
    """

    def __init__(self, f: Callable):
        functools.update_wrapper(self, f)
        self.__name__: str = getattr(f, "__name__", repr(f))
        self._f = f
        self._rules: dict[int, Callable | None] = {}
        self._forward: dict[int, Callable | str | None] = {}
        self._hosts: dict[Any, tuple[Callable, dict]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not is_recorded(args):
            return self._f(*args, **kwargs)
        moving = [k for k, x in enumerate(args) if isinstance(x, (Var, np.ndarray))]
        fixed = {k: x for k, x in enumerate(args) if k not in moving}
        for k, x in (*fixed.items(), *kwargs.items()):
            if is_recorded((x,)):
                raise TypeError(
                    f"{self.__name__}: argument {k} is or holds arrays or Vars; pass them by position"
                )
        try:
            hash((*fixed.values(), *kwargs.values()))
        except TypeError:  # a list or dict, which may change
            fixed, kwargs = copy.deepcopy((fixed, kwargs))
        return self._custom(moving, fixed, kwargs)(*(args[k] for k in moving))

    def _host(self, moving: list[int], fixed: dict[int, Any], kwargs: dict) -> tuple[Callable, dict]:
        """The function of its arrays alone, and what it returns, by their kinds; kept: tapes live long."""
        key = (tuple(moving), *((k, type(x), x) for k, x in (*fixed.items(), *kwargs.items())))

        def host(*arrays):
            return _unrecorded(self._f, *_merged(moving, map(np.array, arrays), fixed), **kwargs)

        try:
            return self._hosts.setdefault(key, (host, {}))
        except TypeError:  # an argument without a hash: a function for this call alone
            return host, {}

    def _custom(self, moving: list[int], fixed: dict[int, Any], kwargs: dict) -> Callable:
        host, known = self._host(moving, fixed, kwargs)

        @functools.wraps(self._f)
        def function(*arrays):
            kinds = tuple((x.shape, x.dtype) for x in arrays)
            if kinds not in known:
                like = np.asarray(host(*(np.ones(*kind) for kind in kinds)))
                known[kinds] = {"shape": like.shape, "dtype": like.dtype}
            return call(host, *arrays, **known[kinds], stacks=False)

        if self._forward and not self._rules:
            return self._of_tangents(custom_jvp(function), moving, fixed, kwargs)
        custom: Any = custom_vjp(function)

        def forward(*arrays):
            answer = custom(*arrays)
            return answer, (answer, arrays)

        def backward(residuals, g):
            answer, arrays = residuals
            args = _merged(moving, arrays, fixed)
            rules = [self._rule(self._rules, k) for k in moving]
            return tuple(rule(answer, *args, **kwargs)(g) if rule else None for rule in rules)

        custom.defvjp(forward, backward)
        return custom

    def _of_tangents(self, function: Any, moving: list[int], fixed: dict[int, Any], kwargs: dict) -> Callable:
        @function.defjvp
        def rule(primals, tangents):
            answer, args = function(*primals), _merged(moving, primals, fixed)
            terms: list[Any] = []
            for k, g in zip(moving, tangents, strict=True):
                slope = self._rule(self._forward, k)
                if slope == "same":
                    raise TypeError(
                        f"{self.__name__}: a derivative by argument {k} that is the function itself "
                        f"says nothing of reverse mode; give it one with defvjp, which serves both"
                    )
                if slope is not None:
                    terms.append(slope(g, answer, *args, **kwargs))
            return answer, sum(terms[1:], terms[0]) if terms else answer * 0.0

        return function

    def _rule(self, rules: dict[int, Any], k: int) -> Any:
        if k not in rules:
            raise TypeError(
                f"{self.__name__}: no derivative was defined by argument {k}; give it one with "
                f"wengert.extend.defvjp (or defjvp), or None for zero"
            )
        return rules[k]


def _merged(moving: list[int], arrays: Iterable[Any], fixed: dict[int, Any]) -> list[Any]:
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


def defjvp(function: primitive, *slopes: Callable | str | None, argnums: Sequence[int] | None = None) -> None:
    """Gives a primitive its derivative in forward mode.

    Parameters
    ----------
    function : primitive
    *slopes : callable, "same" or None
        For each argument in turn, or for those in `argnums`: a function of the argument's tangent, of the
        answer and of all arguments that returns the tangent of the answer; None for zero.  "same", for the
        function itself, needs `defvjp` too.
    """
    numbers = range(len(slopes)) if argnums is None else argnums
    function._forward.update(zip(numbers, slopes, strict=True))
