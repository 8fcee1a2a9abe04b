"""Newton's method on 100,000 variables: a soap film in a wire, by the sparse Hessian of its area.

Run: python examples/sparse_newton.py [picture.png]
"""

import sys
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import zoom
from scipy.sparse.linalg import spsolve

import wengert as wg

EDGE = 1.2  # the film hangs over the square |x|, |y| ≤ EDGE


def exact(points):
    """A minimal surface (Scherk 1834) on a grid of points²; its rim is the wire."""
    s = np.linspace(-EDGE, EDGE, points)
    return np.log(np.cos(s)[:, None] / np.cos(s))


def shrunk(film):
    """The least film in this one's rim, by Newton's method, and the largest slopes before its steps."""
    points = len(film)
    h = 2 * EDGE / (points - 1)
    rim = film.copy()
    rim[1:-1, 1:-1] = 0

    def filled(heights):
        return rim + np.pad(heights.reshape(points - 2, points - 2), 1)

    def area(heights):
        z = filled(heights)
        dx, dy = np.diff(z, axis=0) / h, np.diff(z, axis=1) / h
        below = np.sqrt(1 + dx[:, :-1] ** 2 + dy[:-1] ** 2)  # two triangles in each cell of the grid
        above = np.sqrt(1 + dx[:, 1:] ** 2 + dy[1:] ** 2)
        return np.sum(below + above) * h**2 / 2

    gradient, hessian = wg.compile(wg.grad(area)), wg.sparse_hessian(area)
    heights, slopes = film[1:-1, 1:-1].ravel(), []
    while True:
        slope, start = gradient(heights), perf_counter()
        slopes.append(np.abs(slope).max())
        if slopes[-1] < 1e-12:
            return filled(heights), slopes
        H = hessian(heights)
        seconds = perf_counter() - start
        print(f"{H.shape[0]:,} variables: {H.nnz:,} second derivatives in {seconds:.3f} s")
        heights = heights - spsolve(H.tocsc(), slope, permc_spec="MMD_AT_PLUS_A")


def main(path):
    figure = Figure(figsize=(8, 3.6), dpi=150)
    left, right = figure.add_subplot(1, 2, 1, projection="3d"), figure.add_subplot(1, 2, 2)
    film = np.zeros((21, 21))
    for points, color in ((21, "#9bbfcc"), (81, "#1f6f8b"), (321, "#d1495b")):
        film = zoom(film, points / len(film), order=1)  # the coarser film is a good start
        for rim in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
            film[rim] = exact(points)[rim]
        film, slopes = shrunk(film)
        error = np.abs(film - exact(points)).max()
        right.semilogy(slopes, "o-", color=color, markersize=4, label=f"{(points - 2) ** 2:,} variables")
        print(f"{points}² points: largest error {error:.1e}")
    assert error < 1e-5, "the film is not Scherk's surface"

    x, y = np.meshgrid(np.linspace(-EDGE, EDGE, 321), np.linspace(-EDGE, EDGE, 321), indexing="ij")
    left.plot_surface(x, y, film, cmap="viridis", rcount=60, ccount=60, linewidth=0)
    left.set(
        title=f"a soap film (error {error:.0e})", xticks=[-1, 0, 1], yticks=[-1, 0, 1], zticks=[-1, 0, 1]
    )
    right.set(xlabel="Newton step", title="largest slope of the area")
    right.legend(frameon=False, fontsize=8)
    right.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sparse_newton.png")
