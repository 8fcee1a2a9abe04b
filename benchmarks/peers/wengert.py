"""wengert, compiled: one C call per gradient or step."""

from functools import partial

import numpy as np

import wengert as wg

from ..harness import Unavailable
from ..models import Model, joined
from ..workloads import (
    BETAS,
    EPSILON,
    LEARNING_RATE,
    Call,
    Field,
    Function,
    Gemm,
    Invocation,
    Net,
    Pinn,
    Recurrence,
    Row,
    Scalar,
    Stream,
)
from . import numpy as by_numpy


def about(threads: int) -> dict[str, object]:
    """Takes the number of threads; tells the version and the kernels."""
    wg.set_num_threads(threads)
    return {"version": wg.__version__, **wg.cpu_info()}


def flat(layers: list, *rows: int) -> np.ndarray:
    """Weights and biases in the common order, all of them or by row."""
    parts = [layer[name].reshape(*rows, -1) for layer in layers for name in ("weight", "bias")]
    return np.concatenate(parts, -1)


def train(net: Net, kind: str, compile=wg.compile) -> Call:
    """The outputs, the gradient, or the gradient and a step of Adam that overwrites parameters and state."""
    model = wg.MLP(net.widths, net.activation, net.dtype)
    start, x, y = net.batch()
    model.theta = start
    if kind == "forward":
        forward = (lambda: model(x)) if compile is wg.compile else (lambda: model.apply(model.params, x))
        return Call(forward, forward)
    if kind == "function":
        loss = compile(model.objective(net.loss))
        return Call(lambda: loss(start, x, y), lambda: np.asarray(loss(start, x, y)))
    if kind == "hvp":
        product = compile(wg.hvp(model.objective(net.loss)))
        return Call(lambda: product(start, start, x, y), lambda: product(start, start, x, y))
    if kind == "Gauss-Newton":
        layers = [dict(layer) for layer in model.params]
        product = compile(lambda p: wg.gauss_newton(lambda p: model.apply(p, x))(p, p))
        return Call(lambda: product(layers), lambda: flat(product(layers)))
    if kind == "per example":
        one = wg.grad(lambda layers, x, y: wg.losses.squared_error(model.apply(layers, x), y))
        each, layers = wg.compile(wg.vmap(one, in_axes=(None, 0, 0))), [dict(layer) for layer in model.params]
        return Call(lambda: each(layers, x, y), lambda: flat(each(layers, x, y), net.rows))
    gradient = wg.value_and_grad(model.objective(net.loss))
    if kind == "gradient":
        gradient = compile(gradient)
        return Call(lambda: gradient(start, x, y), lambda: gradient(start, x, y)[1])
    optimizer = wg.optim.Adam(LEARNING_RATE, BETAS, EPSILON)

    def update(theta, state):
        value, slope = gradient(theta, x, y)
        theta, state = optimizer.step(theta, slope, state)
        return theta, state, value

    step = compile(update, donate_argnums=(0, 1))
    theta, state = start.copy(), optimizer.init(start)

    def run() -> object:
        nonlocal theta, state
        theta, state, value = step(theta, state)
        return value

    def change() -> np.ndarray:
        run()
        return theta - start

    return Call(run, change)


def kernels(workload: Gemm | Stream, kind: str) -> Call:
    """A compiled call of one function; where the call counts, one of wengert.numpy's as a user makes it."""
    if workload.plain:
        return by_numpy.kernels(workload, kind, wg.numpy)
    operands, out = workload.operands(), workload.result()
    function = wg.compile(lambda *operands: workload.apply(wg.numpy, *operands))
    if out is None:
        return Call(lambda: function(*operands), lambda: np.asarray(function(*operands)))
    return Call(lambda: function(*operands, out=out), lambda: function(*operands, out=out))


def eager(scalar: Scalar, kind: str) -> Call:
    """The compiled gradient."""
    if kind != "gradient":
        raise Unavailable("a replay records nothing")
    gradient, x = wg.compile(wg.grad(lambda x: scalar.function(wg.numpy, x))), scalar.start()
    return Call(lambda: gradient(x), lambda: np.asarray(gradient(x)))


def pinn(workload: Pinn, _kind: str) -> Call:
    """Forward over forward for the residual, reverse over that."""
    net = workload.net
    model = wg.MLP(net.widths, net.activation, net.dtype)
    theta, z = workload.batch()
    model.theta = theta
    by_t, by_x = (np.tile(np.array(axis, net.dtype), (len(z), 1)) for axis in ((1, 0), (0, 1)))

    def loss(params, z):
        def u(z):
            return model.apply(params, z)

        def u_x(z):
            return wg.jvp(u, (z,), (by_x,))

        (value, slope), (_, curvature) = wg.jvp(u_x, (z,), (by_x,))
        drift = wg.jvp(u, (z,), (by_t,))[1]
        return np.mean((drift + value * slope - workload.viscosity * curvature) ** 2)

    gradient, params = wg.compile(wg.grad(loss)), [dict(layer) for layer in model.params]
    return Call(lambda: gradient(params, z), lambda: flat(gradient(params, z)))


def function(workload: Function, kind: str) -> Call:
    """The compiled gradient, or compiling it."""
    arguments = workload.arguments()
    if kind.endswith("Hessian") or "sparse" in kind:
        return hessian(lambda x: workload.function(wg.numpy, x), arguments[0], kind)
    everything = wg.grad(lambda *args: workload.function(wg.numpy, *args), tuple(range(len(arguments))))

    def check() -> np.ndarray:
        return np.stack(wg.compile(everything)(*arguments))

    if kind == "compile":
        return Call(lambda: wg.compile(everything).program(*arguments), check)
    gradient = wg.compile(everything)
    return Call(lambda: gradient(*arguments), check)


def hessian(f, x: np.ndarray, kind: str) -> Call:
    """All of it, or what may differ from zero: two diagonals are checked, and a first call finds them."""
    if kind == "Hessian":
        dense = wg.compile(wg.hessian(f))
        return Call(lambda: dense(x), lambda: dense(x))
    sparse = wg.sparse_hessian(f)

    def check() -> np.ndarray:
        matrix = sparse(x)
        return np.concatenate([matrix.diagonal(), matrix.diagonal(1)])

    return Call(lambda: wg.sparse_hessian(f)(x) if "first" in kind else sparse(x), check)


def field(workload: Field, kind: str) -> Call:
    """Transforms of the net at one point, under vmap."""
    model = wg.MLP(workload.widths, "tanh", workload.dtype)
    model.theta, x, _ = workload.net.batch()
    params = [dict(layer) for layer in model.params]

    def u(x, params):
        return model.apply(params, x)[0]

    transforms = {
        "function": u,
        "gradient": wg.grad(u),
        "jvp": lambda x, params: wg.jvp(lambda x: u(x, params), (x,), (x,))[1],
        "hvp": lambda x, params: wg.hvp(u)(x, x, params),
        "Laplacian": wg.laplacian(u),
        "Hessian": wg.hessian(u),
        "Hessian's diagonal": wg.hessian_diagonal(u),
    }
    points = wg.vmap(transforms[kind.split(",")[0]], in_axes=(0, None))
    if "by parameters" not in kind:
        function = wg.compile(points)
        return Call(lambda: function(x, params), lambda: function(x, params))
    gradient = wg.compile(wg.grad(lambda params, x: np.mean(points(x, params) ** 2)))
    return Call(lambda: gradient(params, x), lambda: flat(gradient(params, x)))


def recurrence(workload: Recurrence, kind: str) -> Call:
    """A scan that keeps every state, or as few as its strategy says."""
    w, h, x = workload.arrays()
    checkpoint = next((name for name in ("sqrt", "log") if name in kind), None)

    def loss(w, h, x):
        def step(h, x):
            return np.tanh(h @ w + x), None

        return np.sum(wg.scan(step, h, x, checkpoint=checkpoint)[0] ** 2)

    transform = loss if kind == "function" else wg.grad(loss)
    function = wg.compile(transform)
    run = (
        (lambda: wg.compile(transform).program(w, h, x)) if "compile" in kind else (lambda: function(w, h, x))
    )
    return Call(run, lambda: np.asarray(function(w, h, x)))


def row(workload: Row, kind: str) -> Call:
    """net(x) and net.jacobian(x)."""
    model = wg.MLP(workload.widths, "tanh", workload.dtype)
    model.theta, x = workload.net.batch().theta, workload.net.batch().x[0]
    method = model.jacobian if kind.startswith("Jacobian") else model
    return Call(lambda: method(x), lambda: method(x), quantile=0.999 if "p99.9" in kind else None)


def invocation(workload: Invocation, kind: str) -> Call:
    """Of compiled functions."""
    a, b, c, d = workload.arrays()
    if "tree" in kind:
        tree = workload.tree(workload.arrays())
        double = wg.compile(lambda tree: wg.tree_map(lambda x: 2 * x, tree))

        def check() -> np.ndarray:
            return np.stack([leaf for layer in double(tree) for leaf in layer.values()])

        return Call(lambda: double(tree), check)
    add, out = wg.compile(lambda a, b, c, d: a + b + c + d), np.empty(8)
    if "out=" in kind:
        return Call(lambda: add(a, b, c, d, out=out), lambda: add(a, b, c, d, out=out))
    return Call(lambda: add(a, b, c, d), lambda: add(a, b, c, d))


def model(workload: Model, _kind: str) -> Call:
    """The compiled gradient."""
    arguments = workload.arguments()
    gradient = wg.compile(wg.value_and_grad(partial(workload.loss, wg.numpy, wg.scan)))
    return Call(lambda: gradient(*arguments), lambda: joined(gradient(*arguments)[1]))
