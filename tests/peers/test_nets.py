"""Gradients, Hessians and tangents of dense nets against PyTorch, TensorFlow and JAX, by `make peers`."""

import itertools

import jax
import libraries
import numpy as np
import pytest
import torch
from libraries import GRADIENTS, Net, jax_objective, torch_objective

import wengert as wg
from wengert.activations import ACTIVATIONS
from wengert.losses import LOSSES

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch.func uses it
NETS = [
    *(Net((3, 5, 4, 2), activation, loss) for activation, loss in itertools.product(ACTIVATIONS, LOSSES)),
    Net((4, 32, 16, 4), "tanh", "squared_error", rows=200),
    Net((16, 64, 64, 1), "tanh", "squared_error", rows=1),
    Net((64, 100, 10), "relu", "cross_entropy", rows=50),
    Net((5, 3), "tanh", "cross_entropy"),
    Net((2, 8, 8, 8, 8, 8, 8, 3), "gelu", "cross_entropy", rows=33),
    Net((300, 70, 10), "silu", "squared_error", rows=65),
]
SMOOTH = [net for net in NETS[: 2 * len(ACTIVATIONS)] if net.activation not in ("relu", "leaky_relu", "elu")]


def objective(net):
    return wg.MLP(net.widths, net.activation, net.dtype).objective(net.loss)


def gradient(net, *arrays, compile=wg.compile):
    value, slopes = compile(wg.value_and_grad(objective(net), argnums=(0, 1)))(*arrays)
    return [np.asarray(part) for part in (value, *slopes)]


def close(ours, theirs):
    """To 1e-9 of an element, where 1e-6 is asked for; sums that cancel to 1e-13 of the largest element."""
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13 * np.abs(theirs).max())


@pytest.mark.parametrize("net", NETS, ids=str)
@pytest.mark.parametrize("library", GRADIENTS)
def test_gradients_in_float64(rng, library, net):
    arrays = net.draw(rng)
    expected = GRADIENTS[library](net, *arrays)
    for compile in (wg.compile, lambda f: f):
        for ours, theirs in zip(gradient(net, *arrays, compile=compile), expected, strict=True):
            close(ours, theirs)


@pytest.mark.parametrize("net", [net._replace(dtype="float32") for net in NETS], ids=str)
@pytest.mark.parametrize("library", GRADIENTS)
def test_gradients_in_float32(rng, library, net):
    """What rounding explains: backward error times condition.

    A product over k terms is the exact product of a matrix that is moved by (k + 2) eps, relative to each
    element, bias included (Higham 2002, 3.5), whichever way its sum runs, and an activation is 4 eps off at
    most.  So a float32 gradient is that of a net moved by up to (k + 6) eps, k its largest width, or its
    number of rows.  How much that moves the gradient is measured in float64, in 6 draws; four times the
    largest is a bound as in oracle.tolerances.  Each side has such an error.
    """
    arrays = net.draw(rng)
    double = [x.astype("float64") if x.dtype.kind == "f" else x for x in arrays]
    most = (max(*net.widths, net.rows) + 6) * np.finfo("float32").eps
    exact, moved = gradient(net._replace(dtype="float64"), *double), []
    for _ in range(6):
        shaken = [x * (1 + rng.uniform(-most, most, x.shape)) if x.dtype.kind == "f" else x for x in double]
        moved.append(gradient(net._replace(dtype="float64"), *shaken))
    ours, theirs = gradient(net, *arrays), GRADIENTS[library](net, *arrays)
    for k, g in enumerate(exact):
        limit = 4 * max(np.linalg.norm(other[k] - g) for other in moved) + 2 * most * np.linalg.norm(g)
        assert limit <= 1e-2 * np.linalg.norm(g)  # that is, it says something
        assert (ours[k].shape, ours[k].dtype) == (theirs[k].shape, theirs[k].dtype)
        assert np.linalg.norm(ours[k] - theirs[k].astype("float64")) <= 2 * limit


@pytest.mark.parametrize("net", SMOOTH, ids=str)
def test_second_derivatives(rng, net):
    """Hessians by the parameters, and by parameters and inputs, against JAX and torch.func."""
    arrays = net.draw(rng)
    ours = np.asarray(wg.hessian(objective(net))(*arrays))
    close(ours, np.asarray(jax.hessian(jax_objective(net))(*arrays)))
    tensors = list(map(torch.tensor, arrays))
    close(ours, torch.func.hessian(torch_objective(net))(*tensors).numpy())
    mixed = wg.jacobian(wg.grad(objective(net)), argnums=1)(*arrays)
    close(mixed, np.asarray(jax.jacobian(jax.grad(jax_objective(net)), argnums=1)(*arrays)))


@pytest.mark.parametrize("net", SMOOTH, ids=str)
def test_tangents_and_products(rng, net):
    """Forward mode, forward over reverse and reverse over forward."""
    theta, x, y = net.draw(rng)
    v = rng.normal(size=theta.shape)
    ours, theirs, torchs = objective(net), jax_objective(net), torch_objective(net)
    x_, y_ = torch.tensor(x), torch.tensor(y)
    tangent = wg.jvp(lambda t: ours(t, x, y), (theta,), (v,))[1]
    close(np.asarray(tangent), np.asarray(jax.jvp(lambda t: theirs(t, x, y), (theta,), (v,))[1]))
    pair = torch.func.jvp(lambda t: torchs(t, x_, y_), (torch.tensor(theta),), (torch.tensor(v),))
    close(np.asarray(tangent), pair[1].numpy())
    expected = np.asarray(jax.jvp(jax.grad(lambda t: theirs(t, x, y)), (theta,), (v,))[1])
    close(wg.hvp(lambda t: ours(t, x, y))(theta, v), expected)
    close(wg.jvp(wg.grad(lambda t: ours(t, x, y)), (theta,), (v,))[1], expected)
    close(wg.grad(lambda t: wg.jvp(lambda s: ours(s, x, y), (t,), (v,))[1])(theta), expected)


@pytest.mark.parametrize("net", SMOOTH[::2], ids=str)
def test_jacobians_of_the_outputs(rng, net):
    theta, x, _ = net.draw(rng)
    model = wg.MLP(net.widths, net.activation, net.dtype)
    model.theta = theta
    apply = libraries.JAX[net.activation]
    expected = np.asarray(jax.jacobian(lambda x: net.apply(theta, x, apply))(x))
    close(wg.jacobian(model)(x), expected)
    rows = np.arange(net.rows)
    close(model.jacobian(x), expected[rows, :, rows])


def test_third_derivatives(rng):
    net = Net((2, 3, 1), "tanh", "squared_error", rows=4)
    theta, x, y = net.draw(rng)
    ours = wg.jacobian(wg.hessian(lambda t: objective(net)(t, x, y)))(theta)
    theirs = jax.jacfwd(jax.hessian(lambda t: jax_objective(net)(t, x, y)))(theta)
    close(ours, np.asarray(theirs))
