"""numpy.linalg: decompositions and solutions by NumPy, their derivatives in products and solutions.

Formulas: Giles, "An extended collection of matrix derivative results" (2008); Townsend, "Differentiating the
singular value decomposition" (2016) for SVD; Seeger et al., "Auto-differentiating linear algebra" (2017) for
QR and Cholesky.  All functions take stacks of matrices.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .. import numpy as wnp
from ..protocols.registry import FUNCTIONS, normalize_axes, refuse_options
from . import LINALG, call, custom_jvp, custom_vjp, dagger, files, floating


def _matrix(name: str, a: Any, square: bool = False) -> Any:
    a = floating(a)
    if a.ndim < 2:
        raise np.linalg.LinAlgError(f"{name}: needs at least two axes, got shape {a.shape}")
    if square and a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"{name}: the last two axes must be square, got shape {a.shape}")
    if a.dtype.kind == "c":
        raise TypeError(f"np.linalg.{name} of complex matrices is not supported on a Var")
    return a


def _file(*functions: Any) -> Any:
    return files(LINALG, FUNCTIONS, *functions)


# ---- inverses and solutions ---------------------------------------------------------------------------


@custom_jvp
def _inv(a):
    return call(np.linalg.inv, a, shape=a.shape, dtype=a.dtype)


@_inv.defjvp
def _(primals, tangents):
    x = _inv(primals[0])
    return x, -x @ tangents[0] @ x


@_file(np.linalg.inv)
def inv(a: Any) -> Any:
    """The inverse of a square matrix."""
    return _inv(_matrix("inv", a, True))


@custom_vjp
def _solve(a, b):
    return call(np.linalg.solve, a, b, shape=b.shape, dtype=b.dtype)


def _solve_forward(a, b):
    x = _solve(a, b)
    return x, (a, x)


def _solve_backward(residuals, g):
    a, x = residuals
    u = _solve(dagger(a), g)
    return -u @ dagger(x), u


_solve.defvjp(_solve_forward, _solve_backward)


@_file(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """The x with a @ x = b, for a vector b or a matrix of columns."""
    a, b = _matrix("solve", a, True), floating(b)
    return _broadcast_solve(_solve, a, b)


def _broadcast_solve(solver: Any, a: Any, b: Any) -> Any:
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
    dt, pt = dagger(da), dagger(p)
    return p, -p @ da @ p + p @ pt @ dt @ left + right @ dt @ pt @ p


@_file(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The pseudo-inverse; its derivative is for a rank that does not change."""
    a = _matrix("pinv", a)
    cut = rcond if rcond is not None else rtol
    m, n = a.shape[-2:]
    cut = max(m, n) * np.finfo(a.dtype).eps if cut is None else cut
    return _pinv(a, np.asarray(cut, float), np.eye(m, dtype=a.dtype), np.eye(n, dtype=a.dtype))


@_file(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The least-squares solution, residuals, rank and singular values; the last two are constants."""
    a, b = _matrix("lstsq", a), floating(b)
    m, n = a.shape
    x = pinv(a, np.finfo(a.dtype).eps * max(m, n) if rcond is None else rcond) @ b
    s = wnp.asarray(svdvals(a))
    rank = call(np.linalg.matrix_rank, a, shape=(), dtype=np.int64)
    residuals = np.sum((b - a @ x) ** 2, axis=0, keepdims=b.ndim == 1)
    return x, residuals if m > n else wnp.zeros(0, b.dtype), rank, s


@_file(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """A square matrix multiplied with itself."""
    a = _matrix("matrix_power", a, True)
    if n < 0:
        a, n = inv(a), -n
    result: Any = None
    while n:
        if n & 1:
            result = a if result is None else result @ a
        n >>= 1
        a = a @ a if n else a
    return a * 0.0 + np.eye(a.shape[-1], dtype=a.dtype) if result is None else result * 1.0


@_file(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The x with tensordot(a, x, x.ndim) = b."""
    a, b = floating(a), floating(b)
    if axes is not None:
        moved = normalize_axes(axes, a.ndim)
        a = wnp.transpose(a, (*(k for k in range(a.ndim) if k not in moved), *moved))
    shape = a.shape[b.ndim :]
    n = math.prod(shape)
    return wnp.reshape(solve(wnp.reshape(a, (n, n)), wnp.ravel(b)), shape)


@_file(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse with respect to tensordot(a, b, ind)."""
    a = floating(a)
    n = math.prod(a.shape[ind:])
    return wnp.reshape(inv(wnp.reshape(a, (n, n))), a.shape[ind:] + a.shape[:ind])


# ---- determinants -------------------------------------------------------------------------------------


def _slog(a: np.ndarray) -> np.ndarray:
    return np.stack(np.linalg.slogdet(a))


@custom_jvp
def _slogdet(a):
    return call(_slog, a, shape=(2, *a.shape[:-2]), dtype=a.dtype)


@_slogdet.defjvp
def _(primals, tangents):
    y = _slogdet(primals[0])
    slope = np.trace(_solve(primals[0], tangents[0]), axis1=-2, axis2=-1)
    return y, np.stack([slope * 0.0, slope])


@_file(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """The sign of the determinant and the logarithm of its absolute value."""
    y = _slogdet(_matrix("slogdet", a, True))
    return np.linalg._linalg.SlogdetResult(y[0], y[1])


@custom_jvp
def _det(a):
    return call(np.linalg.det, a, shape=a.shape[:-2], dtype=a.dtype)


@_det.defjvp
def _(primals, tangents):
    d = _det(primals[0])
    return d, d * np.trace(_solve(primals[0], tangents[0]), axis1=-2, axis2=-1)


@_file(np.linalg.det)
def det(a: Any) -> Any:
    """The determinant; its derivative is for a matrix that is not singular."""
    return _det(_matrix("det", a, True))


# ---- decompositions -----------------------------------------------------------------------------------


@custom_jvp
def _cholesky(a, half_lower):
    return call(np.linalg.cholesky, a, shape=a.shape, dtype=a.dtype)


@_cholesky.defjvp
def _(primals, tangents):
    factor, da = _cholesky(*primals), tangents[0]
    left = _solve(factor, (da + dagger(da)) / 2.0)
    return factor, factor @ (primals[1] * dagger(_solve(factor, dagger(left))))


@_file(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with L @ L.T = a; a change of `a` counts by its symmetric part."""
    a = _matrix("cholesky", a, True)
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    factor = _cholesky(a, np.tril(np.ones_like(eye)) - eye / 2)
    return dagger(factor) if upper else factor


def _packed(function: Any, *options: Any) -> Any:
    """A function of stacks of matrices with several results as one, their elements side by side."""

    def packed(a: np.ndarray) -> np.ndarray:
        parts = function(a, *options)
        n = a.ndim - 2
        return np.concatenate([np.reshape(part, (*a.shape[:-2], -1)) for part in parts], n)

    packed.__name__ = function.__name__
    return packed


def _unpack(flat: Any, *shapes: tuple[int, ...]) -> list[Any]:
    """The results that `_packed` laid side by side."""
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        parts.append(wnp.reshape(flat[..., start : start + size], flat.shape[:-1] + shape))
        start += size
    return parts


_QR, _EIGH, _SVD = _packed(np.linalg.qr), _packed(np.linalg.eigh), _packed(np.linalg.svd, False)


@custom_jvp
def _qr(a, below):  # (..., m, n) with m >= n
    m, n = a.shape[-2:]
    return call(_QR, a, shape=(*a.shape[:-2], m * n + n * n), dtype=a.dtype)


def _qr_parts(flat, m, n):
    return _unpack(flat, (m, n), (n, n))


@_qr.defjvp
def _(primals, tangents):
    m, n = primals[0].shape[-2:]
    flat = _qr(*primals)
    q, r = _qr_parts(flat, m, n)
    dx = dagger(_solve(dagger(r), dagger(tangents[0])))  # dA R^-1
    inner = dagger(q) @ dx
    lower = inner * primals[1]
    turn = lower - dagger(lower)
    dq, dr = q @ (turn - inner) + dx, (inner - turn) @ r
    return flat, np.concatenate([wnp.reshape(x, (*flat.shape[:-1], -1)) for x in (dq, dr)], -1)


@_file(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """The orthogonal q and the upper triangular r with q @ r = a."""
    a = _matrix("qr", a)
    m, n = a.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise TypeError(f'np.linalg.qr: mode={mode!r} is not supported on a Var; use "reduced"')
    k = min(m, n)
    q, r = _qr_parts(_qr(a[..., :k], np.tril(np.ones((k, k), a.dtype), -1)), m, k)
    r = np.concatenate([r, dagger(q) @ a[..., k:]], -1) if n > m else r
    return r if mode == "r" else np.linalg._linalg.QRResult(q, r)


def _gaps(x: Any) -> Any:
    """1 / (x_j - x_i), 0 where they are equal."""
    gap = x[..., None, :] - x[..., :, None]
    equal = gap == 0
    return np.where(equal, 0.0, 1.0 / np.where(equal, 1.0, gap))


@partial(custom_jvp, nondiff_argnums=1)
def _eigh(a, lower):
    n = a.shape[-1]
    return call(_EIGH if lower else _EIGH_UPPER, a, shape=(*a.shape[:-2], n + n * n), dtype=a.dtype)


_EIGH_UPPER = _packed(np.linalg.eigh, "U")


@_eigh.defjvp
def _(lower, primals, tangents):
    n, da = primals[0].shape[-1], tangents[0]
    flat = _eigh(primals[0], lower)
    w, v = _unpack(flat, (n,), (n, n))
    inner = dagger(v) @ ((da + dagger(da)) / 2.0) @ v
    dw = np.diagonal(inner, axis1=-2, axis2=-1)
    dv = v @ (_gaps(w) * inner)
    return flat, np.concatenate([dw, wnp.reshape(dv, (*flat.shape[:-1], -1))], -1)


@_file(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of a symmetric matrix; the vectors' derivative is for distinct values."""
    a = _matrix("eigh", a, True)
    n = a.shape[-1]
    return np.linalg._linalg.EighResult(*_unpack(_eigh(a, UPLO.upper() == "L"), (n,), (n, n)))


@_file(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of a symmetric matrix."""
    return eigh(a, UPLO)[0]


@custom_jvp
def _svd(a):
    m, n = a.shape[-2:]
    k = min(m, n)
    return call(_SVD, a, shape=(*a.shape[:-2], m * k + k + k * n), dtype=a.dtype)


def _svd_parts(flat, m, n):
    k = min(m, n)
    return _unpack(flat, (m, k), (k,), (k, n))


@_svd.defjvp
def _(primals, tangents):
    m, n = primals[0].shape[-2:]
    da, flat = tangents[0], _svd(primals[0])
    u, s, vt = _svd_parts(flat, m, n)
    ut, v = dagger(u), dagger(vt)
    inner = ut @ da @ v
    row, column = s[..., None, :], s[..., :, None]
    gaps = _gaps(s**2)
    du = u @ (gaps * (inner * row + column * dagger(inner)))
    dv = v @ (gaps * (column * inner + dagger(inner) * row))
    if m > n:
        du = du + (da @ v - u @ inner) / row
    if n > m:
        dv = dv + (dagger(da) @ u - v @ dagger(inner)) / row
    parts = (du, np.diagonal(inner, axis1=-2, axis2=-1), dagger(dv))
    return flat, np.concatenate([wnp.reshape(x, (*flat.shape[:-1], -1)) for x in parts], -1)


@_file(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """The singular value decomposition; the vectors' derivative is for distinct values."""
    a = _matrix("svd", a)
    m, n = a.shape[-2:]
    u, s, vt = _svd_parts(_svd(a), m, n)
    if not compute_uv:
        return s
    if full_matrices and m != n:
        raise TypeError(
            "np.linalg.svd: full_matrices=True is not supported on a Var that is not square, for the vectors "
            "beyond are not determined; pass full_matrices=False"
        )
    return np.linalg._linalg.SVDResult(u, s, vt)


@_file(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """The singular values."""
    return svd(x, compute_uv=False)


# ---- norms --------------------------------------------------------------------------------------------


@_file(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors along one axis, of matrices along two; at 0 the derivative is 0."""
    x = floating(x)
    if axis is None:
        if ord is None:
            flat = _vector_norm(wnp.ravel(x), 2, (0,), False)
            return wnp.reshape(flat, (1,) * x.ndim) if keepdims else flat
        axis = tuple(range(x.ndim))
    axes = normalize_axes(axis, x.ndim)
    if len(axes) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)
    raise ValueError(f"norm: an order is for vectors and matrices; the array has {len(axes)} axes")


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    size = abs(x)
    if ord == np.inf:
        return np.max(size, axis=axes, keepdims=keepdims, initial=0.0)
    if ord == -np.inf:
        return np.min(size, axis=axes, keepdims=keepdims)
    if ord == 0:
        return np.sum(wnp.astype(x != 0, x.dtype), axis=axes, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axes, keepdims=keepdims)
    total = np.sum(size**2 if ord == 2 else size**ord, axis=axes, keepdims=keepdims)
    zero = total == 0  # where the slope of a root is infinite
    power = np.where(zero, 1.0, total)
    return np.where(zero, 0.0, np.sqrt(power) if ord == 2 else power ** (1.0 / ord))


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    row, column = axes
    if ord in ("fro", "f"):
        return _vector_norm(x, 2, axes, keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        inner, outer = (row, column) if abs(ord) == 1 else (column, row)
        total = np.sum(abs(x), axis=inner, keepdims=True)
        y = (np.max if ord > 0 else np.min)(total, axis=outer, keepdims=True)
        return y if keepdims else np.squeeze(y, axes)
    s = svdvals(np.moveaxis(x, axes, (-2, -1)))
    if ord == "nuc":
        y = np.sum(s, axis=-1)
    elif ord in (2, -2):
        y = s[..., 0 if ord > 0 else -1]
    else:
        raise ValueError(f"norm: {ord!r} is no order of a norm of matrices")
    return np.expand_dims(y, tuple(sorted(axes))) if keepdims else y


@_file(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of vectors, along any axes."""
    x = floating(x)
    return _vector_norm(x, ord, normalize_axes(axis, x.ndim), keepdims)


@_file(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of the matrices along the last two axes."""
    x = _matrix("matrix_norm", x)
    return _matrix_norm(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


@_file(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """The condition number by a norm, by default the quotient of singular values."""
    x = _matrix("cond", x)
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    axes = (-2, -1)
    return norm(x, p, axes) * norm(inv(x), p, axes)


@_file(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The rank, an integer: no derivative flows through it."""
    refuse_options("matrix_rank", tol=tol, rtol=rtol)
    a = _matrix("matrix_rank", A)
    return call(np.linalg.matrix_rank, a, shape=a.shape[:-2], dtype=np.int64)


_ALIASES: dict[str, Any] = {"outer": wnp.outer, "matmul": wnp.matmul}
for _name, _function in _ALIASES.items():
    FUNCTIONS[getattr(np.linalg, _name)] = LINALG[_name] = _function
for _name in ("multi_dot", "cross", "tensordot", "vecdot", "diagonal", "trace", "matrix_transpose"):
    LINALG[_name] = FUNCTIONS[getattr(np.linalg, _name)]
