"""Derivatives of first order, from which all others are made: one reverse or one forward sweep."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from .._core import Var, set_current
from ..protocols.registry import append
from ..pytree import leaf_names, tree_flatten, tree_leaves, tree_map, tree_unflatten
from .call import (
    DIFFERENTIABLE,
    Argnums,
    Bound,
    Recording,
    decorates,
    derived,
    operands,
    outputs_on,
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
    return _value_and_grad("value_and_grad", f, argnums, has_aux, True)


def _value_and_grad(name: str, f: Callable, argnums: Argnums, has_aux: bool, has_value: bool) -> Callable:
    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        with Recording(operands(args, kwargs)) as recording:
            tape = recording.tape
            bound = Bound(name, tape, args, argnums)
            y, aux = split_aux(name, f(*bound.args, **kwargs), has_aux)
            output = scalar_output(name, tape, y)
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
    return _value_and_grad("grad", f, argnums, has_aux, False)


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
    before = set_current(tape)
    try:
        bound = Bound("vjp", tape, primals, tuple(range(len(primals))))
        y, aux = split_aux("vjp", f(*bound.args), has_aux)
        outputs, structure = outputs_on(tape, y)
        labels = leaf_names(structure, "the cotangent")
        y = tree_unflatten(structure, [recording.result(v) for v in outputs])
        aux = tree_map(recording.result, aux)
    finally:
        set_current(before)

    def pullback(cotangent: Any) -> tuple:
        leaves, given = tree_flatten(cotangent)
        if given != structure:
            raise ValueError(f"vjp: the cotangent has the structure {given}, the output {structure}")
        mark = len(tape)
        try:
            real = [k for k, v in enumerate(outputs) if v.dtype in DIFFERENTIABLE]
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
    primals, tangents = tuple(primals), tuple(tangents)
    tangent_leaves, given = tree_flatten(tangents)
    expected = tree_flatten(primals)[1]
    if given != expected:
        raise ValueError(f"jvp: tangents have the structure {given}, primals {expected}")
    labels = leaf_names(given, "tangents")
    with Recording(tree_leaves((primals, tangents))) as recording:
        tape = recording.tape
        bound = Bound("jvp", tape, primals, tuple(range(len(primals))))
        seeds = [
            seed("jvp", tape, t, x, label)
            for t, x, label in zip(tangent_leaves, bound.inputs, labels, strict=True)
        ]
        y, aux = split_aux("jvp", f(*bound.args), has_aux)
        outputs, structure = outputs_on(tape, y)
        swept = tape.jvp(bound.inputs, seeds, outputs)
        y = tree_unflatten(structure, [recording.result(v) for v in outputs])
        dy = tree_unflatten(structure, recording.derivatives(swept, outputs))
        return (y, dy, tree_map(recording.result, aux)) if has_aux else (y, dy)


@decorates
def elementwise_grad(f, argnums=0):
    """The derivative of an elementwise function at each element: the gradient of the sum of its outputs.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.elementwise_grad(lambda x: x**2)(np.array([1.0, 2.0]))
    array([2., 4.])
    """

    def rule(recording, bound, outputs, structure):
        ones = [recording.tape.full(1, y.dtype, y.shape) for y in outputs]
        swept = recording.tape.vjp(outputs, ones, bound.inputs, recording.outermost)
        return bound.rebuild(recording.derivatives(swept, bound.inputs))

    return derived("elementwise_grad", f, argnums, rule)


def stop_gradient(tree: Any) -> Any:
    """The same values, taken as constants by every derivative.

    Examples
    --------
    >>> import wengert as wg
    >>> wg.grad(lambda x: x * wg.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return tree_map(lambda x: append("stop_gradient", x) if isinstance(x, Var) else x, tree)
