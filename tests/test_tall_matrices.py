"""Sums over groups of rows that threads share: a few rows times a tall matrix by which the gradient is taken,
too, and the product of many rows, transposed, with as many."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_regions import DTYPES, both, numbers

import wengert as wg

# m, k, n of x w and how many groups of the rows of w it is a sum over, in float32; 0: it is no such sum.
TALL = {
    (32, 784, 128): 4, (32, 784, 100): 2, (8, 785, 65): 2, (2, 20000, 128): 4, (3, 20000, 2): 1,
    (42, 128, 129): 2, (43, 128, 129): 0, (261, 784, 128): 4,  # w has at least three times as many rows as x,
    (32, 128, 128): 0, (128, 784, 256): 4,  # more than 64 kB, and x w at most 512
    (256, 784, 512): 4, (256, 784, 513): 0,
    (1, 784, 128): 0, (16, 20000, 1): 0,
}  # fmt: skip
# m, k, n of the transposed x (k, m) times y (k, n), and how many groups of their rows it is a sum over.
LONG = {
    # x and y have four times as many elements as x y,
    (256, 1024, 256): 4, (256, 512, 256): 4, (256, 511, 256): 0,
    (128, 1024, 128): 0, (128, 1024, 129): 4,  # which has more than 64 kB,
    (362, 1000, 362): 4, (363, 1000, 363): 0,  # and at most 512
}  # fmt: skip


def forward_and_gradient(x, w):
    h = x @ w
    return h, x.T @ np.tanh(h)


def grouped(x, w, groups):
    """The eager products of groups of rows of w, added in a tree."""
    bounds = [len(w) * group // groups for group in range(groups + 1)]
    sums = [wg.vjp(lambda x, w: x @ w, x[:, a:b], w[a:b])[0] for a, b in pairwise(bounds)]
    while len(sums) > 1:
        sums = [a + b for a, b in zip(sums[::2], sums[1::2], strict=True)]
    return sums[0]


@pytest.mark.parametrize(("shape", "groups"), TALL.items())
def test_groups_of_rows_follow_from_shapes(shape, groups):
    m, k, n = shape
    x, w = numbers("float32", m, k), numbers("float32", k, n, seed=1)
    first = wg.compile(forward_and_gradient).program(x, w).steps()[0]
    assert (first.groups if first.rows == k else 0) == groups
    eager, compiled, _ = both(forward_and_gradient, x, w)
    assert_array_equal(compiled[0], grouped(x, w, max(groups, 1)) if m > 1 and n > 1 else eager[0])
    assert_allclose(compiled[1], eager[1], rtol=4 * k * np.finfo("float32").eps)  # positive terms


@pytest.mark.parametrize(("shape", "groups"), LONG.items())
def test_long_products_are_sums_over_groups(shape, groups):
    m, k, n = shape
    x, y = numbers("float32", k, m), numbers("float32", k, n, seed=1)
    (step,) = wg.compile(lambda x, y: x.T @ y).program(x, y).steps()
    assert step.groups == groups
    eager, compiled, _ = both(lambda x, y: (x.T @ y,), x, y)
    assert_array_equal(compiled[0], grouped(x.T, y, groups) if groups else eager[0])


# Of x (32, 784) and w (784, 128): those that lie in another order, or of which no gradient is taken.
NOT_TALL = {
    "no gradient": lambda x, w: (x @ w, np.tanh(x @ w)),
    "a gradient of another shape": lambda x, w: (x @ w, x.T @ np.tanh(x @ w[:, :64])),
    "rows backwards": lambda x, w: (x[:, ::-1] @ w, x.T @ np.tanh(x @ w)),
    "columns": lambda x, w: (x @ w.reshape(128, 784).T, x.T @ np.tanh(x @ w)),
    "a row": lambda x, w: (x[0] @ w, x.T @ np.tanh(x @ w)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NOT_TALL)
def test_others_are_the_eager_bits(name, dtype):
    eager, compiled, _ = both(NOT_TALL[name], numbers(dtype, 32, 784), numbers(dtype, 784, 128, seed=1))
    assert_array_equal(compiled[0], eager[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_may_be_computed_or_lie_in_another_order(dtype):
    x, w = numbers(dtype, 32, 784), numbers(dtype, 784, 128, seed=1)
    expected = grouped(x, w, 4)
    for f in (forward_and_gradient, lambda x, w: forward_and_gradient(np.abs(x), np.abs(w))):
        for columns in (np.ascontiguousarray, np.asfortranarray, lambda x: x.repeat(2, 1)[:, ::2]):
            assert_array_equal(wg.compile(f)(columns(x), columns(w))[0], expected)


@pytest.mark.parametrize(
    ("widths", "rows", "summed", "groups"), [([600, 64, 3], 24, 600, 2), ([150, 150, 3], 400, 400, 4)]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_of_a_net_with_such_products(widths, rows, summed, groups, dtype):
    """The same bits on any number of threads; the parameters are overwritten where they are read."""
    net = wg.MLP(widths, "tanh", dtype, seed=0)
    optimizer = wg.optim.Adam(1e-3)
    gradient = wg.value_and_grad(net.objective("squared_error"))
    x, y = numbers(dtype, rows, widths[0]), numbers(dtype, rows, 3, seed=1)

    def update(theta, state, x, y):
        value, slope = gradient(theta, x, y)
        return *optimizer.step(theta, slope, state), value

    found = []
    before = wg.get_num_threads()
    for threads in (1, 2, 3, 4):
        wg.set_num_threads(threads)
        step = wg.compile(update, donate_argnums=(0, 1))
        theta, state = net.theta.copy(), optimizer.init(net.theta)
        steps = step.program(theta, state, x, y).steps()
        assert any(
            part.rows == summed and part.groups == groups and part.ops == ("matmul",) for part in steps
        )
        for _ in range(5):
            theta, state, value = step(theta, state, x, y)
        found.append((theta, value))
    wg.set_num_threads(before)
    for theta, value in found[1:]:
        assert_array_equal(theta, found[0][0])
        assert value == found[0][1]
