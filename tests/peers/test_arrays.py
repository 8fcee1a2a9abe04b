"""Array functions of NumPy against JAX: the tables of tests/, run in jax.numpy's namespace.

First derivatives and derivatives of those, by every operand at once, of a number made of the result.
"""

import jax
import numpy as np
import pytest
import test_array_functions
import test_fft
import test_linalg
import test_numpy_coverage
from jax import numpy as jnp
from oracle import weights

import wengert as wg
import wengert.numpy as wnp

jax.config.update("jax_enable_x64", True)

CASES = {
    **{f"array {name}": (f, (test_array_functions.X,)) for name, f in test_array_functions.COMPUTE.items()},
    **{f"array {name}": (f, (test_array_functions.X,)) for name, f in test_array_functions.MOVE.items()},
    **{f"fft {name}": (f, (test_fft.X,)) for name, f in test_fft.CASES.items()},
    **{f"linalg {name}": case for name, case in test_linalg.CASES.items()},
    **{name: case[:2] for name, case in test_numpy_coverage.CASES.items()},
}

# What JAX 0.10 does not do: it raises, lets a NaN through from what is left out, or drops a derivative (its
# gradient of np.sum(np.unique(x) ** 2) is not 2 x; test_numpy_coverage.py compares ours with differences).
RAISES = {
    "array repeat each", "linalg qr complete *", "linalg eigvals *", "linalg eigvals complex *",
    "linalg eigvals stack *", "linalg eig", "linalg eig complex", "linalg svd full *",
    "linalg svd full wide *", "ediff1d", "gradient at coordinates", "gradient edge", "choose",
    "choose wrap", "compress", "fix", "polyder", "poly of a matrix", "roots", "roots complex",
    "roots at zero", "real_if_close", "ldexp", "delete",
    "insert many", "insert flat", "sliding_window_view", "like",
    "divide.accumulate", "power.reduce", "hypot.reduce", "fmax.reduce", "add.reduceat",
    "multiply.reduceat", "bincount", "dtype=",
}  # fmt: skip
NAN = {"nan_to_num", "nansum", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"}
DROPS = {
    "unique", "union1d", "intersect1d", "setdiff1d", "setxor1d", "unique_values", "unique_counts", "polydiv",
    "ldexp far",
}  # fmt: skip


def number(np, f):
    """A number that depends on every element of the result, whose second derivatives are not zero."""

    def loss(*xs):
        y = np.sin(f(np, *xs))
        return np.sum(weights(y.shape) * y)

    return loss


def twice(np, grad, f, n):
    """A number made of the gradient by every operand."""

    def contracted(*xs):
        slopes = grad(number(np, f), tuple(range(n)))(*xs)
        return sum(np.sum(weights(x.shape, 1) * g) for x, g in zip(xs, slopes, strict=True))

    return grad(contracted, tuple(range(n)))


def both(name):
    """First and second derivatives by every operand, ours beside JAX's."""
    f, arrays = CASES[name]
    n = len(arrays)
    for ours, theirs in (
        (wg.grad(number(wnp, f), tuple(range(n))), jax.grad(number(jnp, f), tuple(range(n)))),
        (twice(wnp, wg.grad, f, n), twice(jnp, jax.grad, f, n)),
    ):
        yield from zip(ours(*arrays), theirs(*map(jnp.asarray, arrays)), strict=True)


def agree(g, h):
    """Some hundreds of roundings on either side."""
    return np.allclose(g, h, rtol=1e-10, atol=1e-12 * max(1, np.abs(h).max(initial=0)))


@pytest.mark.parametrize("name", sorted(CASES.keys() - RAISES - NAN - DROPS))
def test_derivatives_are_jax_s(name):
    for g, h in both(name):
        assert agree(g, h), (g, h)


@pytest.mark.parametrize("name", sorted(RAISES))
def test_what_jax_refuses(name):
    """Should a later one know it, the name goes from the list."""
    f, arrays = CASES[name]
    with pytest.raises((TypeError, NotImplementedError, AttributeError)):
        twice(jnp, jax.grad, f, len(arrays))(*map(jnp.asarray, arrays))


@pytest.mark.parametrize("name", sorted(NAN))
def test_where_jax_lets_a_nan_through(name):
    f, arrays = CASES[name]
    assert np.isnan(jax.grad(number(jnp, f))(*map(jnp.asarray, arrays))).any()
    assert np.isfinite(wg.grad(number(wnp, f))(*arrays)).all()


@pytest.mark.parametrize("name", sorted(DROPS))
def test_where_jax_drops_a_derivative(name):
    """Should a later one have it, the name goes from the list."""
    pairs = list(both(name))
    assert not all(agree(g, h) for g, h in pairs), pairs
