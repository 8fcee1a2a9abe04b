"""Matrices of at most 8 x 8, which the core decomposes itself, and what it leaves to NumPy.

Bounds are those of Higham, "Accuracy and stability of numerical algorithms" (2002).
"""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
import wengert.numpy as wnp
from wengert import hosted
from wengert.hosted import decompositions, solutions

SIZES = range(1, 9)
STACKS = ((), (1,), (7,), (3, 5))
DTYPES = (np.float32, np.float64)


def gamma(n):
    """What n roundings to double add up to, of the quantity that they are roundings of."""
    return n * 2.0**-53 / (1 - n * 2.0**-53)


def rounding(dtype):
    return np.finfo(dtype).eps / 2  # of the results, once


def drawn(n, stack, dtype, seed=0):
    """Some of them close to singular, and rows of all sizes."""
    rng = np.random.default_rng((seed, n, *stack))
    a = rng.normal(size=(*stack, n, n)) * 10.0 ** rng.integers(-2, 3, (*stack, n, 1))
    a[..., -1, :] = a[..., 0, :] * 0.5 + a[..., -1, :] * 10.0 ** -rng.integers(0, 3, (*stack, 1))
    return a.astype(dtype)


def each(*stacks):
    """The matrices of stacks, side by side, as longdouble."""
    return zip(*(x.reshape(-1, *x.shape[-2:]).astype(np.longdouble) for x in stacks), strict=True)


def product_of_factors(a):
    """|L| |U| of the elimination, in the order of the rows of a."""
    p, low, up = scipy.linalg.lu(np.asarray(a, float))
    return p @ abs(low) @ abs(up)


@pytest.fixture
def by_numpy():
    """The functions that are called in Python."""
    called, kept = [], hosted._CALLED

    class Counted(dict):
        def __getitem__(self, place):
            called.append(super().__getitem__(place))
            return called[-1]

    hosted._CALLED = Counted(kept)
    yield called
    kept.update(hosted._CALLED)  # a program may outlive the test
    hosted._CALLED = kept


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("n", SIZES)
def test_solutions_satisfy_a_system_close_by(n, stack, dtype, by_numpy):
    a, b = drawn(n, stack, dtype), drawn(n, stack, dtype, 1)[..., :5]
    solved = wg.compile(np.linalg.solve)
    inverse = wg.compile(np.linalg.inv)(a)
    turned = np.ascontiguousarray(wnp.swapaxes(a, -1, -2))
    x = solved(a, b)
    assert not by_numpy
    assert_array_equal(wg.compile(lambda t, b: np.linalg.solve(np.swapaxes(t, -1, -2), b))(turned, b), x)
    assert_array_equal(wg.vjp(np.linalg.solve, a, b)[0], x)
    for result, right in ((x, b), (inverse, np.broadcast_to(np.eye(n, dtype=dtype), a.shape))):
        for a1, x1, b1 in each(a, result, right):
            slack = gamma(3 * n) * product_of_factors(a1) + rounding(dtype) * abs(a1)  # theorem 9.4
            assert np.all(abs(b1 - a1 @ x1) <= slack @ abs(x1) * 1.0001)


@pytest.mark.parametrize("n", SIZES)
def test_triangular_systems(n, by_numpy):
    a, b = drawn(n, (9,), float), drawn(n, (9,), float, 1)[..., :3]
    for solver, half in ((solutions.LOWER, np.tril), (solutions.UPPER, np.triu)):
        t = half(a)
        x = wg.compile(lambda a, b, solver=solver: solutions.solve_(a, b, solver))(t, b)
        for t1, x1, b1 in each(t, x, b):  # theorem 8.5, with a quotient for each factor
            assert np.all(abs(b1 - t1 @ x1) <= gamma(n + 2) * abs(t1) @ abs(x1))
    assert not by_numpy


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("n", SIZES)
def test_cholesky(n, stack, dtype, by_numpy):
    half = drawn(n, stack, dtype).astype(float)
    a = (half @ np.swapaxes(half, -1, -2) + np.eye(n)).astype(dtype)
    seen = np.tril(a) + np.triu(np.full_like(a, np.nan), 1)  # the lower triangle is read alone, as NumPy does
    factor = wg.compile(np.linalg.cholesky)(seen)
    assert_array_equal(factor, np.tril(factor))
    assert not by_numpy
    for a1, f1 in each(a, factor):  # theorem 10.3; a factor is a quotient by a root, and rounded to the dtype
        slack = (gamma(n + 6) + 2.0001 * rounding(dtype)) * abs(f1) @ abs(f1.T)
        assert np.all(abs(np.tril(a1 - f1 @ f1.T)) <= slack)


def exactly(a):
    """The determinant, as a fraction."""
    rows, result = [[Fraction(float(x)) for x in row] for row in a], Fraction(1)
    for c in range(len(rows)):
        best = max(range(c, len(rows)), key=lambda r: abs(rows[r][c]))
        if best != c:
            rows[c], rows[best], result = rows[best], rows[c], -result
        result *= rows[c][c]
        for r in range(c + 1, len(rows)):
            factor = rows[r][c] / rows[c][c]
            rows[r] = [x - factor * y for x, y in zip(rows[r], rows[c], strict=True)]
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("n", SIZES)
def test_determinants(n, stack, dtype, by_numpy):
    a = drawn(n, stack, dtype)
    sign, log = wg.compile(np.linalg.slogdet)(a)
    det = wg.compile(np.linalg.det)(a)
    assert not by_numpy
    for a1, d1, s1, l1 in zip(a.reshape(-1, n, n), np.ravel(det), np.ravel(sign), np.ravel(log), strict=True):
        exact = exactly(a1)
        change = np.trace(abs(np.linalg.inv(a1.astype(float))) @ product_of_factors(a1))  # of the logarithm
        slack = 1.01 * gamma(n) * (change + 1)  # theorem 9.3, and the product of n
        assert abs(Fraction(float(d1)) / exact - 1) <= slack + rounding(dtype)
        assert s1 == np.sign(exact)
        size = np.log(abs(float(exact)))
        assert abs(l1 - size) <= slack + 2 * rounding(float) + rounding(dtype) * abs(size) * 1.0001


@pytest.mark.filterwarnings("ignore:(invalid|divide by zero|overflow).*:RuntimeWarning")
def test_numpy_has_what_the_core_has_not(by_numpy):
    """Without a pivot, out of range, of other dtypes, larger: its values, and its messages."""
    flat = np.ones((3, 3))
    others = np.eye(9), 1j * np.eye(3)
    stack = np.stack([np.eye(3)] * 9 + [flat])
    for f in (np.linalg.inv, lambda a: np.linalg.solve(a, a)):
        for a in (flat, stack, 0 * flat):
            with pytest.raises(np.linalg.LinAlgError, match="Singular"):
                wg.compile(f)(a)
    for a in (-np.eye(2), flat - 2, np.diag([1.0, 0.0])):
        with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
            wg.compile(np.linalg.cholesky)(a)
    wide = np.diag([1e200, 1e200, 1e-200, -1e-200])
    for a in (
        flat,
        stack,
        wide,
        wide[::-1],
        flat * np.nan,
        flat * np.inf,
        np.eye(9),
        1j * np.eye(3),
        np.zeros((0, 0)),
    ):
        assert_array_equal(wg.compile(np.linalg.det)(a), np.linalg.det(a))
        assert_array_equal(wg.compile(np.linalg.slogdet)(a), np.linalg.slogdet(a))
    for a in (flat * np.nan, np.diag([1.0, np.inf]), *others, np.zeros((0, 3, 3))):
        assert_array_equal(wg.compile(np.linalg.inv)(a), np.linalg.inv(a))
    assert_array_equal(wg.compile(np.linalg.cholesky)(flat * np.nan), np.linalg.cholesky(flat * np.nan))
    wide_right = np.arange(27.0).reshape(3, 9)
    assert_array_equal(wg.compile(np.linalg.solve)(np.eye(3), wide_right), wide_right)


def test_a_filter_of_small_matrices_calls_no_python():
    def step(p, z):
        s = p + z * np.eye(2)
        gain = np.linalg.solve(s, p)
        return p @ (np.eye(2) - gain) + 0.1 * np.eye(2), np.linalg.slogdet(s)[1] + np.trace(np.linalg.inv(s))

    f = wg.compile(wg.value_and_grad(lambda z: np.sum(wg.scan(step, np.eye(2), z)[1])))
    z = np.linspace(1.0, 2.0, 7)
    value, slope = f(z)
    kept, hosted._CALLED = hosted._CALLED, {}
    try:
        assert_array_equal(f(z)[1], slope)
    finally:
        hosted._CALLED = kept
    h = 1e-6
    for k in range(7):
        d = h * (np.arange(7) == k)
        assert_allclose((f(z + d)[0] - f(z - d)[0]) / (2 * h), slope[k], rtol=1e-7, atol=1e-8)
    assert np.isfinite(value)


@pytest.mark.parametrize("f", [lambda a: np.linalg.slogdet(a)[1], np.linalg.det, np.linalg.inv])
@pytest.mark.parametrize("n", [3, 9])
def test_batches(f, n):
    a = drawn(n, (4,), float)
    assert_array_equal(wg.vmap(f)(a), [wg.compile(f)(x) for x in a])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("n", SIZES)
def test_derivatives_of_cholesky(n, stack, dtype, by_numpy):
    """What each element is solved for, a sum of at most 2 n products, is met to 2 n + 3 roundings of it."""
    half = drawn(n, stack, dtype).astype(float)
    factor = np.linalg.cholesky(half @ np.swapaxes(half, -1, -2) + np.eye(n)).astype(dtype)
    e, g = (np.random.default_rng(n).normal(size=(2, *stack, n, n))).astype(dtype)
    unread = np.tril(g) + np.triu(np.full_like(g, np.nan), 1)
    through = wg.compile(decompositions.through_cholesky, static_argnums=2)
    x, w = through(factor, e, decompositions.push), through(factor, unread, decompositions.pull)
    assert not by_numpy
    assert_array_equal(x, np.tril(x))
    assert_array_equal(w, np.swapaxes(w, -1, -2))
    slack = gamma(2 * n + 3) + 2.0001 * rounding(dtype)
    for f1, e1, g1, x1, w1 in each(factor, e, g, x, w):
        change, size = x1 @ f1.T, abs(x1) @ abs(f1.T)
        assert np.all(abs(change + change.T - (e1 + e1.T) / 2) <= slack * (size + size.T + abs(e1 + e1.T)))
        assert np.all(abs(np.tril(2 * w1 @ f1 - g1)) <= slack * (2 * abs(w1) @ abs(f1) + abs(g1)))


@pytest.mark.parametrize("n", [3, 9])
def test_batches_of_derivatives_of_cholesky(n):
    """Of which the other operand is the same for all, too."""
    factor, e = np.linalg.cholesky(2 * np.eye(n) + 1 / 2), drawn(n, (4,), float)
    for function in (decompositions.push, decompositions.pull):
        f = partial(decompositions.through_cholesky, function=function)
        assert_array_equal(wg.vmap(f, in_axes=(None, 0))(factor, e), [wg.compile(f)(factor, x) for x in e])
        factors = factor * np.arange(1.0, 5.0)[:, None, None]
        assert_array_equal(
            wg.vmap(f, in_axes=(0, None))(factors, e[0]), [wg.compile(f)(x, e[0]) for x in factors]
        )
