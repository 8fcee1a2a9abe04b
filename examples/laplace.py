"""What does a small net not know?  The Hessian of its loss is the inverse of its weights' covariance.

Run: python examples/laplace.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import wengert as wg

NOISE, PRIOR = 0.1, 2.0  # standard deviations, of the values and of the weights


def main(path):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-3, -0.8, 30), rng.uniform(1.2, 2.6, 30)])
    y = np.sin(1.5 * x) + NOISE * rng.normal(size=60)
    net = wg.MLP([1, 12, 1], activation="tanh", dtype="float64", seed=0)
    theta, unflatten = wg.flatten(net.params)

    def predict(theta, x):
        return net.apply(unflatten(theta), x[:, None])[:, 0]

    def posterior(theta):
        """Its negative logarithm, but for a constant."""
        return 0.5 * np.sum(((predict(theta, x) - y) / NOISE) ** 2) + 0.5 * np.sum((theta / PRIOR) ** 2)

    cost, hessian = wg.compile(wg.value_and_grad(posterior)), wg.compile(wg.hessian(posterior))
    options = {"gtol": 1e-4, "maxiter": 2000}
    best = minimize(cost, theta, jac=True, hess=hessian, method="trust-exact", options=options).x
    covariance = np.linalg.inv(hessian(best))

    grid = np.linspace(-3.5, 3.5, 201)
    mean = predict(best, grid)
    J = wg.jacobian(predict)(best, grid)  # (points, weights): how a prediction moves with the weights
    deviation = np.sqrt(np.sum(J @ covariance * J, axis=1))
    inside = np.mean(np.abs(mean - np.sin(1.5 * grid)) < 2 * deviation)
    print(f"{net}: the truth is within two standard deviations at {inside:.0%} of the points")
    assert inside > 0.8, "the net is too sure of itself"
    assert deviation[100] > 3 * deviation[50], "the net is sure where it has seen nothing"

    figure = Figure(figsize=(7, 3.8), dpi=150)
    axes = figure.subplots()
    low, high = mean - 2 * deviation, mean + 2 * deviation
    axes.fill_between(grid, low, high, color="#1f6f8b", alpha=0.2, linewidth=0, label="two deviations")
    axes.plot(grid, np.sin(1.5 * grid), "--", color="#999999", linewidth=1.2, label="truth")
    axes.plot(grid, mean, color="#1f6f8b", linewidth=1.4, label="net")
    axes.plot(x, y, ".", color="#d1495b", markersize=4, label="observed")
    axes.set(xlabel="x", ylabel="y", ylim=(-2.5, 3), title="a 1-12-1 net says what it does not know")
    axes.legend(frameon=False, ncols=2, loc="upper center")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "laplace.png")
