"""numpy.linalg: norms, condition, rank, least squares; with `solutions` and `decompositions` all of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import numpy as wnp
from .._core import innermost
from ..protocols.elementwise import where
from ..protocols.movement import squeeze
from ..protocols.reductions import squares
from ..protocols.registry import FUNCTIONS, normalize_axes
from . import LINALG, floating
from .decompositions import cholesky as cholesky
from .decompositions import svdvals
from .solutions import file, inv, matrix, pinv


@file(np.linalg.norm)
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
    if ord == 2:
        return _root(np.sum(squares(x), axis=axes, keepdims=keepdims), 0.5)
    size = abs(x)
    if ord == np.inf:
        return np.max(size, axis=axes, keepdims=keepdims, initial=0.0)
    if ord == -np.inf:
        return np.min(size, axis=axes, keepdims=keepdims)
    if ord == 0:
        return np.sum(wnp.astype(x != 0, size.dtype), axis=axes, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axes, keepdims=keepdims)
    return _root(np.sum(size**ord, axis=axes, keepdims=keepdims), 1.0 / ord)


def _root(total: Any, power: float) -> Any:
    """total ** power, with slope 0 at 0."""
    zero = total == 0
    return where(zero, 0.0, where(zero, 1.0, total) ** power)


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    row, column = axes
    if ord in ("fro", "f"):
        return _vector_norm(x, 2, axes, keepdims)
    if ord in (1, -1, np.inf, -np.inf):
        inner, outer = (row, column) if abs(ord) == 1 else (column, row)
        total = np.sum(abs(x), axis=inner, keepdims=True)
        y = (np.max if ord > 0 else np.min)(total, axis=outer, keepdims=True)
        return y if keepdims else squeeze(y, axes)
    s = svdvals(np.moveaxis(x, axes, (-2, -1)))
    if ord == "nuc":
        y = np.sum(s, axis=-1)
    elif ord in (2, -2):
        y = s[..., 0 if ord > 0 else -1]
    else:
        raise ValueError(f"norm: {ord!r} is no order of a norm of matrices")
    return np.expand_dims(y, tuple(sorted(axes))) if keepdims else y


@file(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of vectors, along any axes."""
    x = floating(x)
    return _vector_norm(x, ord, normalize_axes(axis, x.ndim), keepdims)


@file(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of the matrices along the last two axes."""
    x = matrix("matrix_norm", x)
    return _matrix_norm(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


@file(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """The condition number by a norm, by default the quotient of singular values."""
    x = matrix("cond", x)
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    axes = (-2, -1)
    return norm(x, p, axes) * norm(inv(x), p, axes)


@file(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The rank, an integer: no derivative flows through it."""
    a = matrix("matrix_rank", A)
    s = svdvals(a)
    if tol is None:
        tol = s[..., :1] * (max(a.shape[-2:]) * np.finfo(s.dtype).eps if rtol is None else rtol)
    return np.sum(s > tol, axis=-1)


@file(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The least-squares solution, residuals, rank and singular values; the rank is a constant."""
    tape = innermost((a, b))
    a, b = tape.as_var(matrix("lstsq", a)), tape.as_var(floating(b))
    m, n = a.shape
    s = svdvals(a)
    rcond = np.finfo(s.dtype).eps * max(m, n) if rcond is None else rcond
    x = pinv(a, rcond) @ b
    rank = np.sum(s > s[:1] * rcond)
    full = m > n and (tape.abstract or rank.value == n)  # values decide, where they are known
    residuals = np.sum(abs(b - a @ x) ** 2, axis=0, keepdims=b.ndim == 1)
    return x, residuals if full else wnp.zeros(0, s.dtype), rank, s


_ALIASES: dict[str, Any] = {"outer": wnp.outer, "matmul": wnp.matmul}
for _name, _function in _ALIASES.items():
    FUNCTIONS[getattr(np.linalg, _name)] = LINALG[_name] = _function
for _name in ("multi_dot", "cross", "tensordot", "vecdot", "diagonal", "trace", "matrix_transpose"):
    LINALG[_name] = FUNCTIONS[getattr(np.linalg, _name)]
