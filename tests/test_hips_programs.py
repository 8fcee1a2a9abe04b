"""Coming from HIPS autograd: a program is ported by changing where its names are imported from."""

import pytest
from numpy.testing import assert_allclose

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
