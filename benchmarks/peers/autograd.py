"""HIPS autograd: the tape in Python over NumPy."""

from importlib.metadata import version

import autograd
import numpy as np
from autograd import numpy as anp
from autograd.core import make_vjp

from ..harness import Unavailable
from ..workloads import BY_UFUNCS, Call, Net, Scalar
from .numpy import Adam


def about(_threads: int) -> dict[str, object]:
    """autograd runs on NumPy's BLAS."""
    return {"version": version("autograd")}


def train(net: Net, kind: str) -> Call:
    """value_and_grad over a list of layers, then NumPy's Adam."""
    if kind == "forward":
        raise Unavailable("its forward pass is NumPy's")
    start, x, y = net.batch()
    theta = start.copy()
    layers, rows = net.layers(theta), np.arange(net.rows)

    def loss(layers):
        h = x
        for number, (weight, bias) in enumerate(layers, 1):
            h = anp.dot(h, weight) + bias
            if number < len(layers):
                h = anp.tanh(h) if net.activation == "tanh" else anp.maximum(h, 0)
        if net.loss == "squared_error":
            return anp.mean((h - y) ** 2)
        shifted = h - np.max(h._value, axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(shifted), axis=1)) - shifted[rows, y])

    value_and_grad, adam = autograd.value_and_grad(loss), Adam(theta)

    def gradient() -> np.ndarray:
        _, slopes = value_and_grad(layers)
        return np.concatenate([part.ravel() for layer in slopes for part in layer])

    def step() -> None:
        adam.step(theta, gradient())

    def change() -> np.ndarray:
        step()
        return theta - start

    return Call(gradient, gradient) if kind == "gradient" else Call(step, change)


def eager(scalar: Scalar, kind: str) -> Call:
    """The gradient, or only the recording."""
    if kind == BY_UFUNCS:
        raise Unavailable("it does not take NumPy's names")
    x = scalar.start()[()]

    def function(x):
        return scalar.function(anp, x)

    if kind == "gradient":
        gradient = autograd.grad(function)
        return Call(lambda: gradient(x), lambda: np.asarray(gradient(x)))
    return Call(
        lambda: make_vjp(function, x), lambda: np.asarray(make_vjp(function, x)[1]), scalar.operations
    )
