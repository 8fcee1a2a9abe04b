"""Sparse derivatives against dense ones, and patterns that hold every element that is not zero."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg

rng = np.random.default_rng(5)
A = np.where(rng.uniform(size=(6, 8)) < 0.3, rng.normal(size=(6, 8)), 0.0)


def laplace(x):
    """The five-point stencil on a square grid, with a nonlinear source."""
    u = np.reshape(x, (4, 4))
    padded = wg.numpy.pad(u, 1)
    neighbours = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
    return np.reshape(neighbours - 4 * u + np.exp(u), -1)


def placed(x, set=False):
    y = wg.numpy.zeros(6) + x[0] * 0
    i = np.array([4, 1, 1])
    if set:
        y[i[:2]] = x[:2]
    else:
        wg.numpy.add.at(y, i, x)
    return y


def nested(x):
    def step(c, a):
        return c + 1, wg.scan(lambda d, _: (d * a, d), x[0], length=2)[1]

    return wg.scan(step, 0.0, x)[1]


def until(x):
    """Turned until its first element is the largest: recorded, where nobody knows when."""
    turn = lambda x: wg.while_loop(lambda y: y[0] < np.max(y), lambda y: np.roll(y, 1), x)
    return wg.vmap(turn)(x[None])[0]


@wg.custom_jvp
def doubtful(x):
    """Its rule says that an element depends on its neighbour, its code that it does not."""
    return x * 1.0


doubtful.defjvp(lambda primals, tangents: (doubtful(primals[0]), np.roll(tangents[0], 1)))


FUNCTIONS = {
    "elementwise": (lambda x: np.sin(x) * x, 5),
    "difference": (lambda x: np.diff(x) ** 2, 6),
    "stencil": (laplace, 16),
    "product": (lambda x: A @ np.tanh(x), 8),
    "reductions": (lambda x: np.sum(np.reshape(x, (2, 4)) ** 2, axis=1) * np.max(x[2:6]), 8),
    "joined": (lambda x: np.concatenate([np.flip(x[::2]), x[:2] * x[-1]]), 7),
    "outer": (lambda x: np.outer(x[:2], x[2:]) @ np.ones((3, 2)), 5),
    "chosen": (lambda x: np.where(np.arange(6) % 2, x, np.roll(x, 1)), 6),
    "gathered": (lambda x: wg.numpy.take(x, np.array([0, 0, 3])) ** 2, 4),
    "constant": (lambda x: np.ones(3) + 0 * wg.stop_gradient(x[0]), 4),
    "a call": (lambda x: wg.compile(lambda y: np.cumsum(y * x[0]))(x), 4),
    "one number": (lambda x: np.prod(x), 4),
    "a rule": (lambda x: np.linalg.solve(np.diag(x) + 2, x), 4),
    "a loop": (lambda x: wg.scan(lambda c, a: (c * a, c), x[0], x)[1], 4),
    "added at indices": (lambda x: placed(x) ** 2, 3),
    "set at indices": (lambda x: placed(x, set=True) * 2, 3),
    "an index that depends": (lambda x: wg.numpy.take(x, wg.numpy.argsort(x)), 4),
    "stacks": (lambda x: np.reshape(x, (2, 1, 3)) @ np.reshape(np.sin(x), (3, 2)) * x[:2, None, None], 6),
    "a loop in a loop": (lambda x: nested(x), 5),
    "backwards": (lambda x: wg.scan(lambda c, a: (c * 2, c * a), x[0], x, reverse=True)[1], 4),
    "by hand": (lambda x: doubtful(x), 4),
    "a checkpoint": (lambda x: wg.checkpoint(lambda x: x[1:] * x[:-1])(x), 4),
    "until": (lambda x: until(x), 4),
    "a branch": (
        lambda x: wg.vmap(lambda x: wg.cond(x[0] > 0, lambda x: A[:4, :4] @ x, lambda x: x * 1, x))(x[None]),
        4,
    ),
    "gradient": (wg.grad(lambda x: wg.scan(lambda c, a: (np.sin(c) * a, None), 1.0, x[:3])[0] * x[4]), 5),
    "triangle": (lambda x: np.cumsum(np.reshape(x, (2, 3)), axis=1)[:, ::-1], 6),
    "no steps": (lambda x: np.sin(np.concatenate([x, wg.scan(lambda c, a: (c * a, c), x[0], x[:0])[1]])), 3),
    "a batch": (lambda x: wg.vmap(lambda a: a**3)(x), 4),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_the_dense_jacobian(name):
    f, n = FUNCTIONS[name]
    jacobian = wg.sparse_jacobian(f)
    for x in (rng.normal(size=n), rng.normal(size=n)):
        dense = wg.jacobian(f)(x).reshape(-1, n)
        found = jacobian(x)
        assert found.shape == dense.shape
        assert_allclose(found.toarray(), dense, rtol=1e-12, atol=1e-14)
        pattern = wg.sparsity(f, x).toarray()
        assert not np.any(dense[~pattern])


def test_patterns_are_tight_where_they_can_be():
    assert wg.sparsity(laplace, np.ones(16)).nnz == 16 * 5 - 4 * 4
    assert wg.sparsity(lambda x: x[1:] * x[:-1], np.ones(9)).nnz == 16
    assert wg.sparsity(lambda x: np.reshape(x, (2, 3)) @ np.ones((3, 2)), np.ones(6)).nnz == 12


def test_patterns_pass_through_indices_calls_loops_and_rules():
    i = np.array([[0, 2], [1, 1], [2, 0]])
    assert wg.sparsity(lambda x: np.sum(wg.numpy.take(x, i), axis=1), np.ones(4)).nnz == 5
    assert wg.sparsity(lambda x: np.sum(x[i - 1] ** 2, axis=1), np.ones(4)).nnz == 5
    assert wg.sparsity(placed, np.ones(3)).nnz == 1 + 2 + 5  # x[0] is in every element
    assert wg.sparsity(doubtful, np.ones(4)).nnz == 4
    assert wg.sparsity(doubtful, np.ones(4)).toarray()[0, 3]
    assert wg.sparsity(lambda x: wg.scan(lambda c, a: (c, a * a), 1.0, x)[1], np.ones(9)).nnz == 9
    assert wg.sparsity(lambda x: wg.scan(lambda c, a: (a, c * a), 1.0, x)[1], np.ones(9)).nnz == 17
    assert wg.sparsity(lambda x: wg.compile(lambda y: y[::2] * y[1::2])(x), np.ones(8)).nnz == 8
    assert wg.sparsity(lambda x: np.cumsum(np.reshape(x, (3, 4)), 1), np.ones(12)).nnz == 3 * 10
    assert wg.sparsity(np.floor, np.ones(3)).nnz == 0


def test_what_a_pattern_was_found_from_may_change():
    i, mask, x = np.array([0, 1]), np.array([True, False, True, False]), np.arange(1.0, 5.0)
    for f in (lambda x: wg.numpy.take(x, i) ** 2, lambda x: x[mask] ** 2):
        jacobian = wg.sparse_jacobian(f)
        assert_array_equal(jacobian(x).toarray(), wg.jacobian(f)(x))
        i[:], mask[:] = [3, 2], ~mask
        assert_array_equal(jacobian(x).toarray(), wg.jacobian(f)(x))
    rows = np.array([0, 1])
    f = lambda x: wg.numpy.take(x, rows)
    jacobian = wg.sparse_jacobian(f)
    assert jacobian(x).nnz == 2
    rows = np.array([3])  # the name means another array
    assert_array_equal(jacobian(x).toarray(), wg.jacobian(f)(x))


def test_the_hessian_of_a_chain_in_a_scan():
    """Neighbours in time meet in a term each: a band."""

    def energy(x):
        return wg.scan(lambda c, a: (a, (a - c) ** 4), x[0], x)[1].sum()

    x = rng.normal(size=30)
    assert wg.sparsity(wg.grad(energy), x).nnz == 3 * 30 - 2
    assert_allclose(wg.sparse_hessian(energy)(x).toarray(), wg.hessian(energy)(x), rtol=1e-11, atol=1e-11)


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_a_banded_hessian_of_many_variables():
    x = rng.normal(size=50)
    hessian = wg.sparse_hessian(rosenbrock)
    assert_allclose(hessian(x).toarray(), wg.hessian(rosenbrock)(x), rtol=1e-12, atol=1e-12)
    big = rng.normal(size=10**5)
    found = hessian(big)
    assert found.nnz == 3 * 10**5 - 2
    v = rng.normal(size=10**5)
    assert_allclose(found @ v, wg.hvp(rosenbrock, big, v), rtol=1e-10, atol=1e-8)


def test_an_arrow_has_no_cheap_colors_and_is_right_all_the_same():
    def arrow(x):
        return np.sum(x**4) + x[0] * np.sum(x)

    x = rng.normal(size=12)
    assert_allclose(wg.sparse_hessian(arrow)(x).toarray(), wg.hessian(arrow)(x), rtol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="expected one array"):
        wg.sparse_jacobian(lambda x: (x, x))(np.ones(3))
    with pytest.raises(ValueError, match="too big"):
        wg.sparsity(np.cumprod, np.ones(30000))


@pytest.mark.parametrize(
    "x", [np.ones(4, ">f8"), np.ones(4, ">f4"), np.zeros(0), np.zeros((0, 3)), [1.0, 2.0]]
)
def test_any_layout_of_floats(x):
    def f(x):
        return np.sum(x**3)

    array = np.asarray(x, np.asarray(x).dtype.newbyteorder("="))
    assert_allclose(wg.sparse_hessian(f)(x).toarray(), np.diag(6 * array.ravel()))
    assert wg.sparsity(f, x).shape == (1, array.size)


def test_what_has_no_derivative_is_refused():
    for x in (np.arange(3), np.ones(3, "f2"), np.array([None]), None):
        for call in (wg.sparse_jacobian(np.sin), wg.sparse_hessian(np.sum), lambda x: wg.sparsity(np.sin, x)):
            with pytest.raises(TypeError, match="expected floats"):
                call(x)
    for transform in (wg.grad, wg.compile):
        with pytest.raises(TypeError, match=r"sparse_jacobian: x is traced, .* use wg.jacobian or wg.hvp"):
            transform(lambda x: wg.sparse_hessian(np.sum)(x).sum())(np.ones(3))
    with pytest.raises(TypeError, match="mask"):
        wg.sparse_jacobian(np.sin)(np.ma.array([1.0, 2.0], mask=[0, 1]))


def test_a_result_may_be_changed_in_place():
    """Zeros may be taken out of it, indices written: the pattern, of which other results are made, stays."""
    hessian, x = wg.sparse_hessian(lambda x: np.sum(x[1:] * x[:-1] + 0 * x[1:] ** 2)), np.arange(5.0)
    found, dense = hessian(x), hessian(x).toarray()
    found.eliminate_zeros()
    assert found.nnz == 8
    assert_array_equal(hessian(x).toarray(), dense)
    again = hessian(x)
    again.indices[:], again.indptr[:] = 0, 0
    assert_array_equal(hessian(x).toarray(), dense)
