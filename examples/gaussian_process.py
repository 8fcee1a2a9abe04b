"""A Gaussian process finds its own length scale: the gradient goes through a Cholesky factor.

Run: python examples/gaussian_process.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import wengert as wg


def kernel(a, b, scale, length):
    return scale**2 * np.exp(-0.5 * ((a[:, None] - b) / length) ** 2)


def main(path):
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(0, 6, 40))
    x = x[(x < 2.4) | (x > 3.6)]
    y = np.sin(2 * x) + 0.15 * rng.normal(size=len(x))

    def factor(logs):
        scale, length, noise = np.exp(logs)
        return np.linalg.cholesky(kernel(x, x, scale, length) + noise**2 * np.eye(len(x)))

    def evidence(logs):
        """The negative log-likelihood of y, but for a constant."""
        L = factor(logs)
        a = np.linalg.solve(L, y)
        return 0.5 * a @ a + np.sum(np.log(np.diagonal(L)))

    cost = wg.compile(wg.value_and_grad(evidence))
    found = minimize(cost, np.zeros(3), jac=True, method="L-BFGS-B")
    scale, length, noise = np.exp(found.x)
    print(f"{found.nfev} gradients: scale {scale:.2f}, length {length:.2f}, noise {noise:.3f} (truth 0.15)")
    assert 0.1 < noise < 0.22, "the noise is not what was added"

    grid = np.linspace(-0.5, 6.5, 300)
    L = factor(found.x)
    across = np.linalg.solve(L, kernel(x, grid, scale, length))  # (observations, grid)
    mean = across.T @ np.linalg.solve(L, y)
    deviation = np.sqrt(scale**2 - np.sum(across**2, axis=0))
    figure = Figure(figsize=(8, 3.4), dpi=150)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    low, high = mean - 2 * deviation, mean + 2 * deviation
    left.fill_between(grid, low, high, color="#1f6f8b", alpha=0.2, linewidth=0, label="two deviations")
    left.plot(grid, np.sin(2 * grid), "--", color="#999999", linewidth=1.2, label="truth")
    left.plot(grid, mean, color="#1f6f8b", linewidth=1.4, label="mean")
    left.plot(x, y, ".", color="#d1495b", markersize=5, label="observed")
    left.set(xlabel="x", ylabel="y", ylim=(-2.2, 2.8), title="what the process makes of them")
    left.legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
    lengths, noises = np.meshgrid(np.linspace(-1.2, 1, 40), np.linspace(-3, 0, 40))
    along = np.stack([np.full(lengths.size, found.x[0]), lengths.ravel(), noises.ravel()], axis=1)
    costs = wg.vmap(evidence)(along).reshape(lengths.shape) - found.fun
    shown = right.contourf(
        np.exp(lengths), np.exp(noises), costs, [0, 1, 2, 4, 8, 16, 32, 64], cmap="Blues_r"
    )
    right.plot(length, noise, "o", color="#d1495b")
    right.set(
        xlabel="length", ylabel="noise", xscale="log", yscale="log", title="log-likelihood below the best"
    )
    right.set_xticks([0.5, 1, 2], ["0.5", "1", "2"], minor=False)
    right.set_xticks([], minor=True)
    figure.colorbar(shown, ax=right)
    left.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "gaussian_process.png")
