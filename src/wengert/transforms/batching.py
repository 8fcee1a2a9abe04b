"""vmap: a function of one example as a function of many, by a batching rule for every op."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from .. import numpy as wnp
from .._core import Var
from ..pytree import Structure, leaf_names, tree_flatten, tree_unflatten
from .call import Recording, decorates, watched
from .child import Child, of_leaves

_told: set[str] = set()  # ops of which it was said that they have no batching rule


@decorates
def vmap(f, in_axes=0, out_axes=0):
    """The function that applies `f` along an axis of its arguments, all at once.

    `f` is recorded for one example, then every operation is given one axis more; what does not depend on the
    mapped arguments is computed once.  A product with a shared matrix stays one product.

    Parameters
    ----------
    f : callable
        Takes and returns pytrees of arrays.
    in_axes : int, None, or a tuple with an entry per positional argument
        The axis along which to map an argument, None to share it among all calls.  An entry may be a pytree
        that begins as the argument does.  Keyword arguments are mapped along their first axis.
    out_axes : int, None, or a pytree that begins as the result does
        Where the new axis goes; None where the result is the same for all.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        Where mapped arguments differ in extent, none is mapped, axes do not fit the arguments, or `out_axes`
        is None for a result that differs from call to call.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.vmap(np.dot)(np.arange(6.0).reshape(3, 2), np.ones((3, 2)))
    array([1., 5., 9.])
    >>> wg.vmap(wg.grad(lambda x: x**3))(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        leaves, structure = tree_flatten((args, kwargs))
        axes = _mapped_axes(in_axes, structure, leaves)
        mapped = {k: axis for k, axis in enumerate(axes) if axis is not None}
        if watched(leaves) and all(np.size(leaves[k]) for k in mapped):  # what is empty has no NaN
            return _one_by_one(f, leaves, structure, mapped, out_axes)

        one = of_leaves(f, leaves, structure, list(mapped))
        with Recording(leaves) as recording:
            tape = recording.tape
            operands = [tape.as_var(leaves[k]) for k in mapped]
            pairs = zip(operands, mapped.values(), strict=True)
            operands = [wnp.moveaxis(v, axis, 0) if axis else v for v, axis in pairs]
            child = Child("vmap", one, [(v.dtype, v.shape[1:]) for v in operands], tape)
            results = _apply(tape, child, operands, out_axes)
            return tree_unflatten(child.structure, [recording.result(v) for v in results])

    return wrapped


def _one_by_one(f: Callable, leaves: list, structure: Structure, mapped: dict, out_axes: Any) -> Any:
    with Recording(leaves) as recording:
        moved = {k: wnp.moveaxis(recording.tape.as_var(leaves[k]), axis, 0) for k, axis in mapped.items()}
        rows = []
        for n in range(len(next(iter(moved.values())))):
            given = [moved[k][n] if k in moved else leaf for k, leaf in enumerate(leaves)]
            args, kwargs = tree_unflatten(structure, given)
            found, tree = tree_flatten(f(*args, **kwargs))
            rows.append(found)
        axes = spread_axes("out_axes", out_axes, tree)
        columns = zip(zip(*rows, strict=True), axes, strict=True)
        whole = [ys[0] if axis is None else wnp.stack(ys, axis) for ys, axis in columns]
        return tree_unflatten(tree, [recording.result(v) for v in whole])


def _apply(tape: Any, child: Child, operands: list[Var], out_axes: Any) -> list[Var]:
    """The batched child's results on the tape, their new axis where `out_axes` says."""
    axes = spread_axes("out_axes", out_axes, child.structure)
    if not axes:
        return []
    wanted = [axis is not None for axis in axes]
    flags = [True] * len(operands) + [False] * len(child.hidden)
    batched, mapped = batch(child.tape, operands[0].shape[0], flags, wanted)
    labels = leaf_names(child.structure, "the result")
    for axis, is_mapped, label in zip(axes, mapped, labels, strict=True):
        if axis is None and is_mapped:
            raise ValueError(f"vmap: out_axes is None for {label}, which differs from call to call")
    results = tape.call(batched, operands + child.hidden)
    for k, (v, axis, label) in enumerate(zip(results, axes, labels, strict=True)):
        if axis:
            results[k] = wnp.moveaxis(v, 0, _axis("out_axes", axis, v.ndim, label, v.shape[1:]))
    return results


def batch(tape: Any, size: int, mapped: list[bool], wanted: list[bool]) -> tuple[Any, list[bool]]:
    """As `Tape.batch`; says once of an op that it has no batching rule."""
    batched, flags, looped = tape.batch(size, mapped, wanted)
    if looped and looped not in _told:
        _told.add(looped)
        warnings.warn(f"vmap: {looped} has no batching rule and is done one by one", stacklevel=5)
    return batched, flags


def _axis(name: str, axis: int, ndim: int, label: str, shape: tuple) -> int:
    """An axis from the front."""
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"vmap: {name} is {axis} for {label} of shape {shape}; expected {-ndim} to {ndim - 1}, or None"
        )
    return axis % ndim


def _mapped_axes(in_axes: Any, structure: Structure, leaves: list) -> list[int | None]:
    """The axis of every leaf of (args, kwargs), from the front; None where it is shared."""
    arguments, keywords = structure.children
    given = spread_axes("in_axes", in_axes, arguments) + [0] * keywords.n_leaves
    labels = [
        label for k, tree in enumerate(arguments.children) for label in leaf_names(tree, f"argument {k}")
    ]
    labels += leaf_names(keywords, "keyword ")
    axes: list[int | None] = []
    first: tuple[str, int] | None = None
    for leaf, axis, label in zip(leaves, given, labels, strict=True):
        if axis is not None:
            if not isinstance(leaf, (np.ndarray, Var)) or leaf.ndim == 0:
                raise ValueError(
                    f"vmap: {label} is a {type(leaf).__name__} without axes; give it by position, "
                    "with None in in_axes"
                )
            axis = _axis("in_axes", axis, leaf.ndim, label, leaf.shape)
            first = first or (label, leaf.shape[axis])
            if leaf.shape[axis] != first[1]:
                raise ValueError(
                    f"vmap: {first[0]} has {first[1]} entries along its mapped axis, "
                    f"{label} of shape {leaf.shape} has {leaf.shape[axis]}"
                )
        axes.append(axis)
    if first is None:
        raise ValueError(f"vmap: in_axes={in_axes} maps no array; at least one must be mapped")
    return axes


def spread_axes(name: str, prefix: Any, structure: Structure) -> list[int | None]:
    """One axis per leaf of a structure from a pytree of axes that begins as the structure does."""
    if prefix is None or isinstance(prefix, (int, np.integer)):
        return [None if prefix is None else int(prefix)] * structure.n_leaves
    parts = _core.NODES[type(prefix)][0](prefix)[0] if type(prefix) in _core.NODES else prefix
    if isinstance(prefix, dict):
        parts = [prefix[key] for key in structure.keys] if set(prefix) == set(structure.keys) else ()
    if not isinstance(parts, (tuple, list)) or len(parts) != len(structure.children) or not parts:
        raise ValueError(
            f"vmap: {name}={prefix!r} does not fit {structure}; expected an integer, None, or a pytree of "
            f"them that begins as that does"
        )
    pairs = zip(parts, structure.children, strict=True)
    return [axis for part, child in pairs for axis in spread_axes(name, part, child)]
