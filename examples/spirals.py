"""Two spirals, told apart by a small net; draws the probability over the plane.

Run: python examples/spirals.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import wengert as wg


def spirals(rows, rng):
    """Points (rows, 2) on two arms that wind around each other, and the arm of each."""
    arm = np.arange(rows) % 2
    turn = np.sqrt(rng.uniform(0.02, 1, rows)) * 3 * np.pi
    angle = turn + np.pi * arm
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / (3 * np.pi)
    return points + 0.01 * rng.normal(size=(rows, 2)), arm


def main(path):
    X, y = spirals(800, np.random.default_rng(0))
    net = wg.MLP([2, 64, 64, 1], activation="gelu", seed=0)
    history = net.fit(X, y, loss="cross_entropy", optimizer=wg.optim.Adam(5e-3), epochs=400, batch_size=50)
    correct = np.mean((net.predict_proba(X)[:, 0] > 0.5) == y)
    print(f"{net}: loss {history.loss[-1]:.4f}, {correct:.1%} correct after {history.seconds[-1]:.1f} s")

    side = np.linspace(-1.15, 1.15, 200)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    figure = Figure(figsize=(5, 5), dpi=150)
    axes = figure.subplots()
    p = net.predict_proba(plane).reshape(len(side), len(side))
    axes.contourf(side, side, p, levels=np.linspace(0, 1, 21), cmap="RdBu", alpha=0.85)
    axes.scatter(*X.T, c=np.where(y, "#d6e8f7", "#fadcd7"), s=6, linewidths=0)
    axes.set(
        aspect="equal", xticks=[], yticks=[], title=f"{correct:.1%} of {len(X)} points on the right side"
    )
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "spirals.png")
