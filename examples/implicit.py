"""Pearls on a rubber string, weighed by a photograph: where they hang is a root, and has derivatives.

Run: python examples/implicit.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import least_squares, minimize

import wengert as wg

PEARLS, STIFF, REST = 12, 60.0, 0.13  # between two nails one apart: 13 threads of this stiffness and length
NAILS = np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]])
BLUR = 0.002  # of the photograph


def energy(places, weights):
    """Of the threads, by their stretch, and of the pearls, by their height."""
    x = np.concatenate([NAILS[0], places.reshape(PEARLS, 2), NAILS[1]])
    lengths = np.sqrt(np.sum((x[1:] - x[:-1]) ** 2, axis=1))
    return STIFF / 2 * np.sum((lengths - REST) ** 2) + np.sum(weights * x[1:-1, 1])


ENERGY, CURVATURE = wg.compile(wg.value_and_grad(energy)), wg.compile(wg.hessian(energy))


def at_rest(weights):
    """The places of the pearls, x0, y0, x1, y1, ..., by SciPy, which need not be differentiable."""
    s = np.linspace(0, 1, PEARLS + 2)[1:-1]
    start = np.stack([s, 0.8 * s * (s - 1)], axis=1).ravel()
    options = {"gtol": 1e-10}
    return minimize(ENERGY, start, weights, "trust-exact", jac=True, hess=CURVATURE, options=options).x


def main(path):
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.2, 2, PEARLS)
    seen = at_rest(truth) + BLUR * rng.normal(size=2 * PEARLS)
    hang = wg.implicit_root(wg.grad(energy), at_rest)  # at rest no force is left

    def misfit(logs):
        return (hang(np.exp(logs)) - seen) / BLUR

    jacobian = wg.jacobian(misfit)
    found = least_squares(misfit, np.zeros(PEARLS), jacobian)
    weights, J = np.exp(found.x), jacobian(found.x)
    spread = weights * np.sqrt(np.diag(np.linalg.inv(J.T @ J)))
    off = np.abs(weights - truth) / spread
    print(
        f"{found.njev} Jacobians; the weights are off by {off.mean():.1f} deviations, {off.max():.1f} at most"
    )
    assert off.max() < 3.5, "the truth is not within the spread"

    figure = Figure(figsize=(8, 3.4), dpi=150)
    left, right = figure.subplots(1, 2)
    for weights_shown, color, name in (
        (np.ones(PEARLS), "#999999", "all weigh 1"),
        (weights, "#1f6f8b", "found"),
    ):
        x, y = np.concatenate([NAILS[0], at_rest(weights_shown).reshape(PEARLS, 2), NAILS[1]]).T
        left.plot(x, y, color=color, linewidth=1.2, label=name)
        left.scatter(x[1:-1], y[1:-1], 40 * weights_shown, color=color)
    left.plot(*seen.reshape(PEARLS, 2).T, "x", color="#d1495b", markersize=5, label="seen")
    left.set(xlabel="x", ylabel="y", title="the string (areas: weights)")
    right.errorbar(
        range(PEARLS), weights, 2 * spread, fmt="o", color="#1f6f8b", label="found, two deviations"
    )
    right.plot(truth, "_", color="#d1495b", markersize=14, markeredgewidth=2, label="truth")
    right.set(
        xlabel="pearl", ylabel="weight", ylim=(0, None), title=f"after {found.njev} Jacobians of a root"
    )
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "implicit.png")
