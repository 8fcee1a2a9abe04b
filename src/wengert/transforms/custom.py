"""Functions with a derivative of their own: custom_vjp and custom_jvp.

Such a function is recorded on a child tape and used through one `call` node.  Where that is differentiated,
the rule is recorded on a tape of its own; the mode for which there is no rule follows by transposing the
other, for a rule is linear in what it is given.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from threading import get_ident
from typing import Any

import numpy as np

from .. import numpy as wnp
from .._core import Var, innermost
from ..protocols.registry import append
from ..pytree import Structure, leaf_names, tree_flatten, tree_unflatten
from ..tape import Tape, recording_on
from .call import DIFFERENTIABLE, Recording, decorates, on_tape, places
from .child import Child

# Of more numbers the recording takes less time than the work, and its plan much memory.
MOST_KEPT, MOST_KINDS = 1 << 14, 64


class _Custom:
    """A function with a rule; see `custom_vjp` and `custom_jvp`."""

    name: str
    __name__: str

    def __init__(self, f: Callable, nondiff_argnums: Any = ()):
        functools.update_wrapper(self, f)
        self._f = f
        self._fixed = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        self._rule: Any = None
        self.kept: dict | None = None  # recordings by kinds of arguments, of functions that read nothing else
        self.answers: Any = weakref.WeakKeyDictionary()  # a tape on which the rule is recorded: call, results

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._rule is None:
            way = f"{self.__name__}.{self.name.replace('custom_', 'def')}(...)"
            raise TypeError(f"{self.name}: {self.__name__} has no rule yet; give it one with {way}")
        if kwargs:  # in their places
            args = inspect.signature(self._f).bind(*args, **kwargs).args
        numbers = places(f"{self.name}, nondiff_argnums", self._fixed, len(args))
        fixed = {number % len(args): args[number] for number in numbers}
        moving = [x for k, x in enumerate(args) if k not in fixed]
        leaves, structure = tree_flatten(tuple(moving))
        if (tape := innermost(leaves)) is None:
            return self._f(*args)
        call, results = self.answers.get(tape, (None, ()))
        if call and call == self.identity(fixed, structure, leaves):  # by a rule, of its own result
            return tree_unflatten(results[0], [append("copy", tape.at(k)) for k in results[1]])

        with Recording(leaves) as recording:
            operands = on_tape(self.name, recording.tape, leaves, structure, "the argument")
            child = self._child(fixed, structure, operands, recording.tape)
            results = recording.tape.call(child.tape, operands + child.hidden)
            return tree_unflatten(child.structure, results)

    def _child(self, fixed: dict[int, Any], structure: Structure, operands: list[Var], tape: Any) -> Child:
        """The recording for arguments of a kind; what is kept keeps the tapes derived from it, too."""
        kinds = tuple((v.dtype, v.shape) for v in operands)
        kept = self.kept if sum(v.size for v in operands) <= MOST_KEPT else None
        key = (get_ident(), structure, kinds, *fixed.items()) if kept is not None else None
        if kept and key in kept:
            return kept[key]

        def recorded(given: list) -> Any:
            return self._f(*self._merge(fixed, tree_unflatten(structure, given)))

        child = Child(self.name, recorded, kinds, tape)
        child.tape.set_rule(_Rule(self, fixed, structure, child, tape))
        if kept is not None:
            if len(kept) == MOST_KINDS:
                kept.clear()
            kept[key] = child
        return child

    def identity(self, fixed: dict[int, Any], structure: Structure, leaves: list) -> list:
        """What tells a call from others, while its arguments live."""
        return [structure, *map(id, fixed.values()), *((id(x), getattr(x, "index", 0)) for x in leaves)]

    def _merge(self, fixed: dict[int, Any], moving: tuple) -> list:
        rest = iter(moving)
        return [fixed[k] if k in fixed else next(rest) for k in range(len(fixed) + len(moving))]


class CustomVjp(_Custom):
    """See `custom_vjp`."""

    name = "custom_vjp"
    reverse = True

    def defvjp(self, forward: Callable, backward: Callable) -> None:
        """Gives the rule.

        Parameters
        ----------
        forward : callable
            Takes the arguments of `f`; returns its result and residuals, a pytree for `backward`.
        backward : callable
            Takes the `nondiff_argnums`, the residuals and a cotangent of the result; returns a tuple with the
            cotangent of every other argument, None for zero.
        """
        self._rule = forward, backward

    def linear(self, fixed: dict[int, Any], primals: tuple, outer: tuple[Structure, list[Var]]) -> Any:
        """The cotangents of the arguments, given those of the result."""
        forward, backward = self._rule
        pair = forward(*self._merge(fixed, primals))
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError("custom_vjp: forward must return a pair (result, residuals)")
        cotangents = backward(*fixed.values(), pair[1], tree_unflatten(*outer))
        if not isinstance(cotangents, (tuple, list)):
            raise TypeError(
                f"custom_vjp: backward returned a {type(cotangents).__name__}; expected a tuple with the "
                f"cotangent of each argument: (g,) for one"
            )
        return tuple(cotangents)


class CustomJvp(_Custom):
    """See `custom_jvp`."""

    name = "custom_jvp"
    reverse = False

    def defjvp(self, rule: Callable) -> Callable:
        """Gives the rule, which takes the `nondiff_argnums`, a tuple of primals and one of tangents, and
        returns the result and its tangent."""
        self._rule = rule
        return rule

    def linear(self, fixed: dict[int, Any], primals: tuple, outer: tuple[Structure, list[Var]]) -> Any:
        """The tangents of the result, given those of the arguments."""
        pair = self._rule(*fixed.values(), primals, tree_unflatten(*outer))
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError("custom_jvp: the rule must return a pair (result, tangent)")
        return pair[1]


@decorates
def custom_vjp(f, nondiff_argnums=()):
    """A function whose reverse-mode derivative is given by hand; forward mode follows from it.

    Parameters
    ----------
    f : callable
        Takes and returns pytrees of arrays.
    nondiff_argnums : int or tuple of int
        Arguments that are passed on as they are: functions, options.

    Raises
    ------
    ValueError
        Where the rule uses an array that neither it nor `f` is given, as `np.eye(n)`: a rule is recorded with
        the inputs of the call.  Make it an argument of `f`, with the cotangent None.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> @wg.custom_vjp
    ... def clipped(x):
    ...     return np.minimum(x, 1.0)
    >>> def forward(x):
    ...     return clipped(x), x
    >>> def backward(x, cotangent):
    ...     return (cotangent * np.exp(-x),)
    >>> clipped.defvjp(forward, backward)
    >>> wg.grad(clipped)(0.0)
    np.float64(1.0)
    """
    return CustomVjp(f, nondiff_argnums)


@decorates
def custom_jvp(f, nondiff_argnums=()):
    """A function whose forward-mode derivative is given by hand; reverse mode follows from it.

    Parameters
    ----------
    f : callable
        Takes and returns pytrees of arrays.
    nondiff_argnums : int or tuple of int
        Arguments that are passed on as they are: functions, options.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> @wg.custom_jvp
    ... def log1pexp(x):
    ...     return np.log(1 + np.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t * (1 - 1 / (1 + np.exp(x)))
    >>> wg.grad(log1pexp)(800.0)
    np.float64(1.0)
    """
    return CustomJvp(f, nondiff_argnums)


class _Rule:
    """How one call of a custom function is differentiated: what `wg_derive_fn` asks for.

    The recording that it belongs to owns it, so it refers to tapes weakly.
    """

    def __init__(self, custom: Any, fixed: dict[int, Any], structure: Structure, child: Child, tape: Any):
        self.custom, self.fixed = custom, fixed
        self.trees = structure, child.structure  # of the arguments, of the result
        nodes = [child.tape.node(index) for index in child.tape.inputs + child.tape.outputs]
        self.kinds = [(node.dtype, node.shape) for node in nodes]
        self.n_in = len(child.tape.inputs)
        self.tape = weakref.ref(tape)
        self.captured = [(weakref.ref(x.tape), x.index) if isinstance(x, Var) else x for x in child.hidden]

    def __call__(self, reverse: bool, given: list[bool], asked: list[bool]) -> Any:
        tape = Tape(abstract=True, parent=self.tape())
        with recording_on(tape, ends=True):
            tape.set_outputs(self._record(tape, reverse, given, asked))
        tape.parent = None
        return tape

    def _record(self, tape: Any, reverse: bool, given: list[bool], asked: list[bool]) -> list[Var]:
        n_declared = self.trees[0].n_leaves
        inputs = [tape.input(*kind) for kind in self.kinds[:n_declared]]
        for k, source in enumerate(self.captured):
            self._capture(tape, source, self.kinds[n_declared + k])
            self._refuse_captured((asked if reverse else given)[n_declared + k])
        results = [tape.input(*kind).index for kind in self.kinds[self.n_in :]]
        call = self.custom.identity(self.fixed, self.trees[0], inputs)
        self.custom.answers[tape] = call, (self.trees[1], results)
        known = len(tape.sources)
        ins, outs = self.kinds[:n_declared], self.kinds[self.n_in :]
        here, there = (outs, ins) if self.custom.reverse else (ins, outs)
        if reverse is self.custom.reverse:  # the rule as it is
            seeds = [
                tape.input(*kind) if is_given else tape.full(0, *kind)
                for kind, is_given in zip(here, given, strict=False)
            ]
            swept = self._linear(tape, inputs, seeds, there)
        else:  # its transpose
            seeds = [append("copy", tape.full(0, *kind)) for kind in here]
            images = self._linear(tape, inputs, seeds, there)
            pairs = [(y, tape.input(y.dtype, y.shape)) for y, g in zip(images, given, strict=False) if g]
            real = [k for k, seed in enumerate(seeds) if seed.dtype in DIFFERENTIABLE]
            found = tape.vjp([y for y, _ in pairs], [g for _, g in pairs], [seeds[k] for k in real])
            swept = [tape.full(0, *kind) for kind in here]
            for k, g in zip(real, found, strict=True):
                swept[k] = swept[k] if g is None else g
        extra = [source for source in tape.sources[known:] if source is not None]
        if extra:
            raise ValueError(
                f"{self.custom.name}: the rule of {self.custom.__name__} uses "
                f"{'a Var' if isinstance(extra[0], Var) else 'an array'} of shape {extra[0].shape} that the "
                f"function itself does not use; pass it as an argument"
            )
        return [v for v, wanted in zip(swept, asked, strict=False) if wanted]

    def _linear(self, tape: Any, inputs: list[Var], seeds: list[Var], kinds: list[tuple]) -> list[Var]:
        """The rule applied, leaf by leaf, brought to the shapes and dtypes of what it belongs to."""
        here, there = self.trees[::-1] if self.custom.reverse else self.trees
        result = self.custom.linear(self.fixed, tree_unflatten(self.trees[0], inputs), (here, seeds))
        leaves, answers = against(f"{self.custom.name}: the rule returned", result, there), []
        labels = leaf_names(there, "the rule's result")
        for leaf, (dtype, shape), label in zip(leaves, kinds, labels, strict=True):
            if leaf is None or dtype not in DIFFERENTIABLE:
                answers.append(tape.full(0, dtype, shape))
                continue
            if np.shape(leaf) != shape:
                raise ValueError(
                    f"{self.custom.name}: {label} has shape {np.shape(leaf)}, expected {shape}: that of what "
                    f"it is the derivative of"
                )
            answers.append(wnp.astype(tape.as_var(leaf), dtype, copy=False))
        return answers

    def _capture(self, tape: Any, source: Any, kind: tuple) -> None:
        """An input for what the function captured, found again where the rule captures it too."""
        if isinstance(source, tuple):
            owner = source[0]()
            if owner is None or self.tape() is None or source[1] >= len(owner):
                tape.input(*kind)
                return
            source = owner.at(source[1])
        tape.as_var(source)

    def _refuse_captured(self, differentiated: bool) -> None:
        if differentiated:
            raise ValueError(
                f"{self.custom.name}: {self.custom.__name__} uses a Var from outside, or as one of "
                f"nondiff_argnums, for which its rule gives no derivative; pass it as another argument, or "
                f"use wg.stop_gradient"
            )


def against(what: str, tree: Any, structure: Structure) -> list:
    """The leaves of a tree of some structure, in which None may stand for any part."""
    if structure.kind is None or tree is None:
        return [tree] * structure.n_leaves
    leaves, given = tree_flatten(tree)
    if given == structure:
        return leaves
    children = list(tree.values()) if isinstance(tree, dict) else tree
    if not isinstance(children, (tuple, list)) or len(children) != len(structure.children):
        raise ValueError(f"{what} {given}, expected {structure}")
    pairs = zip(children, structure.children, strict=True)
    return [leaf for part, child in pairs for leaf in against(what, part, child)]
