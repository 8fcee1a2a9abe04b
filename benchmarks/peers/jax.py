"""JAX: jit of the gradient, or of gradient and Adam with donated parameters and state."""

import os

import jax
import numpy as np
from jax import numpy as jnp

from ..harness import Unavailable
from ..workloads import BETAS, EPSILON, LEARNING_RATE, Call, Net, Scalar

jax.config.update("jax_enable_x64", True)  # float64 stays float64; float32 stays float32


def about(_threads: int) -> dict[str, object]:
    """XLA takes the cores that the process may use, which the harness has set."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"version": jax.__version__, "cores": cores}


def flat(layers) -> np.ndarray:
    """Weights and biases in the common order."""
    return np.concatenate([np.asarray(part).ravel() for layer in layers for part in layer])


def adam(theta, slope, state):
    """The formulas of the other peers, on a tree."""
    (beta1, beta2), (count, mean, square) = BETAS, state
    count = count + 1
    mean = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, mean, slope)
    square = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, square, slope)
    rate, root = LEARNING_RATE / (1 - beta1**count), jnp.sqrt(1 - beta2**count)

    def update(p, m, v):
        return p - rate.astype(p.dtype) * m / (jnp.sqrt(v) / root.astype(p.dtype) + EPSILON)

    return jax.tree.map(update, theta, mean, square), (count, mean, square)


def train(net: Net, kind: str) -> Call:
    """One jitted call, waited for."""
    start, x, y = net.batch()
    layers = jax.tree.map(jnp.array, net.layers(start))
    x, y = jnp.asarray(x), jnp.asarray(y)

    def apply(layers, x):
        for number, (weight, bias) in enumerate(layers, 1):
            x = x @ weight + bias
            if number < len(layers):
                x = jnp.tanh(x) if net.activation == "tanh" else jax.nn.relu(x)
        return x

    def loss(layers, x, y):
        output = apply(layers, x)
        if net.loss == "squared_error":
            return jnp.mean((output - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1))

    if kind == "forward":
        forward = jax.jit(apply)
        return Call(lambda: forward(layers, x).block_until_ready(), lambda: np.asarray(forward(layers, x)))
    value_and_grad = jax.value_and_grad(loss)
    if kind == "gradient":
        gradient = jax.jit(value_and_grad)
        return Call(
            lambda: jax.block_until_ready(gradient(layers, x, y)), lambda: flat(gradient(layers, x, y)[1])
        )

    def update(layers, state, x, y):
        value, slope = value_and_grad(layers, x, y)
        return *adam(layers, slope, state), value

    step = jax.jit(update, donate_argnums=(0, 1))
    state = jnp.zeros(()), jax.tree.map(jnp.zeros_like, layers), jax.tree.map(jnp.zeros_like, layers)

    def run() -> object:
        nonlocal layers, state
        layers, state, value = jax.block_until_ready(step(layers, state, x, y))
        return value

    def change() -> np.ndarray:
        run()
        return flat(layers) - start

    return Call(run, change)


def eager(scalar: Scalar, kind: str) -> Call:
    """The jitted gradient, without the seconds that compiling it takes."""
    if kind != "gradient" or scalar.start().shape == ():
        raise Unavailable("a scalar program takes seconds to compile; it belongs to compiled programs")
    gradient, x = jax.jit(jax.grad(lambda x: scalar.function(jnp, x))), jnp.asarray(scalar.start())
    return Call(lambda: gradient(x).block_until_ready(), lambda: np.asarray(gradient(x)))
