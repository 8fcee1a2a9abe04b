"""Sparse derivatives: which elements depend on which, then few sweeps for all columns.

Index sets go over the tape of the tangent, which is linear: that of an array is a sparse matrix of bools,
with a row for each of its elements that says on which of the n inputs (columns) they may depend.  An op
chooses rows, is a product with its own pattern, or a union.  Columns that share no row take one direction
together (Curtis, Powell & Reid 1974).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from .. import numpy as wnp
from .._core import Var
from ..extras import require
from ..guards import Guards
from ..program import compile as compiled
from ..tape import OPS, Tape, recording_on
from .batching import vmap
from .call import decorates, is_differentiable
from .first import grad, jvp
from .loops import UNTIL

ELEMENTWISE = ("UNARY", "BINARY", "DERIVATIVE")  # kinds of the op table
SAME_PLACES = ("where", "copy", "cast", "broadcast", "real", "imag", "conj", "to_complex", "stop_gradient")
MOST = 10**8  # elements of what counts as dense


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

    Notes
    -----
    Index arrays that `f` captures are looked at, loops gone through step by step.  What NumPy computes
    (`numpy.linalg`), and a choice by an index that depends on `x`, count as dense.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.sparsity(lambda x: x[1:] * x[:-1], np.ones(4)).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    return _pattern("sparsity", f, _floats("sparsity", x))[0]


@decorates
def sparse_jacobian(f):
    """The function that returns the Jacobian of `f`, from an array to an array, as a scipy.sparse.csr_array.

    Its pattern is found once for each shape, and again where what it was found from has changed; then every
    call takes as many directions as there are colors of columns, whatever the number of columns.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.sparse_jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0])).toarray()
    array([[2., 1., 0.],
           [0., 3., 2.]])
    """
    known: dict[tuple, tuple] = {}

    @compiled
    @functools.wraps(f)  # it watches f, as the guards of a pattern do
    def elements(x, units, places):
        found = vmap(lambda v: jvp(f, (x,), (v,))[1])(units)
        return wnp.reshape(found, -1)[places]

    @functools.wraps(f)
    def wrapped(x):
        x = _floats("sparse_jacobian", x)
        if (key := (x.shape, x.dtype)) not in known or not known[key][0].hold():
            guards = Guards(f)
            pattern, guards.relied = _pattern("sparse_jacobian", f, x)
            rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
            colors = _colors(pattern, rows)
            units = np.zeros((colors.max(initial=-1) + 1, x.size), x.dtype)
            units[colors, np.arange(x.size)] = 1
            places = colors[pattern.indices] * pattern.shape[0] + rows
            known[key] = guards, pattern, units.reshape(len(units), *x.shape), places
        _, pattern, units, places = known[key]
        # each result has index arrays of its own, for what is done to it may change them
        parts = elements(x, units, places), pattern.indices.copy(), pattern.indptr.copy()
        return type(pattern)(parts, pattern.shape)

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


def _floats(name: str, x: Any) -> np.ndarray:
    """The argument as an array of floats; a mask is refused where the array is recorded."""
    if isinstance(x, Var):
        raise TypeError(f"{name}: x is traced, and a sparse matrix cannot be; use wg.jacobian or wg.hvp here")
    x = np.asanyarray(x)
    if not is_differentiable(x):
        raise TypeError(
            f"{name}: x has dtype {x.dtype}; expected floats: pass x.astype(float), of trees wg.flatten(x)[0]"
        )
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


# ---- colors -------------------------------------------------------------------------------------------


def _colors(pattern: Any, rows: np.ndarray) -> np.ndarray:
    """A color for every column, such that no row has two columns of one color."""
    n, columns = pattern.shape[1], pattern.indices
    most = int(np.diff(pattern.indptr).max(initial=0)) or 1
    if most == n:
        return np.arange(n)
    for period in range(most, most + 4):  # of a banded matrix the columns take turns
        keys = np.sort(rows * period + columns % period, kind="stable")
        if not np.any(keys[1:] == keys[:-1]):
            return np.arange(n) % period
    turned = pattern.tocsc()  # Python's own lists: greedily, a column after the other
    starts, others, firsts, users = (
        x.tolist() for x in (pattern.indptr, columns, turned.indptr, turned.indices)
    )
    colors = [-1] * n
    for column in range(n):
        taken = {
            colors[other]
            for row in users[firsts[column] : firsts[column + 1]]
            for other in others[starts[row] : starts[row + 1]]
        }
        colors[column] = next(color for color in range(len(taken) + 1) if color not in taken)
    return np.array(colors)


# ---- patterns -----------------------------------------------------------------------------------------


def _pattern(name: str, f: Callable, x: np.ndarray) -> tuple[Any, list]:
    """The elements of the Jacobian that may differ from zero, as a sparse matrix of bools.

    With it the arrays whose values it was found from, as `Guards.relied` has them.
    """
    tape: Any = Tape(abstract=True)
    with recording_on(tape):
        given = tape.input(x.dtype, x.shape)
        y = f(given)
        if not isinstance(y, (Var, np.ndarray, np.generic, float)):
            raise ValueError(f"{name}: f returned a {type(y).__name__}; expected one array")
        end = tape.as_var(y)
        unit = tape.input(x.dtype, x.shape)
        tangent = tape.jvp([given], [unit], [end])[0]
    sets = _Sets(name, x.size)
    found = None
    if tangent is not None:
        line, reads = tape.extract([unit], [tangent])
        values = _values(tape, (given.index, unit.index), reads)
        found = sets.through(line, [sets.eye(x.size, 0, x.size), *[None] * (len(reads) - 1)], values)[0]
    tape.ended = True
    found = sets.empty(end.size) if found is None else found
    found.sort_indices()
    if max(found.nnz, *found.shape) < 2**31:  # as SciPy does
        found.indices, found.indptr = (x.astype(np.int32) for x in (found.indices, found.indptr))
    return found, tape.relied


def _values(tape: Any, inputs: tuple[int, ...], reads: list[Var]) -> list:
    """The values of those Vars that may be indices: integers that do not depend on the inputs."""
    depends = [False] * len(tape)
    for k in range(len(tape)):
        depends[k] = k in inputs or any(depends[i] for i in tape.node(k).inputs)
    wanted = [v for v in reads if v.dtype.kind in "iu" and not depends[v.index]]
    if not wanted:
        return [None] * len(reads)
    tape.relied += tape.snapshots
    tape.set_outputs(wanted)
    nodes = [tape.node(k) for k in tape.inputs]
    arrays = [
        np.zeros(node.shape, node.dtype) if source is None else np.array(source, node.dtype)
        for node, source in zip(nodes, tape.sources, strict=True)
    ]
    found = dict(zip([v.index for v in wanted], _core.Program(tape).run(arrays) or (), strict=True))
    return [found.get(v.index) for v in reads]


class _Sets:
    """Index sets of arrays, and how they pass through the nodes of a linear tape."""

    def __init__(self, name: str, n: int):
        sparse = require("scipy.sparse", name)
        self.name, self.csr, self.stack, self.n = name, sparse.csr_array, sparse.vstack, n

    def eye(self, size: int, start: int, n: int) -> Any:
        """The sets of independent elements: columns start, start + 1, ... of n."""
        return self.csr((np.ones(size, bool), np.arange(start, start + size), np.arange(size + 1)), (size, n))

    def empty(self, size: int) -> Any:
        return self.csr((size, self.n), dtype=bool)

    def through(self, tape: Any, inputs: list, values: list) -> list:
        """The sets of the outputs of a tape from those of its inputs; None for an empty one."""
        nodes = [tape.node(k) for k in range(len(tape))]
        first = dict(zip(tape.inputs, inputs, strict=True))
        sets: list[Any] = [first.get(k) for k in range(len(nodes))]
        known: dict[int, Any] = dict(zip(tape.inputs, values, strict=True))
        results: list[Any] = []
        for k, node in enumerate(nodes):
            given = [sets[i] for i in node.inputs]
            moves = any(s is not None for s in given)
            if node.op == "call":
                results = self.call(tape.child(k), node, given) if moves else []
            elif node.op == "result":
                sets[k] = results[node.attrs[0]] if results else None
            elif moves:
                indices = [known.get(i) for i in node.inputs]
                operands = [nodes[i] for i in node.inputs]
                for position, s in enumerate(given):
                    if s is not None:
                        sets[k] = self.union(sets[k], self.moved(node, operands, position, s, indices))
        return [sets[k] for k in tape.outputs]

    def union(self, a: Any, b: Any) -> Any:
        if a is None or a is b:
            return b
        if a.nnz == b.nnz and np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices):
            return a
        return a + b

    def moved(self, node: Any, operands: list, position: int, s: Any, indices: list) -> Any:
        """The set of one operand as it arrives in the result."""
        op, attrs, shape = node.op, node.attrs, operands[position].shape
        own, out = (np.arange(math.prod(extents)).reshape(extents) for extents in (shape, node.shape))
        if OPS[op].kind in ELEMENTWISE or op in SAME_PLACES:
            return self.pulled(s, np.broadcast_to(own, node.shape))
        if op == "reshape" or (position == 0 and op in ("slice_add", "slice_set", "index_add", "index_set")):
            return s
        if op == "transpose":
            return self.pulled(s, own.transpose(attrs))
        if op in ("slice", "slice_add", "slice_set"):
            triples = zip(*[iter(attrs)] * 3, strict=True)
            window = np.ix_(*[start + step * np.arange(length) for start, step, length in triples])
            return self.pulled(s, own[window]) if op == "slice" else self.pushed(s, out[window], out.size)
        if op == "gather" and indices[1] is not None:
            return self.pulled(s, own[indices[1]])
        if op in ("index_add", "index_set") and position == 2 and indices[1] is not None:
            return self.pushed(s, out[indices[1]], out.size)
        if op == "concatenate":
            start = sum(operand.shape[attrs[0]] for operand in operands[:position])
            return self.pushed(s, out.take(range(start, start + shape[attrs[0]]), attrs[0]), out.size)
        if op == "sum":
            kept = [1 if attrs[0] >> axis & 1 else extent for axis, extent in enumerate(shape)]
            return self.pushed(s, np.broadcast_to(out.reshape(kept), shape), out.size)
        if op == "matmul":  # by rows of the left, columns of the right operand
            own = np.broadcast_to(own, node.shape[:-2] + shape[-2:])
            lines = out[..., :1] if position == 0 else out[..., :1, :]
            met = self.pushed(self.pulled(s, own), np.broadcast_to(lines, own.shape), out.size)
            return self.pulled(met, np.broadcast_to(lines, node.shape))
        if op == "recurrence" and out.size * shape[attrs[0]] <= MOST:  # y[k] by the entries up to k
            later, earlier = np.tril_indices(shape[attrs[0]])
            pair = (earlier, later) if attrs[1] else (later, earlier)
            rows, columns = (np.moveaxis(out, attrs[0], 0)[k].ravel() for k in pair)
            return self.csr((np.ones(len(rows), bool), (rows, columns)), (out.size, out.size)) @ s
        return self.dense(node, s)

    def call(self, body: Any, node: Any, given: list) -> list:
        """The sets of a call's results; each step of a loop is a product with the pattern of its body."""
        if len(node.attrs) == 1:
            return self.through(body, given, [None] * len(given))
        _, n_carry, n_x, length, reverse, guard, _ = node.attrs
        sizes, heights = ([math.prod(body.node(k).shape) for k in ids] for ids in (body.inputs, body.outputs))
        moving, pattern = self.turn(body, given, n_carry, heights)
        ends = np.cumsum([0, *heights])
        now = [self.empty(n) if s is None else s for n, s in zip(sizes, given, strict=True)]
        rows: list[list] = [[s] for s in now[:n_carry]] + [[] for _ in heights[n_carry:]]
        for step in itertools.count() if length == UNTIL else range(length):
            at = length - 1 - step if reverse else step
            met = [
                s[at * n : (at + 1) * n] if n_carry <= k < n_carry + n_x else s
                for k, (s, n) in enumerate(zip(now, sizes, strict=True))
                if moving[k]
            ]
            out = pattern @ self.stack(met, "csr")
            for row, (start, end) in zip(rows, itertools.pairwise(ends), strict=True):
                row.append(out[start:end])
            for row in rows[: n_carry if guard >= 0 else 0]:  # or the step is not taken
                row[-1] = self.union(*row[-2:])
            before, now[:n_carry] = now[:n_carry], [row[-1] for row in rows[:n_carry]]
            if length == UNTIL and all(a.nnz == b.nnz for a, b in zip(before, now, strict=False)):
                return now[:n_carry]
        whole = [self.stack(row[::-1] if reverse else row, "csr") if row else self.empty(0) for row in rows]
        return [s if s.nnz else None for s in (*now[:n_carry], *whole[n_carry:], *whole[:n_carry])]

    def turn(self, body: Any, given: list, n_carry: int, heights: list[int]) -> tuple[list[bool], Any]:
        """Which inputs of a loop's body have sets, and how its outputs depend on those, end to end."""
        moving, settled = [s is not None for s in given], False
        while not settled:  # a carry may begin to depend on something in a later step
            sizes = [math.prod(body.node(k).shape) * m for k, m in zip(body.inputs, moving, strict=True)]
            inner = _Sets(self.name, sum(sizes))
            starts = np.cumsum([0, *sizes])
            seeds = [inner.eye(sizes[k], starts[k], inner.n) if m else None for k, m in enumerate(moving)]
            found = inner.through(body, seeds, [None] * len(seeds))
            reached = [m or s is not None for m, s in zip(moving, found[:n_carry], strict=False)]
            settled = reached == moving[:n_carry]
            moving[:n_carry] = reached
        parts = [inner.empty(h) if s is None else s for h, s in zip(heights, found, strict=True)]
        return moving, self.stack(parts, "csr")

    def dense(self, node: Any, s: Any) -> Any:
        """Each element may depend on all that any of the operand's depends on."""
        size, columns = math.prod(node.shape), np.unique(s.indices)
        if size * len(columns) > MOST:
            raise ValueError(
                f"sparsity: {node.op} of shape {node.shape} counts as dense, and is too big for that"
            )
        starts = np.arange(size + 1) * len(columns)
        return self.csr((np.ones(starts[-1], bool), np.tile(columns, size), starts), (size, self.n))

    def pulled(self, s: Any, source: np.ndarray) -> Any:
        """The set of a result whose elements are those of an operand at the places `source`."""
        source = source.ravel()
        size = len(source)
        if size and source[-1] - source[0] == size - 1 and np.all(np.diff(source) == 1):
            return s if size == s.shape[0] else s[source[0] : source[-1] + 1]
        return s[source]

    def pushed(self, s: Any, target: np.ndarray, size: int) -> Any:
        """The set of a result to whose element target[i] the element i of an operand belongs."""
        target = target.ravel()
        return (
            self.csr((np.ones(len(target), bool), (target, np.arange(len(target)))), (size, len(target))) @ s
        )
