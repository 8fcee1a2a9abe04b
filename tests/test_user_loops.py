"""Loops that write in place as people write them: values, and derivatives against complex step."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_in_place import X

import wengert as wg


def elimination(x):
    a, b, n = np.outer(x, x) + np.eye(6) * 4, x.copy(), 6
    for i in range(n):
        for j in range(i + 1, n):
            m = a[j, i] / a[i, i]
            a[j] -= m * a[i]
            b[j] -= m * b[i]
    z = np.zeros(6) * x
    for i in reversed(range(n)):
        z[i] = (b[i] - a[i, i + 1 :] @ z[i + 1 :]) / a[i, i]
    return np.sum(z**2)


def diffusion(x):
    u = x * 1.0
    for _ in range(4):
        u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u[0], u[-1] = u[1], u[-2]
    return np.sum(u**2)


def rows_in_turn(x):
    a = x.reshape(3, 2) * 1.0
    for row in a:
        row *= row[0]
        row -= row.mean()
    first, second, _ = a
    first += second
    return np.sum(a**2 * x.reshape(3, 2))


def pairs_of_views(x):
    y = x * 1.0
    total = 0
    for i, (left, right) in enumerate(zip(y, y[::-1], strict=True)):
        y[i] = left * right
        total = total + left * right
    return total + np.sum(y)


def parameters(x):
    w = x * 1.0
    views = {"weight": w[:4].reshape(2, 2), "bias": w[4:]}
    velocity = {k: np.zeros_like(v) * v for k, v in views.items()}
    for _ in range(3):
        for k, v in views.items():
            velocity[k] *= 0.9
            velocity[k] -= 0.1 * v**3
            v += velocity[k]
    return np.sum(w**2)


def best_so_far(x):
    score = x @ x
    best = score
    for k in range(3):
        score += x[k]
    m = np.median(x)
    old = m
    m *= score
    return best * score + old * m


def calls_by_reference(x):
    def add(a, b):
        a += b
        return a

    y = x * 1.0
    add(y, y)
    add(y[:3], y[3:])
    add(y[..., 0], y[1])
    return np.sum(y**2)


LOOPS = [
    elimination,
    diffusion,
    rows_in_turn,
    pairs_of_views,
    parameters,
    best_so_far,
    calls_by_reference,
]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
def test_loops_as_people_write_them(loop):
    """Derivatives by complex step; the median is of real parts apart, and moves as its element does."""
    h = 1e-30
    slopes = [loop(X + h * 1j * e).imag / h for e in np.eye(6)]
    for f in (loop, wg.compile(loop)):
        assert_allclose(f(X), loop(X.copy()), rtol=1e-13)
        assert_allclose(wg.grad(f)(X), slopes, rtol=1e-11, atol=1e-12)
        assert_allclose([wg.jvp(f, (X,), (e,))[1] for e in np.eye(6)], slopes, rtol=1e-11, atol=1e-12)
