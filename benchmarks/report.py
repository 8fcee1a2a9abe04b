"""What is told: the table, the JSON, the chart."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .harness import Result, Spread

# ---- the machine ----------------------------------------------------------------------------------------


def machine() -> dict[str, object]:
    """What the numbers depend on and what a reader could not guess."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": cpu_model(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "caches": caches(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": commit(),
        "load": list(os.getloadavg()),
    }


def cpu_model() -> str:
    """The name that the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def caches() -> dict[str, str]:
    """Sizes by level, of the first core."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level} {kind.lower()}"] = size
    return found


def commit() -> str | None:
    """What was measured, with a plus where files have changed since."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


# ---- the table ------------------------------------------------------------------------------------------


def label(peer: str) -> str:
    """As shown."""
    return peer.replace("_", " ")


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def spread(ratio: Spread) -> str:
    """The median and the quartiles."""
    digits = 0 if ratio.median >= 100 else 1 if ratio.median >= 10 else 2
    return f"{ratio.median:.{digits}f} ({ratio.low:.{digits}f}–{ratio.high:.{digits}f})"


def share(ratio: Spread) -> str:
    """Of the limit, in percent."""
    return f"{ratio.median:.0%} ({ratio.low:.0%}–{ratio.high:.0%})"


def cells(result: Result, peers: Sequence[str]) -> list[str]:
    """One row of the table."""
    time = result.time(result.base).median
    rate = f", {result.moved / time / 1e9:.1f} GB/s" if result.moved else ""
    row = [result.name, str(result.threads), duration(time) + rate]
    for peer in peers:
        if peer in result.seconds:
            ratio = result.ratio(peer)
            row.append(share(ratio) if peer == "limit" else spread(ratio))
        else:
            row.append("FAILED" if peer in result.failed else "·")
    return row


def table(results: Sequence[Result], peers: Sequence[str]) -> str:
    """Markdown: the base's time, its share of the machine's limit, how many times as long each peer takes."""
    base = results[0].base
    met = {peer for result in results for peer in (*result.seconds, *result.failed)}
    columns = [peer for peer in peers if peer in met - {base}]
    titles = ["share of limit" if peer == "limit" else f"{label(peer)} ×" for peer in columns]
    heads = ["workload", "threads", label(base), *titles]
    return lined([heads, *(cells(result, columns) for result in results)])


def best_threads(results: Sequence[Result], peers: Sequence[str]) -> str:
    """Markdown: the base on most threads against each peer on the number of threads that suits it best.

    The times come from different runs, so these are ratios of medians without a spread.
    """
    base, most = results[0].base, max(result.threads for result in results)
    met = {peer for result in results for peer in result.seconds}
    columns = [peer for peer in peers if peer in met - {base, "limit"}]
    rows = [["workload", f"{label(base)}, {most} threads", *(f"{label(peer)}, best ×" for peer in columns)]]
    for result in (result for result in results if result.threads == most):
        ours = result.time(base).median
        row = [result.name, duration(ours)]
        for peer in columns:
            times = [r.time(peer).median for r in results if r.name == result.name and peer in r.seconds]
            row.append(f"{min(times) / ours:.3g}" if times else "·")
        rows.append(row)
    return lined(rows)


def costs(results: Sequence[Result], peers: Sequence[str]) -> str | None:
    """Markdown: the times of derivatives over that of the function, or of the gradient, alone.

    These are ratios of medians.  A gradient comes with the value.
    """
    times = {(r.workload, r.threads, r.kind): r for r in results}
    columns = [peer for peer in peers if any(peer in r.seconds for r in results)]
    rows = [["cost", "threads", *map(label, columns)]]
    for (workload, threads, kind), result in times.items():
        for unit in ("function", "gradient"):
            base = times.get((workload, threads, unit))
            if base is None or kind in ("function", "forward", "compile", "step", unit):
                continue
            shared = [p if p in result.seconds and p in base.seconds else None for p in columns]
            ratios = [p and result.time(p).median / base.time(p).median for p in shared]
            told = ("·" if r is None else f"{r:.2f}" for r in ratios)
            rows.append([f"{workload}: {kind} / {unit}", str(threads), *told])
    return lined(rows) if len(rows) > 1 else None


def lined(rows: list[list[str]]) -> str:
    """Markdown of rows, the first of them titles."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return "\n".join(lines)


def counts(results: Sequence[Result]) -> list[str]:
    """How many streams beyond the cache come near the bandwidth, how many rows take no longer than NumPy."""
    streams = [r.ratio("limit").median for r in results if r.moved and "limit" in r.seconds]
    rows = [r.ratio("numpy").median for r in results if r.suite == "kernels" and "numpy" in r.seconds]
    lines = []
    if streams:
        enough = sum(share >= 0.8 for share in streams)
        lines.append(f"{enough} of {len(streams)} streams beyond the cache: 80% of the bandwidth or more")
    if rows:
        lines.append(f"{sum(ratio >= 1 for ratio in rows)} of {len(rows)} rows: NumPy's speed or more")
    return lines


def notes(results: Sequence[Result]) -> list[str]:
    """What went wrong, and what a peer cannot do."""
    failed = [f"FAILED {r.name}: {label(p)}: {why}" for r in results for p, why in r.failed.items()]
    reasons = {(peer, why) for r in results for peer, why in r.unavailable.items()}
    return failed + [f"not measured: {label(peer)}: {why}" for peer, why in sorted(reasons)]


def warnings(machine: dict) -> list[str]:
    """What makes the numbers doubtful."""
    load = machine["load"][0]
    if load < 0.5:
        return []
    return [f"the machine was busy when this began (load {load:.1f}): trust ratios with a narrow spread only"]


# ---- JSON and chart -------------------------------------------------------------------------------------


def document(results: Sequence[Result], about: dict, settings: dict) -> dict:
    """Everything: all times of all rounds, and what the table shows of them."""

    def entry(result: Result) -> dict:
        peers = {
            peer: {"seconds": asdict(result.time(peer)), "ratio": asdict(result.ratio(peer))}
            for peer in result.seconds
        }
        return {**asdict(result), "rounds": asdict(result)["seconds"], "peers": peers}

    entries = [entry(result) for result in results]
    for one in entries:
        del one["seconds"]
    return {"machine": about["machine"], "peers": about["peers"], "settings": settings, "results": entries}


def write(path: Path, content: dict) -> None:
    """JSON that a person can read and compare."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def chart(path: Path, results: Sequence[Result], peers: Sequence[str], title: str) -> None:
    """A row for each workload on most threads: a mark per peer with quartiles, on a logarithmic axis."""
    from matplotlib.figure import Figure

    base, most = results[0].base, max(result.threads for result in results)
    results = [result for result in results if result.threads == most]
    shown = [p for p in peers if p not in (base, "limit") and any(p in r.seconds for r in results)]
    height = 0.18 + 0.03 * len(shown)  # of a row, in inches
    figure = Figure(figsize=(9, 1.4 + height * len(results)), layout="constrained")
    axes = figure.subplots()
    for number, peer in enumerate(shown):
        offset = 0.6 * ((number + 0.5) / len(shown) - 0.5)
        rows = [(k + offset, r.ratio(peer)) for k, r in enumerate(results) if peer in r.seconds]
        at, ratios = zip(*rows, strict=True)
        medians = [ratio.median for ratio in ratios]
        whiskers = [[r.median - r.low for r in ratios], [r.high - r.median for r in ratios]]
        axes.errorbar(medians, at, xerr=whiskers, fmt="o", markersize=4, capsize=2, label=label(peer))
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(results)), [r.name for r in results], fontsize=8)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.grid(axis="x", which="both", alpha=0.3)
    axes.set_xlabel(
        f"time / time of {label(base)}, median and quartiles (right of 1: {label(base)} is faster)"
    )
    axes.set_title(f"{title}, threads: {most}", fontsize=9)
    if shown:
        axes.legend(loc="best", fontsize=8)
    figure.savefig(path, dpi=150)
