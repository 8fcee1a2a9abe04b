"""The machine's own limit: fused multiply-adds for products, passes over memory for everything else.

limit.c is compiled by the system's compiler when the benchmark starts.  Its loops run on as many threads and
the same cores as the peers.  The time of a workload is that of its multiplications at the measured peak, or
that of reading and writing its arrays once.
"""

import ctypes
import math
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import wengert as wg

from ..harness import Unavailable
from ..workloads import Call, Gemm, Net, Stream

# A run does the workload's own amount of work, so that a busy machine disturbs both alike, but at least so
# much that starting it does not count: about a millisecond per core, with other threads to wake five.
LEAST_FLOPS = 1e8
LEAST_BYTES = 1 << 24
WAKING = 5
ALIGNMENT = 64 * 8  # bytes that a thread's part is a multiple of: one round of the reading loop in limit.c
FLAGS = {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f", "-mfma"], "neon": [], "generic": []}

library: ctypes.CDLL | None = None
pool: ThreadPoolExecutor
n_threads: int


def about(threads: int) -> dict[str, object]:
    """Compiles the loops; without a compiler every workload is unavailable."""
    global library, pool, n_threads
    pool, n_threads = ThreadPoolExecutor(threads), threads
    names = [*(sysconfig.get_config_var("CC") or "").split()[:1], "cc", "gcc", "clang"]
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        return {"version": "no C compiler found"}
    isa = wg.cpu_info()["isa"]
    flags = ["-O3", "-ffp-contract=fast", "-fno-tree-loop-distribute-patterns", *FLAGS[isa]]
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "limit.so"
        source = Path(__file__).with_suffix(".c")
        done = subprocess.run(
            [compiler, *flags, "-shared", "-fPIC", source, "-o", target], capture_output=True, text=True
        )
        if done.returncode:
            return {"version": f"{compiler} failed: {done.stderr.splitlines()[-1]}"}
        library = ctypes.CDLL(str(target))
    return {"version": f"{compiler} {' '.join(flags)}", "isa": isa}


def loops() -> ctypes.CDLL:
    """The compiled loops."""
    if library is None:
        raise Unavailable("the peak and the bandwidth need a C compiler")
    return library


def on_all_threads(work: Callable[[int], object]) -> None:
    """Runs `work(number)` on each thread; ctypes releases the interpreter's lock."""
    if n_threads == 1:
        work(0)
    else:
        list(pool.map(work, range(n_threads)))


def least(work: float) -> float:
    """The smallest amount of work in a run."""
    return work if n_threads == 1 else work * n_threads * WAKING


def products(flops: float, dtype: str) -> Call:
    """So many operations at the peak of fused multiply-adds."""
    function = getattr(loops(), f"fma_{dtype}")
    scalar = ctypes.c_float if dtype == "float32" else ctypes.c_double
    sink = [scalar() for _ in range(n_threads)]
    per_repeat = n_threads * function(ctypes.c_long(1), scalar(0.5), ctypes.byref(sink[0]))
    repeats = math.ceil(max(flops, least(LEAST_FLOPS)) / per_repeat)

    def run() -> None:
        on_all_threads(lambda k: function(ctypes.c_long(repeats), scalar(0.5), ctypes.byref(sink[k])))

    return Call(run, lambda: None, repeats * per_repeat / flops)


def passes(stream: Stream) -> Call:
    """Reading the operands and writing the result once."""
    if not stream.moves_floats:
        raise Unavailable("the passes read and write floats of one dtype")
    operands = stream.operands()
    results = [] if stream.reduces else [np.empty_like(operands[0])]
    name = "read_pass" if stream.reduces else "add_pass" if len(operands) == 2 else "scale_pass"
    function, sink = getattr(loops(), name), np.zeros(n_threads, "f4")
    part = stream.size // n_threads // ALIGNMENT * ALIGNMENT
    arrays = [v.ravel("K").view("f4") for v in (*operands, *results)]
    repeats = math.ceil(least(LEAST_BYTES) / (part * n_threads))

    def work(k: int) -> None:
        places = [v.ctypes.data + k * part for v in arrays]
        if stream.reduces:
            places.append(sink[k:].ctypes.data)
        function(ctypes.c_long(repeats), ctypes.c_long(part // 4), *map(ctypes.c_void_p, places))

    return Call(lambda: on_all_threads(work), lambda: None, repeats * part * n_threads / stream.size)


def train(net: Net, kind: str) -> Call:
    """The matrix products of a gradient; what an optimizer does besides is not counted."""
    return products(net.flops(kind), net.dtype)


def kernels(workload: Gemm | Stream, _kind: str) -> Call:
    """Products by their operations, the rest by their memory."""
    return products(workload.flops, workload.dtype) if isinstance(workload, Gemm) else passes(workload)
