"""TensorFlow with its functions compiled by XLA."""

from ..workloads import Call, Net
from . import tensorflow
from .tensorflow import about

__all__ = ["about", "train"]


def train(net: Net, kind: str) -> Call:
    """As tf.function, with jit_compile."""
    return tensorflow.train(net, kind, jit_compile=True)
