"""The memory of a training process beyond importing NumPy, against what its plan takes.

    python benchmarks/memory.py [--steps N]

Each net of the training suite is trained in a process of its own: gradient and Adam, in place.  The plan
takes the parameters, the optimizer's state, the batch, and the program's intermediates and scratch.  Then,
what the plans of a long recurrence take that keeps all of its states, or few.
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy.random  # noqa: F401 - NumPy loads it when it is first used, which is not wengert's doing

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.workloads import DERIVATIVES, NETS, Net, Recurrence

ALLOWED = 1.2, 10 << 20  # times the plan's bytes, and bytes for the interpreter's share


def peak_bytes() -> int:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def train(net: Net, steps: int) -> tuple[int, int]:
    """Bytes that training takes beyond what the process had, and those of the plan."""
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
        theta, state, _ = step(theta, state, x, y)
    info = step.program(theta, state, x, y).info
    arrays = sum(array.nbytes for array in (theta, x, y, *state.values()))
    return peak_bytes() - before, arrays + info["arena_bytes"] + info["scratch_bytes"]


def recurrences() -> Iterator[str]:
    """What the gradient through the longest loop takes beside its arguments, by strategy."""
    from benchmarks.peers.wengert import recurrence

    loops = [work for work in DERIVATIVES if isinstance(work, Recurrence)]
    longest = max(loops, key=lambda work: work.steps)
    taken = {}
    for kind in ("gradient", "gradient, sqrt", "gradient, log"):
        info = recurrence(longest, f"{kind}, compile").run().info
        taken[kind] = info["arena_bytes"] + info["scratch_bytes"]
        share = taken[kind] / taken["gradient"]
        yield f"{longest.name}: {kind}: {taken[kind] / 2**20:,.2f} MB, {share:.3%} of keeping all"


def main() -> None:
    """One line per net; with --net what the process started for it has to say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3, help="default %(default)s")
    parser.add_argument("--net", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.net is not None:
        print(*train(NETS[given.net], given.steps))
        return
    for number, net in enumerate(NETS):
        command = [sys.executable, __file__, "--net", str(number), "--steps", str(given.steps)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        taken, planned = map(int, done.stdout.split())
        allowed = ALLOWED[0] * planned + ALLOWED[1]
        verdict = "within" if taken <= allowed else "beyond"
        print(
            f"{net.name}: {taken / 2**20:,.1f} MB, plan {planned / 2**20:,.1f} MB; "
            f"{verdict} {ALLOWED[0]} x plan + {ALLOWED[1] >> 20} MB = {allowed / 2**20:,.1f} MB"
        )
    print(*recurrences(), sep="\n")


if __name__ == "__main__":
    main()
