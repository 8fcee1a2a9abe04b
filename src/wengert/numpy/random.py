"""numpy.random: plain numbers, drawn whenever Python runs; `wengert.random` has those of programs."""

from typing import Any

import numpy as _numpy


def __getattr__(name: str) -> Any:
    return getattr(_numpy.random, name)
