"""What a function is said to take, against what its products and arrays are known to take."""

import numpy as np
import pytest

import wengert as wg

X, W = np.ones((50, 30), "float32"), np.ones((30, 20), "float32")
PRODUCT = 2 * 50 * 30 * 20


def f(W, X):
    return np.sum(np.tanh(X @ W))


def test_a_product_and_its_gradient():
    value = wg.cost(f)(W, X)
    assert value.nodes == 3
    assert value.flops == PRODUCT + 50 * 20 + 50 * 20
    # product, tanh and sum: operands and results, float32
    assert value.bytes == 4 * ((1500 + 600 + 1000) + (1000 + 1000) + (1000 + 1))
    gradient = wg.cost(wg.grad(f))(W, X)
    assert 2 * PRODUCT < gradient.flops < 2.2 * PRODUCT
    both = wg.cost(wg.grad(f, (0, 1)))(W, X)
    assert 3 * PRODUCT < both.flops < 3.2 * PRODUCT


def test_it_depends_on_shapes_alone_and_runs_nothing():
    assert wg.cost(f)(W * np.nan, X) == wg.cost(f)(W, X)
    huge = np.broadcast_to(np.float32(0), (10**7, 30))
    assert wg.cost(f)(W, huge).flops == 2 * 10**7 * 600 + 2 * 20 * 10**7


def test_peak_memory_holds_arguments_results_and_what_must_be_kept():
    peak = wg.cost(wg.grad(f))(W, X).peak
    assert peak >= W.nbytes + X.nbytes + W.nbytes
    more = wg.cost(wg.hessian(lambda x: np.sum(np.tanh(W.T[:, :6] @ x))))(np.ones(6, "float32"))
    assert more.peak < 10**5


def test_nothing_costs_nothing_and_loops_are_refused():
    assert wg.cost(lambda x: None)(W) == (0, 0, 0, 0)
    with pytest.raises(ValueError, match="a loop or a function with a rule"):
        wg.cost(lambda x: wg.scan(lambda c, a: (c * a, None), 1.0, x)[0])(np.ones(3))
