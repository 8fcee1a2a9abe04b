"""Every instruction set that this machine has against the generic kernels, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import OPS, derivative, names, run, spacing, tolerances, wide
from test_array_ops import CASES, arrays
from test_ops import ELEMENTWISE, SMOOTH, VALUE_ULPS, draw, operands, program

from wengert import _core

ISAS = [isa for isa in ("avx2", "avx512", "neon") if _core.isa_supported(isa)]
FLOATS = ("float32", "float64")
EDGES = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        3.0,
        -3.0,
        1e-40,
        1e-310,
        1e30,
        -1e30,
        88.8,
        -104.0,
        709.9,
        -745.2,
        1e9,
        np.inf,
        -np.inf,
        np.nan,
    ]
)
KNOWN = [name for name in SMOOTH if "NAN" not in OPS[name].derivative]  # by every operand
EXACT = (
    "neg",
    "abs",
    "sign",
    "reciprocal",
    "square",
    "sqrt",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "relu",
    "relu6",
    "leaky_relu",
    "hard_tanh",
    "hard_sigmoid",
    "hard_swish",
    "remainder",
    "add",
    "sub",
    "mul",
    "zmul",
    "div",
    "maximum",
    "minimum",
    *names("COMPARE"),
)  # IEEE 754 leaves no choice
SUMS = (1, 2, 3, 5, 7, 8, 9, 31, 64, 100, 513, 1007, 5003)
PRODUCTS = (
    (1, 1, 1),
    (3, 2, 5),
    (6, 16, 8),
    (7, 17, 9),
    (13, 33, 64),
    (64, 64, 65),
    (97, 101, 103),
    (1, 40, 300),
)


def edges(name, dtype):
    with np.errstate(over="ignore"):
        x = EDGES.astype(dtype)
    return [x] if OPS[name].arity == 1 else [x.repeat(len(x)), np.tile(x, len(x))]


def everything():
    """All that is compared, by name.  Runs in each process."""
    found = {}
    for dtype in FLOATS:
        for name in ELEMENTWISE:
            found[f"{name} {dtype}"] = run(
                program(name), operands(name, [(1007,)] * OPS[name].arity, dtype), "eager"
            )[0]
            found[f"{name} {dtype} edges"] = run(program(name), edges(name, dtype), "eager")[0]
        for name in KNOWN:
            slopes = run(
                derivative(program(name), ("rev",)), operands(name, [(64,)] * OPS[name].arity, dtype), "eager"
            )
            for k, slope in enumerate(slopes):
                found[f"{name} {dtype} slope {k}"] = slope
        for n in SUMS:
            for name in ("sum", "max", "min", "logsumexp"):
                x = draw("sin", (n,), dtype)
                found[f"{name} {n} {dtype}"] = run(
                    lambda m, x, name=name: [m.op(name, x, attrs=(1, 0))], [x], "eager"
                )[0]
        for m, n, k in PRODUCTS:
            a, b = draw("add", (m, k), dtype), draw("add", (k, n), dtype, 1)
            found[f"matmul {m} {n} {k} {dtype}"] = run(
                lambda m, a, b: [m.op("matmul", a, b)], [a, b], "eager"
            )[0]
    for key, case, given in array_cases(CASES):
        for part, y in enumerate(run(case, given, "eager")):
            if y is not None:
                found[f"{key} {part}"] = y
    return found


def array_cases(names):
    """(key, program, operands) of the values and the adjoints of every case in test_array_ops."""
    for name in names:
        for k, (case, shapes) in enumerate(CASES[name]):
            for dtype in FLOATS:
                yield f"{name} {k} {dtype}", case, arrays(shapes, dtype)
                yield f"{name} {k} {dtype} adjoint", derivative(case, ("rev",)), arrays(shapes, dtype)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each instruction set gives."""
    folder, by_isa = tmp_path_factory.mktemp("isa"), {}
    for isa in ("generic", *ISAS):
        path = folder / f"{isa}.npz"
        script = f"import numpy, test_isa; numpy.savez({str(path)!r}, **test_isa.everything())"
        paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            timeout=300,
            env={**os.environ, "WENGERT_ISA": isa, "PYTHONPATH": paths},
        )
        by_isa[isa] = dict(np.load(path))
    return by_isa


def far_apart(x, y, limit):
    finite = np.isfinite(x) & np.isfinite(y)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        return ~same & ~(finite & (np.abs(wide(x) - wide(y)) <= limit))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(results, isa, name):
    """Either is good to 2 ULP (and what test_ops adds): they lie at most twice that apart."""
    for dtype in FLOATS:
        for key in (f"{name} {dtype}", f"{name} {dtype} edges"):
            x, y = results["generic"][key], results[isa][key]
            limit = 0 if name in EXACT else 2 * VALUE_ULPS[name] * spacing(x)
            assert not far_apart(x, y, limit).any(), key


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", KNOWN)
def test_derivatives(results, isa, name):
    for dtype in FLOATS:
        arrays = operands(name, [(64,)] * OPS[name].arity, dtype)
        keys = [f"{name} {dtype} slope {k}" for k in range(OPS[name].arity)]
        exact = [results["generic"][key] for key in keys]
        for key, x, limit in zip(
            keys, exact, tolerances(derivative(program(name), ("rev",)), arrays, exact), strict=True
        ):
            assert not far_apart(x, results[isa][key], limit).any(), key


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_reductions(results, isa, dtype):
    eps = np.finfo(dtype).eps
    for n in SUMS:
        x = draw("sin", (n,), dtype)
        for name in ("max", "min"):
            assert results["generic"][f"{name} {n} {dtype}"] == results[isa][f"{name} {n} {dtype}"]
        # two orders of summation (Higham 2002, 4.2); the terms of logsumexp are at most 1 after the shift
        limits = {"sum": 2 * n * eps * np.abs(x).sum(), "logsumexp": (2 * n + 8) * eps}
        for name, limit in limits.items():
            assert (
                abs(results["generic"][f"{name} {n} {dtype}"] - results[isa][f"{name} {n} {dtype}"]) <= limit
            )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_products(results, isa, dtype):
    """With FMA one rounding a term, without it two: at most 3 k eps |A| |B| apart (Higham 2002, 3.5)."""
    for m, n, k in PRODUCTS:
        a, b = (
            np.abs(draw("add", (m, k), dtype)).astype(float),
            np.abs(draw("add", (k, n), dtype, 1)).astype(float),
        )
        x, y = (results[which][f"matmul {m} {n} {k} {dtype}"] for which in ("generic", isa))
        assert not far_apart(x, y, 3 * k * np.finfo(dtype).eps * (a @ b)).any()


@pytest.mark.parametrize("name", CASES)
def test_array_ops(results, name):
    """Values and adjoints of all cases lie as far apart as rounding explains."""
    for key, case, given in array_cases([name]):
        parts = len(run(case, given, "eager"))
        exact = [results["generic"].get(f"{key} {part}") for part in range(parts)]
        limits = tolerances(case, given, exact)
        for isa in ISAS:
            for part, limit in enumerate(limits):
                x, y = exact[part], results[isa].get(f"{key} {part}")
                assert (x is None) == (y is None)
                assert x is None or not far_apart(x, y, limit).any(), (isa, key, part)


@pytest.mark.parametrize("isa", ["sse9", "generic2"])
def test_an_unknown_isa_is_an_error(isa):
    done = subprocess.run(
        [sys.executable, "-c", "import wengert._core"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "WENGERT_ISA": isa},
    )
    assert done.returncode == 1
    assert "WENGERT_ISA" in done.stderr
    assert isa in done.stderr
