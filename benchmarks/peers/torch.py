"""PyTorch, eager, with its fused Adam."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch

from ..harness import Unavailable
from ..workloads import (
    BETAS,
    BY_UFUNCS,
    EPSILON,
    LEARNING_RATE,
    Call,
    Field,
    Function,
    Invocation,
    Net,
    Pinn,
    Recurrence,
    Row,
    Scalar,
)


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
    if kind == "Gauss-Newton":
        raise Unavailable("it has no Gauss-Newton product")
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

    def hvp() -> tuple:
        slope = torch.autograd.grad(objective(), parameters, create_graph=True)
        return torch.autograd.grad(slope, parameters, [p.detach() for p in parameters])

    def example(tensors: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return loss(torch.func.functional_call(module, tensors, (x,)), y)

    each = torch.func.vmap(torch.func.grad(example), (None, 0, 0))
    tensors = {name: p.detach() for name, p in module.named_parameters()}

    def per_example() -> dict:
        return each(tensors, x, y)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        value = objective()
        value.backward()
        optimizer.step()
        return value

    def check() -> np.ndarray:
        if kind == "forward":
            return forward().numpy()
        if kind == "function":
            return objective().detach().numpy()
        if kind == "gradient":
            return flat(gradient())
        if kind == "hvp":
            return flat(hvp())
        if kind == "per example":
            return np.concatenate(
                [t.mT.flatten(1).numpy() if t.ndim > 2 else t.numpy() for t in per_example().values()], 1
            )
        step()
        return flat(parameters) - start

    runs = {
        "forward": forward,
        "function": objective,
        "gradient": gradient,
        "hvp": hvp,
        "per example": per_example,
        "step": step,
    }
    return Call(runs[kind], check)


def eager(scalar: Scalar, kind: str) -> Call:
    """The graph that PyTorch builds, or that and backward."""
    if kind == BY_UFUNCS:
        raise Unavailable("NumPy's ufuncs do not record on its tensors")
    space = SimpleNamespace(sin=torch.sin, cos=torch.cos, sqrt=torch.sqrt, sum=torch.sum, linalg=torch.linalg)
    x = torch.tensor(scalar.start(), requires_grad=True)

    def record() -> torch.Tensor:
        return scalar.function(space, x)

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(record(), x)[0]

    run = gradient if kind == "gradient" else record
    return Call(run, lambda: run().detach().numpy(), scalar.operations)


SPACE = SimpleNamespace(
    sin=torch.sin, sum=torch.sum, log=torch.log, exp=torch.exp, sqrt=torch.sqrt, erf=torch.erf
)


def pinn(workload: Pinn, _kind: str) -> Call:
    """Double backward: torch.autograd.grad with create_graph for each derivative of the residual."""
    theta, z = workload.batch()
    t, x = (torch.tensor(z[:, k : k + 1], requires_grad=True) for k in (0, 1))
    module = model(workload.net, theta)
    parameters = list(module.parameters())

    def derivative(y: torch.Tensor, *by: torch.Tensor) -> tuple:
        return torch.autograd.grad(y, by, torch.ones_like(y), create_graph=True)

    def gradient() -> tuple:
        u = module(torch.cat([t, x], 1))
        drift, slope = derivative(u, t, x)
        (curvature,) = derivative(slope, x)
        loss = torch.mean((drift + u * slope - workload.viscosity * curvature) ** 2)
        return torch.autograd.grad(loss, parameters)

    return Call(gradient, lambda: flat(gradient()))


def function(workload: Function, kind: str) -> Call:
    """The eager gradient."""
    if kind == "compile":
        raise Unavailable("eager functions are not compiled")
    if "sparse" in kind:
        raise Unavailable("it has no sparse Hessian")
    if kind == "Hessian":
        x, hessian = (
            torch.tensor(*workload.arguments()),
            torch.func.hessian(lambda x: workload.function(SPACE, x)),
        )
        return Call(lambda: hessian(x), lambda: hessian(x).numpy())
    arguments = [torch.tensor(x, requires_grad=True) for x in workload.arguments()]

    def gradient() -> tuple:
        return torch.autograd.grad(workload.function(SPACE, *arguments), arguments)

    return Call(gradient, lambda: torch.stack(gradient()).numpy())


def field(workload: Field, kind: str) -> Call:
    """torch.func under vmap for Hessians, else torch.autograd.grad of the points' sum, again if needed."""
    if "diagonal" in kind:
        raise Unavailable("it has no Hessian's diagonal")
    theta, points, _ = workload.net.batch()
    module, x = model(workload.net, theta), torch.tensor(points, requires_grad=True)
    parameters = list(module.parameters())

    def gradient(**keep: bool) -> torch.Tensor:
        return torch.autograd.grad(module(x).sum(), x, **keep)[0]

    def jvp() -> torch.Tensor:
        return torch.func.jvp(lambda x: module(x)[:, 0], (x.detach(),), (x.detach(),))[1]

    def hvp() -> torch.Tensor:
        return torch.autograd.grad(gradient(create_graph=True), x, x.detach())[0]

    def laplacian(keep: bool = False) -> torch.Tensor:
        slope = gradient(create_graph=True)
        columns = range(slope.shape[1])
        second = [
            torch.autograd.grad(slope[:, k].sum(), x, retain_graph=True, create_graph=keep) for k in columns
        ]
        return sum(by_x[:, k] for k, (by_x,) in enumerate(second))

    def by_parameters() -> tuple:
        return torch.autograd.grad(torch.mean(laplacian(True) ** 2), parameters, allow_unused=True)

    def filled() -> np.ndarray:
        slopes = zip(by_parameters(), parameters, strict=True)
        return flat([torch.zeros_like(p) if slope is None else slope for slope, p in slopes])

    second = torch.func.vmap(torch.func.hessian(lambda x: module(x)[0]))
    runs = {
        "function": lambda: module(x)[:, 0],
        "gradient": gradient,
        "jvp": jvp,
        "hvp": hvp,
        "Laplacian": laplacian,
        "Laplacian, by parameters": by_parameters,
        "Hessian": lambda: second(x.detach()),
    }
    run = runs[kind]
    return Call(run, filled if kind.endswith("parameters") else lambda: run().detach().numpy())


def recurrence(workload: Recurrence, kind: str) -> Call:
    """A Python loop."""
    if kind not in ("function", "gradient") or workload.steps > 1000:
        raise Unavailable("a loop in Python keeps every step, and is not compiled")
    w, h, drive = map(torch.from_numpy, workload.arrays())
    w.requires_grad_()

    def function() -> torch.Tensor:
        state = h
        for x in drive:
            state = torch.tanh(state @ w + x)
        return torch.sum(state**2)

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(function(), w)[0]

    run = function if kind == "function" else gradient
    return Call(run, lambda: run().detach().numpy())


def row(workload: Row, kind: str) -> Call:
    """The module, or torch.autograd.functional.jacobian of it."""
    theta, x, _ = workload.net.batch()
    module, x = model(workload.net, theta), torch.from_numpy(x[0])

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return module(x)

    def jacobian() -> torch.Tensor:
        return torch.autograd.functional.jacobian(module, x)

    run = jacobian if kind.startswith("Jacobian") else forward
    return Call(run, lambda: run().numpy(), quantile=0.999 if "p99.9" in kind else None)


def invocation(workload: Invocation, kind: str) -> Call:
    """Of eager functions."""
    arrays, out = [torch.from_numpy(x) for x in workload.arrays()], torch.empty(8, dtype=torch.float64)
    if "tree" in kind:
        tree = workload.tree(arrays)

        def double() -> list:
            return [{name: 2 * leaf for name, leaf in layer.items()} for layer in tree]

        return Call(double, lambda: torch.stack([v for layer in double() for v in layer.values()]).numpy())
    a, b, c, d = arrays
    if "out=" in kind:
        return Call(lambda: torch.add(a + b + c, d, out=out), lambda: (a + b + c + d).numpy())
    return Call(lambda: a + b + c + d, lambda: (a + b + c + d).numpy())
