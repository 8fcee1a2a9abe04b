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
        ("eager", "record", "wengert_eager"),
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


def test_a_peer_with_other_numbers_is_not_timed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    import numpy as np

    from benchmarks import harness, workloads

    class Peer:
        def __init__(self, peer, numbers):
            self.peer, self.numbers = peer, numbers

        def ask(self, request, *_):
            return self.numbers if request == "prepare" else 1.0

    monkeypatch.setattr(harness, "IDLE", 0.0)
    right = np.array([1.0, 2.0])
    workers = [Peer("numpy", right * 1.01), Peer("autograd", right), Peer("wengert", right)]
    result = harness.compete(workloads.NETS[0], "gradient", 1, workers, rounds=3)
    assert result.seconds == {"wengert": [1.0] * 3, "autograd": [1.0] * 3}
    assert result.failed == {"numpy": "its numbers differ from wengert's by 1.0e-02"}


def test_an_unknown_workload_is_answered_with_the_known_ones():
    assert "16-64-64-1 tanh mse f32 batch 32: step" in benchmarks("train", "--only", "17-", status=2)
