"""One call of a transform: its tape, its inputs bound to fresh copies, its outputs checked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, Protocol, overload

import numpy as np

from .. import _core
from .. import numpy as wnp
from .._core import Var, frozen, innermost, set_current, watch
from ..protocols.registry import append
from ..pytree import Structure, leaf_names, tree_flatten, tree_map, tree_unflatten
from ..tape import Tape

P = ParamSpec("P")
Argnums = int | tuple[int, ...]
ARRAYS = (np.ndarray, Var, np.generic)
DIFFERENTIABLE = frozenset(map(np.dtype, ("f4", "f8", "c8", "c16")))


class Transform(Protocol):
    """A function of functions that also decorates, with and without arguments."""

    @overload
    def __call__(self, f: Callable[P, Any], argnums: Argnums = 0, **options: Any) -> Callable[P, Any]: ...
    @overload
    def __call__(
        self, f: None = None, argnums: Argnums = 0, **options: Any
    ) -> Callable[[Callable[P, Any]], Callable[P, Any]]: ...


def decorates(transform: Callable[..., Any]) -> Transform:
    """Lets a transform be called without a function, giving a decorator."""

    @functools.wraps(transform)
    def decorator(f=None, *args, **options):
        if f is None:
            return lambda f: transform(f, *args, **options)
        if not callable(f):
            raise TypeError(f"{transform.__name__}: f must be a function, got {type(f).__name__}")
        return transform(f, *args, **options)

    return decorator


class Recording:
    """One call of a transform: the tape on which it records, and whether it is the outermost one there."""

    __slots__ = ("before", "outermost", "tape")

    def __init__(self, operands: Iterable[Any]):
        tape = innermost(operands)
        self.outermost = tape is None
        self.tape: Any = Tape() if tape is None else tape

    def __enter__(self) -> Recording:
        self.before = set_current(self.tape)
        return self

    def __exit__(self, *error: object) -> None:
        set_current(self.before)
        if self.outermost:
            _core.Tape.pop(self.tape, 0)  # nobody has named a node of it

    def result(self, v: Any) -> Any:
        """What the caller gets for a Var: from the outermost transform its value, else itself."""
        if not isinstance(v, Var):
            return v
        return v.value if self.outermost else v.tape.at(v.index)  # follows writes, as any other

    def derivative(self, v: Var | None, like: Var) -> Any:
        """As `result`; zeros of the shape and dtype of `like` where a sweep gave nothing."""
        if v is not None:
            return self.result(v)
        if self.outermost:
            return np.zeros(like.shape, like.dtype)[()]
        return self.tape.full(0, like.dtype, like.shape)

    def derivatives(self, swept: Iterable[Var | None], like: Iterable[Var]) -> list[Any]:
        """As `derivative`, for each of several."""
        return [self.derivative(v, x) for v, x in zip(swept, like, strict=True)]


def watched(leaves: Iterable[Any]) -> bool:
    """Whether `debug_nans` looks at what is computed with them: then loops and maps are Python's own, one
    operation after the other, each with its line."""
    tape, on = innermost(leaves), watch(False)
    watch(on)
    return on and (tape is None or not tape.abstract)


def operands(args: tuple, kwargs: dict) -> list[Any]:
    return tree_flatten((args, kwargs) if kwargs else args)[0]


def check_argnums(name: str, argnums: Any) -> None:
    numbers = argnums if isinstance(argnums, (tuple, list)) else [argnums]
    if not all(isinstance(number, (int, np.integer)) for number in numbers):
        raise TypeError(
            f"{name}: argnums is {argnums!r}, expected an int or a tuple of ints; the arguments of f "
            f"go to the function that is returned: wg.{name}(f)(x)"
        )


def places(name: str, argnums: Argnums, n_args: int) -> Sequence[int]:
    """The arguments that `argnums` names."""
    if type(argnums) is int and -n_args <= argnums < n_args:
        return (argnums,)
    numbers = argnums if isinstance(argnums, (tuple, list)) else [argnums]
    if len({number % max(n_args, 1) for number in numbers}) != len(numbers):
        raise ValueError(f"{name}: argnums={argnums} names an argument twice")
    for number in numbers:
        if not -n_args <= number < n_args:
            raise TypeError(
                f"{name}: argnums={argnums} names argument {number}, but the function was called with "
                f"{n_args} positional arguments; pass what is differentiated by position"
            )
    return numbers


class Bound:
    """The arguments of one call, those to be differentiated replaced by fresh copies on the tape."""

    def __init__(self, name: str, tape: Any, args: tuple, argnums: Argnums):
        self.single = not isinstance(argnums, (tuple, list))
        self.args = list(args)
        self.inputs: list[Var] = []
        self.structures: list[Structure] = []
        for number in places(name, argnums, len(args)):
            leaves, structure = tree_flatten(args[number])
            for k, leaf in enumerate(leaves):
                if not is_differentiable(leaf):
                    label = leaf_names(structure, f"argument {number % len(args)}")[k]
                    raise TypeError(f"{name}: {label} {_why_not(leaf)}")
            copies = [bind(tape, leaf) for leaf in leaves]
            self.args[number] = tree_unflatten(structure, copies)
            self.inputs += [frozen(x) for x in copies]  # whatever the function writes to its arguments
            self.structures.append(structure)

    def rebuild(self, leaves: Sequence[Any]) -> Any:
        """One entry per input, as the arguments were given: a tree, or a tuple of trees for several."""
        trees, start = [], 0
        for structure in self.structures:
            trees.append(tree_unflatten(structure, leaves[start : start + structure.n_leaves]))
            start += structure.n_leaves
        return trees[0] if self.single else tuple(trees)


def is_differentiable(x: Any) -> bool:
    """Whether there is a derivative by `x`: floating-point or complex numbers, or a Python integer."""
    if isinstance(x, ARRAYS):
        return x.dtype in DIFFERENTIABLE or x.dtype.newbyteorder("=") in DIFFERENTIABLE
    return type(x) in (float, int, complex)


def _why_not(x: Any) -> str:
    if not isinstance(x, ARRAYS):
        return f"is a {type(x).__name__}; a derivative needs a float or an array of floats"
    hint = ".astype(float)" if x.dtype.kind in "biu" else ".astype(np.float64)"
    advice = f"pass x{hint}, or leave it out of argnums"
    return f"has dtype {x.dtype}; a derivative needs float32 or float64: {advice}"


def bind(tape: Any, x: Any) -> Var:
    """A fresh copy of an input on the tape."""
    if type(x) is np.ndarray and not tape.abstract:
        return tape.as_var(x)  # such a leaf is one
    return append("copy", tape.as_var(float(x) if type(x) is int else x))


def seed(name: str, tape: Any, x: Any, like: Var, label: str) -> Var:
    """A tangent or cotangent on the tape, of the shape and dtype of what it belongs to."""
    if not isinstance(x, (*ARRAYS, int, float, complex)):
        raise TypeError(f"{name}: {label} is a {type(x).__name__}; expected an array of shape {like.shape}")
    if np.shape(x) != like.shape:
        raise ValueError(f"{name}: {label} has shape {np.shape(x)}, expected {like.shape}")
    return wnp.astype(tape.as_var(x), like.dtype, copy=False)


def outputs_on(name: str, tape: Any, y: Any) -> tuple[list[Var], Structure]:
    """The outputs of a function as Vars of the tape, constants included."""
    leaves, structure = tree_flatten(y)
    return [frozen(v) for v in on_tape(name, tape, leaves, structure, "the result")], structure


def on_tape(name: str, tape: Any, leaves: list, structure: Structure, root: str) -> list[Var]:
    """Leaves as Vars of the tape; one that is no number and no array is refused by its name."""
    for k, x in enumerate(leaves):
        if not isinstance(x, (*ARRAYS, int, float, complex)):
            label = leaf_names(structure, root)[k]
            raise TypeError(f"{name}: {label} is a {type(x).__name__}; expected a number or an array")
    return [tape.as_var(x) for x in leaves]


def derived(name: str, f: Callable, argnums: Argnums, has_aux: bool, rule: Callable) -> Callable[..., Any]:
    """What `rule` makes of a recording of `f`, its inputs (a `Bound`), its outputs and their structure: a
    function of f's arguments."""
    check_argnums(name, argnums)

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        with Recording(operands(args, kwargs)) as recording:
            bound = Bound(name, recording.tape, args, argnums)
            y, aux = split_aux(name, f(*bound.args, **kwargs), has_aux)
            outputs, structure = outputs_on(name, recording.tape, y)
            refuse_integers(name, outputs)
            result = rule(recording, bound, outputs, structure)
            return (result, tree_map(recording.result, aux)) if has_aux else result

    return wrapped


def split_aux(name: str, y: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return y, None
    if not isinstance(y, tuple) or len(y) != 2:
        raise TypeError(f"{name}: with has_aux=True the function must return a pair (output, aux)")
    return y


def scalar_output(name: str, tape: Any, y: Any, inputs: list[Var]) -> Var:
    """The one number that a function returned, on the tape."""
    if not isinstance(y, (*ARRAYS, int, float, complex)):
        raise TypeError(f"{name}: the function returned a {type(y).__name__}; it must return one number")
    if np.size(y) != 1 if not isinstance(y, Var) else y.ndim and y.size != 1:
        raise ValueError(
            f"{name}: the output has shape {np.shape(y)}; the gradient is that of one number: use "
            f"wg.jacobian for all outputs, wg.elementwise_grad for elementwise functions, "
            f"vmap for one gradient per row"
        )
    if not isinstance(y, Var):  # a constant: its gradient is zero whatever its dtype
        number = np.asarray(y).item()
        return tape.as_var(number if type(number) is complex else float(number))
    refuse_integers(name, [y])
    refuse_parts(name, [y], inputs)
    return tape.as_var(y)


_core.register({"Tape": Tape, "scalar_output": scalar_output})


def is_part(outputs: Iterable[Var], inputs: Iterable[Var]) -> bool:
    """Whether a reverse sweep tells of the real part alone: of complex outputs, by real inputs."""
    return any(y.dtype.kind == "c" for y in outputs) and any(x.dtype.kind == "f" for x in inputs)


def refuse_parts(name: str, outputs: Iterable[Var], inputs: Iterable[Var]) -> None:
    if is_part(outputs, inputs):
        raise TypeError(
            f"{name}: the output is complex and an argument real, and this would be the gradient of the real "
            f"part alone: return np.real(y), np.imag(y) or np.abs(y), or use wg.jacfwd or wg.jvp"
        )


def refuse_integers(name: str, outputs: Iterable[Var]) -> None:
    for y in outputs:
        if y.dtype not in DIFFERENTIABLE:
            raise TypeError(
                f"{name}: the output has dtype {y.dtype}, which has no derivative; return a float"
            )
