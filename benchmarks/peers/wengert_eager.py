"""wengert without compile: every call records the tape anew."""

import numpy as np

import wengert as wg

from ..workloads import BY_UFUNCS, Call, Net, Scalar
from . import wengert
from .wengert import about

__all__ = ["about", "eager", "train"]


def train(net: Net, kind: str) -> Call:
    """As compiled, but each op runs when it is recorded."""
    return wengert.train(net, kind, compile=lambda f, **_donation: f)


def eager(scalar: Scalar, kind: str) -> Call:
    """The gradient by wg.grad, or the recording of the function with wengert.numpy's or NumPy's names."""
    x, space = scalar.start(), np if kind == BY_UFUNCS else wg.numpy
    if kind == "gradient":
        gradient = wg.grad(lambda x: scalar.function(wg.numpy, x))
        return Call(lambda: gradient(x), lambda: np.asarray(gradient(x)))

    def record():
        return scalar.function(space, wg.Tape().var(x))

    return Call(record, lambda: np.asarray(record().value), scalar.operations)
