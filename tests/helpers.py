"""What several test files share."""

import functools
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

import wengert
from wengert import _core

# Derivatives of a function of four arguments, and of derivatives, by all of them.
DERIVATIVES = {
    "grad": lambda f: wengert.grad(f, (0, 1, 2, 3)),
    "fwd-rev": lambda f: lambda *a: wengert.jvp(wengert.grad(f, (0, 1, 2, 3)), a, a)[1],
    "rev-fwd": lambda f: wengert.grad(lambda *a: wengert.jvp(f, a, a)[1], (0, 1, 2, 3)),
    "rev-rev": lambda f: wengert.grad(
        lambda *a: sum(np.sum(g * g) for g in wengert.grad(f, (0, 1, 2, 3))(*a)), (0, 1, 2, 3)
    ),
}


def printed_by_every_instruction_set(script):
    """What a script, which may import tests, prints, by each instruction set that the machine has."""
    found = {}
    for isa in filter(_core.isa_supported, ("generic", "avx2", "avx512", "neon")):
        environment = {**os.environ, "WENGERT_ISA": isa, "PYTHONPATH": str(Path(__file__).parent)}
        found[isa] = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout
    return found


def counted(f):
    """`f` and the list that grows whenever it is called, that is recorded."""
    calls = []

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        calls.append(1)
        return f(*args, **kwargs)

    return wrapped, calls


def same(v, expected):
    """Value, shape and dtype agree with NumPy's."""
    expected = np.asarray(expected)
    assert (v.shape, v.dtype) == (expected.shape, expected.dtype)
    assert_array_equal(v.value, expected)


PAGE = Path(__file__).parent.parent / "docs" / "coming-from.md"


def rows(title):
    """The rows of the tables of docs/coming-from.md that have this over their left column."""
    for table in re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), re.MULTILINE):
        head, _, *lines = (
            [c.strip() for c in re.split(r" \| ", line.strip()[2:-2])] for line in table.splitlines()
        )
        if head[0] == title:
            return lines
    raise LookupError(title)


def words(*titles):
    """All names that stand as code in left columns; of misc.flatten both parts."""
    code = " ".join(re.findall(r"`([^`]*)`", " ".join(left for title in titles for left, _ in rows(title))))
    return set(re.findall(r"\w+", code))


def resolve(*titles):
    """Looks up every dotted name of wengert's in the right columns."""
    for title in titles:
        for _, right in rows(title):
            for name in re.findall(r"\b(?:wengert|wg)((?:\.[A-Za-z]\w*)+)", right):
                found = wengert
                for part in name.split(".")[1:]:
                    if not hasattr(found, part):
                        found = importlib.import_module(f"{found.__name__}.{part}")
                    else:
                        found = getattr(found, part)


def subjects(np, array):
    """What the tables of docs/coming-from.md compute with, in a library's words."""
    M = array([[0.5, -1.0, 0.3, 0.8], [1.5, 0.2, -0.7, 0.1], [0.4, 0.6, -0.2, 0.9], [0.3, 0.1, -0.5, 0.7]])
    return {
        "np": np,
        "f": lambda x: np.sum(np.sin(x) * x**2) + x[0] * x[1],
        "F": lambda x: np.tanh(M @ x) * x,
        "h": lambda t: np.exp(t) * np.sin(t),
        "two": lambda a, b: np.sum(a**2 * np.cos(b)),
        "newton": lambda a: lambda x: (x + a / x) / 2,  # a step towards the square root
        "apart": lambda a, b: abs(a - b),
        "M": M,
        "x": array([0.3, -0.8, 1.2, 0.5]),
        "v": array([1.0, 0.4, -0.6, 0.2]),
        "z": 0.4 + 0.3j,
    }
