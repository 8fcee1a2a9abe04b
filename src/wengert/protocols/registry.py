"""The tables of the NumPy protocols, and what the implementations share.

An implementation is an ordinary function over Vars, arrays and scalars that appends ops with `record`.
`implements` files it under the NumPy functions that it answers to; `wengert.numpy` offers it under the same
names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import Function, Tape, Var, current, is_recorded, ops, record, set_current

OPS = {op.name: op.code for op in ops()}

FUNCTIONS: dict[Any, Callable] = {}  # NumPy array function or ufunc -> implementation
METHODS: dict[str, Callable] = {}  # name of a Var's method -> implementation
NAMESPACE: dict[str, Any] = {}  # name in wengert.numpy -> function for Vars and plain arrays alike


def unsupported(name: str) -> TypeError:
    """What is raised for a function of NumPy's or SciPy's that does not take a Var."""
    return TypeError(
        f"{name} is not supported on a Var ({METHODS['line']()}); compute it from functions that wengert has "
        f"(see wengert.numpy), or use v.value for a constant"
    )


def rely_on(tape: Any, arrays: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Lets what a tape and those around it record serve only while arrays keep their contents."""
    while tape is not None and tape.abstract:
        tape.relied += arrays
        tape = tape.parent


def mirrored(plain: Callable, implementation: Callable, module: str | None = None, **how: Any) -> Function:
    """What computes as `plain`, and by the implementation where there is something to record; named as the
    former in a module, by default the latter's."""
    public: Any = functools.update_wrapper(Function(plain, implementation, **how), implementation)
    public.__name__ = public.__qualname__ = plain.__name__
    public.__module__ = module or implementation.__module__
    return public


def implements(
    *functions: Any, names: tuple[str, ...] = (), computes: str | None = None
) -> Callable[[Callable], Callable]:
    """Files an implementation under NumPy functions, their names in `wengert.numpy`, and further names there.

    None stands for a function that this version of NumPy does not have.  Returns the function of
    `wengert.numpy`, which computes with NumPy where there is nothing to record, or by the op `computes`.
    """

    def file(implementation: Callable) -> Callable:
        present = [function for function in functions if function is not None]
        if not present:
            return implementation
        op = OPS[computes] if computes else -1
        for function in reversed(present):  # each computes what is plain by itself
            public = mirrored(function, implementation, "wengert.numpy", op=op, computes=bool(computes))
            FUNCTIONS[function] = public if computes else implementation
            NAMESPACE[function.__name__] = public
        NAMESPACE.update(dict.fromkeys(names, public))
        return public

    return file


def extra(implementation: Callable, op: int = -1) -> Callable:
    """Files a function of an array that NumPy does not have; plain arrays are computed on a passing tape.

    With `op`, all that it does is append that op.
    """

    def plain(x, *args, **kwargs):
        before = set_current(None)
        try:
            found = implementation(Tape().as_var(x), *args, **kwargs)
            return tuple(part.value for part in found) if isinstance(found, tuple) else found.value
        finally:
            set_current(before)

    function = functools.update_wrapper(Function(plain, implementation, op, appends=op >= 0), implementation)
    NAMESPACE[implementation.__name__] = function
    return function


def method(*names: str) -> Callable[[Callable], Callable]:
    """Files an implementation as methods of Var."""

    def file(implementation: Callable) -> Callable:
        METHODS.update(dict.fromkeys(names, implementation))
        return implementation

    return file


def operand(x: Any) -> Any:
    """`x` as something with a shape and a dtype: a Var or an ndarray.  Lists with Vars inside are stacked."""
    if isinstance(x, (Var, np.ndarray)):
        return x
    if isinstance(x, (list, tuple)) and is_recorded(x):
        return NAMESPACE["array"](x)
    return np.asarray(x)


def recorded(x: Any) -> Any:
    """As `operand`; while `wg.compile` records, an array is a Var too, for it is read anew at each replay."""
    x = operand(x)
    tape = current()
    if isinstance(x, Var) or tape is None or not tape.abstract:
        return x
    return tape.as_var(x)


def refuse_options(name: str, **options: Any) -> None:
    """Raises TypeError for NumPy's options that a Var does not take; None and defaults are not given."""
    for option, value in options.items():
        if value is not None and value is not np._NoValue and (option, value) != ("casting", "same_kind"):
            raise TypeError(
                f"{name}: the argument {option}= is not supported on a Var ({METHODS['line']()}); "
                f"compute without it"
            )


def into(out: Any, result: Any) -> Any:
    """A result; where `out` is given that array, after the result has been written to it."""
    if out is None or out is np._NoValue:
        return result
    if not isinstance(out, Var):
        raise TypeError(
            f"out= ({METHODS['line']()}): a Var in a plain array would lose its derivative; leave out= away"
        )
    out[...] = result
    return out


def normalize_axis(axis: Any, ndim: int) -> int:
    """An axis counted from the front; NumPy's AxisError where there is no such axis."""
    if isinstance(axis, Var):
        raise TypeError(
            "an axis must be a Python integer, not a Var; pass it as a static argument (static_argnums)"
        )
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return int(axis) % ndim


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, all of them for None."""
    if axis is None or (not ndim and axis in (0, -1)):  # of numbers NumPy takes these too
        return tuple(range(ndim))
    axes = tuple(normalize_axis(a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"an axis is repeated in {axis}")
    return axes


def dims(shape: Any) -> tuple[int, ...]:
    """A shape given as an integer or a sequence of integers, as a tuple."""
    if isinstance(shape, Var) or (
        isinstance(shape, (tuple, list)) and any(isinstance(n, Var) for n in shape)
    ):
        raise TypeError(
            "a shape consists of Python integers, not Vars; pass them as static arguments (static_argnums)"
        )
    return tuple(int(n) for n in shape) if isinstance(shape, (tuple, list)) else (int(shape),)


def append(name: str, *operands: Any, attrs: tuple = ()) -> Var:
    """Appends the op of this name."""
    return record(OPS[name], operands, attrs)


def sharing(function: Callable, of_numbers: bool = False, most: int = 0) -> Callable:
    """As users call a function: results of `most` axes at most are arrays that may be views (`Var.share`), or
    numbers where the argument is one."""

    @functools.wraps(function)
    def public(a: Any, *args: Any, **kwargs: Any) -> Any:
        v = function(a, *args, **kwargs)
        fresh = isinstance(v, Var) and v is not a and v.ndim <= most
        return v.share() if fresh and (of_numbers or not (isinstance(a, Var) and a.is_number)) else v

    return public
