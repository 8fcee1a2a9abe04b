"""Jacobians and Hessians, row by row or column by column, and products with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

import numpy as np

from .. import numpy as wnp
from .._core import Var
from ..pytree import tree_unflatten
from .batching import batch
from .call import Argnums, Recording, decorates, derived, is_part, places, refuse_parts
from .first import gradient, pushed


@decorates
def jacrev(f, argnums=0, has_aux=False):
    """The Jacobian by one reverse sweep per output element; see `jacobian`."""
    return _jacobian("jacrev", f, argnums, has_aux, _by_rows)


@decorates
def jacfwd(f, argnums=0, has_aux=False):
    """The Jacobian by one forward sweep per input element; see `jacobian`."""
    return _jacobian("jacfwd", f, argnums, has_aux, _by_columns)


@decorates
def jacobian(f, argnums=0, has_aux=False):
    """The function that returns the Jacobian of `f`, by whichever mode takes fewer sweeps.

    Parameters
    ----------
    f : callable
    argnums : int or tuple of int
    has_aux : bool
        `f` returns a pair (output, aux), and the result is (Jacobian, aux).

    Returns
    -------
    callable
        For an output of shape O and an argument of shape I it returns an array of shape O + I; for pytrees,
        in the structure of the output, whose leaves have the structure of the argument.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _jacobian("jacobian", f, argnums, has_aux, _by_fewer)


def _jacobian(name: str, f: Callable, argnums: Argnums, has_aux: bool, mode: Callable) -> Callable:
    def rule(recording, bound, outputs, structure):
        blocks = mode(recording, bound.inputs, outputs)
        return tree_unflatten(structure, [bound.rebuild(row) for row in blocks])

    return derived(name, f, argnums, has_aux, rule)


def _by_fewer(recording: Recording, inputs: list[Var], outputs: list[Var]) -> list[list[Any]]:
    fewer = sum(y.size for y in outputs) < sum(x.size for x in inputs) and not is_part(outputs, inputs)
    mode = _by_rows if fewer else _by_columns
    return mode(recording, inputs, outputs)


# Elements of the largest node in a batched sweep: unit vectors are taken that many at a time, so that a block
# of rows or columns stays in a few megabytes.
MOST = 1 << 20


def _by_rows(recording: Recording, inputs: list[Var], outputs: list[Var]) -> list[list[Any]]:
    """The Jacobian's blocks, by output and input: a batched reverse sweep per output gives a row of them."""
    tape, blocks = recording.tape, []
    refuse_parts("jacrev, hessian", outputs, inputs)
    for y in outputs:
        if y.size == 1:
            seeds = [tape.full(1, y.dtype, y.shape)]
            rows = tape.vjp([y], seeds, inputs)
        else:
            rows = _swept(tape, inputs, [y], y, lambda part, xs, ys, unit: part.vjp(ys, [unit], xs))
        blocks.append(
            [_block(recording, g, y.shape + x.shape, x.dtype) for g, x in zip(rows, inputs, strict=True)]
        )
    return blocks


def _by_columns(
    recording: Recording, inputs: list[Var], outputs: list[Var], order: int = 1, symmetric: bool = False
) -> list[list[Any]]:
    """The same by one batched forward sweep per input, or several along the same direction, one of another.

    Each gives a column of blocks.  The blocks of gradients by the inputs are symmetric: what the sweep by one
    input says of the gradient by another serves the other way round, for then the directions are where they
    belong already.
    """
    blocks: list[list[Any]] = [[None] * len(inputs) for _ in outputs]
    for i, x in enumerate(inputs):

        def sweep(part, xs, ys, unit, i=i):
            for _ in range(order):
                known = [y for y in ys if y is not None]
                found = iter(part.jvp([xs[i]], [unit], known))
                ys = [None if y is None else next(found) for y in ys]
            return ys

        columns = _swept(recording.tape, inputs, outputs, x, sweep)
        for k, (column, y) in enumerate(zip(columns, outputs, strict=True)):
            row, of, place, j = k, i, y.ndim, k % len(inputs)
            if symmetric and inputs[j].dtype == x.dtype:
                row, of, place = k - j + i, j, y.ndim - inputs[j].ndim
            if column is not None and place:  # (x.size, *y.shape)
                column = wnp.moveaxis(column, 0, place)
            shape = y.shape[:place] + x.shape + y.shape[place:]
            blocks[row][of] = _block(recording, column, shape, y.dtype)
    return blocks


def _swept(tape: Any, inputs: list[Var], outputs: list[Var], like: Var, sweep: Callable) -> list[Var | None]:
    """What a sweep gives for every unit array of the shape of `like`, stacked along a first axis."""
    part, operands = tape.extract(inputs, outputs)
    xs = [part.at(index) for index in part.inputs[: len(inputs)]]
    ys = [part.at(index) for index in part.outputs]
    swept = sweep(part, xs, ys, part.input(like.dtype, like.shape))
    known = [v for v in swept if v is not None and like.size]
    if not known:
        return [None] * len(swept)
    part.set_outputs(known)
    widest = max(math.prod(part.node(k).shape) for k in range(len(part)))
    chunk = max(1, min(like.size, MOST // max(1, widest)))
    pieces = []
    for start in range(0, like.size, chunk):
        size = min(chunk, like.size - start)
        if start == 0 or size != chunk:
            batched, _ = batch(part, size, [False] * len(operands) + [True], [True] * len(known))
        pieces.append(tape.call(batched, [*operands, units(tape, like, start, size)]))
    columns = zip(*pieces, strict=True)
    whole = iter([column[0] if len(column) == 1 else wnp.concatenate(column) for column in columns])
    return [None if v is None else next(whole) for v in swept]


def units(tape: Any, like: Var, start: int, size: int) -> Var:
    """Unit arrays of a shape, numbers start, ..., start + size - 1 in C order, stacked."""
    number, row = np.arange(like.size), np.arange(start, start + size)
    units = wnp.equal(tape.as_var(row[:, None]), tape.as_var(number))
    return wnp.reshape(wnp.astype(units, like.dtype), (size, *like.shape))


def _block(recording: Recording, block: Var | None, shape: tuple[int, ...], dtype: Any) -> Any:
    """One block of a Jacobian in its shape and dtype; zeros for None."""
    if block is None:
        return recording.derivative(None, recording.tape.full(0, dtype, shape))
    return recording.result(wnp.reshape(block, shape))


@decorates
def hessian(f, argnums=0, has_aux=False):
    """The function that returns the Hessian: the Jacobian of the gradient, forward over reverse; see
    `jacobian`.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    gradient = _jacobian("hessian", f, argnums, has_aux, _by_rows)
    return _jacobian("hessian", gradient, argnums, has_aux, partial(_by_columns, symmetric=True))


@decorates
def hessian_diagonal(f, argnums=0, has_aux=False):
    """The function that returns the second derivative of `f` by each element of an argument, without the
    Hessian: an array of the shape of the output followed by that of the argument; see `jacobian`.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.hessian_diagonal(lambda x: np.sum(x**3) + x[0] * x[1])(np.array([1.0, 2.0]))
    array([ 6., 12.])
    """
    return _jacobian("hessian_diagonal", f, argnums, has_aux, partial(_by_columns, order=2))


def hvp(f: Callable | None = None, *operands: Any, argnums: Argnums = 0, **kwargs: Any) -> Any:
    """Products of the Hessian with a vector, without forming it: the derivative of the gradient along `v`.

    Parameters
    ----------
    f : callable
        Returns one number.
    *operands : x, v, *args
        With operands the product is computed at once; without, the function h(x, v, *args) is returned, where
        `args` are the arguments of `f` other than `x`.
    argnums : int or tuple of int
        The place of `x` among the arguments of `f`; for a tuple, `x` and `v` are tuples.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.hvp(lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    if f is None:
        return partial(hvp, argnums=argnums)
    if not callable(f):
        raise TypeError(f"hvp: f must be a function, got {type(f).__name__}")
    if not operands:
        return update_wrapper(partial(_hvp, f, argnums), f)
    return _hvp(f, argnums, *operands, **kwargs)


def _hvp(f: Callable, argnums: Argnums, x: Any, v: Any, *args: Any, **kwargs: Any) -> Any:
    single = isinstance(argnums, int)
    n_args = len(args) + (1 if isinstance(argnums, int) else len(argnums))
    numbers = [number % n_args for number in places("hvp", argnums, n_args)]
    if not single and (not isinstance(x, (tuple, list)) or len(x) != len(numbers)):
        raise ValueError(f"hvp: x must be a tuple with an entry for each of argnums={argnums}, got {x!r}")

    def slope(x: Any) -> Any:
        moving, fixed = dict(zip(numbers, [x] if single else x, strict=True)), iter(args)
        whole = [moving[k] if k in moving else next(fixed) for k in range(n_args)]
        return gradient("hvp", f, argnums, False, False)(*whole, **kwargs)

    return pushed("hvp", slope, (x,), (v,), "v")[1]
