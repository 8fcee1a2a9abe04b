"""NumPy's own part of a ufunc of foreign objects: finding their `__array_ufunc__` and calling it."""

import numpy as np

from ..harness import Unavailable
from ..workloads import BY_UFUNCS, Call, Scalar


class Idle:
    """Its ufuncs do nothing."""

    def __array_ufunc__(self, *args, **kwargs):
        return self


def about(_threads: int) -> dict[str, object]:
    """NumPy's version."""
    return {"version": np.__version__}


def eager(scalar: Scalar, kind: str) -> Call:
    """As many ufuncs as are recorded; there are no numbers to check."""
    if kind != BY_UFUNCS:
        raise Unavailable("it is measured with NumPy's ufuncs only")
    idle = Idle()
    return Call(lambda: scalar.function(np, idle), lambda: None, scalar.operations)
