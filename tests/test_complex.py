"""Complex numbers: NumPy's values, HIPS autograd's derivatives, both modes, order two, eager and compiled."""

import autograd
import autograd.numpy as anp
import autograd.scipy.special
import numpy as np
import pytest
import scipy.special
from oracle import OPS

import wengert as wg
import wengert.numpy as wnp

RNG = np.random.default_rng(7)
Z = RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))
W = RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))
X = RNG.uniform(0.5, 2, (3, 4))

ERRORS = {np: scipy.special, wnp: wnp, anp: autograd.scipy.special}

# Of one complex array; real ones are taken as they are.
FUNCTIONS = {
    "add": lambda np, z: z + W + 2 - 1j,
    "sub": lambda np, z: (1 + 2j) - z - X,
    "mul": lambda np, z: z * W * (2 - 1j) * X,
    "div": lambda np, z: W / z + z / (1 + 2j) + X / z,
    "neg": lambda np, z: -z,
    "square": lambda np, z: np.square(z) + z**2,
    "reciprocal": lambda np, z: 1 / z,
    "sqrt": lambda np, z: np.sqrt(z),
    "exp": lambda np, z: np.exp(z),
    "log": lambda np, z: np.log(z),
    "sin": lambda np, z: np.sin(z),
    "cos": lambda np, z: np.cos(z),
    "tan": lambda np, z: np.tan(z),
    "sinh": lambda np, z: np.sinh(z),
    "cosh": lambda np, z: np.cosh(z),
    "tanh": lambda np, z: np.tanh(z),
    "arcsin": lambda np, z: np.arcsin(z) + np.arccos(z) * W,
    "arctan": lambda np, z: np.arctan(z) + np.arctanh(z) * np.arcsinh(z),
    "exp2": lambda np, z: np.exp2(z) + np.expm1(z) * z,
    "logarithms": lambda np, z: np.log2(z) * np.log10(z) + np.log1p(z),
    "error functions": lambda np, z: ERRORS[np].erf(z / 2) * ERRORS[np].erfc(X - z),
    "sinc": lambda np, z: np.sinc(z),
    "var": lambda np, z: np.var(z, axis=1, ddof=1) + np.std(z),
    "pow": lambda np, z: z**3 + z ** (1 - 0.5j) + z**-2,
    "power of a number": lambda np, z: (1 + 1j) ** z,
    "abs": lambda np, z: np.abs(z),
    "abs squared": lambda np, z: np.abs(z) ** 2 * z,
    "conj": lambda np, z: np.conj(z) * W,
    "real": lambda np, z: np.real(z * W),
    "imag": lambda np, z: np.imag(z * W),
    "angle": lambda np, z: np.angle(z),
    "parts": lambda np, z: np.real(z) ** 2 + 1j * np.imag(z) * np.exp(1j * np.real(z)),
    "where": lambda np, z: np.where(X > 1, np.exp(z), z * z),
    "sum": lambda np, z: np.sum(z * W, axis=0),
    "mean": lambda np, z: np.mean(np.exp(z), axis=1),
    "prod": lambda np, z: np.prod(z, axis=1),
    "matmul": lambda np, z: np.matmul(z, W.T) @ np.conj(z),
    "movement": lambda np, z: np.concatenate([z[1:], np.reshape(z, (4, 3)).T], axis=0)[:, ::-1],
    "to the reals and back": lambda np, z: np.exp(1j * np.abs(z)) * np.real(z),
}


def agree(found, expected, dtype=np.complex128):
    """Some tens of roundings of either side, of numbers up to a hundred times the result."""
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=400 * eps, atol=400 * eps)


def weights(y):
    turned = np.exp(1j * np.arange(y.size)).reshape(y.shape)
    return turned if np.iscomplexobj(y) else turned.real


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_numpy_s(name, dtype):
    function = FUNCTIONS[name]
    expected = function(np, Z)
    for f in (lambda z: function(wnp, z), lambda z: function(np, z)):
        for run in (lambda z, f=f: wg.vjp(f, z)[0], wg.compile(f)):
            y = run(Z.astype(dtype))
            assert y.dtype.kind == expected.dtype.kind
            agree(y, expected, dtype)


@pytest.mark.filterwarnings("ignore:Output seems independent of input")  # second derivatives that are zero
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_autograd_s(name):
    """Of a real number made of the outputs, and again of one made of its gradient."""
    function = FUNCTIONS[name]
    g = weights(function(np, Z))

    def number(np, z):
        return np.sum(np.real(function(np, z) * g))

    def second(np, grad, z):
        return np.sum(np.real(grad(lambda z: number(np, z))(z) * W))

    first = autograd.grad(lambda z: number(anp, z))(Z)
    again = autograd.grad(lambda z: second(anp, autograd.grad, z))(Z)
    for run in (lambda f: f, wg.compile):
        agree(run(wg.grad(lambda z: number(wnp, z)))(Z), first)
        agree(run(wg.grad(lambda z: second(wnp, wg.grad, z)))(Z), again)
    agree(wg.grad(lambda z: number(wnp, z))(Z.astype("c8")), first, "c8")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_modes_agree(name):
    """Re(g dy) = Re(dz h) where dy is the tangent and h the cotangent; and dy is the slope along dz."""
    function = FUNCTIONS[name]

    def f(z):
        return function(wnp, z)

    y, dy = wg.jvp(f, (Z,), (W,))
    g = weights(y)
    agree(np.sum(g * dy).real, np.sum(wg.vjp(f, Z)[1](g)[0] * W).real)
    agree(wg.compile(lambda z, w: wg.jvp(f, (z,), (w,))[1])(Z, W), dy)
    h = 1e-6  # an error of h^2 times the third derivative, and of eps / h
    central = (function(np, Z + h * W) - function(np, Z - h * W)) / (2 * h)
    np.testing.assert_allclose(dy, central, rtol=1e-7, atol=1e-7)


def test_a_real_function_through_the_complex_plane():
    def through(np, x):
        z = x + 1j * x**2
        return np.sum(np.real(np.exp(z) * np.conj(z)) + np.abs(z) + np.imag(z * z))

    expected = autograd.grad(lambda x: through(anp, x))(X)
    for run in (lambda f: f, wg.compile):
        found = run(wg.grad(lambda x: through(wnp, x)))(X)
        assert found.dtype == np.float64
        agree(found, expected)
    forward = wg.jacfwd(lambda x: through(wnp, x))(X)
    agree(forward, expected)


def test_a_complex_gradient_is_the_derivative():
    """Of a complex number, as HIPS autograd's: the cotangent 1."""
    for f, df in ((lambda z: z**3, lambda z: 3 * z * z), (np.sin, np.cos), (np.exp, np.exp)):
        agree(wg.grad(f)(1 + 2j), df(1 + 2j))
        agree(wg.grad(wg.grad(lambda z: np.exp(2 * z)))(0.5j), 4 * np.exp(1j))


PARTS = {
    "grad": lambda f: wg.grad(lambda x: f(x)[0]),
    "value_and_grad": lambda f: wg.value_and_grad(lambda x: f(x)[0]),
    "compile": lambda f: wg.compile(wg.grad(lambda x: f(x)[0])),
    "hvp": lambda f: lambda x: wg.hvp(lambda x: f(x)[0], x, x),
    "hessian": lambda f: wg.hessian(f),
    "elementwise_grad": lambda f: wg.elementwise_grad(f),
    "jacrev": lambda f: wg.jacrev(f),
    "tape": lambda f: lambda x: (lambda t: (lambda v: t.gradient(f(v)[0])[v])(t.var(x)))(wg.Tape()),
}


@pytest.mark.parametrize("name", PARTS)
def test_the_real_part_alone_is_no_gradient(name):
    """Of a complex number by a real one: half of it would be lost."""
    with pytest.raises(TypeError, match=r"complex.*real.*np\.real"):
        PARTS[name](lambda x: x[:2] ** 2 * (1 + 2j))(X[0])


def test_jacobians_have_both_parts():
    for jacobian in (wg.jacobian, wg.jacfwd):
        agree(jacobian(lambda x: np.sum(x) * (1 + 2j))(X), np.full(X.shape, 1 + 2j))
        agree(jacobian(lambda x: x * (1 + 2j))(X[0]), np.eye(X.shape[1]) * (1 + 2j))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ("float32", "complex64"),
        ("float64", "complex128"),
        ("int32", "complex128"),
        ("complex64", "complex64"),
    ],
)
def test_a_python_complex_is_weak(array, expected):
    x = np.ones(3, array)
    assert (x * 1j).dtype == (wg.Tape().as_var(x) * 1j).dtype == expected
    assert wg.compile(lambda x: x * 1j)(x).dtype == expected


def test_conventions_at_zero():
    zero = np.zeros(2, complex)
    for f in (np.abs, np.angle, lambda z: np.abs(z) ** 2):
        np.testing.assert_array_equal(wg.grad(lambda z, f=f: wnp.sum(f(z)))(zero), zero)
    np.testing.assert_array_equal(wg.grad(lambda z: wnp.sum(wnp.real(z**0)))(zero), zero)
    untaken = wg.grad(lambda z: wnp.sum(wnp.real(wnp.where(wnp.abs(z) > 0, wnp.log(z), z))))(zero)
    np.testing.assert_array_equal(untaken, np.ones(2))


def test_edges_are_numpy_s():
    parts = np.array([0.0, -0.0, 1.0, -1.0, 3.5, 1e200, -1e-200])
    z = (parts[:, None] + 1j * parts).ravel()
    with np.errstate(all="ignore"):
        # of squares NumPy's own loops disagree about inf - inf
        for f in (np.sqrt, np.log, np.exp, np.tanh, np.abs, lambda z: 1 / z, lambda z: z / 2j):
            found, expected = wg.vjp(f, z)[0], f(z)
            for part in (np.real, np.imag):
                np.testing.assert_allclose(part(found), part(expected), rtol=1e-14)


@pytest.mark.parametrize("name", ["maximum", "floor", "erfinv", "less", "remainder", "sign"])
def test_what_is_not_of_complex_numbers_is_refused(name):
    function = getattr(wnp, OPS[name].numpy)
    with pytest.raises(TypeError, match=f"{name}.*complex|not offered"):
        wg.vjp(lambda z: function(*[z] * OPS[name].arity), Z)


def test_casts_to_real_numbers_are_refused():
    with pytest.raises(TypeError, match="cast"):
        wg.vjp(lambda z: z.astype(float), Z)
    for dtype in ("c8", "c16"):
        assert wg.vjp(lambda x, d=dtype: x.astype(d), X)[0].dtype == dtype
    agree(wg.grad(lambda z: wnp.sum(wnp.real(z.astype("c8"))))(Z), np.ones_like(Z))
