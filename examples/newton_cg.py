"""Newton's method without the matrix: conjugate gradients only multiply with the Hessian, which is wg.hvp.

Run: python examples/newton_cg.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import wengert as wg


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


GRADIENT = wg.compile(wg.value_and_grad(rosenbrock))
PRODUCT = wg.compile(wg.hvp(rosenbrock))


def way(start, method, **options):
    """The points that a method of scipy.optimize goes through, and its result."""
    points = [start]
    found = minimize(
        GRADIENT, start, jac=True, method=method, callback=lambda x: points.append(x.copy()), **options
    )
    return np.array(points), found


def main(path):
    figure = Figure(figsize=(8, 3.6), dpi=150)
    left, right = figure.subplots(1, 2)
    x, y = np.meshgrid(np.linspace(-1.6, 1.4, 200), np.linspace(-0.5, 1.6, 200))
    levels = 10.0 ** np.arange(-1.5, 3.1, 0.5)
    left.contour(x, y, 100 * (y - x**2) ** 2 + (1 - x) ** 2, levels, colors="#999999", linewidths=0.6)
    points, found = way(np.array([-1.2, 1.0]), "trust-ncg", hessp=PRODUCT, tol=1e-10)
    left.plot(*points.T, "o-", color="#d1495b", markersize=2.5, linewidth=1)
    left.plot(1, 1, "*", color="#1f6f8b", markersize=10)
    left.set(xlabel="$x_0$", ylabel="$x_1$", title=f"Rosenbrock's valley in {found.nit} steps")

    tight = {"options": {"ftol": 0, "gtol": 1e-10, "maxiter": 1000}}
    for method, options, color in (
        ("trust-ncg", {"hessp": PRODUCT, "tol": 1e-10}, "#d1495b"),
        ("L-BFGS-B", tight, "#1f6f8b"),
        ("CG", {"tol": 1e-10}, "#999999"),
    ):
        points, found = way(np.linspace(0.5, 1.5, 1000), method, **options)
        products = f", {found.nhev} products" if "nhev" in found else ""
        print(f"{method}: {found.nit} steps, {found.nfev} gradients{products}")
        distance = np.abs(points - 1).max(axis=1)
        right.semilogy(np.maximum(distance, 1e-16), color=color, label=method + products)
        assert distance[-1] < 1e-8, "the minimum is at 1"
    right.set(xlabel="step", xlim=(0, 200), title="largest $|x_i - 1|$ of 1,000 variables")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "newton_cg.png")
