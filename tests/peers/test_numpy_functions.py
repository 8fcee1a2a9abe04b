"""NumPy's functions against jax.numpy's: gradients, directional derivatives and products with the Hessian."""

import warnings

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpy.testing import assert_allclose
from test_hips import TABLE

import wengert as wg

jax.config.update("jax_enable_x64", True)

# Where its derivative is not that of the function, as finite differences in this suite's own tests say.
ASTRAY = {
    **dict.fromkeys(
        "unique union1d intersect1d setdiff1d setxor1d unique_values unique_counts".split(), "zero"
    ),
    **dict.fromkeys(
        "nansum nanmean nanvar nanstd nanmax nanmin nan_to_num".split(), "NaN at the NaN left out"
    ),
    "ldexp far": "zero where two to the exponent overflows, although the product does not",
    "arctan2": "that of half a tie in hypot(x, 2) at x = 2",
}
SINGLE = ("cumprod flat",)  # computed in float32
EPS = np.finfo(np.float32).eps
LACKS = (NotImplementedError, TypeError, AttributeError, AssertionError, ValueError, KeyError, IndexError)


def derived(np, lib, name, mode):
    """A derivative of a number made of a function's results, with respect to all its arguments."""
    f, args = TABLE[name]
    places = tuple(range(len(args)))
    along = tuple(np.cos(np.arange(np.size(x)) + 1.0).reshape(np.shape(x)) for x in args)
    loss = lambda *args: np.sum(np.real(f(np, *args) * 1.0) ** 2)
    if mode == "jvp":
        return [lib.jvp(loss, args, along)[1]]
    gradient = lib.grad(loss, argnums=places)
    return gradient(*args) if mode == "grad" else lib.jvp(gradient, args, along)[1]


def of_both(name, mode):
    """Theirs and ours; None where JAX does not have the function in this form."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = derived(jnp, jax, name, mode)
    except LACKS:
        return None
    return theirs, derived(np, wg, name, mode)


@pytest.mark.parametrize("mode", ["grad", "jvp", "hvp"])
def test_derivatives_agree_wherever_it_has_the_function(mode):
    pairs = {name: of_both(name, mode) for name in TABLE if name not in ASTRAY}
    agreed = {name: pair for name, pair in pairs.items() if pair is not None}
    for name, (theirs, found) in agreed.items():
        for ours, expected in zip(found, theirs, strict=True):
            rtol = 36 * EPS if name in SINGLE else 1e-8  # a dozen factors, thrice
            assert_allclose(ours, expected, rtol=rtol, atol=1e-9, err_msg=name)
    assert len(agreed) >= 170, sorted(set(pairs) - set(agreed))
