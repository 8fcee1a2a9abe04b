"""Chains (csrc/chains.def): an update of an optimizer is one pass over its arrays, of the eager bits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_regions import DTYPES, both, numbers

import wengert as wg

UPDATES = {
    "adam": (wg.optim.Adam(0.01), ("mean", "square")),
    "rmsprop": (wg.optim.RMSprop(0.01), ("square",)),
    "momentum": (wg.optim.SGD(0.01, momentum=0.9), ("velocity",)),
}


def update(name, theta, grad, *arrays):
    optimizer, names = UPDATES[name]
    state = dict(zip(names, arrays, strict=False)) | ({"count": np.array(3.0)} if name == "adam" else {})
    theta, state = optimizer.step(theta, grad, state)
    return (theta, *(state[name] for name in names))


def in_one_pass(program):
    """Nothing goes through memory between the steps of the last region."""
    return ", 0 bytes of tiles" in program.explain().splitlines()[-2]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("shape", [(2,), (63,), (1000,), (20011,), (7, 9)])
def test_an_update_is_one_pass_of_the_eager_bits(name, shape, dtype):
    arrays = [numbers(dtype, *shape, seed=seed) for seed in range(4)]
    eager, compiled, _ = both(lambda *arrays: update(name, *arrays), *arrays)
    for expected, got in zip(eager, compiled, strict=True):
        assert_array_equal(got, expected)
    assert in_one_pass(wg.compile(lambda *arrays: update(name, *arrays)).program(*arrays))


@pytest.mark.parametrize("name", UPDATES)
def test_an_update_in_place_is_the_same(name):
    arrays = [numbers("float32", 1000, seed=seed) for seed in range(4)]
    expected = update(name, *arrays)
    step = wg.compile(
        lambda theta, mean, square, grad: update(name, theta, grad, mean, square), donate_argnums=(0, 1, 2)
    )
    theta, grad, mean, square = arrays
    for got, want in zip(step(theta, mean, square, grad), expected, strict=True):
        assert_array_equal(got, want)


# What is nearly a row: other readers of what lies between, operands that differ, values of the same region.
NEARLY = {
    "velocity before it is scaled": lambda p, g, v: (p - 0.1 * (0.9 * v + g), 0.9 * v + g, 0.9 * v),
    "the scaled velocity, too": lambda p, g, v: (p - 0.1 * (0.9 * v + g), 0.1 * (0.9 * v + g)),
    "a rate for each": lambda p, g, v: p - p * (0.9 * v + g),
    "from a sum": lambda p, g, v: np.tanh(p) - 0.1 * (0.9 * (v * p) + (g - p)),
    "and on with it": lambda p, g, v: np.tanh(p - 0.1 * (0.9 * v + g)) * (0.9 * v + g),
    "twice": lambda p, g, v: (p - 0.1 * (0.9 * v + g)) - 0.2 * (0.8 * g + v),
    "of itself": lambda p, g, v: p - 0.1 * (0.9 * p + p),
    "a column": lambda p, g, v: p - 0.1 * (0.9 * v[:, :1] + g),
    "turned": lambda p, g, v: p[:, ::-1] - 0.1 * (0.9 * v[:, ::-1] + g),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NEARLY)
def test_what_is_nearly_an_update_is_the_eager_bits(name, dtype):
    arrays = [numbers(dtype, 37, 9, seed=seed) for seed in range(3)]

    def f(*arrays):
        results = NEARLY[name](*arrays)
        return results if isinstance(results, tuple) else (results,)

    eager, compiled, _ = both(f, *arrays)
    for expected, got in zip(eager, compiled, strict=True):
        assert_array_equal(got, expected)
