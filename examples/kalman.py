"""The noise of a tracked motion, estimated: the likelihood of a Kalman filter is a scan, and has a gradient.

Run: python examples/kalman.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import wengert as wg

MOVE = np.array([[1.0, 1.0], [0.0, 1.0]])  # position and speed, one step on


def filtered(logs, observed):
    """The negative log-likelihood of positions, and the filter's estimates, by the log of each noise."""
    moving, seeing = np.exp(2 * logs[0]), np.exp(2 * logs[1])
    noise = moving * np.array([[0.25, 0.5], [0.5, 1.0]])

    def step(carry, z):
        mean, cov = carry
        mean, cov = MOVE @ mean, MOVE @ cov @ MOVE.T + noise
        spread = cov[0, 0] + seeing
        surprise = z - mean[0]
        gain = cov[:, 0] / spread
        cost = 0.5 * (np.log(spread) + surprise**2 / spread)
        return (mean + gain * surprise, cov - np.outer(gain, cov[0])), (cost, mean[0])

    start = np.zeros(2), 10 * np.eye(2)
    _, (costs, positions) = wg.scan(step, start, observed)
    return np.sum(costs), positions


def main(path):
    rng = np.random.default_rng(3)
    truth = np.cumsum(np.cumsum(0.1 * rng.normal(size=400)))
    observed = truth + 2.0 * rng.normal(size=400)
    cost = wg.compile(wg.value_and_grad(lambda logs: filtered(logs, observed)[0]))
    hessian = wg.compile(wg.hessian(lambda logs: filtered(logs, observed)[0]))
    best = minimize(cost, np.zeros(2), jac=True, hess=hessian, method="trust-exact")
    spread = np.sqrt(np.diag(np.linalg.inv(hessian(best.x))))  # of the estimate, by the curvature there
    for name, log, s, true in zip(("motion", "sight"), best.x, spread, (0.1, 2.0), strict=True):
        low, middle, high = np.exp(log - s), np.exp(log), np.exp(log + s)
        print(f"noise of {name}: {middle:.3f} ({low:.3f} to {high:.3f}), truth {true}")
        assert abs(log - np.log(true)) < 3 * s, "the truth is not within three deviations"

    figure = Figure(figsize=(7, 3.8), dpi=150)
    axes = figure.subplots()
    axes.plot(observed, ".", color="#999999", markersize=4, label="observed")
    axes.plot(truth, color="#1f6f8b", alpha=0.4, linewidth=4, label="truth")
    axes.plot(filtered(best.x, observed)[1], color="#d1495b", linewidth=1.2, label="predicted a step ahead")
    axes.set(
        xlim=(-1, 101),
        ylim=(-35, 5),
        ylabel="place",  # of 400 steps those where the noise is seen
        xlabel="step",
        title=f"likelihood maximised in {best.nit} steps by gradient and Hessian of a scan",
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "kalman.png")
