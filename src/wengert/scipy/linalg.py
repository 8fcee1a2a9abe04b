"""scipy.linalg: functions of matrices and triangular systems; all of numpy.linalg's names too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg as _linalg

from .. import numpy as wnp
from .._core import innermost
from ..hosted import LINALG, call, custom_vjp, dagger, floating
from ..hosted import linalg as _numpys  # which fills LINALG
from ..hosted.solutions import broadcast_solve, matrix
from ..protocols.registry import is_recorded, mirrored, refuse_options

globals().update(LINALG)


def _of_matrix(function: Callable) -> Callable:
    """An analytic function of a square matrix.

    The derivative of f at A in direction E is the upper right block of f([[A, E], [0, A]]) (Higham, Functions
    of Matrices, 2008, section 3.2), and its transpose in direction G is that at A.T.
    """
    name = function.__name__

    @custom_vjp
    def primitive(a):
        return call(function, a, shape=a.shape, dtype=a.dtype, stacks=False)

    def forward(a):
        return primitive(a), a

    def backward(a, g):
        n, t = a.shape[-1], dagger(a)
        block = wnp.concatenate([wnp.concatenate([t, g], 1), wnp.concatenate([g * 0.0, t], 1)], 0)
        return (primitive(block)[:n, n:],)

    primitive.defvjp(forward, backward)

    def of_stack(a: Any) -> Any:
        a = matrix(name, a, True)
        if a.ndim > 2:
            return wnp.stack([of_stack(a[k]) for k in range(a.shape[0])])
        return primitive(a)

    public = mirrored(function, of_stack)
    public.__doc__ = f"As `scipy.linalg.{name}`; takes Vars and arrays."
    return public


expm, logm, sqrtm = (_of_matrix(f) for f in (_linalg.expm, _linalg.logm, _linalg.sqrtm))


def _triangular(lower: bool, unit: bool) -> Callable:
    def solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return _linalg.solve_triangular(a, b, lower=lower, unit_diagonal=unit)

    @custom_vjp
    def primitive(a, b, mask):
        return call(solve, a, b, shape=b.shape, dtype=b.dtype, stacks=False)

    def forward(a, b, mask):
        x = primitive(a, b, mask)
        return x, (a, x, mask)

    def backward(residuals, g):
        a, x, mask = residuals
        u = _TRIANGULAR[not lower, unit](dagger(a), g, dagger(mask))
        return -(u @ dagger(x)) * mask, u, None

    primitive.defvjp(forward, backward)
    return primitive


_TRIANGULAR = {(lower, unit): _triangular(lower, unit) for lower in (False, True) for unit in (False, True)}


@functools.partial(mirrored, _linalg.solve_triangular)
def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False, **options: Any
) -> Any:
    """As `scipy.linalg.solve_triangular`; takes Vars and arrays."""
    refuse_options("solve_triangular", **options)
    a = matrix("solve_triangular", a, True)
    if trans in (1, "T", 2, "C"):
        a, lower = dagger(a), not lower
    ones = np.ones(a.shape[-2:], a.dtype)
    mask = np.tril(ones, -int(unit_diagonal)) if lower else np.triu(ones, int(unit_diagonal))
    solver = _TRIANGULAR[bool(lower), bool(unit_diagonal)]
    b = b if is_recorded((b,)) else np.asarray(b, a.dtype)
    return broadcast_solve(lambda a, b: solver(a, b, mask), a, wnp.asarray(b))


# ---- banded systems -----------------------------------------------------------------------------------
# ab[upper + i - j, j] is a[i, j]: row r has the diagonal r - upper below the main one, from its column on.


def _diagonals(lower: int, upper: int, n: int) -> list[tuple[int, slice, slice]]:
    """Per row of `ab` its number, and the columns and rows of the matrix that it has elements in."""
    below = [(row, min(max(row - upper, -n), n)) for row in range(lower + upper + 1)]
    return [(row, slice(max(-d, 0), n - max(d, 0)), slice(max(d, 0), n - max(-d, 0))) for row, d in below]


def _spread(part: Any, columns: slice, n: int) -> Any:
    """A row of `ab` from the elements that lie in the matrix."""
    return wnp.pad(part, (columns.start, n - columns.start - part.shape[0]))


@functools.cache
def _banded(lower: int, upper: int) -> Callable:
    def solve(ab: np.ndarray, b: np.ndarray) -> np.ndarray:
        return _linalg.solve_banded((lower, upper), ab, b)

    @custom_vjp
    def primitive(ab, b):
        return call(solve, ab, b, shape=b.shape, dtype=b.dtype, stacks=False)

    def forward(ab, b):
        x = primitive(ab, b)
        return x, (ab, x)

    def backward(residuals, g):
        ab, x = residuals
        n = ab.shape[1]
        diagonals = _diagonals(lower, upper, n)
        turned = [_spread(ab[row, columns], rows, n) for row, columns, rows in reversed(diagonals)]
        u = _banded(upper, lower)(wnp.stack(turned), g)
        slopes = [_spread(wnp.sum(-u[rows] * x[columns], 1), columns, n) for _, columns, rows in diagonals]
        return wnp.stack(slopes), u

    primitive.defvjp(forward, backward)
    return primitive


@functools.partial(mirrored, _linalg.solve_banded)
def solve_banded(l_and_u: tuple[int, int], ab: Any, b: Any, **options: Any) -> Any:
    """As `scipy.linalg.solve_banded`; takes Vars and arrays."""
    refuse_options("solve_banded", **options)
    tape = innermost((ab, b))
    ab, b = tape.as_var(floating(ab)), tape.as_var(floating(b))
    dtype = np.result_type(ab.dtype, b.dtype)
    columns = wnp.reshape(wnp.astype(b, dtype), (b.shape[0], -1))
    return wnp.reshape(_banded(*l_and_u)(wnp.astype(ab, dtype), columns), b.shape)


# ---- Sylvester's equation -----------------------------------------------------------------------------


@custom_vjp
def _sylvester(a, b, q):
    return call(_linalg.solve_sylvester, a, b, q, shape=q.shape, dtype=q.dtype, stacks=False)


def _sylvester_forward(a, b, q):
    x = _sylvester(a, b, q)
    return x, (a, b, x)


def _sylvester_backward(residuals, g):
    a, b, x = residuals
    u = _sylvester(dagger(a), dagger(b), g)
    return -u @ dagger(x), -dagger(x) @ u, u


_sylvester.defvjp(_sylvester_forward, _sylvester_backward)


@functools.partial(mirrored, _linalg.solve_sylvester)
def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """As `scipy.linalg.solve_sylvester`, the x with a @ x + x @ b = q; takes Vars and arrays."""
    operands = [floating(x) for x in (a, b, q)]
    dtype = np.result_type(*(x.dtype for x in operands))
    return _sylvester(*(wnp.astype(x, dtype) for x in operands))


@functools.partial(mirrored, _linalg.cholesky)
def cholesky(a: Any, lower: bool = False, **options: Any) -> Any:
    """As `scipy.linalg.cholesky`: upper triangular unless `lower`."""
    return _numpys.cholesky(a, upper=not lower)


def __getattr__(name: str) -> Any:
    return getattr(_linalg, name)
