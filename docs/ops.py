"""Writes docs/ops.md out of the op table and of what docs/accuracy.md has measured.

python docs/ops.py
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

import wengert.numpy as wnp
from wengert import _core

DOCS = Path(__file__).resolve().parent
INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "greater": ">", "less": "<", "equal": "=="}
STRENGTH = {"==": 1, "<": 1, ">": 1, "+": 2, "-": 2, "*": 3, "/": 3}
FLOATS = ("float32", "float64")

HEAD = """# The op table

Written by `make ops` from [`csrc/ops.def`](../csrc/ops.def) and [accuracy.md](accuracy.md); do not edit.

A derivative is an expression over the operands `a` and `b`, the result `y` and the parameter `p`; names in it
are ops of this page. *Kinks* says what it is where there are several answers or none, in the row's own words.
*Classes*: FLOAT takes float32 and float64 (integers are cast), NUMBER also integers, ANY also bool,
INTEGER only these two; FIELD and RING are FLOAT and NUMBER with complex numbers. `NAN` for a derivative: none
is known, and asking for it is an error.
"""
ELEMENTWISE = """
## Elementwise

*Domain* is where the tests draw operands; the functions are defined wherever NumPy's are. The last columns
are the largest error measured on any instruction set, in units of the last place; `accuracy.md` tells where.
"""
ARRAYS = """
## Arrays

A LINEAR op's tangent is the op applied to tangents, a BILINEAR one's is `op(da, b) + op(a, db)`; both have a
rule for the cotangent, which the last column tells for the cotangent `g` of the result. A RULE op has rules
for both. No derivative flows through a FLAT one, and a LOWERED one stands in programs alone. What moves
elements is exact; sums and products of `n` terms are within `n` roundings of the sum of the terms' magnitudes
(`tests/test_array_ops.py`).
"""
COMPOSED = """
## Functions made of these

What they append to a tape, as recorded by `make ops`; their derivatives are those of the ops. Where there are
several answers, [conventions.md](conventions.md) has the one.
"""
# In words, for the cotangent g of the result y.
COTANGENTS = {
    "where": "a: `where(c, g, 0)`; b: `where(c, 0, g)`",
    "copy": "`g`",
    "cast": "`cast(g)`, of a real operand the real part",
    "reshape": "`reshape(g)`",
    "transpose": "`transpose(g)` by the inverse permutation",
    "broadcast": "`sum(g)` over what was repeated",
    "slice": "`slice_add(0, g)`",
    "slice_add": "a: `g`; b: `slice(g)`",
    "slice_set": "a: `slice_set(g, 0)`; b: `slice(g)`",
    "concatenate": "slices of `g`",
    "gather": "`index_add(0, i, g)`",
    "index_add": "a: `g`; b: `gather(g, i)`",
    "index_set": "a: `index_set(g, i, 0)`; b: `gather(g, i)`, 0 for a row that another overwrote",
    "real": "`g` as a complex number",
    "imag": "`to_complex(0, -g)`",
    "conj": "`conj(g)`",
    "to_complex": "a: `real(g)`; b: `-imag(g)`",
    "sum": "`broadcast(g)`",
    "matmul": "a: `matmul(g, transpose(b))`; b: `matmul(transpose(a), g)`; summed over what was broadcast",
    "prod": "`g` times the product of the others, so factors may be 0",
    "max": "`g` shared by the elements equal to y",
    "min": "`g` shared by the elements equal to y",
    "logsumexp": "`g * exp(a - y)`",
    "recurrence": "b: the recurrence of `g`, transposed; a: that times y shifted by one",
    "call": "a call of the child with its reverse sweep appended",
}
X, ROWS = np.array([[0.4, -1.2, 2.5], [1.1, 0.3, -0.7]]), np.array([[1], [0]])
FUNCTIONS = {
    "x**3": lambda x: x**3,
    "x // 2": lambda x: x // 2,
    "mean": wnp.mean,
    "var": wnp.var,
    "std": wnp.std,
    "linalg.norm": wnp.linalg.norm,
    "any": wnp.any,
    "all": wnp.all,
    "softmax": wnp.softmax,
    "log_softmax": wnp.log_softmax,
    "cumsum": lambda x: wnp.cumsum(x, 1),
    "cumprod": lambda x: wnp.cumprod(x, 1),
    "clip": lambda x: wnp.clip(x, 0, 1),
    "round": lambda x: wnp.round(x, 1),
    "logaddexp": lambda x: wnp.logaddexp(x, x),
    "logical_and": lambda x: wnp.logical_and(x, x),
    "isnan": wnp.isnan,
    "stack": lambda x: wnp.stack([x, x]),
    "split": lambda x: wnp.split(x, 3, 1)[0],
    "flip": wnp.flip,
    "roll": lambda x: wnp.roll(x, 1, 1),
    "tile": lambda x: wnp.tile(x, 2),
    "repeat": lambda x: wnp.repeat(x, 2, 1),
    "pad": lambda x: wnp.pad(x, 1),
    "diag": lambda x: wnp.diag(x[0]),
    "tril": wnp.tril,
    "triu": wnp.triu,
    "x[i] for integers": lambda x: x[[1, 0]],
    "x[b] for bools": lambda x: x[X > 0],
    "take": lambda x: wnp.take(x, [1, 0], 1),
    "take_along_axis": lambda x: wnp.take_along_axis(x, ROWS, 1),
    "scatter": lambda x: wnp.scatter(x, ROWS, 1.0),
    "sort": wnp.sort,
    "topk": lambda x: wnp.topk(x, 2)[0],
    "one_hot": lambda x: wnp.one_hot(wnp.argmax(x, 1), 3),
}


def infix(term: ast.expr, strength: int = 0) -> str:
    """A column's term as one writes it: `mul(sub(1, y), add(1, y))` is (1 - y) * (1 + y)."""
    if not isinstance(term, ast.Call):
        return re.sub(r"p\[0\]", "p", ast.unparse(term))
    name = term.func.id  # type: ignore[attr-defined]  # a column calls ops by their bare names
    if name == "neg":
        return f"-{infix(term.args[0], 3)}"
    sign = INFIX.get(name)
    if sign is None:
        return f"{name}({', '.join(map(infix, term.args))})"
    own = STRENGTH[sign]
    left, right = infix(term.args[0], own), infix(term.args[1], own + 1)
    return f"({left} {sign} {right})" if own < strength else f"{left} {sign} {right}"


def column(text: str | None) -> str:
    """Of the table, as code."""
    return "" if text is None else f"`{infix(ast.parse(text, mode='eval').body)}`"


def kinks(doc: str) -> tuple[str, str]:
    """What a row's text says of the function, and of its derivative."""
    first, *rest = doc.split("; ")
    slopes = [part for part in rest if "derivative" in part]
    return "; ".join([first, *(part for part in rest if part not in slopes)]), "; ".join(slopes)


def appended(function: Callable) -> str:
    """The ops that a function appends to a tape."""
    tape = _core.Tape()
    function(tape.leaf(X))
    ops = [tape.node(k).op for k in range(len(tape))]
    return ", ".join(f"`{op}`" for op in dict.fromkeys(ops) if op not in ("leaf", "constant", "copy"))


def measured() -> dict[str, dict[str, float]]:
    """The largest error in accuracy.md by op and dtype, over its tables."""
    found: dict[str, dict[str, float]] = {}
    for line in (DOCS / "accuracy.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[0].isidentifier() and cells[0] != "op":
            for dtype, cell in zip(FLOATS, (cells[1], cells[4]), strict=True):
                errors = found.setdefault(cells[0], {})
                errors[dtype] = max(errors.get(dtype, 0.0), float(cell))
    return found


def table(rows: list[tuple[str, ...]]) -> str:
    """Markdown; the first row holds the titles."""
    rows = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    lines = [rows[0], tuple("---" for _ in rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines) + "\n"


def page() -> str:
    """The whole text."""
    errors = measured()
    elementwise = [("op", "NumPy", "class", "meaning", "d/da", "d/db", "kinks", "domain", *FLOATS)]
    arrays = [("op", "NumPy", "operands", "class", "derivative", "meaning", "cotangent")]
    for op in _core.ops():
        kind, class_ = op.kind, op.class_
        numpy = f"`{op.numpy}`" if op.numpy else ""
        if kind in ("UNARY", "BINARY", "ZERO", "COMPARE", "BITWISE"):
            slopes = [column(text) for text in op.derivative] if kind in ("UNARY", "BINARY") else ["0", ""]
            if kind == "BITWISE":
                slopes = ["", ""]
            ulps = [f"{errors[op.name][dtype]:.2f}" if op.name in errors else "exact" for dtype in FLOATS]
            if kind not in ("COMPARE", "BITWISE") and op.name not in errors:
                ulps = ["not measured"] * 2
            domain = f"{op.lo:g} … {op.hi:g}"
            meaning, kink = kinks(op.doc)
            elementwise.append((op.name, numpy, class_, meaning, *slopes, kink, domain, *ulps))
        elif kind in ("LINEAR", "BILINEAR", "RULE", "FLAT", "LOWERED"):
            operands = "any" if op.arity < 0 else str(op.arity)
            cotangent = "none" if kind in ("FLAT", "LOWERED") else COTANGENTS[op.name]
            arrays.append((op.name, numpy, operands, class_, kind, op.doc, cotangent))
    composed = [("function", "ops"), *((f"`{name}`", appended(f)) for name, f in FUNCTIONS.items())]
    parts = (ELEMENTWISE, elementwise), (ARRAYS, arrays), (COMPOSED, composed)
    return HEAD + "".join(f"{text}\n{table(rows)}" for text, rows in parts)


if __name__ == "__main__":
    (DOCS / "ops.md").write_text(page())
