"""What is known of NumPy: writes docs/numpy-coverage.md from the registry of the protocols.

`python docs/numpy_coverage.py` writes the page; a test checks that it is up to date.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.fft  # with which their functions join those that can be overridden
import numpy.polynomial
from numpy.testing import overrides

import wengert.hosted.fft
import wengert.hosted.linalg  # as wengert does when one of them is asked for
import wengert.scipy.special  # noqa: F401  (its ufuncs join the registry)
from wengert.protocols import FUNCTIONS, elementwise
from wengert.protocols.constants import CONSTANT

PAGE = Path(__file__).with_name("numpy-coverage.md")
HEAD = """# NumPy, function by function

What NumPy's functions do with a traced array. *Implemented* ones are differentiated to any order. *Constant*
ones give integers, booleans, text or sizes: no derivative flows through them. *Refused* ones raise a
`TypeError` that names the function and the way out; none drops a derivative silently. Written by
`python docs/numpy_coverage.py`.
"""
# Of text, dates and files: they never meet a traced array.
OTHER_WORLDS = ("numpy.strings", "numpy.char", "numpy.lib.recfunctions", "numpy.rec")


def full_name(function: Any) -> str:
    """As it is written in code: numpy.linalg.det."""
    module = (getattr(function, "__module__", None) or "numpy").replace("numpy._core", "numpy")
    return f"{module}.{function.__name__}"


def status(function: Any) -> str:
    """implemented, constant or refused."""
    if function not in FUNCTIONS:
        return "refused"
    return "constant" if function in CONSTANT else "implemented"


def ufunc_status(ufunc: Any) -> str:
    """As `status`, of a ufunc; those with derivative zero everywhere are constant."""
    if ufunc in FUNCTIONS:
        return status(ufunc)
    return "implemented" if ufunc in elementwise.UFUNCS else "refused"


def page() -> str:
    """The text of the page."""
    functions = overrides.get_overridable_numpy_array_functions()
    ufuncs = {u for u in overrides.get_overridable_numpy_ufuncs() if hasattr(np, u.__name__)}
    chapters: dict[str, dict[str, set[str]]] = {}
    for title, members, of in (("Array functions", functions, status), ("Ufuncs", ufuncs, ufunc_status)):
        for function in members:
            name = full_name(function) if title == "Array functions" else f"numpy.{function.__name__}"
            if not name.startswith(OTHER_WORLDS):
                chapters.setdefault(title, {}).setdefault(of(function), set()).add(name)
    lines = [HEAD]
    for title, groups in chapters.items():
        lines.append(f"## {title}\n")
        for kind in ("implemented", "constant", "refused"):
            done = groups.get("implemented", set()) if kind == "refused" else set()  # np.eye has two faces
            names = sorted(groups.get(kind, set()) - done)
            lines.append(
                f"**{kind.capitalize()}** ({len(names)}): {', '.join(f'`{n[6:]}`' for n in names)}\n"
            )
    lines.append(
        "Functions of text, records and dates (`numpy.strings`, `numpy.lib.recfunctions`, ...) do not take\n"
        "traced arrays either: they raise by name."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
