"""What a Var says where its derivative would be lost, and what finds the op that made the first NaN."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np

from .._core import Var, watch
from .registry import method

_LIBRARIES = frozenset(("numpy", "scipy", "wengert"))
_MIRRORS = ("scipy.linalg", "scipy.signal", "scipy.special", "scipy.stats")


def _callers() -> tuple[str, str | None]:
    """The innermost line of code that is neither Python's, NumPy's, SciPy's nor ours, and the function of
    SciPy's or of numpy.random's that it called."""
    frame: FrameType | None = sys._getframe(1)
    called = None
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in _LIBRARIES | sys.stdlib_module_names:
            return f"{frame.f_code.co_filename}, line {frame.f_lineno}", called
        if module.startswith("scipy"):
            called = f"{'.'.join(module.split('.')[:2])} ({frame.f_code.co_name})"
        frame = frame.f_back
    return "an unknown line", called


@method("line")
def users_line() -> str:
    """Where the user's code is."""
    return _callers()[0]


@method("refusal")
def refusal(what: str, instead: str) -> str:
    """The message of a TypeError."""
    line, called = _callers()
    if called is not None:
        package = called.split(" ")[0]
        mirror = (
            f"use wengert.{package} where that has the function"
            if package in _MIRRORS
            else "write it in NumPy code, or give it a derivative (wg.implicit_root, wg.custom_vjp)"
        )
        return (
            f"{called} cannot be differentiated, for it turns a Var into plain numbers ({line}): {mirror}, "
            f"or pass v.value for the plain number"
        )
    return (
        f"{what} would drop the derivative ({line}): use the NumPy function on the Var ({instead}), "
        f"wengert.random for random numbers, wg.host_call for what is no NumPy code, or v.value for the "
        f"plain number"
    )


def written_to(name: str, a: Any, way_out: str = "write to a Var, or use np.where") -> Var:
    """The array that a function writes to, which is to be a Var."""
    if not isinstance(a, Var):
        raise TypeError(
            f"np.{name}: writing a Var into a plain array would drop the derivative "
            f"({users_line()}); {way_out}"
        )
    return a


# ---- NaN ----------------------------------------------------------------------------------------------


def _has_nan(tape: Any, index: int) -> bool:
    node = tape.node(index)
    return node.has_value and node.dtype.kind in "fc" and bool(np.isnan(tape.value(index)).any())


@method("look")
def look(v: Var) -> None:
    """Raises FloatingPointError for a Var with a NaN, naming the operation that made the first one."""
    tape = v.tape
    before = watch(False)  # while looking
    try:
        if tape.abstract or not _has_nan(tape, v.index):
            return
        first = next(k for k in range(len(tape)) if _has_nan(tape, k))
        node = tape.node(first)
        operands = ", ".join(str(np.asarray(tape.value(k))) for k in node.inputs if tape.node(k).has_value)
        raise FloatingPointError(
            f"{node.op} made a NaN: node %{first} of shape {node.shape}, noticed at {users_line()}"
            + (f"; its operands: {operands[:200]}" if operands else "")
        )
    finally:
        watch(before)


class debug_nans:  # noqa: N801  a context manager
    """Raises FloatingPointError at the first operation whose result has a NaN, naming it and the line.

    Every operation of an eager tape is looked at, those of derivatives too.  While it is on, what would be
    recorded and run as a whole (`compile`, `vmap`, `scan`, `checkpoint`) is run operation by operation; of a
    custom rule's function and of `wg.host_call` the call is named.  It ends with its `with` statement, or by
    `debug_nans(False)`.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> with wg.debug_nans():
    ...     wg.grad(lambda x: np.log(x - 2) * x)(1.0)
    Traceback (most recent call last):
    FloatingPointError: log made a NaN: node %5 of shape (), noticed at ...
    """

    def __init__(self, on: bool = True):
        self._before = watch(on)

    def __enter__(self) -> debug_nans:
        return self

    def __exit__(self, *error: object) -> None:
        watch(self._before)
