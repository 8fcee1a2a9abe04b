"""Sums of products over named or numbered axes: einsum, tensordot and their kin, by one matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .arranging import writable_diagonal
from .movement import disordered, expand_dims, is_ordered, ravel, reshape, stack, transpose
from .products import dot, matmul
from .reductions import sum_
from .registry import (
    FUNCTIONS,
    NAMESPACE,
    implements,
    into,
    normalize_axes,
    normalize_axis,
    recorded,
    refuse_options,
)

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # of axes given as numbers

# ---- einsum -------------------------------------------------------------------------------------------


@implements(np.einsum)
def einsum(*operands: Any, out: Any = None, optimize: Any = False, **kwargs: Any) -> Any:
    """Sums of products by Einstein's convention: `einsum("ij,jk->ik", a, b)`, also by lists of axes.

    Operands are contracted from the left; with `optimize`, in the order of `np.einsum_path`.
    """
    refuse_options("einsum", out=out, **{k: v for k, v in kwargs.items() if k not in ("order", "casting")})
    arrays, labels, output = _parse(operands)
    terms = [_diagonal(a, word) for a, word in zip(arrays, labels, strict=True)]
    extents: dict[str, int] = {}
    for a, word in terms:
        for letter, n in zip(word, a.shape, strict=True):
            if extents.setdefault(letter, n) not in (n, 1) and n != 1:
                raise ValueError(f"einsum: the axis {letter} has extents {extents[letter]} and {n}")
            extents[letter] = max(extents[letter], n) if n else 0
    missing = set(output) - set(extents)
    if missing or len(set(output)) != len(output):
        raise ValueError(f"einsum: the output {output!r} repeats an axis or names one that no operand has")
    terms = [_without_ones(a, word, extents) for a, word in terms]
    for pair in _order(terms, output, optimize):
        chosen = [terms.pop(k) for k in sorted(pair, reverse=True)]
        while len(chosen) > 1:
            left, right = chosen.pop(), chosen.pop()
            wanted = set(output).union(*(word for _, word in (*terms, *chosen)))
            chosen.append(_contract(*left, *right, wanted))
        terms += chosen
    a, word = _sum_out(*terms[0], set(output))
    lacking = [letter for letter in output if letter not in word]  # only extents of 1 were there
    a = reshape(a, (*(1,) * len(lacking), *a.shape))
    word = "".join(lacking) + word
    a = transpose(a, tuple(word.index(letter) for letter in output))
    a = NAMESPACE["broadcast_to"](a, tuple(extents[letter] for letter in output)) if lacking else a
    followed = len(arrays) == 1 or all(is_ordered(x) for x in (a, *arrays))
    return a if followed and kwargs.get("order", "K") == "K" else disordered(a)


def _parse(operands: tuple) -> tuple[list[Any], list[str], str]:
    """The arrays, a word of letters for the axes of each, and one for the axes of the result."""
    if isinstance(operands[0], str):
        text, arrays = operands[0].replace(" ", ""), [recorded(a) for a in operands[1:]]
    else:
        arrays = [recorded(a) for a in operands[: len(operands) // 2 * 2 : 2]]
        words = [_word(axes) for axes in operands[1 : len(operands) // 2 * 2 : 2]]
        text = ",".join(words) + ("->" + _word(operands[-1]) if len(operands) % 2 else "")
    inputs, arrow, output = text.partition("->")
    words = inputs.split(",")
    if len(words) != len(arrays):
        raise ValueError(f"einsum: {text!r} names {len(words)} operands, got {len(arrays)}")
    # Letters that stand for the axes of an ellipsis, counted from the last one.
    spare = [c for c in map(chr, range(ord("a") + 1000, ord("a") + 1000 + 64)) if c not in text]
    filled, longest = [], 0
    for word, a in zip(words, arrays, strict=True):
        n = a.ndim - len(word.replace("...", ""))
        if n < 0 or ("..." not in word and n):
            raise ValueError(f"einsum: the operand {word!r} has {a.ndim} axes")
        longest = max(longest, n)
        filled.append(word.replace("...", "".join(spare[:n][::-1])))
    ellipsis = "".join(spare[:longest][::-1])
    if not arrow:
        letters = "".join(words).replace(".", "")
        output = "..." + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    return arrays, filled, output.replace("...", ellipsis)


def _word(axes: Sequence[Any]) -> str:
    return "".join("..." if axis is Ellipsis else LETTERS[int(axis)] for axis in axes)


def _diagonal(a: Any, word: str) -> tuple[Any, str]:
    """Where a letter stands twice, the elements with both indices equal."""
    while len(set(word)) < len(word):
        letter = next(c for c in word if word.count(c) > 1)
        i = word.index(letter)
        j = word.index(letter, i + 1)
        if a.shape[i] != a.shape[j]:
            raise ValueError(f"einsum: the axis {letter} has extents {a.shape[i]} and {a.shape[j]}")
        a = NAMESPACE["moveaxis"](writable_diagonal(a, 0, i, j), -1, i)
        word = word[:j] + word[j + 1 :]
    return a, word


def _without_ones(a: Any, word: str, extents: dict[str, int]) -> tuple[Any, str]:
    """Without axes of extent 1 that other operands have longer: they broadcast."""
    kept = [k for k, letter in enumerate(word) if a.shape[k] == extents[letter]]
    return reshape(a, tuple(a.shape[k] for k in kept)), "".join(word[k] for k in kept)


def _order(terms: list, output: str, optimize: Any) -> list[tuple[int, ...]]:
    """Which terms are contracted in turn; a result comes last among those left."""
    if optimize is False or len(terms) < 3:
        return [(0, 1)] * (len(terms) - 1)
    text = ",".join(word for _, word in terms) + "->" + output
    letters = dict(zip(sorted(set(text) - set(",->")), LETTERS, strict=False))
    text = "".join(letters.get(c, c) for c in text)
    return np.einsum_path(text, *(np.empty(a.shape) for a, _ in terms), optimize=optimize)[0][1:]


def _sum_out(a: Any, word: str, wanted: set[str]) -> tuple[Any, str]:
    """Summed over the axes that nobody wants any more."""
    axes = tuple(k for k, letter in enumerate(word) if letter not in wanted)
    return (sum_(a, axes) if axes else a), "".join(letter for letter in word if letter in wanted)


def _contract(a: Any, left: str, b: Any, right: str, wanted: set[str]) -> tuple[Any, str]:
    """One product of two terms: (batch, m, k) @ (batch, k, n)."""
    a, left = _sum_out(a, left, wanted | set(right))
    b, right = _sum_out(b, right, wanted | set(left))
    batch = [c for c in left if c in right and c in wanted]
    inner = [c for c in left if c in right and c not in wanted]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    extents = dict(zip(left, a.shape, strict=True)) | dict(zip(right, b.shape, strict=True))
    sizes = [math.prod(extents[c] for c in letters) for letters in (batch, rows, inner, columns)]
    x = reshape(transpose(a, tuple(map(left.index, [*batch, *rows, *inner]))), (sizes[0], sizes[1], sizes[2]))
    y = reshape(
        transpose(b, tuple(map(right.index, [*batch, *inner, *columns]))), (sizes[0], sizes[2], sizes[3])
    )
    product = matmul(x, y) if inner else x * y  # with no sum: (b, m, 1) * (b, 1, n)
    word = "".join([*batch, *rows, *columns])
    return reshape(product, tuple(extents[c] for c in word)), word


# ---- numbered axes ------------------------------------------------------------------------------------


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum of products over axes of both: the last of a with the first of b, or those named."""
    a, b = recorded(a), recorded(b)
    if isinstance(axes, (int, np.integer)):
        left, right = tuple(range(a.ndim - int(axes), a.ndim)), tuple(range(int(axes)))
    else:
        left, right = (normalize_axes(x, v.ndim) for x, v in zip(axes, (a, b), strict=True))
    if [a.shape[k] for k in left] != [b.shape[k] for k in right]:
        raise ValueError(f"tensordot: axes {axes} of shapes {a.shape} and {b.shape} do not match")
    rows = [k for k in range(a.ndim) if k not in left]
    columns = [k for k in range(b.ndim) if k not in right]
    inner = math.prod(a.shape[k] for k in left)
    outer = [a.shape[k] for k in rows], [b.shape[k] for k in columns]
    x = reshape(transpose(a, (*rows, *left)), (math.prod(outer[0]), inner))
    y = reshape(transpose(b, (*right, *columns)), (inner, math.prod(outer[1])))
    return reshape(matmul(x, y), (*outer[0], *outer[1]))


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """The sum of products over the last axes of both."""
    a, b = recorded(a), recorded(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, ((-1,), (-1,)))


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """The sum of products of all elements, those of a conjugated."""
    return dot(NAMESPACE["conjugate"](ravel(recorded(a))), ravel(recorded(b)))


@implements(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1, **kwargs: Any) -> Any:
    """The sum of products along an axis, those of x1 conjugated."""
    refuse_options("vecdot", **kwargs)
    return sum_(NAMESPACE["conjugate"](recorded(x1)) * recorded(x2), axis)


@implements(getattr(np, "matvec", None))
def matvec(x1: Any, x2: Any, /, **kwargs: Any) -> Any:
    """Matrices (..., m, n) times vectors (..., n)."""
    refuse_options("matvec", **kwargs)
    return NAMESPACE["squeeze"](matmul(x1, expand_dims(recorded(x2), -1)), -1)


@implements(getattr(np, "vecmat", None))
def vecmat(x1: Any, x2: Any, /, **kwargs: Any) -> Any:
    """Vectors (..., m), conjugated, times matrices (..., m, n)."""
    refuse_options("vecmat", **kwargs)
    return NAMESPACE["squeeze"](matmul(expand_dims(NAMESPACE["conjugate"](recorded(x1)), -2), x2), -2)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Copies of b, each multiplied with an element of a, laid out as a."""
    a, b = recorded(a), recorded(b)
    n = max(a.ndim, b.ndim)
    left, right = (1,) * (n - a.ndim) + a.shape, (1,) * (n - b.ndim) + b.shape
    x = reshape(a, tuple(extent for m in left for extent in (m, 1)))
    y = reshape(b, tuple(extent for m in right for extent in (1, m)))
    return reshape(x * y, tuple(p * q for p, q in zip(left, right, strict=True)))


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    """The vector product of vectors along an axis, of three components (of two: the third of the product)."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = recorded(a), recorded(b)
    x = [_component(a, axisa, k) for k in range(a.shape[axisa])]
    y = [_component(b, axisb, k) for k in range(b.shape[axisb])]
    if not {len(x), len(y)} <= {2, 3}:
        raise ValueError(f"cross: vectors of {len(x)} and {len(y)} components; expected 2 or 3")
    third = x[0] * y[1] - x[1] * y[0]
    if len(x) == len(y) == 2:
        return third
    u, v = (w[2] if len(w) == 3 else np.zeros((), third.dtype) for w in (x, y))
    found = stack([x[1] * v - u * y[1], u * y[0] - x[0] * v, third], axisc)
    return found if axisc == -1 and is_ordered(a) and is_ordered(b) else disordered(found)


FUNCTIONS[np.linalg.cross] = cross


def _component(a: Any, axis: int, k: int) -> Any:
    return a[(slice(None),) * normalize_axis(axis, a.ndim) + (k,)]


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Any:
    """The product of matrices one after the other."""
    product = recorded(arrays[0])
    for a in arrays[1:]:
        product = dot(product, a)
    return into(out, product)
