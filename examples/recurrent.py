"""A recurrent net learns to repeat what it heard five steps ago: the loop over time is a scan.

Run: python examples/recurrent.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import wengert as wg

WIDTH, DELAY = 24, 5


def echo(params, heard):
    """What the net says at each step to what it hears: (steps, rows) to (steps, rows)."""

    def step(state, x):
        state = np.tanh(state @ params["state"] + x[:, None] * params["in"] + params["bias"])
        return state, state @ params["out"]

    _, said = wg.scan(step, np.zeros((heard.shape[1], WIDTH)), heard)
    return said


def main(path):
    rng = np.random.default_rng(0)
    params = {
        "state": np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0],  # keeps what it has heard, at first
        "in": 0.3 * rng.normal(size=WIDTH),
        "bias": np.zeros(WIDTH),
        "out": 0.3 * rng.normal(size=WIDTH),
    }
    optimizer = wg.optim.Adam(3e-3)

    def loss(params, heard):
        return np.mean((echo(params, heard)[DELAY:] - heard[:-DELAY]) ** 2)

    @wg.compile
    def step(params, state, heard):
        value, gradient = wg.value_and_grad(loss)(params, heard)
        return (value, *optimizer.step(params, gradient, state))

    state, losses = optimizer.init(params), []
    for _ in range(1500):
        value, params, state = step(params, state, rng.uniform(-1, 1, (30, 16)))
        losses.append(value)
    heard = rng.uniform(-1, 1, (60, 1))
    said = echo(params, heard)[:, 0]
    error = np.sqrt(np.mean((said[DELAY:] - heard[:-DELAY, 0]) ** 2))
    print(f"mean squared error {losses[0]:.2f} to {losses[-1]:.1e}; {error:.3f} off on a longer sequence")
    assert error < 0.1, "the net has not learned to repeat"

    figure = Figure(figsize=(8, 3.2), dpi=150)
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    steps = np.arange(60)
    left.plot(
        steps[DELAY:],
        heard[:-DELAY, 0],
        color="#1f6f8b",
        alpha=0.35,
        linewidth=5,
        label="heard five steps ago",
    )
    left.plot(steps, said, color="#d1495b", linewidth=1.4, label="said")
    left.set(xlabel="step", ylim=(-1.1, 1.6), title="on a sequence twice as long as those learned from")
    left.legend(frameon=False, ncols=2, loc="upper center")
    right.semilogy(losses, color="#d1495b", linewidth=0.8)
    right.set(xlabel="training step", title="mean squared error")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "recurrent.png")
