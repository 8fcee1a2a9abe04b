"""A dose-response curve that may only rise, from 0 to 1: a fit under constraints, with exact derivatives.

Run: python examples/constrained_fit.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import wengert as wg


def curve(c, x):
    """A polynomial of degree len(c) - 1 on [0, 1], by Horner's rule."""
    y = 0 * x
    for k in range(len(c) - 1, -1, -1):
        y = y * (2 * x - 1) + c[k]
    return y


def main(path):
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 1, 25))
    y = x**3 / (x**3 + 0.3**3) + 0.06 * rng.normal(size=25)
    grid = np.linspace(0, 1, 101)
    rises = wg.elementwise_grad(curve, argnums=1)  # a derivative, of which the solver wants the derivative

    def ends(c):
        return curve(c, np.array([0.0, 1.0])) - np.array([0.0, 1.0])

    def slopes(c):
        return rises(c, grid)

    cost = wg.compile(wg.value_and_grad(lambda c: np.sum((curve(c, x) - y) ** 2)))
    constraints = [
        {"type": kind, "fun": wg.compile(f), "jac": wg.compile(wg.jacobian(f))}
        for kind, f in (("eq", ends), ("ineq", slopes))
    ]
    free = minimize(cost, np.zeros(10), jac=True, method="BFGS").x
    options = {"maxiter": 500}
    found = minimize(cost, np.zeros(10), jac=True, constraints=constraints, method="SLSQP", options=options)
    steepest, flattest = slopes(found.x).max(), slopes(found.x).min()
    print(f"{found.nit} steps: the slope goes from {flattest:.1e} to {steepest:.2f}")
    assert flattest > -1e-8, "the curve falls"
    assert np.abs(ends(found.x)).max() < 1e-8, "the curve does not go from 0 to 1"

    figure = Figure(figsize=(8, 3.4), dpi=150)
    left, right = figure.subplots(1, 2)
    left.plot(x, y, ".", color="#999999", label="measured")
    for c, color, name in ((free, "#9bbfcc", "free"), (found.x, "#d1495b", "constrained")):
        left.plot(grid, curve(c, grid), color=color, label=name)
        right.plot(grid, slopes(c), color=color, label=name)
    right.axhline(0, color="#999999", linewidth=0.8)
    left.set(xlabel="dose", ylabel="response", ylim=(-0.25, 1.25), title="polynomials of degree 9")
    right.set(xlabel="dose", ylim=(-1.5, 4), title="their slopes")
    for axes in (left, right):
        axes.legend(frameon=False, loc="lower right" if axes is left else "upper right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "constrained_fit.png")
