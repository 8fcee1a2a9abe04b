"""Large arrays that regions compute again instead of keeping them: the same bits as when they are kept.

Products of rows and everything elementwise have the eager tape's bits (see test_regions.py).  700 rows of 192
are large, and the matrices are too large to be read within a region, so every product parts two regions.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
from wengert.pytree import tree_leaves

ROWS, WIDTH = 700, 192


def operands(dtype="float32"):
    rng = np.random.default_rng(5)
    x, y, r = rng.normal(size=(ROWS, WIDTH)), rng.normal(size=(ROWS, WIDTH)), rng.normal(size=(ROWS, 1))
    c, w = rng.normal(size=WIDTH), rng.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5
    return [a.astype(dtype) for a in (x, y, r, c, np.concatenate([w, w], axis=1))]


def away(a, w):
    """A product of a by part of w, which no region takes in."""
    return a @ w[:, : a.shape[1]]


def bias_and_multiples(x, y, r, c, w):
    u = away(x, w) + c
    return away(np.tanh(0.5 * u + u * u), w) * (u * u) - u


def masks(x, y, r, c, w):
    u = away(x, w) * r
    positive = np.where(u > c, u, -u)
    return away(np.exp(-positive), w) * np.where(u > c, positive, 2.0)


def two_arrays(x, y, r, c, w):
    difference = x - y
    return away(np.sin(difference) * np.cos(x) / (1.5 + np.sin(y)), w) * difference + x * y


def casts(x, y, r, c, w):
    u = away(x, w) + 1.0
    wide = u.astype("float64") * 2.0
    return away(np.tanh(wide).astype(x.dtype), w) + wide


def hard_functions_stay(x, y, r, c, w):
    e = np.exp(away(x, w))
    s = 1.0 + e
    return away(s / (s + e), w) * s


def long_chains(x, y, r, c, w):
    u = v = away(x, w)
    for k in range(12):
        v = v * u + float(k % 3 - 1)
    return away(np.tanh(v), w) + v


def three_regions(x, y, r, c, w):
    u = away(x, w) + c
    v = away(np.tanh(u), w) * u
    return away(np.tanh(v), w) * u + v


def read_in_another_order(x, y, r, c, w):
    u = away(x, w) + c
    h = away(np.tanh(u), w)
    return h * u[:, ::-1] + u[::-1] * h, (u[:WIDTH].T @ h[:WIDTH]) * 2.0


def an_output(x, y, r, c, w):
    u = away(x, w) + c
    return away(np.tanh(u), w) * u, u


def read_by_a_product(x, y, r, c, w):
    u = away(x, w) + c
    return away(np.tanh(u), w) * u, away(u, w)


def a_sum_of_each_row(x, y, r, c, w):
    u = away(x, w) + c
    scale = np.sum(u * u, axis=1, keepdims=True)
    return away(np.tanh(u / scale), w) * (u - scale)


CASES = [
    bias_and_multiples, masks, two_arrays, casts, hard_functions_stay, long_chains, three_regions,
    read_in_another_order, an_output, read_by_a_product, a_sum_of_each_row,
]  # fmt: skip


@pytest.mark.parametrize("f", CASES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_the_eager_tape(f, dtype):
    args = operands(dtype)
    expected = wg.vjp(f, *args)[0]  # recorded node by node
    g = wg.compile(f)
    before = wg.get_num_threads()
    for threads in (1, 2, 3):
        wg.set_num_threads(threads)
        try:
            found = g(*args)
        finally:
            wg.set_num_threads(before)
        for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("f", CASES, ids=lambda f: f.__name__)
def test_gradients_are_those_of_the_eager_tape(f):
    """Up to the order of sums over rows: of n terms, 2 n u of the sum of their sizes (Higham 2002, section
    4.2), which of terms of either sign is some sqrt(n) times their sum."""
    args = operands("float64")

    def total(*args):
        return sum(np.sum(np.sin(leaf)) for leaf in tree_leaves(f(*args)))

    expected = wg.grad(total, argnums=(0, 3, 4))(*args)
    found = wg.compile(wg.grad(total, argnums=(0, 3, 4)))(*args)
    for a, b in zip(found, expected, strict=True):
        assert_allclose(a, b, rtol=0, atol=2 * ROWS * 1.2e-16 * max(1.0, np.abs(b).max()) * ROWS**0.5)


def ops_of_steps(f, *args):
    return [step.ops for step in wg.compile(f).program(*args).steps()]


def test_what_is_cheap_is_computed_where_it_is_read():
    product = ("matmul",)
    assert ops_of_steps(bias_and_multiples, *operands()) == [
        product, ("add", "mul", "mul", "add", "tanh"), product, ("add", "mul", "mul", "sub"),
    ]  # fmt: skip
    assert ops_of_steps(three_regions, *operands()) == [
        product, ("add", "tanh"), product, ("add", "mul", "tanh"), product, ("add", "mul", "add"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "last"),
    [
        (two_arrays, ("mul", "mul", "add")),
        (an_output, ("mul",)),
        (read_by_a_product, ("mul",)),
        (read_in_another_order, ("mul", "mul", "add")),
        (hard_functions_stay, ("mul",)),
        (long_chains, ("add",)),
        (a_sum_of_each_row, ("mul",)),
    ],
)
def test_what_is_kept_anyway_or_costs_more_is_not_computed_again(f, last):
    assert last in ops_of_steps(f, *operands())[2:4]


def test_a_gated_layer_keeps_fewer_arrays():
    """Of gelu, written out, the forward region keeps the hyperbolic tangent and its result alone."""
    x, _, _, c, w = operands()

    def loss(x):
        u = away(x, w) + c
        h = 0.5 * u * (1 + np.tanh(0.8 * (u + 0.04 * u**3)))
        return np.sum(away(h, w) ** 2)

    program = wg.compile(wg.grad(loss)).program(x)
    forward = next(step for step in program.steps() if "tanh" in step.ops)
    assert forward.bytes <= 3.1 * x.nbytes  # the product's result is read, two arrays are written


def test_bodies_of_loops_compute_again_too():
    x, _, _, c, w = operands("float64")

    def turn(h, k):
        return away(np.tanh(away(h, w) + c), w) * (away(h, w) + c) * k, None

    def run(h):
        return wg.scan(turn, h, np.array([0.1, 0.2]))[0]

    expected = x
    for k in (0.1, 0.2):
        expected = turn(expected, k)[0]
    assert_allclose(wg.compile(run)(x), expected, rtol=0, atol=1e-12 * np.abs(expected).max())
