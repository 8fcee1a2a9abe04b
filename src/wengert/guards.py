"""What a recorded function may see change: closure cells, defaults and globals that its own code names.

They are compared by identity before each replay.  Callees are followed only through `__wrapped__`, so that
`compile(grad(f))` watches `f`.
"""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from . import _core
from ._core import MISSING


class Guards(_core.Guards):
    """The objects that a function's code refers to by name, as they were when it was recorded."""

    def __init__(self, f: Callable[..., Any]):
        functions = list(_functions(f))
        self.relied = []  # filled in once the function is recorded
        self.cells = [(cell, _contents(cell)) for g in functions for cell in g.__closure__ or ()]
        self.attributes = [(g, g.__defaults__, dict(g.__kwdefaults__ or {})) for g in functions]
        self.names = [
            (g.__globals__, name, g.__globals__.get(name, MISSING))
            for g in functions
            for name in sorted(_global_names(g.__code__))
        ]


def _functions(f: Any) -> Iterator[types.FunctionType]:
    """The Python functions that are called under the name of `f`, without this package's own wrappers."""
    while f is not None:
        if isinstance(f, functools.partial):
            f = f.func
        elif isinstance(f, types.MethodType):
            f = f.__func__
        elif isinstance(f, types.FunctionType):
            if f.__globals__.get("__name__", "").partition(".")[0] != __name__.partition(".")[0]:
                yield f
            f = getattr(f, "__wrapped__", None)
        else:
            # An object that can be called: one that wraps a function, or an instance of a class.
            f = getattr(f, "__wrapped__", None) or vars(type(f)).get("__call__")
            if not isinstance(f, (types.FunctionType, types.MethodType, functools.partial)):
                return


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the variable is not assigned yet
        return MISSING


@functools.lru_cache(maxsize=256)
def _global_names(code: types.CodeType) -> frozenset[str]:
    """The globals that a code object reads, functions and comprehensions defined inside it included."""
    names = {
        step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    inner = [_global_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return frozenset(names.union(*inner))
