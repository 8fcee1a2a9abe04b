"""Coming from HIPS autograd: every function that it differentiates is here under its name, and a program is
ported by changing where its names are imported from."""

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

# A Bayesian net: black-box variational inference with the reparametrisation, and its evidence bound.
BAYESIAN = """
import {0}.numpy.random as npr

rs = npr.RandomState(0)
x = np.linspace(-2.0, 2.0, 9)[:, None]
y = np.cos(2 * x[:, 0]) + 0.1 * rs.randn(9)
shapes = [(1, 6), (6, 1)]
size = sum((m + 1) * n for m, n in shapes)

def layers(weights):
    many = len(weights)
    for m, n in shapes:
        yield weights[:, : m * n].reshape((many, m, n)), weights[:, m * n : m * n + n].reshape((many, 1, n))
        weights = weights[:, (m + 1) * n :]

def predictions(weights, inputs):
    inputs = np.expand_dims(inputs, 0)
    for W, b in layers(weights):
        outputs = np.einsum("mnd,mdo->mno", inputs, W) + b
        inputs = np.tanh(outputs)
    return outputs

def log_probability(weights):
    prior = -0.5 * np.sum(weights ** 2, axis=1)
    return prior - 50.0 * np.sum((predictions(weights, x)[:, :, 0] - y) ** 2, axis=1)

def bound(params, t):
    mean, log_scale = params[:size], params[size:]
    samples = npr.RandomState(t).randn(8, size) * np.exp(log_scale) + mean
    entropy = 0.5 * size * (1.0 + np.log(2 * np.pi)) + np.sum(log_scale)
    return -(entropy + np.mean(log_probability(samples)))

params = np.concatenate([rs.randn(size) * 0.1, -3.0 * np.ones(size)])
for t in range(15):
    params = params - 1e-4 * grad(bound)(params, t)
result = [params, bound(params, 99)]
"""

# A fluid: velocities are advected and made free of divergence; the start is fitted to where smoke should go.
FLUID = """
rows, cols = 7, 8

def project(vx, vy):
    outflow = np.roll(vx, -1, 1) - np.roll(vx, 1, 1) + np.roll(vy, -1, 0) - np.roll(vy, 1, 0)
    divergence = -0.5 * outflow / rows
    p = np.zeros(vx.shape)
    for _ in range(6):
        p = (divergence + np.roll(p, 1, 1) + np.roll(p, -1, 1) + np.roll(p, 1, 0) + np.roll(p, -1, 0)) / 4.0
    vx = vx - 0.5 * rows * (np.roll(p, -1, 1) - np.roll(p, 1, 1))
    return vx, vy - 0.5 * rows * (np.roll(p, -1, 0) - np.roll(p, 1, 0))

def advect(f, vx, vy):
    cell_ys, cell_xs = np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")
    centre_xs, centre_ys = (cell_xs - vx).ravel(), (cell_ys - vy).ravel()
    left, top = np.floor(centre_xs).astype(int), np.floor(centre_ys).astype(int)
    right_part, bottom_part = centre_xs - left, centre_ys - top
    left, right = np.mod(left, cols), np.mod(left + 1, cols)
    top, bottom = np.mod(top, rows), np.mod(top + 1, rows)
    before = (1 - bottom_part) * f[top, left] + bottom_part * f[bottom, left]
    after = (1 - bottom_part) * f[top, right] + bottom_part * f[bottom, right]
    return np.reshape((1 - right_part) * before + right_part * after, (rows, cols))

def step(state):
    vx, vy, smoke = state
    vx, vy = project(advect(vx, vx, vy), advect(vy, vx, vy))
    return vx, vy, advect(smoke, vx, vy)

smoke = np.exp(-0.3 * ((np.arange(rows)[:, None] - 2.2) ** 2 + (np.arange(cols)[None] - 3.1) ** 2))
target = np.roll(smoke, 2, axis=1)

def distance(params):
    vx, vy = np.reshape(params[: rows * cols], (rows, cols)), np.reshape(params[rows * cols :], (rows, cols))
    state = vx, vy, smoke
    for _ in range(4):
        state = step(state)
    return np.mean((target - state[2]) ** 2)

start = 0.3 * np.sin(np.arange(2.0 * rows * cols)) + 0.11
value, slope = value_and_grad(distance)(start)
result = [value, slope, grad(distance)(start - slope)]
"""

# A recurrent net for text with parameters in a dictionary, step by step.
RNN = """
import {0}.numpy.random as npr
from {0}.scipy.special import logsumexp
from {0} import checkpoint

def concat_and_multiply(weights, *args):
    cat_state = np.hstack(args + (np.ones((args[0].shape[0], 1)),))
    return np.dot(cat_state, weights)

rs = npr.RandomState(1)
sizes = {{"change": (5 + 4 + 1, 4), "forget": (5 + 4 + 1, 4), "out": (4 + 1, 5)}}
params = {{"init hiddens": rs.randn(1, 4) * 0.1, **{{k: rs.randn(*s) * 0.4 for k, s in sizes.items()}}}}

def sigmoid(x):
    return 0.5 * (np.tanh(x) + 1.0)

def predict(params, inputs):
    hiddens = np.repeat(params["init hiddens"], inputs.shape[1], axis=0)
    output = []
    for input in inputs:
        change = np.tanh(concat_and_multiply(params["change"], input, hiddens))
        forget = sigmoid(concat_and_multiply(params["forget"], input, hiddens))
        hiddens = hiddens * forget + change * (1 - forget)
        scores = concat_and_multiply(params["out"], hiddens)
        output.append(scores - logsumexp(scores, axis=1, keepdims=True))
    return output

text = np.eye(5)[rs.randint(0, 5, (6, 3))]

def loss(params):
    log_probs, total = predict(params, text[:-1]), 0.0
    for t in range(len(log_probs)):
        total = total - np.sum(log_probs[t] * text[t + 1])
    return total / text.size

for _ in range(3):
    slope = grad(checkpoint(loss))(params)
    params = {{k: params[k] - 0.5 * slope[k] for k in params}}
result = [loss(params), *(params[k] for k in sorted(params))]
"""

# A Gaussian mixture: log densities in lists, second-order optimisation by products with the Hessian.
MIXTURE = """
import scipy.optimize
import {0}.numpy.random as npr
from {0}.scipy.special import logsumexp
import {0}.scipy.stats.multivariate_normal as mvn

rs = npr.RandomState(3)
data = np.concatenate([rs.randn(12, 2) * 0.3 + c for c in ([1.0, 0.0], [-1.0, 0.5])])

def unpack(vector):
    props, means, roots = vector[:2], vector[2:6].reshape(2, 2), vector[6:].reshape(2, 2, 2)
    return props - logsumexp(props), means, roots

def objective(vector):
    log_props, means, roots = unpack(vector)
    densities = []
    for log_prop, mean, root in zip(log_props, means, roots):
        densities.append(log_prop + mvn.logpdf(data, mean, np.dot(root.T, root)))
    return -np.sum(logsumexp(np.vstack(densities), axis=0))

start = np.concatenate([np.zeros(2), rs.randn(4) * 0.5, np.tile(np.eye(2).ravel(), 2)])
found = scipy.optimize.minimize(objective, start, jac=grad(objective), options={{"maxiter": 4}}).x
result = [found, grad(objective)(found), hessian(objective)(found), jacobian(lambda v: unpack(v)[2])(found)]
"""

# A rotating field: an equation solved by SciPy, its parameters fitted by the adjoint.
ROTATION = """
from {0}.scipy.integrate import odeint
{tuple}

times = np.linspace(0.0, 2.0, 6)

def field(y, t, turn, damp):
    return np.array([-turn[0] * y[1] - damp * y[0] ** 3, turn[1] * y[0] - damp * y[1] ** 3])

truth = odeint(field, np.array([2.0, 0.0]), times, tuple((np.array([2.0, 1.5]), 0.1)))

def loss(turn, damp):
    return np.mean(np.abs(odeint(field, np.array([2.0, 0.0]), times, tuple((turn, damp))) - truth))

turn, damp = np.array([1.0, 1.2]), 0.3
for _ in range(3):
    by_turn, by_damp = grad(loss, (0, 1))(turn, damp)
    turn, damp = turn - 0.1 * by_turn, damp - 0.1 * by_damp
result = [turn, damp]
"""

PROGRAMS = {
    "logistic": LOGISTIC, "net": NET, "process": PROCESS, "densities": DENSITIES, "by hand": BY_HAND,
    "bayesian": BAYESIAN, "fluid": FLUID, "rnn": RNN, "mixture": MIXTURE, "rotation": ROTATION,
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_ported_by_its_imports(name):
    results = []
    for package in ("autograd", "wengert"):
        names = {}
        builtins = "from autograd.builtins import tuple" if package == "autograd" else ""
        program = (
            PROGRAMS[name].format(package, tuple=builtins) if "{0}" in PROGRAMS[name] else PROGRAMS[name]
        )
        exec((IMPORTS + SCIPY + EXTEND).format(package) + program, names)
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
