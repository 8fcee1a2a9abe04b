"""NumPy's protocols: what `np.tanh(v)`, `np.sum(v)` and `v[i]` do with a Var.

What is not filed here raises a TypeError that names it: a derivative is never dropped silently.
tests/test_numpy_coverage.py holds that for all that NumPy lets others override.
"""

from __future__ import annotations

from typing import Any

from .._core import register
from . import (
    arranging,
    attributes,
    calculus,
    choosing,
    constants,
    contracting,
    elementwise,
    indexing,
    movement,
    patterns,
    polynomials,
    products,
    quotients,
    reductions,
    refusals,
    sorting,
    statistics,
    ufuncs,
)
from .registry import FUNCTIONS, METHODS, NAMESPACE, unsupported

__all__ = [
    "FUNCTIONS", "NAMESPACE", "arranging", "attributes", "calculus", "choosing", "constants", "contracting",
    "elementwise", "indexing", "movement", "patterns", "polynomials", "products", "quotients", "reductions",
    "refusals", "sorting", "statistics", "ufuncs",
]  # fmt: skip


def array_function(function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
    """Answers `__array_function__`."""
    implementation = FUNCTIONS.get(function)
    if implementation is None:
        from ..hosted import fft, linalg  # noqa: F401  file what NumPy computes, loaded when first asked for

        if function.__name__ == "i0":  # which SciPy computes
            from ..scipy import special  # noqa: F401  files it, as the others above
        implementation = FUNCTIONS.get(function)
    if implementation is None:
        module = getattr(function, "__module__", "numpy") or "numpy"
        raise unsupported(f"{module}.{function.__name__}")
    return implementation(*args, **kwargs)


METHODS |= {name: NAMESPACE[name] for name in ("sum", "prod", "max", "min")}  # which look for the short way
register(METHODS, elementwise.UFUNCS, ufuncs.array_ufunc, array_function)
