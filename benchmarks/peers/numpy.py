"""NumPy by hand: the gradient as one writes it out, and NumPy's own kernels."""

import numpy as np

from ..harness import Unavailable
from ..workloads import BETAS, EPSILON, LEARNING_RATE, Call, Gemm, Net, Scalar, Stream


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
        if kind == "gradient":
            gradient()
            return slope.copy()
        step()
        return theta - start

    return Call({"forward": forward, "gradient": gradient, "step": step}[kind], check)


class Namespace:
    """NumPy, and erf from SciPy where that is installed."""

    def __getattr__(self, name: str):
        if name != "erf":
            return getattr(np, name)
        try:
            from scipy.special import erf
        except ImportError:
            raise Unavailable("erf needs scipy") from None
        return erf


def kernels(workload: Gemm | Stream, _kind: str) -> Call:
    """NumPy's function, written to the same place as wengert's."""
    operands, out, space = workload.operands(), workload.result(), Namespace()
    if out is None:
        return Call(
            lambda: workload.apply(space, *operands), lambda: np.asarray(workload.apply(space, *operands))
        )
    if isinstance(workload, Gemm):
        a, b = (v.T if which in workload.transposed else v for which, v in zip("ab", operands, strict=True))
        function, operands = np.matmul, [a, b]
    else:
        function = getattr(space, workload.function)
    return Call(lambda: function(*operands, out=out), lambda: function(*operands, out=out))


def eager(scalar: Scalar, kind: str) -> Call:
    """The function itself, without any gradient: what differentiating it starts from."""
    if kind == "gradient":
        raise Unavailable("NumPy has no gradient")
    x = scalar.start()[()]
    return Call(lambda: scalar.function(np, x), lambda: np.asarray(scalar.function(np, x)), scalar.operations)
