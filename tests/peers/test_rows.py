"""The op table against JAX: first and second derivatives of every elementwise row that JAX knows."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from oracle import OPS, run
from test_ops import PARAMETERS, SMOOTH, operands, program

jax.config.update("jax_enable_x64", True)

OWN = {  # by other names, or with another default
    "gelu": lambda a: jax.nn.gelu(a, approximate=False),
    "gelu_tanh": lambda a: jax.nn.gelu(a, approximate=True),
    "elu": lambda a: jax.nn.elu(a, *PARAMETERS),
    "celu": lambda a: jax.nn.celu(a, *PARAMETERS),
    "leaky_relu": lambda a: jax.nn.leaky_relu(a, *PARAMETERS),
    "one_minus_square": lambda a: 1 - a * a,
}
UNKNOWN = {"zmul"}  # wengert's own


def in_jax(name):
    places = [(jnp, OPS[name].numpy), (jax.scipy.special, OPS[name].numpy), (jax.nn, name)]
    return OWN.get(name) or next(
        filter(None, (getattr(place, word or name, None) for place, word in places)), None
    )


def test_what_jax_does_not_know():
    assert {name for name in SMOOTH if in_jax(name) is None} == UNKNOWN


@pytest.mark.parametrize("name", [name for name in SMOOTH if name not in UNKNOWN])
def test_derivatives_are_jax_s(name):
    arrays, ones = operands(name, [(50,)] * OPS[name].arity), np.ones(50)
    each = [k for k in range(len(arrays)) if OPS[name].derivative[k] != "NAN"]  # the operands that have one

    def gradients(m, *xs):
        followed = [xs[k] for k in each]
        first = m.vjp(program(name)(m, *xs), [m.array(ones)], followed)
        second = [
            m.vjp([g], [m.array(ones)], followed) if g is not None else [None for _ in each] for g in first
        ]
        return [*first, *(g for row in second for g in row)]

    slopes = [jax.grad(in_jax(name), k) for k in each]
    slopes += [jax.grad(slope, k) for slope in slopes for k in each]
    for ours, slope in zip(run(gradients, arrays, "eager"), slopes, strict=True):
        ours = np.zeros(50) if ours is None else ours
        # Each side rounds some tens of times, and terms of either sign reach a hundred times the result.
        np.testing.assert_allclose(ours, np.asarray(jax.vmap(slope)(*arrays)), rtol=1e-12, atol=1e-12)
