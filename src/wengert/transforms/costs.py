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

VIEWS = ("copy", "reshape", "transpose", "broadcast", "slice", "stop_gradient", "result")
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
    it is taken, with `checkpoint="log"` also again (a recorded `while_loop` once, for nobody knows), a `cond`
    as both branches, what NumPy computes (`numpy.linalg`) as its arrays.

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
        nodes, flops, moved = _count(part)
        return Cost(nodes, flops, moved, info["held_bytes"] + info["arena_bytes"] + info["scratch_bytes"])

    return wrapped


def _count(tape: Any) -> list[int]:
    """Nodes, operations and bytes of a tape."""
    nodes, total = [tape.node(k) for k in range(len(tape))], [0, 0, 0]
    live = set(tape.outputs)
    for k in reversed(range(len(nodes))):
        live.update(nodes[k].inputs if k in live else ())
    for k in sorted(live):
        node, operands = nodes[k], [nodes[i] for i in nodes[k].inputs]
        sizes = [math.prod(x.shape) for x in (node, *operands)]
        if node.op == "call":  # a loop, or a function with a rule
            times = _times(tape, nodes, live, k) if len(node.attrs) > 1 else 1
            counts = [times * n for n in _count(tape.child(k))]
        elif OPS[node.op].kind == "LEAF" or node.op in VIEWS:
            continue
        else:
            work = 2 * sizes[0] * operands[0].shape[-1] if node.op == "matmul" else max(sizes)
            flops = 0 if OPS[node.op].kind == "FLAT" or node.op in MOVES else work
            moved = sum(n * x.dtype.itemsize for n, x in zip(sizes, (node, *operands), strict=True))
            counts = [1, flops, moved]
        total = [a + b for a, b in zip(total, counts, strict=True)]
    return total


def _times(tape: Any, nodes: list, live: set[int], call: int) -> int:
    """How often the body of a loop is run: also again, where its carries are read and not kept."""
    _, _, _, length, reverse, _, block = nodes[call].attrs
    results = {k for k in live if nodes[k].op == "result" and nodes[k].inputs[0] == call}
    values = {k for k in results if nodes[k].attrs[0] >= len(tape.child(call).outputs)}
    times = abs(length) if block <= 0 or results != values else 0
    for k in (k for k in sorted(live) if block > 0 and not values.isdisjoint(nodes[k].inputs)):
        if nodes[k].op in VIEWS:
            values.add(k)
        elif nodes[k].attrs[4] == reverse:  # a loop that goes along with it
            times += length
        else:  # one that goes back, a block after the other: `bring` in csrc/program/scan.c
            blocks = -(-length // block)
            ends = [max(0, length - n * block) for n in range(blocks, -1, -1)]  # partial is the first block
            ends = ends if reverse else [min(n * block, length) for n in range(blocks + 1)]  # or the last
            parts = [(0, blocks)]
            while parts:
                start, end = parts.pop()
                times += ends[end] - ends[start]
                while start < end - 1:
                    parts.append((start, start := start + (end - 1 - start) // 2 + 1))
    return times
