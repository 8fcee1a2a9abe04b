"""A net solves Burgers' equation, u_t + u u_x = ν u_xx, from the equation alone; Cole and Hopf check it.

Run: python examples/burgers.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import wengert as wg

NU = 0.02


def exact(t, x):
    """The solution that starts as -sin(πx), by the transform of Cole (1951) and Hopf (1950).

    It is a quotient of integrals over a Gaussian of variance 2νt, taken here by Gauss-Hermite quadrature.
    """
    z, weight = np.polynomial.hermite.hermgauss(100)
    y = x[..., None] - np.sqrt(4 * NU * t[..., None]) * z
    weight = weight * np.exp(-(1 + np.cos(np.pi * y)) / (2 * np.pi * NU))
    return -np.sum(weight * np.sin(np.pi * y), axis=-1) / np.sum(weight, axis=-1)


def main(path):
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(0, 1, 1000), rng.uniform(-1, 1, 1000)], axis=1)  # t, x
    points[:300, 1] = rng.normal(0, 0.1, 300)  # where the shock will stand
    net = wg.MLP([2, 32, 32, 32, 32, 1], activation="tanh", dtype="float64", seed=0)
    start, unflatten = wg.flatten(net.params)

    def u(params, t, x):
        """-sin(πx) at t = 0, and 0 at x = ±1, whatever the net says."""
        net_says = net.apply(params, wg.numpy.stack([t, x]))[0]
        return -np.sin(np.pi * x) + t * (1 - x**2) * net_says

    def residual(params, p):
        u_t, u_x = wg.grad(u, argnums=(1, 2))(params, p[0], p[1])
        u_xx = wg.laplacian(u, argnums=2)(params, p[0], p[1])
        return u_t + u(params, p[0], p[1]) * u_x - NU * u_xx

    @wg.compile
    @wg.value_and_grad
    def cost(theta):
        return np.mean(wg.vmap(residual, in_axes=(None, 0))(unflatten(theta), points) ** 2)

    options = {"maxiter": 800, "maxcor": 50}
    found = minimize(cost, start, jac=True, method="L-BFGS-B", options=options)
    t, x = np.meshgrid(np.linspace(0, 1, 101), np.linspace(-1, 1, 401), indexing="ij")
    u_of_all = wg.vmap(u, in_axes=(None, 0, 0))
    solution = u_of_all(unflatten(found.x), t.ravel(), x.ravel()).reshape(t.shape)
    error = np.abs(solution - exact(t, x)).max()
    print(f"{net}: residual {np.sqrt(found.fun):.1e} after {found.nit} steps, largest error {error:.1e}")
    assert error < 0.05, "the net has not found the solution"

    figure = Figure(figsize=(8, 3.4), dpi=150)
    left, right = figure.subplots(1, 2)
    shown = left.pcolormesh(t, x, solution, cmap="RdBu_r", shading="gouraud", rasterized=True)
    left.plot(*points.T, ".", color="black", markersize=1, alpha=0.3)
    left.set(xlabel="t", ylabel="x", title="u(t, x), and 1,000 points")
    figure.colorbar(shown, ax=left)
    for row, color in zip((0, 25, 50, 100), ("#9bbfcc", "#5e9ab0", "#1f6f8b", "#d1495b"), strict=True):
        right.plot(x[row], exact(t, x)[row], color=color, alpha=0.35, linewidth=5)
        right.plot(x[row], solution[row], color=color, linewidth=1.4, label=f"t = {t[row, 0]:g}")
    right.set(xlabel="x", ylabel="u", title=f"wide: exact, off by {error:.3f} at most")
    right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "burgers.png")
