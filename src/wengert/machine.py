"""What this machine offers and what of it is used."""

from __future__ import annotations

import os
import platform
from typing import Any

from ._core import get_num_threads, isa, isa_supported

__all__ = ["cpu_info"]


def cpu_info() -> dict[str, Any]:
    """The processor as the kernels see it.

    Returns
    -------
    dict
        `isa`: the instruction set whose kernels run (set the environment variable WENGERT_ISA to choose
        another); `supported`: those that are compiled in and that this processor has; `cores`: how many this
        process may use; `threads`: how many programs use; `machine`: the architecture.

    Examples
    --------
    >>> import wengert as wg
    >>> wg.cpu_info()["isa"] in wg.cpu_info()["supported"]
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "isa": isa(),
        "supported": [name for name in ("generic", "avx2", "avx512", "neon") if isa_supported(name)],
        "cores": len(affinity(0)) if affinity else os.cpu_count() or 1,
        "threads": get_num_threads(),
        "machine": platform.machine(),
    }
