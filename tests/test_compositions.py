"""What several transforms share: has_aux, argnums and trees; one applied to what another returns."""

import dataclasses
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

import wengert as wg


@pytest.mark.parametrize("transform", [wg.jacobian, wg.jacfwd, wg.jacrev, wg.hessian, wg.hessian_diagonal,
                                       wg.laplacian, wg.elementwise_grad, wg.grad])  # fmt: skip
def test_has_aux_of_every_transform(transform):
    """What is beside the output passes by, a Var within another transform and a value outside."""

    def f(x, y):
        return x**3 * y, {"double": 2 * x, "name": "f"}

    expected = transform(lambda x, y: f(x, y)[0], argnums=1)(2.0, 3.0)
    for g in (transform(f, argnums=1, has_aux=True), wg.compile(transform(f, argnums=1, has_aux=True))):
        assert g(2.0, 3.0) == (expected, {"double": 4.0, "name": "f"})
    assert wg.grad(lambda x: transform(f, has_aux=True)(x, 3.0)[1]["double"])(2.0) == 2.0
    both = transform(f, argnums=(0, 1), has_aux=True)(2.0, 3.0)
    assert both[0] == transform(lambda x, y: f(x, y)[0], argnums=(0, 1))(2.0, 3.0)
    with pytest.raises(TypeError, match=f"{transform.__name__}: with has_aux=True .* must return a pair"):
        transform(lambda x: x, has_aux=True)(1.0)


def test_a_pullback_under_other_transforms(rng):
    """It is linear in the cotangent, which may be a Var of any tape."""
    A, x, v = rng.standard_normal((3, 2)), rng.standard_normal(2), rng.standard_normal(3)
    f = lambda x: {"y": np.sin(A @ x), "n": np.argmax(x)}
    J = wg.jacobian(lambda x: np.sin(A @ x))(x)
    pullback = wg.vjp(f, x)[1]
    pull = lambda g: pullback({"y": g, "n": 0})[0]
    for h in (lambda t: t, wg.compile):
        assert_allclose(h(wg.vmap(pull))(np.eye(3)), J, rtol=1e-14)
        assert_allclose(h(wg.jacobian(pull))(v), J.T, rtol=1e-14)
        assert_allclose(h(lambda v: wg.jvp(pull, (v,), (v,))[1])(v), J.T @ v, rtol=1e-14)

    def squares(x, rows):  # within another transform, so of that one too
        return np.sum(rows(lambda x: np.sin(A @ x), x) ** 2)

    pulled = lambda f, x: wg.vmap(wg.vjp(f, x)[1])(np.eye(3))[0]
    for transform in (wg.grad, wg.hessian, lambda f: wg.compile(wg.grad(f))):
        expected = transform(lambda x: squares(x, lambda f, x: wg.jacobian(f)(x)))(x)
        assert_allclose(transform(lambda x: squares(x, pulled))(x), expected, rtol=1e-12)
    assert wg.vmap(wg.vjp(lambda x, y: x, 1.0, 2.0)[1])(np.ones(2))[1].tolist() == [0.0, 0.0]


def test_the_blocks_of_a_hessian_have_the_dtypes_of_the_gradient():
    blocks = wg.hessian(lambda a, b: np.sum(a * b), (0, 1))(np.ones(2, "f4"), np.ones(2))
    assert [block.dtype for row in blocks for block in row] == ["f4", "f4", "f8", "f8"]


def test_hessian_diagonals_of_several_arguments_and_trees():
    p, y = {"a": np.array([1.0, 2.0]), "b": 3.0}, np.array([0.5, 2.0])
    f = lambda p, y: np.stack([np.sum(p["a"] ** 3 * y) * p["b"] ** 2, np.sum(y**4)])
    by_p, by_y = wg.hessian_diagonal(f, argnums=(0, 1))(p, y)
    assert_allclose(by_p["a"], [6 * p["a"] * y * 9, [0, 0]])
    assert_allclose(by_p["b"], [2 * np.sum(p["a"] ** 3 * y), 0])
    assert_allclose(by_y, [[0, 0], 12 * y**2])
    with pytest.raises(TypeError, match="hessian_diagonal: argument 0 has dtype int64"):
        wg.hessian_diagonal(np.sum)(np.arange(3))


def test_python_is_asked_in_branches_that_are_taken():
    """Under vmap both branches run, but what the user's functions see are elements that asked for them."""
    seen = []

    def log(x):
        seen.append(float(x))
        return np.log(x)

    root = wg.host_call(log, (), vjp=lambda g, y, x: (g * inverse(x),))
    inverse = wg.host_call(lambda x: seen.append(float(x)) or 1 / x, (), vjp=lambda g, y, x: (-g * y * y,))
    f = lambda x: wg.cond(x > 0, lambda x: root(x) * 2, lambda x: x * x, x)
    total = lambda x: np.sum(wg.vmap(f)(x))
    plain = {
        "value": [0, 4, 2 * np.log(3), 16],
        "slope": [2, -4, 2 / 3, -8],
        "curvature": [-2, 2, -2 / 9, 2],
    }
    cases = [
        (wg.vmap(f), "value"),
        (lambda x: wg.vmap(lambda x: wg.vmap(f)(x * np.ones(2)))(x)[:, 1], "value"),
        (wg.vmap(wg.grad(f)), "slope"),
        (wg.vmap(wg.jacfwd(f)), "slope"),
        (wg.grad(total), "slope"),
        (wg.vmap(wg.hessian(f)), "curvature"),
        (lambda x: np.diag(wg.hessian(total)(x)), "curvature"),
    ]
    xs = np.array([1.0, -2.0, 3.0, -4.0])
    with warnings.catch_warnings():  # said once in a process
        warnings.simplefilter("ignore")
        for transform, name in cases:
            for g in (transform, wg.compile(transform)):
                assert_allclose(g(xs), plain[name], rtol=1e-14)
        assert set(seen) == {1.0, 3.0}
        assert wg.vmap(f)(xs[:0]).shape == (0,)
        inverted = wg.vmap(lambda A: wg.cond(A[0, 0] > 0, np.linalg.inv, lambda A: A * 2, A))
        assert_allclose(inverted(np.stack([np.eye(2), np.zeros((2, 2))])), [np.eye(2), np.zeros((2, 2))])
        seen.clear()
        halved = lambda n: wg.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, root(s[1])), (0.0, 1e9))[1]
        assert_allclose(wg.vmap(halved)(np.array([2.0, 0.0, 1.0])), [np.log(np.log(1e9)), 1e9, np.log(1e9)])
        assert len(seen) == 3


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass
class Data:
    a: Any
    b: Any


class Registered:
    def __init__(self, a, b):
        self.a, self.b = a, b


wg.register_pytree_node(Registered, lambda r: ((r.a, r.b), None), lambda _, parts: Registered(*parts))
by_name = lambda tree: (tree.a, tree.b)
NODES = {
    "list": (lambda a, b: [a, b], tuple),
    "dict": (lambda a, b: {"a": a, "b": b}, lambda tree: (tree["a"], tree["b"])),
    "namedtuple": (Pair, by_name),
    "dataclass": (Data, by_name),
    "registered": (Registered, by_name),
}


@pytest.mark.parametrize("name", NODES)
def test_trees_go_through_every_transform(name):
    """As arguments, results, carries and operands, with None in them."""
    make, parts = NODES[name]
    first = lambda tree: parts(tree)[0]
    x, X = np.array([0.5, -1.0, 2.0]), np.cos(np.arange(12.0)).reshape(4, 3)

    def scanned(x):
        step = lambda s, a: (make(first(s) * a, None), first(s))
        return first(wg.scan(step, make(x[0], None), x)[0])

    def chosen(x):
        return first(wg.cond(x[0] > 0, lambda s: make(first(s) * 2, None), lambda s: s, make(x, None)))

    def doubled(x):
        turn = lambda s: make(first(s) * 2, None)
        return first(wg.while_loop(lambda s: first(s)[0] < 3, turn, make(abs(x), None)))

    def ruled(x):
        f = wg.custom_jvp(lambda s: make(np.sin(first(s)), parts(s)[1] * 2))
        f.defjvp(lambda p, t: (f(*p), make(np.cos(first(p[0])) * first(t[0]), 2 * parts(t[0])[1])))
        g = wg.custom_vjp(lambda s: make(first(f(s)), parts(s)[1]))
        g.defvjp(lambda s: (g(s), s), lambda s, c: (make(np.cos(first(s)) * first(c), parts(c)[1]),))
        return np.sum(first(g(make(x, x[0]))))

    product = lambda s: np.sum(first(s) ** 2) * parts(s)[1]
    root = wg.implicit_root(
        lambda s, a: make(first(s) - a**2, parts(s)[1] - a[0]), lambda a: make(a**2, a[0])
    )
    at, along = make(x, 2.0), make(x, 1.0)
    for h in (lambda f: f, wg.compile):
        assert_allclose(
            h(wg.vmap(wg.hessian(scanned)))(X), wg.vmap(wg.hessian(lambda x: x[0] * np.prod(x)))(X)
        )
        assert_allclose(h(wg.vmap(chosen))(X), np.where(X[:, :1] > 0, 2 * X, X))
        assert_allclose(h(wg.vmap(wg.jacfwd(doubled)))(X)[0], np.diag(4 * np.sign(X[0])))
        assert_allclose(h(wg.vmap(wg.grad(ruled)))(X), np.cos(X))
        assert_allclose(first(h(wg.grad(wg.checkpoint(product)))(at)), 4 * x)
        assert_allclose(h(wg.laplacian(product))(at), 12.0)
        assert_allclose(parts(h(wg.hessian_diagonal(product))(at))[1], 0.0)
        assert_allclose(first(h(wg.hvp(product))(at, along)), 2 * 2 * x + 2 * x)
        assert_allclose(first(h(wg.gauss_newton(lambda s: first(s) * parts(s)[1]))(at, make(x, 0.0))), 4 * x)
        assert_allclose(first(h(lambda s, t: wg.jvp(lambda s: s, (s,), (t,))[1])(at, along)), x)
        assert_allclose(
            first(h(lambda s, t: wg.jet(wg.grad(product), (s,), ((t, None),))[1][0])(at, along)), 6 * x
        )
        assert_allclose(first(h(wg.jacobian(lambda x: make(x * 2, np.sum(x))))(x)), 2 * np.eye(3))
        assert_allclose(
            first(h(wg.vmap(lambda s: make(first(s) * 2, parts(s)[1])))(make(X, x[[0, 1, 2, 0]]))), 2 * X
        )
        assert_allclose(h(wg.jacobian(lambda a: first(root(a))))(x), np.diag(2 * x), atol=1e-12)
