"""Derivatives of first order, from which all others are made: one reverse or one forward sweep."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from .. import _core
from .._core import MISSED, Var, innermost
from ..protocols.registry import append
from ..pytree import leaf_names, tree_flatten, tree_leaves, tree_map, tree_unflatten
from ..tape import recording_on
from .call import (
    DIFFERENTIABLE,
    Argnums,
    Bound,
    Recording,
    check_argnums,
    decorates,
    derived,
    operands,
    outputs_on,
    refuse_parts,
    scalar_output,
    seed,
    split_aux,
)


@decorates
def value_and_grad(f, argnums=0, has_aux=False):
    """The function that returns `f`'s value and its gradient.

    Parameters
    ----------
    f : callable
        Returns one number: a scalar, or an array of size 1.
    argnums : int or tuple of int
        The positional arguments by which to differentiate: arrays or pytrees of floats.
    has_aux : bool
        `f` returns a pair (output, aux), and the result is ((value, aux), gradient).

    Returns
    -------
    callable
        Returns (value, gradient); the gradient has the structure, shapes and dtypes of the argument (a tuple
        of them for a tuple of `argnums`), zeros where the output does not depend on it.

    Raises
    ------
    ValueError
        If the output is not one number.
    TypeError
        If an argument or the output is not of floating point.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    return gradient("value_and_grad", f, argnums, has_aux, True)


def gradient(name: str, f: Callable, argnums: Argnums, has_aux: bool, has_value: bool) -> Callable:
    check_argnums(name, argnums)

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        short: Any = MISSED if has_aux or kwargs else _core.value_and_grad(name, f, args, argnums)
        if short is not MISSED:
            return short if has_value else short[1]
        with Recording(operands(args, kwargs)) as recording:
            tape = recording.tape
            bound = Bound(name, tape, args, argnums)
            y, aux = split_aux(name, f(*bound.args, **kwargs), has_aux)
            output = scalar_output(name, tape, y, bound.inputs)
            one = tape.full(1, output.dtype, output.shape)
            swept = tape.vjp([output], [one], bound.inputs, recording.outermost)
            gradient = bound.rebuild(recording.derivatives(swept, bound.inputs))
            aux = tree_map(recording.result, aux) if has_aux else None
            if not has_value:
                return (gradient, aux) if has_aux else gradient
            value = recording.result(output if recording.outermost or isinstance(y, Var) else y)
            return (value, aux) if has_aux else value, gradient

    return wrapped


@decorates
def grad(f, argnums=0, has_aux=False):
    """The function that returns `f`'s gradient; see `value_and_grad`.

    With `has_aux` it returns (gradient, aux).

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.grad(np.sin)(0.0)
    np.float64(1.0)
    >>> wg.grad(wg.grad(lambda x: x**3))(2.0)
    np.float64(12.0)
    """
    return gradient("grad", f, argnums, has_aux, False)


def vjp(f: Callable, *primals: Any, has_aux: bool = False) -> Any:
    """The value of `f` and the function that takes a cotangent of the output to those of the inputs.

    Parameters
    ----------
    f : callable
    *primals : pytrees of floats
        The arguments of `f`.
    has_aux : bool
        `f` returns a pair (output, aux), and the result is (y, pullback, aux).

    Returns
    -------
    y : pytree
    pullback : callable
        Takes a cotangent of `y`'s structure and shapes to a tuple with one entry per primal; may be called
        several times. It keeps the recorded tape.

    Raises
    ------
    ValueError
        From `pullback`, where the cotangent has another structure or shape than `y`.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> y, pullback = wg.vjp(lambda x: x * np.array([1.0, 10.0]), 3.0)
    >>> pullback(np.array([1.0, 1.0]))
    (np.float64(11.0),)
    """
    recording = Recording(tree_leaves(primals))
    tape = recording.tape
    with recording_on(tape):
        bound = Bound("vjp", tape, primals, tuple(range(len(primals))))
        y, aux = split_aux("vjp", f(*bound.args), has_aux)
        outputs, structure = outputs_on("vjp", tape, y)
        labels = leaf_names(structure, "the cotangent")
        y = tree_unflatten(structure, [recording.result(v) for v in outputs])
        aux = tree_map(recording.result, aux)

    def elsewhere(target: Any, leaves: list, real: list[int]) -> list[Var]:
        """On another tape, whose Vars the cotangents are: all from inputs to outputs, swept as a whole."""
        part, given = tape.extract(bound.inputs, [outputs[k] for k in real])
        given = [target.as_var(recording.result(v)) for v in given]
        given += [seed("vjp", target, leaves[k], outputs[k], labels[k]) for k in real]
        xs, ys = ([part.at(k) for k in ids] for ids in (part.inputs[: len(bound.inputs)], part.outputs))
        swept = part.vjp(ys, [part.input(y.dtype, y.shape) for y in ys], xs)
        part.set_outputs(
            [part.full(0, x.dtype, x.shape) if v is None else v for v, x in zip(swept, xs, strict=True)]
        )
        return target.call(part, given) if xs else []

    def pullback(cotangent: Any) -> tuple:
        leaves, given = tree_flatten(cotangent)
        if given != structure:
            raise ValueError(f"vjp: the cotangent has the structure {given}, the output {structure}")
        real = [k for k, v in enumerate(outputs) if v.dtype in DIFFERENTIABLE]
        if any(isinstance(leaf, Var) and leaf.tape is not tape for leaf in leaves):
            return bound.rebuild(elsewhere(innermost(leaves), leaves, real))
        mark = len(tape)
        try:
            seeds = [seed("vjp", tape, leaves[k], outputs[k], labels[k]) for k in real]
            swept = tape.vjp([outputs[k] for k in real], seeds, bound.inputs, recording.outermost)
            return bound.rebuild(recording.derivatives(swept, bound.inputs))
        finally:
            if recording.outermost:
                tape.pop(mark)

    return (y, pullback, aux) if has_aux else (y, pullback)


def jvp(f: Callable, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """The value of `f` and its derivative along tangents of its arguments.

    Parameters
    ----------
    f : callable
    primals, tangents : tuples of pytrees of floats
        The arguments, and one tangent of the same structure and shapes for each.
    has_aux : bool
        `f` returns a pair (output, aux), and the result is (y, y_tangent, aux).

    Returns
    -------
    y, y_tangent : pytrees of the same structure and shapes

    Raises
    ------
    ValueError
        Where primals and tangents differ in structure or shape.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    for label, trees in (("primals", primals), ("tangents", tangents)):
        if not isinstance(trees, (tuple, list)):
            raise TypeError(
                f"jvp: {label} must be a tuple with one entry per argument, got {type(trees).__name__}"
            )
    found = pushed("jvp", f, tuple(primals), tuple(tangents), has_aux=has_aux)
    return found if has_aux else found[:2]


def pushed(
    name: str, f: Callable, primals: tuple, tangents: tuple, label: str = "", has_aux: bool = False
) -> tuple[Any, Any, Any]:
    """As `jvp` with aux; `label` is what the tangent of a single argument is called."""
    (tangent_leaves, given), expected = tree_flatten(tangents), tree_flatten(primals)[1]
    if label:
        given, expected = given.children[0], expected.children[0]
    if given != expected:
        raise ValueError(f"{name}: {label or 'tangents'} has the structure {given}, expected {expected}")
    with Recording(tree_leaves((primals, tangents))) as recording:
        tape = recording.tape
        bound = Bound(name, tape, primals, tuple(range(len(primals))))
        triples = zip(tangent_leaves, bound.inputs, leaf_names(given, label or "tangents"), strict=True)
        seeds = [seed(name, tape, *triple) for triple in triples]
        y, aux = split_aux(name, f(*bound.args), has_aux)
        outputs, structure = outputs_on(name, tape, y)
        swept = tape.jvp(bound.inputs, seeds, outputs)
        y = tree_unflatten(structure, [recording.result(v) for v in outputs])
        dy = tree_unflatten(structure, recording.derivatives(swept, outputs))
        return y, dy, tree_map(recording.result, aux)


@decorates
def elementwise_grad(f, argnums=0, has_aux=False):
    """The derivative of an elementwise function at each element: the gradient of the sum of its outputs.

    With `has_aux` it returns (derivative, aux).

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.elementwise_grad(lambda x: x**2)(np.array([1.0, 2.0]))
    array([2., 4.])
    """

    def rule(recording, bound, outputs, structure):
        if not outputs:
            raise TypeError(f"elementwise_grad: the function returned {structure}, expected an array")
        refuse_parts("elementwise_grad", outputs, bound.inputs)
        ones = [recording.tape.full(1, y.dtype, y.shape) for y in outputs]
        swept = recording.tape.vjp(outputs, ones, bound.inputs, recording.outermost)
        return bound.rebuild(recording.derivatives(swept, bound.inputs))

    return derived("elementwise_grad", f, argnums, has_aux, rule)


def stop_gradient(tree: Any) -> Any:
    """The same values, taken as constants by every derivative.

    Examples
    --------
    >>> import wengert as wg
    >>> wg.grad(lambda x: x * wg.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return tree_map(lambda x: append("stop_gradient", x) if isinstance(x, Var) else x, tree)
