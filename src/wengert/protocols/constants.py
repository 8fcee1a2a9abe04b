"""Functions whose results are constants: integers, booleans, text, sizes.  No derivative flows through them.

They are computed by NumPy from the values of Vars.  While a function is compiled there are no values, and a
call raises by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Var, current
from .refusals import users_line
from .registry import FUNCTIONS, is_recorded, rely_on

CONSTANT: set[Any] = set()  # those of FUNCTIONS whose results carry no derivative


def known(name: str, x: Any) -> Any:
    """The values of an argument that decides about a shape, an order or a count; Vars also inside lists."""
    if isinstance(x, Var):
        if x.tape.abstract:
            raise TypeError(
                f"np.{name} ({users_line()}) looks at values, which are unknown while a function is "
                f"compiled; compute it outside and pass it as an argument, or name that in static_argnums"
            )
        return x.value
    if isinstance(x, np.ndarray):
        rely_on(current(), [(x, x.copy())])
    if isinstance(x, (list, tuple)) and is_recorded(x):
        return type(x)([known(name, entry) for entry in x])
    return x


def _constant(function: Any, name: str) -> Any:
    def implementation(*args: Any, **kwargs: Any) -> Any:
        return function(
            *(known(name, x) for x in args), **{option: known(name, x) for option, x in kwargs.items()}
        )

    return implementation


_NAMES = """
    allclose argwhere array2string array_equal array_equiv array_repr array_str bitwise_count
    digitize flatnonzero gcd histogram_bin_edges isin isnat ix_ lcm lexsort
    nanargmax nanargmin nonzero packbits ravel_multi_index searchsorted unpackbits
    unravel_index
""".split()
for _name in _NAMES:
    if hasattr(np, _name):
        FUNCTIONS[getattr(np, _name)] = _constant(getattr(np, _name), _name)
        CONSTANT.add(getattr(np, _name))


# Of types and shapes alone: these are known while a function is compiled, too.
def _of_type(function: Any) -> Any:
    def implementation(*args: Any, **kwargs: Any) -> Any:
        stand_ins = [np.empty(x.shape, x.dtype) if isinstance(x, Var) else x for x in args]
        return function(*stand_ins, **kwargs)

    return implementation


for _name in (
    "can_cast", "common_type", "diag_indices_from", "iscomplexobj", "isrealobj", "min_scalar_type",
    "tril_indices_from", "triu_indices_from", "einsum_path",
):  # fmt: skip
    FUNCTIONS[getattr(np, _name)] = _of_type(getattr(np, _name))
    CONSTANT.add(getattr(np, _name))
CONSTANT |= {np.shape, np.ndim, np.size, np.result_type}


def _histogram(function: Any, name: str) -> Any:
    """Counts are constants; with weights that are Vars they would not be."""
    constant = _constant(function, name)

    def implementation(*args: Any, weights: Any = None, **kwargs: Any) -> Any:
        if isinstance(weights, Var):
            raise TypeError(
                f"np.{name}: weights that are Vars would lose their derivative; count with "
                f"np.add.at(np.zeros_like(...), indices, weights), the indices from np.digitize"
            )
        return constant(*args, weights=weights, **kwargs)

    return implementation


for _name in ("histogram", "histogram2d", "histogramdd"):
    FUNCTIONS[getattr(np, _name)] = _histogram(getattr(np, _name), _name)
    CONSTANT.add(getattr(np, _name))
