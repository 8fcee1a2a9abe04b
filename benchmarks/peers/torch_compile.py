"""PyTorch with torch.compile for the loss and its gradient; the optimizer is its fused Adam."""

import torch

from ..harness import Unavailable
from ..workloads import Call, Net
from . import torch as eager_torch
from .torch import about

__all__ = ["about", "train"]


def train(net: Net, kind: str) -> Call:
    """As eager, with the loss compiled."""
    if kind == "forward":
        raise Unavailable("the forward pass alone is measured eagerly")
    torch.compiler.reset()  # else the ninth net would run eagerly, and each be asked about those before it
    return eager_torch.train(net, kind, lambda f: torch.compile(f, fullgraph=True, dynamic=False))
