"""NumPy's polynomials as arrays of coefficients, highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Var
from .calculus import convolve
from .constants import known
from .movement import array, atleast_1d, concatenate, reshape, stack
from .registry import NAMESPACE, implements, recorded, refuse_options


def _coefficients(p: Any) -> Any:
    return recorded(array(p) if isinstance(p, (list, tuple)) else atleast_1d(p))


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """The value of a polynomial at x, by Horner's rule."""
    p, x = _coefficients(p), recorded(x)
    y = x * 0.0
    for k in range(p.shape[0]):
        y = y * x + p[k]
    return y


def _padded(p: Any, n: int) -> Any:
    return concatenate([np.zeros(n - p.shape[0], p.dtype), p]) if p.shape[0] < n else p


def _same_length(a: Any, b: Any) -> tuple[Any, Any]:
    a, b = _coefficients(a), _coefficients(b)
    n = max(a.shape[0], b.shape[0])
    return _padded(a, n), _padded(b, n)


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials."""
    return np.add(*_same_length(a1, a2))


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials."""
    return np.subtract(*_same_length(a1, a2))


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """The product of two polynomials."""
    return convolve(_coefficients(a1), _coefficients(a2))


@implements(np.polydiv)
def polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    """The quotient and the remainder of two polynomials; the remainder without leading zeros."""
    rest, v = _coefficients(u) / 1.0, _coefficients(v) / 1.0
    quotient = []
    for _ in range(rest.shape[0] - v.shape[0] + 1):
        quotient.append(rest[0] / v[0])
        rest = concatenate([rest[1 : v.shape[0]] - quotient[-1] * v[1:], rest[v.shape[0] :]])
    small = np.isclose(known("polydiv", rest), 0.0, rtol=1e-14)
    first = int(np.argmin(small)) if not small.all() else max(rest.shape[0] - 1, 0)
    rest = rest[first:] if rest.shape[0] else np.zeros(1) * v[0]
    return stack(quotient) if quotient else np.zeros(1) * v[0], rest


@implements(np.roots)
def roots(p: Any) -> Any:
    """The zeros of a polynomial, for distinct ones: the eigenvalues of its companion matrix.

    Leading and trailing zeros are left out where values are known; elsewhere the first coefficient must not
    be 0.
    """
    p = recorded(p)
    full = np.ones(p.shape[0]) if isinstance(p, Var) and p.tape.abstract else known("roots", p)
    places = np.flatnonzero(full)
    if not len(places):
        return np.zeros(0)
    p, trailing = p[places[0] : places[-1] + 1], len(full) - 1 - places[-1]
    n = p.shape[0] - 1
    if not n:
        return np.zeros(trailing)
    found = np.linalg.eigvals(concatenate([reshape(-p[1:] / p[0], (1, n)), np.eye(n - 1, n)]))
    return concatenate([found, np.zeros(trailing, found.dtype)])


@implements(np.polyfit)
def polyfit(
    x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """The coefficients of the polynomial of least squares."""
    refuse_options("polyfit", full=full or None, cov=cov or None)
    x, y = recorded(x) / 1.0, recorded(y) / 1.0
    weights = 1.0 if w is None else recorded(w)
    left = vander(x, int(deg) + 1)
    left = left if w is None else left * reshape(weights, (-1, 1))
    right = y * (weights if y.ndim == 1 or w is None else reshape(weights, (-1, 1)))
    scale = np.sqrt(np.sum(left * left, axis=0))
    cut = x.shape[0] * np.finfo(x.dtype).eps if rcond is None else rcond
    found = np.linalg.pinv(left / scale, cut) @ right
    return found / (scale if y.ndim == 1 else reshape(scale, (-1, 1)))


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """The m-th derivative of a polynomial."""
    p = _coefficients(p)
    for _ in range(m):
        p = p[:-1] * np.arange(p.shape[0] - 1, 0, -1)
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The m-th integral of a polynomial, with constants of integration."""
    p = _coefficients(p)
    constants = recorded(np.zeros(m) if k is None else k)
    constants = reshape(constants, (-1,)) if m and constants.ndim == 0 else constants
    for step in range(m):
        constant = constants[min(step, constants.shape[0] - 1)]
        p = concatenate([p / np.arange(p.shape[0], 0, -1), reshape(constant, (1,))])
    return p


@implements(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """The polynomial with given zeros and leading coefficient 1."""
    zeros = _coefficients(seq_of_zeros)
    if zeros.ndim == 2:  # the characteristic polynomial, real as the matrix is
        found = poly(np.linalg.eigvals(zeros))
        return found if zeros.dtype.kind == "c" else NAMESPACE["real"](found)
    p: Any = np.ones(1)
    for k in range(zeros.shape[0]):
        p = convolve(p, stack([zeros[k] * 0.0 + 1.0, -zeros[k]]))
    return p


@implements(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of the elements of a vector, one row for each."""
    x = recorded(x)
    n = x.shape[0] if N is None else N
    columns = [x * 0 + 1]
    for _ in range(n - 1):
        columns.append(columns[-1] * x)
    columns = columns[:n] if increasing else columns[:n][::-1]
    return stack(columns, 1)
