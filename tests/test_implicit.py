"""Derivatives of roots, fixed points and minima that solvers find, against closed forms and differences."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import brentq, minimize

import wengert as wg


def cube_root(a):
    return brentq(lambda x: x**3 - a, 0, 10, xtol=1e-15)


ROOT = wg.implicit_root(lambda x, a: x**3 - a, cube_root)


def test_orders_one_to_three():
    a, expected = 5.0, [1 / 3, -2 / 9, 10 / 27]  # coefficients of a^(1/3 - k)
    f = ROOT
    for k, factor in enumerate(expected, 1):
        f = wg.grad(f)
        # the solver's root is good to 1e-15, and each order amplifies it by less than a hundred
        assert_allclose(f(a), factor * a ** (1 / 3 - k), rtol=1e-9)
    assert_allclose(wg.jvp(wg.grad(ROOT), (a,), (1.0,))[1], -2 / 9 * a ** (1 / 3 - 2), rtol=1e-10)
    assert_allclose(wg.hessian(ROOT)(a), -2 / 9 * a ** (1 / 3 - 2), rtol=1e-10)
    assert ROOT(8.0) == cube_root(8.0)


def test_a_minimum_that_scipy_finds():
    """The ridge estimate is known: (X'X + c I)^-1 X'y."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)

    def cost(w, c, y):
        return 0.5 * np.sum((X @ w - y) ** 2) + 0.5 * c * np.sum(w**2)

    def solver(c, y):
        both = wg.value_and_grad(lambda w: cost(w, c, y))
        return minimize(both, np.zeros(3), jac=True, tol=1e-10).x

    fit = wg.implicit_root(wg.grad(cost), solver)
    A = X.T @ X + 0.7 * np.eye(3)
    exact = np.linalg.solve(A, X.T @ y)
    assert_allclose(wg.jacobian(fit)(0.7, y), -np.linalg.solve(A, exact), rtol=1e-6)
    assert_allclose(wg.jacobian(fit, argnums=1)(0.7, y), np.linalg.solve(A, X.T), rtol=1e-6, atol=1e-8)


def test_a_fixed_point_of_a_tree_recorded_by_a_scan():
    def g(x, a):
        return {"u": np.cos(a * x["u"]) + 0.1 * x["v"], "v": 0.5 * np.sin(x["u"] + x["v"])}

    def solver(a):
        start = {"u": np.ones(2), "v": np.zeros(2)}
        return wg.scan(lambda x, _: (g(x, a), None), start, length=200)[0]

    def residual(x, a):
        return wg.tree_map(lambda p, q: p - q, x, g(x, a))

    point = wg.implicit_root(residual, solver)
    a = np.array([0.5, 0.8])

    def total(a):
        return np.sum(point(a)["u"] ** 2 + point(a)["v"])

    h = 1e-6
    steps = [(total(a + h * e) - total(a - h * e)) / (2 * h) for e in np.eye(2)]

    def one_of_many(a):
        return wg.vmap(wg.grad(total))(a[None])[0]

    for gradient in (wg.grad(total), wg.compile(wg.grad(total)), one_of_many):
        assert_allclose(gradient(a), steps, rtol=1e-8)
    assert_allclose(wg.grad(lambda a: np.sum(solver(a)["u"] ** 2 + solver(a)["v"]))(a), steps, rtol=1e-8)


def test_a_solver_of_python_s_while_a_function_is_recorded():
    """As a host call, which is asked at each replay, and once for each element of a batch."""
    root = wg.implicit_root(lambda x, a: x**3 - a, wg.host_call(cube_root, ()))
    a = np.array([1.0, 2.0, 8.0])
    with warnings.catch_warnings():  # said once in a process
        warnings.simplefilter("ignore")
        for h in (lambda f: f, wg.compile):
            assert_allclose(h(wg.vmap(wg.grad(root)))(a), a ** (-2 / 3) / 3, rtol=1e-10)
            assert_allclose(h(wg.vmap(wg.hessian(root)))(a), -2 / 9 * a ** (-5 / 3), rtol=1e-9)
    assert_allclose(wg.compile(wg.grad(root))(8.0), 1 / 12, rtol=1e-10)
    with pytest.raises(TypeError, match=r"implicit_root: the solver cube_root looks at .* wg\.host_call"):
        wg.compile(wg.grad(ROOT))(5.0)


def test_refusals():
    bad = wg.implicit_root(lambda x, a: np.ones(2) * (x - a), lambda a: a)
    with pytest.raises(ValueError, match="f returns 2 numbers for a root of 1"):
        wg.grad(bad)(1.0)
