"""ndarray's attributes and methods beyond those that Var itself has."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._core import Var
from .refusals import users_line
from .registry import FUNCTIONS, method

# Methods that are functions of NumPy's by the same name.
SAME = ("argpartition", "choose", "compress", "diagonal", "nonzero", "put", "round", "searchsorted", "trace")
IN_PLACE = ("sort", "partition")
PROPERTIES = {
    "itemsize": lambda v: v.dtype.itemsize,
    "mT": lambda v: FUNCTIONS[np.matrix_transpose](v),
    "nbytes": lambda v: v.size * v.dtype.itemsize,
}


@method("attribute")
def attribute(v: Var, name: str) -> Any:
    """What Var has under a name that its class does not know."""
    if name in SAME:
        function = FUNCTIONS[getattr(np, name)]
        if name == "compress":  # the condition comes first
            return lambda condition, *args, **kwargs: function(condition, v, *args, **kwargs)
        return functools.partial(function, v)
    if name in IN_PLACE:
        function = FUNCTIONS[getattr(np, name)]
        return lambda *args, **kwargs: v.__setitem__(..., function(v, *args, **kwargs))
    if name == "fill":
        return functools.partial(v.__setitem__, Ellipsis)
    if name in PROPERTIES:
        return PROPERTIES[name](v)
    way_out = "; it has ndarray's, v.value, v.grad(), v.tape; v[i] = w writes; wg.stop_gradient(v) detaches"
    if hasattr(np.ndarray, name) and not name.startswith("_"):
        way_out = f" ({users_line()}): use a function of NumPy's, or v.value.{name} for plain numbers"
    raise AttributeError(f"a Var has no {name!r}{way_out}")
