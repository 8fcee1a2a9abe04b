"""NumPy's functions and methods on Vars, through its protocols and through wengert.numpy."""

import pickle

import numpy as np
import pytest
import scipy.special
from helpers import same
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
import wengert.numpy as wnp

# ---- NumPy's functions ----------------------------------------------------------------------------------

B = np.linspace(0.1, 2.0, 12).reshape(3, 4)
FUNCTIONS = {
    "sum": lambda np, x: np.sum(x, axis=1),
    "sum of two axes": lambda np, x: np.sum(x, axis=(0, -1), keepdims=True),
    "mean": lambda np, x: np.mean(x, axis=0),
    "max": lambda np, x: np.max(x, axis=1, keepdims=True),
    "amin": lambda np, x: np.amin(x),
    "var": lambda np, x: np.var(x, axis=0, ddof=1),
    "std": lambda np, x: np.std(x),
    "argmax": lambda np, x: np.argmax(x, axis=1),
    "argmin": lambda np, x: np.argmin(x),
    "where": lambda np, x: np.where(x > 1, x, 0),
    "clip": lambda np, x: np.clip(x, 0.5, 1.0),
    "maximum": lambda np, x: np.maximum(x, 1.0),
    "reshape": lambda np, x: np.reshape(x, (2, -1)),
    "reshape F": lambda np, x: np.reshape(x, (2, 6), order="F"),
    "ravel": lambda np, x: np.ravel(x),
    "transpose": lambda np, x: np.transpose(x),
    "swapaxes": lambda np, x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda np, x: np.moveaxis(np.reshape(x, (3, 2, 2)), 0, -1),
    "expand_dims": lambda np, x: np.expand_dims(x, (0, -1)),
    "squeeze": lambda np, x: np.squeeze(np.reshape(x, (1, 12, 1))),
    "broadcast_to": lambda np, x: np.broadcast_to(x, (2, 3, 4)),
    "concatenate": lambda np, x: np.concatenate([x, x + 1], axis=1),
    "concatenate flat": lambda np, x: np.concatenate([x, x], axis=None),
    "stack": lambda np, x: np.stack([x, x * 2], axis=-1),
    "vstack": lambda np, x: np.vstack([x[0], x]),
    "hstack": lambda np, x: np.hstack([x[0], x[1]]),
    "split": lambda np, x: np.split(x, 2, axis=1)[1],
    "split at": lambda np, x: np.split(x, [1, 3], axis=1)[1],
    "take": lambda np, x: np.take(x, [[0, -1]], axis=1),
    "take flat": lambda np, x: np.take(x, [0, -1]),
    "flip": lambda np, x: np.flip(x, 1),
    "cumsum": lambda np, x: np.cumsum(x - 1, axis=1) + np.cumsum(x > 0.5, axis=0) + np.cumsum(x)[-1],
    "cumprod": lambda np, x: np.cumprod(x - 1, axis=0) + np.cumprod(x[:0], axis=0).shape[0],
    "cumprod flat": lambda np, x: np.cumprod(x, dtype="f4"),
    "outer": lambda np, x: np.outer(x[0], x[1]),
    "dot": lambda np, x: np.dot(x, x[0]),
    "dot of matrices": lambda np, x: np.dot(x, x.T),
    "dot of many axes": lambda np, x: np.dot(x, np.reshape(np.concatenate([x, x]), (2, 4, 3))),
    "matmul": lambda np, x: np.matmul(x, x.T),
    "matmul of vectors": lambda np, x: np.matmul(x[0], x[1]),
    "matmul of a vector": lambda np, x: np.matmul(x[:, 0], x),
    "batched matmul": lambda np, x: np.reshape(x, (3, 2, 2)) @ np.reshape(x, (3, 2, 2)),
    "batched vector": lambda np, x: np.reshape(x, (3, 2, 2)) @ x[0, :2],
    "full_like": lambda np, x: np.full_like(x, 2.0) * x,
    "zeros_like": lambda np, x: np.zeros_like(x) + np.ones_like(x) * x,
    "isnan": lambda np, x: np.isnan(x),
    "logical": lambda np, x: np.logical_and(x > 0.5, np.logical_not(np.logical_or(x > 1, x < 0))),
    "logical_xor": lambda np, x: np.bitwise_xor(np.logical_xor(x > 0.5, x > 1), x > 2),
    "isinf": lambda np, x: np.isinf(np.where(x > 1, np.inf, x)),
    "isfinite": lambda np, x: np.isfinite(np.where(x > 1, np.nan, -x)),
    "round": lambda np, x: np.round(10 * x),
    "round to decimals": lambda np, x: np.round(x, 1) + np.around(100 * x, -1),
    "logaddexp": lambda np, x: np.logaddexp(x, 3 * x),
    "remainder": lambda np, x: np.mod(x, 0.3) + np.remainder(1, x),
    "arctan2": lambda np, x: np.arctan2(x, 1) + np.hypot(x, 2),
    "power": lambda np, x: np.power(x, 3),
    "sinc": lambda np, x: np.sinc(0.3 * x),
    "bits": lambda np, x: np.bitwise_and(np.left_shift(x.astype("i4"), 3), np.invert(x.astype("i4"))),
    "conjugate": lambda np, x: np.conjugate(x) + np.positive(x),
    "atleast": lambda np, x: np.atleast_2d(x[0]) * np.atleast_1d(x[0, 0]),
    "astype": lambda np, x: x.astype("f4"),
    "copy": lambda np, x: np.copy(x),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("namespace", [np, wnp], ids=["numpy", "wengert.numpy"])
def test_functions_agree_with_numpy(tape, name, namespace):
    f = FUNCTIONS[name]
    expected = np.asarray(f(np, B))
    found = f(namespace, tape.leaf(B))
    assert isinstance(found, wg.Var)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert_allclose(found.value, expected, rtol=1e-15)
    plain = f(wnp, B)
    assert not isinstance(plain, wg.Var)
    assert_array_equal(plain, expected)
    assert_allclose(wg.compile(lambda x: f(namespace, x))(B), expected, rtol=1e-15)


JOINED = {
    "r_": (lambda np, x: np.r_[x, 1.5, x[0], 4:7, 0:1:3j], B[0]),
    "r_ of matrices": (lambda np, x: np.r_[x, x[:1] ** 2, np.ones((1, 4))], B),
    "r_ of one": (lambda np, x: np.r_[x], B),
    "c_": (lambda np, x: np.c_[x, x[:, 0] ** 2, np.ones(3)], B),
    "c_ of numbers": (lambda np, x: np.c_[x[0, 0], x[0, 1]], B),
    "c_ of vectors": (lambda np, x: np.c_[x[0], 0:4, x[1]], B),
    "c_ of a cube": (lambda np, x: np.c_[np.reshape(x, (2, 2, 3)), np.ones((2, 2, 1))], B),
}


@pytest.mark.parametrize("name", JOINED)
def test_what_is_joined_in_brackets_is_numpys(tape, name):
    f, x = JOINED[name]
    expected = f(np, x)
    for found in (f(wnp, tape.leaf(x)).value, f(wnp, x), wg.compile(lambda x: f(wnp, x))(x)):
        assert found.dtype == expected.dtype
        assert_array_equal(found, expected)
    wg.testing.check_grads(lambda x: f(wnp, x), (x,))
    with pytest.raises(TypeError, match="would drop the derivative"):
        f(np, tape.leaf(x))


def test_directives_in_brackets_are_refused():
    assert_array_equal(wnp.r_["0,2", B[0], B[1]], B[:2])
    with pytest.raises(TypeError, match="r_ with '0,2' is not supported"):
        wg.grad(lambda x: wnp.sum(wnp.r_["0,2", x, x]))(B[0])


@pytest.mark.parametrize("f", [np.logaddexp, np.logaddexp2, wnp.logaddexp])
@pytest.mark.parametrize("at", [0.0, 0.7])
def test_logaddexp_is_smooth_where_its_operands_are_equal(f, at):
    """It is no sum with a maximum there, whose second derivative would be 0."""
    for of in (lambda x: f(at, x), lambda x: f(x, at), lambda x: f(2 * x, x + at)):
        wg.testing.check_grads(of, (at,), order=3)
        wg.testing.check_grads(wg.compile(of), (at,), order=3)
    rate = np.log(2) if "2" in f.__name__ else 1
    assert_allclose(wg.jet(lambda x: f(at, x), (at,), ([1.0, 0.0, 0.0],))[1], [0.5, rate / 4, 0], atol=1e-15)


def test_the_hessian_of_a_logistic_regression_at_zero():
    hessian = wg.hessian(lambda w: np.sum(np.logaddexp(0, -B @ w)))(np.zeros(4))
    assert_allclose(hessian, B.T @ B / 4, rtol=1e-14)


@pytest.mark.parametrize("x", [-np.inf, -1.0, 0.0, 1.0, np.inf, np.nan])
@pytest.mark.parametrize("y", [-np.inf, -50.0, 0.0, 1e300, np.inf, np.nan])
def test_logaddexp_of_edges(tape, x, y):
    with np.errstate(invalid="ignore"):
        expected = np.logaddexp(x, y)
    a, b = tape.leaf(np.array(x)), tape.leaf(np.array(y))
    assert_allclose(wnp.logaddexp(a, b).value, expected, rtol=1e-15)
    slopes = wg.grad(wnp.logaddexp, (0, 1))(x, y)
    assert np.isnan(expected) or (np.isfinite(slopes).all() and abs(sum(slopes) - 1) < 1e-15)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_polygamma_is_scipy_s(tape, n):
    special = pytest.importorskip("scipy.special")
    x = np.array([-2.3, -0.7, 0.2, 1.0, 5.5, 30.0])
    assert_allclose(wnp.polygamma(n, tape.leaf(x)).value, special.polygamma(n, x), rtol=1e-13)
    slopes = wg.elementwise_grad(lambda x: wnp.polygamma(n, x))(x)
    assert_allclose(slopes, special.polygamma(n + 1, x), rtol=1e-13)
    with pytest.raises(TypeError, match="polygamma: n="):
        wnp.polygamma(1.0, x)


def test_approximate_gelu_is_close_to_gelu():
    x = np.linspace(-6, 6, 101)
    assert 1e-4 < np.abs(wnp.gelu(x, approximate=True) - wnp.gelu(x)).max() < 5e-4


METHODS = [
    "sum", "mean", "var", "std", "max", "min", "argmax", "argmin", "ravel", "flatten", "squeeze", "conj",
    "transpose", "copy",
]  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_ndarrays(tape, name):
    assert_allclose(getattr(tape.leaf(B), name)().value, getattr(B, name)(), rtol=1e-15)


def test_methods_with_arguments(tape):
    v = tape.leaf(B)
    same(v.reshape(4, 3), B.reshape(4, 3))
    same(v.reshape((2, -1)), B.reshape((2, -1)))
    same(v.transpose(1, 0), B.T)
    same(v.swapaxes(0, 1), B.T)
    same(v.clip(0.5, 1), B.clip(0.5, 1))
    same(v.take([1, 2], axis=0), B.take([1, 2], axis=0))
    assert_allclose(v.dot(B.T).value, B.dot(B.T), rtol=1e-15)
    assert_allclose(v.sum(axis=0, keepdims=True).value, B.sum(axis=0, keepdims=True), rtol=1e-15)


def test_integers_and_bools_sum_as_numpys(tape):
    for array in (np.arange(4, dtype="i4"), np.array([True, True, False])):
        same(np.sum(tape.leaf(array)), np.sum(array))
        same(np.mean(tape.leaf(array)), np.mean(array))


def test_empty_arrays(tape):
    v = tape.leaf(np.zeros((0, 3)))
    same(np.sum(v, axis=0), np.zeros(3))
    same(v @ np.zeros((3, 2)), np.zeros((0, 2)))
    same(v.T @ v, np.zeros((3, 3)))
    assert np.isnan(np.mean(v).value)
    with pytest.raises(ValueError, match="empty"):
        np.max(v)


@pytest.mark.parametrize("name", ["expit", "erf", "erfc", "log_expit", "cbrt"])
def test_scipy_ufuncs_are_mapped_by_name(tape, name):
    f = getattr(scipy.special, name)
    assert_allclose(f(tape.leaf(B)).value, f(B), rtol=4e-15)
    assert_allclose(getattr(wnp, name)(B), f(B), rtol=4e-15)


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * 0.5 * scipy.special.erfc(-x / np.sqrt(2)),
    "silu": lambda x: x * scipy.special.expit(x),
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "log_sigmoid": scipy.special.log_expit,
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "selu": lambda x: np.where(x > 0, 1.0507009873554805 * x, 1.7580993408473769 * np.expm1(x)),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "softmax": lambda x: scipy.special.softmax(x, axis=-1),
    "log_softmax": lambda x: scipy.special.log_softmax(x, axis=-1),
    "logsumexp": scipy.special.logsumexp,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_functions_beyond_numpy(tape, name):
    x = np.linspace(-3, 3, 11)
    f = getattr(wnp, name)
    assert_allclose(f(x), ACTIVATIONS[name](x), rtol=1e-14, atol=1e-16)
    assert_allclose(f(tape.leaf(x)).value, ACTIVATIONS[name](x), rtol=1e-14, atol=1e-16)
    assert f(x.astype("f4")).dtype == np.float32


def test_arrays_of_vars_are_stacked(tape):
    v = tape.leaf(2.0)
    same(wnp.array([[v, 1.0], [0.0, v]]), [[2.0, 1.0], [0.0, 2.0]])
    same(wnp.asarray(v), 2.0)
    assert wnp.asarray([1, 2]).dtype == int
    assert wnp.pi == np.pi
    assert wg.grad(lambda x: wnp.array([x, x**2])[1])(3.0) == 6.0


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda v: np.nextafter(v, 1), "nextafter"),
        (lambda v: np.multiply.at(np.ones(3), [0], v), "multiply.at"),
        (lambda v: np.add(np.ones(3), v, out=np.ones(3)), "out="),
        (lambda v: np.add(v, 1, where=np.array(True)), "where="),
        (lambda v: np.emath.sqrt(v), "scimath.sqrt"),
        (lambda v: np.polynomial.polynomial.polyval2d(v, v, np.eye(2)), "polyval2d"),
        (lambda v: wnp.sin(v, signature="d->d"), "signature="),
        (lambda v: scipy.special.fresnel(v), "fresnel"),
        (lambda v: wg.compile(lambda x: x[np.where(x > 0)])(v), "np.where"),
        (lambda v: np.shares_memory(v, v), "shares_memory is not supported"),
        (lambda v: np.fabs(v * 1j), "fabs does not take complex numbers"),
        (lambda v: np.sort(v * 1j), "argsort does not take complex128"),
    ],
)
def test_what_is_not_supported_is_named(tape, call, name):
    with pytest.raises(TypeError, match=name.replace(".", r"\.")):
        call(tape.leaf(np.ones(3)))


def test_adding_into_a_plain_array_raises(tape):
    array = np.ones(3)
    with pytest.raises(TypeError, match=r"a = a \+ v"):
        array += tape.leaf(np.ones(3))
    assert_array_equal(array, np.ones(3))


def test_each_name_computes_plain_arrays_by_its_own_function():
    single = np.arange(6.0, dtype="f4").reshape(2, 3)
    for name in ("asfortranarray", "ascontiguousarray", "asanyarray"):
        got, want = getattr(wnp, name)(single.T), getattr(np, name)(single.T)
        assert got.flags.c_contiguous == want.flags.c_contiguous, name
    assert wnp.require(single, None, ["F"]).flags.f_contiguous
    assert wnp.float_power(single, 2).dtype == np.float64
    assert wnp.float_power(2, -1) == 0.5
    for f in (wnp.float_power, wg.compile(lambda x, n: np.float_power(x, n))):
        assert f(single, single).dtype == np.float64
        assert_array_equal(f(single, single), np.float_power(single, single))
    for name in ("power", "float_power", "require", "around", "round", "pow"):
        assert pickle.loads(pickle.dumps(getattr(wnp, name))) is getattr(wnp, name)
