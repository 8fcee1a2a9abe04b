"""What is measured: the tables of nets, kernels and functions."""

from dataclasses import replace

import numpy as np

from .models import MODELS
from .workloads import (
    BEYOND,
    BY_UFUNCS,
    IN_CACHE,
    SMALL,
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
    Workload,
    black_scholes,
    chain,
    decompositions,
    functions,
    operators,
    rosenbrock,
)

NETS = (
    Net((4, 32, 16, 4), "tanh", "squared_error", 200),
    Net((24, 8, 2), "tanh", "squared_error", 200, "float64"),
    Net((16, 64, 64, 1), "tanh", "squared_error", 32),
    Net((64, 100, 10), "relu", "cross_entropy", 200),
    Net((784, 128, 10), "relu", "cross_entropy", 32),
    Net((784, 256, 128, 10), "relu", "cross_entropy", 128),
    Net((784, 512, 512, 10), "relu", "cross_entropy", 256),
    Net((256, 256, 256, 256, 256, 1), "tanh", "squared_error", 1024),
    Net((2048, 2048, 2048, 2048, 2048), "relu", "squared_error", 512),
    Net((16, 64, 64, 1), "tanh", "squared_error", 1, kinds=("forward", "gradient")),
)
FLOATS = ("float32", "float64")
GEMMS = (
    *(Gemm(1024, 1024, 1024, dtype) for dtype in FLOATS),
    *(
        Gemm(*shape, dtype, transposed)
        for shape in ((513, 300, 771), (128, 784, 256))
        for dtype in FLOATS
        for transposed in ("", "a", "b")
    ),
    *(Gemm(200, 4, 32, dtype, fresh=True) for dtype in FLOATS),
    *(Gemm(32, 64, 64, dtype, fresh=True) for dtype in FLOATS),
    *(  # a matrix and a vector, in both layouts and from both sides; a dot product
        Gemm(*shape, dtype, transposed)
        for shape, transposed in (
            ((512, 512, 1), ""),
            ((512, 512, 1), "a"),
            ((1, 512, 512), ""),
            ((1, 512, 512), "b"),
            ((1, 32768, 1), ""),
        )
        for dtype in FLOATS
    ),
)
FUNCTIONS = (  # the rest of the op table's elementwise functions that NumPy or SciPy has
    "subtract", "divide", "remainder", "maximum", "minimum", "negative", "absolute", "sign", "floor", "ceil",
    "trunc", "rint", "reciprocal", "square", "sqrt", "cbrt", "hypot", "power", "exp2", "expm1", "log2",
    "log10", "log1p", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "arcsinh",
    "arccosh", "arctanh", "expit", "erfc", "erfinv", "gammaln", "digamma", "polygamma",
)  # fmt: skip
STREAMS = (
    *(
        Stream(function, dtype, size)
        for function in ("add", "multiply", "exp", "log", "sin", "tanh", "erf")
        for dtype in FLOATS
        for size in (IN_CACHE, BEYOND)
    ),
    *(
        Stream(function, dtype, size, axis)
        for function, axis in (("sum", None), ("sum", 0), ("sum", 1), ("max", None))
        for dtype in FLOATS
        for size in (IN_CACHE, BEYOND)
    ),
    *(
        Stream(function, dtype, IN_CACHE, axis, order)
        for function, axis in (
            *((name, None) for name in ("add", "exp", "sum", "max")),
            ("sum", 0),
            ("sum", 1),
        )
        for order in "FS"
        for dtype in FLOATS
    ),
    *(Stream(function, dtype, BEYOND, None, "F") for function in ("add", "sum") for dtype in FLOATS),
    *(
        Stream(function, dtype, size)
        for function in ("greater", "where", "astype")
        for dtype in FLOATS
        for size in (SMALL, IN_CACHE)
    ),
    *(Stream("argmax", dtype, IN_CACHE, axis) for axis in (None, 0, 1) for dtype in FLOATS),
    *(Stream("sort", dtype, IN_CACHE) for dtype in FLOATS),
    *(Stream(function, dtype, IN_CACHE) for function in FUNCTIONS for dtype in FLOATS),
    *(Stream(function, dtype, SMALL) for function in ("add", "exp", "sum") for dtype in FLOATS),
)
MATRIX = tuple((20 * np.eye(20) + np.random.default_rng(0).normal(size=(20, 20))).ravel())
SCALARS = (
    Scalar("3,000 operators", operators, 0.5, ("record, per op",), 3000),
    Scalar("3,000 functions", functions, 0.5, ("record, per op", BY_UFUNCS), 3000),
    Scalar("3,000-op chain", chain, 1e-3, ("gradient",)),  # so small that z does not come to rest at pi
    Scalar("Rosenbrock n=1000", rosenbrock, tuple(np.linspace(-1.0, 1.5, 1000)), ("gradient",)),
    Scalar("slogdet, inv, cholesky of 20 x 20", decompositions, MATRIX, ("gradient",)),
)

PINNS = tuple(Pinn(dtype) for dtype in FLOATS)
GRAPHS = (
    Function("3,000-op chain", chain, ((0.0, 2e-3),), None, ("gradient", "compile")),
    Function("Rosenbrock n=1000", rosenbrock, ((-1.0, 1.5),), 1000),
    Function("Black-Scholes n=10^6", black_scholes, ((80, 120), (80, 120), (0.1, 2), (0.1, 0.5)), 10**6),
    Row(),
    Invocation(),
    *(replace(NETS[k], kinds=("function", "gradient"), suite="graph") for k in (0, 3, 5)),
)

BY_PARAMETERS = ("function", "gradient", "hvp", "Gauss-Newton", "per example")
BY_INPUTS = (
    "function", "gradient", "jvp", "hvp",
    "Hessian", "Hessian's diagonal", "Laplacian", "Laplacian, by parameters",
)  # fmt: skip
SPARSE = ("sparse Hessian", "sparse Hessian, first call")
DERIVATIVES = (
    replace(NETS[7], kinds=("gradient", "hvp"), suite="derivatives"),
    Net((30, 64, 32, 2), "tanh", "squared_error", 256, "float32", BY_PARAMETERS, "derivatives"),
    Field((6, 32, 32, 1), 256, ("Hessian",)),
    Field((10, 64, 64, 1), 1024, BY_INPUTS),
    Field(NETS[7].widths, 1024, ("gradient", "hvp")),
    Recurrence(1000, ("function", "gradient", "gradient, sqrt", "gradient, log", "compile")),
    Recurrence(10**5, ("gradient", "gradient, log")),
    Function("Rosenbrock n=100", rosenbrock, ((-1.0, 1.5),), 100, ("Hessian",), "derivatives"),
    *(
        Function(f"Rosenbrock n=10^{k}", rosenbrock, ((-1.0, 1.5),), 10**k, SPARSE, "derivatives")
        for k in (3, 4, 5, 6)
    ),
)

SUITES: dict[str, tuple[Workload, ...]] = {
    "kernels": GEMMS + STREAMS, "train": NETS, "eager": SCALARS, "pinn": PINNS, "graph": GRAPHS,
    "derivatives": DERIVATIVES, "models": MODELS,
}  # fmt: skip
# Whom the ratios are taken against: in the eager suite what Python records and runs at once.
BASE = dict.fromkeys(SUITES, "wengert") | {"eager": "wengert_eager"}


def tolerance(workload: Workload, kind: str) -> float:
    """The distance between two peers' numbers, relative to their norm, above which one of them is wrong.

    Rounding: 1e-4 leaves 800 units in the last place of float32 for sums in another order.  The first step
    of Adam is nearly the sign of the gradient: rounding may turn it round where the gradient is nearly zero
    (5e-3 is six places in a million), and float32 parameters hold a change of 1e-5 to three digits.  A sum
    over 10^6 prices in another order differs by up to 10^6 units in the last place of float64, 1e-10.
    """
    if kind == "step":
        return 5e-3
    return 1e-10 if getattr(workload, "dtype", "float64") == "float64" else 1e-4
