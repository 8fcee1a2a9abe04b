"""NumPy by hand: the gradient as one writes it out, and NumPy's own kernels."""

from typing import Any

import numpy as np

from ..harness import Unavailable
from ..workloads import (
    BETAS,
    EPSILON,
    LEARNING_RATE,
    Call,
    Gemm,
    Invocation,
    Net,
    Row,
    Scalar,
    Stream,
)


def about(_threads: int) -> dict[str, object]:
    """NumPy's version and its BLAS."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {"version": np.__version__, "blas": f"{blas.get('name')} {blas.get('version')}"}


def squared_error(output: np.ndarray, target: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """The mean over all elements and its derivative by the output."""
    error = output - target
    return np.mean(error * error), error * (2 / error.size)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.floating, np.ndarray]:
    """The mean over the rows and its derivative: softmax minus one-hot."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    probability = np.exp(shifted)
    total = probability.sum(axis=1, keepdims=True)
    value = np.mean(np.log(total[:, 0]) - shifted[rows, labels])
    probability /= total
    probability[rows, labels] -= 1
    probability /= len(labels)
    return value, probability


LOSSES = {"squared_error": squared_error, "cross_entropy": cross_entropy}
# The function, which may overwrite its argument, and the derivative by its result.
ACTIVATIONS = {
    "tanh": (lambda a: np.tanh(a, out=a), lambda h: 1 - h * h),
    "relu": (lambda a: np.maximum(a, 0, out=a), lambda h: h > 0),
}


class Adam:
    """Adam in place on one flat vector."""

    def __init__(self, theta: np.ndarray):
        self.count, self.mean, self.square = 0, np.zeros_like(theta), np.zeros_like(theta)

    def step(self, theta: np.ndarray, slope: np.ndarray) -> None:
        """Overwrites the parameters."""
        (beta1, beta2), self.count = BETAS, self.count + 1
        self.mean *= beta1
        self.mean += (1 - beta1) * slope
        self.square *= beta2
        self.square += (1 - beta2) * np.square(slope)
        scale = np.sqrt(self.square)
        scale /= (1 - beta2**self.count) ** 0.5
        scale += EPSILON
        np.divide(self.mean, scale, out=scale)
        scale *= LEARNING_RATE / (1 - beta1**self.count)
        theta -= scale


def train(net: Net, kind: str) -> Call:
    """Forward, backward into one flat vector, and Adam on it."""
    start, x, y = net.batch()
    theta, slope = start.copy(), np.empty_like(start)
    layers, slopes = net.layers(theta), net.layers(slope)
    activate, derivative = ACTIVATIONS[net.activation]

    def forward() -> list[np.ndarray]:
        outputs = [x]
        for number, (weight, bias) in enumerate(layers, 1):
            a = outputs[-1] @ weight
            a += bias
            outputs.append(activate(a) if number < len(layers) else a)
        return outputs

    def gradient() -> np.floating:
        outputs = forward()
        value, g = LOSSES[net.loss](outputs[-1], y)
        for number in reversed(range(len(layers))):
            h, (d_weight, d_bias) = outputs[number], slopes[number]
            np.matmul(h.T, g, out=d_weight)
            np.sum(g, axis=0, out=d_bias)
            if number:
                g = g @ layers[number][0].T
                g *= derivative(h)
        return value

    adam = Adam(theta)

    def step() -> np.floating:
        value = gradient()
        adam.step(theta, slope)
        return value

    def check() -> np.ndarray:
        if kind == "forward":
            return forward()[-1]
        if kind == "function":
            return np.asarray(function())
        if kind == "gradient":
            gradient()
            return slope.copy()
        step()
        return theta - start

    def function() -> np.floating:
        return LOSSES[net.loss](forward()[-1], y)[0]

    runs = {"forward": forward, "function": function, "gradient": gradient, "step": step}
    return Call(runs[kind], check)


class Namespace:
    """NumPy, and what it has not from SciPy where that is installed."""

    def __getattr__(self, name: str):
        if hasattr(np, name):
            return getattr(np, name)
        try:
            from scipy import special
        except ImportError:
            raise Unavailable(f"{name} needs scipy") from None
        return getattr(special, name)


def kernels(workload: Gemm | Stream, _kind: str, space: Any = None) -> Call:
    """NumPy's function, looked up before the clock starts, written to the same place as wengert's."""
    operands, out = workload.operands(), workload.result()
    options = {} if out is None else {"out": out}
    if isinstance(workload, Gemm):
        operands = [
            v.T if which in workload.transposed else v for which, v in zip("ab", operands, strict=True)
        ]
        function = (space or np).matmul
    elif workload.function in ("astype", "polygamma"):
        return Call(*[lambda: workload.apply(space or Namespace(), *operands)] * 2)
    else:
        function = getattr(space or Namespace(), workload.function)
    if isinstance(workload, Stream) and workload.axis is not None:
        options["axis"] = workload.axis
    return Call(lambda: function(*operands, **options), lambda: np.asarray(function(*operands, **options)))


def eager(scalar: Scalar, kind: str) -> Call:
    """The function itself, without any gradient: what differentiating it starts from."""
    if kind == "gradient":
        raise Unavailable("NumPy has no gradient")
    x = scalar.start()[()]
    return Call(lambda: scalar.function(np, x), lambda: np.asarray(scalar.function(np, x)), scalar.operations)


def row(workload: Row, kind: str) -> Call:
    """A product, a sum and a tanh per layer; the Jacobian from the outputs on, which are few."""
    theta, x, _ = workload.net.batch()
    layers, x = workload.net.layers(theta), x[0]
    *hidden, (last, last_bias) = layers

    def forward() -> np.ndarray:
        h = x
        for weight, bias in hidden:
            h = np.tanh(h @ weight + bias)
        return h @ last + last_bias

    def jacobian() -> np.ndarray:
        h, slopes = x, []
        for weight, bias in hidden:
            h = np.tanh(h @ weight + bias)
            slopes.append(1 - h * h)
        back = last.T
        for (weight, _), slope in zip(hidden[::-1], slopes[::-1], strict=True):
            back = (back * slope) @ weight.T
        return back

    run = jacobian if kind.startswith("Jacobian") else forward
    return Call(run, run, quantile=0.999 if "p99.9" in kind else None)


def invocation(workload: Invocation, kind: str) -> Call:
    """Of ufuncs, one for each operation."""
    a, b, c, d = workload.arrays()
    if "tree" in kind:
        tree = workload.tree([a, b, c, d])

        def double() -> list:
            return [{name: 2 * leaf for name, leaf in layer.items()} for layer in tree]

        return Call(double, lambda: np.stack([leaf for layer in double() for leaf in layer.values()]))
    out = np.empty(8) if "out=" in kind else None
    return Call(lambda: np.add(a + b + c, d, out=out), lambda: np.add(a + b + c, d, out=out))
