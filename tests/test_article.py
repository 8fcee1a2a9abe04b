"""The values of Rufflewind, "Reverse-mode automatic differentiation: a tutorial" (2016):
https://rufflewind.com/2016-12-30/reverse-mode-automatic-differentiation"""

import math

import numpy as np
import pytest

import wengert as wg


@pytest.fixture
def article():
    t = wg.Tape()
    x, y = t.var(0.5, name="x"), t.var(4.2, name="y")
    return t, x, y


def test_forward(article):
    _, x, y = article
    z = x * y + np.sin(x)
    assert z.value == 2.579425538604203
    assert z.value == 0.5 * 4.2 + math.sin(0.5)


def test_reverse(article):
    t, x, y = article
    z = x * y + np.sin(x)
    g = t.gradient(z)
    assert g.wrt(x) == g[x] == 5.077582561890373
    assert g.wrt(y) == g[y] == 0.5
    assert z.grad().wrt(x) == 5.077582561890373


def test_a_gradient_leaves_the_tape_as_it_was(article):
    t, x, y = article
    z = x * y + np.sin(x)
    length = len(t)
    t.gradient(z)
    assert len(t) == length


def test_two_outputs_of_one_tape(article):
    t, x, _ = article
    z, v = 2 * x + np.sin(x), 4 * x + np.cos(x)
    assert t.gradient(z).wrt(x) == 2 + math.cos(0.5)
    assert t.gradient(v).wrt(x) == 4 - math.sin(0.5)
    assert t.gradient(z).wrt(x) == 2 + math.cos(0.5)


def test_forward_mode_on_the_same_tape(article):
    t, x, y = article
    z, v = x * y + np.sin(x), 4 * x + np.cos(x)
    d = t.tangent(x)
    assert d.of(z) == 5.077582561890373
    assert d.of(v) == 4 - math.sin(0.5)
    assert d.of(y) == 0
    assert t.tangent(y).of(z) == 0.5
    assert t.gradient(z).wrt(x) == d.of(z)


def test_independent_variables_have_zero_derivative(article):
    t, x, y = article
    assert t.gradient(np.sin(x)).wrt(y) == 0


def test_the_chain(article):
    """x <- x^1.01, 100 times from 4.2: x^(1.01^100), whose derivative is n x^(n-1) with n = 1.01^100."""
    t = article[0]
    start = x = t.var(4.2)
    for _ in range(100):
        x = x**1.01
    n = 1.01**100
    assert x.value == pytest.approx(4.2**n, rel=1e-10)
    assert t.gradient(x).wrt(start) == pytest.approx(n * 4.2 ** (n - 1), rel=1e-10)
    assert t.tangent(start).of(x) == pytest.approx(n * 4.2 ** (n - 1), rel=1e-10)


def test_second_derivatives(article):
    t, x, y = article
    z = x * y + np.sin(x)
    g = t.gradient(z, create_graph=True)
    assert t.gradient(g.var(x)).wrt(x) == -math.sin(0.5)
    assert t.gradient(g.var(x)).wrt(y) == 1
    assert t.tangent(x).of(g.var(y)) == 1
