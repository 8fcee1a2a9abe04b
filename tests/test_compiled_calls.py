"""Compiled functions inside of transforms and of one another."""

import copy
import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from helpers import counted
from numpy.testing import assert_allclose

import wengert as wg
import wengert.numpy as wnp

# ---- calls inside of transforms -------------------------------------------------------------------------


def energy(x, y):
    return np.sum(np.tanh(x) * y)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_go_through_a_compiled_function(order, rng):
    x, y = rng.standard_normal(3), rng.standard_normal(3)

    def through(f, modes):
        for mode in modes:
            inner = f
            if mode == "rev":
                f = lambda x, inner=inner: np.sum(wg.grad(inner)(x) * y)
            else:
                f = lambda x, inner=inner: wg.jvp(inner, (x,), (y,))[1]
        return f

    for modes in itertools.product(["rev", "fwd"], repeat=order):
        expected = through(lambda x: energy(x, y), modes)(x)
        inner = wg.compile(lambda x: energy(x, y))
        assert_allclose(through(inner, modes)(x), expected, rtol=1e-12)
        assert_allclose(wg.compile(through(inner, modes))(x), expected, rtol=1e-12)
        assert_allclose(wg.compile(through(lambda x: energy(x, y), modes))(x), expected, rtol=1e-12)


def test_a_call_is_one_node():
    t = wg.Tape()
    x = t.var(np.ones(3))
    f, calls = counted(lambda x: np.sum(np.sin(x)))
    g = wg.compile(f)
    g(np.ones(3))
    z = g(x)
    assert len(calls) == 1
    assert "call" in str(t)
    assert_allclose(t.gradient(z)[x], np.cos(np.ones(3)))


def test_compiled_inside_of_compiled_reads_captured_arrays_anew():
    W = np.ones(3)
    inner = wg.compile(lambda x: x * W)
    outer = wg.compile(lambda x: np.sum(inner(x)) + np.sum(inner(np.ones(3))))
    assert outer(np.ones(3)) == 6.0
    W[:] = 2.0
    assert outer(np.ones(3)) == 12.0


def test_vars_of_enclosing_transforms_may_be_captured():
    def f(x):
        g = wg.compile(lambda y: y * x)
        return g(x) + g(2.0)

    assert wg.grad(f)(3.0) == 8.0
    assert wg.compile(wg.grad(f))(3.0) == 8.0
    assert wg.jvp(f, (3.0,), (1.0,))[1] == 8.0
    kept = {}

    def reuse(x):
        kept["x"] = x
        return compiled(2.0)

    compiled = wg.compile(lambda y: y * kept["x"])
    assert [wg.grad(reuse)(v) for v in (1.0, 5.0)] == [2.0, 2.0]
    assert next(reuse(v) for v in (1.0, 5.0)) == 2.0


def test_a_traced_var_cannot_leave():
    kept = []
    wg.compile(lambda x: kept.append(x) or x)(1.0)
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        wg.grad(lambda y: y * kept[0])(1.0)


def test_compiled_functions_agree_with_eager_ones(rng):
    def f(x):
        y = np.where(x > 0, np.sqrt(np.abs(x)), np.exp(x))
        z = np.concatenate([y[::-1], np.outer(y, y)[0]])
        return np.max(z) + np.sum(z[np.array([0, -1])]) + wnp.logsumexp(z) + np.var(z)

    x = rng.standard_normal(5)
    for transform in (lambda f: f, wg.grad, wg.hessian):
        assert_allclose(wg.compile(transform(f))(x), transform(f)(x), rtol=1e-13)


@pytest.mark.parametrize("step", [1, 2])
def test_an_index_that_was_recorded_is_compared_by_its_elements(step):
    """Boolean indices decide what is recorded; one that is strided has no bytes that lie side by side."""
    mask = np.array([True, True, False, False, True, True])[::step]
    count = wg.compile(lambda x: np.sum(x[mask]))
    assert count(np.ones(len(mask))) == mask.sum()
    mask[1] = not mask[1]
    assert count(np.ones(len(mask))) == mask.sum()


# ---- copies and pickles ---------------------------------------------------------------------------------


@wg.compile(static_argnums=1)
def power(x, n):
    return np.sum(x**n)


compiled_energy = wg.compile(energy, donate_argnums=0, check=True)


def test_a_decorated_function_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(power)) is power
    assert copy.copy(power) is copy.deepcopy(power) is power


def test_a_compiled_function_under_another_name_is_pickled_as_function_and_options(rng):
    x = rng.standard_normal(3)
    twin = pickle.loads(pickle.dumps(compiled_energy))
    assert twin is not compiled_energy
    assert twin(x.copy(), x) == energy(x, x)
    assert twin.__reduce__() == compiled_energy.__reduce__() == (type(twin), (energy, (), (0,), True))
    assert "0 recordings" in repr(pickle.loads(pickle.dumps(twin)))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):  # as of any such function
        pickle.dumps(wg.compile(lambda x: x))


def test_a_program_is_not_pickled():
    with pytest.raises(
        TypeError, match=r"a Program cannot be copied or pickled.*the function that wg.compile"
    ):
        pickle.dumps(power.program(np.ones(2), 3))


POOL = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import wengert as wg

@wg.compile
def square(x):
    return x * x

def cube(x):
    return x * x * x

compiled = wg.compile(cube)

if __name__ == "__main__":
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(square, [1.0, 2.0])) == [1.0, 4.0]
        assert list(pool.map(compiled, [1.0, 2.0])) == [1.0, 8.0]
"""


def test_other_processes_call_compiled_functions(tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    subprocess.run([sys.executable, tmp_path / "pool.py"], check=True, timeout=60)
