"""Products of vectors and matrices, with NumPy's rules for one axis and for many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Var
from .movement import ravel, reshape, transpose
from .registry import append, implements, into, method, operand, refuse_options


@implements(np.matmul, computes="matmul")
@method("matmul")
def matmul(x1: Any, x2: Any, /, **kwargs: Any) -> Var:
    """The matrix product of (..., m, k) and (..., k, n); a vector counts as a row on the left, a column on
    the right.

    Raises
    ------
    ValueError
        For operands of shape () and for extents that do not match.
    """
    refuse_options("matmul", **kwargs)
    a, b = operand(x1), operand(x2)
    if a.ndim >= 2 and (b.ndim > 2 or a.ndim == b.ndim):
        return append("matmul", a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: operands of shapes {a.shape} and {b.shape}; a scalar is multiplied with *")
    if a.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        raise ValueError(f"matmul: operands of shapes {a.shape} and {b.shape} do not match")
    if b.ndim > 2:
        product = append("matmul", reshape(a, (1, *a.shape)), b)
        return reshape(product, product.shape[:-2] + product.shape[-1:])
    # all rows of a stack in one product, whose derivative by the matrix is then one product, too
    rows = reshape(a, (math.prod(a.shape[:-1]), a.shape[-1]))
    columns = reshape(b, (*b.shape, 1)) if b.ndim == 1 else b
    return append("reshape", append("matmul", rows, columns), attrs=a.shape[:-1] + b.shape[1:])


@implements(np.dot, computes="matmul")
@method("dot")
def dot(a: Any, b: Any, out: Any = None) -> Var:
    """The sum over the last axis of a and the last but one of b: the matrix product of two matrices."""
    refuse_options("dot", out=out)
    a, b = operand(a), operand(b)
    if a.ndim == 0 or b.ndim == 0:
        return append("mul", a, b)
    if a.ndim <= 2 and b.ndim <= 2:
        return matmul(a, b)
    if b.ndim == 1:
        return matmul(a, b)
    extent = b.shape[-2]
    if a.shape[-1] != extent:
        raise ValueError(f"dot: operands of shapes {a.shape} and {b.shape} do not match")
    columns = reshape(
        transpose(b, (b.ndim - 2, *range(b.ndim - 2), b.ndim - 1)), (extent, math.prod(b.shape) // extent)
    )
    product = matmul(reshape(a, (math.prod(a.shape[:-1]), extent)), columns)
    return reshape(product, (*a.shape[:-1], *b.shape[:-2], b.shape[-1]))


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Var:
    """The products of every element of a with every element of b, shape (a.size, b.size)."""
    left, right = ravel(a), ravel(b)
    return into(out, append("mul", reshape(left, (-1, 1)), reshape(right, (1, -1))))
