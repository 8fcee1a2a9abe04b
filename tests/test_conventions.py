"""The table of docs/conventions.md, row by row, in both modes, eager and compiled."""

import re
from pathlib import Path

import numpy as np
import pytest

import wengert as wg
import wengert.numpy as wnp

PAGE = Path(__file__).resolve().parent.parent / "docs" / "conventions.md"
ROWS = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \| (.+?) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
NUMBERS = {"np": np, "inf": np.inf, "nan": np.nan}


def numbers(text):
    """A cell as arrays: one for x and, behind a comma outside brackets, one for y."""
    found = eval(f"({text},)", dict(NUMBERS))
    return tuple(np.asarray(x, float) for x in found)


def rules(text, n):
    """Value and derivatives of a function by every way there is."""
    function = eval(f"lambda x{', y' if n == 2 else ''}: {text}", {"np": wnp})

    def reverse(*xs):
        y, pullback = wg.vjp(function, *xs)
        return (y, *pullback(np.ones_like(y) if isinstance(y, np.ndarray) else 1.0))

    def forward(*xs):
        y, found = None, []
        for k, x in enumerate(xs):
            columns = []
            for e in np.eye(x.size).reshape(x.size, *x.shape):
                tangents = tuple(e if j == k else np.zeros_like(x) for j, x in enumerate(xs))
                y, slope = wg.jvp(function, xs, tangents)
                columns.append(slope)
            found.append(wnp.reshape(wnp.stack(columns), x.shape))
        return (y, *found)

    return reverse, forward, wg.compile(reverse), wg.compile(forward)


def test_the_page_has_a_table():
    assert len(ROWS) > 50


@pytest.mark.parametrize(("text", "at", "value", "slopes"), ROWS, ids=lambda cell: cell)
def test_a_row(text, at, value, slopes):
    xs = numbers(at)
    for rule in rules(text, len(xs)):
        with np.errstate(all="ignore"):
            found = rule(*xs)
        for y, expected in zip(found, (*numbers(value), *numbers(slopes)), strict=True):
            np.testing.assert_allclose(y, expected, rtol=1e-15)
