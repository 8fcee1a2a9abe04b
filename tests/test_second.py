"""Laplacian, Hessian diagonal and Gauss-Newton products against the full Hessian and closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import wengert as wg

rng = np.random.default_rng(7)
A = rng.normal(size=(5, 5))
X = rng.normal(size=(4, 5))


def through_a_loop(x):
    return wg.scan(lambda c, a: (np.sin(c * x + a), c * c), x, A)


# functions that use every kind of rule: elementwise of one and two operands, products, reductions, movement,
# indexing, derivatives, calls and loops
FUNCTIONS = {
    "products": lambda x: np.sum(np.tanh(A @ x) * x) / (1 + x[0] ** 2),
    "vector output": lambda x: np.exp(np.sin(x) @ A) * x,
    "max": lambda x: wg.numpy.max(np.outer(x, np.cos(x)), axis=1),
    "logsumexp": lambda x: np.log(np.sum(np.exp(A @ np.tanh(A @ x)))) * np.sqrt(1 + x @ x),
    "of a gradient": lambda x: wg.grad(lambda y: np.sum(np.sin(A @ y) ** 2))(x) * x[1],
    "movement": lambda x: np.concatenate([x[::2], np.flip(x)]) ** 3 * wg.numpy.take(x, np.array([0] * 8)),
    "a call": lambda x: wg.compile(lambda y: np.sum(np.sin(y) * x))(x * x),
    "a batch": lambda x: wg.vmap(lambda a: np.sin(a @ x) * x[0])(A),
    "a loop": through_a_loop,
    "linear": lambda x: A @ x,
    "constant": lambda x: np.float64(3.0),
    "power": lambda x: np.sum(np.abs(x) ** x[0] * np.where(x > 0, x, x**2)),
}


def trace(h):
    return np.trace(h, axis1=-2, axis2=-1)


def diagonal(h):
    return np.diagonal(h, axis1=-2, axis2=-1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_the_hessian(name):
    f, x = FUNCTIONS[name], X[0]
    h = wg.hessian(f)(x)

    def one_of_many(x):
        return wg.tree_map(lambda v: v[0], wg.vmap(wg.laplacian(f))(X))

    for g in (wg.laplacian(f), wg.compile(wg.laplacian(f)), one_of_many):
        found = g(x)
        # sums of products of up to 1e3
        wg.tree_map(lambda a, b: assert_allclose(a, trace(b), rtol=1e-11, atol=1e-11), found, h)
    wg.tree_map(lambda a, b: assert_allclose(a, diagonal(b), 1e-11, 1e-11), wg.hessian_diagonal(f)(x), h)


def test_closed_forms():
    r = rng.normal(size=(6, 3))
    assert_allclose(wg.vmap(wg.laplacian(lambda x: 1 / np.sqrt(x @ x)))(r), 0, atol=1e-12)  # harmonic
    assert_allclose(wg.laplacian(lambda x: np.sum(x**4))(r[0]), 12 * np.sum(r[0] ** 2))
    # the Laplacian of exp(-|x|^2 / 2) in n dimensions is (|x|^2 - n) times it
    gauss = np.exp(-np.sum(r**2, 1) / 2)
    found = wg.vmap(wg.laplacian(lambda x: np.exp(-0.5 * (x @ x))))(r)
    assert_allclose(found, (np.sum(r**2, 1) - 3) * gauss, rtol=1e-12)
    biharmonic = wg.laplacian(wg.laplacian(lambda x: (x @ x) ** 3))(r[0])
    # the Laplacian of |x|^k is k (k + n - 2) |x|^(k - 2), n = 3
    assert_allclose(biharmonic, 6 * 7 * 4 * 5 * np.sum(r[0] ** 2), rtol=1e-12)


def test_several_arguments_and_trees():
    def f(p, q):
        return {"s": np.sum(p["a"] ** 3) * q, "t": p["b"] * q**2}

    p, q = {"a": np.array([1.0, 2.0]), "b": 3.0}, 5.0
    found = wg.laplacian(f, argnums=(0, 1))(p, q)
    assert_allclose(found["s"], 6 * 3.0 * q)
    assert_allclose(found["t"], 2 * 3.0)
    assert_allclose(wg.laplacian(f, argnums=1)(p, q)["s"], 0)


def test_its_gradient_by_parameters():
    net = wg.MLP([3, 8, 1], activation="tanh", dtype="float64", seed=1)
    x = rng.normal(size=(5, 3))

    def residual(lap):
        return lambda p: np.mean(wg.vmap(lambda x: lap(lambda y: net.apply(p, y)[0])(x))(x) ** 2)

    plain = residual(lambda f: lambda x: np.trace(wg.hessian(f)(x)))
    quick = residual(wg.laplacian)
    expected = wg.grad(plain)(net.params)
    for g in (wg.grad(quick), wg.compile(wg.grad(quick))):
        for a, b in zip(g(net.params), expected, strict=True):
            for name in a:
                assert_allclose(a[name], b[name], rtol=1e-10, atol=1e-12)


def test_the_cost_does_not_grow_with_the_dimension_but_in_the_width_of_its_nodes():
    def nodes(n):
        f = wg.compile(wg.laplacian(lambda x: np.sum(np.tanh(np.ones((7, n)) @ x))))
        return f.program(np.ones(n)).info["nodes"]

    assert nodes(3) == nodes(30)


def test_float32_stays():
    assert wg.laplacian(lambda x: np.sum(x**3))(np.ones(3, "float32")).dtype == np.float32


def test_gauss_newton():
    def f(x):
        return np.tanh(A @ x)

    x, v = X[0], X[1]
    J = wg.jacobian(f)(x)
    assert_allclose(wg.gauss_newton(f)(x, v), J.T @ J @ v, rtol=1e-12)

    def loss(y):
        return np.sum(np.exp(y))

    assert_allclose(wg.gauss_newton(f, loss)(x, v), J.T @ np.diag(np.exp(f(x))) @ J @ v, rtol=1e-12)
    assert_allclose(wg.compile(wg.gauss_newton(f, loss))(x, v), wg.gauss_newton(f, loss)(x, v))


# ---- many directions at once -------------------------------------------------------------------------------

ACTIVATIONS = {
    "tanh": np.tanh,
    "gelu": wg.numpy.gelu,
    "sqrt": lambda a: np.sqrt(1 + a * a),
    "sin": np.sin,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_directions_are_carried_together_as_they_are_alone(name):
    """A batch of directions shares what does not depend on them; a product with units has but one term."""

    def f(x):
        return np.sum(ACTIVATIONS[name](ACTIVATIONS[name](A @ x) @ A))

    h = wg.compile(wg.vmap(wg.hessian(f)))(X)
    for x, together in zip(X, h, strict=True):
        alone = [wg.hvp(f, x, unit) for unit in np.eye(5)]
        assert_allclose(together, alone, rtol=1e-12, atol=1e-12)
        assert_allclose(together, together.T, rtol=1e-12, atol=1e-12)


def test_blocks_of_a_hessian_by_two_arguments():
    def f(x, y):
        return x**2 @ A[:, :3] @ np.sin(y) * np.stack([x[0], y[0]])  # two outputs

    x, y = X[0], X[1, :3]
    found, slopes = wg.hessian(f, (0, 1))(x, y), wg.jacrev(f, (0, 1))
    for i in range(2):
        for j in range(2):
            expected = wg.jacfwd(lambda x, y, i=i: slopes(x, y)[i], j)(x, y)
            assert found[i][j].shape == (2, (x, y)[i].size, (x, y)[j].size)
            assert_allclose(found[i][j], expected, rtol=1e-12, atol=1e-12)


def test_an_infinite_derivative_along_no_direction():
    """0 wins: of sqrt at 0, whose derivatives are infinite, where nothing moves."""
    x = np.array([0.0, 4.0])

    def f(x):
        return np.sum(np.sqrt(x * np.array([0.0, 1.0])))

    for g in (wg.hessian(f), wg.compile(wg.hessian(f))):
        assert_allclose(g(x), [[0, 0], [0, -1 / 32]])
    for g in (wg.laplacian(f), wg.compile(wg.laplacian(f))):
        assert_allclose(g(x), -1 / 32)


# ---- parts of a tape whose values a later write has taken over ---------------------------------------------


@pytest.mark.parametrize("outer", [wg.jacfwd, wg.jacrev, wg.jacobian])
def test_a_jacobian_of_a_gradient_that_adds_slices(outer):
    """The sweep adds slices up in one buffer: what it held before is computed again."""

    def f(x):
        return np.sum(np.array([1.0, 2.0, 3.0]) * x[1:]) + np.sum((x[1:] * x[:-1]) ** 2) + np.sum(4.0 * x[:2])

    x = np.array([1.0, -2.0, 3.0, 0.5])
    expected = np.diag(2 * np.array([x[1] ** 2, x[0] ** 2 + x[2] ** 2, x[1] ** 2 + x[3] ** 2, x[2] ** 2]))
    for k in range(3):
        expected[k, k + 1] = expected[k + 1, k] = 4 * x[k] * x[k + 1]
    assert_allclose(outer(wg.grad(f))(x), expected, rtol=1e-14)
    assert_allclose(wg.compile(outer(wg.grad(f)))(x), expected, rtol=1e-14)


def test_a_jacobian_of_a_function_that_writes_to_an_older_array():
    def f(z):
        kept = z * 1.0
        kept[0] = z[1]

        def g(x):
            kept[1] = x[2]
            return kept * x

        return np.sum(wg.jacfwd(g)(2 * z))  # z1 + (x2 + x1) + z2, at x = 2 z

    assert_allclose(wg.grad(f)(np.array([1.0, 2.0, 3.0])), [0, 3, 3])


def test_products_with_the_hessian_decorate():
    @wg.hvp
    def f(x, y):
        """A product."""
        return x * x * y

    @wg.hvp(argnums=1)
    def g(x, y):
        return x * y * y

    assert (f.__name__, f.__doc__) == ("f", "A product.")
    assert (f(2.0, 1.0, 3.0), g(3.0, 1.0, 2.0)) == (6.0, 4.0)
