"""What several test files share."""

import functools
import importlib
import re
from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

import wengert


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
