"""scipy.signal.convolve, also along chosen axes of both operands as HIPS autograd has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.signal as _signal

from .. import numpy as wnp
from ..protocols.registry import is_recorded, recorded


def convolve(
    A: Any, B: Any, mode: str = "full", method: str = "auto", *, axes: Any = None, dot_axes: Any = ((), ())
) -> Any:
    """The convolution of two arrays along `axes` = (axes of A, axes of B), all by default; `dot_axes` are
    multiplied and summed.  The result has A's other axes, B's other axes, then the convolved ones.
    """
    plain = axes is None and not any(map(len, dot_axes))
    if plain and not is_recorded((A, B)):
        return _signal.convolve(A, B, mode, method)
    a, b = recorded(A), recorded(B)
    if axes is None:
        free = [[k for k in range(x.ndim) if k not in dots] for x, dots in zip((a, b), dot_axes, strict=True)]
        axes = free
    if mode == "valid" and plain and any(n < m for n, m in zip(a.shape, b.shape, strict=True)):
        a, b = b, a
    left, right = ([k % x.ndim for k in along] for along, x in zip(axes, (a, b), strict=True))
    dots = [[k % x.ndim for k in along] for along, x in zip(dot_axes, (a, b), strict=True)]
    if len(left) != len(right) or len(dots[0]) != len(dots[1]):
        raise ValueError("convolve: as many axes of A as of B are convolved, and multiplied")
    sizes = [a.shape[k] for k in left]
    for k, j in zip(left, right, strict=True):
        a = _padded(a, k, b.shape[j] - 1) if mode != "valid" else a
        b = wnp.flip(b, j)
    windows = np.lib.stride_tricks.sliding_window_view(a, tuple(b.shape[k] for k in right), tuple(left))
    # axes of the windows: those of A (the convolved ones with one entry per result), then the windows' own
    letters = [chr(ord("a") + k) for k in range(windows.ndim + b.ndim)]
    words = [letters[: windows.ndim], letters[windows.ndim :]]
    for place, k in enumerate(right):
        words[1][k] = words[0][windows.ndim - len(right) + place]
    for k, j in zip(*dots, strict=True):
        words[1][j] = words[0][k]
    rest = [
        [c for k, c in enumerate(word[:n]) if k not in used and k not in dot]
        for word, n, used, dot in ((words[0], a.ndim, left, dots[0]), (words[1], b.ndim, right, dots[1]))
    ]
    result = "".join([*rest[0], *rest[1], *(words[0][k] for k in left)])
    y = wnp.einsum(f"{''.join(words[0])},{''.join(words[1])}->{result}", windows, b)
    if mode == "same":
        for place, n in enumerate(sizes):
            axis = y.ndim - len(sizes) + place
            start = (y.shape[axis] - n) // 2
            y = y[(slice(None),) * axis + (slice(start, start + n),)]
    return y


def _padded(a: Any, axis: int, n: int) -> Any:
    zeros = np.zeros([n if k == axis else m for k, m in enumerate(a.shape)], a.dtype)
    return wnp.concatenate([zeros, a, zeros], axis) if n else a


def __getattr__(name: str) -> Any:
    return getattr(_signal, name)
