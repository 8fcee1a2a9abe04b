"""Pytrees: nested tuples, lists, dicts, named tuples and None, whose leaves are everything else.

A dict's leaves come in the order of its sorted keys, so that two dicts of the same keys have the same
structure; a dict that is rebuilt keeps the insertion order of the one that was taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _core
from . import numpy as wnp
from ._core import Var

__all__ = ["Structure", "flatten", "leaf_names", "tree_flatten", "tree_leaves", "tree_map", "tree_unflatten"]


class Structure(_core.Tree):
    """What is left of a pytree without its leaves; hashable, and equal for trees that differ in leaves only.

    Attributes
    ----------
    kind : type or None
        tuple, list, dict, a named tuple's class, NoneType; None for a leaf.
    keys : tuple
        A dict's keys in the order of the children.
    children : tuple of Structure
    order : tuple
        A dict's keys in insertion order, which equality ignores.
    n_leaves : int
    """

    __slots__ = ()

    def __repr__(self):
        if self.kind is None:
            return "*"
        if self.kind is type(None):
            return "None"
        parts = [repr(child) for child in self.children]
        if self.kind is dict:
            return (
                "{" + ", ".join(f"{key!r}: {part}" for key, part in zip(self.keys, parts, strict=True)) + "}"
            )
        if self.kind is list:
            return "[" + ", ".join(parts) + "]"
        name = "" if self.kind is tuple else self.kind.__name__
        return f"{name}({', '.join(parts)}{',' if len(parts) == 1 and not name else ''})"


LEAF = Structure(None)
NOTHING = Structure(type(None))
_FLAT_TUPLES = [Structure(tuple, (LEAF,) * n) for n in range(16)]


def is_branch(x: Any) -> bool:
    """Whether `x` is a node of a pytree rather than a leaf."""
    return x is None or isinstance(x, (tuple, list, dict))


def tree_flatten(tree: Any) -> tuple[list, Structure]:
    """Takes a pytree apart.

    Returns
    -------
    leaves : list
    structure : Structure

    Examples
    --------
    >>> tree_flatten({"w": 1.0, "b": [2.0, 3.0]})
    ([2.0, 3.0, 1.0], {'b': [*, *], 'w': *})
    """
    if type(tree) is tuple and len(tree) < len(_FLAT_TUPLES):
        for child in tree:
            if is_branch(child):
                break
        else:
            return list(tree), _FLAT_TUPLES[len(tree)]
    leaves: list = []
    return leaves, _take_apart(tree, leaves)


def _take_apart(tree: Any, leaves: list) -> Structure:
    if tree is None:
        return NOTHING
    if isinstance(tree, dict):
        order = tuple(tree)
        try:
            keys = tuple(sorted(order))
        except TypeError:  # keys of several types: by type, then as they print
            keys = tuple(sorted(order, key=lambda key: (type(key).__name__, repr(key))))
        return Structure(dict, tuple([_take_apart(tree[key], leaves) for key in keys]), keys, order)
    if isinstance(tree, (tuple, list)):
        children = tuple([_take_apart(child, leaves) for child in tree])
        if hasattr(tree, "_fields"):
            return Structure(type(tree), children)
        return Structure(tuple if isinstance(tree, tuple) else list, children)
    leaves.append(tree)
    return LEAF


def tree_unflatten(structure: Structure, leaves: Sequence) -> Any:
    """Puts leaves into a structure; the inverse of `tree_flatten`.

    Raises
    ------
    ValueError
        If the number of leaves is not the structure's.
    """
    if len(leaves) != structure.n_leaves:
        raise ValueError(
            f"tree_unflatten: {len(leaves)} leaves for a structure of {structure.n_leaves}: {structure}"
        )
    return structure.build(list(leaves))


def tree_leaves(tree: Any) -> list:
    """The leaves of a pytree, in the order of `tree_flatten`."""
    return tree_flatten(tree)[0]


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Applies `f` to the leaves of a pytree and, side by side, to those of others of the same structure.

    Raises
    ------
    ValueError
        If the structures differ.

    Examples
    --------
    >>> tree_map(lambda a, b: a + b, {"w": 1, "b": (2, 3)}, {"b": (20, 30), "w": 10})
    {'w': 11, 'b': (22, 33)}
    """
    leaves, structure = tree_flatten(tree)
    columns = [leaves]
    for other in rest:
        other_leaves, other_structure = tree_flatten(other)
        if other_structure != structure:
            raise ValueError(f"tree_map: the structures {structure} and {other_structure} differ")
        columns.append(other_leaves)
    return tree_unflatten(structure, [f(*row) for row in zip(*columns, strict=True)])


def leaf_names(structure: Structure, root: str = "") -> list[str]:
    """The path of every leaf as Python would write it, for error messages: `params[0]['weight']`."""
    if structure.kind is None:
        return [root]
    keys = structure.keys if structure.kind is dict else range(len(structure.children))
    fields = getattr(structure.kind, "_fields", None)
    names: list[str] = []
    for position, (key, child) in enumerate(zip(keys, structure.children, strict=True)):
        step = f".{fields[position]}" if fields else f"[{key!r}]"
        names += leaf_names(child, root + step)
    return names


def flatten(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Lays the leaves of a pytree end to end in one vector; differentiable.

    Parameters
    ----------
    tree : pytree of arrays, scalars or Vars

    Returns
    -------
    vector : ndarray or Var, shape (n,)
        Of the dtype to which all leaves promote (float64 for an empty tree).
    unflatten : callable
        Takes a vector of shape (n,) back to a tree whose leaves have the original shapes and dtypes.

    Raises
    ------
    ValueError
        From `unflatten`, where the vector has another shape.

    Examples
    --------
    >>> vector, unflatten = flatten({"w": np.ones((2, 2)), "b": 3.0})
    >>> vector
    array([3., 1., 1., 1., 1.])
    >>> unflatten(2 * vector)["w"]
    array([[2., 2.],
           [2., 2.]])
    """
    leaves, structure = tree_flatten(tree)
    leaves = [leaf if isinstance(leaf, Var) else np.asarray(leaf) for leaf in leaves]
    shapes = [leaf.shape for leaf in leaves]
    dtypes = [leaf.dtype for leaf in leaves]
    sizes = [leaf.size for leaf in leaves]
    dtype = np.result_type(*dtypes) if dtypes else np.dtype(float)
    parts = [wnp.astype(wnp.ravel(leaf), dtype) for leaf in leaves]
    vector = wnp.concatenate(parts) if parts else np.zeros(0)

    def unflatten(vector: Any) -> Any:
        if np.shape(vector) != (sum(sizes),):
            raise ValueError(f"unflatten: vector has shape {np.shape(vector)}, expected ({sum(sizes)},)")
        pieces, start = [], 0
        for shape, leaf_dtype, size in zip(shapes, dtypes, sizes, strict=True):
            piece = wnp.reshape(vector[start : start + size], shape)
            piece = wnp.astype(piece, leaf_dtype)
            pieces.append(piece if isinstance(piece, Var) or shape else piece[()])
            start += size
        return tree_unflatten(structure, pieces)

    return vector, unflatten
