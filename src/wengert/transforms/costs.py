"""What a function takes, before it is run: counted on its recorded tape."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._core import Var
from ..pytree import tree_flatten
from ..tape import OPS, Tape
from .child import Child, of_leaves

LEAF, FLAT = 0, 8  # kinds of the op table
VIEWS = ("copy", "reshape", "transpose", "broadcast", "slice", "stop_gradient")
MOVES = ("concatenate", "gather", "cast", "slice_set", "index_set")


class Cost(NamedTuple):
    """What one evaluation of a function takes.

    Attributes
    ----------
    nodes : int
        Operations recorded, views not counted.
    flops : int
        Multiplications and additions of products, and one for each element that any other operation computes
        or folds; elementary functions count as one.
    bytes : int
        Read and written if every operation ran by itself; fusion saves some of them.
    peak : int
        Bytes of arguments, results and intermediates that a compiled program of it holds.
    """

    nodes: int
    flops: int
    bytes: int
    peak: int


def cost(f: Callable[..., Any]) -> Callable[..., Cost]:
    """The function that says what `f` takes at such arguments, from their shapes and dtypes alone.

    Derivatives are functions like any other: `wg.cost(wg.grad(f))`.  A loop counts as its body, as often as
    it is taken (a recorded `while_loop` once, for nobody knows), a `cond` as both branches, what NumPy
    computes (`numpy.linalg`) as its arrays.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> W, x = np.ones((200, 100)), np.ones(100)
    >>> wg.cost(lambda W: np.sum(W @ x))(W).flops
    40200
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Cost:
        leaves, structure = tree_flatten((args, kwargs))
        places = [k for k, x in enumerate(leaves) if isinstance(x, (np.ndarray, np.generic, Var, float))]

        kinds = [(getattr(leaves[k], "dtype", float), np.shape(leaves[k])) for k in places]
        child = Child("cost", of_leaves(f, leaves, structure, places), kinds, Tape(abstract=True))
        if not child.tape.outputs:
            return Cost(0, 0, 0, 0)
        child.tape.ended = False  # for its inputs and outputs to be named once more
        inputs, outputs = ([child.tape.at(k) for k in ids] for ids in (child.tape.inputs, child.tape.outputs))
        part = child.tape.extract(inputs, outputs)[0]
        info = _core.Program(part).info
        return Cost(*_count(part), info["held_bytes"] + info["arena_bytes"] + info["scratch_bytes"])

    return wrapped


def _size(node: Any) -> int:
    return math.prod(node.shape) * node.dtype.itemsize


def _count(tape: Any) -> tuple[int, int, int]:
    """Nodes, operations and bytes of a tape."""
    nodes = [tape.node(k) for k in range(len(tape))]
    counted = flops = moved = 0
    for k, node in enumerate(nodes):
        kind = OPS[node.op].kind
        if node.op == "call":  # a loop, or a function with a rule
            times = abs(node.attrs[3]) if len(node.attrs) > 1 else 1
            inner = [times * n for n in _count(tape.child(k))]
            counted, flops, moved = counted + inner[0], flops + inner[1], moved + inner[2]
        if kind == LEAF or node.op in VIEWS or node.op in ("call", "result"):
            continue
        operands = [nodes[k] for k in node.inputs]
        counted += 1
        moved += _size(node) + sum(_size(x) for x in operands)
        if node.op == "matmul":
            flops += 2 * math.prod(node.shape) * operands[0].shape[-1]
        elif kind != FLAT and node.op not in MOVES:
            flops += max([math.prod(x.shape) for x in (node, *operands)])
    return counted, flops, moved
