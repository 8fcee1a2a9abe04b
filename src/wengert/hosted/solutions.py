"""numpy.linalg: inverses, solutions of linear systems, determinants.

Formulas: Giles, "An extended collection of matrix derivative results" (2008); Golub and Pereyra (1973) for
the pseudo-inverse.  All functions take stacks of matrices, real and complex.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import numpy as wnp
from ..protocols.elementwise import real
from ..protocols.registry import normalize_axes
from . import FILLING, LINALG, SMALL, adjoint, call, custom_jvp, custom_vjp, dagger, files, floating


def matrix(name: str, a: Any, square: bool = False) -> Any:
    """An array of floating point with at least two axes."""
    a = floating(a)
    if a.ndim < 2:
        raise np.linalg.LinAlgError(f"{name}: needs at least two axes, got shape {a.shape}")
    if square and a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"{name}: the last two axes must be square, got shape {a.shape}")
    return a


file = functools.partial(files, LINALG)


# ---- inverses and solutions ---------------------------------------------------------------------------


@custom_jvp
def _inv(a):
    return call(np.linalg.inv, a, shape=a.shape, dtype=a.dtype)


@_inv.defjvp
def _(primals, tangents):
    x = _inv(primals[0])
    return x, -x @ tangents[0] @ x


@file(np.linalg.inv)
def inv(a: Any) -> Any:
    """The inverse of a square matrix."""
    return _inv(matrix("inv", a, True))


def _triangular(lower: bool) -> Any:
    """A solver for lower or upper triangular matrices, which NumPy has not: products, but for inverses of the
    blocks on the diagonal (Du Croz and Higham, "Stability of methods for matrix inversion", 1992)."""

    def solve(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        n, block = a.shape[-1], 32
        for k in range(0, n, block) if lower else range((n - 1) // block * block, -1, -block):
            rows, known = slice(k, k + block), slice(0, k) if lower else slice(k + block, n)
            right = b[..., rows, :] - a[..., rows, known] @ out[..., known, :]
            np.matmul(np.linalg.inv(a[..., rows, rows]), right, out=out[..., rows, :])

    FILLING.add(solve)
    return solve


GENERAL, LOWER, UPPER = np.linalg.solve, _triangular(True), _triangular(False)
_OF_TRANSPOSED = {GENERAL: GENERAL, LOWER: UPPER, UPPER: LOWER}
SMALL |= {np.linalg.inv: 1, GENERAL: 2, LOWER: 3, UPPER: 3, np.linalg.cholesky: 4, np.linalg.det: 5}


@functools.partial(custom_vjp, nondiff_argnums=2)
def solve_(a, b, solver):
    """The x with a @ x = b, as the solver has it; of a triangular matrix only a triangular change counts."""
    return call(solver, a, b, shape=b.shape, dtype=b.dtype)


def _solve_forward(a, b, solver):
    x = solve_(a, b, solver)
    return x, (a, x)


def _solve_backward(solver, residuals, g):
    a, x = residuals
    u = solve_(dagger(a), g, _OF_TRANSPOSED[solver])
    return -u @ dagger(x), u


solve_.defvjp(_solve_forward, _solve_backward)


@file(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """The x with a @ x = b, for a vector b or a matrix of columns."""
    a, b = matrix("solve", a, True), floating(b)
    return broadcast_solve(lambda a, b: solve_(a, b, GENERAL), a, b)


def broadcast_solve(solver: Any, a: Any, b: Any) -> Any:
    """A solver of (..., n, n) and (..., n, k) for any b: stacks are broadcast, dtypes promoted."""
    vector = b.ndim == 1
    b = wnp.reshape(b, (-1, 1)) if vector else b
    if b.shape[-2] != a.shape[-1]:
        raise ValueError(f"solve: {b.shape[-2]} rows on the right of a system of {a.shape[-1]} equations")
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    dtype = np.result_type(a.dtype, b.dtype)
    a = wnp.broadcast_to(wnp.astype(a, dtype, copy=False), stack + a.shape[-2:])
    b = wnp.broadcast_to(wnp.astype(b, dtype, copy=False), stack + b.shape[-2:])
    x = solver(a, b)
    return wnp.reshape(x, x.shape[:-1]) if vector else x


# A rule records on a tape of its own, so the constant matrices that it needs are arguments of the function.


@custom_jvp
def _pinv(a, rcond, eye_m, eye_n):
    shape = (*a.shape[:-2], a.shape[-1], a.shape[-2])
    return call(np.linalg.pinv, a, rcond, shape=shape, dtype=a.dtype)


@_pinv.defjvp
def _(primals, tangents):
    (a, _, eye_m, eye_n), da = primals, tangents[0]
    p = _pinv(*primals)
    left, right = eye_m - a @ p, eye_n - p @ a
    dh, ph = adjoint(da), adjoint(p)
    return p, -p @ da @ p + p @ ph @ dh @ left + right @ dh @ ph @ p


@file(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The pseudo-inverse; its derivative is for a rank that does not change."""
    a = matrix("pinv", a)
    cut = rcond if rcond is not None else rtol
    m, n = a.shape[-2:]
    cut = max(m, n) * np.finfo(a.dtype).eps if cut is None else cut
    return _pinv(a, np.asarray(cut, float), np.eye(m, dtype=a.dtype), np.eye(n, dtype=a.dtype))


@file(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """A square matrix multiplied with itself."""
    a = matrix("matrix_power", a, True)
    if n < 0:
        a, n = inv(a), -n
    result: Any = None
    while n:
        if n & 1:
            result = a if result is None else result @ a
        n >>= 1
        a = a @ a if n else a
    return a * 0.0 + np.eye(a.shape[-1], dtype=a.dtype) if result is None else result


@file(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The x with tensordot(a, x, x.ndim) = b."""
    a, b = floating(a), floating(b)
    if axes is not None:
        moved = normalize_axes(axes, a.ndim)
        a = wnp.transpose(a, (*(k for k in range(a.ndim) if k not in moved), *moved))
    shape = a.shape[b.ndim :]
    n = math.prod(shape)
    return wnp.reshape(solve(wnp.reshape(a, (n, n)), wnp.ravel(b)), shape)


@file(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse with respect to tensordot(a, b, ind)."""
    a = floating(a)
    n = math.prod(a.shape[ind:])
    return wnp.reshape(inv(wnp.reshape(a, (n, n))), a.shape[ind:] + a.shape[:ind])


# ---- determinants -------------------------------------------------------------------------------------


def _slog(a: np.ndarray) -> np.ndarray:
    return np.stack(np.linalg.slogdet(a), -1)


SMALL[_slog] = 6


@custom_jvp
def _slogdet(a):
    return call(_slog, a, shape=(*a.shape[:-2], 2), dtype=a.dtype)


@_slogdet.defjvp
def _(primals, tangents):
    y = _slogdet(primals[0])
    slope = np.trace(solve_(primals[0], tangents[0], GENERAL), axis1=-2, axis2=-1)
    turn = slope - real(slope)  # of real matrices 0: the sign jumps
    return y, np.stack([y[..., 0] * turn, slope - turn], -1)


@file(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """The sign of the determinant and the logarithm of its absolute value."""
    y = _slogdet(matrix("slogdet", a, True))
    return np.linalg._linalg.SlogdetResult(y[..., 0], real(y[..., 1]))


@custom_jvp
def _det(a):
    return call(np.linalg.det, a, shape=a.shape[:-2], dtype=a.dtype)


@_det.defjvp
def _(primals, tangents):
    d = _det(primals[0])
    return d, d * np.trace(solve_(primals[0], tangents[0], GENERAL), axis1=-2, axis2=-1)


@file(np.linalg.det)
def det(a: Any) -> Any:
    """The determinant; its derivative is for a matrix that is not singular."""
    return _det(matrix("det", a, True))
