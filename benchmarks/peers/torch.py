"""PyTorch, eager, with its fused Adam."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch

from ..workloads import BETAS, EPSILON, LEARNING_RATE, Call, Net, Scalar


def about(threads: int) -> dict[str, object]:
    """Takes the number of threads."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    return {"version": torch.__version__}


def model(net: Net, theta: np.ndarray) -> torch.nn.Sequential:
    """The net with these parameters; PyTorch's weights are (out, in)."""
    parts: list[torch.nn.Module] = []
    for weight, bias in net.layers(theta):
        dense = torch.nn.Linear(*weight.shape, dtype=getattr(torch, net.dtype))
        dense.weight.data, dense.bias.data = torch.tensor(weight.T.copy()), torch.tensor(bias)
        parts += [dense, torch.nn.Tanh() if net.activation == "tanh" else torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def flat(tensors) -> np.ndarray:
    """Weights and biases in the common order."""
    return np.concatenate([t.detach().numpy().T.ravel() for t in tensors])


def train(net: Net, kind: str, compile: Callable = lambda f: f) -> Call:
    """torch.autograd.grad, or backward and torch.optim.Adam(fused=True)."""
    start, x, y = net.batch()
    module = model(net, start)
    parameters, x, y = list(module.parameters()), torch.from_numpy(x), torch.from_numpy(y)
    loss = torch.nn.functional.mse_loss if net.loss == "squared_error" else torch.nn.functional.cross_entropy
    objective = compile(lambda: loss(module(x), y))
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE, BETAS, EPSILON, fused=True)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return module(x)

    def gradient() -> tuple:
        return torch.autograd.grad(objective(), parameters)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        value = objective()
        value.backward()
        optimizer.step()
        return value

    def check() -> np.ndarray:
        if kind == "forward":
            return forward().numpy()
        if kind == "gradient":
            return flat(gradient())
        step()
        return flat(parameters) - start

    return Call({"forward": forward, "gradient": gradient, "step": step}[kind], check)


def eager(scalar: Scalar, kind: str) -> Call:
    """The graph that PyTorch builds, or that and backward."""
    space = SimpleNamespace(sin=torch.sin, sum=torch.sum)
    x = torch.tensor(scalar.start(), requires_grad=True)

    def record() -> torch.Tensor:
        return scalar.function(space, x)

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(record(), x)[0]

    run = gradient if kind == "gradient" else record
    return Call(run, lambda: run().detach().numpy(), scalar.operations)
