"""Activation functions by name, each with the weight initialisation that suits it."""

from collections.abc import Callable
from typing import NamedTuple

from . import numpy as wnp


class Activation(NamedTuple):
    """An elementwise function and the name of the initialisation for weights that feed it."""

    function: Callable
    init: str


def identity(a):
    """Return `a` itself."""
    return a


# He et al. 2015 keeps the variance through functions that pass about half of their input, Glorot & Bengio
# 2010 through odd, saturating ones, LeCun et al. 1998 through those that are close to linear around 0.
ACTIVATIONS = {
    "relu": Activation(wnp.relu, "he"),
    "leaky_relu": Activation(wnp.leaky_relu, "he"),
    "elu": Activation(wnp.elu, "he"),
    "gelu": Activation(wnp.gelu, "he"),
    "silu": Activation(wnp.silu, "he"),
    "tanh": Activation(wnp.tanh, "glorot"),
    "sigmoid": Activation(wnp.sigmoid, "glorot"),
    "softplus": Activation(wnp.softplus, "lecun"),
    "sin": Activation(wnp.sin, "lecun"),
    "identity": Activation(identity, "lecun"),
}


def he(rng, n_in, n_out):
    """Normal with variance 2 / n_in."""
    return rng.standard_normal((n_in, n_out)) * (2 / n_in) ** 0.5


def glorot(rng, n_in, n_out):
    """Uniform with variance 2 / (n_in + n_out)."""
    limit = (6 / (n_in + n_out)) ** 0.5
    return rng.uniform(-limit, limit, (n_in, n_out))


def lecun(rng, n_in, n_out):
    """Normal with variance 1 / n_in."""
    return rng.standard_normal((n_in, n_out)) * (1 / n_in) ** 0.5


INITIALISERS = {"he": he, "glorot": glorot, "lecun": lecun}
