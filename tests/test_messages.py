"""Mistakes of the first day: each message says what came, what was expected and the way out."""

import re

import numpy as np
import pytest
from scipy.special import erfcx

import wengert as wg
import wengert.numpy as wnp

X, LABELS = np.linspace(-1.0, 1.0, 12).reshape(4, 3), np.array([0, 2, 1, 0])
PARAMS = {"w": np.ones(3), "b": np.ones(())}
ADAM = wg.optim.Adam()


def likelihood(x, labels):
    return wnp.mean(x[np.arange(4), labels])


def with_rule(backward):
    f = wg.custom_vjp(lambda x: np.sum(np.sin(x)))
    f.defvjp(lambda x: (f(x), x), backward)
    return f


def added_in_place(x):
    x = x * 1.0
    x += np.ones((2, 3))
    return np.sum(x)


def adam(params=PARAMS, grads=PARAMS, state=None):
    return ADAM.step(params, grads, ADAM.init(params) if state is None else state)


MISTAKES = {
    "arguments given to the transform": (
        lambda: wg.grad(np.sin, 3.0), TypeError, ["grad: argnums is 3.0", "wg.grad(f)(x)"],
    ),
    "argnums by name": (
        lambda: wg.jacobian(np.sin, argnums="x"), TypeError, ["argnums is 'x'", "an int or a tuple"],
    ),
    "labels as floats": (
        lambda: wg.grad(likelihood)(X, LABELS * 1.0), IndexError, ["indices; got float64", ".astype(int)"],
    ),
    "labels as floats, along an axis": (
        lambda: wg.grad(lambda x: np.take_along_axis(x, LABELS[:, None] * 1.0, 1)[0, 0])(X),
        IndexError, ["take_along_axis: indices must be integers, got float64", ".astype(int)"],
    ),
    "labels of too many axes": (
        lambda: wg.grad(lambda x: np.take_along_axis(x, LABELS[:, None, None], 1)[0, 0])(X),
        ValueError, ["indices of shape (4, 1, 1)", "an array of shape (4, 3)", "as many axes"],
    ),
    "a sum without keepdims": (
        lambda: wg.grad(lambda x: np.sum(x - np.sum(x, axis=1)))(X),
        ValueError, ["sub: operands of shapes (4, 3) and (4,)", "x[:, None] or keepdims=True"],
    ),
    "a broadcast in place": (
        lambda: wg.grad(added_in_place)(np.ones(3)),
        ValueError, ["shape (3,)", "shape (2, 3)", "v = v + w in place of v += w"],
    ),
    "a method of another package": (
        lambda: wg.grad(lambda x: x.detach())(1.0),
        AttributeError, ["'detach'", "v.value", "v.grad()", "wg.stop_gradient(v)"],
    ),
    "a function of another library": (
        lambda: wg.grad(lambda x: erfcx(np.asarray(x)))(1.0),
        TypeError, ["np.asarray(v)", "wg.host_call for what is no NumPy code", "v.value"],
    ),
    "a rule that returns no tuple": (
        lambda: wg.grad(with_rule(lambda x, g: g * np.cos(x)))(np.ones(3)),
        TypeError, ["custom_vjp: backward returned a Var", "a tuple", "(g,)"],
    ),
    "no rule": (
        lambda: wg.grad(wg.custom_jvp(np.sin))(1.0), TypeError, ["sin has no rule yet", "sin.defjvp(...)"],
    ),
    "images that are no rows": (
        lambda: wg.MLP([784, 2]).fit(np.zeros((5, 28, 28)), np.zeros((5, 2))),
        ValueError, ["fit: X has shape (5, 28, 28)", "(rows, 784)", "reshape it to (5, 784)"],
    ),
    "numbers as parameters": (
        lambda: ADAM.init({"a": 1.0}), TypeError, ["Adam: expected parameters", "one is float"],
    ),
    "no state": (
        lambda: adam(state={}),
        ValueError, ["Adam: state has the structure {}", "expected {'count'", "opt.init(params)"],
    ),
    "gradients and state exchanged": (
        lambda: adam(grads=ADAM.init(PARAMS), state=PARAMS),
        ValueError, ["Adam: grads has the structure {'count'"],
    ),
    "gradients of some parameters": (
        lambda: adam(grads={"w": np.ones(3)}),
        ValueError, ["Adam: grads has the structure {'w': *}", "expected {'b': *, 'w': *}"],
    ),
    "a gradient of another shape": (
        lambda: adam(grads=PARAMS | {"w": np.ones((2, 3))}),
        ValueError, ["Adam: grads['w'] has shape (2, 3), expected (3,)"],
    ),
    "the state of other parameters": (
        lambda: wg.compile(adam)(PARAMS, PARAMS, ADAM.init(PARAMS | {"w": np.ones(4)})),
        ValueError, ["Adam: state['mean']['w'] has shape (4,), expected (3,)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("mistake", "error", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_the_way_out(mistake, error, words):
    with pytest.raises(error, match=".*".join(map(re.escape, words))):
        mistake()


def test_losses_take_lists():
    assert wg.losses.squared_error([1.0, 2.0], [0.0, 4.0]) == 2.5
    expected = wg.losses.cross_entropy(X, LABELS)
    assert wg.losses.cross_entropy(X.tolist(), LABELS.tolist()) == pytest.approx(expected)
    assert wg.grad(lambda x: wg.losses.squared_error([x, 2.0], [0.0, 4.0]))(1.0) == 1.0
