"""wengert, compiled: one C call per gradient or step."""

import numpy as np

import wengert as wg

from ..harness import Unavailable
from ..workloads import BETAS, EPSILON, LEARNING_RATE, Call, Gemm, Net, Scalar, Stream


def about(threads: int) -> dict[str, object]:
    """Takes the number of threads; tells the version and the kernels."""
    wg.set_num_threads(threads)
    return {"version": wg.__version__, **wg.cpu_info()}


def train(net: Net, kind: str, compile=wg.compile) -> Call:
    """The outputs, the gradient, or the gradient and a step of Adam that overwrites parameters and state."""
    model = wg.MLP(net.widths, net.activation, net.dtype)
    start, x, y = net.batch()
    model.theta = start
    if kind == "forward":
        forward = (lambda: model(x)) if compile is wg.compile else (lambda: model.apply(model.params, x))
        return Call(forward, forward)
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


def kernels(workload: Gemm | Stream, _kind: str) -> Call:
    """A compiled call of one function."""
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
