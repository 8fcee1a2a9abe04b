"""Pytrees: nested tuples, lists, dicts, named tuples, dataclasses, registered classes and None.

Everything else is a leaf.

A dict's leaves come in the order of its sorted keys, so that two dicts of the same keys have the same
structure; a dict that is rebuilt keeps the insertion order of the one that was taken apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import _core
from . import numpy as wnp
from ._core import Var

__all__ = [
    "Structure", "flatten", "leaf_names", "register_pytree_node", "tree_flatten", "tree_leaves", "tree_map",
    "tree_unflatten",
]  # fmt: skip


class Structure(_core.Tree):
    """What is left of a pytree without its leaves; hashable, and equal for trees that differ in leaves only.

    Attributes
    ----------
    kind : type or None
        tuple, list, dict, NoneType, the class of a named tuple or dataclass, a registered one; None for a
        leaf.
    keys : tuple
        A dict's keys in the order of the children; the auxiliary data of a registered class.
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


_LEAVES = frozenset((np.ndarray, Var, float, int, np.float64, np.float32))


def _is_registered(x: Any) -> bool:
    """Whether the class of `x` is registered; that of a dataclass becomes so when it is first met."""
    kind = type(x)
    if kind in _core.NODES:
        return True
    if not hasattr(kind, "__dataclass_fields__"):
        return False
    names = tuple(field.name for field in dataclasses.fields(kind) if field.init)
    register_pytree_node(
        kind,
        lambda x: (tuple([getattr(x, name) for name in names]), names),
        lambda names, children: kind(**dict(zip(names, children, strict=True))),
    )
    return True


def register_pytree_node(
    kind: type, flatten: Callable[[Any], tuple], unflatten: Callable[[Any, tuple], Any]
) -> None:
    """Makes the instances of a class nodes of pytrees.

    Dataclasses need none of this: their fields are the children.

    Parameters
    ----------
    kind : type
    flatten : callable
        Takes an instance to its children and to auxiliary data, hashable, which are part of the structure.
    unflatten : callable
        Takes auxiliary data and children to an instance.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> class Point:
    ...     def __init__(self, x, y):
    ...         self.x, self.y = x, y
    >>> wg.register_pytree_node(Point, lambda p: ((p.x, p.y), None), lambda _, xy: Point(*xy))
    >>> wg.grad(lambda p: p.x * p.y)(Point(2.0, 3.0)).x
    np.float64(3.0)
    """
    _core.NODES[kind] = flatten, unflatten


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
    if type(tree) in _LEAVES:
        return [tree], LEAF
    if type(tree) is tuple and len(tree) < len(_FLAT_TUPLES) and _LEAVES.issuperset(map(type, tree)):
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
    if type(tree) not in _LEAVES and _is_registered(tree):
        parts, aux = _core.NODES[type(tree)][0](tree)
        return Structure(type(tree), tuple([_take_apart(part, leaves) for part in parts]), (aux,))
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
    if hasattr(structure.kind, "__dataclass_fields__"):
        fields = structure.keys[0]
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
