"""Coming from HIPS autograd: every function that it differentiates is here under its name, and a program is
ported by changing where its names are imported from."""

import functools
import importlib
import warnings

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.core import primitive_jvps, primitive_vjps
from numpy.testing import assert_allclose
from test_numpy import FUNCTIONS, B
from test_numpy_coverage import CASES

import wengert as wg
import wengert.numpy as wnp

# ---- names ----------------------------------------------------------------------------------------------

DISTRIBUTIONS = ["norm", "t", "gamma", "chi2", "beta", "poisson", "multivariate_normal", "dirichlet"]
MODULES = [
    "numpy", "numpy.linalg", "numpy.fft", "scipy.special", "scipy.linalg", "scipy.signal",
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


# ---- programs -------------------------------------------------------------------------------------------

IMPORTS = (
    "import {0}.numpy as np\nfrom {0} import elementwise_grad, grad, hessian, jacobian, value_and_grad\n"
)
SCIPY = """
from {0}.scipy.stats import multivariate_normal, norm, t
from {0}.scipy.special import gammaln, logsumexp
"""
EXTEND = "from {0}.extend import defjvp, defvjp, primitive\n"

# Steps of a classifier's training, with a curvature test at the end.
LOGISTIC = """
data = np.array([[0.5, 1.1], [-0.3, 0.8], [1.2, -0.9], [-1.5, -0.2]])
labels = np.array([True, True, False, False])

def probability(weights, inputs):
    return 0.5 * (np.tanh(np.dot(inputs, weights)) + 1)

def loss(weights):
    p = probability(weights, data)
    return -np.sum(np.log(p * labels + (1 - p) * (1 - labels)))

slope = grad(loss)
weights = np.zeros(2)
for _ in range(20):
    weights -= slope(weights) * 0.1
result = [weights, loss(weights), hessian(loss)(weights)]
"""

# A net as a list of (weight, bias), trained with momentum: pytrees as arguments and gradients.
NET = """
def init(sizes):
    pairs = zip(sizes[:-1], sizes[1:])
    return [(np.cos(np.arange(m * n * 1.0)).reshape(m, n) * 0.5, np.zeros(n)) for m, n in pairs]

def predict(params, x):
    for w, b in params:
        outputs = np.dot(x, w) + b
        x = np.tanh(outputs)
    return outputs - logsumexp(outputs, axis=1, keepdims=True)

x = np.sin(np.arange(12.0)).reshape(4, 3)
targets = np.eye(2)[[0, 1, 1, 0]]

def objective(params):
    decay = sum(np.sum(w ** 2) + np.dot(b, b) for w, b in params)
    return 0.01 * decay - np.mean(np.sum(predict(params, x) * targets, axis=1))

params = init([3, 5, 2])
speed = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]
for _ in range(10):
    g = grad(objective)(params)
    speed = [tuple(0.9 * s - d for s, d in zip(a, b)) for a, b in zip(speed, g)]
    params = [tuple(p + 0.1 * s for p, s in zip(a, b)) for a, b in zip(params, speed)]
result = [objective(params), *(p for pair in params for p in pair)]
"""

# A Gaussian process: the marginal likelihood of its hyperparameters.
PROCESS = """
x = np.linspace(-2, 2, 7)[:, None]
y = np.sin(x[:, 0]) + 0.1 * np.cos(9 * x[:, 0])

def kernel(params, a, b):
    distances = np.expand_dims(a / np.exp(params[1:]), 1) - np.expand_dims(b / np.exp(params[1:]), 0)
    return np.exp(params[0]) * np.exp(-0.5 * np.sum(distances ** 2, axis=2))

def likelihood(params):
    cov = kernel(params[2:], x, x) + np.exp(params[1]) * np.eye(len(y))
    return -multivariate_normal.logpdf(y, params[0] * np.ones(len(y)), cov)

at = np.array([0.1, -2.0, 0.3, -0.2])
value, slope = value_and_grad(likelihood)(at)
result = [value, slope, hessian(likelihood)(at)]
"""

# Robust regression with Student's t, and the derivative of a density in many points at once.
DENSITIES = """
x = np.linspace(-1.0, 1.0, 9)
y = 1.5 * x + 0.3 * np.sin(20 * x)

def likelihood(theta):
    return -np.sum(t.logpdf(y - theta[0] - theta[1] * x, np.exp(theta[2])))

theta = np.array([0.0, 1.0, 1.2])
score = elementwise_grad(lambda z: norm.logpdf(z, 0.5, 2.0) + gammaln(z + 3.0))
fields = jacobian(lambda s: np.array([np.sum(s), s[0] * s[1], np.linalg.norm(s)]))
result = [grad(likelihood)(theta), score(x), elementwise_grad(score)(x), fields(theta)]
"""

# A function that is no NumPy code, with its gradient by hand.
BY_HAND = """
@primitive
def log_total(x, shift):
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top))) + shift

def log_total_vjp(ans, x, shift):
    return lambda g: np.full(x.shape, g) * np.exp(x - np.full(x.shape, ans - shift))

defvjp(log_total, log_total_vjp, lambda ans, x, shift: lambda g: g)

@primitive
def cube(x):
    return x ** 3

defvjp(cube, lambda ans, x: lambda g: 3 * g * x ** 2)
defjvp(cube, lambda g, ans, x: 3 * g * x ** 2)

def example(y):
    z = y ** 2
    return np.sum(cube(z)) + log_total(z, y[0])

at = np.array([1.5, 0.7, -0.8])
result = [grad(example)(at), grad(lambda x: log_total(x, 1.0))(at), elementwise_grad(cube)(at)]
"""

PROGRAMS = {"logistic": LOGISTIC, "net": NET, "process": PROCESS, "densities": DENSITIES, "by hand": BY_HAND}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_ported_by_its_imports(name):
    results = []
    for package in ("autograd", "wengert"):
        names = {}
        exec((IMPORTS + SCIPY + EXTEND).format(package) + PROGRAMS[name], names)
        results.append(names["result"])
    for found, expected in zip(*results[::-1], strict=True):
        assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


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
