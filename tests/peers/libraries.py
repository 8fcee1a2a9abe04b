"""A dense net's loss in PyTorch, JAX and TensorFlow, each in its own functions, and what they say of it.

A net is widths, the name of an activation (wengert's) for all layers but the last, the name of a loss and a
dtype; parameters are the flat vector of `MLP.theta`: weight (in, out) and bias (out,) of each layer.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import jax
import numpy as np
import tensorflow as tf
import torch
from jax import numpy as jnp
from torch.nn import functional as F  # noqa: N812 - what everyone calls it

jax.config.update("jax_enable_x64", True)


class Net(NamedTuple):
    """What is compared."""

    widths: tuple[int, ...]
    activation: str
    loss: str
    dtype: str = "float64"
    rows: int = 7

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Parameters, inputs and targets."""
        size = sum((n_in + 1) * n_out for n_in, n_out in pairwise(self.widths))
        arrays = [rng.normal(0, 0.5, size), rng.normal(size=(self.rows, self.widths[0]))]
        if self.loss == "cross_entropy":
            return [x.astype(self.dtype) for x in arrays] + [rng.integers(self.widths[-1], size=self.rows)]
        arrays.append(rng.normal(size=(self.rows, self.widths[-1])))
        return [x.astype(self.dtype) for x in arrays]

    def apply(self, theta, x, activate: Callable):
        """The outputs, in the words that all array libraries share."""
        start = 0
        for number, (n_in, n_out) in enumerate(pairwise(self.widths), 1):
            middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
            x = x @ theta[start:middle].reshape(n_in, n_out) + theta[middle:end]
            x, start = activate(x) if number < len(self.widths) - 1 else x, end
        return x


# ---- PyTorch --------------------------------------------------------------------------------------------

TORCH = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "sin": torch.sin,
    "identity": lambda a: a,
}


def torch_objective(net: Net) -> Callable:
    """loss(theta, x, y)."""
    loss = {"squared_error": F.mse_loss, "cross_entropy": F.cross_entropy}[net.loss]
    return lambda theta, x, y: loss(net.apply(theta, x, TORCH[net.activation]), y)


def torch_gradient(net: Net, *arrays: np.ndarray) -> list[np.ndarray]:
    """The loss, and its derivatives by parameters and inputs."""
    theta, x, y = map(torch.tensor, arrays)
    theta.requires_grad_(), x.requires_grad_()
    value = torch_objective(net)(theta, x, y)
    return [part.detach().numpy() for part in (value, *torch.autograd.grad(value, (theta, x)))]


# ---- JAX ------------------------------------------------------------------------------------------------

JAX = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "gelu": lambda a: jax.nn.gelu(a, approximate=False),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "sin": jnp.sin,
    "identity": lambda a: a,
}


def jax_objective(net: Net) -> Callable:
    """loss(theta, x, y)."""

    def objective(theta, x, y):
        output = net.apply(theta, x, JAX[net.activation])
        if net.loss == "squared_error":
            return jnp.mean((output - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1))

    return objective


def jax_gradient(net: Net, *arrays: np.ndarray) -> list[np.ndarray]:
    """The loss, and its derivatives by parameters and inputs."""
    value, slopes = jax.jit(jax.value_and_grad(jax_objective(net), (0, 1)))(*map(jnp.asarray, arrays))
    return [np.asarray(part) for part in (value, *slopes)]


# ---- TensorFlow -----------------------------------------------------------------------------------------

TENSORFLOW = {
    "relu": tf.nn.relu,
    "leaky_relu": lambda a: tf.where(a > 0, a, 0.01 * a),  # tf.nn.leaky_relu rounds its slope to float32
    "elu": tf.nn.elu,
    "gelu": lambda a: 0.5 * a * (1 + tf.math.erf(a * 0.5**0.5)),  # and tf.nn.gelu the root of two
    "silu": tf.nn.silu,
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "softplus": tf.nn.softplus,
    "sin": tf.sin,
    "identity": tf.identity,
}


def tensorflow_gradient(net: Net, *arrays: np.ndarray) -> list[np.ndarray]:
    """The loss, and its derivatives by parameters and inputs."""
    theta, x, y = map(tf.constant, arrays)
    with tf.GradientTape() as tape:
        tape.watch((theta, x))
        output, start = x, 0
        for number, (n_in, n_out) in enumerate(pairwise(net.widths), 1):
            middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
            output = output @ tf.reshape(theta[start:middle], (n_in, n_out)) + theta[middle:end]
            output, start = (
                TENSORFLOW[net.activation](output) if number < len(net.widths) - 1 else output,
                end,
            )
        if net.loss == "squared_error":
            value = tf.reduce_mean((output - y) ** 2)
        else:
            value = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, output))
    return [part.numpy() for part in (value, *tape.gradient(value, (theta, x)))]


GRADIENTS = {"torch": torch_gradient, "jax": jax_gradient, "tensorflow": tensorflow_gradient}
