"""Writes docs/ops.md out of the op table and of what docs/accuracy.md has measured.

python docs/ops.py
"""

import ast
import re
from pathlib import Path

from wengert import _core

DOCS = Path(__file__).resolve().parent
KINDS = "LEAF UNARY BINARY ZERO COMPARE LINEAR BILINEAR RULE FLAT DERIVATIVE BITWISE".split()  # enum wg_kind
CLASSES = ("FLOAT", "NUMBER", "ANY", "INTEGER", "FIELD", "RING")  # enum wg_class
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
rule for the cotangent. A RULE op has rules for both. No derivative flows through a FLAT one.
"""


def infix(term: ast.expr, strength: int = 0) -> str:
    """A column's term as one writes it: `mul(sub(1, y), add(1, y))` is (1 - y) * (1 + y)."""
    if not isinstance(term, ast.Call):
        return re.sub(r"p\[0\]", "p", ast.unparse(term))
    name = term.func.id  # type: ignore[attr-defined]
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
    meaning, _, rest = doc.partition("; ")
    return (meaning, rest) if "derivative" in rest else (doc, "")


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
    arrays = [("op", "NumPy", "operands", "class", "derivative", "meaning")]
    for op in _core.ops():
        kind, class_ = KINDS[op.kind], CLASSES[op.class_]
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
        elif kind in ("LINEAR", "BILINEAR", "RULE", "FLAT"):
            operands = "any" if op.arity < 0 else str(op.arity)
            arrays.append((op.name, numpy, operands, class_, kind, op.doc))
    return f"{HEAD}{ELEMENTWISE}\n{table(elementwise)}{ARRAYS}\n{table(arrays)}"


if __name__ == "__main__":
    (DOCS / "ops.md").write_text(page())
