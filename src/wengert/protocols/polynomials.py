"""NumPy's polynomials as arrays of coefficients, highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from .calculus import convolve
from .movement import array, atleast_1d, concatenate, reshape, stack
from .registry import implements, recorded


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
    a, b = _same_length(a1, a2)
    return a + b


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials."""
    a, b = _same_length(a1, a2)
    return a - b


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """The product of two polynomials."""
    return convolve(_coefficients(a1), _coefficients(a2))


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
    if zeros.ndim != 1:
        raise TypeError("np.poly of a matrix is not supported on a Var; pass its eigenvalues")
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
