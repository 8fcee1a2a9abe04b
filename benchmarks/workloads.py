"""Kinds of work to be measured, and the numbers that they work on; suites.py lists what is."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import numpy as np

LEARNING_RATE = 1e-5  # of Adam: so small that thousands of steps on one batch leave the work what it was
BETAS, EPSILON = (0.9, 0.999), 1e-8
# For peers that add it before the second moment is corrected (Kingma & Ba 2015, end of section 2): the same
# in the first step, which is the one that is checked.
EPSILON_HAT = EPSILON * (1 - BETAS[1]) ** 0.5
# Bytes of one operand: three of them fit into 512 kB, a small second-level cache; one exceeds most
# third-level caches.
IN_CACHE, BEYOND = 1 << 17, 1 << 26
SMALL = 1 << 11  # so few bytes that the call counts
BY_UFUNCS = "record by NumPy's ufuncs, per op"  # which ask each operand whose they are


class Call(NamedTuple):
    """What a peer is asked for: a call to time and numbers to check."""

    run: Callable[[], object]  # returns when the work is done
    check: Callable[[], np.ndarray]  # made once, before `run`
    units: float = 1.0  # of work in one run; the time is reported per unit
    quantile: float | None = None  # of single runs instead of their mean


class Batch(NamedTuple):
    """Parameters and rows of a net."""

    theta: np.ndarray  # weight (in, out), bias (out,) of each layer, flattened
    x: np.ndarray  # (rows, in)
    y: np.ndarray  # (rows, out), or integer labels (rows,)


def net_name(widths: tuple[int, ...]) -> str:
    """As the tables say it."""
    return "-".join(map(str, widths))


@dataclass(frozen=True)
class Net:
    """A dense net, identity after its last layer, and a mean loss over rows."""

    widths: tuple[int, ...]
    activation: str  # "tanh" or "relu"
    loss: str  # "squared_error" or "cross_entropy"
    rows: int
    dtype: str = "float32"
    kinds: tuple[str, ...] = ("gradient", "step")
    suite: str = "train"
    work = "train"

    @property
    def name(self) -> str:
        """Widths, activation, loss, dtype, rows."""
        loss = "CE" if self.loss == "cross_entropy" else "mse"
        kind = f"{self.activation} {loss} {self.dtype.replace('float', 'f')}"
        return f"{net_name(self.widths)} {kind} batch {self.rows}"

    def batch(self) -> Batch:
        """The same numbers for every peer."""
        rng = np.random.default_rng(0)
        theta = [
            part
            for n_in, n_out in pairwise(self.widths)
            for part in (rng.normal(0, n_in**-0.5, n_in * n_out), rng.normal(0, 0.1, n_out))
        ]
        x = rng.normal(size=(self.rows, self.widths[0]))
        if self.loss == "cross_entropy":
            y = rng.integers(self.widths[-1], size=self.rows)
        else:
            y = rng.normal(size=(self.rows, self.widths[-1])).astype(self.dtype)
        return Batch(np.concatenate(theta).astype(self.dtype), x.astype(self.dtype), y)

    def layers(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """(weight, bias) of each layer as views of a flat vector."""
        layers, start = [], 0
        for n_in, n_out in pairwise(self.widths):
            middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
            layers.append((theta[start:middle].reshape(n_in, n_out), theta[middle:end]))
            start = end
        return layers

    def flops(self, kind: str) -> float:
        """Floating-point operations of the matrix products: what a peer cannot do without."""
        products = [2.0 * self.rows * n_in * n_out for n_in, n_out in pairwise(self.widths)]
        # backward: one product for the weights, and one for the inputs of each layer but the first
        return sum(products) if kind == "forward" else 3 * sum(products) - products[0]


@dataclass(frozen=True)
class Gemm:
    """A matrix product (m, k) · (k, n); an operand named in `transposed` is stored the other way round."""

    m: int
    k: int
    n: int
    dtype: str = "float32"
    transposed: str = ""  # "a" or "b"
    fresh: bool = False  # a new array for the result at each call, else out=
    kinds = ("gemm",)
    suite = work = "kernels"

    @property
    def name(self) -> str:
        """Shapes, what is transposed, dtype."""
        a, b = ("ᵀ" if which in self.transposed else "" for which in "ab")
        shapes = f"{self.m}×{self.k}{a} · {self.k}×{self.n}{b}"
        return f"{shapes} {self.dtype.replace('float', 'f')}{', plain call' if self.fresh else ''}"

    def operands(self) -> list[np.ndarray]:
        """As stored."""
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(self.m, self.k)), rng.normal(size=(self.k, self.n))
        a, b = (v.T if which in self.transposed else v for which, v in zip("ab", (a, b), strict=True))
        return [np.ascontiguousarray(v, self.dtype) for v in (a, b)]

    def apply(self, np: ModuleType, a, b):
        """The product in the given namespace."""
        return np.matmul(a.T if "a" in self.transposed else a, b.T if "b" in self.transposed else b)

    @property
    def plain(self) -> bool:
        """Whether the call counts."""
        return self.fresh

    def result(self) -> np.ndarray | None:
        """Where the result goes."""
        return None if self.fresh else np.empty((self.m, self.n), self.dtype)

    @property
    def flops(self) -> float:
        """A multiplication and an addition per term."""
        return 2.0 * self.m * self.k * self.n


OF_TWO = (
    "add", "subtract", "multiply", "divide", "remainder", "power", "hypot", "arctan2", "maximum", "minimum",
    "greater", "where",
)  # fmt: skip
# Where the numbers come from, if not from -4 ... 4.
POSITIVE = ("log", "log2", "log10", "sqrt", "power", "gammaln", "digamma", "polygamma")
DOMAINS = dict.fromkeys(POSITIVE, (0.1, 4.0))
DOMAINS |= dict.fromkeys(("arcsin", "arccos", "arctanh", "erfinv", "log1p"), (-0.9, 0.9)) | {
    "arccosh": (1.0, 4.0)
}


@dataclass(frozen=True)
class Stream:
    """An elementwise function, or a reduction, of arrays in the cache or beyond it."""

    function: str
    dtype: str
    size: int  # bytes of one operand
    axis: int | None = None
    order: str = "C"  # or "F", or "S": every other column of an array
    suite = work = "kernels"
    width = 256  # of the rows that reductions work on

    @property
    def plain(self) -> bool:
        """Whether the call counts; `astype` of an array is NumPy's on either side, so it is compiled."""
        return self.size == SMALL and self.function != "astype"

    @property
    def reduces(self) -> bool:
        """Whether the result is smaller than the operand."""
        return self.function in ("sum", "max", "argmax")

    @property
    def moves_floats(self) -> bool:
        """Whether all operands and results are floats of one dtype."""
        return self.function not in ("argmax", "astype", "greater", "where", "sort") and self.order != "S"

    @property
    def moved(self) -> float | None:
        """Bytes that have to be read and written, where they are worth counting: beyond the cache."""
        arrays = {"add": 3, "multiply": 3}.get(self.function, 1 if self.reduces else 2)
        return arrays * float(self.size) if self.size >= BEYOND and self.moves_floats else None

    @property
    def kinds(self) -> tuple[str]:
        """Elementwise or reduction."""
        return ("reduction" if self.reduces else "elementwise",)

    @property
    def name(self) -> str:
        """Function, axis, dtype, size, order."""
        axis = f" axis {self.axis}" if self.axis is not None else ""
        call = ", plain call" if self.plain else ""
        size = f"{self.size >> 20} MB" if self.size >> 20 else f"{self.size >> 10} kB"
        order = {"C": "", "F": ", F order", "S": ", every other column"}[self.order]
        return f"{self.function}{axis} {self.dtype.replace('float', 'f')} {size}{order}{call}"

    def operands(self) -> list[np.ndarray]:
        """One array or two, of shape (rows, width), after the condition of `where`."""
        rng = np.random.default_rng(0)
        shape = self.size // np.dtype(self.dtype).itemsize // self.width, self.width
        low, high = DOMAINS.get(self.function, (-4.0, 4.0))
        count = 2 if self.function in OF_TWO else 1
        condition = [rng.uniform(size=shape) < 0.5] if self.function == "where" else []
        floats = [rng.uniform(low, high, shape).astype(self.dtype) for _ in range(count)]
        if self.order == "F":
            floats = [np.asfortranarray(v) for v in floats]
        elif self.order == "S":
            floats = [np.repeat(v, 2, axis=1)[:, ::2] for v in floats]
        return [*condition, *floats]

    def apply(self, np: ModuleType, *operands):
        """The function in the given namespace; `astype` casts to the other width, `polygamma` of order 1."""
        if self.function == "astype":
            return operands[0].astype("float64" if self.dtype == "float32" else "float32")
        if self.function == "polygamma":
            return np.polygamma(1, *operands)
        function = getattr(np, self.function)
        return function(operands[0], axis=self.axis) if self.reduces else function(*operands)

    def result(self) -> np.ndarray | None:
        """Where the result goes: a small one is made anew, for a large one the system would clear pages."""
        return None if self.reduces or self.size < BEYOND else np.empty(self.operands()[0].shape, self.dtype)


@dataclass(frozen=True)
class Scalar:
    """A program of scalar operations, or one expression over a vector, as one writes it in Python."""

    name: str
    function: Callable
    x: float | tuple[float, ...]
    kinds: tuple[str, ...]
    operations: int = 1  # per call; what is recorded is reported per operation
    suite = work = "eager"

    def start(self) -> np.ndarray:
        """The point."""
        return np.array(self.x)


@dataclass(frozen=True)
class Pinn:
    """The gradient, by the parameters, of a net's mean squared residual of Burgers' equation."""

    dtype: str
    points: int = 1000
    viscosity: float = 0.01 / np.pi
    kinds = ("gradient",)
    suite = work = "pinn"

    @property
    def net(self) -> Net:
        """From (t, x) to u."""
        return Net((2, 32, 32, 32, 32, 1), "tanh", "squared_error", self.points, self.dtype)

    @property
    def name(self) -> str:
        """Widths, points, dtype."""
        return f"Burgers 2-32×4-1 tanh {self.dtype.replace('float', 'f')} {self.points} points"

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Parameters, and points (t, x) in [0, 1] × [-1, 1]."""
        rng = np.random.default_rng(1)
        z = rng.uniform((0.0, -1.0), (1.0, 1.0), (self.points, 2))
        return self.net.batch().theta, z.astype(self.dtype)


@dataclass(frozen=True)
class Function:
    """A function of arrays that returns a number; measured is the gradient by all of them."""

    name: str
    function: Callable  # (namespace, *arguments)
    ranges: tuple[tuple[float, float], ...]  # one for each argument
    n: int | None = None  # numbers in an argument, drawn from its range; None: the one in the middle
    kinds: tuple[str, ...] = ("gradient",)
    suite: str = "graph"
    work = "function"

    def arguments(self) -> tuple[np.ndarray, ...]:
        """The same for every peer."""
        rng = np.random.default_rng(0)
        return tuple(np.array(np.mean(r)) if self.n is None else rng.uniform(*r, self.n) for r in self.ranges)


@dataclass(frozen=True)
class Field:
    """Derivatives of a tanh net's one output by its inputs, point by point.

    Those by the parameters are of the mean square of what stands before: of the loss of a Poisson problem.
    """

    widths: tuple[int, ...]
    rows: int
    kinds: tuple[str, ...]
    dtype: str = "float32"
    suite, work = "derivatives", "field"

    @property
    def net(self) -> Net:
        """With parameters and points."""
        return Net(self.widths, "tanh", "squared_error", self.rows, self.dtype)

    @property
    def name(self) -> str:
        """Widths, points, dtype."""
        return f"{net_name(self.widths)} tanh {self.dtype.replace('float', 'f')} {self.rows} points"


@dataclass(frozen=True)
class Recurrence:
    """The gradient, by the weights, of the last state's square in a recurrence h = tanh(h w + x)."""

    steps: int
    kinds: tuple[str, ...]
    rows: int = 32
    width: int = 16
    dtype = "float32"
    suite, work = "derivatives", "recurrence"

    @property
    def name(self) -> str:
        """Steps, width, rows."""
        return f"{self.steps:,} steps of a {self.width}-wide tanh RNN f32 batch {self.rows}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (width, width), first state (rows, width), what drives it (steps, width)."""
        rng = np.random.default_rng(0)
        w, h = rng.normal(0, self.width**-0.5, (self.width,) * 2), rng.normal(size=(self.rows, self.width))
        x = rng.normal(0, 0.1, (self.steps, self.width))
        return w.astype(self.dtype), h.astype(self.dtype), x.astype(self.dtype)


@dataclass(frozen=True)
class Row:
    """One row through a net, by the call that a user makes, and the derivatives of its outputs by it.

    The 99.9th percentile is that of single calls, the other number their mean.
    """

    widths: tuple[int, ...] = (12, 64, 64, 4)
    dtype: str = "float32"
    kinds = ("forward", "forward, p99.9", "Jacobian", "Jacobian, p99.9")
    suite, work = "graph", "row"

    @property
    def net(self) -> Net:
        """With parameters and one row."""
        return Net(self.widths, "tanh", "squared_error", 1, self.dtype)

    @property
    def name(self) -> str:
        """Widths and dtype."""
        return f"one row, {net_name(self.widths)} tanh {self.dtype.replace('float', 'f')}"


@dataclass(frozen=True)
class Invocation:
    """A call around next to no work: four vectors of eight numbers in, their sum or their doubles out."""

    kinds = ("four arrays", "four arrays, out=", "a tree of four")
    name = "call"
    suite, work = "graph", "invocation"

    def arrays(self) -> list[np.ndarray]:
        """The vectors."""
        return [np.arange(8.0) + k for k in range(4)]

    def tree(self, leaves) -> list[dict]:
        """Four leaves as the parameters of two layers."""
        w0, b0, w1, b1 = leaves
        return [{"weight": w0, "bias": b0}, {"weight": w1, "bias": b1}]


def chain(np: ModuleType, x, operations: int = 3000):
    """Alternating sin, multiplication and addition, each on the result of the last."""
    z = x
    for _ in range(operations // 3):
        z = np.sin(z) * x + z
    return z


def operators(np: ModuleType, x, operations: int = 3000):
    """Nothing but Python's operators."""
    y = x
    for _ in range(operations // 3):
        y = (y - x) * x + x
    return y


def functions(np: ModuleType, x, operations: int = 3000):
    """Nothing but functions of one argument."""
    y = x
    for _ in range(operations // 3):
        y = np.sin(np.sqrt(np.cos(y)))
    return y


def rosenbrock(np: ModuleType, x):
    """Rosenbrock's function as an expression over slices."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def decompositions(np: ModuleType, x):
    """Of a matrix of 20 x 20."""
    a = x.reshape(20, 20)
    inverse, factor = np.linalg.inv(a), np.linalg.cholesky(a @ a.T)
    return np.linalg.slogdet(a)[1] + np.sum(inverse) + np.sum(factor)


def black_scholes(np: ModuleType, spot, strike, years, volatility, rate: float = 0.02):
    """The sum of the prices of European calls (Black & Scholes 1973)."""
    spread = volatility * np.sqrt(years)
    upper = np.log(spot / strike) / spread + (rate / volatility + 0.5 * volatility) * np.sqrt(years)
    lower = upper - spread
    discounted = strike * np.exp(-rate * years)
    half, root = 0.5, 0.5**0.5
    held = spot * (half + half * np.erf(root * upper))
    return np.sum(held - discounted * (half + half * np.erf(root * lower)))


Workload = Net | Gemm | Stream | Scalar | Pinn | Function | Field | Recurrence | Row | Invocation
