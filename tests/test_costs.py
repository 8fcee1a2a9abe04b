"""What a function is said to take, against what its products and arrays are known to take."""

import numpy as np

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


def test_nothing_costs_nothing():
    assert wg.cost(lambda x: None)(W) == (0, 0, 0, 0)


@wg.custom_vjp
def ruled(W, X):
    return np.tanh(X @ W)


ruled.defvjp(lambda W, X: (ruled(W, X), (W, X)), lambda r, g: (r[1].T @ g, g @ r[0].T))


def test_loops_branches_and_rules_are_looked_into():
    def rnn(h, steps):
        square = np.ones((30, 30), "float32")
        return np.sum(wg.scan(lambda h, _: (np.tanh(h @ square), None), h, length=steps)[0])

    step = 2 * 50 * 30 * 30 + 50 * 30
    value = wg.cost(lambda h: rnn(h, 100))(X)
    assert value.flops == 100 * step + 50 * 30
    assert value.nodes == 2 * 100 + 1
    gradient = wg.cost(wg.grad(lambda h: rnn(h, 100)))(X)
    # the product again, for its tanh is not kept, and that with the cotangent
    assert 2.9 * value.flops < gradient.flops < 3.1 * value.flops
    assert gradient.peak > 100 * X.nbytes > 10 * value.peak
    saved = wg.cost(wg.grad(wg.checkpoint(lambda h: np.sum(np.tanh(h @ np.ones((30, 30), "float32"))))))(X)
    assert saved.flops > 2 * 2 * 50 * 30 * 30
    assert wg.cost(lambda W: np.sum(ruled(W, X)))(W).flops == wg.cost(f)(W, X).flops
    assert wg.cost(wg.grad(lambda W: np.sum(ruled(W, X))))(W).flops > PRODUCT
    both = wg.cost(lambda x: wg.cond(x[0, 0] > 0, lambda x: f(W, x), lambda x: f(W, 2 * x), x))(X)
    assert 2 * PRODUCT < both.flops < 2.2 * PRODUCT
    down = wg.cost(lambda x: wg.while_loop(lambda x: x[0] > 0, lambda x: x - 1, x))
    assert down(np.ones(9)).flops == 9 + 2 * 2
    assert wg.cost(lambda x: np.sum(np.linalg.inv(x)))(np.ones((3, 3))).bytes > 2 * 72
