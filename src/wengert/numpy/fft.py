"""numpy.fft for Vars and plain arrays alike; see `wengert.numpy`."""

from typing import Any

import numpy as _numpy

from ..hosted import FFT as _FFT
from ..hosted import fft as _fft

globals().update(_FFT)
assert _fft.__name__  # it fills the table


def __getattr__(name: str) -> Any:
    return getattr(_numpy.fft, name)
