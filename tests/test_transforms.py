"""The derivative transforms: values, nesting in every mix, pytrees, and what they refuse."""

import functools
import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg


def forward(f):
    """The derivative of a function of one number by forward mode."""
    return lambda x: wg.jvp(f, (x,), (1.0,))[1]


def pulled(f):
    """The same by vjp."""
    return lambda x: wg.vjp(f, x)[1](1.0)[0]


MODES = {"rev": wg.grad, "fwd": forward, "vjp": pulled}

# Functions of one number and their derivatives of order 1 to 4.
CLOSED_FORMS = {
    "sin": (np.sin, [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin]),
    "exp": (np.exp, [np.exp] * 4),
    "power": (
        lambda x: x**5,
        [lambda x: 5 * x**4, lambda x: 20 * x**3, lambda x: 60 * x**2, lambda x: 120 * x],
    ),
    "log": (np.log, [lambda x: 1 / x, lambda x: -(x**-2.0), lambda x: 2 * x**-3.0, lambda x: -6 * x**-4.0]),
    "product": (
        lambda x: x * np.exp(x),
        [lambda x, k=k: (x + k) * np.exp(x) for k in range(1, 5)],
    ),
}


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_every_mix_of_modes(name, order):
    f, derivatives = CLOSED_FORMS[name]
    for mix in itertools.product(MODES, repeat=order):
        g = functools.reduce(lambda g, mode: MODES[mode](g), mix, f)
        assert_allclose(g(0.7), derivatives[order - 1](0.7), rtol=1e-13, err_msg="-".join(mix))


# ---- perturbation confusion -----------------------------------------------------------------------------


@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("inner", MODES)
def test_no_perturbation_confusion(outer, inner):
    outer, inner = MODES[outer], MODES[inner]
    # d/dx (x d/dy (x + y)) = 1: the inner derivative must not see the outer perturbation
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0
    assert outer(lambda x: x * inner(lambda y: x * y)(2.0))(3.0) == 6.0
    assert outer(lambda x: inner(lambda y: x * y * y)(x))(3.0) == 12.0
    # the same point passed as the inner argument
    assert outer(lambda x: inner(lambda y: y * wg.stop_gradient(x))(x))(3.0) == 0.0


@pytest.mark.parametrize("modes", list(itertools.product(MODES, repeat=3)), ids="-".join)
def test_three_levels_keep_apart(modes):
    a, b, c = (MODES[m] for m in modes)
    found = a(lambda x: b(lambda y: c(lambda z: x**2 * y**3 * z**4)(x * y))(x))(0.5)
    # c: 4 x^2 y^3 (x y)^3 = 4 x^5 y^6;  b: 24 x^5 y^5 at y = x: 24 x^10;  a: 240 x^9
    assert_allclose(found, 240 * 0.5**9, rtol=1e-14)


def test_an_inner_derivative_by_an_unrelated_point():
    assert wg.grad(lambda x: wg.grad(lambda y: y**2)(3.0) * x)(1.0) == 6.0
    assert wg.jvp(lambda x: wg.grad(lambda y: x)(3.0), (1.0,), (1.0,)) == (0.0, 0.0)


# ---- values, structures, dtypes -------------------------------------------------------------------------


def test_pytrees_in_and_out():
    params = {"w": np.ones((3, 2)), "b": [np.zeros(2), 0.5], "none": None}
    x = np.arange(3.0)

    def loss(params, x):
        return np.sum((x @ params["w"] + params["b"][0]) * params["b"][1])

    value, gradient = wg.value_and_grad(loss)(params, x)
    assert value == 3.0
    assert list(gradient) == list(params)
    assert gradient["none"] is None
    assert_array_equal(gradient["w"], np.outer(x, [0.5, 0.5]))
    assert_array_equal(gradient["b"][0], [0.5, 0.5])
    assert gradient["b"][1] == 6.0
    assert type(gradient["b"][1]) is np.float64


def test_argnums_and_keywords():
    def f(x, y, *, scale=1.0):
        return x * y**2 * scale

    assert wg.grad(f)(2.0, 3.0) == 9.0
    assert wg.grad(f, 1)(2.0, 3.0, scale=10.0) == 120.0
    assert wg.grad(f, argnums=(1, 0))(2.0, 3.0) == (12.0, 9.0)
    assert wg.grad(f, argnums=-1)(2.0, 3.0) == 12.0
    assert wg.hessian(f, argnums=(0, 1))(2.0, 3.0) == ((0.0, 6.0), (6.0, 4.0))


def test_has_aux():
    def f(x):
        return x**2, {"cube": x**3, "name": "f"}

    assert wg.grad(f, has_aux=True)(2.0) == (4.0, {"cube": 8.0, "name": "f"})
    assert wg.value_and_grad(f, has_aux=True)(2.0) == ((4.0, {"cube": 8.0, "name": "f"}), 4.0)
    y, pullback, aux = wg.vjp(f, 2.0, has_aux=True)
    assert (y, pullback(1.0), aux["cube"]) == (4.0, (4.0,), 8.0)
    assert wg.jvp(f, (2.0,), (1.0,), has_aux=True)[2]["cube"] == 8.0
    with pytest.raises(TypeError, match="pair"):
        wg.grad(lambda x: x, has_aux=True)(1.0)


def test_results_are_fresh_ndarrays():
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    x.flags.writeable = False
    g = wg.grad(lambda x: np.sum(x))(x)
    assert type(g) is np.ndarray
    assert g.flags.c_contiguous
    assert g.flags.writeable
    assert g.flags.owndata
    h = wg.grad(lambda x: np.sum(x))(x)
    g[:] = 7
    assert_array_equal(h, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("x", "expected"),
    [(2.0, "f8"), (2, "f8"), (np.float32(2), "f4"), (np.ones(3, "f4"), "f4"), (np.array(2.0), "f8")],
)
def test_dtypes_follow_the_argument(x, expected):
    value, gradient = wg.value_and_grad(lambda x: np.sum(x * 2.0))(x)
    assert gradient.dtype == value.dtype == np.dtype(expected)
    assert np.shape(gradient) == np.shape(x)
    assert isinstance(gradient, np.ndarray if np.ndim(x) else np.generic)


def test_a_float32_input_of_a_float64_function_has_a_float32_gradient():
    assert wg.grad(lambda x: np.sum(x * np.ones(3)))(np.ones(3, "f4")).dtype == np.float32


def test_independent_arguments_and_constant_functions_give_zeros():
    g = wg.grad(lambda x, y: np.sum(y), argnums=(0, 1))(np.ones((2, 3), "f4"), np.ones(2))
    assert_array_equal(g[0], np.zeros((2, 3), "f4"))
    assert g[0].dtype == np.float32
    assert wg.value_and_grad(lambda x: 3)(1.0) == (3.0, 0.0)
    assert wg.grad(wg.grad(lambda x: 3.0))(1.0) == 0.0
    assert wg.jvp(lambda x: np.ones(2), (1.0,), (1.0,))[1].tolist() == [0.0, 0.0]


def test_an_output_of_size_one_counts_as_a_number():
    value, gradient = wg.value_and_grad(lambda x: (x**2).reshape(1, 1))(3.0)
    assert value.shape == (1, 1)
    assert gradient == 6.0


def test_vjp():
    def f(x, y):
        return {"product": x * y, "sum": np.sum(x)}

    x, y = np.arange(3.0), np.ones(3)
    value, pullback = wg.vjp(f, x, y)
    assert_array_equal(value["product"], x)
    for scale in (1.0, 2.0):
        gx, gy = pullback({"product": np.full(3, scale), "sum": 1.0})
        assert_array_equal(gx, scale * y + 1)
        assert_array_equal(gy, scale * x)
    with pytest.raises(ValueError, match="structure"):
        pullback((np.ones(3), 1.0))
    with pytest.raises(ValueError, match=r"the cotangent\['product'\] has shape \(2,\), expected \(3,\)"):
        pullback({"product": np.ones(2), "sum": 1.0})


def test_a_pullback_outlives_other_transforms():
    _, pullback = wg.vjp(np.sin, 0.5)
    wg.grad(np.exp)(1.0)
    assert pullback(2.0) == (2 * np.cos(0.5),)


def test_a_pullback_of_an_ended_transform_says_so():
    kept = []

    def f(x):
        y, pullback = wg.vjp(np.sin, x)
        kept.append(pullback)
        return y

    wg.grad(f)(1.0)
    with pytest.raises(RuntimeError, match="has ended"):
        kept[0](1.0)


def test_integer_outputs_take_no_part():
    y, pullback = wg.vjp(lambda x: (x * 2, np.argmax(x)), np.array([1.0, 3.0]))
    assert y[1] == 1
    assert_array_equal(pullback((np.ones(2), 0.0))[0], [2.0, 2.0])


def test_jvp():
    f, x, v = (lambda x, y: x @ y), np.arange(6.0).reshape(2, 3), np.ones(3)
    y, dy = wg.jvp(f, (x, v), (np.ones((2, 3)), np.zeros(3)))
    assert_array_equal(y, x @ v)
    assert_array_equal(dy, [3.0, 3.0])
    with pytest.raises(TypeError, match="primals must be a tuple"):
        wg.jvp(np.sin, 1.0, (1.0,))
    with pytest.raises(ValueError, match="structure"):
        wg.jvp(np.sin, (1.0,), (1.0, 2.0))
    with pytest.raises(ValueError, match=r"tangents\[0\] has shape \(2,\), expected \(\)"):
        wg.jvp(np.sin, (1.0,), (np.ones(2),))


# ---- Jacobians, Hessians and their kin ------------------------------------------------------------------


@pytest.mark.parametrize("jacobian", [wg.jacobian, wg.jacfwd, wg.jacrev])
def test_jacobians(jacobian, rng):
    A, x = rng.standard_normal((3, 2)), rng.standard_normal(2)
    assert_allclose(jacobian(lambda x: A @ x)(x), A, rtol=1e-15)
    assert jacobian(lambda x: A.astype("f4") @ x)(x.astype("f4")).dtype == np.float32
    outer = jacobian(np.outer, argnums=(0, 1))(x, np.arange(3.0))
    assert [block.shape for block in outer] == [(2, 3, 2), (2, 3, 3)]
    assert_allclose(outer[1], np.einsum("i,jk->ijk", x, np.eye(3)))
    assert jacobian(np.sin)(0.0) == 1.0
    assert type(jacobian(np.sin)(0.0)) is np.float64
    assert jacobian(lambda x: x * 2)(np.zeros((0, 2))).shape == (0, 2, 0, 2)
    tree = jacobian(lambda p: {"y": p["a"] * p["b"]})({"a": 2.0, "b": np.ones(2)})
    assert_array_equal(tree["y"]["a"], np.ones(2))
    assert_array_equal(tree["y"]["b"], 2 * np.eye(2))


def test_hessians(rng):
    A = rng.standard_normal((3, 3))
    x = rng.standard_normal(3)
    expected = A + A.T
    assert_allclose(wg.hessian(lambda x: x @ A @ x)(x), expected, rtol=1e-14)
    assert_allclose(wg.jacrev(wg.jacfwd(lambda x: x @ A @ x))(x), expected, rtol=1e-14)
    assert_allclose(wg.jacfwd(wg.grad(lambda x: x @ A @ x))(x), expected, rtol=1e-14)
    assert_allclose(wg.compile(wg.hessian(lambda x: x @ A @ x))(x), expected, rtol=1e-14)
    v = rng.standard_normal(3)
    assert_allclose(wg.hvp(lambda x: x @ A @ x, x, v), expected @ v, rtol=1e-14)
    product = wg.hvp(lambda x, s: s * (x @ A @ x))
    assert_allclose(product(x, v, 2.0), 2 * expected @ v, rtol=1e-14)
    for last in (1, -1):
        second = wg.hvp(lambda s, x: s * (x @ A @ x), argnums=last)
        assert_allclose(second(x, v, 2.0), 2 * expected @ v, rtol=1e-14)
    f = lambda a, b, c: np.sum(a * b**2 * c**3)
    found = wg.hvp(f, argnums=(-1, 0))((x, v), (v, x), 2.0)
    assert_allclose(found[0], 4 * (6 * v * x * v + 3 * x**2 * x), rtol=1e-13)
    assert_allclose(found[1], 4 * 3 * x**2 * v, rtol=1e-13)
    with pytest.raises(ValueError, match=r"hvp: v\['a'\] has shape \(2,\), expected \(3,\)"):
        wg.hvp(lambda p: np.sum(p["a"]))({"a": x}, {"a": x[:2]})
    with pytest.raises(ValueError, match=r"hvp: x must be a tuple .* argnums=\(0, 1\)"):
        wg.hvp(f, argnums=(0, 1))(x, v, 2.0)


def test_the_hessian_of_a_vector_function():
    H = wg.hessian(lambda x: np.stack([x[0] ** 2 * x[1], x[1] ** 3]))(np.array([1.0, 2.0]))
    assert_allclose(H, [[[4.0, 2.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 12.0]]])


def test_elementwise_grad():
    x = np.linspace(-1, 1, 5)
    assert_allclose(wg.elementwise_grad(np.tanh)(x), 1 - np.tanh(x) ** 2, rtol=1e-14)
    second = wg.elementwise_grad(wg.elementwise_grad(np.sin))
    assert_allclose(second(x), -np.sin(x), rtol=1e-15)
    assert wg.elementwise_grad(lambda x, y: x * y, argnums=1)(2.0, 3.0) == 2.0


def test_stop_gradient():
    assert wg.grad(lambda x: x * wg.stop_gradient(x**2))(3.0) == 9.0
    assert wg.jvp(lambda x: wg.stop_gradient({"a": x})["a"], (3.0,), (1.0,)) == (3.0, 0.0)
    assert_array_equal(wg.stop_gradient(np.ones(2)), np.ones(2))


# ---- decorators -----------------------------------------------------------------------------------------

# Each with what it makes of x^2 y at (2, 3), by x and by y.
DECORATORS = {
    wg.grad: (12.0, 4.0),
    wg.value_and_grad: ((12.0, 12.0), (12.0, 4.0)),
    wg.elementwise_grad: (12.0, 4.0),
    wg.jacobian: (12.0, 4.0),
    wg.jacfwd: (12.0, 4.0),
    wg.jacrev: (12.0, 4.0),
    wg.hessian: (6.0, 0.0),
}


@pytest.mark.parametrize("transform", DECORATORS, ids=lambda t: t.__name__)
def test_they_decorate(transform):
    @transform
    def f(x, y):
        """A product."""
        return x * x * y

    @transform(argnums=1)
    def g(x, y):
        return x * x * y

    assert f.__name__ == "f"
    assert f.__doc__ == "A product."
    assert f.__wrapped__(2.0, 3.0) == 12.0
    assert (f(2.0, 3.0), g(2.0, 3.0)) == DECORATORS[transform]
    with pytest.raises(TypeError, match="f must be a function, got int"):
        transform(3)


# ---- mistakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: wg.grad(np.sin)(np.ones(3)),
            ValueError,
            r"shape \(3,\).*wg\.jacobian.*elementwise_grad.*vmap",
        ),
        (lambda: wg.grad(np.sum)(np.arange(3)), TypeError, r"argument 0 has dtype int64.*astype\(float\)"),
        (
            lambda: wg.grad(np.sum)({"a": [np.arange(3)]}),
            TypeError,
            r"argument 0\['a'\]\[0\] has dtype int64",
        ),
        (
            lambda: wg.elementwise_grad(lambda x: None)(1.0),
            TypeError,
            "the function returned None, expected an",
        ),
        (lambda: wg.hvp(np.ones(2)), TypeError, "hvp: f must be a function, got ndarray"),
        (lambda: wg.grad(lambda x, y: x, 1)(1.0, True), TypeError, "argument 1 is a bool|dtype bool"),
        (lambda: wg.grad(np.sum)(np.ones(2, "f2")), TypeError, "float16"),
        (lambda: wg.grad(lambda s: 1.0)("text"), TypeError, "argument 0 is a str"),
        (lambda: wg.grad(lambda x: x > 0)(1.0), TypeError, "output has dtype bool"),
        (lambda: wg.grad(lambda x: np.argmax(x))(np.ones(2)), TypeError, "output has dtype int64"),
        (lambda: wg.grad(lambda x: (x, x))(1.0), TypeError, "returned a tuple"),
        (lambda: wg.grad(np.sin, argnums=1)(1.0), TypeError, "argnums=1 names argument 1.*1 positional"),
        (lambda: wg.grad(lambda x: x)(x=1.0), TypeError, "0 positional"),
        (lambda: wg.grad(lambda x, y: x * y, (0, -2))(1.0, 2.0), ValueError, "names an argument twice"),
        (lambda: wg.grad(lambda x: float(x))(1.0), TypeError, r"float\(v\)"),
        (lambda: wg.grad(lambda x: math.sin(x))(1.0), TypeError, r"np\.sin"),
        (lambda: wg.jacobian(lambda x: x > 0)(1.0), TypeError, "dtype bool"),
    ],
)
def test_mistakes_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_an_error_inside_leaves_nothing_behind():
    def broken(x):
        x * 2
        raise ZeroDivisionError

    for transform in (wg.grad(broken), lambda x: wg.vjp(broken, x), lambda x: wg.jvp(broken, (x,), (x,))):
        with pytest.raises(ZeroDivisionError):
            transform(1.0)
        with pytest.raises(ZeroDivisionError):
            wg.grad(transform)(1.0)
    assert wg.grad(np.sin)(0.0) == 1.0
    from wengert import _core

    assert _core.current() is None


def test_python_control_flow_works():
    def f(x):
        y = x
        while y < 100:
            y = y * y if y > 2 else y + 1
        return y

    assert wg.grad(f)(3.0) == 8 * 3.0**7
    assert wg.grad(f)(1.5) == 8 * 2.5**7


def test_transforms_of_callable_objects():
    class Scaled:
        def __init__(self, scale):
            self.scale = scale

        def __call__(self, x):
            return self.scale * x**2

    assert wg.grad(Scaled(3.0))(2.0) == 12.0
    assert wg.grad(functools.partial(np.multiply, 3.0))(2.0) == 3.0


# ---- check_grads ----------------------------------------------------------------------------------------


def test_check_grads_accepts_what_is_right(rng):
    def f(x, p):
        return {"y": np.tanh(x @ p["w"]), "s": np.sum(p["b"])}

    p = {"w": rng.standard_normal((3, 2)), "b": rng.standard_normal(2)}
    wg.testing.check_grads(f, (rng.standard_normal((2, 3)), p), order=3)
    wg.testing.check_grads(np.sin, (np.float32(0.5),), order=2)


def wrong(x):
    return x * wg.stop_gradient(x)


def wrong_in_second_order(x):
    y = wg.stop_gradient(x)
    return x * 3 * y**2 - 2 * y**3


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_check_grads_finds_what_is_wrong(mode):
    with pytest.raises(AssertionError, match=f"check_grads: {mode} of wrong"):
        wg.testing.check_grads(wrong, (np.array([1.0, 2.0]),), order=1, modes=(mode,))
    with pytest.raises(AssertionError, match=f"{mode}-{mode} of"):
        wg.testing.check_grads(wrong_in_second_order, (2.0,), order=2, modes=(mode,))
    with pytest.raises(ValueError, match="mode 'back'"):
        wg.testing.check_grads(np.sin, (1.0,), modes=("back",))


def test_an_array_may_be_rewritten_after_it_was_recorded():
    """Of any size: an eager tape keeps what it read."""
    for n in (4, 400_000):
        b, x = np.ones(n), np.full(n, 3.0)

        def f(scale, b=b):
            y = np.sum(scale * b)
            b[:] = 7.0
            return y

        assert wg.grad(f)(2.0) == n
        _, pullback = wg.vjp(lambda v: v * v, x)
        x[:] = 100.0
        assert pullback(np.ones(n))[0][0] == 6.0


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_classes_with_arithmetic_of_their_own_are_refused():
    for x in (np.ma.array(np.ones(3), mask=[1, 0, 0]), np.asmatrix(np.ones((2, 2)))):
        with pytest.raises(TypeError, match="cannot be recorded"):
            wg.value_and_grad(np.sum)(x)


def test_argnums_must_be_integers():
    for argnums in ("a", 1.0, ("a",)):
        with pytest.raises(TypeError, match="expected an int or a tuple of ints"):
            wg.grad(np.sin, argnums=argnums)(1.0)


def test_an_integer_beyond_64_bits_is_a_float():
    assert wg.grad(lambda x: np.sum(x * 2**70))(np.ones(2)).tolist() == [2.0**70] * 2


@pytest.mark.parametrize(("f", "x"), [(np.fft.fft, np.arange(4.0)), (np.abs, np.array([1j, 2.0]))])
def test_check_grads_refuses_complex_numbers_by_name(f, x):
    with pytest.raises(TypeError, match=r"check_grads: complex numbers; check np\.real"):
        wg.testing.check_grads(f, (x,))


def test_check_grads_takes_a_tuple_of_arguments():
    with pytest.raises(
        TypeError, match=r"args is a ndarray; expected a tuple of the arguments, such as \(x,\)"
    ):
        wg.testing.check_grads(np.tanh, np.ones(2))
    wg.testing.check_grads(np.tanh, [np.ones(2)])


@pytest.mark.parametrize("most", [1, 24, 1 << 20])
def test_jacobians_in_chunks_of_unit_vectors(monkeypatch, most):
    """Any number of unit vectors at a time gives the same, also of a function that looks at values."""
    monkeypatch.setattr("wengert.transforms.jacobians.MOST", most)
    w = np.arange(12.0).reshape(3, 4) / 7

    def f(x):
        y = np.tanh(w @ x)
        return (y if y[0] > 0 else -y) * np.sum(x)

    x = np.array([0.3, -0.1, 0.2, 0.4])
    y = np.tanh(w @ x)
    expected = (1 - y**2)[:, None] * w * x.sum() + y[:, None]
    for transform in (wg.jacobian, wg.jacfwd, wg.jacrev):
        # two roundings each in a handful of operations
        assert_allclose(transform(f)(x), expected, rtol=1e-13)
    second = wg.hessian(lambda x: np.sum(f(x) ** 2))(x)
    assert_allclose(second, wg.jacrev(wg.jacrev(lambda x: np.sum(f(x) ** 2)))(x), rtol=1e-12, atol=1e-14)
