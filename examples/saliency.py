"""Which pixels decide?  A net reads handwritten digits; its Jacobian shows what each pixel does.

Run: python examples/saliency.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import wengert as wg
from wengert.training import split_rows


def main(path):
    digits = wg.io.load_dataset("digits")
    X, y = digits.X / 16, digits.y
    held, rest = split_rows(y, 0.2, np.random.default_rng(0))
    net = wg.MLP([64, 128, 10], activation="softplus", seed=0)
    net.fit(X[rest], y[rest], loss="cross_entropy", optimizer=wg.optim.Adam(3e-3), epochs=40, batch_size=64)
    logits, jacobian = net.value_and_jacobian(X[held])  # (rows, 10), (rows, 10, 64)
    verdict = logits.argmax(axis=1)
    print(f"{net}: {np.mean(verdict == y[held]):.1%} of {len(held)} digits read correctly")

    rows = [int(np.argmax(y[held] == digit)) for digit in range(10)]
    figure = Figure(figsize=(10, 2.4), dpi=150)
    axes = figure.subplots(2, 10)
    for column, row in enumerate(rows):
        slopes = jacobian[row, verdict[row]].reshape(8, 8)  # of the winning logit by every pixel
        axes[0, column].imshow(X[held][row].reshape(8, 8), cmap="gray_r")
        axes[1, column].imshow(slopes, cmap="RdBu", vmin=-np.abs(slopes).max(), vmax=np.abs(slopes).max())
        axes[0, column].set_title(f"read as {verdict[row]}", fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    axes[1, 0].set_ylabel("slope", fontsize=8)
    figure.suptitle("blue: more ink here speaks for the digit, red: against it", y=0.04, fontsize=9)
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "saliency.png")
