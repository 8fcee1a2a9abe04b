"""The benchmark's command: it runs, checks its peers and writes what it says; never how fast anything is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def benchmarks(*arguments: str, status: int = 0) -> str:
    """What the command prints, started as a user does; `status` is how it is to end."""
    command = [sys.executable, "-W", "error", "-m", "benchmarks", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("suite", "only", "base"),
    [
        ("train", "24-8-2 tanh mse f64 batch 200: step", "wengert"),
        ("kernels", "200×4 · 4×32 f32", "wengert"),
        ("eager", "3,000 operators: record", "wengert_eager"),
        ("graph", "one row, 12-64-64-4 tanh f32: forward, p99.9", "wengert"),
        ("graph", "call: a tree", "wengert"),
    ],
)
def test_a_suite_tells_times_ratios_and_distances(tmp_path, suite, only, base):
    printed = benchmarks(
        suite, "--only", only, "--peers", base, "numpy", "--rounds", "2", "--out", str(tmp_path)
    )
    told = json.loads((tmp_path / f"{suite}.json").read_text())
    assert {"date", "cpu", "cores", "caches", "commit", "load"} <= told["machine"].keys()
    assert told["peers"][base]["version"]
    assert told["peers"]["numpy"]["version"]
    assert told["settings"] == {"suite": suite, "threads": [1], "rounds": 2, "only": [only]}
    (result,) = told["results"]
    assert result["base"] == base
    assert result["peers"].keys() == result["rounds"].keys() == {base, "numpy"}
    assert result["distance"].keys() == {"numpy"}
    assert not result["failed"]
    for peer, rounds in result["rounds"].items():
        assert len(rounds) == 2
        assert min(rounds) > 0
        ratio = result["peers"][peer]["ratio"]
        assert ratio["low"] <= ratio["median"] <= ratio["high"]
    assert result["peers"][base]["ratio"]["median"] == 1
    assert (tmp_path / f"{suite}.png").read_bytes().startswith(b"\x89PNG")
    assert f"| {result['workload']}" in printed


def test_the_residuals_gradient_is_that_of_finite_differences(monkeypatch):
    """Of wengert's own workload: with PyTorch or JAX installed the harness compares their numbers, too."""
    monkeypatch.syspath_prepend(str(ROOT))
    import numpy as np

    from benchmarks.peers import wengert
    from benchmarks.workloads import Pinn

    workload = Pinn("float64", points=20)
    found = wengert.pinn(workload, "gradient").check()
    theta, z = workload.batch()

    def loss(theta, step=1e-3):
        def u(dt, dx):
            h = z + np.array([dt, dx])
            for number, (weight, bias) in enumerate(workload.net.layers(theta), 1):
                h = h @ weight + bias
                h = np.tanh(h) if number < 5 else h
            return h[:, 0]

        here, before, after = u(0, 0), u(0, -step), u(0, step)
        drift, slope = (u(step, 0) - u(-step, 0)) / (2 * step), (after - before) / (2 * step)
        curvature = (after - 2 * here + before) / step**2
        return np.mean((drift + here * slope - workload.viscosity * curvature) ** 2)

    direction = np.random.default_rng(0).normal(size=theta.shape)
    difference = (loss(theta + 1e-4 * direction) - loss(theta - 1e-4 * direction)) / 2e-4
    np.testing.assert_allclose(found @ direction, difference, rtol=1e-4)


def test_the_costs_of_derivatives_are_told(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import report
    from benchmarks.harness import Result

    function, gradient, product = (
        Result("graph", "net", kind, 1, "wengert", {"wengert": [seconds] * 3})
        for kind, seconds in (("function", 2.0), ("gradient", 5.0), ("hvp", 10.0))
    )
    assert report.costs([gradient], ["wengert"]) is None
    told = report.costs([function, gradient, product], ["wengert", "jax"]).splitlines()[2:]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in told] == [
        ["net: gradient / function", "1", "2.50"],
        ["net: hvp / function", "1", "5.00"],
        ["net: hvp / gradient", "1", "2.00"],
    ]


@pytest.mark.parametrize("number", range(4))
def test_each_derivative_is_measured_of_what_it_says(monkeypatch, number):
    """The base's own numbers, against one another; the harness compares them with the peers'."""
    monkeypatch.syspath_prepend(str(ROOT))
    import numpy as np

    from benchmarks.peers.wengert import field, function, recurrence, train
    from benchmarks.workloads import Field, Function, Net, Recurrence, rosenbrock

    if number == 0:
        points = Field((3, 8, 1), 5, (), "float64")
        x = points.net.batch().x
        found = {k: field(points, k).check() for k in ("gradient", "jvp", "hvp", "Hessian", "Laplacian")}
        diagonal = field(points, "Hessian's diagonal").check()
        np.testing.assert_allclose(found["jvp"], np.sum(found["gradient"] * x, 1), rtol=1e-12)
        np.testing.assert_allclose(found["hvp"], np.einsum("rij,rj->ri", found["Hessian"], x), rtol=1e-12)
        np.testing.assert_allclose(found["Laplacian"], np.trace(found["Hessian"], 0, 1, 2), rtol=1e-12)
        np.testing.assert_allclose(diagonal, np.diagonal(found["Hessian"], 0, 1, 2), rtol=1e-12)
        assert field(points, "Laplacian, by parameters").check().shape == points.net.batch().theta.shape
    elif number == 1:
        net = Net((3, 8, 2), "tanh", "squared_error", 5, "float64")
        each, mean = (train(net, kind).check() for kind in ("per example", "gradient"))
        np.testing.assert_allclose(each.mean(0), mean, rtol=1e-12)
    elif number == 2:
        stored, few = (
            recurrence(Recurrence(50, (), rows=3), k).check() for k in ("gradient", "gradient, log")
        )
        np.testing.assert_allclose(few, stored, rtol=1e-5)
    else:
        workload = Function("Rosenbrock", rosenbrock, ((-1.0, 1.5),), 10)
        dense, sparse = (function(workload, kind).check() for kind in ("Hessian", "sparse Hessian"))
        np.testing.assert_allclose(sparse, [*np.diagonal(dense), *np.diagonal(dense, 1)], rtol=1e-12)


def test_a_peer_with_other_numbers_is_not_timed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    import numpy as np

    from benchmarks import harness, suites

    class Peer:
        def __init__(self, peer, numbers):
            self.peer, self.numbers = peer, numbers

        def ask(self, request, *_):
            return self.numbers if request == "prepare" else 1.0

    monkeypatch.setattr(harness, "IDLE", 0.0)
    right = np.array([1.0, 2.0])
    workers = [Peer("numpy", right * 1.01), Peer("autograd", right), Peer("wengert", right)]
    result = harness.compete(suites.NETS[0], "gradient", 1, workers, rounds=3)
    assert result.seconds == {"wengert": [1.0] * 3, "autograd": [1.0] * 3}
    assert result.failed == {"numpy": "its numbers differ from wengert's by 1.0e-02"}


def test_an_unknown_workload_is_answered_with_the_known_ones():
    assert "16-64-64-1 tanh mse f32 batch 32: step" in benchmarks("train", "--only", "17-", status=2)


def test_the_gradients_of_models_are_those_of_hips_autograd(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    import autograd
    import autograd.numpy as anp
    import numpy as np

    from benchmarks.models import joined
    from benchmarks.peers.wengert import model
    from benchmarks.suites import MODELS, tolerance

    def scan(step, carry, xs, length=None):
        results = []
        for k in range(length or len(xs)):
            carry, y = step(carry, xs if xs is None else xs[k])
            results.append(y)
        return carry, None if results[0] is None else anp.stack(results)

    for workload in MODELS:
        parameters, *data = workload.arguments()
        theirs = joined(
            autograd.grad(lambda p, w=workload, data=data: w.loss(anp, scan, p, *data))(parameters)
        )
        ours = model(workload, "gradient").check()
        distance = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert distance <= tolerance(workload, "gradient"), workload.name
