"""What each derivative costs, in evaluations of the function: the table of docs/derivatives.md.

    python -m benchmarks.derivatives

Compiled programs on one thread take turns.  The least of 60 rounds counts, for whatever else the machine
does only adds; it is divided by that of the function itself.
"""

import time
from collections.abc import Callable

import numpy as np

import wengert as wg


def by_inputs(rows: int = 256, n: int = 10) -> dict[str, Callable[[], object]]:
    """Derivatives of a 10-64-64-1 tanh net by its inputs, at `rows` points."""
    net = wg.MLP([n, 64, 64, 1], activation="tanh", dtype="float32", seed=0)
    rng = np.random.default_rng(0)
    x, v = (rng.normal(size=(rows, n)).astype("float32") for _ in range(2))

    def f(x):
        return net.apply(net.params, x)[0]

    transforms = {
        "f": f,
        "grad": wg.grad(f),
        "jvp": lambda x: wg.jvp(f, (x,), (x,))[1],
        "hvp": lambda x: wg.hvp(f, x, x),
        "laplacian": wg.laplacian(f),
        "hessian_diagonal": wg.hessian_diagonal(f),
        "hessian": wg.hessian(f),
    }
    programs = {name: wg.compile(wg.vmap(g)) for name, g in transforms.items()}
    for g in programs.values():
        g(x), g(v)
    return {name: lambda g=g: g(x) for name, g in programs.items()}


def by_parameters(rows: int = 256) -> dict[str, Callable[[], object]]:
    """Derivatives of the loss of a 30-64-32-2 net by its parameters."""
    net = wg.MLP([30, 64, 32, 2], activation="tanh", dtype="float32", seed=0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, 30)).astype("float32"), rng.normal(size=(rows, 2)).astype("float32")

    def loss(p, x, y):
        return np.mean((net.apply(p, x) - y) ** 2)

    transforms = {
        "f": loss,
        "grad": wg.grad(loss),
        "hvp": lambda p, x, y: wg.hvp(loss)(p, p, x, y),
        "gauss_newton": lambda p, x, y: wg.gauss_newton(lambda q: net.apply(q, x))(p, p),
        "vmap(grad)": wg.vmap(wg.grad(loss), in_axes=(None, 0, 0)),
    }
    programs = {name: wg.compile(g) for name, g in transforms.items()}
    for g in programs.values():
        g(net.params, x, y)
    return {name: lambda g=g: g(net.params, x, y) for name, g in programs.items()}


def through_time(steps: int = 1000) -> dict[str, Callable[[], object]]:
    """Derivatives of a scan of a 16-wide tanh RNN at batch 32, by its weights."""
    rng = np.random.default_rng(0)
    w, h = (rng.normal(size=(16, 16)) / 4).astype("float32"), np.ones((32, 16), "float32")

    def loss(checkpoint):
        def f(w):
            def step(h, _):
                return np.tanh(h @ w), None

            return np.sum(wg.scan(step, h, length=steps, checkpoint=checkpoint)[0] ** 2)

        return f

    programs = {"f": wg.compile(loss(None)), "grad": wg.compile(wg.grad(loss(None)))}
    programs |= {f"grad, {c!r}": wg.compile(wg.grad(loss(c))) for c in ("sqrt", "log")}
    for g in programs.values():
        g(w)
    return {name: lambda g=g: g(w) for name, g in programs.items()}


def least(alternatives: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least time of each alternative in microseconds."""
    times = dict.fromkeys(alternatives, float("inf"))
    for _ in range(rounds):
        for name, run in alternatives.items():
            start = time.perf_counter()
            run()
            times[name] = min(times[name], 1e6 * (time.perf_counter() - start))
    return times


def main() -> None:
    wg.set_num_threads(1)
    for workload in (by_inputs, by_parameters, through_time):
        found = least(workload(), 60)
        print((workload.__doc__ or "").splitlines()[0])
        for name, least_time in found.items():
            print(f"  {name:<18}{least_time:>10.0f} us{least_time / found['f']:>8.1f} x f")


if __name__ == "__main__":
    main()
