"""A function recorded on an abstract tape of its own, to be applied, batched or looped as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..pytree import Structure, tree_flatten, tree_unflatten
from ..recording import refuse_rewritten
from ..tape import Tape, recording_on
from .call import on_tape


class Child:
    """One recording of a function of leaves.

    Parameters
    ----------
    name : str
        Of the transform, for messages.
    f : callable
        Takes a list with one Var per entry of `inputs`; returns a pytree.
    inputs : sequence of (dtype, shape)
    parent : Tape
        Whose Vars, and its ancestors', become hidden inputs where `f` uses them.

    Attributes
    ----------
    tape : Tape
    structure : Structure
        Of what `f` returned; the tape's outputs are its leaves.
    hidden : list of ndarray or Var
        What stands behind the inputs that follow the declared ones.
    """

    def __init__(self, name: str, f: Callable[[list], Any], inputs: Sequence[tuple], parent: Any):
        self.tape: Any = Tape(abstract=True, parent=parent)
        with recording_on(self.tape, ends=True):
            given = [self.tape.input(dtype, shape) for dtype, shape in inputs]
            leaves, self.structure = tree_flatten(f(given))
            self.tape.set_outputs(on_tape(name, self.tape, leaves, self.structure, "the result"))
        self.tape.parent = None  # the recording is over, and so is its relation to the tape around it
        refuse_rewritten(name, self.tape)
        self.hidden = self.tape.sources[len(inputs) :]


def of_leaves(f: Callable, leaves: list, structure: Structure, places: Sequence[int]) -> Callable:
    """A function of some of the leaves of (args, kwargs), the others being what they are."""

    def recorded(given: list) -> Any:
        whole = list(leaves)
        for k, v in zip(places, given, strict=True):
            whole[k] = v
        args, kwargs = tree_unflatten(structure, whole)
        return f(*args, **kwargs)

    return recorded
