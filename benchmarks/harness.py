"""Processes, rounds and statistics: every peer works in a process of its own, and they take turns."""

import importlib
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from .suites import BASE, tolerance
from .workloads import Call, Workload

IDLE = 0.3  # seconds between two workers: threads that still spin for the last would tax the next
BUDGET = 0.1  # seconds that a worker measures for in one round
BATCH = 1e-3  # seconds that a batch of calls lasts at least; the clock is read once per batch
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


class Unavailable(Exception):  # noqa: N818 - not an error of the benchmark
    """What a peer raises that cannot do a workload, with the reason."""


# ---- in the worker's process ----------------------------------------------------------------------------


def measure(call: Call) -> float:
    """Seconds per unit: the mean over the budget, after calls that warm up and tell how long one takes.

    The mean, not a median: on a busy machine every long call is interrupted and few short ones are, so that a
    median would forgive only the fast peer.  What forgives a bad round is the median over the rounds.
    """

    run = call.run
    if call.quantile is not None:
        return single(run, call.quantile)

    def batch(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - start

    calls = math.ceil(BATCH / max(batch(1), 1e-9))
    calls = math.ceil(BATCH / max(batch(calls) / calls, 1e-9)) if calls > 1 else 1
    spent, done = 0.0, 0
    while spent < BUDGET:
        spent += batch(calls)
        done += calls
    return spent / done / call.units


def single(run: Callable[[], object], quantile: float) -> float:
    """A quantile of the seconds that single calls take, of so many that a hundred lie beyond it."""
    clock, times = time.perf_counter_ns, []
    for _ in range(math.ceil(100 / (1 - quantile))):
        start = clock()
        run()
        times.append(clock() - start)
    return 1e-9 * float(np.quantile(times, quantile))


def serve(peer: str, threads: int, connection) -> None:
    """Answers ("prepare", workload, kind) with numbers to check and ("measure",) with seconds."""
    module, call = importlib.import_module(f"benchmarks.peers.{peer}"), None
    connection.send(("ok", module.about(threads)))
    while (request := connection.recv()) is not None:
        try:
            if request[0] == "prepare":
                call = None  # frees the last one's arrays
                _, workload, kind = request
                if not hasattr(module, workload.work):
                    raise Unavailable(f"it has no {workload.work}")
                call = getattr(module, workload.work)(workload, kind)
                connection.send(("ok", call.check()))
            else:
                connection.send(("ok", measure(call)))
        except Unavailable as error:
            connection.send(("unavailable", str(error)))
        except Exception as error:
            connection.send(("failed", f"{type(error).__name__}: {error}"))


# ---- in the parent --------------------------------------------------------------------------------------


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Processes started in here see `threads` cores, and every library is told the same number."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    before = {name: os.environ.get(name) for name in variables}
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        os.environ.update(variables)
        if cores:
            os.sched_setaffinity(0, sorted(cores)[:threads])
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class Worker:
    """A process that imports one peer."""

    def __init__(self, peer: str, threads: int):
        self.peer = peer
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(peer, threads, theirs), daemon=True)
        with pinned(threads):
            self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.about = self._answer()

    def ask(self, *request):
        """The answer; raises Unavailable or RuntimeError."""
        try:
            self._connection.send(request)
        except OSError:
            raise RuntimeError("the process has ended") from None
        return self._answer()

    def _answer(self):
        try:
            status, answer = self._connection.recv()
        except (EOFError, OSError):
            raise RuntimeError("the process has ended") from None
        if status != "ok":
            raise (Unavailable if status == "unavailable" else RuntimeError)(answer)
        return answer

    def close(self) -> None:
        """Lets the process end."""
        if self._process.is_alive():
            self._connection.send(None)
            self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()


@dataclass
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one number or more."""
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        return cls(median, low, high)


@dataclass
class Result:
    """One workload on so many threads: seconds per round of each peer, and their ratios to the base."""

    suite: str
    workload: str
    kind: str
    threads: int
    base: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    distance: dict[str, float] = field(default_factory=dict)  # of a peer's numbers from the base's, relative
    unavailable: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    moved: float | None = None  # bytes that have to be read and written, of a workload beyond the cache

    @property
    def name(self) -> str:
        """Workload and kind."""
        return self.workload if self.suite == "kernels" else f"{self.workload}: {self.kind}"

    def time(self, peer: str) -> Spread:
        """Seconds of a peer."""
        return Spread.of(self.seconds[peer])

    def ratio(self, peer: str) -> Spread:
        """How many times the base's time a peer takes, round by round: above 1 the base is faster."""
        pairs = zip(self.seconds[peer], self.seconds[self.base], strict=True)
        return Spread.of([theirs / ours for theirs, ours in pairs])


def compete(workload: Workload, kind: str, threads: int, workers: Sequence[Worker], rounds: int) -> Result:
    """Checks every peer's numbers against the base's, then lets the peers take turns."""
    base = BASE[workload.suite]
    moved = getattr(workload, "moved", None)
    result = Result(workload.suite, workload.name, kind, threads, base, moved=moved)
    ready = prepare(result, workload, kind, sorted(workers, key=lambda worker: worker.peer != base))
    for number in range(rounds):
        first = number % max(1, len(ready))  # nobody always follows the same neighbour's start of a round
        for worker in (*ready[first:], *ready[:first]):
            time.sleep(IDLE)
            result.seconds.setdefault(worker.peer, []).append(worker.ask("measure"))
    return result


def prepare(result: Result, workload: Workload, kind: str, workers: Sequence[Worker]) -> list[Worker]:
    """The workers whose numbers are right; the first is the base."""
    ready: list[Worker] = []
    expected = None
    for worker in workers:
        try:
            numbers = worker.ask("prepare", workload, kind)
        except Unavailable as reason:
            result.unavailable[worker.peer] = str(reason)
            continue
        except RuntimeError as error:
            if expected is None:
                raise RuntimeError(f"{result.name}: {worker.peer} failed: {error}") from None
            result.failed[worker.peer] = str(error)
            continue
        if expected is None:
            expected = numbers
        elif numbers is not None:
            result.distance[worker.peer] = distance = relative_distance(numbers, expected)
            if not distance <= tolerance(workload, kind):
                result.failed[worker.peer] = f"its numbers differ from {result.base}'s by {distance:.1e}"
                continue
        ready.append(worker)
    return ready


def relative_distance(numbers: np.ndarray, expected: np.ndarray) -> float:
    """The norm of the difference over the norm of what is expected."""
    if numbers.shape != expected.shape:
        return math.inf
    difference = np.linalg.norm((numbers.astype("f8") - expected).ravel())
    return float(difference / max(float(np.linalg.norm(expected.astype("f8").ravel())), 1e-300))
