"""numpy.linalg for Vars and plain arrays alike; see `wengert.numpy`."""

from typing import Any

import numpy as _numpy

from ..hosted import LINALG as _LINALG
from ..hosted import linalg as _linalg

globals().update(_LINALG)
assert _linalg.__name__  # it fills the table


def __getattr__(name: str) -> Any:
    return getattr(_numpy.linalg, name)
