"""Coming from HIPS autograd: every function that it differentiates is here under its name, and so is what
makes primitives of one's own."""

import functools
import importlib
import warnings

import autograd
import autograd.numpy as anp
import autograd.scipy
import numpy as np
import pytest
import test_array_functions
import test_every_function
import test_fft
import test_linalg
import test_scipy
from autograd.core import primitive_jvps, primitive_vjps
from numpy.testing import assert_allclose
from test_numpy import FUNCTIONS, B
from test_numpy_coverage import CASES

import wengert as wg
import wengert.numpy as wnp
import wengert.scipy

# ---- names ----------------------------------------------------------------------------------------------

DISTRIBUTIONS = ["norm", "t", "gamma", "chi2", "beta", "poisson", "multivariate_normal", "dirichlet"]
MODULES = [
    "numpy", "numpy.linalg", "numpy.fft", "scipy.special", "scipy.linalg", "scipy.signal", "scipy.integrate",
    *(f"scipy.stats.{name}" for name in DISTRIBUTIONS),
]  # fmt: skip
HELPERS = {
    "numpy": {"array_from_args", "concatenate_args"},
    "numpy.fft": {"truncate_pad"},
    "scipy.stats.t": {"psi"},
    "scipy.stats.gamma": {"gamma", "psi"},
    "scipy.stats.chi2": {"gamma"},
    "scipy.stats.beta": {"beta", "psi"},
    "scipy.stats.dirichlet": {"digamma"},
}  # what its modules import for themselves


def ours(module):
    if module.startswith("scipy.stats."):
        return getattr(importlib.import_module("wengert.scipy.stats"), module.rpartition(".")[2])
    return importlib.import_module(f"wengert.{module}")


@pytest.mark.parametrize("module", MODULES)
def test_every_function_with_a_derivative_has_a_mirror(module):
    theirs, mine = importlib.import_module(f"autograd.{module}"), ours(module)
    plain = None if module == "numpy" else importlib.import_module(".".join(module.split(".")[:2]))
    primitives = {id(f) for f in (*primitive_vjps, *primitive_jvps)}
    names = {name for name in dir(theirs) if name[0] != "_" and id(getattr(theirs, name)) in primitives}
    assert len(names) > 0
    for name in names - HELPERS.get(module, set()):
        function = getattr(mine, name)
        if module.startswith("scipy.stats."):
            assert name in dir(type(mine)), name  # SciPy's own would be found through __getattr__
        elif plain is not None and hasattr(plain, name):
            assert function is not getattr(plain, name), name


def test_make_diagonal():
    x = np.arange(6.0).reshape(2, 3)
    assert_allclose(wnp.make_diagonal(x, 0, -1, -2), anp.make_diagonal(x, 0, -1, -2))
    wg.testing.check_grads(lambda x: wnp.make_diagonal(x**2, axis1=-1, axis2=-2), (x,))
    with pytest.raises(TypeError, match="main diagonal"):
        wnp.make_diagonal(x, 1)


# ---- gradients ------------------------------------------------------------------------------------------

TABLE = {**{k: (f, (B,)) for k, f in FUNCTIONS.items()}, **{k: case[:2] for k, case in CASES.items()}}
LACKS = (NotImplementedError, TypeError, AttributeError, AssertionError, ValueError, KeyError)


def of_both(name, order):
    """The gradient of a number made of a function's results, or of one made of its gradient: theirs and ours;
    None where HIPS autograd does not have the function in this form."""
    f, args = TABLE[name]

    def derived(np, grad):
        loss = lambda *args: np.sum(np.real(f(np, *args) * 1.0) ** 2)
        return grad(loss) if order == 1 else grad(lambda *args: np.sum(np.sin(grad(loss)(*args))))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = derived(anp, autograd.grad)(*args)
    except LACKS:
        return None
    return theirs, derived(np, wg.grad)(*args)


@pytest.mark.parametrize(("order", "at_least"), [(1, 95), (2, 80)])
def test_gradients_agree_wherever_it_has_the_function(order, at_least):
    pairs = {name: of_both(name, order) for name in TABLE}
    agreed = {name: pair for name, pair in pairs.items() if pair is not None}
    for name, (theirs, found) in agreed.items():
        assert_allclose(found, theirs, rtol=1e-8, atol=1e-9, err_msg=name)
    assert len(agreed) >= at_least, sorted(set(pairs) - set(agreed))


# What the tables of other tests ask for in forms that it does not have.
MORE = {
    "operators": lambda np, x: np.add(
        x, np.multiply(x, np.subtract(2.0, np.divide(x, np.true_divide(x, x + 3))))
    ),
    "pow": lambda np, x: np.pow(np.abs(x), 3) + np.power(x, 2),
    "conj": lambda np, x: np.conj(x) * np.conjugate(x) + np.real(x),
    "acos": lambda np, x: np.acos(x / 4) + np.asin(x / 4) + np.atan(x) * np.asinh(x) + np.atanh(x / 4),
    "acosh": lambda np, x: np.acosh(x + 4) * np.atan2(x, 2.0),
    "astype": lambda np, x: np.astype(x, float) ** 2,
    "broadcast_to": lambda np, x: np.broadcast_to(x[:1], (3, 4)) * x,
    "diagonal": lambda np, x: np.diagonal(x[:, :3], 0, -1, -2) ** 2,
    "full": lambda np, x: np.full((2, 2), x[0, 1]) * x[:2, :2],
    "linspace": lambda np, x: np.linspace(x[0, 0], x[1, 1], 5) ** 2,
    "make_diagonal": lambda np, x: np.make_diagonal(x**2, axis1=-1, axis2=-2),
    "nan_to_num": lambda np, x: np.nan_to_num(x) ** 2,
    "pad": lambda np, x: np.pad(x, 1, "constant") ** 3,
    "partition": lambda np, x: np.partition(x[0], 2)[2] ** 2,
    "permute_dims": lambda np, x: np.permute_dims(x, (1, 0)) @ x,
    "sort": lambda np, x: np.sort(x[1]) * x[0],
    "fft": lambda np, x: np.abs(np.fft.fftn(x)) + np.real(np.fft.ifftn(x)) * np.imag(np.fft.ifft2(x)),
    "ifft": lambda np, x: np.abs(np.fft.ifft(x)) * np.real(np.fft.rfftn(x)[0, 0]),
}
OF_SCIPY = {
    "norm": lambda s, x: s.stats.norm.logpdf(x, 0.2, 1.5) * s.stats.norm.pdf(x, 0.1, 2.0),
    "t": lambda s, x: s.stats.t.pdf(x, 2.5) + s.stats.t.logpdf(x, 3.0) + s.stats.t.logcdf(x, 4.0),
    "gamma": lambda s, x: s.stats.gamma.pdf(x**2, 2.5) * s.stats.gamma.cdf(x**2, 2.5),
    "chi2": lambda s, x: (
        s.stats.chi2.logpdf(x**2, 4.0) * s.stats.chi2.pdf(x**2, 3.0)
    ),  # theirs: whole numbers
    "beta": lambda s, x: s.stats.beta.pdf(x**2 / 9, 2.5, 1.5),
    "odeint": lambda s, x: s.integrate.odeint(
        lambda y, t: t - y**3, x[0], np.arange(3.0), (), rtol=1e-10, atol=1e-10
    ),
    "entropy": lambda s, x: s.stats.multivariate_normal.entropy(EYE[0], x @ x.T + EYE),
}
EYE = np.eye(3)
# Where its derivative is not that of the function, as finite differences in this suite's own tests say.
ASTRAY = {
    **dict.fromkeys(("prod where", "sum where", "mean where", "var where"), "by what where= leaves out"),
    **dict.fromkeys(("norm inf", "vector norm inf *"), "NaN at zeros"),
    "solve_triangular T": "unit_diagonal= is not looked at",
}


def every_case():
    """(name, function of a namespace and arrays, arrays, theirs, ours) of all tables."""
    numpys = {name: case[:2] for table in (test_every_function.CASES, TABLE) for name, case in table.items()}
    numpys |= test_linalg.CASES
    numpys |= {name: (f, (test_fft.X,)) for name, f in test_fft.CASES.items()}
    for table in (test_array_functions.COMPUTE, test_array_functions.MOVE, MORE):
        numpys |= {name: (f, (test_array_functions.X,)) for name, f in table.items()}
    scipys = {**test_scipy.CASES, **test_every_function.STATS}
    scipys |= {f"{name} of x": (f, (test_array_functions.X,)) for name, f in OF_SCIPY.items()}
    cases = [(name, *case, anp, wnp, "numpy.") for name, case in numpys.items()]
    cases += [(name, *case, autograd.scipy, wengert.scipy, "scipy.") for name, case in scipys.items()]
    return [case for case in cases if case[0] not in ASTRAY]


def test_every_function_with_a_derivative_agrees():
    """Whatever HIPS autograd registers a derivative of is in a case that both have, and there they agree."""
    for module in MODULES:
        importlib.import_module(f"autograd.{module}")
    agreed = set()
    for name, f, args, theirs, ours, path in every_case():
        places = tuple(range(len(args)))
        loss = lambda np, space: lambda *args: np.sum(np.real(f(space, *args) * 1.0) ** 2)  # noqa: B023
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = autograd.grad(loss(anp, theirs), places)(*args)
        except LACKS:
            continue
        for mine, other in zip(wg.grad(loss(np, ours), places)(*args), expected, strict=True):
            assert_allclose(mine, other, rtol=1e-7, atol=1e-9, err_msg=name)
        f(test_every_function.Seen(theirs, agreed, path), *args)
    primitives = {id(f) for f in (*primitive_vjps, *primitive_jvps)}
    for module in MODULES:
        theirs = vars(importlib.import_module(f"autograd.{module}"))
        names = {name for name, f in theirs.items() if name[0] != "_" and id(f) in primitives}
        lacking = {name for name in names - HELPERS.get(module, set()) if f"{module}.{name}" not in agreed}
        assert not lacking, (module, lacking)


# ---- primitives of one's own -----------------------------------------------------------------------------


def test_a_derivative_in_forward_mode_serves_both():
    from wengert.extend import defjvp, primitive

    @primitive
    def product(a, b):
        return np.asarray(a) * np.asarray(b) ** 2

    x, y = np.array([0.3, 1.2]), np.array([2.0, -0.7])
    with pytest.raises(TypeError, match="no derivative was defined"):
        wg.grad(lambda x: np.sum(product(x, y)))(x)
    defjvp(product, "same", lambda g, ans, a, b: 2 * g * a * b)
    with pytest.raises(TypeError, match="give it one with defvjp"):
        wg.grad(lambda x: np.sum(product(x, y)))(x)
    defjvp(product, lambda g, ans, a, b: g * b**2, argnums=[0])
    wg.testing.check_grads(lambda x, y: product(np.sin(x), y), (x, y))
    assert_allclose(wg.elementwise_grad(product, 1)(x, y), 2 * x * y)
    assert_allclose(wg.compile(wg.elementwise_grad(product))(x, y), y**2)


def test_a_primitive_made_of_an_object_without_a_name_is_named_by_it():
    f = wg.extend.primitive(functools.partial(np.multiply, 2.0))
    with pytest.raises(TypeError, match=r"functools\.partial.*: no derivative was defined by argument 0"):
        wg.grad(f)(1.0)


def test_a_primitive_tells_equal_arguments_of_other_types_apart():
    f = wg.extend.primitive(lambda x, n: x * (10.0 if n is True else 1.0))
    wg.extend.defvjp(f, lambda answer, x, n: lambda g: g * (10.0 if n is True else 1.0))
    for n, slope in ((1, 1.0), (True, 10.0), (1.0, 1.0)):
        assert wg.grad(lambda x, n=n: f(x, n))(2.0) == slope
        assert f(wg.Tape().var(2.0), n).value == 2.0 * slope


def test_tangents_of_a_primitive_do_not_take_in_its_answer():
    f = wg.extend.primitive(lambda x: x + np.inf)
    wg.extend.defjvp(f, lambda g, answer, x: 3.0 * g)
    assert wg.jvp(f, (2.0,), (1.0,)) == (np.inf, 3.0)
