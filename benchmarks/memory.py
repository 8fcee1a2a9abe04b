"""The memory of a training process beyond importing NumPy, against the least that its schedule can do with.

    python benchmarks/memory.py [--steps N] [--out DIR]

Each net of the training suite is trained in a process of its own: gradient and Adam, in place.  The lower
bound: the parameters, the optimizer's state, the batch and the results, the packed panels and other scratch,
and of the intermediates the largest sum that is in use at one time.  Then, what the plans of a long
recurrence take that keeps all of its states, or few.  Writes memory.json; the exit status is 1 where a net
takes more than is allowed.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy.random  # noqa: F401 - NumPy loads it when it is first used, which is not wengert's doing

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks import report
from benchmarks.suites import DERIVATIVES, NETS
from benchmarks.workloads import Net, Recurrence

TIMES, BESIDE = 1.2, 10 << 20  # what is allowed: so many lower bounds, and bytes for the interpreter's share


def peak_bytes() -> int:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def train(net: Net, steps: int) -> dict[str, int]:
    """Bytes that training takes beyond what the process had, and what they consist of by the plan."""
    before = peak_bytes()
    import wengert as wg

    theta, x, y = net.batch()
    model = wg.MLP(net.widths, net.activation, net.dtype)
    gradient, optimizer = wg.value_and_grad(model.objective(net.loss)), wg.optim.Adam(1e-5)
    del model

    def update(theta, state, x, y):
        value, slope = gradient(theta, x, y)
        return *optimizer.step(theta, slope, state), value

    step, state = wg.compile(update, donate_argnums=(0, 1)), optimizer.init(theta)
    for _ in range(steps):
        theta, state, value = step(theta, state, x, y)
    info = step.program(theta, state, x, y).info
    return {
        "taken": peak_bytes() - before,
        "arrays": sum(array.nbytes for array in (theta, x, y, value, *state.values())),
        "scratch": info["scratch_bytes"],
        "arena": info["arena_bytes"],
        "live": info["live_bytes"],
    }


def measured(net: Net, steps: int) -> dict[str, object]:
    """What a process of its own has to say about a net, against the bound."""
    command = [sys.executable, __file__, "--net", str(NETS.index(net)), "--steps", str(steps)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    bound = found["arrays"] + found["scratch"] + found["live"]
    allowed = int(TIMES * bound) + BESIDE
    within = found["taken"] <= allowed
    return {"net": net.name, **found, "lower bound": bound, "allowed": allowed, "within": within}


def recurrences() -> dict[str, int]:
    """Bytes that the gradient through the longest loop takes beside its arguments, by strategy."""
    from benchmarks.peers.wengert import recurrence

    loops = [work for work in DERIVATIVES if isinstance(work, Recurrence)]
    longest = max(loops, key=lambda work: work.steps)
    taken = {}
    for kind in ("gradient", "gradient, sqrt", "gradient, log"):
        info = recurrence(longest, f"{kind}, compile").run().info
        taken[f"{longest.name}: {kind}"] = info["arena_bytes"] + info["scratch_bytes"]
    return taken


def megabytes(n: int) -> str:
    return f"{n / 2**20:,.2f}"


def main() -> int:
    """A table of nets and one of strategies; with --net what the process started for it has to say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="default %(default)s")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="where the JSON goes"
    )
    parser.add_argument("--net", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.net is not None:
        print(json.dumps(train(NETS[given.net], given.steps)))
        return 0
    nets = [measured(net, given.steps) for net in NETS]
    bytes_of = ("taken", "lower bound", "arrays", "scratch", "live", "arena", "allowed")
    titles = ["MB, of a training process", *bytes_of, "within"]
    verdict = {True: "yes", False: "NO"}
    rows = [[net["net"], *(megabytes(net[key]) for key in bytes_of), verdict[net["within"]]] for net in nets]
    print(report.lined([titles, *rows]))
    loops = recurrences()
    most = max(loops.values())
    titles = ["MB, of a loop's gradient", "plan", "of keeping all"]
    print(report.lined([titles, *([name, megabytes(n), f"{n / most:.3%}"] for name, n in loops.items())]))
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"machine": report.machine(), "steps": given.steps, "training": nets, "recurrences": loops}
    report.write(given.out / "memory.json", content)
    return 0 if all(net["within"] for net in nets) else 1


if __name__ == "__main__":
    sys.exit(main())
