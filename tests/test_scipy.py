"""wengert.scipy and wengert.extend: SciPy's values, derivatives to order two, HIPS autograd as an oracle."""

import itertools
import subprocess
import sys

import autograd
import autograd.numpy as anp
import autograd.scipy as ascipy
import autograd.scipy.linalg
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.signal
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
import wengert.numpy as wnp
import wengert.scipy as wscipy
from wengert.extend import defvjp, primitive

X, P = np.array([0.3, 1.2, 2.7]), np.array([0.5, 1.5, 3.0])
A = np.random.default_rng(0).normal(size=(3, 3)) * 0.4
EYE = np.eye(3)
BAND = np.random.default_rng(1).normal(size=(4, 4)) + 4 * (np.arange(4) == 2)[:, None]
WIDE = np.cos(np.arange(14.0).reshape(7, 2)) + 3.0 * (np.arange(7) == 4)[:, None]
P2 = np.array([1.0, -0.5, 2.0, 0.3])


def oscillator(y, t, p, rest):
    return np.stack([y[1] * p, rest["q"][0] * np.sin(t) - rest["q"][2] * y[0]])


SPECIAL = {
    "digamma": (X,), "psi": (X,), "gammaln": (X,), "gamma": (X,), "beta": (X, P), "betaln": (X, P),
    "erfinv": (X / 4,), "erfcinv": (X / 4,), "ndtr": (X,), "log_ndtr": (X,), "ndtri": (X / 4,),
    "logit": (X / 4,),
    "xlogy": (X, P), "xlog1py": (X, P), "entr": (X,), "rel_entr": (X, P), "j0": (X,), "j1": (X,), "y0": (X,),
    "y1": (X,), "i0": (X,), "i1": (X,), "expit": (X,), "erf": (X,), "erfc": (X,), "log_expit": (X,),
}  # fmt: skip
# name -> function of a module like scipy, arguments
CASES = {
    name: (lambda s, *args, f=name: getattr(s.special, f)(*args), args) for name, args in SPECIAL.items()
}
CASES |= {
    "gammainc": (lambda s, x: s.special.gammainc(P, x) + s.special.gammaincc(2.0, x), (X,)),
    "betainc": (lambda s, x: s.special.betainc(P, 2.0, x), (X / 4,)),
    "ive": (lambda s, x: s.special.ive(P, x) + s.special.ive(1.0, -x), (X,)),
    "rgamma": (lambda s, x: s.special.rgamma(x) + s.special.gammasgn(-x) * x, (X,)),
    "polygamma": (lambda s, x: s.special.polygamma(0, x) + s.special.polygamma(2, x), (X,)),
    "multigammaln": (lambda s, x: s.special.multigammaln(x, 3), (X[2] + 2,)),
    "jv": (lambda s, x: s.special.jv(1.5, x) + s.special.yv(2, x), (X,)),
    "iv": (lambda s, x: s.special.iv(P, x), (X,)),
    "logsumexp": (lambda s, x, b: s.special.logsumexp(x, b=b, keepdims=True), (X, P)),
    "logsumexp axis": (lambda s, x: s.special.logsumexp(x, axis=1), (A,)),
    "expm": (lambda s, a: s.linalg.expm(a), (A,)),
    "logm": (lambda s, a: s.linalg.logm(a @ a.T + EYE), (A,)),
    "sqrtm": (lambda s, a: s.linalg.sqrtm(a @ a.T + EYE), (A,)),
    "solve_triangular": (lambda s, a, b: s.linalg.solve_triangular(a + EYE, b, lower=True), (A, X)),
    "solve_triangular T": (lambda s, a, b: s.linalg.solve_triangular(a, b, "T", unit_diagonal=True), (A, A)),
    "cholesky": (lambda s, a: s.linalg.cholesky(a @ a.T + EYE), (A,)),
    "solve_banded": (lambda s, ab, b: s.linalg.solve_banded((1, 2), ab, b), (BAND, BAND.T[:, :2])),
    "solve_banded vector": (lambda s, ab, b: s.linalg.solve_banded((2, 0), ab[:3], b), (BAND, P2)),
    "solve_banded wide": (
        lambda s, ab: s.linalg.solve_banded((2, 4), ab, P[:2]), (WIDE,),
    ),
    "solve_sylvester": (
        lambda s, a, b, q: s.linalg.solve_sylvester(a + EYE, b, q), (A, A[:2, :2] + EYE[:2, :2], A[:, :2]),
    ),
    "solve": (lambda s, a, b: s.linalg.solve(a + EYE, b) * s.linalg.det(a + EYE), (A, X)),
    "odeint": (
        lambda s, y, t, p, q: s.integrate.odeint(oscillator, y, t, (p, {"q": q}), rtol=1e-11, atol=1e-11),
        (X[:2], X, P[0], P),
    ),
    "odeint of a number": (lambda s, y: s.integrate.odeint(lambda y, t: -y * y, y, [0.2], rtol=1e-9), (0.7,)),
    "convolve": (lambda s, a, b: s.signal.convolve(a, b), (A, A[:2, :2] + 1)),
    "convolve same": (lambda s, a, b: s.signal.convolve(a, b, "same"), (A, A[:2, :2] + 1)),
    "convolve valid": (lambda s, a, b: s.signal.convolve(a, b, "valid"), (A[:2, :2] + 1, A)),
    "norm": (lambda s, x, m, d: s.stats.norm.logpdf(x, m, d) + s.stats.norm.pdf(x, loc=m), (X, P[0], P)),
    "norm cdf": (lambda s, x, m, d: s.stats.norm.cdf(x, m, d) + s.stats.norm.logcdf(x, m, d), (X, P[0], P)),
    "norm sf": (lambda s, x, m, d: s.stats.norm.sf(x, m, d) + s.stats.norm.logsf(x, m, d), (X, P[0], P)),
    "t": (lambda s, x, df: s.stats.t.logpdf(x, df, loc=0.2, scale=2.0), (X, P)),
    "t cdf": (lambda s, x: s.stats.t.cdf(x - 1, P), (X,)),
    "gamma pdf": (lambda s, x, k: s.stats.gamma.logpdf(x, k), (X, P)),
    "gamma cdf": (lambda s, x: s.stats.gamma.logcdf(x, P) + s.stats.gamma.logsf(x, P), (X,)),
    "chi2": (lambda s, x, k: s.stats.chi2.logpdf(x, k), (X, P)),
    "chi2 cdf": (lambda s, x: s.stats.chi2.cdf(x, P), (X,)),
    "expon": (lambda s, x: s.stats.expon.pdf(x, 0.0, 2.0) + s.stats.expon.cdf(x - 1), (X,)),
    "beta pdf": (lambda s, x, a: s.stats.beta.logpdf(x, a, 2.0), (X / 4, P)),
    "beta cdf": (lambda s, x: s.stats.beta.cdf(x, P, 2.0), (X / 4,)),
    "poisson": (lambda s, m: s.stats.poisson.logpmf(np.arange(3), m) + s.stats.poisson.pmf(1, m), (P,)),
    "multivariate_normal": (
        lambda s, x, m, c: s.stats.multivariate_normal.logpdf(x, m, c @ c.T + EYE), (A, X, A),
    ),
    "multivariate_normal singular": (
        lambda s, x, c: s.stats.multivariate_normal.logpdf(
            np.concatenate([x, 2 * x], 1), None, np.kron([[1, 2], [2, 4]], c @ c.T + EYE), allow_singular=True
        ),
        (A, A),
    ),
    "poisson cdf": (lambda s, m: s.stats.poisson.cdf(np.array([-1.0, 0.0, 2.5]), m), (P,)),
    "entropy": (lambda s, c: s.stats.multivariate_normal.entropy(cov=c @ c.T + EYE), (A,)),
    "dirichlet": (lambda s, a: s.stats.dirichlet.logpdf(np.array([0.2, 0.3, 0.5]), a), (P,)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name):
    f, args = CASES[name]
    expected = f(scipy, *args)
    assert_allclose(f(wscipy, *args), expected, rtol=1e-10)
    assert_allclose(wg.vjp(lambda *args: f(wscipy, *args), *args)[0], expected, rtol=1e-10)
    wg.testing.check_grads(lambda *args: f(wscipy, *args), args, order=2, scale=10)
    compiled = wg.compile(lambda *args: f(wscipy, *args))
    assert_allclose(compiled(*args), expected, rtol=1e-10)
    wg.testing.check_grads(compiled, args, order=1)


HIPS = [
    "solve_banded vector", "solve_sylvester", "ive", "digamma", "gammaln", "gamma", "beta", "betaln",
    "j0", "j1", "y0", "y1", "erf", "erfc", "erfinv", "logit", "expit", "multigammaln", "logsumexp axis",
    "norm", "norm cdf", "t", "gamma pdf", "beta pdf", "multivariate_normal", "dirichlet",
]  # fmt: skip


@pytest.mark.parametrize("name", HIPS)
def test_gradients_are_hips_autograds(name):
    f, args = CASES[name]
    argnums = tuple(range(len(args)))
    if name in ("t", "norm"):  # theirs has fewer arguments by name
        f = {
            "t": lambda s, x, df: s.stats.t.logpdf(x, df),
            "norm": lambda s, x, m, d: s.stats.norm.logpdf(x, m, d) + s.stats.norm.pdf(x, m, d),
        }[name]
    theirs = autograd.grad(lambda *args: anp.sum(f(ascipy, *args)), argnums)(*args)
    ours = wg.grad(lambda *args: wnp.sum(f(wscipy, *args)), argnums)(*args)
    for mine, other in zip(ours, theirs, strict=True):
        assert_allclose(mine, other, rtol=1e-7, atol=1e-9)


def test_i0_of_numpy_needs_no_import():
    """Nothing has loaded wengert.scipy in a fresh process."""
    code = "import numpy as np, wengert as wg; assert abs(wg.grad(np.i0)(0.5) - 0.2578943) < 1e-7"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", [*SPECIAL, "i0 of numpy"])
def test_plain_ufuncs_ask_the_var(name, tape):
    f, args = (np.i0, (X,)) if name == "i0 of numpy" else (getattr(scipy.special, name), SPECIAL[name])
    assert_allclose(f(*map(tape.leaf, args)).value, f(*args), rtol=1e-12)
    wg.testing.check_grads(lambda *args: f(*args), args, order=2, scale=10)


@pytest.mark.parametrize("name", ["polygamma", "logsumexp", "softmax", "log_softmax", "multigammaln"])
def test_functions_that_are_no_ufuncs_name_their_mirror(name, tape):
    args = (2,) if name == "polygamma" else ()
    with pytest.raises(TypeError, match=rf"scipy\.special \({name}\).*use wengert\.scipy\.special"):
        getattr(scipy.special, name)(*args, tape.leaf(X), *((2,) if name == "multigammaln" else ()))


def test_convolutions_along_axes_are_hips_autograds():
    a, b = np.arange(40.0).reshape(2, 4, 5) / 7, np.cos(np.arange(24.0)).reshape(3, 2, 4)
    for options in (
        {"axes": ([2], [2]), "dot_axes": ([0], [1])},
        {"axes": ([1, 2], [0, 1]), "mode": "valid", "dot_axes": ([], [])},
    ):
        theirs = ascipy.signal.convolve(a, b, **options)
        assert_allclose(wscipy.signal.convolve(a, b, **options), theirs, rtol=1e-12)
        wg.testing.check_grads(lambda a, b, o=options: wscipy.signal.convolve(a, b, **o), (a, b), order=1)


def test_solutions_of_differential_equations_are_hips_autograds():
    from autograd.builtins import tuple as their_tuple
    from autograd.scipy.integrate import odeint

    args = X[:2], np.array([0.0, 0.4, 1.1]), 1.3, P[:2]
    f = lambda y, t, p, q: -p * y * y[::-1] + q * t
    theirs = lambda y, t, p, q: anp.sum(odeint(f, y, t, their_tuple((p, q)), rtol=1e-9, atol=1e-9) ** 2)
    ours = lambda y, t, p, q: np.sum(wscipy.integrate.odeint(f, y, t, (p, q), rtol=1e-9, atol=1e-9) ** 2)
    for mine, other in zip(
        wg.grad(ours, (0, 1, 2, 3))(*args), autograd.grad(theirs, (0, 1, 2, 3))(*args), strict=True
    ):
        assert_allclose(mine, other, rtol=1e-6, atol=1e-7)
    with pytest.raises(TypeError, match="odeint: the argument full_output="):
        wg.grad(lambda y: wscipy.integrate.odeint(f, y, X, (1.0, 2.0), full_output=True)[0])(X)


def test_what_has_no_derivative_is_named(tape):
    with pytest.raises(TypeError, match="gammainc: there is no derivative by argument 0"):
        scipy.special.gammainc(tape.leaf(P), X)
    with pytest.raises(TypeError, match="fresnel is not supported"):
        scipy.special.fresnel(tape.leaf(X))


# ---- wengert.extend -------------------------------------------------------------------------------------


@primitive
def scaled(x, factor, power=2):
    return factor * np.asarray(x) ** power


defvjp(scaled, lambda ans, x, factor, power=2: lambda g: g * factor * power * x ** (power - 1))


def test_primitives_have_the_derivatives_that_they_were_given(tape):
    assert_allclose(scaled(X, 3.0), 3 * X**2)
    assert_allclose(wg.elementwise_grad(lambda x: scaled(x, 3.0))(X), 6 * X)
    assert_allclose(wg.elementwise_grad(wg.elementwise_grad(lambda x: scaled(x, 3.0, power=3)))(X), 18 * X)
    assert_allclose(wg.compile(wg.elementwise_grad(lambda x: scaled(x, 3.0)))(X), 6 * X)
    wg.testing.check_grads(lambda x: scaled(np.sin(x), 2.0), (X,))
    with pytest.raises(TypeError, match="no derivative was defined by argument 1"):
        wg.grad(lambda v: np.sum(scaled(X, v)))(2.0)


ALL_UFUNCS = [
    name
    for name, f in vars(scipy.special).items()
    if isinstance(f, np.ufunc) and f.nin <= 3 and f.nout == 1 and "O" not in "".join(f.types)
]
POINTS = {1: [(0.3,), (0.7,)], 2: [(2.0, 0.6)], 3: [(1.7, 2.2, 0.4)]}
USES = {
    "mirror": lambda f, mirror: mirror,
    "plain": lambda f, mirror: f,
    "array": lambda f, mirror: lambda *args: mirror(*(wnp.array([x]) for x in args))[0],
    "list": lambda f, mirror: lambda *args: mirror(*([x] for x in args))[0],
}
MODES = {
    "grad": wg.grad,
    "compiled": lambda f: wg.compile(wg.grad(f)),
    "jvp": lambda f: lambda x: wg.jvp(f, (x,), (1.0,))[1],
}


def slopes(name):
    """By each argument at each point: uses of the function of it, and its slope by central differences."""
    f, mirror, h = getattr(scipy.special, name), getattr(wscipy.special, name), 1e-5
    for args in POINTS[f.nin]:
        for k, x in enumerate(args):
            along = lambda g, args=args, k=k: lambda y: g(*args[:k], y, *args[k + 1 :])
            try:
                slope = (along(f)(x + h) - along(f)(x - h)) / (2 * h)
            except TypeError:  # of integers
                continue
            if np.isfinite(slope):
                yield [along(use(f, mirror)) for use in USES.values()], x, slope


@pytest.mark.filterwarnings("ignore:non-integer arg n", "ignore:floating point number truncated")  # SciPy's
@pytest.mark.parametrize("name", ALL_UFUNCS)
def test_each_argument_of_a_special_function_has_a_derivative_or_is_named(name):
    """Central differences err by O(h^2) and eps / h, 1e-10 and 1e-11 for functions of size 1."""
    for functions, x, slope in slopes(name):
        for f, mode in itertools.product(functions, MODES.values()):
            try:
                found = mode(f)(x)
            except TypeError as error:
                found = str(error)
            named = ("no derivative by argument", "is not supported", "a plain ndarray", "not differentiable")
            if not isinstance(found, str) or not any(part in found for part in named):
                assert_allclose(found, slope, rtol=1e-5, atol=1e-5)


def test_a_primitive_is_asked_for_a_shape_once():
    calls = []

    @primitive
    def outer(x, k):
        calls.append(x.copy())
        return np.outer(x, x) * k

    defvjp(outer, lambda ans, x, k: lambda g: k * (g + g.T) @ x, None)
    f = lambda x, k: np.sum(outer(x, k) ** 2)
    for n in (1, 2):
        for x in (P, X):
            assert_allclose(wg.grad(f)(x, n), 4 * n**2 * np.sum(x * x) * x, rtol=1e-14)
    assert len(calls) == 6  # with ones for either n, and with four x
    wg.grad(f)(X[:2], 2)
    assert len(calls) == 8
    assert_array_equal(calls[6], np.ones(2))


def test_a_primitive_takes_lists_and_dicts_as_they_are_at_the_call():
    @primitive
    def scaled(x, weights, options):
        return weights[0] * options["k"] * np.sum(x**2)

    defvjp(scaled, lambda y, x, w, o: lambda g: g * 2 * w[0] * o["k"] * x, None, None)
    weights = [1.0]

    def f(x):
        first = scaled(x, weights, {"k": 2.0})
        weights[0] = 5.0
        second = scaled(x, weights, {"k": 2.0})
        weights[0] = 1.0
        return first + second

    x = np.array([1.0, 2.0])
    for g in (wg.value_and_grad(f), wg.compile(wg.value_and_grad(f))):
        value, slope = g(x)
        assert_allclose(value, 12 * np.sum(x**2))
        assert_allclose(slope, 24 * x)
    assert_allclose(wg.hessian(f)(x), 24 * np.eye(2))
    with pytest.raises(TypeError, match="scaled: argument 1 is or holds arrays or Vars"):
        wg.grad(lambda w: scaled(x * w, [w], {"k": 1.0}))(1.0)
