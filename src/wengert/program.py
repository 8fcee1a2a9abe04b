"""`wg.compile`: a function is recorded once for each kind of arguments, then replayed in C."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
from collections.abc import Callable
from typing import Any, ParamSpec, overload

import numpy as np

from ._core import MISSED, Caller, Var, innermost, is_recorded, supported
from .protocols.registry import rely_on
from .pytree import Structure, leaf_names, tree_flatten, tree_leaves, tree_map, tree_unflatten
from .recording import Program, Static, Trace, count, describe
from .tape import Tape

__all__ = ["Compiled", "Program", "compile"]

P = ParamSpec("P")
Argnums = int | tuple[int, ...]

# Recordings that one compiled function keeps; the one unused for longest makes room.
MAX_RECORDINGS = 64
MAX_BYTES = 64 << 20  # of their arenas
MAX_RECENT = 4  # of them are tried for a call before its arguments are described


class Compiled(Caller):
    """A function that replays a recording of itself; see `compile`."""

    def __init__(self, f: Callable, static_argnums: Any, donate_argnums: Any, check: bool):
        functools.update_wrapper(self, f)
        self._f = f
        self.statics = _places("compile: static_argnums", static_argnums)
        self._donate = _places("compile: donate_argnums", donate_argnums)
        if set(self.statics) & set(self._donate):
            raise ValueError("compile: a static argument cannot be donated")
        self._check = check
        # The one unused for longest first.  Threads share it without a lock: each step is one call of dict's.
        self._traces: dict[Any, Trace] = {}

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {getattr(self, '__name__', self._f)!s}, {count(len(self._traces), 'recording')}>"

    def __copy__(self) -> Compiled:  # as functions are copied
        return self

    def __deepcopy__(self, memo: dict) -> Compiled:
        return self

    def __reduce__(self) -> Any:
        """Its name where a module holds it under that (a decorated function), else what it was made of."""
        name = getattr(self, "__qualname__", "")
        try:
            if operator.attrgetter(name)(sys.modules[self.__module__]) is self:
                return name
        except (AttributeError, KeyError):
            pass
        return Compiled, (self._f, self.statics, self._donate, self._check)

    def call(self, args: tuple, kwargs: dict, out: Any) -> Any:
        """A call that none of the recordings used last answers as it is."""
        from .transforms.call import watched  # for transforms import this module

        keywords, leaves, tree = self._flatten(args, kwargs)
        if watched(leaves) and out is None:
            return self._recorded(keywords, leaves, tree)
        trace = self._trace(keywords, tree, leaves)
        target, variables = innermost(leaves), any(isinstance(leaf, Var) for leaf in leaves)
        if target is not None and (target.abstract or not trace.cacheable or variables):
            if out is not None:
                raise TypeError("out= cannot receive Vars; call without it inside of a transform")
            rely_on(target, trace.guards.relied)
            return trace.assemble(target.call(trace.tape, trace.operands(leaves)))

        def run(trace: Trace, operands: list) -> list | None:
            return trace.program.run(operands, None if out is None else receivers(out, trace))

        return self._replay(trace, keywords, tree, leaves, leaves, run)

    def _recorded(self, keywords: bool, leaves: list, tree: Structure) -> Any:
        """The function itself on an eager tape, where `debug_nans` looks at each operation."""
        from .transforms.call import Recording

        with Recording(leaves) as recording:
            given = [(x, describe(x)) for x in leaves]
            given = [d.value if isinstance(d, Static) else recording.tape.as_var(x) for x, d in given]
            whole = tree_unflatten(tree, given)
            args, kwargs = whole if keywords else (whole, {})
            return tree_map(recording.result, self._f(*args, **kwargs))

    def loop(self, *args: Any, each: Argnums, watch: Callable[[int], object] | None = None) -> Any:
        """Calls the function again and again as one C call, without Python in between.

        The arguments named in `each` have one more axis in front, and every call takes the next entry.  What
        is donated goes from call to call; the other arguments are the same for all.

        Parameters
        ----------
        args : pytrees of arrays
        each : int or tuple of int
            Positions of arguments that are not donated.
        watch : callable, optional
            Called every 40 ms or so with the number of calls done.

        Returns
        -------
        The function's result: what is donated as the last call leaves it, everything else with an entry for
        each call.

        Raises
        ------
        ValueError
            Where arguments in `each` differ in length, or no result takes the place of a donated array.

        Notes
        -----
        Ctrl-C, or an exception in `watch`, ends the loop within 100 ms; the donated arrays are then those
        after the last whole call.  Within a function that is transformed or compiled use `wg.scan`.

        Examples
        --------
        >>> import numpy as np, wengert as wg
        >>> add = wg.compile(lambda total, x: (total + x, total * 1), donate_argnums=0)
        >>> add.loop(np.zeros(2), np.array([[1.0, 2.0], [3.0, 4.0]]), each=1)
        (array([4., 6.]), array([[0., 0.],
               [1., 2.]]))
        """
        each = _places("loop: each", each)
        if set(each) & set(self._donate):
            raise ValueError("loop: an argument in each cannot be donated")
        times = _entries(args, each)
        for trace in self.recent:  # the short way, as in a call
            if each in trace.slots:
                answer = trace.serve(self.wrap(args), times, trace.slots[each], watch)
                if answer is not MISSED:
                    return answer
        first = [tree_map(lambda x: x[0], arg) if k in each else arg for k, arg in enumerate(args)]
        _, samples, tree = self._flatten(tuple(first), {})
        _, leaves, _ = self._flatten(args, {})
        positions = self._leaves_of(each, False, tree)
        trace = self._trace(False, tree, samples)
        if is_recorded(leaves) or not trace.cacheable:
            raise TypeError("loop: it takes and returns arrays; within a transform use wg.scan")
        missing = self._leaves_of(self._donate, False, tree) - set(trace.donated)
        if missing:
            label = self._labels(False, tree)[min(missing)]
            raise ValueError(
                f"loop: {label} is donated, but no result of its shape and dtype takes its place; "
                f"return one, or do not donate it"
            )

        def run(trace: Trace, operands: list) -> list | None:
            slots = trace.slots[each] = {slot for slot, leaf in enumerate(trace.traced) if leaf in positions}
            return trace.program.repeat(operands, times, slots, watch)

        return self._replay(trace, False, tree, leaves, samples, run)

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """The program for such arguments."""
        keywords, leaves, tree = self._flatten(args, kwargs)
        return self._trace(keywords, tree, leaves).program

    def wrap(self, args: tuple) -> tuple:
        """The arguments, the static ones wrapped."""
        if not self.statics:
            return args
        return tuple(Static(x) if k in self.statics else x for k, x in enumerate(args))

    @functools.cached_property
    def _names(self) -> dict[str, int]:
        """The function's positional parameters and their places; none where it does not tell."""
        try:
            parameters = inspect.signature(self._f).parameters.values()
        except (TypeError, ValueError):
            return {}
        return {p.name: k for k, p in enumerate(parameters) if p.kind <= p.POSITIONAL_OR_KEYWORD}

    def _flatten(self, args: tuple, kwargs: dict) -> tuple[bool, list, Structure]:
        last = max((*self.statics, *self._donate), default=-1)
        if last >= len(args) and last >= len(self._names):  # else it has a default, or the function complains
            given = f"{last}, the call has {count(len(args), 'argument')}"
            raise TypeError(f"compile: static_argnums or donate_argnums names argument {given}")
        args = self.wrap(args)
        if not kwargs:
            return (False, *tree_flatten(args))
        if any(self._names.get(name) in self._donate for name in kwargs):
            raise TypeError("compile: a donated argument must be given by position")
        kwargs = {k: Static(x) if self._names.get(k) in self.statics else x for k, x in kwargs.items()}
        return (True, *tree_flatten((args, kwargs)))

    def _trace(self, keywords: bool, tree: Structure, leaves: list) -> Trace:
        """The recording for such arguments; a new one where a name means something else than it did."""
        described = [describe(leaf) for leaf in leaves]
        key = (keywords, tree, tuple(described))
        try:
            trace = self._traces.get(key)
        except TypeError:
            self._refuse_unhashable(keywords, tree, described)
            raise
        for used in reversed(self.recent):  # since the last time here, by the short way
            self._keep(used)
        if trace is not None and trace.guards.hold():
            self._keep(trace)
        else:
            self._refuse_objects(keywords, tree, leaves, described)
            donated = self._leaves_of(self._donate, keywords, tree)
            trace = Trace(self._f, keywords, tree, leaves, described, donated)
            if self._check:
                again = Trace(self._f, keywords, tree, leaves, described, donated)
                compare(getattr(self, "__name__", "f"), trace.tape, again.tape)
            trace.key = key
            if trace.cacheable:
                self._traces[key] = trace
                self._make_room()
        kept = [used for used in self.recent if used is not trace and self._traces.get(used.key) is used]
        self.recent = ((trace,) if trace.cacheable else ()) + tuple(kept[: MAX_RECENT - 1])
        return trace

    def _keep(self, trace: Trace) -> None:
        """Moves a recording to the end, unless it has been forgotten."""
        if self._traces.pop(trace.key, None) is not None:
            self._traces[trace.key] = trace

    def _make_room(self) -> None:
        """Forgets the recordings unused for longest; the newest and the one before it stay in any case."""
        kept = list(self._traces.values())
        while len(kept) > 2 and (len(kept) > MAX_RECORDINGS or sum(x.nbytes for x in kept) > MAX_BYTES):
            self._traces.pop(kept.pop(0).key, None)

    def _labels(self, keywords: bool, tree: Structure) -> list[str]:
        start = 4 if keywords else 1  # behind the "[", or the "[0][", of a tree of arguments
        return [f"argument {label[start:].replace(']', '', 1)}" for label in leaf_names(tree)]

    def _refuse_objects(self, keywords: bool, tree: Structure, leaves: list, described: list) -> None:
        for k, (leaf, known) in enumerate(zip(leaves, described, strict=True)):
            told = isinstance(leaf, (Static, str, bytes, bool)) or callable(leaf)
            if isinstance(known, Static) and not told:
                label = self._labels(keywords, tree)[k]
                raise TypeError(
                    f"compile: {label} is a {type(leaf).__name__}; expected arrays, numbers, strings, "
                    f"functions or pytrees of them: name it in static_argnums"
                )

    def _refuse_unhashable(self, keywords: bool, tree: Structure, described: list) -> None:
        for k, known in enumerate(described):
            try:
                hash(known)
            except TypeError as error:
                label = self._labels(keywords, tree)[k]
                raise TypeError(f"compile: the static {label} cannot be hashed: {error}") from None

    def _leaves_of(self, argnums: tuple[int, ...], keywords: bool, tree: Structure) -> set[int]:
        """The positions, among all leaves, of those of some arguments."""
        arguments = tree.children[0].children if keywords else tree.children
        positions, start = set(), 0
        for k, child in enumerate(arguments):
            if k in argnums:
                positions |= set(range(start, start + child.n_leaves))
            start += child.n_leaves
        return positions

    def _replay(
        self, trace: Trace, keywords: bool, tree: Structure, leaves: list, samples: list, run: Callable
    ) -> Any:
        """What `run` makes of a recording and its operands, whatever the arrays' layout.

        The samples are the leaves with which the function is recorded.
        """
        if trace.donated:
            labels = self._labels(keywords, tree)
            for k in trace.donated:
                refuse_donation(leaves[k], labels[k])
        outputs = run(trace, trace.operands(leaves))
        if outputs is None:  # some array is unaligned, big-endian, narrow ...: those are converted
            outputs = run(trace, [_in_order(x) for x in trace.operands(leaves)])
        if outputs is None:  # a captured array has changed its shape or dtype
            self._traces.pop(trace.key, None)
            self.recent = tuple(used for used in self.recent if used is not trace)
            trace = self._trace(keywords, tree, samples)
            outputs = run(trace, [_in_order(x) for x in trace.operands(leaves)])
        assert outputs is not None, "a fresh recording fits its own arguments"
        return trace.assemble(outputs)


def _in_order(x: Any) -> Any:
    return np.asarray(supported(x), order="C") if isinstance(x, (np.ndarray, np.generic)) else x


def _places(name: str, argnums: Any) -> tuple[int, ...]:
    places = tuple(argnums) if isinstance(argnums, (tuple, list)) else (argnums,)
    if any(not isinstance(k, (int, np.integer)) or k < 0 for k in places):
        raise ValueError(f"{name}={argnums!r}; expected positions of arguments: integers from 0 on")
    return places


def _entries(args: tuple, each: tuple[int, ...]) -> int:
    """The common length of the arguments over which a loop goes."""
    lengths = set()
    for k in each:
        if k >= len(args):
            raise ValueError(f"loop: each names argument {k}, the call has {count(len(args), 'argument')}")
        for leaf in tree_leaves(args[k]):
            if np.ndim(leaf) == 0:
                raise ValueError(f"loop: argument {k} is in each and has no axis to go along")
            lengths.add(len(leaf))
    if len(lengths) != 1:
        raise ValueError(f"loop: the arguments in each have {sorted(lengths)} entries, expected one length")
    return lengths.pop()


def refuse_donation(x: Any, label: str) -> None:
    """Raises ValueError for an array that must not or cannot be overwritten."""
    fits = isinstance(x, np.ndarray) and x.flags.c_contiguous and x.flags.writeable and x.dtype.isnative
    if not fits:
        raise ValueError(f"compile: {label} is donated; it must be a writeable, C-contiguous ndarray")
    # A view is overwritten for its owner too, unless nobody but the view refers to that: one reference is the
    # view's, one may be this call's.
    if isinstance(x.base, np.ndarray) and (x.base.base is not None or sys.getrefcount(x.base) > 2):
        raise ValueError(f"compile: {label} is donated, but it is a view of another array; donate a copy")


def receivers(out: Any, trace: Trace) -> list[np.ndarray]:
    """The arrays of `out=`, one per output, checked."""
    if trace.donated:
        raise ValueError(
            "out= and donate_argnums both say where the result goes: call without out=, or compile without "
            "donation"
        )
    leaves, structure = tree_flatten(out)
    if structure != trace.structure:
        raise ValueError(f"out= has the structure {structure}, the result {trace.structure}")
    constants = dict(trace.constants)
    labels = leaf_names(structure, "out")
    targets = [
        (leaf, label)
        for k, (leaf, label) in enumerate(zip(leaves, labels, strict=True))
        if k not in constants
    ]
    for number, ((target, label), index) in enumerate(zip(targets, trace.tape.outputs, strict=True)):
        node = trace.tape.node(index)
        if not isinstance(target, np.ndarray):
            raise TypeError(f"{label} is a {type(target).__name__}; expected an ndarray")
        if target.shape != node.shape or target.dtype != node.dtype:
            raise ValueError(
                f"{label} has shape {target.shape} and dtype {target.dtype}, "
                f"expected {node.shape} and {node.dtype}"
            )
        if not target.flags.c_contiguous or not target.flags.writeable:
            raise ValueError(f"{label} must be C-contiguous and writeable")
        for other, other_label in targets[:number]:
            if np.may_share_memory(target, other):
                raise ValueError(f"{label} shares memory with {other_label}")
    return [target for target, _ in targets]


def compare(name: str, first: Tape, second: Tape) -> None:
    """Raises RuntimeError naming the first difference between two recordings of one function."""
    why = "it depends on something that a recording does not see (a clock, np.random, a changing object)"
    for index in range(max(len(first), len(second))):
        if index >= min(len(first), len(second)):
            raise RuntimeError(
                f"{name}: recorded twice, it has {len(first)} nodes, then {len(second)}; {why}"
            )
        a, b = first.node(index), second.node(index)
        if a != b or (a.has_value and not _same(first.value(index), second.value(index))):
            raise RuntimeError(
                f"{name}: recorded twice, node {index} is {_show(first, index)}, "
                f"then {_show(second, index)}; {why}"
            )
    for number, (x, y) in enumerate(zip(first.sources, second.sources, strict=True)):
        if x is not y and not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and _same(x, y)):
            raise RuntimeError(f"{name}: recorded twice, input {number} is an array of other values; {why}")


def _same(x: Any, y: Any) -> bool:
    return np.asarray(x).tobytes() == np.asarray(y).tobytes()


def _show(tape: Tape, index: int) -> str:
    node = tape.node(index)
    return f"the constant {tape.value(index)}" if node.has_value else f"{node.op} of shape {node.shape}"


@overload
def compile(
    f: Callable[P, Any], static_argnums: Argnums = (), donate_argnums: Argnums = (), check: bool = False
) -> Compiled: ...
@overload
def compile(
    f: None = None, static_argnums: Argnums = (), donate_argnums: Argnums = (), check: bool = False
) -> Callable[[Callable[P, Any]], Compiled]: ...
def compile(f=None, static_argnums=(), donate_argnums=(), check=False):
    """Records `f` once per structure, shapes, dtypes and static values of its arguments, then replays it in
    C.

    Arrays and Python numbers among the arguments are traced.  Strings, bools, None, functions and the
    arguments named in `static_argnums` are part of what selects a recording.  Captured arrays are read anew
    at every replay; captured Python numbers are constants, and rebinding a name that the function's own code
    reads records again.  What no recording sees: clocks, `np.random`, changes inside of the functions that it
    calls, and **plain NumPy applied to a captured array alone: that runs while recording and its result is a
    constant.  Use `wengert.numpy` there, or pass the array as an argument.**

    Parameters
    ----------
    f : callable
        Made of NumPy, wengert and transforms; takes and returns pytrees.
    static_argnums : int or tuple of int
        Positions of arguments, hashable, that are compared by type and equality, also if they are given by
        name.
    donate_argnums : int or tuple of int
        Positional arguments whose arrays may be overwritten: an output of the same shape and dtype is written
        there, and that array is what is returned.  They must be writeable, C-contiguous and no views.
    check : bool
        Record twice and compare.

    Returns
    -------
    Compiled
        Called as `f`, also with `out=`, a pytree of arrays to write the results to.  `.program(*args)` gives
        the `Program`.

    Raises
    ------
    TypeError
        Where the function needs a value while it is recorded (`if`, `float`, a traced mask), for arguments
        that are neither traced nor hashable, and where one is named that there is not.
    ValueError
        Where a donated array cannot be overwritten.
    RuntimeError
        With `check`, where two recordings differ.

    Notes
    -----
    The result is copied and pickled as functions are: by its name where a module holds it under the name of
    `f`, else as `f`, which a module has to hold then, and the options.  Recordings stay where they were made.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> g = wg.compile(wg.grad(lambda w, x: np.sum(np.tanh(x @ w))))
    >>> g(np.zeros(2), np.ones((3, 2)))
    array([3., 3.])
    """
    if f is None:
        return lambda f: compile(f, static_argnums, donate_argnums, check)
    if not callable(f):
        raise TypeError(f"compile: f must be a function, got {type(f).__name__}")
    return Compiled(f, static_argnums, donate_argnums, check)
