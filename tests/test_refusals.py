"""Where a derivative would be lost the error names the user's line, what happened and the way out; the first
NaN is found."""

import math

import numpy as np
import pytest
import scipy.stats

import wengert as wg

LOSSES = {
    "float": (lambda v: float(v), "np.sin"),
    "int": (lambda v: int(v), "astype"),
    "complex": (lambda v: complex(v), "astype"),
    "math": (lambda v: math.sin(v), "np.sin"),
    "asarray": (lambda v: np.asarray(v), "wengert.numpy.asarray"),
    "array": (lambda v: np.array([v, v]), "np.stack"),
    "random": (lambda v: np.random.normal(v), "wengert.random"),  # noqa: NPY002
    "generator": (lambda v: np.random.default_rng(0).normal(v, 1.0), "wengert.random"),
    "item": (lambda v: v.item(), "v itself"),
    "scipy.stats": (lambda v: scipy.stats.norm.logpdf(v), "wengert.scipy.stats"),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_lost_derivative_is_named_with_the_line(name, compiled):
    f, way_out = LOSSES[name]
    with pytest.raises((TypeError, ValueError)) as raised:
        (wg.compile if compiled else wg.grad)(f)(0.5)
    text = f"{raised.value} {raised.value.__cause__} {raised.value.__context__}"
    assert way_out in text
    assert "test_refusals.py, line" in text


def test_the_truth_of_a_traced_value_is_refused():
    with pytest.raises(TypeError, match=r"wg\.cond"):
        wg.compile(lambda v: v if v > 0 else -v)(1.0)


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
