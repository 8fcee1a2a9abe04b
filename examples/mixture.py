"""A mixture of Gaussians fitted twice: by expectation-maximisation, and by the likelihood's gradient.

Run: python examples/mixture.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from scipy.optimize import minimize

import wengert as wg

GROUPS = 3


def log_joint(weights, means, factors, x):
    """The logarithm of weight times density, (rows, groups); factors L with covariance L Lᵀ."""
    z = np.linalg.solve(factors, np.moveaxis(x[:, None] - means, 0, -1))  # (groups, 2, rows)
    logs = np.log(weights) - np.log(np.abs(np.linalg.det(factors))) - np.log(2 * np.pi)
    return logs - 0.5 * np.sum(z**2, axis=1).T


def likelihood(weights, means, factors, x):
    return np.sum(wg.numpy.logsumexp(log_joint(weights, means, factors, x), axis=1))


def by_em(weights, means, factors, x):
    """Shares of the groups in each row, then the groups by their shares, until nothing moves."""
    values = []
    for _ in range(200):
        values.append(likelihood(weights, means, factors, x))
        share = np.exp(log_joint(weights, means, factors, x))
        share /= share.sum(axis=1, keepdims=True)
        total = share.sum(axis=0)
        weights, means = total / len(x), share.T @ x / total[:, None]
        apart = x[:, None] - means
        factors = np.linalg.cholesky(np.einsum("rg,rgi,rgj->gij", share, apart, apart) / total[:, None, None])
    return (weights, means, factors), values


def by_gradient(weights, means, factors, x):
    """The same likelihood over free parameters: weights as a softmax, means, factors as they are."""
    start, unflatten = wg.flatten((np.log(weights), means, factors))

    @wg.compile
    @wg.value_and_grad
    def cost(theta):
        logs, means, factors = unflatten(theta)
        return -likelihood(np.exp(logs) / np.sum(np.exp(logs)), means, np.tril(factors), x)

    values = []

    def note(intermediate_result):
        values.append(-intermediate_result.fun)

    found = minimize(cost, start, jac=True, method="L-BFGS-B", callback=note, options={"ftol": 1e-12})
    logs, means, factors = unflatten(found.x)
    return (np.exp(logs) / np.exp(logs).sum(), means, np.tril(factors)), values


def main(path):
    rng = np.random.default_rng(0)
    parts = (
        ([0, 0], [[1.2, 0.6], [0.6, 0.5]], 300),
        ([3, 1], [[0.3, -0.2], [-0.2, 0.8]], 200),
        ([0.5, 2.5], [[0.5, 0], [0, 0.2]], 150),
    )
    x = np.concatenate([rng.multivariate_normal(*part) for part in parts])
    start = np.full(GROUPS, 1 / GROUPS), x[[0, 350, 600]], np.stack(GROUPS * [np.eye(2)])
    fitted, em = by_em(*start, x)
    other, steps = by_gradient(*start, x)
    slope = max(np.abs(s).max() for s in wg.grad(likelihood, argnums=(1, 2))(*fitted, x))
    print(f"log-likelihood {em[-1]:.4f} by EM (slope left: {slope:.0e}), {steps[-1]:.4f} by its gradient")
    assert slope < 1e-6, "EM ends where the likelihood has no slope"
    assert np.abs(other[0] - fitted[0]).max() < 1e-3, "both find the same mixture"

    figure = Figure(figsize=(8, 3.6), dpi=150)
    left, right = figure.subplots(1, 2)
    joint = log_joint(*fitted, x)
    share = np.exp(joint - wg.numpy.logsumexp(joint, axis=1)[:, None])
    colors = np.array([[0.12, 0.44, 0.55], [0.82, 0.29, 0.36], [0.93, 0.68, 0.29]])
    left.scatter(*x.T, c=share @ colors, s=5, linewidths=0)
    for mean, L, color in zip(*fitted[1:], colors, strict=True):
        sizes, axes = np.linalg.eigh(L @ L.T)
        angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
        for times in (1, 2):  # standard deviations
            width, height = 2 * times * np.sqrt(sizes[::-1])
            left.add_patch(Ellipse(mean, width, height, angle=angle, fill=False, edgecolor=color))
    left.set(xlabel="$x_0$", ylabel="$x_1$", aspect="equal", title="one and two standard deviations")
    best = max(em[-1], steps[-1])
    for values, color, name in ((em, "#999999", "EM"), (steps, "#d1495b", "L-BFGS by the gradient")):
        right.semilogy(best - np.array(values) + 1e-6, color=color, label=name)
    right.set(xlabel="step", xlim=(0, 60), ylim=(1e-6, None), title="log-likelihood below the best")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "mixture.png")
