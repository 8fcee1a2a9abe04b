"""JAX: jit of the gradient, or of gradient and Adam with donated parameters and state."""

import os
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
from jax import numpy as jnp

from ..harness import Unavailable
from ..models import Model, joined
from ..workloads import (
    BETAS,
    EPSILON,
    LEARNING_RATE,
    Call,
    Field,
    Function,
    Invocation,
    Net,
    Pinn,
    Recurrence,
    Row,
    Scalar,
)

jax.config.update("jax_enable_x64", True)  # float64 stays float64; float32 stays float32


def about(_threads: int) -> dict[str, object]:
    """XLA takes the cores that the process may use, which the harness has set."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"version": jax.__version__, "cores": cores}


def flat(layers) -> np.ndarray:
    """Weights and biases in the common order."""
    return np.concatenate([np.asarray(part).ravel() for layer in layers for part in layer])


def by_row(layers) -> np.ndarray:
    """Weights and biases of each example in the common order."""
    return np.concatenate([np.asarray(v).reshape(len(v), -1) for layer in layers for v in layer], 1)


def waited(run: Callable, numbers: Callable = np.asarray) -> Call:
    """Calls that end when the work is done."""
    return Call(lambda: jax.block_until_ready(run()), lambda: numbers(run()))


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


def apply(net: Net, layers, x):
    """The outputs."""
    for number, (weight, bias) in enumerate(layers, 1):
        x = x @ weight + bias
        if number < len(layers):
            x = jnp.tanh(x) if net.activation == "tanh" else jax.nn.relu(x)
    return x


def train(net: Net, kind: str) -> Call:
    """One jitted call, waited for."""
    if kind == "Gauss-Newton":
        raise Unavailable("it has no Gauss-Newton product")
    start, x, y = net.batch()
    layers = jax.tree.map(jnp.array, net.layers(start))
    x, y = jnp.asarray(x), jnp.asarray(y)

    def loss(layers, x, y):
        output = apply(net, layers, x)
        if net.loss == "squared_error":
            return jnp.mean((output - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1))

    if kind == "function":
        function = jax.jit(loss)
        return Call(
            lambda: function(layers, x, y).block_until_ready(), lambda: np.asarray(function(layers, x, y))
        )
    if kind == "forward":
        forward = jax.jit(partial(apply, net))
        return Call(lambda: forward(layers, x).block_until_ready(), lambda: np.asarray(forward(layers, x)))
    value_and_grad = jax.value_and_grad(loss)
    if kind == "hvp":
        product = jax.jit(
            lambda layers, v, x, y: jax.jvp(lambda p: jax.grad(loss)(p, x, y), (layers,), (v,))[1]
        )
        return waited(lambda: product(layers, layers, x, y), flat)
    if kind == "per example":
        one = jax.grad(lambda layers, x, y: loss(layers, x[None], y[None]))
        each = jax.jit(jax.vmap(one, (None, 0, 0)))
        return waited(lambda: each(layers, x, y), by_row)
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


SPACE = SimpleNamespace(
    sin=jnp.sin, sum=jnp.sum, log=jnp.log, exp=jnp.exp, sqrt=jnp.sqrt, erf=jax.scipy.special.erf
)


def pinn(workload: Pinn, _kind: str, reverse: bool = False) -> Call:
    """Point by point under vmap; the residual by jvp of jvp, or by grad of grad."""
    theta, z = workload.batch()
    layers, points = jax.tree.map(jnp.array, workload.net.layers(theta)), jnp.asarray(z)

    def residual(layers, z):
        def u(t, x):
            return apply(workload.net, layers, jnp.stack([t, x]))[0]

        t, x = z
        if reverse:
            value, (drift, slope) = jax.value_and_grad(u, (0, 1))(t, x)
            curvature = jax.grad(jax.grad(u, 1), 1)(t, x)
        else:
            one = jnp.ones_like(x)

            def u_x(x):
                return jax.jvp(partial(u, t), (x,), (one,))

            (value, slope), (_, curvature) = jax.jvp(u_x, (x,), (one,))
            drift = jax.jvp(lambda t: u(t, x), (t,), (one,))[1]
        return drift + value * slope - workload.viscosity * curvature

    def loss(layers, points):
        return jnp.mean(jax.vmap(residual, (None, 0))(layers, points) ** 2)

    gradient = jax.jit(jax.grad(loss))
    return Call(
        lambda: jax.block_until_ready(gradient(layers, points)), lambda: flat(gradient(layers, points))
    )


def tridiagonal(f):
    """The diagonals of a Hessian that is known to have three: three of its products, told apart by hand."""

    def diagonals(x):
        number = jnp.arange(x.size) % 3
        products = jax.vmap(lambda v: jax.jvp(jax.grad(f), (x,), (v,))[1])(jnp.eye(3)[:, number])
        place = jnp.arange(x.size)
        return jnp.concatenate([products[number, place], products[number[1:], place[:-1]]])

    return diagonals


def field(workload: Field, kind: str, reverse: bool = False) -> Call:
    """Transforms of the net at one point, under vmap.

    The Laplacian is the fastest that we know: value, slopes and Laplacian go through the layers together, for
    which JAX has no transform; or, in reverse, it is made of the gradient's tangents.
    """
    if reverse and "Laplacian" not in kind:
        raise Unavailable("the same as forward over reverse")
    if "diagonal" in kind:
        raise Unavailable("it has no Hessian's diagonal")
    theta, x, _ = workload.net.batch()
    layers, x = jax.tree.map(jnp.array, workload.net.layers(theta)), jnp.asarray(x)

    def u(x, layers):
        return apply(workload.net, layers, x)[0]

    def hvp(x, v, layers):
        return jax.jvp(lambda x: jax.grad(u)(x, layers), (x,), (v,))[1]

    def laplacian(x, layers):
        units = jnp.eye(x.size, dtype=x.dtype)
        if reverse:
            return jnp.sum(jax.vmap(lambda v: hvp(x, v, layers) @ v)(units))
        slopes, second = units, jnp.zeros_like(x)
        for number, (weight, bias) in enumerate(layers, 1):
            x, slopes, second = x @ weight + bias, slopes @ weight, second @ weight
            if number < len(layers):
                x = jnp.tanh(x)
                factor = 1 - x * x
                second = factor * (second - 2 * x * jnp.sum(slopes * slopes, 0))
                slopes = factor * slopes
        return second[0]

    transforms = {
        "function": u,
        "gradient": jax.grad(u),
        "jvp": lambda x, layers: jax.jvp(lambda x: u(x, layers), (x,), (x,))[1],
        "hvp": lambda x, layers: hvp(x, x, layers),
        "Laplacian": laplacian,
        "Hessian": jax.hessian(u),
    }
    points = jax.vmap(transforms[kind.split(",")[0]], (0, None))
    if "by parameters" not in kind:
        function = jax.jit(points)
        return waited(lambda: function(x, layers))
    gradient = jax.jit(jax.grad(lambda layers, x: jnp.mean(points(x, layers) ** 2)))
    return waited(lambda: gradient(layers, x), flat)


def recurrence(workload: Recurrence, kind: str) -> Call:
    """lax.scan, which keeps every state."""
    if "," in kind:
        raise Unavailable("its scan has no such strategy")
    arrays = tuple(map(jnp.asarray, workload.arrays()))

    def loss(w, h, x):
        return jnp.sum(jax.lax.scan(lambda h, x: (jnp.tanh(h @ w + x), None), h, x)[0] ** 2)

    def compiled():
        return jax.jit(loss if kind == "function" else jax.grad(lambda *args: loss(*args)))

    function = compiled()
    if kind == "compile":
        return Call(lambda: compiled().lower(*arrays).compile(), lambda: np.asarray(function(*arrays)))
    return waited(lambda: function(*arrays))


def function(workload: Function, kind: str) -> Call:
    """The jitted gradient at arrays that are on the device already, or compiling it."""
    arguments = tuple(map(jnp.asarray, workload.arguments()))
    if "first" in kind:
        raise Unavailable("it does not look for zeros")
    if "Hessian" in kind:
        transform = tridiagonal if "sparse" in kind else jax.hessian
        second = jax.jit(transform(partial(workload.function, SPACE)))
        return waited(lambda: second(*arguments))

    def compiled():
        numbers = tuple(range(len(arguments)))  # of a new function, which nothing has been compiled for
        return jax.jit(jax.grad(lambda *args: workload.function(SPACE, *args), numbers))

    if kind == "compile":
        return Call(lambda: compiled().lower(*arguments).compile(), lambda: np.stack(compiled()(*arguments)))
    gradient = compiled()
    return Call(lambda: jax.block_until_ready(gradient(*arguments)), lambda: np.stack(gradient(*arguments)))


def row(workload: Row, kind: str) -> Call:
    """The outputs, or their derivatives in reverse, for they are fewer than the inputs."""
    theta, x, _ = workload.net.batch()
    layers, x = jax.tree.map(jnp.array, workload.net.layers(theta)), jnp.asarray(x[0])
    function = partial(apply, workload.net)
    function = jax.jit(jax.jacrev(function, 1) if kind.startswith("Jacobian") else function)
    return Call(
        lambda: function(layers, x).block_until_ready(),
        lambda: np.asarray(function(layers, x)),
        quantile=0.999 if "p99.9" in kind else None,
    )


def invocation(workload: Invocation, kind: str) -> Call:
    """Of jitted functions."""
    arrays = [jnp.asarray(x) for x in workload.arrays()]
    if "tree" in kind:
        tree, double = workload.tree(arrays), jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree))
        return Call(
            lambda: jax.block_until_ready(double(tree)),
            lambda: np.stack([leaf for layer in double(tree) for leaf in (layer["weight"], layer["bias"])]),
        )
    if "out=" in kind:
        raise Unavailable("its arrays cannot be written to")
    add = jax.jit(lambda a, b, c, d: a + b + c + d)
    return Call(lambda: add(*arrays).block_until_ready(), lambda: np.asarray(add(*arrays)))


def model(workload: Model, _kind: str) -> Call:
    """The jitted gradient."""
    arguments = jax.tree.map(jnp.asarray, workload.arguments())
    gradient = jax.jit(jax.value_and_grad(partial(workload.loss, jnp, jax.lax.scan)))
    return waited(lambda: gradient(*arguments), lambda result: joined(result[1]))
