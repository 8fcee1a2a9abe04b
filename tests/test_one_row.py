"""Programs that mix the places of vectors, or fold matrices from row to row: one region of one row each."""

import numpy as np
import pytest
from helpers import printed_by_every_instruction_set
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import agree, derivative, run
from test_few_numbers import OPS, few_numbers
from test_scan import TRANSFORMS, unrolled

import wengert as wg
from wengert import numpy as wnp
from wengert.protocols.registry import append

SHAPES = ((17,), (5, 4), (17, 1), (1, 17), (2, 17), (3, 2, 16), (40,))
# Of these, compiled bits are the eager ones.
MOVED = frozenset(OPS | {"slice_add", "max", "min", "recurrence"})
MIXED = MOVED | {"sum", "logsumexp", "matmul"}


@settings(max_examples=200)
@given(few_numbers(10, SHAPES, MOVED, 200))
def test_random_programs_are_eager_bit_for_bit(drawn):
    program, arrays = drawn
    for ours, theirs in zip(run(program, arrays, "compiled"), run(program, arrays, "eager"), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert_array_equal(ours, theirs)


@settings(max_examples=100)
@given(few_numbers(8, SHAPES, MIXED, 200))
def test_machines_agree(drawn):
    agree(*drawn)


@settings(max_examples=100)
@given(
    few_numbers(5, SHAPES, MIXED, 100),
    st.sampled_from([("rev",), ("fwd",), ("rev", "rev"), ("rev", "fwd"), ("fwd", "rev")]),
)
def test_machines_agree_on_derivatives(drawn, order):
    program, arrays = drawn
    agree(derivative(program, order), arrays)


# ---- turns of loops ---------------------------------------------------------------------------------------


def shifted(np, u):
    return np.concatenate([u[1:], u[-1:]]), np.concatenate([u[:1], u[:-1]])


def log_sum_exp(np, x, axis):
    most = np.max(x, axis=axis, keepdims=True)
    return np.log(np.sum(np.exp(x - most), axis=axis)) + np.squeeze(most, axis)


def heat(np, u, p):
    right, left = shifted(np, u)
    return u + 0.1 * p * (right - 2 * u + left)


def upwind(np, u, p):
    return u - 0.1 * p * np.concatenate([u[:1] - u[-1:], u[1:] - u[:-1]])


def markov(np, u, p):
    return log_sum_exp(np, u[:, None] + p[:, None] * p - p, 0)


def annealed(np, u, p):
    return u - np.max(u) + p / (1 + np.min(np.square(u[:, None] - p), axis=0))


def softly(np, u, p):
    v = np.exp(u - np.max(u))
    return np.sin(v / np.sum(v) + p)


def layer(np, u, p):
    return u @ np.sin(p[:, None] * p) * 0.1 + p


def exchanged(np, u, p):
    half = u.shape[0] // 2
    return np.concatenate([u[half:] * 0.5, np.sin(u[:half])]) + np.sum(p[:, None] * p[:3], axis=0)[0] * p


TURNS = {"heat": heat, "upwind": upwind, "markov": markov, "annealed": annealed, "softly": softly}
TURNS |= {"exchanged": exchanged, "layer": layer}
EXACT = ("heat", "upwind", "annealed")  # without sums
NAMES = ["value", "grad", "jvp", "fwd-rev", "rev-fwd", "rev-rev", "vmap of carry", "vmap of grad"]


def loss_of(turn, scan):
    def loss(p, u, data):
        last, path = scan(lambda u, d: (turn(wnp, u, p) + d,) * 2, u, data)
        return wnp.sum(wnp.square(last)) + wnp.sum(wnp.sin(path))

    return loss


def arguments(n, dtype="float64", length=5):
    rng = np.random.default_rng(n)
    return tuple(rng.normal(size=s).astype(dtype) for s in ((n,), (n,), (length, n)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", TURNS)
def test_derivatives_of_a_loop_are_those_of_the_unrolled_one(name, turn):
    p, u, data = arguments(12)
    plain, looped = (TRANSFORMS[name](loss_of(TURNS[turn], scan)) for scan in (unrolled, wg.scan))
    expected = plain(p, u, data)
    for g in (looped, wg.compile(looped)):
        # sums of hundreds of products, in another order
        wg.tree_map(
            lambda a, b: np.testing.assert_allclose(a, b, 1e-11, 1e-11 * np.abs(b).max()),
            g(p, u, data),
            expected,
        )


@pytest.mark.parametrize("n", [1, 2, 8, 16, 17, 60])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_is_the_eager_one_and_one_step(turn, dtype, n):
    p, u, _ = arguments(n, dtype)
    step = wg.compile(lambda u, p: TURNS[turn](wnp, u, p))
    if n > 8 and turn in ("heat", "markov", "softly"):
        assert len(step.program(u, p).steps()) <= (1 if turn != "softly" else 2)
    path = wg.compile(lambda u, p: wg.scan(lambda u, _: (TURNS[turn](wnp, u, p),) * 2, u, length=20))(u, p)[1]
    for row in path:
        eager = wg.vjp(lambda u: TURNS[turn](wnp, u, p), u)[0]
        once = step(u, p)
        assert_array_equal(row, once)
        if turn in EXACT:
            assert_array_equal(once, eager)
        # of n terms as large as 1, and what is exponentiated after it
        error = 30 * n * np.finfo(dtype).eps * (1 + np.abs(u).max())
        np.testing.assert_allclose(once, eager, rtol=0, atol=error)
        u = once


def test_a_fold_of_what_is_not_finite():
    for x in ([np.nan, 1, 2], [np.inf, -np.inf, 0], [-np.inf] * 3, [-0.0, 0.0, -0.0], [0.0, -0.0, 0.0]):
        m = np.array(x)[:, None] * np.ones(5)
        for f in (np.max, np.min):
            for axis in (0, None):
                got = wg.compile(lambda m: f(m * 1.0, axis=axis) * 1.0)(m)  # noqa: B023
                eager = wg.vjp(lambda m: f(m * 1.0, axis=axis) * 1.0, m)[0]  # noqa: B023
                assert_array_equal(np.array(got).view("int64"), np.array(eager).view("int64"))


def test_nothing_is_added_where_a_slice_is_empty():
    """It takes a part of one axis and none of another."""

    def f(x):
        y = append("slice_add", x * 2.0, x[2:4, :0], attrs=(2, 1, 2, 0, 1, 0))
        return append("slice_add", np.sin(y), y[1:3], attrs=(4, 1, 2, 0, 1, 2))

    x = np.cos(np.arange(14.0)).reshape(7, 2)
    assert_array_equal(wg.compile(f)(x), wg.vjp(f, x)[0])


def test_a_part_of_an_outer_product_is_read_where_it_lies():
    def f(x, w):
        y = x @ w
        outer = y[:, None] @ y[None]
        return outer[1:] * 2.0 + outer[:-1]

    x, w = np.cos(np.arange(6.0)), np.sin(np.arange(54.0)).reshape(6, 9)
    assert_array_equal(wg.compile(f)(x, w), wg.vjp(f, x, w)[0])


# Products that take the place of the vector to which they are added: one that dies, a donated one, a carry.
BIASES = {
    "dying": lambda x, h, c: h @ x + np.cumsum(c),
    "donated": lambda x, h, c: h @ x + c,
    "carry": lambda x, h, c: wg.scan(lambda c, h: (h @ x + c, None), c, np.stack([h, 0.5 * h]))[0],
}


@pytest.mark.parametrize(("k", "n"), [(3, 5), (16, 400), (40, 200)])
@pytest.mark.parametrize("name", BIASES)
def test_a_bias_is_read_before_a_product_takes_its_place(name, k, n):
    """Kernels may write sums of a few rows of a matrix, and add the bias in the end."""
    x, h, c = np.cos(np.arange(k * n)).reshape(k, n), np.sin(np.arange(k)), np.cos(np.arange(n))
    expected = BIASES[name](x, h, c)
    found = wg.compile(BIASES[name], donate_argnums=2 if name == "donated" else ())(x, h, c)
    assert_allclose(found, expected, rtol=0, atol=1e-15 * k * n)


BITS = """
import numpy as np
import wengert as wg
from test_one_row import TURNS, arguments, loss_of
for dtype in ("float32", "float64"):
    for name, turn in TURNS.items():
        for n in (9, 40):
            results = []
            for threads in (1, 2, 3, 1):
                wg.set_num_threads(threads)
                g = wg.compile(wg.value_and_grad(loss_of(turn, wg.scan), (0, 1)))
                for _ in range(3):
                    value, grads = g(*arguments(n, dtype))
                    results.append([x.tobytes() for x in (value, *grads)])
            assert all(r == results[0] for r in results), name
            if name in ("heat", "upwind"):
                p, u, data = arguments(n, dtype)
                step = lambda u, _: (turn(wg.numpy, u, p),) * 2
                print(wg.compile(lambda u: wg.scan(step, u, length=9)[1])(u).tobytes().hex())
"""


def test_every_instruction_set_reruns_to_the_same_bits():
    """On any number of threads; and additions, multiplications and moves leave none of them a choice."""
    found = printed_by_every_instruction_set(BITS)
    assert len(set(found.values())) == 1
