"""The short way of a call: recordings used last answer it, with the results and errors of the long way."""

import array
import copy
import gc
import pickle
import sys
import weakref
from collections import namedtuple
from itertools import product

import numpy as np
import pytest
from helpers import counted
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
from wengert.program import MAX_RECENT
from wengert.pytree import tree_flatten

Pair = namedtuple("Pair", "a b")


class Shelf(dict):
    """A dict that is no plain one."""


class Row(list):
    """A list that is no plain one."""


class Owner(np.ndarray):
    """An array as a memory map is."""


TREES = [
    1.0, None, (), [], {}, (1.0,), [1.0], (1.0, 2.0), [1.0, 2.0], Pair(1.0, 2.0), (1.0, None), [None, 2.0],
    {"a": 1.0}, {"b": 1.0}, {"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}, Shelf(a=1.0, b=2.0), Row([1.0, 2.0]),
    {"a": [1.0, (2.0, None)], "b": Pair({"x": 3.0}, 4.0)},
    {"a": [1.0, [2.0, None]], "b": Pair({"x": 3.0}, 4.0)},
    {1: 1.0, "a": 2.0}, ((((1.0,),),),),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), [*product(TREES, TREES)], ids=repr)
def test_a_structure_matches_the_trees_that_have_it(first, second):
    _, structure = tree_flatten(first)
    leaves, other = tree_flatten(second)
    found = []
    assert structure.match(second, found) == (structure == other)
    if structure == other:
        assert found == leaves
        built = structure.build(found)
        assert built == first
        assert tree_flatten(built)[1] == structure
        assert not isinstance(first, dict) or list(built) == list(first)


def test_calls_that_alternate_are_answered_by_their_own_recordings():
    f, calls = counted(lambda x, scale: {"y": x * scale, "n": None})
    g = wg.compile(f)
    arguments = [(np.ones(n), 2.0) for n in range(1, 4)] + [(np.ones(2, "f4"), 3), ([1.0],) * 2]
    for _ in range(3):
        for x, scale in arguments[:-1]:
            found = g(x, scale)
            assert_array_equal(found["y"], x * scale)
            assert found["y"].dtype == x.dtype
            assert found["n"] is None
    assert len(calls) == 4 <= MAX_RECENT
    assert len(g.recent) == 4


def test_no_more_recordings_are_tried_than_are_kept_at_hand():
    f, calls = counted(lambda x: x + 1)
    g = wg.compile(f)
    for n in [*range(10), *range(10)]:
        assert_array_equal(g(np.zeros(n)), np.ones(n))
    assert len(calls) == 10
    assert len(g.recent) == MAX_RECENT


def test_a_recording_that_is_forgotten_is_not_tried():
    g = wg.compile(lambda x: np.sum(np.sin(np.cos(x) * 2.0) * x))
    for n in range(1_000_000, 1_000_010):
        g(np.ones(n))
    assert {id(trace) for trace in g.recent} <= {id(trace) for trace in g._traces.values()}


def test_again_answers_only_calls_like_the_last_ones():
    g = wg.compile(lambda x: x * 2)
    assert g.again(np.ones(2)) is wg._core.MISSED
    g(np.ones(2))
    assert_array_equal(g.again(np.full(2, 3.0)), [6.0, 6.0])
    assert_array_equal(g.again(np.ones(4)[::2]), [2.0, 2.0])
    for other in (np.ones(3), np.ones(2, "f4"), np.ones(2, ">f8"), 1.0, [1.0], array.array("d", [1.0, 2.0])):
        assert g.again(other) is wg._core.MISSED
    assert g.again(np.ones(2), 1.0) is wg._core.MISSED
    t = wg.Tape()
    assert g.again(t.var(np.ones(2))) is wg._core.MISSED
    assert wg.compile(lambda x: x + (g.again(x) is wg._core.MISSED))(1.0) == 2.0


def test_static_and_keyword_arguments_take_the_short_way_too():
    f, calls = counted(lambda x, n, *, way="up", by=1.0: x + n * by if way == "up" else x - n * by)
    g = wg.compile(f, static_argnums=1)
    for _ in range(2):
        assert g(1.0, 2) == 3.0
        assert g(1.0, 2.0) == 3.0
        assert g(1.0, 2, way="down") == -1.0
        assert g(1.0, 2, way="up", by=10.0) == 21.0
        assert g(1.0, 3, way="up", by=10.0) == 31.0
    assert len(calls) == 5


@pytest.mark.parametrize(
    ("out", "error", "match"),
    [
        (np.empty(3), ValueError, "structure"),
        ((np.empty(2), np.empty(3)), ValueError, r"out\[0\] has shape \(2,\)"),
        ((np.empty(3, "f4"), np.empty(3)), ValueError, "dtype float32"),
        ((np.empty(3), np.empty(6)[::2]), ValueError, "C-contiguous"),
        ((np.empty(3), np.broadcast_to(1.0, 3)), ValueError, "C-contiguous and writeable"),
        ((array.array("d", [1.0, 2.0, 3.0]), np.empty(3)), TypeError, "expected an ndarray"),
    ],
)
def test_a_bad_out_is_named_by_replays(out, error, match):
    g = wg.compile(lambda x: (x, x * 2))
    g(np.ones(3))
    with pytest.raises(error, match=match):
        g(np.ones(3), out=out)
    base = np.zeros(5)
    with pytest.raises(ValueError, match="shares memory"):
        g(np.ones(3), out=(base[:3], base[2:]))
    assert_array_equal(base, np.zeros(5))


def test_out_leaves_out_the_constants_and_may_overlap_inputs():
    g = wg.compile(lambda x, y: ("sum", x + y, {"n": 3, "d": x - y}))
    x, y = np.array([1.0, 2.0]), np.array([10.0, 20.0])
    for _ in range(3):
        before = x.copy(), y.copy()
        found = g(x, y, out=("sum", y, {"n": 3, "d": x}))
        assert found[0] == "sum"
        assert found[2]["n"] == 3
        assert found[1] is y
        assert found[2]["d"] is x
        assert_array_equal(y, before[0] + before[1])
        assert_array_equal(x, before[0] - before[1])


def test_a_replay_holds_on_to_nothing():
    g = wg.compile(lambda x, i: x[i])
    x, index = np.ones(4), np.zeros(2, int)
    found = g(x, index)
    counts = [sys.getrefcount(v) for v in (x, index)]
    g(x, index, out=found)
    index[0] = 9
    for _ in range(3):
        with pytest.raises(IndexError, match="out of bounds"):
            g(x, index)
        assert g.again(x, 1.0) is wg._core.MISSED
    assert [sys.getrefcount(v) for v in (x, index)] == counts


def test_donated_arrays_take_the_short_way_where_nobody_else_refers_to_them():
    f = wg.compile(lambda x, y: x + y, donate_argnums=0)
    base = np.zeros(6)
    x = f(np.zeros(6).reshape(2, 3), 1.0)
    assert f.again(x, 1.0) is x
    assert f.again(base.reshape(2, 3), 1.0) is wg._core.MISSED
    with pytest.raises(ValueError, match="it is a view of another array"):
        f(base.reshape(2, 3), 1.0)
    assert_array_equal(x, np.full((2, 3), 2.0))
    assert_array_equal(base, np.zeros(6))
    mapped = Owner(7)  # of another class: a view of a view of it has the first view for its base
    mapped[...] = 0.0
    view = mapped.view(np.ndarray)[1:].reshape(2, 3)
    assert f.again(view, 1.0) is wg._core.MISSED
    with pytest.raises(ValueError, match="it is a view of another array"):
        f(view, 1.0)
    assert_array_equal(mapped, np.zeros(7))


def test_donated_arrays_in_any_order_of_memory_share_it_with_no_other_argument(rng):
    f = wg.compile(lambda xs, y: [x + np.sum(y) for x in xs], donate_argnums=0)
    xs, other = [np.full(3, float(k)) for k in range(20)], np.zeros(2)
    expected = [x.copy() for x in xs]
    for k in range(20):
        order = rng.permutation(20)
        f([xs[i] for i in order], other)
        with pytest.raises(ValueError, match="shares memory with another argument"):
            f([xs[i] for i in order], xs[k][1:])
        with pytest.raises(ValueError, match="shares memory with another argument"):
            f([xs[i] for i in order[:19]] + [xs[order[k % 19]]], other)
        assert_array_equal(xs, expected)
    empty = [np.zeros(0) for _ in range(20)]
    assert f(empty, other)[7] is empty[7]


@pytest.mark.parametrize("dtype", ["?", "i4", "i8", "f4", "f8"])
def test_numbers_come_back_as_numpy_scalars(dtype):
    g = wg.compile(lambda x: x[1])
    for _ in range(2):
        found = g(np.array([0, 1], dtype))
        assert type(found) is np.dtype(dtype).type
        assert found == 1


def test_one_row_through_a_net_gives_what_many_rows_give():
    net = wg.MLP([3, 5, 2], "tanh", "float64", seed=0)
    X = np.random.default_rng(0).normal(size=(4, 3))
    many = net(X), net.jacobian(X), net.value_and_jacobian(X), net.layer_jacobians(X)
    for _ in range(2):
        for k, x in enumerate(X):
            np.testing.assert_allclose(net(x), many[0][k], rtol=1e-14)
            np.testing.assert_allclose(net.jacobian(x), many[1][k], rtol=1e-14)
            for found, expected in zip(net.value_and_jacobian(x), many[2], strict=True):
                np.testing.assert_allclose(found, expected[k], rtol=1e-14)
            for found, expected in zip(net.layer_jacobians(x), many[3], strict=True):
                np.testing.assert_allclose(found, expected[k], rtol=1e-14)
        assert net(X[0].astype("f4")).dtype == np.float64
        with pytest.raises(ValueError, match=r"x has shape \(2,\), expected \(3,\)"):
            net.jacobian(np.ones(2))


def test_a_net_is_called_as_any_function_is():
    net, x = wg.MLP([3, 4, 2], activation="tanh", seed=0), np.linspace(-1, 1, 3, dtype="f4")
    expected = net.predict(x)
    for call in (net, net.__call__, pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        for _ in range(2):
            for given in (x, x.astype(float), x.tolist(), np.asfortranarray(x)):
                assert_array_equal(call(given), expected)
            assert_array_equal(call(x=x), expected)
    assert_array_equal(list(map(net, [x, x])), [expected] * 2)
    net.theta[...] = 0
    assert_array_equal(net(x), [0, 0])
    assert_allclose(wg.jacobian(net)(x), net.jacobian(x))
    assert_array_equal(wg.compile(lambda x: net(x) + 1)(x), [1, 1])
    for args, kwargs in [((), {}), ((x, x), {}), ((x,), {"y": 1}), ((), {"y": 1})]:
        with pytest.raises(TypeError, match="argument"):
            net(*args, **kwargs)
    with pytest.raises(ValueError, match=r"net: x has shape \(4,\), expected \(3,\) or \(rows, 3\)"):
        net(np.ones(4, "f4"))
    with pytest.raises(AttributeError):
        wg.MLP.__new__(wg.MLP)(x)  # of which nothing has been set


def test_a_class_made_from_a_net_may_have_a_call_of_its_own():
    class Doubled(wg.MLP):
        def __call__(self, x):
            return 2 * super().__call__(x)

    class Named(wg.MLP):
        pass

    x = np.ones((2, 3), "f4")
    for _ in range(2):
        assert_array_equal(Doubled([3, 2], seed=0)(x), 2 * Named([3, 2], seed=0)(x))
    net = Named([3, 2], seed=0)
    net(x), net(x)
    net.itself, gone = net, weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
