"""`python -m benchmarks kernels | train | eager | pinn | graph | derivatives | models`."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from . import report
from .harness import Result, Worker, compete
from .peers import PEERS
from .suites import BASE, SUITES
from .workloads import Workload


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="wengert against its peers")
    parser.add_argument("suite", choices=SUITES, help="what is measured")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], metavar="N", help="default 1")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--only", default=[], nargs="+", metavar="TEXT", help="workloads whose name holds a TEXT"
    )
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="PEER", help=", ".join(PEERS))
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "results",
        metavar="DIR",
        help="default %(default)s",
    )
    given = parser.parse_args(argv)
    if given.rounds < 1 or min(given.threads) < 1:
        parser.error("--rounds and --threads take positive numbers")
    return given


def chosen_peers(suite: str, wanted: Sequence[str] | None) -> list[str]:
    """Those installed, in the order of PEERS; the base always."""
    names = wanted or [name for name, peer in PEERS.items() if peer.default]
    names = [name for name, peer in PEERS.items() if suite in peer.suites and name in (*names, BASE[suite])]
    installed = [name for name in names if importlib.util.find_spec(PEERS[name].package)]
    if missing := sorted({PEERS[name].package for name in names if name not in installed}):
        print(f"not installed: {', '.join(missing)}")
    return installed


def chosen_tasks(suite: str, only: Sequence[str]) -> list[tuple[Workload, str]]:
    """Workloads and kinds whose joint name holds one of the texts."""
    tasks = [(workload, kind) for workload in SUITES[suite] for kind in workload.kinds]
    return [
        (workload, kind)
        for workload, kind in tasks
        if not only or any(text in f"{workload.name}: {kind}" for text in only)
    ]


def run(
    tasks: list[tuple[Workload, str]], peers: list[str], threads: int, rounds: int
) -> tuple[list[Result], dict]:
    """All tasks on so many threads, and what the peers say of themselves."""
    workers: list[Worker] = []
    try:
        for peer in peers:
            try:
                workers.append(Worker(peer, threads))
            except RuntimeError as error:
                if peer == BASE[tasks[0][0].suite]:
                    raise
                print(f"{report.label(peer)} does not start: {error}")
        results = []
        for workload, kind in tasks:
            result = compete(workload, kind, threads, workers, rounds)
            times = ", ".join(
                f"{report.label(peer)} {report.duration(result.time(peer).median)}" for peer in result.seconds
            )
            print(f"{result.name}: {times}", file=sys.stderr, flush=True)
            results.append(result)
        return results, {worker.peer: worker.about for worker in workers}
    finally:
        for worker in workers:
            worker.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write; the status is 1 where a peer failed or gave other numbers."""
    given = arguments(argv)
    tasks, peers = chosen_tasks(given.suite, given.only), chosen_peers(given.suite, given.peers)
    if not tasks:
        names = "\n  ".join(f"{w.name}: {kind}" for w in SUITES[given.suite] for kind in w.kinds)
        print(f"no workload's name holds {' or '.join(given.only)}; there are\n  {names}")
        return 2
    given.out.mkdir(parents=True, exist_ok=True)  # fails before the half hour, not after it
    about: dict = {"machine": report.machine(), "peers": {}}
    results: list[Result] = []
    for threads in given.threads:
        measured, peers_about = run(tasks, peers, threads, given.rounds)
        results += measured
        about["peers"] |= peers_about
    print(report.table(results, peers))
    if len(set(given.threads)) > 1:
        print("", report.best_threads(results, peers), sep="\n")
    if costs := report.costs(results, peers):
        print("", costs, sep="\n")
    for note in (*report.counts(results), *report.notes(results), *report.warnings(about["machine"])):
        print(note)
    settings = {"suite": given.suite, "threads": given.threads, "rounds": given.rounds, "only": given.only}
    path = given.out / f"{given.suite}.json"
    report.write(path, report.document(results, about, settings))
    print(f"written: {path}")
    if importlib.util.find_spec("matplotlib") is None:
        print("no chart: matplotlib is not installed (pip install 'wengert[bench]')")
    else:
        machine = about["machine"]
        title = f"wengert, {given.suite}: {machine['cpu']}, {machine['cores']} cores, {machine['date'][:10]}"
        report.chart(path.with_suffix(".png"), results, peers, title)
        print(f"written: {path.with_suffix('.png')}")
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
