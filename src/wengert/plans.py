"""A compiled program in words, in numbers and as a picture."""

from __future__ import annotations

import functools
import html
import statistics
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from . import _core
from ._core import Step, get_num_threads

__all__ = ["Program", "count"]

WIDTH = 100  # of a line of `explain`, about
SIDE = 512  # of the product that measures the peak
BEYOND = 1 << 26  # bytes that do not stay in a cache


def count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


class Program(_core.Program):
    """A recorded function, lowered to C: what `compile(f).program(*args)` returns.

    Attributes
    ----------
    info : dict
        `nodes` recorded, `steps` that a replay runs; bytes: `held_bytes` of arguments and results,
        `arena_bytes` planned for intermediates and `scratch_bytes` for what one step needs, at most
        `packed_bytes` of it packed panels; `live_bytes`: the most of the arena that is in use at one time,
        `least_bytes`: the largest sum of what is in use and of the step's scratch, below which no plan of
        these steps can go; `value_bytes`: what the intermediates would take without reuse of memory.
    """

    def explain(self) -> str:
        """The plan in words: memory, then each step with what it fuses, or why it fuses nothing.

        A step is a *region*, which takes blocks of rows through all of its ops while they are in the cache,
        or through ops on single numbers, or it is a single op.

        Examples
        --------
        >>> import numpy as np, wengert as wg
        >>> print(wg.compile(lambda x: np.sin(x) * 2).program(np.ones(4)).explain().splitlines()[0])
        1 input, 1 output
        """
        info, steps = self.info, self.steps()
        peak = info["held_bytes"] + info["arena_bytes"] + info["scratch_bytes"]
        least = info["held_bytes"] + info["least_bytes"]
        saved = 1 - info["arena_bytes"] / info["value_bytes"] if info["value_bytes"] else 0.0
        rows = [
            ("nodes recorded", f"{info['nodes']:,}"),
            ("nodes run", f"{sum(len(step.ops) for step in steps):,} in {count(len(steps), 'step')}"),
            ("arithmetic", f"{sum(step.flops for step in steps):,.0f} operations"),
            ("arrays", f"{sum(step.bytes for step in steps):,.0f} bytes read and written"),
            ("arena", f"{info['arena_bytes']:,} bytes; lower bound {info['live_bytes']:,}, in use at once"),
            ("intermediates", f"{info['value_bytes']:,} bytes, {saved:.0%} of them saved by reuse"),
            ("scratch", f"{info['scratch_bytes']:,} bytes, {info['packed_bytes']:,} of packed panels"),
            ("in all", f"{peak:,} bytes with arguments and results; lower bound {least:,}"),
        ]
        head = f"{count(self.n_inputs, 'input')}, {count(self.n_outputs, 'output')}"
        lines = [f"  {label:<20}{text}" for label, text in rows]
        for k, step in enumerate(steps):
            first, *more = words(step)
            lines += [f"{k:>3}  {first}", *more]
        return "\n".join([head, *lines])

    def profile(self, repeats: int = 20) -> str:
        """Where the time of a replay goes: for each step the median time, its share, the rates of arithmetic
        and of memory, and how close the step comes to the machine's limit.

        The limit of a step is its arithmetic at the rate of a large matrix product, or its arrays at the rate
        of a pass over memory, whichever takes longer; both are measured here, with as many threads.  A step
        whose arrays stay in a cache can be faster than memory allows.

        Parameters
        ----------
        repeats : int
            Replays, on numbers between 0 and 1 of the recorded shapes.
        """
        times = [statistics.median(of) for of in zip(*self.clock(self._numbers(), repeats), strict=True)]
        total = sum(times) or 1.0
        peaks = {name: peak(name, get_num_threads()) for name in ("float32", "float64")}
        dtypes = [dtype.name for dtype, _ in self.input_types() if dtype.name in peaks]
        fastest = peaks[max(set(dtypes), key=dtypes.count)] if dtypes else peaks["float64"]
        memory = bandwidth(get_num_threads())
        lines = [f"{'step':>4}  {'time':>10}  {'share':>5}  {'GFLOP/s':>8}  {'GB/s':>7}  {'limit':>5}  ops"]
        for k, (step, time) in enumerate(zip(self.steps(), times, strict=True)):
            seconds = max(time, 1e-9)
            share = max(step.flops / fastest, step.bytes / memory) / seconds
            lines.append(
                f"{k:>4}  {time * 1e6:>7.2f} us  {time / total:>5.0%}  {step.flops / seconds / 1e9:>8.2f}  "
                f"{step.bytes / seconds / 1e9:>7.2f}  {share:>5.0%}  {names(step.ops, 40)}"
            )
        lines.append(
            f" all  {total * 1e6:>7.2f} us; limits: {fastest / 1e9:.0f} GFLOP/s, {memory / 1e9:.0f} GB/s "
            f"({count(get_num_threads(), 'thread')})"
        )
        return "\n".join(lines)

    def _repr_svg_(self) -> str:
        """The steps from top to bottom, as wide as their share of the arithmetic."""
        steps = self.steps()
        most = max([step.flops for step in steps], default=0.0) or 1.0
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{30 * len(steps) + 10}" '
            f'font-family="monospace" font-size="12">'
        ]
        for k, step in enumerate(steps):
            color = "#cfe8cf" if step.rows else "#e8dccf"
            parts.append(
                f'<rect x="5" y="{30 * k + 5}" width="{20 + 730 * step.flops / most:.0f}" height="26" '
                f'fill="{color}" stroke="#777"/>'
                f'<text x="12" y="{30 * k + 22}">{html.escape(f"{k}  {names(step.ops, 80)}")}</text>'
            )
        return "".join([*parts, "</svg>"])

    def _numbers(self) -> list[Any]:
        """One object per input slot: numbers between 0 and 1, zeros where they are whole; where a host op may
        decompose square matrices, those are of such as can be."""
        found: list[Any] = []
        decomposes = any("host" in step.ops for step in self.steps())
        for slot, (dtype, shape) in enumerate(self.input_types()):
            values = np.linspace(0.1, 0.9, 97) if dtype.kind in "fc" else np.zeros(1)
            x = np.resize(values, shape).astype(dtype)
            if decomposes and dtype.kind in "fc" and len(shape) > 1 and shape[-1] == shape[-2]:
                x += np.asarray(shape[-1] * np.eye(shape[-1]), dtype)
            number = self.weak(slot)
            found.append(x if number is None else number(x))
        return found


def words(step: Step) -> list[str]:
    """One step of `explain`: what it runs, folded to lines, and how."""
    if not step.rows:
        held = f"; its arrays are {step.bytes:,.0f} bytes" if step.ops[0] == "call" else ""
        return [f"{step.ops[0]}: {step.reason}{held}"]
    groups = f" in {count(step.groups, 'group')}" if step.groups > 1 else ""
    rows = f"{count(step.rows, 'row')}{groups}, {step.block:,} at a time" if step.block else "single numbers"
    head = f"region of {count(len(step.ops), 'op')}: {rows}, {step.tile_bytes:,} bytes of tiles"
    return [head, f"       {names(step.ops, WIDTH)}"]


def names(ops: Sequence[str], width: int) -> str:
    """The ops in order, runs of one op counted, cut to about so many characters."""
    runs = [(op, len(list(run))) for op, run in groupby(ops)]
    parts = [op if n == 1 else f"{op} x{n}" for op, n in runs]
    text = ""
    for k, part in enumerate(parts):
        if len(text) + len(part) > width:
            return f"{text} ... and {len(parts) - k} more"
        text = f"{text} {part}".strip()
    return text


@functools.cache
def peak(dtype: str, threads: int) -> float:
    """Operations per second of a large matrix product on so many threads."""
    from .program import compile

    a = np.full((SIDE, SIDE), 0.5, dtype)
    times = compile(lambda a, b: a @ b).program(a, a).clock([a, a], 20)
    return 2.0 * SIDE**3 / min(time[0] for time in times)


@functools.cache
def bandwidth(threads: int) -> float:
    """Bytes per second of a pass over memory that reads two arrays and writes one."""
    from .program import compile

    a = np.full(BEYOND // 8, 0.5)
    times = compile(lambda a, b: a + b).program(a, a).clock([a, a], 6)
    return 3.0 * BEYOND / min(time[0] for time in times)
