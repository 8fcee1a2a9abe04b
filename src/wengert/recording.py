"""One recording of a function and the program that replays it; `compile` keeps one per kind of arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _core
from ._core import Var, innermost, supported
from .guards import Guards
from .plans import Program, count
from .pytree import Structure, leaf_names, tree_flatten, tree_unflatten
from .tape import Tape, recording_on

__all__ = ["Program", "Static", "Trace", "Traced", "count", "describe", "refuse_rewritten"]


class Traced(NamedTuple):
    """What a recording knows of an input: everything but its value."""

    dtype: np.dtype
    shape: tuple[int, ...]
    weak: bool


class Static:
    """An argument that a recording knows by value; equal where type and value are."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.holds(other)

    def holds(self, x: Any) -> bool:
        """Whether `x`, wrapped or not, is the same value."""
        other = x.value if isinstance(x, Static) else x
        return type(self.value) is type(other) and bool(self.value is other or self.value == other)


DTYPES = frozenset(_core.DTYPES)
PLAIN = (bool, int, float, complex, str, bytes, np.generic)
FLOAT, INTEGER = Traced(np.dtype(float), (), True), Traced(np.dtype(np.int64), (), True)


def describe(x: Any) -> Traced | Static:
    """What the key of a recording holds of one leaf of the arguments."""
    if type(x) is float:
        return FLOAT
    if type(x) is int:
        return INTEGER if -(2**63) <= x < 2**63 else FLOAT
    if isinstance(x, (np.ndarray, np.generic)):
        if isinstance(x, np.ndarray) and type(x) is not np.ndarray:
            supported(x)  # refuses classes with arithmetic of their own
        return Traced(x.dtype if x.dtype in DTYPES else supported(x).dtype, x.shape, False)
    if isinstance(x, Var):
        return Traced(x.dtype, x.shape, x.weak)
    if isinstance(x, Static):
        return x
    return Static(x)


def refuse_rewritten(name: str, tape: Tape) -> None:
    """A captured array is read at each replay; what the function itself writes to it is not replayed."""
    snapshots, tape.snapshots = tape.snapshots, []
    for array, before in snapshots:
        if not np.array_equal(array, before, equal_nan=True):
            raise ValueError(
                f"{name}: an array of shape {array.shape} was changed in place after the recorded "
                f"function had used it; replays read it as it is then: use a new array for each value "
                f"(np.stack, array.copy())"
            )


class Trace(_core.Replay):
    """One recording of a function: the tape, its hidden inputs, and how results are put together."""

    def __init__(
        self, f: Callable, keywords: bool, tree: Structure, leaves: list, described: list, donated: set[int]
    ):
        self.keywords, self.tree = keywords, tree
        self.statics = [(k, d) for k, d in enumerate(described) if isinstance(d, Static)]
        self.traced = [k for k, d in enumerate(described) if isinstance(d, Traced)]
        self.guards, self.slots = Guards(f), {}
        self.key: Any = None  # by which `compile` keeps this recording
        self.tape = tape = Tape(abstract=True, parent=innermost(leaves))
        with recording_on(tape, ends=True):
            given = [d.value if isinstance(d, Static) else tape.input(*d) for d in described]
            whole = tree_unflatten(tree, given)
            args, kwargs = whole if keywords else (whole, {})
            self._keep(f(*args, **kwargs))
        tape.parent = None  # the recording is over, and so is its relation to the tape around it
        refuse_rewritten("compile", tape)
        self.guards.relied = tape.relied
        self.hidden = tape.sources[len(self.traced) :]
        self.cacheable = not any(isinstance(source, Var) for source in self.hidden)
        self.alias = self._match(donated, leaf_names(tree.children[0] if keywords else tree))
        self.donated = [self.traced[slot] for slot in self.alias if slot >= 0]

    def _keep(self, result: Any) -> None:
        """Declares the outputs; what is neither Var nor array is part of the result as it is."""
        leaves, self.structure = tree_flatten(result)
        outputs = [leaf for leaf in leaves if isinstance(leaf, (Var, np.ndarray))]
        self.constants = [
            (k, leaf) for k, leaf in enumerate(leaves) if not isinstance(leaf, (Var, np.ndarray))
        ]
        for _, leaf in self.constants:
            if not (leaf is None or isinstance(leaf, PLAIN) or callable(leaf)):
                raise TypeError(
                    f"compile: the function returned a {type(leaf).__name__}; it must return arrays, "
                    f"numbers, strings, None, or tuples, lists and dicts of them"
                )
        if outputs:
            self.tape.set_outputs([self.tape.as_var(x) for x in outputs])

    def _match(self, donated: set[int], paths: list[str]) -> list[int]:
        """Per output the slot of the donated argument of its shape and dtype that it overwrites, or -1.

        An output takes the argument that stands at its own place in the tree of arguments; what is left is
        matched in order, numbers of shape () excepted.
        """
        free = {slot: leaf for slot, leaf in enumerate(self.traced) if leaf in donated}
        constants = dict(self.constants)
        places = leaf_names(self.structure, "[0]" if self.structure.kind is None else "")
        places = [place for k, place in enumerate(places) if k not in constants]
        inputs = [self.tape.node(index) for index in self.tape.inputs]
        outputs = [self.tape.node(index) for index in self.tape.outputs]
        alias = [-1] * len(outputs)
        for same_place in (True, False):
            for k, (want, place) in enumerate(zip(outputs, places, strict=True)):
                fits = (
                    slot
                    for slot, leaf in free.items()
                    if (inputs[slot].dtype, inputs[slot].shape) == (want.dtype, want.shape)
                    and (paths[leaf] == place if same_place else want.shape)
                )
                if alias[k] < 0:
                    alias[k] = next(fits, -1)
                    free.pop(alias[k], None)
        return alias

    @property
    def program(self) -> Program:
        """The lowered tape, made when first needed."""
        if self.plan is None:
            self.plan = Program(self.tape, self.alias)
        return self.plan

    @property
    def nbytes(self) -> int:
        """The memory that the program keeps between replays, in all its orders of the operands."""
        kept = [plan.info for plan in (self.plan, *self.plan.orders.values())] if self.plan else []
        return sum(info["arena_bytes"] + info["scratch_bytes"] for info in kept)
