"""What `import wengert` costs beyond `import numpy`, in fresh processes that take turns.

    python benchmarks/import_time.py [--rounds N]

wengert loads a module when one of its names is first used, so the cost of what the first gradient, the first
network and all names load is shown as well.  Each round starts one process per line; the first round only
warms the file cache and is dropped.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile

# What is timed, after what has been run before the clock starts.
CASES = {
    "import numpy": ("", "import numpy"),
    "import wengert, after numpy": ("import numpy", "import wengert"),
    "... and wengert.grad": ("import numpy", "import wengert; wengert.grad"),
    "... and wengert.MLP": ("import numpy", "import wengert; wengert.grad; wengert.MLP"),
    "... and every name": (
        "import numpy",
        "import wengert; [getattr(wengert, name) for name in wengert.__all__]",
    ),
}
TIMED = "import time; {}\nstart = time.perf_counter(); {}; print(time.perf_counter() - start)"


def milliseconds(case: tuple[str, str], directory: str) -> float:
    """The time of a statement in a process of its own, started where nothing shadows what is installed."""
    command = [sys.executable, "-c", TIMED.format(*case)]
    answer = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return 1e3 * float(answer.stdout)


def main() -> None:
    """Print the median and the quartiles of each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds (default %(default)s)")
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {label: [] for label in CASES}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(rounds + 1):
            for label, case in CASES.items():
                times[label].append(milliseconds(case, directory))
    for label, measured in times.items():
        low, middle, high = statistics.quantiles(measured[1:], n=4)
        print(f"{label:30} {middle:7.1f} ms   (quartiles {low:.1f} .. {high:.1f}, {rounds} rounds)")


if __name__ == "__main__":
    main()
