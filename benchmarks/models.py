"""Models as one writes them in NumPy code, each a loss whose gradient by its parameters is measured.

A function takes a namespace of NumPy's functions, a `scan`, the parameters and the data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np


@dataclass(frozen=True)
class Model:
    """A loss, and numbers of given shapes: parameters by name, then data."""

    name: str
    loss: Callable  # (namespace, scan, parameters, *data) -> number
    parameters: dict[str, tuple[int, ...]]
    data: tuple
    dtype: str = "float32"
    scale: float = 0.1  # of the parameters
    kinds = ("gradient",)
    suite, work = "models", "model"

    def arguments(self) -> tuple:
        """The same for every peer; data are shapes of normal numbers, or (n, shape): indices below n."""
        rng = np.random.default_rng(0)
        draw = {
            name: (self.scale * rng.normal(size=s)).astype(self.dtype) for name, s in self.parameters.items()
        }
        return draw, *(
            rng.integers(0, *shape)
            if len(shape) == 2 and isinstance(shape[1], tuple)
            else rng.normal(size=shape).astype(self.dtype)
            for shape in self.data
        )


def joined(parts: dict) -> np.ndarray:
    """All numbers, by name: a gradient as peers compare it."""
    return np.concatenate([np.ravel(parts[name]) for name in sorted(parts)])


def log_sum_exp(np: ModuleType, x, axis: int):
    """With the largest taken out first."""
    most = np.max(x, axis=axis, keepdims=True)
    return np.log(np.sum(np.exp(x - most), axis=axis)) + np.squeeze(most, axis)


def cross_entropy(np: ModuleType, logits, labels):
    """Mean over rows."""
    return np.mean(log_sum_exp(np, logits, 1) - logits[np.arange(len(labels)), labels])


def sigmoid(np: ModuleType, x):
    """By the hyperbolic tangent, which does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


# ---- nets ---------------------------------------------------------------------------------------------


def block(np, p, x, mask=None):
    """A block of a transformer: four heads, then a layer of four times the width (GELU)."""
    batch, length, width = x.shape

    def normal(x):
        centred = x - np.mean(x, axis=-1, keepdims=True)
        return centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5)

    def heads(y):
        return np.transpose(np.reshape(y, (batch, length, 4, width // 4)), (0, 2, 1, 3))

    h = normal(x)
    q, k, v = (heads(h @ p[name]) for name in "qkv")
    scores = q @ np.swapaxes(k, -1, -2) * (width // 4) ** -0.5
    scores = scores if mask is None else scores + mask
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    weights = weights / np.sum(weights, axis=-1, keepdims=True)
    y = x + np.reshape(np.transpose(weights @ v, (0, 2, 1, 3)), x.shape) @ p["o"]
    u = normal(y) @ p["up"]
    u = 0.5 * u * (1 + np.tanh(0.7978845608 * (u + 0.044715 * u**3)))
    return y + u @ p["down"]


def attention(np, _scan, p, x):
    """One block."""
    return np.mean(block(np, p, x) ** 2)


def transformer(np, _scan, p, words):
    """Four blocks that predict the next letter, each of those before it alone."""
    place = np.arange(words.shape[1] - 1)
    mask = ((place[:, None] < place) * -1e9).astype("float32")
    h = p["letters"][words[:, :-1]] + p["places"]
    for k in range(4):
        h = block(np, {name: p[f"{name} {k}"] for name in BLOCK}, h, mask)
    return cross_entropy(np, np.reshape(h, (-1, h.shape[-1])) @ p["out"], np.reshape(words[:, 1:], -1))


def lstm(np, scan, p, words):
    """Predicts the next letter."""
    width = p["recurrent"].shape[0]

    def step(state, x):
        h, c = state
        i, f, g, o = ((x + h @ p["recurrent"])[:, k * width : (k + 1) * width] for k in range(4))
        c = sigmoid(np, f) * c + sigmoid(np, i) * np.tanh(g)
        h = sigmoid(np, o) * np.tanh(c)
        return (h, c), h

    start = np.zeros((words.shape[1], width), "float32")
    inputs = p["letters"][words[:-1]] @ p["in"]
    _, h = scan(step, (start, start), inputs)
    logits = np.reshape(h @ p["out"], (-1, p["out"].shape[1]))
    return cross_entropy(np, logits, np.reshape(words[1:], -1))


def autoencoder(np, _scan, p, x, noise):
    """A variational one, Gaussian within and Bernoulli outside."""
    h = np.tanh(x @ p["encode"])
    mean, log_variance = h @ p["mean"], h @ p["variance"]
    logits = np.tanh((mean + np.exp(0.5 * log_variance) * noise) @ p["decode"]) @ p["out"]
    fit = np.sum(np.logaddexp(0, logits) - (x > 0) * logits, axis=1)
    return np.mean(fit - 0.5 * np.sum(1 + log_variance - mean**2 - np.exp(log_variance), axis=1))


def convolution(np, _scan, p, x):
    """A layer of 3 x 3 by nine products, the largest of each 2 x 2, and a mean."""
    h = sum(x[:, i : i + 28, j : j + 28] @ p["kernel"][i, j] for i in range(3) for j in range(3))
    n, channels = len(x), p["kernel"].shape[-1]
    h = np.max(np.reshape(np.maximum(h, 0), (n, 14, 2, 14, 2, channels)), axis=(2, 4))
    return np.mean((np.mean(h, axis=(1, 2)) @ p["out"]) ** 2)


def words(np, _scan, p, context, label):
    """The word after four others."""
    return cross_entropy(np, np.mean(p["in"][context], axis=1) @ p["out"], label)


def neural_equation(np, scan, p, target):
    """200 steps of Runge and Kutta through a net's slope."""

    def slope(s):
        return np.tanh(s @ p["in"] + p["bias"]) @ p["out"]

    def step(s, _):
        k1 = slope(s)
        k2 = slope(s + 0.025 * k1)
        k3 = slope(s + 0.025 * k2)
        s = s + 0.05 / 6 * (k1 + 2 * k2 + 2 * k3 + slope(s + 0.05 * k3))
        return s, s

    return np.mean((scan(step, target[0], None, length=len(target))[1] - target) ** 2)


# ---- statistics ---------------------------------------------------------------------------------------


def gaussian_process(np, _scan, p, x, y):
    """The negative logarithm of its likelihood."""
    z = x * np.exp(p["scale"])
    d = z[:, None] - z
    k = np.exp(p["size"] - 0.5 * np.sum(d * d, axis=-1)) + (1e-2 + np.exp(p["noise"])) * np.eye(len(x))
    roots = np.diagonal(np.linalg.cholesky(k), 0, -1, -2)
    return 0.5 * y @ np.linalg.solve(k, y) + np.sum(np.log(roots))


def mixture(np, _scan, p, x):
    """Of Gaussians."""
    d = (x[:, None] - p["mean"]) * np.exp(p["precision"])
    return -np.mean(log_sum_exp(np, np.sum(p["precision"] - 0.5 * d * d, axis=-1) + p["weight"], 1))


def hidden_markov(np, scan, p, scores):
    """The forward algorithm."""
    moves = p["moves"] - log_sum_exp(np, p["moves"], 1)[:, None]

    def step(a, score):
        return log_sum_exp(np, a[:, None] + moves, 0) + score, None

    return -log_sum_exp(np, scan(step, scores[0], scores[1:])[0], 0)


def logistic(np, _scan, p, x, y):
    """Regression of 20,000 rows."""
    z = x @ p["weight"]
    return np.mean(np.logaddexp(0, z) - (y > 0) * z) + 1e-3 * np.sum(p["weight"] ** 2)


def factors(np, _scan, p, i, j, rating):
    """Of a matrix of which some elements are known."""
    return np.mean((np.sum(p["rows"][i] * p["columns"][j], axis=1) - rating) ** 2)


# ---- physics ------------------------------------------------------------------------------------------


def bodies(np, _scan, p, mass):
    """Their energy."""
    d = p["place"][:, None] - p["place"]
    return -0.5 * np.sum(mass[:, None] * mass / np.sqrt(np.sum(d * d, axis=-1) + 1e-2))


def heat(np, scan, p, u):
    """200 steps of diffusion along a line, by the coefficients."""

    def step(u, _):
        right, left = np.concatenate([u[1:], u[-1:]]), np.concatenate([u[:1], u[:-1]])
        return u + p["rate"] ** 2 * (right - 2 * u + left), None

    return np.sum(scan(step, u, None, length=200)[0] ** 2)


def variation(np, _scan, p, seen):
    """Of an image without noise: close to what was seen, and with few edges."""
    u = p["image"]
    x, y = u[1:, :-1] - u[:-1, :-1], u[:-1, 1:] - u[:-1, :-1]
    return 0.5 * np.sum((u - seen) ** 2) + 0.1 * np.sum(np.sqrt(x * x + y * y + 1e-6))


def filtered(np, _scan, p, x, y):
    """A filter in frequency space."""
    return np.mean((np.fft.irfft(np.fft.rfft(x) * p["filter"], x.size) - y) ** 2)


BLOCK = dict.fromkeys("qkvo", (128, 128)) | {"up": (128, 512), "down": (512, 128)}
ROWS = 50_000
MODELS = (
    Model(
        "transformer, 4 blocks, 8 × 64 letters", transformer,
        {f"{name} {k}": shape for name, shape in BLOCK.items() for k in range(4)}
        | {"letters": (96, 128), "places": (64, 128), "out": (128, 96)}, ((96, (8, 65)),),
    ),
    Model("attention, (8, 64, 128)", attention, BLOCK, ((8, 64, 128),)),
    Model(
        "LSTM, 40 letters, 16 × 128", lstm,
        {"letters": (50, 128), "in": (128, 512), "recurrent": (128, 512), "out": (128, 50)},
        ((50, (41, 16)),),
    ),
    Model(
        "autoencoder 784-256-16, 128 rows", autoencoder,
        dict.fromkeys(("mean", "variance"), (256, 16))
        | {"encode": (784, 256), "decode": (16, 256), "out": (256, 784)},
        ((128, 784), (128, 16)),
    ),
    Model(
        "convolution 3 × 3, (16, 30, 30, 8)", convolution, {"kernel": (3, 3, 8, 16), "out": (16,)},
        ((16, 30, 30, 8),),
    ),
    Model(
        "1,000 words, 512 rows", words, {"in": (1000, 64), "out": (64, 1000)},
        ((1000, (512, 4)), (1000, (512,))),
    ),
    Model(
        "neural equation 2-50-2 f64", neural_equation, {"in": (2, 50), "bias": (50,), "out": (50, 2)},
        ((200, 2),), "float64", 0.3,
    ),
    Model(
        "Gaussian process, 300 points f64", gaussian_process, {"scale": (3,), "size": (), "noise": ()},
        ((300, 3), (300,)), "float64",
    ),
    Model(
        "mixture of 8 Gaussians, 5,000 points f64", mixture,
        {"mean": (8, 4), "precision": (8, 4), "weight": (8,)}, ((5000, 4),), "float64",
    ),
    Model("hidden Markov model, 16 states f64", hidden_markov, {"moves": (16, 16)}, ((200, 16),), "float64"),
    Model("logistic regression, 20,000 × 100", logistic, {"weight": (100,)}, ((20_000, 100), (20_000,))),
    Model(
        "factors of a matrix, 50,000 elements", factors, {"rows": (2000, 16), "columns": (1500, 16)},
        ((2000, (ROWS,)), (1500, (ROWS,)), (ROWS,)),
    ),
    Model("200 bodies f64", bodies, {"place": (200, 3)}, ((200,),), "float64", 1.0),
    Model("heat, 1,000 places, 200 steps f64", heat, {"rate": (1000,)}, ((1000,),), "float64"),
    Model("total variation, 256 × 256 f64", variation, {"image": (256, 256)}, ((256, 256),), "float64"),
    Model("filter, 4,096 f64", filtered, {"filter": (2049,)}, ((4096,), (4096,)), "float64"),
)  # fmt: skip
