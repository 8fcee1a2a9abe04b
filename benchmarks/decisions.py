"""The measurements that the pages in docs/adr quote.

    python -m benchmarks.decisions [chain] [derivative] [program] [isa] [running] [products] [padding]
                                   [passes] [stacked] [interruptions]

Medians of rounds in which the alternatives take turns.  Set OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1 to
compare programs on one thread, as the page does.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import numpy as np

import wengert as wg
from wengert import _core

from .harness import IDLE, Spread, Worker
from .suites import SUITES
from .workloads import Gemm


def medians(alternatives: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median time of each alternative in microseconds; the first two rounds warm up and are dropped."""
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds + 2):
        for name, run in alternatives.items():
            start = time.perf_counter()
            run()
            times[name].append(1e6 * (time.perf_counter() - start))
    return {name: statistics.median(measured[2:]) for name, measured in times.items()}


def resident_bytes() -> int:
    """The most memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def chain(n: int = 10**6) -> None:
    """ADR 1: a chain of n scalar operations, recorded from Python and swept in reverse."""
    tape = wg.Tape()
    x = y = tape.var(0.5)
    before, start = resident_bytes(), time.perf_counter()
    for _ in range(n):
        y = wg.numpy.sin(y)
    recorded = time.perf_counter()
    print(f"chain of {n:,} sin: {(recorded - start) / n * 1e9:.0f} ns and ", end="")
    print(f"{(resident_bytes() - before) / n:.1f} bytes a node to record, ", end="")
    tape.gradient(y).wrt(x)
    print(f"{(time.perf_counter() - recorded) / n * 1e9:.0f} ns a node for the reverse sweep")


def derivative(n: int = 100_000, rounds: int = 50) -> None:
    """ADR 5: g * (1 - y) * (1 + y) as the node that the rule appends, and as those it stands for."""
    codes = {op.name: op.code for op in _core.ops()}
    rng = np.random.default_rng(0)
    tape = wg.Tape()
    g, y, one = (tape.var(x) for x in (rng.normal(size=n), np.tanh(rng.normal(size=n)), np.array(1.0)))
    length = len(tape)

    def append(name: str, *operands: wg.Var) -> wg.Var:
        return _core.record(codes[name], operands)

    def one_node() -> None:
        append("d_tanh_0", g, y)
        tape.pop(length)

    def expanded() -> None:
        append("zmul", g, append("mul", append("sub", one, y), append("add", one, y)))
        tape.pop(length)

    for name, microseconds in medians({"one node": one_node, "expanded": expanded}, rounds).items():
        print(f"derivative of tanh, {n:,} float64, {name}: {microseconds / 1e3:.2f} ms")


Layers = list[tuple[np.ndarray, np.ndarray]]


def loss(layers: Layers, x: np.ndarray, target: np.ndarray) -> float:
    """The mean squared error of a tanh net."""
    for weight, bias in layers:
        x = np.tanh(x @ weight + bias)
    return np.mean((x - target) ** 2)


def by_hand(layers: Layers, x: np.ndarray, target: np.ndarray) -> tuple[float, Layers]:
    """The loss and its gradient as one writes them in NumPy."""
    outputs = [x]
    for weight, bias in layers:
        outputs.append(np.tanh(outputs[-1] @ weight + bias))
    error = outputs[-1] - target
    g, gradient = 2 * error / error.size, []
    for (weight, _), below, above in zip(layers[::-1], outputs[-2::-1], outputs[::-1], strict=False):
        g = g * (1 - above * above)
        gradient.append((below.T @ g, g.sum(axis=0)))
        g = g @ weight.T
    return np.mean(error * error), gradient[::-1]


def program() -> None:
    """ADR 4: gradients by hand, eager and compiled, and what the plan saves."""
    rng = np.random.default_rng(0)
    for widths, rows in (
        ([4, 32, 16, 4], 200),
        ([16, 64, 64, 1], 32),
        ([784, 128, 10], 32),
        ([256] * 5 + [1], 1024),
    ):
        layers: Layers = [
            (rng.normal(0, n_in**-0.5, (n_in, n_out)).astype("f4"), np.zeros(n_out, "f4"))
            for n_in, n_out in pairwise(widths)
        ]
        x, target = (rng.normal(size=(rows, width)).astype("f4") for width in (widths[0], widths[-1]))
        eager = wg.value_and_grad(loss)
        compiled = wg.compile(eager)
        ways = {"by hand": by_hand, "eager": eager, "compiled": compiled}
        runs = {name: partial(way, layers, x, target) for name, way in ways.items()}
        taken = medians(runs, 50 if rows < 1000 else 6)
        info = compiled.program(layers, x, target).info
        print(f"{'-'.join(map(str, widths))}, {rows} rows: ", end="")
        print(", ".join(f"{name} {microseconds:,.0f} us" for name, microseconds in taken.items()), end="; ")
        print(f"arena {info['arena_bytes']:,} of {info['value_bytes']:,} bytes")


def isa(names: tuple[str, str] = ("avx2", "avx512"), rounds: int = 9) -> None:
    """ADR 12: gradients of the nets of `python -m benchmarks train` by two instruction sets, one thread."""
    before = os.environ.get("WENGERT_ISA", "")
    workers = []
    try:
        for name in names:
            os.environ["WENGERT_ISA"] = name  # which the process inherits
            workers.append(Worker("wengert", threads=1))
        for net in SUITES["train"]:
            for worker in workers:
                worker.ask("prepare", net, "gradient")
            ratios = []
            for _ in range(rounds):
                times = []
                for worker in workers:
                    time.sleep(IDLE)
                    times.append(worker.ask("measure"))
                ratios.append(times[1] / times[0])
            spread = Spread.of(ratios)
            taken = f"{spread.median:.2f} [{spread.low:.2f} {spread.high:.2f}]"
            print(f"{net.name}: {names[1]} takes {taken} times as long as {names[0]}", flush=True)
    finally:
        os.environ["WENGERT_ISA"] = before
        for worker in workers:
            worker.close()


def running(rounds: int = 9) -> None:
    """ADR 13: running sums and products, products and orders beside NumPy's."""
    rng = np.random.default_rng(0)
    line, square = rng.standard_normal(100_000), rng.standard_normal((1000, 1000))
    functions = {
        "cumsum of a line": (np.cumsum, line),
        "cumsum across lines": (lambda x: np.cumsum(x, axis=0), square),
        "cumprod of a line": (np.cumprod, 1 + line / 1e4),
        "prod of a square": (np.prod, 1 + square / 1e4),
        "sort of a line": (np.sort, line),
        "argsort of a line": (np.argsort, line),
        "sort of rows of ten": (lambda x: np.sort(x, axis=1), line.reshape(-1, 10)),
        "argmin along lines": (lambda x: np.argmin(x, axis=1), square),
    }
    for name, (function, x) in functions.items():
        ours, theirs = partial(wg.compile(function), x), partial(function, x)
        times = medians({"wengert": ours, "NumPy": theirs}, rounds)
        print(f"{name}: {times['wengert']:.0f} us, NumPy {times['NumPy']:.0f} us", flush=True)


def products(rounds: int = 15) -> None:
    """ADR 22: the products of the large nets beside NumPy's and the limit, and what fresh results cost."""
    limit = Worker("limit", threads=wg.get_num_threads())
    for net in SUITES["train"]:
        if max(net.widths) < 256:
            continue
        limit.ask("prepare", net, "gradient")
        peak = net.flops("gradient") / limit.ask("measure")
        n_in, n_out = net.widths[:2]
        for what, gemm in {
            "forward": Gemm(net.rows, n_in, n_out),
            "gradient by weights": Gemm(n_in, net.rows, n_out, transposed="a"),
            "gradient by rows": Gemm(net.rows, n_out, n_in, transposed="b"),
        }.items():
            operands, out = gemm.operands(), gemm.result()
            views = [x.T if which in gemm.transposed else x for which, x in zip("ab", operands, strict=True)]
            ours = partial(wg.compile(partial(gemm.apply, wg.numpy)), *operands, out=out)
            times = medians({"wengert": ours, "NumPy": partial(np.matmul, *views, out=out)}, rounds)
            rates = {name: gemm.flops / time * 1e6 for name, time in times.items()}
            shares = ", ".join(
                f"{who} {rate / 1e9:.0f} GFLOP/s, {rate / peak:.0%}" for who, rate in rates.items()
            )
            print(f"{net.name}, {what}, {gemm.name}: {shares} of the limit", flush=True)
        theta, x, y = net.batch()
        model = wg.MLP(net.widths, net.activation, net.dtype)
        gradient = wg.compile(wg.value_and_grad(model.objective(net.loss)))
        out = (np.empty((), net.dtype), np.empty_like(theta))
        run = partial(gradient, theta, x, y)
        times = medians({"fresh": run, "out": partial(run, out=out)}, rounds)
        ratio = times["fresh"] / times["out"]
        print(f"{net.name}, gradient: {ratio:.2f} times as long as into out=", flush=True)
    limit.close()


def padded(x: np.ndarray) -> np.ndarray:
    """The same numbers in rows of whole vectors, an odd number of cache lines each."""
    line = 64 // x.itemsize
    lines = -(-x.shape[1] // line)
    wide = np.empty((x.shape[0], line * (lines + (lines % 2 == 0))), x.dtype)
    wide[:, : x.shape[1]] = x
    return wide[:, : x.shape[1]]


def padding(rounds: int = 25) -> None:
    """ADR 26: products of padded operands beside dense ones, and nets beside those of whole vectors."""
    rng = np.random.default_rng(0)
    for rows, width in ((512, 2048), (512, 1024), (512, 513)):
        x, g, w = (rng.normal(size=(n, width)).astype("f4") for n in (rows, rows, width))
        for what, product, *operands in (
            ("forward", lambda x, w: x @ w, x, w),
            ("gradient by weights", lambda x, g: x.T @ g, x, g),
            ("gradient by rows", lambda g, w: g @ w.T, g, w),
        ):
            compiled = wg.compile(product)
            run = partial(compiled, out=compiled(*operands))
            ways = {"plain": partial(run, *operands), "padded": partial(run, *map(padded, operands))}
            times = medians(ways, rounds)
            gain = times["plain"] / times["padded"]
            print(f"{rows} rows of {width}, {what}: padded operands are {gain:.3f} times as fast", flush=True)
    for rows, width in ((200, 10), (200, 100), (512, 513), (512, 1024), (512, 2048)):
        wider = width // 16 * 16 + 16
        runs = {}
        for n in (width, wider):
            net = wg.MLP([n, n, n, n], "tanh", seed=0)
            batch = (rng.normal(size=(rows, n)).astype("f4"), np.zeros((rows, n), "f4"))
            gradient = wg.compile(wg.value_and_grad(net.objective("squared_error")))
            out = (np.empty((), "f4"), np.empty_like(net.theta))
            runs[f"{n}"] = partial(gradient, net.theta, *batch, out=out)
        times = medians(runs, rounds)
        ratio = times[f"{width}"] / times[f"{wider}"]
        print(f"a net's gradient, {rows} rows: width {width} takes {ratio:.3f} of {wider}", flush=True)


def passes(rounds: int = 31) -> None:
    """ADR 26: the share of the passes that apply activations' derivatives before products read the result."""
    for net in SUITES["train"]:
        if max(net.widths) < 256:
            continue
        model = wg.MLP(net.widths, net.activation, net.dtype)
        program = wg.compile(wg.value_and_grad(model.objective(net.loss))).program(*net.batch())
        times = [statistics.median(of) for of in zip(*program.clock(program._numbers(), rounds), strict=True)]
        alone = [
            time
            for step, time in zip(program.steps(), times, strict=True)
            if "matmul" not in step.ops and any(op.startswith("d_") for op in step.ops)
        ]
        print(f"{net.name}: {len(alone)} passes, {sum(alone) / sum(times):.1%} of the gradient", flush=True)


def stacked(rounds: int = 300) -> None:
    """ADR 25: a value and its tangents times one matrix, as two products and, side by side, as one."""
    rng = np.random.default_rng(0)

    def total(weight: np.ndarray, *streams: np.ndarray) -> np.ndarray:
        """Products as between the layers of a net: in one region, of what it has computed, read once more."""
        return sum(np.sum((x * x).reshape(-1, x.shape[-1]) @ weight) for x in streams)

    for name, points, directions, width in (
        ("residual of 2-32x4-1", 1000, 2, 32),
        ("Hessian of 6-32-32-1", 256, 6, 32),
        ("Laplacian of 10-64-64-1", 1024, 10, 64),
    ):
        for dtype in ("float32", "float64"):
            together = rng.normal(size=(points, 1 + directions, width)).astype(dtype)
            value, tangents = np.ascontiguousarray(together[:, 0]), np.ascontiguousarray(together[:, 1:])
            weight = rng.normal(size=(width, width)).astype(dtype)
            ways = {"two products": (value, tangents), "one": (together,), "tangents alone": (tangents,)}
            runs = {way: partial(wg.compile(total), weight, *streams) for way, streams in ways.items()}
            times = medians(runs, rounds)
            taken = ", ".join(f"{way} {microseconds:.1f} us" for way, microseconds in times.items())
            print(f"{name}, {dtype}, {points} points: {taken}", flush=True)


def interruptions(calls: int = 10**5) -> None:
    """What the machine does to the 99.9th percentile of a call that only reads the clock, again and again."""
    clock = time.perf_counter_ns
    for length in (20, 35, 70, 140):
        times = []
        for _ in range(calls):
            start = clock()
            for _ in range(length):
                clock()
            times.append(clock() - start)
        median, rare = (1e-3 * float(x) for x in np.quantile(times, (0.5, 0.999)))
        print(f"calls of {median:.1f} us: 99.9th percentile {rare:.1f} us, {rare / median:.1f} medians")


MEASUREMENTS = {
    "chain": chain,
    "derivative": derivative,
    "program": program,
    "isa": isa,
    "running": running,
    "products": products,
    "padding": padding,
    "passes": passes,
    "stacked": stacked,
    "interruptions": interruptions,
}


def main() -> None:
    """Run the measurements that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    names = parser.parse_args().names
    for name in names or MEASUREMENTS:
        if name not in MEASUREMENTS:
            parser.error(f"{name}: no such measurement; there are {', '.join(MEASUREMENTS)}")
        MEASUREMENTS[name]()


if __name__ == "__main__":
    main()
