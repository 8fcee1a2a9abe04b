"""Transforms against JAX's: nests of modes to order three, through loops, branches and rules; and jet."""

import itertools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.experimental.jet import jet

import wengert as wg
import wengert.numpy as wnp

jax.config.update("jax_enable_x64", True)

rng = np.random.default_rng(7)
W, X = rng.normal(size=(3, 3)) / 2, np.array([[0.4, -0.7, 1.1], [-0.3, 0.2, 0.9]])
SIDES = (
    (wg, wnp, wg.scan, wg.cond, wg.while_loop),
    (jax, jnp, jax.lax.scan, jax.lax.cond, jax.lax.while_loop),
)


def net(lib, np, *_):
    return lambda x: np.sum(np.tanh(np.tanh(W @ x) @ W) ** 2)


def reductions(lib, np, *_):
    return lambda x: np.prod(np.sin(x) + 2) * np.max(x) + np.log(np.sum(np.exp(x)))


def indexed(lib, np, *_):
    index = [2, 0, 2, 1]
    return lambda x: np.sum(np.take(x, np.array(index)) * np.cumsum(np.concatenate([x, x[:1] ** 3])))


def solved(lib, np, *_):
    return lambda x: np.sum(np.linalg.solve(W + np.diag(x) * 3, x * x))


def looped(lib, np, scan, *_):
    return lambda x: scan(lambda c, a: (np.sin(c) * a + c, c * a), x[0], x)[1] @ x


def checkpointed(lib, np, *_):
    return lambda x: np.sum(lib.checkpoint(lambda x: np.exp(np.sin(x)) * x)(x))


def branched(lib, np, scan, cond, _):
    return lambda x: cond(x[0] > 0, lambda x: np.sum(np.tanh(W @ x) ** 2), lambda x: np.prod(W @ x), x)


def ruled(lib, np, *_):
    @lib.custom_vjp
    def f(x):
        return np.sin(x)

    f.defvjp(lambda x: (f(x), x), lambda x, g: (3 * g * np.cos(x) * x,))
    return lambda x: np.sum(f(x) * x)


def turned(lib, np, scan, cond, while_loop):
    """As long as it takes: forward mode alone, on both sides."""
    return lambda x: np.sum(while_loop(lambda x: np.sum(x * x) > 0.1, lambda x: 0.5 * np.sin(W @ x), x))


FUNCTIONS = [net, reductions, indexed, solved, looped, checkpointed, branched, ruled]


def nested(lib, np, f, mix):
    """The sums of squares in between make each mode meet a function of one number."""
    modes = {
        "rev": lib.grad,
        "fwd": lib.jacfwd,
        "bat": lambda f: lambda x: lib.vmap(lib.grad(f))(np.stack([x, 0.5 * x])),
    }
    for mode in mix:
        g = modes[mode](f)
        f = lambda x, g=g: np.sum(np.sin(g(x)))
    return g


@pytest.mark.parametrize("make", FUNCTIONS, ids=lambda make: make.__name__)
def test_every_nest_of_modes(make):
    pairs = itertools.product(("rev", "fwd", "bat"), repeat=2)
    for mix in [("rev",), ("fwd",), ("bat",), *pairs, ("rev", "fwd", "rev"), ("fwd", "rev", "fwd")]:
        if make is not ruled or not (
            "fwd" in mix or "rev" in mix[1:]
        ):  # JAX's rule of reverse mode serves no other
            ours, theirs = (nested(side[0], side[1], make(*side), mix) for side in SIDES)
            expected = np.asarray(jax.jit(theirs)(X[0]))
            scale = 1e-11 * max(1.0, np.abs(expected).max())  # sums of thousands of terms of that size
            np.testing.assert_allclose(ours(X[0]), expected, rtol=1e-10, atol=scale, err_msg=str(mix))
            np.testing.assert_allclose(
                wg.compile(ours)(X[0]), expected, rtol=1e-10, atol=scale, err_msg=str(mix)
            )


@pytest.mark.parametrize("make", FUNCTIONS, ids=lambda make: make.__name__)
def test_many_at_once(make):
    for transform in ("grad", "hessian") if make is not ruled else ("grad",):
        ours, theirs = (side[0].vmap(getattr(side[0], transform)(make(*side))) for side in SIDES)
        np.testing.assert_allclose(wg.compile(ours)(X), np.asarray(theirs(X)), rtol=1e-10, atol=1e-11)


def test_a_while_loop_in_forward_mode():
    for transform in (
        lambda lib, f: f,
        lambda lib, f: lib.jacfwd(f),
        lambda lib, f: lib.jacfwd(lib.jacfwd(f)),
    ):
        ours, theirs = (transform(side[0], turned(*side)) for side in SIDES)
        for x in X:
            np.testing.assert_allclose(wg.compile(ours)(x), np.asarray(theirs(x)), rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(wg.vmap(ours)(X), np.asarray(jax.vmap(theirs)(X)), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "f",
    [
        lambda np, x: np.sum(np.tanh(W @ np.sin(x)) ** 2),
        lambda np, x: np.sum(np.exp(x) / (2 + np.cos(x))) * np.log(x[2]),
        lambda np, x: np.sqrt(x[2]) * np.max(x * x) + np.sum(x[::-1] ** 3 * x),
    ],
)
def test_jets(f):
    order = 5
    series = [rng.normal(size=3) for _ in range(order)]
    y, ours = wg.jet(lambda x: f(wnp, x), (X[0],), (series,))
    expected, theirs = jet(lambda x: f(jnp, x), (jnp.array(X[0]),), ([jnp.array(s) for s in series],))
    np.testing.assert_allclose([y, *ours], np.asarray([expected, *theirs]), rtol=1e-11, atol=1e-11)
