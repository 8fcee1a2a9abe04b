"""A net solves Poisson's equation on a disk, from the equation alone: its Laplacian should be the source.

Run: python examples/poisson.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import wengert as wg


def exact(p):
    """u = (1 - r²) (1 + x) / 4, of which the Laplacian is -1 - 2x and which is 0 on the circle."""
    return (1 - p[..., 0] ** 2 - p[..., 1] ** 2) * (1 + p[..., 0]) / 4


def main(path):
    rng = np.random.default_rng(0)
    radius, angle = np.sqrt(rng.uniform(size=256)), rng.uniform(0, 2 * np.pi, 256)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    net = wg.MLP([2, 24, 24, 1], activation="tanh", dtype="float64", seed=0)

    def u(params, p):
        return (1 - p @ p) * net.apply(params, p)[0]  # 0 on the circle, whatever the net says

    def residual(params):
        laplacian = wg.vmap(wg.laplacian(u, argnums=1), in_axes=(None, 0))(params, points)
        return np.mean((laplacian + 1 + 2 * points[:, 0]) ** 2)

    optimizer = wg.optim.Adam(1e-2)

    @wg.compile
    def step(params, state):
        loss, gradient = wg.value_and_grad(residual)(params)
        return (loss, *optimizer.step(params, gradient, state))

    params, state, losses = net.params, optimizer.init(net.params), []
    for k in range(600):
        optimizer.lr = 1e-2 * 0.5 * (1 + np.cos(np.pi * k / 600))
        loss, params, state = step(params, state)
        losses.append(loss)

    x, y = np.meshgrid(np.linspace(-1, 1, 81), np.linspace(-1, 1, 81))
    grid = np.stack([x, y], axis=-1).reshape(-1, 2)
    found = wg.vmap(u, in_axes=(None, 0))(params, grid)
    inside = np.sum(grid**2, axis=1) < 1
    error = np.abs(found - exact(grid))[inside].max()
    print(f"{net}: residual {losses[0]:.1e} to {losses[-1]:.1e}, largest error {error:.1e}")
    assert error < 0.01, "the net has not found the solution"

    figure = Figure(figsize=(8, 3.4), dpi=150)
    left, right = figure.subplots(1, 2)
    surface = np.where(inside, found, np.nan).reshape(x.shape)
    shown = left.contourf(x, y, surface, 16, cmap="viridis")
    left.contour(
        x, y, np.where(inside, exact(grid), np.nan).reshape(x.shape), 8, colors="white", linewidths=0.6
    )
    left.set(title="u of the net (white: exact)", aspect="equal")
    figure.colorbar(shown, ax=left)
    right.semilogy(losses, color="#d1495b", linewidth=1.2)
    right.set(title="mean squared residual of Δu = -1 - 2x", xlabel="step")
    right.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "poisson.png")
