"""How far every elementwise function is from the exact result: writes docs/accuracy.md.

    python -m benchmarks.accuracy [--only NAME ...]

The functions are the rows of the op table, measured on each instruction set that this machine has.  What is
exact comes from mpmath.  A process for each set computes the values; errors are taken here.
"""

import argparse
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
from mpmath import mpf

import wengert as wg
from wengert import _core

from .report import cpu_model, lined

PAGE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
OPS = {op.name: op for op in _core.ops()}
ELEMENTWISE = [name for name, op in OPS.items() if op.kind in ("UNARY", "BINARY", "ZERO")]
FLOATS = ("float32", "float64")
PARAMETERS = (0.3,)  # P(0) of the rows that have one
PRECISION = 160  # bits: three times those of float64
RANDOM = 6000  # points of each kind whose exact value is computed
STRIDE = 1021  # float32: every so manieth bit pattern is looked at
SUSPECTS = 32  # float32: of those, how many are computed exactly
SPECIAL = (
    0.0, 5e-324, 1e-310, 2.2250738585072014e-308, 1e-45, 1e-40, 1.1754943508222875e-38, 1e-30, 1e-16, 6e-8,
    1e-4, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 6.0, 10.0, 88.72, 88.73, 103.9, 104.0, 127.9, 128.0, 149.0,
    150.0, 709.78, 709.79, 745.1, 745.2, 1023.9, 1024.0, 1074.0, 1075.0, 65536.0, 1e9, 16777217.0, 1e22, 1e30,
    9007199254740993.0, 3.4028234663852886e38, 1e300, 1.7976931348623157e308,
    np.pi / 2, np.pi, 1e5 * np.pi, np.inf,
)  # fmt: skip
# The numbers next to zeros about which large terms cancel.
ZEROS = {
    "digamma": (
        1.4616321449683622, -0.5040830082644554, -1.5734984731623904, -2.6107208684441447, -3.635293366436901,
        -9.702672540001863, -50.78563524788128, -1000.8641588557814,
    ),
    "lgamma": (-2.7476826467274127, -2.4570247382208006, -3.955294284858598, -3.14358088834998),
}  # fmt: skip

# ---- what is exact --------------------------------------------------------------------------------------


def exactly(function: Callable) -> Callable:
    """Of rational operands: for functions whose terms cancel beyond any working precision."""

    def rational(*operands: mpf) -> mpf:
        if not all(mpmath.isfinite(x) for x in operands):
            raise ZeroDivisionError
        result = function(*(Fraction(float(x)) for x in operands))
        return mpf(result.numerator) / result.denominator

    return rational


def limited(a: mpf, low: float, high: float) -> mpf:
    """`a` or the nearer limit."""
    return min(max(a, mpf(low)), mpf(high))


def bent(slope: Callable[[mpf], mpf]) -> Callable[[mpf, float], mpf]:
    """The identity above 0, another function below."""
    return lambda a, *p: a if a > 0 else slope(a, *p)


def log_gamma(a: mpf) -> mpf:
    """log|Gamma(a)|; mpmath counts the turns of its imaginary part one by one far out on the left."""
    if a < -1e6:
        raise ValueError
    return mpmath.re(mpmath.loggamma(a))


def hurwitz_zeta(s: mpf, q: mpf) -> mpf:
    """Where mpmath is quick about it.  It works to fixed places, and q^-s may begin with zeros."""
    if not (1 < s < 60 and 0 < q < 100):
        raise ValueError
    with mpmath.workprec(PRECISION + int(s * max(0, mpmath.log(q, 2)))):
        return mpmath.zeta(s, q)


# Rows that mpmath does not know by their names.  A row without a formula is an error, which a test looks for.
FORMULAS: dict[str, Callable] = {
    "neg": lambda a: -a,
    "abs": abs,
    "trunc": lambda a: mpmath.floor(a) if a > 0 else mpmath.ceil(a),
    "rint": mpmath.nint,
    "reciprocal": lambda a: 1 / a,
    "square": lambda a: a * a,
    "one_minus_square": lambda a: 1 - a * a,
    "cbrt": lambda a: mpmath.sign(a) * mpmath.cbrt(abs(a)),
    "exp2": lambda a: mpf(2) ** a,
    "log2": lambda a: mpmath.log(a, 2),
    "sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)),
    "softplus": lambda a: mpmath.log1p(mpmath.exp(a)),
    "log_sigmoid": lambda a: -mpmath.log1p(mpmath.exp(-a)),
    "relu": lambda a: max(a, mpf(0)),
    "relu6": lambda a: limited(a, 0, 6),
    "leaky_relu": bent(lambda a, p: p * a),
    "elu": bent(lambda a, p: p * mpmath.expm1(a)),
    "celu": bent(lambda a, p: p * mpmath.expm1(a / p)),
    "selu": lambda a: mpf(1.0507009873554805) * a if a > 0 else mpf(1.7580993408473769) * mpmath.expm1(a),
    "gelu": lambda a: a * mpmath.erfc(-a / mpmath.sqrt(2)) / 2,
    "gelu_tanh": lambda a: a / (1 + mpmath.exp(-2 * mpmath.sqrt(2 / mpmath.pi) * (a + a**3 * 44715 / 10**6))),
    "sinc": mpmath.sincpi,
    "lgamma": log_gamma,
    "zeta": hurwitz_zeta,
    "silu": lambda a: a / (1 + mpmath.exp(-a)),
    "mish": lambda a: a * mpmath.tanh(mpmath.log1p(mpmath.exp(a))),
    "hard_tanh": lambda a: limited(a, -1, 1),
    "hard_sigmoid": lambda a: limited(a + 3, 0, 6) / 6,
    "hard_swish": lambda a: a * limited(a + 3, 0, 6) / 6,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "zmul": lambda a, b: a * b if a and b else mpf(0),
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "maximum": max,
    "minimum": min,
    "remainder": exactly(lambda a, b: a % b),
}


def formula(name: str) -> Callable:
    """The row's function of mpmath numbers; KeyError if there is none."""
    if name not in FORMULAS and not hasattr(mpmath, name):
        raise KeyError(f"{name}: add its formula to FORMULAS in benchmarks/accuracy.py")
    return FORMULAS.get(name) or getattr(mpmath, name)


def exact(name: str, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The exact results as sums of two float64, and where they are known: not at poles and beyond a domain.

    What C99 asks for there (infinities, NaN, the sign of 0) is compared with NumPy in test_special_values.py.
    """
    function, params = formula(name), tuple(map(mpf, PARAMETERS[: OPS[name].n_params]))
    high, low, known = np.zeros((3, len(arrays[0])))
    with mpmath.workprec(PRECISION):
        for k, operands in enumerate(zip(*(x.tolist() for x in arrays), strict=True)):
            try:
                y = function(*map(mpf, operands), *params)
            except (ZeroDivisionError, ValueError, OverflowError):
                continue
            if isinstance(y, mpf) and not mpmath.isnan(y):
                high[k] = float(y)
                low[k] = float(y - high[k]) if np.isfinite(high[k]) else 0.0
                known[k] = True
    return high, low, known.astype(bool)


def ulps(y: np.ndarray, high: np.ndarray, low: np.ndarray | float = 0.0) -> np.ndarray:
    """|y - exact| in units of the exact result's last place; infinity counts as the first number beyond."""
    info = np.finfo(y.dtype)
    shift = np.where(np.abs(high) > 1, -20, 0)  # room for that number
    beyond = np.ldexp(1.0, np.minimum(info.maxexp + shift, 1023))
    low = np.ldexp(np.where(np.abs(high) > info.max, 0.0, low), shift)
    y, high = (np.clip(np.ldexp(v.astype("f8"), shift), -beyond, beyond) for v in (y, high))
    mantissa, exponent = np.frexp(high)
    exponent -= (np.abs(mantissa) == 0.5) & (low * mantissa < 0)  # just below a power of two
    place = np.maximum(exponent - 1, info.minexp + shift) - info.nmant
    with np.errstate(over="ignore"):  # a wrong result may be any number of places off
        found = np.abs(np.ldexp((y - high) - low, -place))
    return np.where(np.isnan(y), np.inf, found)


# ---- where it is looked at ------------------------------------------------------------------------------


def special(arity: int, dtype: str) -> list[np.ndarray]:
    """Zeros, subnormals, powers, thresholds, infinities, of both signs, each with its neighbours."""
    with np.errstate(all="ignore"):
        x = np.array([*SPECIAL, *(-v for v in SPECIAL)]).astype(dtype)
        if arity == 2:
            x = x[:: 1 if dtype == "float64" else 2]
            return [x.repeat(len(x)), np.tile(x, len(x))]
        return [np.unique(np.concatenate([x, np.nextafter(x, x + 1), np.nextafter(x, x - 1)]))]


def points(name: str, dtype: str) -> list[np.ndarray]:
    """Operands at which the exact value is computed: the tests' domain, all numbers alike, special ones."""
    op, rng = OPS[name], np.random.default_rng(0)
    bits = np.dtype(dtype).itemsize * 8
    dense = [np.linspace(op.lo, op.hi, RANDOM).astype(dtype)]
    if op.arity == 2:
        dense = [rng.uniform(op.lo, op.hi, RANDOM).astype(dtype) for _ in range(2)]
    patterns = [rng.integers(0, 1 << bits, RANDOM, f"u{bits // 8}").view(dtype) for _ in range(op.arity)]
    # and from where most functions are their first term to where they leave the floats
    moderate = [
        np.exp2(rng.uniform(-40, 11, RANDOM)).astype(dtype) * rng.choice([-1, 1], RANDOM).astype(dtype)
        for _ in range(op.arity)
    ]
    zeros = np.array(ZEROS.get(name, ()), dtype)
    about = np.concatenate([zeros, np.nextafter(zeros, np.inf), np.nextafter(zeros, -np.inf)])
    groups = [dense, patterns, moderate, special(op.arity, dtype), [about] * op.arity]
    if name == "pow":  # a base about 1, where its logarithm is small, and any power that is no overflow
        base = np.exp2(rng.uniform(-0.1, 0.1, RANDOM)).astype(dtype)
        power = rng.uniform(-1, 1, RANDOM) * np.finfo(dtype).maxexp / np.log2(base.astype("f8"))
        groups.append([base, power.astype(dtype)])
    arrays = [np.concatenate(group) for group in zip(*groups, strict=True)]
    # mpmath has no -0, which matters to two operands
    kept = np.logical_and.reduce([~np.isnan(x) & ((x != 0) | ~np.signbit(x)) for x in arrays])
    return [x[kept] for x in arrays]


def all_patterns() -> np.ndarray:
    """Every STRIDEth float32, and NaN nowhere."""
    x = np.arange(0, 1 << 32, STRIDE, dtype="u4").view("f4")
    return x[~np.isnan(x)]


# ---- in the process of an instruction set ---------------------------------------------------------------


def values(name: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """What the core computes."""
    tape = _core.Tape()
    operands = tuple(tape.leaf(x) for x in arrays)
    return np.asarray(_core.record(OPS[name].code, operands, PARAMETERS[: OPS[name].n_params]).value)


def suspects(name: str, double: np.ndarray) -> np.ndarray:
    """The float32 whose results are farthest from `double`, those of the generic kernels in float64."""
    x = all_patterns()
    with np.errstate(all="ignore"):
        off = ulps(values(name, [x]), double)
    off[np.isnan(double)] = 0
    return x[np.argpartition(off, -SUSPECTS)[-SUSPECTS:]]


class InstructionSet:
    """A process that runs the kernels of one set."""

    def __init__(self, isa: str):
        os.environ["WENGERT_ISA"] = isa  # read when the process imports wengert
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        assert self.ask(wg.cpu_info)["isa"] == isa

    def ask(self, function: Callable, *arguments):
        """The function's result there."""
        return self._pool.submit(function, *arguments).result()

    def close(self) -> None:
        """Lets the process end."""
        self._pool.shutdown()


# ---- the measurement ------------------------------------------------------------------------------------


@dataclass
class Worst:
    """The largest error of a function, and where."""

    isa: str
    name: str
    dtype: str
    ulps: float
    at: tuple[float, ...]
    samples: int

    @property
    def place(self) -> str:
        """Where, in digits that give the number back."""
        kind = np.dtype(self.dtype).type
        return ", ".join(str(kind(x)) for x in self.at) if self.ulps else ""


def worst(name: str, dtype: str, sets: dict[str, InstructionSet]) -> Iterable[Worst]:
    """For each instruction set."""
    arrays = points(name, dtype)
    answers, looked_at = {}, 0
    if dtype == "float32" and OPS[name].arity == 1:
        double = sets["generic"].ask(values, name, [all_patterns().astype("f8")])
        arrays = [np.concatenate([arrays[0], *(s.ask(suspects, name, double) for s in sets.values())])]
        looked_at = len(double)
    for isa, kernels in sets.items():
        answers[isa] = kernels.ask(values, name, arrays)
    high, low, known = exact(name, arrays)
    for isa, y in answers.items():
        off = np.where(known, ulps(y, high, low), 0)
        at = int(np.argmax(off))
        place = tuple(float(x[at]) for x in arrays)
        yield Worst(isa, name, dtype, float(off[at]), place, looked_at + int(known.sum()))


def measure(names: Sequence[str]) -> list[Worst]:
    """All of them on all sets that this machine has."""
    sets: dict[str, InstructionSet] = {}
    try:
        for isa in wg.cpu_info()["supported"]:
            sets[isa] = InstructionSet(isa)
        return [
            found for name, dtype in itertools.product(names, FLOATS) for found in worst(name, dtype, sets)
        ]
    finally:
        os.environ.pop("WENGERT_ISA", None)
        for kernels in sets.values():
            kernels.close()


# ---- the page -------------------------------------------------------------------------------------------

HEAD = f"""# Accuracy

Written by `make accuracy` ({{date}}, {{cpu}}); do not edit.

The largest error found of every elementwise function, in units of the last place (ULP) of the exact result:
0.5 is a correctly rounded function. Each is compared with mpmath at {PRECISION} bits

- at {RANDOM:,} points of the domain from which the tests draw (evenly spaced for functions of one operand),
- at {RANDOM:,} random bit patterns, so over all exponents alike,
- at {RANDOM:,} points from 2^-40 to 2^11 of either sign,
- of `pow` also at as many bases about 1 with large powers,
- at zeros, subnormals, the largest numbers, thresholds of overflow, small integers, multiples of pi and
  infinities, with their neighbours, or in pairs for functions of two operands,
- in float32, for functions of one operand, also where every {STRIDE}st of all 2^32 bit patterns differs most
  from the generic kernel in float64: {{patterns:,}} points.

Poles and points beyond a function's domain have no error; `tests/test_special_values.py` compares them with
NumPy. Rows with a parameter have P(0) = {PARAMETERS[0]} here. What a row computes is in [ops.md](ops.md).
The generic set is the plain twin of the others: float32 through double, float64 through the C library,
in long double where it takes several roundings.

Where a function is 0, a unit is as small as the result, and an error in proportion to what cancels is any
number of units. `lgamma` and `digamma` keep to the table there, too: the numbers next to some of their zeros
are among the points.
"""


def page(found: Sequence[Worst]) -> str:
    """Markdown with one table for each instruction set."""
    date = time.strftime("%Y-%m-%d", time.gmtime())
    text = HEAD.format(date=date, cpu=cpu_model(), patterns=len(all_patterns()))
    for isa in dict.fromkeys(w.isa for w in found):
        rows = [["op", *(title for dtype in FLOATS for title in (dtype, "at", "samples"))]]
        for name in dict.fromkeys(w.name for w in found):
            cells = [w for w in found if (w.isa, w.name) == (isa, name)]
            rows.append([name, *(c for w in cells for c in (f"{w.ulps:.2f}", w.place, f"{w.samples:,}"))])
        text += f"\n## {isa}\n\n{lined(rows)}\n"
    return text


def main() -> None:
    """Measure; write the page, or print it where only some functions were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--only", nargs="+", choices=ELEMENTWISE, metavar="NAME", help="print these")
    only = parser.parse_args().only
    found = measure(only or ELEMENTWISE)
    for w in found:
        if not w.ulps <= 2:
            print(f"{w.isa} {w.dtype} {w.name}: {w.ulps:.3g} ULP at {w.place}")
    if only:
        print(page(found))
    else:
        PAGE.write_text(page(found))
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
