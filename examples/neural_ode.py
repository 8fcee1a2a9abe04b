"""A net learns how hares and lynxes come and go, from noisy counts, through a Runge-Kutta solver by scan.

Run: python examples/neural_ode.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize

import wengert as wg

STEPS, DT = 100, 0.1


def lotka_volterra(state):
    """The law that the net has to find: hares and lynxes, (rows, 2), to their rates."""
    hares, lynxes = state[:, 0], state[:, 1]
    return wg.numpy.stack([hares * (1 - lynxes), lynxes * (hares - 1)], axis=1)


def orbits(field, starts):
    """The states (steps, rows, 2) after `starts` (rows, 2), by the classic method of fourth order.

    A reverse sweep keeps every tenth of them and takes the steps between once more.
    """

    def step(state, _):
        k1 = field(state)
        k2 = field(state + DT / 2 * k1)
        k3 = field(state + DT / 2 * k2)
        k4 = field(state + DT * k3)
        state = state + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return state, state

    return wg.scan(step, starts, length=STEPS, checkpoint="sqrt")[1]


def main(path):
    rng = np.random.default_rng(0)
    starts, unseen = np.array([[1.0, 2.0], [1.0, 1.4], [2.0, 0.5]]), np.array([[1.0, 1.7]])
    observed = orbits(lotka_volterra, starts)
    observed = observed + 0.05 * rng.normal(size=observed.shape)
    net = wg.MLP([2, 32, 2], activation="tanh", dtype="float64", seed=0)
    theta, unflatten = wg.flatten(net.params)

    def learned(theta, starts):
        return orbits(lambda state: net.apply(unflatten(theta), state), starts)

    @wg.compile
    @wg.value_and_grad
    def cost(theta):
        return np.mean((learned(theta, starts) - observed) ** 2)

    found = minimize(cost, theta, jac=True, method="L-BFGS-B", options={"maxiter": 400})
    expected, path_of_net = orbits(lotka_volterra, unseen)[:, 0], learned(found.x, unseen)[:, 0]
    error = np.abs(path_of_net - expected).max()
    print(
        f"{net}: {np.sqrt(found.fun):.3f} from the counts (noise 0.05), {error:.3f} from an orbit never seen"
    )
    assert error < 0.25, "the net has not found the law"

    figure = Figure(figsize=(8, 3.6), dpi=150)
    left, right = figure.subplots(1, 2)
    left.plot(*observed.reshape(-1, 2).T, ".", color="#999999", markersize=2.5, label="counts")
    grid = np.stack(np.meshgrid(np.linspace(0.1, 2.6, 12), np.linspace(0.1, 2.6, 12)), axis=-1).reshape(-1, 2)
    left.quiver(*grid.T, *net.apply(unflatten(found.x), grid).T, color="#1f6f8b", alpha=0.5, width=0.004)
    left.plot(*path_of_net.T, color="#d1495b", linewidth=1.4, label="orbit never seen")
    left.set(
        xlabel="hares, thousands",
        ylabel="lynxes, thousands",
        ylim=(0, 3.2),
        title="arrows: the law of the net",
    )
    time = DT * np.arange(1, STEPS + 1)
    for k, (name, color) in enumerate((("hares", "#1f6f8b"), ("lynxes", "#d1495b"))):
        right.plot(time, expected[:, k], color=color, alpha=0.35, linewidth=5)
        right.plot(time, path_of_net[:, k], color=color, linewidth=1.4, label=f"{name} (wide: true)")
    right.set(xlabel="time, years", ylabel="thousands", ylim=(0, 2.3), title="an orbit never seen")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", markerscale=3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "neural_ode.png")
