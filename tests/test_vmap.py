"""vmap against a Python loop: every row of the op table, then transforms, nests, axes and refusals."""

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracle import OPS, Core, derivative, run
from test_array_ops import CASES, arrays
from test_closure import ELEMENTWISE
from test_closure import cases as elementwise_cases

import wengert as wg
from wengert import _core

SIZE = 3


def variations(x):
    """SIZE arrays like x: its elements in another order, floats also stretched."""
    rolled = [np.roll(x, k) for k in range(SIZE)]
    return np.stack([y * (1 + k / 64) for k, y in enumerate(rolled)] if x.dtype.kind == "f" else rolled)


def batched(program, given, mask):
    """The outputs of a program's batched recording, and the op that went one by one."""
    m = Core(abstract=True)
    outputs = [y for y in program(m, *(m.array(x) for x in given)) if y is not None]
    if not outputs:
        return [], None
    m.tape.set_outputs(outputs)
    more = m.arrays[len(given) :]  # seeds of sweeps, shared
    tape, flags, looped = m.tape.batch(SIZE, mask + [False] * len(more), [True] * len(outputs))
    tape.verify()
    assert all(flags)
    stacks = [variations(x) if b else x for x, b in zip(given, mask, strict=True)]
    return _core.Program(tape).run([np.asarray(x, order="C") for x in stacks + more]), looped


def cases(name):
    if name in ELEMENTWISE:
        return elementwise_cases(name)
    return [(program, arrays(given, "float64")) for program, given in CASES[name]]


@pytest.mark.parametrize("modes", [(), ("rev",), ("fwd",), ("rev", "fwd")], ids="-".join)
@pytest.mark.parametrize("name", [*ELEMENTWISE, *CASES])
def test_every_op_batched_is_the_loop(name, modes):
    """With a rule or one by one, for every choice of mapped operands, its derivatives' ops included."""
    for program, given in cases(name):
        derived = derivative(program, modes)
        masks = list(itertools.product([True, False], repeat=len(given))) if len(given) <= 3 else []
        for mask in masks or [[True] * len(given), [k % 2 == 0 for k in range(len(given))]]:
            if not any(mask):
                continue
            found, _ = batched(derived, given, list(mask))
            for k in range(SIZE):
                one = [variations(x)[k] if b else x for x, b in zip(given, mask, strict=True)]
                expected = [y for y in run(derived, one, "compiled") if y is not None]
                for a, b in zip(found, expected, strict=True):
                    assert (a.shape[1:], a.dtype) == (b.shape, b.dtype)
                    # sums of at most 60 terms, whose order may follow the shape
                    assert_allclose(a[k], b, rtol=1e-13, atol=1e-13 * np.abs(b).max(initial=0))


def test_rows_without_a_rule_are_known():
    """A new row either shares a shape rule that is batched or goes one by one: say so here when it does."""
    looped = set()
    for name in [*ELEMENTWISE, *CASES]:
        for program, given in cases(name):
            looped.add(batched(program, given, [True] * len(given))[1])
    assert looped - {None} == set()


def test_derivative_rows_are_elementwise():
    assert all(OPS[op].arity > 0 for op in OPS if OPS[op].kind == "DERIVATIVE")


# ---- the transform ------------------------------------------------------------------------------------


rng = np.random.default_rng(3)
X, W = rng.normal(size=(5, 4)), rng.normal(size=(4, 4))


def f(x):
    return np.sum(np.tanh(x @ W) * x) + x[1] ** 3


def loop(g, *args):
    return np.stack([g(*row) for row in zip(*args, strict=True)])


@pytest.mark.parametrize(
    "g",
    [
        f,
        wg.grad(f),
        wg.hessian(f),
        wg.jacrev(wg.grad(f)),
        lambda x: wg.jvp(f, (x,), (x * 2,))[1],
        lambda x: wg.hvp(f, x, np.cos(x)),
        lambda x: wg.vmap(lambda a, b: a * np.sin(b), in_axes=(0, None))(x, x),
        wg.grad(lambda x: np.sum(wg.vmap(np.exp)(x) * wg.vmap(lambda a: f(a * x))(x))),
        wg.jacfwd(lambda x: wg.vmap(lambda a: x * np.log(a * a))(x)),
        wg.compile(f),
        wg.grad(wg.compile(f)),
        lambda x: wg.compile(wg.vmap(wg.grad(lambda a: np.sum(np.exp(a * x)))))(x),
        lambda x: np.concatenate([x[::2], np.flip(x)]) / np.sqrt(np.sum(x * x)),
    ],
)
def test_against_a_loop(g):
    expected = loop(g, X)
    for h in (wg.vmap(g), wg.compile(wg.vmap(g))):
        # condition below 10 and a few dozen roundings
        assert_allclose(h(X), expected, rtol=1e-12, atol=1e-13)


def test_per_example_gradients_take_one_product_per_layer_and_role():
    """A loss of a net, example by example: forward and backward products are not repeated per example."""
    net = wg.MLP([4, 8, 3], activation="tanh", dtype="float64", seed=0)
    Y = rng.normal(size=(5, 3))

    def loss(params, x, y):
        return np.sum((net.apply(params, x) - y) ** 2)

    per_example = wg.vmap(wg.grad(loss), in_axes=(None, 0, 0))
    found = per_example(net.params, X, Y)
    for k in range(len(X)):
        expected = wg.grad(loss)(net.params, X[k], Y[k])
        for layer, parts in zip(found, expected, strict=True):
            for name in parts:
                assert_allclose(layer[name][k], parts[name], rtol=1e-13, atol=1e-15)
    steps = wg.compile(per_example).program(net.params, X, Y).info["steps"]
    more = wg.compile(per_example).program(net.params, np.tile(X, (9, 1)), np.tile(Y, (9, 1))).info["steps"]
    assert steps == more  # one batched product each, for any number of examples


def test_axes_of_arguments_and_results():
    A = rng.normal(size=(2, 3, 4))
    assert_array_equal(wg.vmap(lambda a: a * 2, in_axes=1)(A), np.moveaxis(A, 1, 0) * 2)
    assert_array_equal(wg.vmap(lambda a: a * 2, in_axes=-1, out_axes=1)(A), np.moveaxis(A, 2, 1) * 2)
    assert_array_equal(wg.vmap(lambda a: a * 2, out_axes=-1)(A), np.moveaxis(A, 0, 2) * 2)
    tree = {"a": A, "b": (A[:, 0, 0], 3.0)}
    found = wg.vmap(
        lambda t, s: {"sum": t["a"].sum() + t["b"][0] + t["b"][1], "same": s * 2, "a": t["a"]},
        in_axes=({"a": 2, "b": (None, None)}, None),
        out_axes={"sum": 0, "same": None, "a": 1},
    )({"a": A, "b": (1.0, 3.0)}, 5.0)
    assert_allclose(found["sum"], A.sum((0, 1)) + 4)
    assert found["same"] == 10
    assert_array_equal(found["a"], np.moveaxis(A, 2, 1))
    assert_array_equal(
        wg.vmap(lambda t: t["b"][0] * t["b"][1], in_axes=({"a": None, "b": (0, None)},))(tree), A[:, 0, 0] * 3
    )
    assert_array_equal(wg.vmap(lambda x, *, y: x - y)(X, y=X), X * 0)


@dataclasses.dataclass
class Line:
    slope: np.ndarray
    start: float


def test_axes_of_classes():
    double = wg.vmap(
        lambda p: Line(p.slope * 2, np.sum(p.slope) * p.start), (Line(np.int64(0), None),), Line(1, 0)
    )
    found = double(Line(X, 3.0))
    assert_array_equal(found.slope, 2 * X.T)
    assert_allclose(found.start, 3 * X.sum(1))


def test_results_that_do_not_depend_on_the_batch_are_repeated():
    assert_array_equal(wg.vmap(lambda x: np.arange(3.0))(X), np.tile(np.arange(3.0), (5, 1)))
    assert wg.vmap(lambda x: None)(X) is None


def test_an_empty_batch_and_one_of_one():
    assert wg.vmap(wg.grad(f))(X[:0]).shape == (0, 4)
    assert_allclose(wg.vmap(wg.grad(f))(X[:1])[0], wg.grad(f)(X[0]))


def test_indexing_with_mapped_indices():
    table, index = rng.normal(size=(5, 6, 2)), np.array([[0, -1], [5, 2], [1, 1], [-6, 3], [4, 4]])
    assert_array_equal(
        wg.vmap(lambda t, i: wg.numpy.take(t, i, axis=0))(table, index), loop(lambda t, i: t[i], table, index)
    )
    with pytest.raises(IndexError, match="out of bounds"):
        wg.vmap(lambda t, i: wg.numpy.take(t, i, axis=0))(table, index + 1)


def test_nested_batches_of_different_arguments():
    found = wg.vmap(lambda x: wg.vmap(lambda w: np.tanh(x) @ w, in_axes=1)(W))(X)
    assert_allclose(found, np.tanh(X) @ W, rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wg.vmap(f, in_axes=None)(X), ValueError, "maps no array"),
        (
            lambda: wg.vmap(f)(1.0),
            ValueError,
            "argument 0 is a float without axes; give it by position, with None",
        ),
        (
            lambda: wg.vmap(f)(x=1.0),
            ValueError,
            r"keyword \['x'\] is a float without axes; give it by position",
        ),
        (
            lambda: wg.vmap(lambda a, b: a)(X, X[:3]),
            ValueError,
            r"argument 0 has 5 .* argument 1 of shape \(3, 4\) has 3",
        ),
        (lambda: wg.vmap(f, in_axes=2)(X), ValueError, r"in_axes is 2 for argument 0 of shape \(5, 4\)"),
        (
            lambda: wg.vmap(f, out_axes=-2)(X),
            ValueError,
            r"out_axes is -2 for the result of shape \(\)",
        ),
        (lambda: wg.vmap(lambda x: {"a": "b"})(X), TypeError, r"vmap: the result\['a'\] is a str"),
        (lambda: wg.vmap(f, in_axes=(0, 0))(X), ValueError, r"in_axes=\(0, 0\) does not fit"),
        (lambda: wg.vmap(f, out_axes=None)(X), ValueError, "out_axes is None for the result, which differs"),
        (lambda: wg.vmap(lambda x: x if x[0] > 0 else -x)(X), TypeError, "np.where"),
        (lambda: wg.vmap(3), TypeError, "f must be a function"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_op_without_a_rule_is_done_one_by_one_and_says_so_once(monkeypatch):
    from wengert.transforms import batching

    monkeypatch.setattr(batching, "_told", set())
    plain = _core.Tape.batch

    class Looped(wg.Tape):
        def batch(self, *args):
            return (*plain(self, *args)[:2], "argmax")

    monkeypatch.setattr("wengert.transforms.child.Tape", Looped)
    with pytest.warns(UserWarning, match="argmax has no batching rule"):
        wg.vmap(np.argmax)(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wg.vmap(np.argmax)(X)
