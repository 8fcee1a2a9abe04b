"""A net learns a function from samples; its Jacobian is then the derivative, which it has never seen.

Run: python examples/surrogate.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import wengert as wg
from wengert.training import cosine_decay


def f(x):
    return np.sin(2 * x) * np.exp(-0.2 * x**2)


def main(path):
    X = np.linspace(-4, 4, 200)[:, None]
    net = wg.MLP([1, 32, 32, 1], activation="tanh", dtype="float64", seed=0)
    optimizer = wg.optim.Adam(5e-3)
    decay = cosine_decay(optimizer, 1500)
    net.fit(X, f(X), optimizer=optimizer, epochs=1500, batch_size=10, callbacks=[decay])

    x = np.linspace(-4, 4, 401)
    value, jacobian = net.value_and_jacobian(x[:, None])
    slope = wg.elementwise_grad(f)(x)  # of the NumPy function itself
    errors = np.abs(value[:, 0] - f(x)).max(), np.abs(jacobian[:, 0, 0] - slope).max()
    print(f"{net}: largest error {errors[0]:.1e} of the function, {errors[1]:.1e} of the derivative")

    figure = Figure(figsize=(7, 3.8), dpi=150)
    axes = figure.subplots()
    for exact, learned, color, name in (
        (f(x), value[:, 0], "#1f6f8b", "function"),
        (slope, jacobian[:, 0, 0], "#d1495b", "derivative"),
    ):
        axes.plot(x, exact, color=color, alpha=0.35, linewidth=5, solid_capstyle="round")
        axes.plot(x, learned, color=color, linewidth=1.4, label=f"{name} of the net (wide: exact)")
    axes.set(xlabel="x", ylim=(-1.6, 2.8), title="sin(2x) exp(-x²/5), learned from 200 values")
    axes.legend(frameon=False, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "surrogate.png")
