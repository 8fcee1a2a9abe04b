"""NumPy's and SciPy's functions against JAX's: gradients, tangents and products with the Hessian."""

import warnings

import jax
import jax.scipy
import jax.scipy.signal
import numpy as np
import pytest
import test_every_function
import test_fft
import test_linalg
import test_scipy
from jax import numpy as jnp
from numpy.testing import assert_allclose
from test_hips import TABLE as FUNCTIONS

import wengert as wg
import wengert.scipy

jax.config.update("jax_enable_x64", True)

# Where its derivative is not that of the function, as finite differences in this suite's own tests say.
ASTRAY = {
    **dict.fromkeys(
        "unique union1d intersect1d setdiff1d setxor1d unique_values unique_counts".split(), "zero"
    ),
    **dict.fromkeys(
        "nansum nanmean nanvar nanstd nanmax nanmin nanprod nancumsum nancumprod nanmedian nanquantile "
        "nanpercentile nan_to_num".split(),
        "NaN at the NaN left out",
    ),
    "ldexp far": "zero where two to the exponent overflows, although the product does not",
    "arctan2": "that of half a tie in hypot(x, 2) at x = 2",
}
SINGLE = ("cumprod flat",)  # computed in float32
EPS = np.finfo(np.float32).eps
TABLE = {
    "numpy": FUNCTIONS,
    "every function": {
        name: case[:2]
        for name, case in test_every_function.CASES.items()
        if name not in test_every_function.ONLY_BEYOND
    },
    "fft": {name: (f, (test_fft.X,)) for name, f in test_fft.CASES.items()},
    "linalg": test_linalg.CASES,
    "scipy": test_scipy.CASES,
}
LACKS = (NotImplementedError, TypeError, AttributeError, AssertionError, ValueError, KeyError, IndexError)


def derived(np, scipy, lib, table, name, mode):
    """A derivative of a number made of a function's results, with respect to all its arguments."""
    f, args = TABLE[table][name]
    places = tuple(range(len(args)))
    along = tuple(np.cos(np.arange(np.size(x)) + 1.0).reshape(np.shape(x)) for x in args)
    given = scipy if table == "scipy" else np
    loss = lambda *args: np.sum(np.real(f(given, *args) * 1.0) ** 2)
    if mode == "jvp":
        return [lib.jvp(loss, args, along)[1]]
    gradient = lib.grad(loss, argnums=places)
    return gradient(*args) if mode == "grad" else lib.jvp(gradient, args, along)[1]


def of_both(table, name, mode):
    """Theirs and ours; None where JAX does not have the function in this form."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = derived(jnp, jax.scipy, jax, table, name, mode)
    except LACKS:
        return None
    return theirs, derived(np, wengert.scipy, wg, table, name, mode)


@pytest.mark.parametrize("mode", ["grad", "jvp", "hvp"])
@pytest.mark.parametrize(
    ("table", "at_least"),
    [("numpy", 170), ("every function", 50), ("fft", 21), ("linalg", 49), ("scipy", 48)],
)
def test_derivatives_agree_wherever_it_has_the_function(table, at_least, mode):
    pairs = {name: of_both(table, name, mode) for name in TABLE[table] if name not in ASTRAY}
    agreed = {name: pair for name, pair in pairs.items() if pair is not None}
    for name, (theirs, found) in agreed.items():
        for ours, expected in zip(found, theirs, strict=True):
            rtol = 36 * EPS if name in SINGLE else 1e-8  # a dozen factors, thrice
            assert_allclose(ours, expected, rtol=rtol, atol=1e-9, err_msg=name)
    assert len(agreed) >= at_least, sorted(set(pairs) - set(agreed))
