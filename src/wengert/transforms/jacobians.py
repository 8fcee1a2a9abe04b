"""Jacobians and Hessians, row by row or column by column, and products with them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import numpy as wnp
from .._core import Var
from ..pytree import tree_unflatten
from .call import Argnums, Bound, Recording, decorates, operands, outputs_on, refuse_integers
from .first import grad, jvp


@decorates
def jacrev(f, argnums=0):
    """The Jacobian by one reverse sweep per output element; see `jacobian`."""
    return _jacobian("jacrev", f, argnums, lambda n_in, n_out: True)


@decorates
def jacfwd(f, argnums=0):
    """The Jacobian by one forward sweep per input element; see `jacobian`."""
    return _jacobian("jacfwd", f, argnums, lambda n_in, n_out: False)


@decorates
def jacobian(f, argnums=0):
    """The function that returns the Jacobian of `f`, by whichever mode takes fewer sweeps.

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
    return _jacobian("jacobian", f, argnums, lambda n_in, n_out: n_out < n_in)


def _jacobian(name: str, f: Callable, argnums: Argnums, reverse: Callable[[int, int], bool]) -> Callable:
    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        with Recording(operands(args, kwargs)) as recording:
            bound = Bound(name, recording.tape, args, argnums)
            outputs, structure = outputs_on(recording.tape, f(*bound.args, **kwargs))
            refuse_integers(name, outputs)
            sizes = sum(x.size for x in bound.inputs), sum(y.size for y in outputs)
            blocks = (_blocks_by_rows if reverse(*sizes) else _blocks_by_columns)(
                recording, bound.inputs, outputs
            )
            return tree_unflatten(structure, [bound.rebuild(row) for row in blocks])

    return wrapped


def _units(tape: Any, like: Var) -> Iterable[Var]:
    """The unit arrays of a shape, in C order, as seeds."""
    number = tape.as_var(np.arange(like.size).reshape(like.shape))
    return (wnp.astype(wnp.equal(number, k), like.dtype) for k in range(like.size))


def _blocks_by_rows(recording: Recording, inputs: list[Var], outputs: list[Var]) -> list[list[Any]]:
    """The Jacobian's blocks, by output and input: a reverse sweep per output element gives a row of each."""
    blocks = []
    for y in outputs:
        rows = [
            [
                recording.derivative(g, x)
                for g, x in zip(recording.tape.vjp([y], [unit], inputs), inputs, strict=True)
            ]
            for unit in _units(recording.tape, y)
        ]
        blocks.append([_block(recording, [row[k] for row in rows], y, x, 0) for k, x in enumerate(inputs)])
    return blocks


def _blocks_by_columns(recording: Recording, inputs: list[Var], outputs: list[Var]) -> list[list[Any]]:
    """The same by one forward sweep per input element, which gives one column of each."""
    blocks: list[list[Any]] = [[] for _ in outputs]
    for i, x in enumerate(inputs):
        columns = []
        for unit in _units(recording.tape, x):
            tangents = [unit if k == i else None for k in range(len(inputs))]
            swept = recording.tape.jvp(inputs, tangents, outputs)
            columns.append([recording.derivative(t, y) for t, y in zip(swept, outputs, strict=True)])
        for k, y in enumerate(outputs):
            blocks[k].append(_block(recording, [column[k] for column in columns], y, x, -1))
    return blocks


def _block(recording: Recording, slices: list[Any], y: Var, x: Var, axis: int) -> Any:
    """Rows (axis 0) or columns (axis -1) of one block joined to the shape of `y` followed by that of `x`."""
    shape = y.shape + x.shape
    if not math.prod(shape):
        return np.zeros(shape, y.dtype)
    joined = wnp.reshape(wnp.stack(slices, axis), shape)
    return joined if isinstance(joined, Var) else joined[()]


@decorates
def hessian(f, argnums=0):
    """The function that returns the Hessian: the Jacobian of the gradient, forward over reverse.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    return jacfwd(jacrev(f, argnums), argnums)


def hvp(f: Callable, *operands: Any, argnums: Argnums = 0, **kwargs: Any) -> Any:
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
    if not operands:
        return functools.partial(_hvp, f, argnums)
    return _hvp(f, argnums, *operands, **kwargs)


def _hvp(f: Callable, argnums: Argnums, x: Any, v: Any, *args: Any, **kwargs: Any) -> Any:
    places = [argnums] if isinstance(argnums, int) else list(argnums)

    def gradient(x: Any) -> Any:
        whole = list(args)
        for place, part in sorted(zip(places, [x] if isinstance(argnums, int) else x, strict=True)):
            whole.insert(place, part)
        return grad(f, argnums)(*whole, **kwargs)

    return jvp(gradient, (x,), (v,))[1]
