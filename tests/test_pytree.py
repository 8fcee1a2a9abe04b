"""Pytrees: taken apart, put together, mapped, and laid out in a vector."""

import dataclasses
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import wengert as wg
from wengert.pytree import leaf_names, tree_flatten, tree_leaves, tree_map, tree_unflatten

Point = namedtuple("Point", "x y")

TREES = [
    1.0,
    None,
    (),
    [],
    {},
    (1, 2),
    [1, (2, [3])],
    {"b": 1, "a": {"c": 2}},
    Point(1, {"z": 2}),
    (None, 1, None),
    {1: 2, "a": 3},
    tuple(range(40)),
]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_flatten_and_back(tree):
    leaves, structure = tree_flatten(tree)
    assert tree_unflatten(structure, leaves) == tree
    assert type(tree_unflatten(structure, leaves)) is type(tree)
    assert structure.n_leaves == len(leaves) == len(leaf_names(structure))
    again = tree_flatten(tree)[1]
    assert structure == again
    assert hash(structure) == hash(again)


def test_dicts_are_equal_up_to_order_and_keep_it():
    first, second = {"b": 1, "a": 2}, {"a": 3, "b": 4}
    assert tree_flatten(first)[1] == tree_flatten(second)[1]
    assert tree_leaves(first) == [2, 1]
    assert tree_leaves(second) == [3, 4]
    assert list(tree_map(lambda x: x, first)) == ["b", "a"]
    assert tree_map(lambda x, y: x + y, first, second) == {"b": 5, "a": 5}
    assert tree_map(lambda x: x, OrderedDict(b=1)) == {"b": 1}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((1,), [1]),
        ((1,), (1, 2)),
        ({"a": 1}, {"b": 1}),
        ((1, None), (1, 2)),
        (Point(1, 2), (1, 2)),
        (1, (1,)),
    ],
)
def test_structures_differ(a, b):
    assert tree_flatten(a)[1] != tree_flatten(b)[1]
    with pytest.raises(ValueError, match="structures"):
        tree_map(lambda x, y: x, a, b)


def test_wrong_number_of_leaves():
    with pytest.raises(ValueError, match="3 leaves for a structure of 2"):
        tree_unflatten(tree_flatten((1, 2))[1], [1, 2, 3])


def test_leaf_names_are_paths():
    structure = tree_flatten({"w": [1, 2], "p": Point(3, (4,))})[1]
    assert leaf_names(structure, "arg") == ["arg['p'].x", "arg['p'].y[0]", "arg['w'][0]", "arg['w'][1]"]
    assert repr(structure) == "{'p': Point(*, (*,)), 'w': [*, *]}"


def test_flatten_restores_shapes_and_dtypes():
    tree = {"w": np.ones((2, 3), "f4"), "b": [np.arange(3.0), 4.0], "n": np.arange(2)}
    vector, unflatten = wg.flatten(tree)
    assert vector.shape == (12,)
    assert vector.dtype == np.float64
    back = unflatten(vector * 2)
    assert back["w"].dtype == np.float32
    assert back["n"].dtype == tree["n"].dtype
    assert_array_equal(back["w"], tree["w"] * 2)
    assert back["b"][1] == 8.0
    assert np.shape(back["b"][1]) == ()
    assert wg.flatten({"w": np.ones(2, "f4")})[0].dtype == np.float32
    assert wg.flatten(())[0].shape == (0,)
    with pytest.raises(ValueError, match=r"shape \(11,\), expected \(12,\)"):
        unflatten(vector[:-1])


def test_flatten_is_differentiable():
    tree = {"w": np.ones((2, 2)), "b": 3.0}
    vector, unflatten = wg.flatten(tree)

    def by_tree(tree):
        return np.sum(wg.flatten(tree)[0] ** 2)

    def by_vector(vector):
        tree = unflatten(vector)
        return np.sum(tree["w"] ** 3) * tree["b"]

    gradient = wg.grad(by_tree)(tree)
    assert_array_equal(gradient["w"], 2 * tree["w"])
    assert gradient["b"] == 6.0
    assert_array_equal(wg.grad(by_vector)(vector), [4, 9, 9, 9, 9])
    assert_array_equal(wg.compile(wg.grad(by_vector))(vector), [4, 9, 9, 9, 9])


@dataclasses.dataclass
class Layer:
    weight: np.ndarray
    bias: float
    size: int = dataclasses.field(init=False, default=0)


class Pair:
    def __init__(self, left, right, name):
        self.left, self.right, self.name = left, right, name


wg.register_pytree_node(Pair, lambda p: ((p.left, p.right), p.name), lambda name, parts: Pair(*parts, name))


def test_dataclasses_and_registered_classes_are_nodes():
    layer, pair = Layer(np.array([1.0, 2.0]), 3.0), Pair(2.0, {"x": 5.0}, "ab")
    leaves, structure = tree_flatten((layer, pair))
    assert leaves[1:] == [3.0, 2.0, 5.0]
    assert leaf_names(structure, "a") == ["a[0].weight", "a[0].bias", "a[1][0]", "a[1][1]['x']"]
    again = tree_unflatten(structure, leaves)
    assert isinstance(again[0], Layer)
    assert again[1].name == "ab"
    assert structure == tree_flatten((layer, pair))[1]
    assert structure != tree_flatten((layer, Pair(2.0, {"x": 5.0}, "other")))[1]

    def f(layer, pair):
        return np.sum(layer.weight) * layer.bias + pair.left * pair.right["x"]

    for g in (wg.grad(f, (0, 1)), wg.compile(wg.grad(f, (0, 1)))):
        for _ in range(2):  # recorded, then replayed
            by_layer, by_pair = g(layer, pair)
            assert_array_equal(by_layer.weight, [3.0, 3.0])
            assert (by_layer.bias, by_pair.left, by_pair.right, by_pair.name) == (3.0, 5.0, {"x": 2.0}, "ab")
    vector, unflatten = wg.flatten(layer)
    assert_array_equal(vector, [1.0, 2.0, 3.0])
    assert unflatten(vector).bias == 3.0
    with pytest.raises(TypeError, match=r"argument 0\.weight has dtype int64"):
        wg.grad(f)(Layer(np.array([1]), 2.0), pair)


def test_a_compiled_function_tells_registered_structures_apart():
    f = wg.compile(lambda p: p.left + 10 * p.right if p.name == "a" else p.left)
    assert f(Pair(1.0, 2.0, "a")) == 21
    assert f(Pair(1.0, 2.0, "b")) == 1
    assert f(Pair(1.0, 2.0, "a")) == 21
