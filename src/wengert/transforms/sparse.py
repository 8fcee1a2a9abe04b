"""Sparse Jacobians and Hessians: which elements depend on which, then few sweeps for all columns.

Index sets go over the tape: the set of a node is an array of sorted keys, row * n + column, that say on which
of the n inputs (column) an element (row) may depend.  Columns that share no row take one direction together
(Curtis, Powell & Reid 1974).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import Var, set_current
from ..extras import require
from ..program import compile as compiled
from ..tape import OPS, Tape
from .batching import vmap
from .call import decorates
from .first import grad, jvp

UNARY, BINARY, ZERO, COMPARE, DERIVATIVE = 1, 2, 3, 4, 9  # kinds of the op table
ELEMENTWISE = (UNARY, BINARY, DERIVATIVE)
MOST = 10**8  # keys of what counts as dense
REDUCTIONS = ("sum", "prod", "max", "min", "logsumexp")


def sparsity(f: Callable, x: Any) -> Any:
    """Where the Jacobian of `f` at arrays like `x` may differ from zero, whatever the values.

    Parameters
    ----------
    f : callable
        Takes an array to an array.
    x : array of shape I, of which only shape and dtype count

    Returns
    -------
    scipy.sparse.csr_array of bools, shape (outputs, inputs)

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.sparsity(lambda x: x[1:] * x[:-1], np.ones(4)).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    rows, columns, shape = _pattern("sparsity", f, np.asarray(x))
    sparse = require("scipy.sparse", "sparsity")
    return sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=shape)


@decorates
def sparse_jacobian(f):
    """The function that returns the Jacobian of `f`, from an array to an array, as a scipy.sparse.csr_array.

    Its pattern is found once for each shape; then every call takes as many directions as there are colors of
    columns, whatever the number of columns.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.sparse_jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0])).toarray()
    array([[2., 1., 0.],
           [0., 3., 2.]])
    """
    known: dict[tuple, tuple] = {}
    products = compiled(lambda x, units: vmap(lambda v: jvp(f, (x,), (v,))[1])(units))

    @functools.wraps(f)
    def wrapped(x):
        x = np.asarray(x)
        if (key := (x.shape, x.dtype)) not in known:
            rows, columns, shape = _pattern("sparse_jacobian", f, x)
            colors = _colors(rows, columns, shape)
            units = np.zeros((colors.max(initial=-1) + 1, shape[1]), x.dtype)
            units[colors, np.arange(shape[1])] = 1
            starts = np.searchsorted(rows, np.arange(shape[0] + 1))
            known[key] = rows, columns, shape, colors, units.reshape(-1, *x.shape), starts
        rows, columns, shape, colors, units, starts = known[key]
        found = products(x, units).reshape(len(units), shape[0])
        sparse = require("scipy.sparse", "sparse_jacobian")
        return sparse.csr_array((found[colors[columns], rows], columns, starts), shape=shape)

    return wrapped


@decorates
def sparse_hessian(f):
    """The function that returns the Hessian of `f`, from an array to a number, as a scipy.sparse.csr_array.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> rosenbrock = lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    >>> wg.sparse_hessian(rosenbrock)(np.zeros(10**5)).nnz
    299998
    """
    return sparse_jacobian(grad(f))


# ---- colors -------------------------------------------------------------------------------------------


def _colors(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A color for every column, such that no row has two columns of one color."""
    most = int(np.bincount(rows).max(initial=0)) or 1
    for period in range(most, most + 4):  # of a banded matrix the columns take turns
        keys = np.sort(rows * period + columns % period)
        if not np.any(keys[1:] == keys[:-1]):
            return np.arange(shape[1]) % period
    members = np.split(columns, np.searchsorted(rows, np.arange(1, shape[0])))
    order = np.argsort(columns, kind="stable")
    users = np.split(rows[order], np.searchsorted(columns[order], np.arange(1, shape[1])))
    colors = np.full(shape[1], -1)
    for column in range(shape[1]):  # greedily, in order
        taken = {int(colors[other]) for row in users[column] for other in members[row]}
        colors[column] = next(color for color in range(len(taken) + 1) if color not in taken)
    return colors


# ---- patterns -----------------------------------------------------------------------------------------


def _pattern(name: str, f: Callable, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The rows and columns that may differ from zero, sorted, and the Jacobian's shape."""
    tape: Any = Tape(abstract=True)
    before = set_current(tape)
    try:
        given = tape.input(x.dtype, x.shape)
        y = f(given)
        if not isinstance(y, (Var, np.ndarray, np.generic, float)):
            raise ValueError(f"{name}: f returned a {type(y).__name__}; expected one array")
        part, _ = tape.extract([given], [tape.as_var(y)])
    finally:
        set_current(before)
        tape.ended = True
    nodes = [part.node(k) for k in range(len(part))]
    sets: list[np.ndarray | None] = [None] * len(nodes)
    sets[part.inputs[0]] = np.arange(x.size) * (x.size + 1)
    for k, node in enumerate(nodes):
        if any(sets[i] is not None for i in node.inputs):
            sets[k] = _set_of(node, [nodes[i] for i in node.inputs], [sets[i] for i in node.inputs], x.size)
    shape = math.prod(nodes[part.outputs[0]].shape), x.size
    keys = sets[part.outputs[0]]
    keys = np.zeros(0, np.int64) if keys is None else keys
    return keys // max(x.size, 1), keys % max(x.size, 1), shape


def _set_of(node: Any, operands: list, sets: list, n: int) -> np.ndarray | None:
    """The index set of a node, from its operands and theirs."""
    kind = OPS[node.op].kind
    flat = node.op in ("stop_gradient", "argmax", "argmin", "argsort") or kind in (ZERO, COMPARE)
    if flat or (node.dtype.kind not in "fc" and node.op != "call"):
        return None
    parts = [_moved(node, operands, k, keys, n) for k, keys in enumerate(sets) if keys is not None]
    return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def _moved(node: Any, operands: list, position: int, keys: np.ndarray, n: int) -> np.ndarray:
    """The keys of one operand as keys of the result."""
    op, attrs, shape = node.op, node.attrs, operands[position].shape
    own, out = (np.arange(math.prod(s)).reshape(s) for s in (shape, node.shape))
    if OPS[op].kind in ELEMENTWISE or op in ("where", "copy", "cast", "broadcast"):
        return _pulled(keys, np.broadcast_to(own, node.shape), n)
    if op == "reshape" or (op in ("slice_add", "slice_set") and position == 0):
        return keys
    if op == "transpose":
        return _pulled(keys, own.transpose(attrs), n)
    if op in ("slice", "slice_add", "slice_set"):
        triples = zip(*[iter(attrs)] * 3, strict=True)
        window = np.ix_(*(start + step * np.arange(length) for start, step, length in triples))
        return _pulled(keys, own[window], n) if op == "slice" else _pushed(keys, out[window], n)
    if op == "concatenate":
        start = sum(operand.shape[attrs[0]] for operand in operands[:position])
        return _pushed(keys, out.take(range(start, start + shape[attrs[0]]), attrs[0]), n)
    if op in REDUCTIONS:
        kept = [1 if attrs[0] >> axis & 1 else extent for axis, extent in enumerate(shape)]
        return _pushed(keys, np.broadcast_to(out.reshape(kept), shape), n)
    if op == "matmul" and shape[:-2] == node.shape[:-2]:  # by rows of the left, columns of the right operand
        lines = out[..., :1] if position == 0 else out[..., :1, :]
        return _pulled(_pushed(keys, np.broadcast_to(lines, shape), n), np.broadcast_to(lines, node.shape), n)
    columns = np.unique(keys % n)  # any other op: each element may depend on all
    if out.size * len(columns) > MOST:
        raise ValueError(f"sparsity: {op} of shape {node.shape} counts as dense, and is too big for that")
    return (np.arange(out.size)[:, None] * n + columns).ravel()


def _pulled(keys: np.ndarray, source: np.ndarray, n: int) -> np.ndarray:
    """Keys of a result whose elements are those of an operand at the places `source`."""
    source = source.ravel()
    starts = np.searchsorted(keys, np.arange(source.max(initial=-1) + 2) * n)
    first, count = starts[source], starts[source + 1] - starts[source]
    before = np.cumsum(count) - count
    places = np.arange(count.sum()) + np.repeat(first - before, count)
    return np.repeat(np.arange(len(source)), count) * n + keys[places] % n


def _pushed(keys: np.ndarray, target: np.ndarray, n: int) -> np.ndarray:
    """Keys of a result to whose element target[i] the element i of an operand belongs."""
    return np.unique(target.ravel()[keys // n] * n + keys % n)
