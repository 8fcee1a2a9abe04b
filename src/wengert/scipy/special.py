"""scipy.special: what statistics needs, computed by SciPy, with derivatives of any order."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as _special

from .. import numpy as wnp
from .._core import Var
from ..hosted import call, custom_jvp
from ..protocols.registry import FUNCTIONS, mirrored, operand, recorded, refuse_options

SQRT_2PI = 2.5066282746310002
PRIMITIVES: dict[str, Callable] = {}


def _public(name: str, implementation: Callable) -> Callable:
    """Files a function under SciPy's, if that is a ufunc, and here."""
    original = getattr(_special, name)
    if isinstance(original, np.ufunc):
        FUNCTIONS[original] = implementation

    function = mirrored(original, implementation)
    function.__doc__ = f"As `scipy.special.{name}`; takes Vars, arrays and scalars."
    return function


def _hosted(name: str, *slopes: Callable | None) -> Any:
    """An elementwise function that SciPy computes; its partial derivatives are functions of the result and of
    the operands, None where there is none."""
    original = getattr(_special, name)

    @custom_jvp
    def primitive(*args):
        shape = np.broadcast_shapes(*(a.shape for a in args))
        return call(original, *args, shape=shape, dtype=np.result_type(*(a.dtype for a in args)))

    @primitive.defjvp
    def _(primals, tangents):
        y = primitive(*primals)
        parts = [
            slope(y, *primals) * t for slope, t in zip(slopes, tangents, strict=True) if slope is not None
        ]
        return y, sum(parts[1:], parts[0])

    def implementation(*args: Any, **kwargs: Any) -> Any:
        refuse_options(name, **kwargs)
        for k, slope in enumerate(slopes):
            if slope is None and isinstance(operand(args[k]), Var):  # also of a list with one inside
                raise TypeError(
                    f"{name}: there is no derivative by argument {k}; pass a plain number or array, v.value"
                )
        return primitive(*map(_operand, args))

    PRIMITIVES[name] = primitive
    return _public(name, implementation)


def _operand(a: Any) -> Any:
    """An array or a Var of floats; a number stays one, for rules cannot use arrays from outside."""
    if isinstance(a, (int, float, np.generic)):
        return float(a)
    a = recorded(a)
    return a if a.dtype.kind == "f" else wnp.astype(a, np.float64)


def _again(name: str) -> Callable:
    """A function within its own rule, where all operands are Vars."""
    return lambda *args: PRIMITIVES[name](*args)


def _composed(implementation: Callable) -> Callable:
    return _public(implementation.__name__.rstrip("_"), implementation)


jv_, yv_, iv_, ive_, zeta_ = map(_again, ("jv", "yv", "iv", "ive", "zeta"))

# ---- gamma and beta -----------------------------------------------------------------------------------


def _polygamma(n: int, x: Any) -> Any:
    return digamma(x) if n == 0 else (-1.0) ** (n + 1) * math.factorial(n) * zeta(n + 1.0, x)


digamma = _hosted("digamma", lambda y, x: _polygamma(1, x))
psi = _public("psi", lambda x: digamma(x))
gammaln = _hosted("gammaln", lambda y, x: digamma(x))
gamma = _hosted("gamma", lambda y, x: y * digamma(x))
rgamma = _hosted("rgamma", lambda y, x: -y * digamma(x))
gammasgn = _hosted("gammasgn", lambda y, x: y * 0.0)
zeta = _hosted("zeta", None, lambda y, s, x: -s * zeta_(s + 1.0, x))
beta = _hosted(
    "beta",
    lambda y, a, b: y * (digamma(a) - digamma(a + b)),
    lambda y, a, b: y * (digamma(b) - digamma(a + b)),
)
betaln = _hosted(
    "betaln", lambda y, a, b: digamma(a) - digamma(a + b), lambda y, a, b: digamma(b) - digamma(a + b)
)
gammainc = _hosted("gammainc", None, lambda y, a, x: wnp.exp((a - 1.0) * wnp.log(x) - x - gammaln(a)))
gammaincc = _hosted("gammaincc", None, lambda y, a, x: -wnp.exp((a - 1.0) * wnp.log(x) - x - gammaln(a)))
betainc = _hosted(
    "betainc", None, None,
    lambda y, a, b, x: wnp.exp((a - 1.0) * wnp.log(x) + (b - 1.0) * wnp.log1p(-x) - betaln(a, b)),
)  # fmt: skip


@functools.partial(mirrored, _special.polygamma)
def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of the digamma function, for a Python integer n."""
    if isinstance(n, Var):
        raise TypeError("polygamma: the order must be a Python integer, not a Var")
    return _polygamma(int(n), x)


@functools.partial(mirrored, _special.multigammaln)
def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension d."""
    steps = [gammaln(recorded(a) - 0.5 * k) for k in range(d)]
    return sum(steps[1:], steps[0]) + d * (d - 1) / 4 * float(np.log(np.pi))


# ---- the normal distribution, logarithms --------------------------------------------------------------

erfinv = _hosted("erfinv", lambda y, x: 0.5 * np.sqrt(np.pi) * wnp.exp(y * y))
erfcinv = _hosted("erfcinv", lambda y, x: -0.5 * np.sqrt(np.pi) * wnp.exp(y * y))
log_ndtr = _hosted("log_ndtr", lambda y, x: wnp.exp(-0.5 * x * x - y) / SQRT_2PI)
ndtri = _hosted("ndtri", lambda y, x: SQRT_2PI * wnp.exp(0.5 * y * y))
erf, erfc, expit, log_expit = wnp.erf, wnp.erfc, wnp.expit, wnp.log_expit


@_composed
def ndtr(x: Any) -> Any:
    return 0.5 * wnp.erfc(recorded(x) * -float(np.sqrt(0.5)))


@_composed
def logit(x: Any) -> Any:
    x = recorded(x)
    return wnp.log(x) - wnp.log1p(-x)


@_composed
def xlogy(x: Any, y: Any) -> Any:
    x, y = recorded(x), recorded(y)
    return x * wnp.log(wnp.where(x == 0, 1.0, y))


@_composed
def xlog1py(x: Any, y: Any) -> Any:
    x, y = recorded(x), recorded(y)
    return x * wnp.log1p(wnp.where(x == 0, 0.0, y))


@_composed
def entr(x: Any) -> Any:
    return -xlogy(x, x)


@_composed
def rel_entr(x: Any, y: Any) -> Any:
    x, y = recorded(x), recorded(y)
    return xlogy(x, wnp.where(x == 0, 1.0, x) / y)


@functools.partial(mirrored, _special.logsumexp)
def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False) -> Any:
    """log of the sum of b e^a over axes, without overflow."""
    if b is None:
        return wnp.logsumexp(a, axis, keepdims)
    a = recorded(a)
    top = wnp.max(a, axis, keepdims=True)
    total = wnp.log(wnp.sum(recorded(b) * wnp.exp(a - top), axis, keepdims=keepdims))
    return total + (top if keepdims else wnp.reshape(top, total.shape))


softmax, log_softmax = wnp.softmax, wnp.log_softmax

# ---- Bessel functions: derivatives by the neighbouring orders (DLMF 10.6, 10.29) -----------------------

j0: Any = _hosted("j0", lambda y, x: -j1(x))
j1: Any = _hosted("j1", lambda y, x: 0.5 * (j0(x) - jv(2.0, x)))
jv: Any = _hosted("jv", None, lambda y, v, x: 0.5 * (jv_(v - 1.0, x) - jv_(v + 1.0, x)))
y0 = _hosted("y0", lambda y, x: -y1(x))
y1: Any = _hosted("y1", lambda y, x: 0.5 * (y0(x) - yv(2.0, x)))
yv: Any = _hosted("yv", None, lambda y, v, x: 0.5 * (yv_(v - 1.0, x) - yv_(v + 1.0, x)))
i0 = _hosted("i0", lambda y, x: i1(x))
i1: Any = _hosted("i1", lambda y, x: 0.5 * (i0(x) + iv(2.0, x)))
iv: Any = _hosted("iv", None, lambda y, v, x: 0.5 * (iv_(v - 1.0, x) + iv_(v + 1.0, x)))
ive: Any = _hosted("ive", None, lambda y, v, x: 0.5 * (ive_(v - 1.0, x) + ive_(v + 1.0, x)) - wnp.sign(x) * y)
jn, yn = jv, yv
FUNCTIONS[np.i0] = i0


def __getattr__(name: str) -> Any:
    return getattr(_special, name)
