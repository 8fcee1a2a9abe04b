"""What several transforms share: has_aux, argnums and trees; one applied to what another returns."""

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
