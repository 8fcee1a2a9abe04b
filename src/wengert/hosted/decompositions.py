"""numpy.linalg: Cholesky, QR, eigenvalues and singular values, of real and complex matrices.

Formulas: Murray, "Differentiation of the Cholesky decomposition" (2016); Seeger et al., "Auto-differentiating
linear algebra" (2017) for QR; Giles, "An extended collection of matrix derivative results" (2008) for
eigenvalues; Townsend, "Differentiating the singular value decomposition" (2016), and for complex matrices Wan
and Zhang, "Automatic differentiation for complex valued SVD" (2019).  Vectors are determined up to a factor
of absolute value 1, which does not turn by these rules: of complex matrices only what is the same for any
such factor has a derivative.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

import numpy as np

from .. import numpy as wnp
from ..protocols.elementwise import real
from . import FILLING, SMALL, adjoint, call, custom_jvp, custom_vjp, dagger
from .solutions import GENERAL, LOWER, file, matrix, solve_

# ---- Cholesky -----------------------------------------------------------------------------------------
# The change X of a factor L by that of the matrix, E, is lower triangular, X L.H + L X.H = (E + E.H) / 2.
# The transposed map makes of a cotangent G the symmetric W with 2 W L = G on and below the diagonal (on it,
# of the real parts).  Both are linear in what they are given: the derivative of either by L is the same map
# again, of the change of the product beside it.  They are solved by blocks (Murray 2016, section 3).

BLOCK = 32  # of fewer columns a product is slow, of more rows an inverse


def _half_lower(n: int, dtype: Any) -> np.ndarray:
    """1 below the diagonal and 1/2 on it."""
    return np.tri(n, dtype=dtype) - np.eye(n, dtype=dtype) / 2


_half_of_block = cache(partial(_half_lower, BLOCK))


def push(factor: np.ndarray, e: np.ndarray, out: np.ndarray) -> None:
    out[...] = 0
    for k in range(0, factor.shape[-1], BLOCK):
        known, own, below = slice(0, k), slice(k, k + BLOCK), slice(k + BLOCK, None)
        corner = factor[..., own, own]
        inverse, m = np.linalg.inv(corner), corner.shape[-1]
        half = _half_of_block(factor.dtype)[:m, :m]
        rest = (e[..., k:, own] + adjoint(e[..., own, k:])) / 2
        rest -= out[..., k:, known] @ adjoint(factor[..., own, known])
        rest -= factor[..., k:, known] @ adjoint(out[..., own, known])
        x = corner @ (half * (inverse @ rest[..., :m, :] @ adjoint(inverse)))
        out[..., own, own] = x
        out[..., below, own] = (rest[..., m:, :] - factor[..., below, own] @ adjoint(x)) @ adjoint(inverse)


def pull(factor: np.ndarray, g: np.ndarray, out: np.ndarray) -> None:
    for k in reversed(range(0, factor.shape[-1], BLOCK)):
        own, below = slice(k, k + BLOCK), slice(k + BLOCK, None)
        corner, under = factor[..., own, own], factor[..., below, own]
        inverse, m = np.linalg.inv(corner), corner.shape[-1]
        half = _half_of_block(factor.dtype)[:m, :m]
        w = (g[..., below, own] / 2 - out[..., below, below] @ under) @ inverse
        rest = adjoint(corner) @ (np.where(half, g[..., own, own] / 2, 0) - adjoint(w) @ under)
        rest = adjoint(inverse) @ (half * rest) @ inverse
        out[..., own, own] = rest + adjoint(rest)
        out[..., below, own], out[..., own, below] = w, adjoint(w)


FILLING.update((push, pull))
SMALL |= {push: 7, pull: 8}


@partial(custom_vjp, nondiff_argnums=2)
def through_cholesky(factor, x, function):
    """`push` or `pull` of a change or a cotangent."""
    return call(function, factor, x, shape=factor.shape, dtype=factor.dtype)


def _through_forward(factor, x, function):
    y = through_cholesky(factor, x, function)
    return y, (factor, y)


def _through_backward(function, residuals, g):
    factor, y = residuals
    u = through_cholesky(factor.conj(), g, pull if function is push else push)
    return -2.0 * (u @ y.conj() if function is push else y.conj() @ u), u


through_cholesky.defvjp(_through_forward, _through_backward)


@custom_vjp
def _cholesky(a):
    return call(np.linalg.cholesky, a, shape=a.shape, dtype=a.dtype)


_cholesky.defvjp(lambda a: (_cholesky(a),) * 2, lambda factor, g: (through_cholesky(factor.conj(), g, pull),))


@file(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with L @ L.T = a; a change of `a` counts by its symmetric part."""
    a = matrix("cholesky", a, True)
    factor = _cholesky(adjoint(a) if upper else a)  # which reads the lower triangle
    return adjoint(factor) if upper else factor


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


def _pack(flat: Any, *parts: Any) -> Any:
    """Parts side by side, in the dtype of `flat`."""
    return np.concatenate([wnp.reshape(wnp.astype(x, flat.dtype), (*flat.shape[:-1], -1)) for x in parts], -1)


_QR, _EIGH, _SVD = _packed(np.linalg.qr), _packed(np.linalg.eigh), _packed(np.linalg.svd, False)
_EIG, _EIGH_UPPER = _packed(np.linalg.eig), _packed(np.linalg.eigh, "U")


# ---- orthogonal complements ---------------------------------------------------------------------------


@partial(custom_jvp, nondiff_argnums=2)
def _rest(q, a, function):
    """The columns that complete those of q, (..., m, k), to a square matrix: `function` has them from a."""
    m, k = q.shape[-2:]
    return call(function, a, shape=(*q.shape[:-1], m - k), dtype=q.dtype)


@_rest.defjvp
def _(function, primals, tangents):
    rest = _rest(*primals, function)
    return rest, -primals[0] @ adjoint(tangents[0]) @ rest  # q.H @ rest stays 0


def _complete(q: Any, a: Any, function: Any) -> Any:
    return np.concatenate([q, _rest(q, a, function)], -1) if q.shape[-2] > q.shape[-1] else q


def _rest_of_q(a: np.ndarray) -> np.ndarray:
    return np.linalg.qr(a, "complete")[0][..., a.shape[-1] :]


def _rest_of_u(a: np.ndarray) -> np.ndarray:
    return np.linalg.svd(a)[0][..., a.shape[-1] :]


def _rest_of_v(a: np.ndarray) -> np.ndarray:
    return adjoint(np.linalg.svd(a)[2])[..., a.shape[-2] :]


# ---- QR -----------------------------------------------------------------------------------------------


@custom_jvp
def _qr(a, half_lower):  # (..., m, n) with m >= n
    m, n = a.shape[-2:]
    return call(_QR, a, shape=(*a.shape[:-2], m * n + n * n), dtype=a.dtype)


@_qr.defjvp
def _(primals, tangents):
    m, n = primals[0].shape[-2:]
    flat = _qr(*primals)
    q, r = _unpack(flat, (m, n), (n, n))
    dx = dagger(solve_(dagger(r), dagger(tangents[0]), LOWER))  # dA R^-1
    inner = adjoint(q) @ dx
    lower = inner * primals[1]
    turn = lower - adjoint(lower)
    return flat, _pack(flat, q @ (turn - inner) + dx, (inner - turn) @ r)


@file(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """The orthogonal q and the upper triangular r with q @ r = a."""
    a = matrix("qr", a)
    if mode not in ("reduced", "r", "complete"):
        raise TypeError(f'np.linalg.qr: mode={mode!r} is not supported on a Var; use "reduced"')
    m, n = a.shape[-2:]
    k = min(m, n)
    left = a[..., :k]
    q, r = _unpack(_qr(left, _half_lower(k, left.dtype)), (m, k), (k, k))
    r = np.concatenate([r, adjoint(q) @ a[..., k:]], -1) if n > m else r
    if mode == "complete" and m > n:
        q, below = _complete(q, left, _rest_of_q), r[..., :1, :] * 0.0
        r = np.concatenate([r, np.repeat(below, m - n, -2)], -2)
    return r if mode == "r" else np.linalg._linalg.QRResult(q, r)


# ---- eigenvalues --------------------------------------------------------------------------------------


def _gaps(x: Any) -> Any:
    """1 / (x_j - x_i), 0 where they are equal."""
    gap = x[..., None, :] - x[..., :, None]
    equal = gap == 0
    return np.where(equal, 0.0, 1.0 / np.where(equal, 1.0, gap))


def _diagonal(a: Any) -> Any:
    return np.diagonal(a, axis1=-2, axis2=-1)


@partial(custom_jvp, nondiff_argnums=1)
def _eigh(a, lower):
    n = a.shape[-1]
    return call(_EIGH if lower else _EIGH_UPPER, a, shape=(*a.shape[:-2], n + n * n), dtype=a.dtype)


def _eigh_parts(flat, n):
    w, v = _unpack(flat, (n,), (n, n))
    return real(w), v


@_eigh.defjvp
def _(lower, primals, tangents):
    n, da = primals[0].shape[-1], tangents[0]
    flat = _eigh(primals[0], lower)
    w, v = _eigh_parts(flat, n)
    inner = adjoint(v) @ ((da + adjoint(da)) / 2.0) @ v
    return flat, _pack(flat, real(_diagonal(inner)), v @ (_gaps(w) * inner))


@file(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of a symmetric matrix; the vectors' derivative is for distinct values."""
    a = matrix("eigh", a, True)
    return np.linalg._linalg.EighResult(*_eigh_parts(_eigh(a, UPLO.upper() == "L"), a.shape[-1]))


@file(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of a symmetric matrix."""
    return eigh(a, UPLO)[0]


@custom_jvp
def _eig(a):
    n = a.shape[-1]
    return call(_EIG, a, shape=(*a.shape[:-2], n + n * n), dtype=np.result_type(a.dtype, np.complex64))


@_eig.defjvp
def _(primals, tangents):
    n, flat = primals[0].shape[-1], _eig(primals[0])
    w, v = _unpack(flat, (n,), (n, n))
    inner = solve_(v, wnp.astype(tangents[0], flat.dtype) @ v, GENERAL)
    dv = v @ (_gaps(w) * inner)
    longer = real(np.sum(wnp.conjugate(v) * dv, axis=-2, keepdims=True))  # of vectors of length 1
    return flat, _pack(flat, _diagonal(inner), dv - v * longer)


@file(np.linalg.eig)
def eig(a: Any) -> Any:
    """Eigenvalues and eigenvectors, for distinct values.

    They are complex; real if their imaginary parts are all 0, as NumPy has it, where values are known.
    """
    a = matrix("eig", a, True)
    n = a.shape[-1]
    w, v = _unpack(_eig(a), (n,), (n, n))
    if a.dtype.kind == "f" and not w.tape.abstract and not np.any(w.value.imag):
        w, v = real(w), real(v)
    return np.linalg._linalg.EigResult(w, v)


@file(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """The eigenvalues; see `eig`."""
    return eig(a)[0]


# ---- singular values ----------------------------------------------------------------------------------


@custom_jvp
def _svd(a):
    m, n = a.shape[-2:]
    k = min(m, n)
    return call(_SVD, a, shape=(*a.shape[:-2], m * k + k + k * n), dtype=a.dtype)


def _svd_parts(flat, m, n):
    k = min(m, n)
    u, s, vh = _unpack(flat, (m, k), (k,), (k, n))
    return u, real(s), vh


@_svd.defjvp
def _(primals, tangents):
    m, n = primals[0].shape[-2:]
    da, flat = tangents[0], _svd(primals[0])
    u, s, vh = _svd_parts(flat, m, n)
    uh, v = adjoint(u), adjoint(vh)
    inner = uh @ da @ v
    row, column = s[..., None, :], s[..., :, None]
    gaps = _gaps(s**2)
    du = u @ (gaps * (inner * row + column * adjoint(inner)))
    dv = v @ (gaps * (column * inner + adjoint(inner) * row))
    ds = _diagonal(inner)
    if inner.dtype.kind == "c":
        du = du + u * ((ds - real(ds)) / s)[..., None, :]
    if m > n:
        du = du + (da @ v - u @ inner) / row
    if n > m:
        dv = dv + (adjoint(da) @ u - v @ adjoint(inner)) / row
    return flat, _pack(flat, du, real(ds), adjoint(dv))


@file(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """The singular value decomposition; the vectors' derivative is for distinct values that are not 0.

    What depends on the vectors beyond those values only by the space that they span has a derivative.
    """
    a = matrix("svd", a)
    m, n = a.shape[-2:]
    u, s, vh = _svd_parts(_svd(a), m, n)
    if not compute_uv:
        return s
    if full_matrices:
        u = _complete(u, a, _rest_of_u)
        vh = adjoint(_complete(adjoint(vh), a, _rest_of_v)) if n > m else vh
    return np.linalg._linalg.SVDResult(u, s, vh)


@file(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """The singular values."""
    return svd(x, compute_uv=False)
