"""Where a derivative would be lost the error names the user's line, what happened and the way out; the first
NaN is found."""

import math
import operator

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats
from numpy.testing import assert_allclose

import wengert as wg
import wengert.numpy as wnp

LOSSES = {
    "float": (lambda v: float(v), "np.sin"),
    "int": (lambda v: int(v), "astype"),
    "complex": (lambda v: complex(v), "astype"),
    "math": (lambda v: math.sin(v), "np.sin"),
    "asarray": (lambda v: np.asarray(v), "wengert.numpy.asarray"),
    "array": (lambda v: np.array([v, v]), "np.stack"),
    "random": (lambda v: np.random.normal(v), "wengert.random"),  # noqa: NPY002 - the global generator is meant
    "generator": (lambda v: np.random.default_rng(0).normal(v, 1.0), "wengert.random"),
    "item": (lambda v: v.item(), "v itself"),
    "array[i] = v": (lambda v: np.zeros(3).__setitem__(0, v), "a[i] = v"),
    "array += v": (lambda v: operator.iadd(np.zeros(3), v), "a = a + v"),
    "out=array": (lambda v: np.sin(v, out=np.zeros(())), "a = a + v"),
    "full": (lambda v: np.full(2, v), "wengert.numpy.asarray"),
    "full_like": (lambda v: np.full_like(np.zeros(2), v), "np.where"),
    "copyto": (lambda v: np.copyto(np.zeros(2), v), "np.where"),
    "add.at": (lambda v: np.add.at(np.zeros(2), [0], v), "index_add"),
    "fromiter": (lambda v: np.fromiter([v, v], float), "np.stack"),
    "floor": (lambda v: math.floor(v), "np.sin"),
    "hypot": (lambda v: math.hypot(v, 1.0), "np.sin"),
    "fsum": (lambda v: math.fsum([v, v]), "np.sin"),
    "float64": (lambda v: np.float64(v), "wengert.numpy.asarray"),
    "tolist": (lambda v: v.tolist(), "list(v)"),
    "tobytes": (lambda v: v.tobytes(), "v.value.tobytes"),
    "flat": (lambda v: v.flat, "v.value.flat"),
    "index": (lambda v: [1, 2, 3][v], "np.take"),
    "range": (lambda v: range(v), "static_argnums"),
    "uniform": (lambda v: np.random.uniform(0, v), "wengert.random"),  # noqa: NPY002 - the global generator is meant
    "scipy.linalg": (lambda v: scipy.linalg.expm(v * np.eye(2)), "wengert.scipy.linalg"),
    "scipy.integrate": (lambda v: scipy.integrate.quad(lambda t: t * v, 0, 1), "wg.implicit_root"),
    "scipy.stats": (lambda v: scipy.stats.norm.logpdf(v), "wengert.scipy.stats"),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_lost_derivative_is_named_with_the_line(name, compiled):
    f, way_out = LOSSES[name]
    with pytest.raises((TypeError, ValueError, AttributeError)) as raised:
        (wg.compile if compiled else wg.grad)(f)(0.5)
    text = f"{raised.value} {raised.value.__cause__} {raised.value.__context__}"
    assert way_out in text
    assert "test_refusals.py, line" in text


def looked_up(x):
    """Integers and bools in places that take plain numbers only."""
    table, k, cells = np.array([10.0, 20.0, 30.0]), np.argmax(x), np.floor(x).astype(int)
    y = table[k] * x[0] + np.sum(table[cells] * x) + np.sum(table[x > 1]) * x[1] + [1, 2, 3][k] * x[1]
    return y + sum(range(k)) * x[2] + int(k) * x[0] + float(k.item()) * x[1] + cells.tolist()[1] * x[2]


def test_integers_and_bools_have_no_derivative_to_lose():
    x = np.array([0.3, 1.2, 2.1])
    value, slope = wg.value_and_grad(looked_up)(x)
    assert_allclose(value, looked_up(x))
    assert_allclose(slope, [10 + 30 + 2, 20 + 50 + 3 + 2, 30 + 1 + 1])
    for f in (
        lambda x: np.ones(3)[np.argmax(x)] * x[0],
        lambda x: np.sum(np.ones(3)[x > 1]),
        lambda x: [1, 2][np.argmax(x)] * x[0],
        lambda x: int(np.argmax(x)) * x[0],
    ):
        with pytest.raises(TypeError, match=r"np\.take\(a, v\)|v\.astype\(int\)"):
            wg.compile(wg.grad(f))(x)


VALUES = {
    "bool": (lambda v: v if v > 0 else -v, "wg.cond"),
    "and": (lambda v: v > 0 and v, "np.where"),
    "max": (lambda v: max(v, 0.0), "np.where"),
    "in": (lambda v: v in [1.0, 2.0], "np.where"),
    "format": (lambda v: f"{v:.3f}", "static_argnums"),
    "value": (lambda v: v.value, "static_argnums"),
    "v[mask]": (lambda v: (v * np.ones(3))[v > 0], "np.where(mask, v, 0)"),
    "nonzero": (lambda v: np.nonzero(v), "static_argnums"),
    "unique": (lambda v: np.unique(v), "static_argnums"),
    "allclose": (lambda v: np.allclose(v, 0), "static_argnums"),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_needs_values_while_compiling_is_named_with_the_line(name):
    f, way_out = VALUES[name]
    with pytest.raises(TypeError) as raised:
        wg.compile(f)(1.0)
    assert way_out in str(raised.value)
    assert "test_refusals.py, line" in str(raised.value)


# ---- arrays that change after they were used -----------------------------------------------------------


@wg.custom_vjp
def scaled(x, c):
    return x * c


scaled.defvjp(lambda x, c: (x * c, c), lambda c, g: (g * c, None))
replayed = wg.compile(lambda x, c: x * c)
USES = {
    "operators": lambda x, c: x * c,
    "numpy": lambda x, c: np.multiply(x, c) + np.sum(c) * 0,
    "wengert.numpy": lambda x, c: wnp.multiply(c, x),
    "products": lambda x, c: np.diag(c) @ x,
    "views": lambda x, c: np.concatenate([x[:2], x[2:]]) * c[::-1][::-1],
    "host ops": lambda x, c: np.linalg.solve(np.diag(1 / c), x),
    "compile": lambda x, c: replayed(x, c),
    "captured": lambda x, c: wg.compile(lambda x: x * c)(x),
    "scan": lambda x, c: wg.scan(lambda s, _: (s * c, None), x, None, length=1)[0],
    "vmap": lambda x, c: wg.vmap(lambda a, b: a * b)(x, c),
    "checkpoint": lambda x, c: wg.checkpoint(lambda x: x * c)(x),
    "custom_vjp": lambda x, c: scaled(x, c),
    "jvp": lambda x, c: wg.jvp(lambda y: y * c, (x,), (x * 0,))[0],
}


@pytest.mark.parametrize("size", [3, 200_000])
@pytest.mark.parametrize("name", USES)
def test_a_pullback_keeps_the_values_that_it_was_recorded_with(name, size):
    if size > 3 and name in ("products", "host ops"):
        size = 300
    x, c = np.linspace(1, 2, size), np.linspace(2, 3, size)
    was_x, was_c = x.copy(), c.copy()
    y, pullback = wg.vjp(lambda x: USES[name](x, c) * x, x)
    assert_allclose(y, was_x**2 * was_c, rtol=1e-12)
    x[:], c[:], y[:] = 0, np.nan, 7
    g = np.ones(size)
    for _ in range(2):
        found = pullback(g)[0]
        assert_allclose(found, 2 * was_x * was_c, rtol=1e-12)
        found[:] = -1  # the caller's own


def test_a_tape_keeps_the_values_that_it_was_recorded_with():
    x = np.array([1.0, 2.0])
    t = wg.Tape()
    v = t.var(x)
    z = np.sum(v**3)
    x[:] = v.value[:] = 0  # a value is a copy
    assert_allclose(t.gradient(z)[v], [3, 12])
    assert_allclose(t.tangent(v, np.ones(2)).of(v * v), [2, 4])


def test_the_first_nan_is_found():
    def f(x):
        y = np.sqrt(x - 2)
        return y * 2 + np.sin(y)

    with wg.debug_nans(), pytest.raises(FloatingPointError, match=r"sqrt made a NaN.*test_refusals.py, line"):
        wg.grad(f)(1.0)
    assert math.isnan(wg.grad(f)(1.0))

    def g(x):  # the value is fine, the derivative is 0 * inf
        return np.sum(np.array([0.0, 1.0]) * np.sqrt(x) * np.sqrt(x) / np.sqrt(np.sqrt(x)))

    assert np.isnan(wg.grad(g)(np.array([0.0, 1.0])))[0]
    with wg.debug_nans(), pytest.raises(FloatingPointError, match="made a NaN"):
        wg.grad(g)(np.array([0.0, 1.0]))
    wg.debug_nans(True)
    try:
        with pytest.raises(FloatingPointError, match="constant made a NaN"):
            wg.grad(np.sin)(np.nan)
    finally:
        wg.debug_nans(False)
    assert math.isnan(wg.grad(np.sin)(np.nan))
