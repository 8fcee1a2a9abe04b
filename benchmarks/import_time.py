"""What `import wengert` costs beyond `import numpy`, in fresh processes that take turns.

    python benchmarks/import_time.py [--rounds N]

wengert loads most of its modules when one of their names is first used; the last line loads them all.  Each
round starts one process per statement; the first round only warms the file cache and is dropped.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile

STATEMENTS = (
    "import numpy",
    "import wengert",
    "import wengert; [getattr(wengert, name) for name in wengert.__all__]",
)
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def milliseconds(statement: str, directory: str) -> float:
    """The time of a statement in a process of its own, started where nothing shadows what is installed."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    answer = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return 1e3 * float(answer.stdout)


def report(label: str, values: list[float]) -> None:
    """Print the median and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    print(f"{label:36} {middle:7.1f} ms   (quartiles {low:.1f} .. {high:.1f})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds (default %(default)s)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        times = [[milliseconds(statement, directory) for statement in STATEMENTS] for _ in range(rounds + 1)]
    numpy, wengert, everything = zip(*times[1:], strict=True)
    report("import numpy", numpy)
    report("import wengert, beyond numpy", [mine - base for base, mine in zip(numpy, wengert, strict=True)])
    report(
        "with every module, beyond numpy", [mine - base for base, mine in zip(numpy, everything, strict=True)]
    )


if __name__ == "__main__":
    main()
