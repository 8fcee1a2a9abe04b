"""Well-known problems as people write them: plain NumPy, differentiated as it stands."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose

import wengert as wg
import wengert.scipy.stats as stats


def test_a_gaussian_process_finds_its_length_scale(rng):
    x = np.linspace(0, 5, 40)[:, None]
    y = np.sin(2 * x[:, 0]) + 0.1 * rng.normal(size=40)

    def loss(theta):
        scale, length, noise = np.exp(theta)
        K = scale**2 * np.exp(-0.5 * ((x - x.T) / length) ** 2) + noise**2 * np.eye(40)
        L = np.linalg.cholesky(K)
        a = np.linalg.solve(L, y)
        return 0.5 * a @ a + np.sum(np.log(np.diagonal(L)))

    wg.testing.check_grads(loss, (np.zeros(3),), order=2, scale=10)
    for f in (wg.value_and_grad(loss), wg.compile(wg.value_and_grad(loss))):
        found = scipy.optimize.minimize(f, np.zeros(3), jac=True, method="L-BFGS-B")
        assert_allclose(np.linalg.norm(wg.grad(loss)(found.x)), 0, atol=1e-2)
        assert 0.05 < np.exp(found.x[2]) < 0.2  # the noise that was added


def test_a_mixture_model_by_em(rng):
    """EM's fixed point is a stationary point of the likelihood, whose gradient says so."""
    data = np.concatenate([rng.normal(-2, 0.5, 150), rng.normal(1, 1.0, 250)])

    def log_joint(weights, means, scales):
        return np.log(weights) + stats.norm.logpdf(data[:, None], means, scales)

    def likelihood(weights, means, scales):
        return np.sum(wg.numpy.logsumexp(log_joint(weights, means, scales), 1))

    weights, means, scales = np.array([0.5, 0.5]), np.array([-1.0, 0.5]), np.array([1.0, 1.0])
    for _ in range(500):
        joint = log_joint(weights, means, scales)
        share = np.exp(joint - scipy.special.logsumexp(joint, 1, keepdims=True))
        total = share.sum(0)
        weights, means = total / len(data), share.T @ data / total
        scales = np.sqrt(np.sum(share * (data[:, None] - means) ** 2, 0) / total)
    by_weights, by_means, by_scales = wg.grad(likelihood, (0, 1, 2))(weights, means, scales)
    assert_allclose(by_means, 0, atol=1e-5)
    assert_allclose(by_scales, 0, atol=1e-5)
    assert_allclose(by_weights, len(data), rtol=1e-6)  # the multiplier of the constraint sum(w) = 1


def test_a_recurrent_net_learns_to_add(rng):
    inputs = rng.normal(size=(6, 32, 1))  # steps, rows, features
    target = inputs.sum(0)
    shapes = {"h": (8, 8), "x": (1, 8), "b": (8,), "o": (8, 1)}
    params = {name: 0.3 * rng.normal(size=shape) for name, shape in shapes.items()}

    def loss(params):
        states = np.zeros((6, 32, 8)) + 0 * params["b"]
        h = states[0]
        for k in range(6):
            h = np.tanh(h @ params["h"] + inputs[k] @ params["x"] + params["b"])
            states[k] = h  # in place, as one writes it
        return np.mean((states[-1] @ params["o"] - target) ** 2)

    wg.testing.check_grads(loss, (params,), order=1)
    step = wg.compile(wg.value_and_grad(loss))
    optimizer = wg.optim.Adam(0.02)
    state, first = optimizer.init(params), loss(params)
    for _ in range(300):
        _, gradient = step(params)
        params, state = optimizer.step(params, gradient, state)
    assert loss(params) < 0.1 * first


def black_scholes(spot, strike, rate, sigma, years):
    d1 = (np.log(spot / strike) + (rate + sigma**2 / 2) * years) / (sigma * np.sqrt(years))
    d2 = d1 - sigma * np.sqrt(years)
    return spot * scipy.special.ndtr(d1) - strike * np.exp(-rate * years) * scipy.special.ndtr(d2)


def test_black_scholes_with_all_greeks():
    """Against the closed forms (Hull, Options, Futures and Other Derivatives, chapter 19)."""
    s, k, r, v, t = args = (100.0, 95.0, 0.03, 0.25, 0.75)
    d1 = (np.log(s / k) + (r + v**2 / 2) * t) / (v * np.sqrt(t))
    d2 = d1 - v * np.sqrt(t)
    density, discount = scipy.stats.norm.pdf(d1), np.exp(-r * t)
    delta, rho, vega, dt = wg.grad(black_scholes, (0, 2, 3, 4))(*args)
    assert_allclose(delta, scipy.stats.norm.cdf(d1), rtol=1e-12)
    assert_allclose(vega, s * density * np.sqrt(t), rtol=1e-12)
    assert_allclose(rho, k * t * discount * scipy.stats.norm.cdf(d2), rtol=1e-12)
    theta = -s * density * v / (2 * np.sqrt(t)) - r * k * discount * scipy.stats.norm.cdf(d2)
    assert_allclose(-dt, theta, rtol=1e-12)
    gamma = wg.grad(wg.grad(black_scholes))
    assert_allclose(gamma(*args), density / (s * v * np.sqrt(t)), rtol=1e-12)
    vanna = wg.grad(wg.grad(black_scholes), 3)(*args)
    assert_allclose(vanna, -density * d2 / v, rtol=1e-11)
    volga = wg.grad(wg.grad(black_scholes, 3), 3)(*args)
    assert_allclose(volga, vega * d1 * d2 / v, rtol=1e-11)
    assert_allclose(wg.compile(gamma)(*args), gamma(*args), rtol=1e-12)
    root = v * np.sqrt(t)
    drift = 2 * r * t - d2 * root
    charm = wg.grad(wg.grad(black_scholes), 4)(*args)
    assert_allclose(charm, density * drift / (2 * t * root), rtol=1e-10)
    veta = wg.grad(wg.grad(black_scholes, 3), 4)(*args)
    assert_allclose(veta, vega * (1 + d1 * d2 - r * d1 * 2 * t / root) / (2 * t), rtol=1e-10)
    speed, zomma, color = wg.grad(gamma, (0, 3, 4))(*args)
    assert_allclose(speed, -gamma(*args) / s * (d1 / root + 1), rtol=1e-10)
    assert_allclose(zomma, gamma(*args) * (d1 * d2 - 1) / v, rtol=1e-10)
    assert_allclose(color, -density / (2 * s * t * root) * (1 + drift / root * d1), rtol=1e-10)
    ultima = wg.grad(wg.grad(wg.grad(black_scholes, 3), 3), 3)(*args)
    assert_allclose(ultima, -vega / v**2 * (d1 * d2 * (1 - d1 * d2) + d1**2 + d2**2), rtol=1e-10)
    spots = np.linspace(80, 120, 5)
    assert_allclose(
        wg.elementwise_grad(black_scholes)(spots, *args[1:]),
        [wg.grad(black_scholes)(spot, *args[1:]) for spot in spots],
        rtol=1e-12,
    )


@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_a_constrained_fit_with_scipy(method):
    """The point of a circle that is nearest to a line's foot, with exact gradients of all functions."""
    aim = np.array([2.0, 1.0])
    f = wg.compile(wg.value_and_grad(lambda x: np.sum((x - aim) ** 2)))
    circle = {
        "type": "eq",
        "fun": lambda x: np.sum(x**2) - 1.0,
        "jac": wg.compile(wg.grad(lambda x: np.sum(x**2) - 1.0)),
    }
    options = {"hess": wg.hessian(lambda x: np.sum((x - aim) ** 2))} if method == "trust-constr" else {}
    found = scipy.optimize.minimize(f, [0.3, 0.8], jac=True, constraints=circle, method=method, **options)
    assert_allclose(found.x, aim / np.linalg.norm(aim), atol=1e-5)


def test_rosenbrock_by_newtons_method():
    def rosenbrock(x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    x = np.linspace(0.5, 1.5, 10)
    hessp = wg.hvp(rosenbrock)
    found = scipy.optimize.minimize(
        rosenbrock, x, jac=wg.grad(rosenbrock), hessp=hessp, method="trust-ncg", options={"gtol": 1e-8}
    )
    assert_allclose(found.x, 1.0, rtol=1e-6)
    assert_allclose(hessp(x, x), scipy.optimize.rosen_hess_prod(x, x), rtol=1e-10)
