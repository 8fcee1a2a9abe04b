"""CONTRIBUTING.md, "Add an operation": its lines, put into a copy of the tree, make one that passes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where each block of the page goes: in front of the first line of the file that begins so.
PLACES = [
    ("csrc/ops.def", "/* ---- elementwise, two operands"),
    ("csrc/kernels/vmath.inc", "#undef POLY"),
    ("csrc/kernels/vmath_generic.inc", "#undef THROUGH_LIBM"),
    ("tests/reference_functions.py", "exp2 = Row"),
    ("benchmarks/accuracy.py", '    "exp2"'),
    ("tests/test_ops.py", '    "cbrt"'),
    ("tests/test_ops.py", '        "cbrt"'),
]
USE = """
import numpy as np, scipy.special, wengert as wg
f, x, ones = scipy.special.exp10, np.array([-1.5, 0.0, 0.3, 2.0]), np.ones(4)
def near(y, order): np.testing.assert_allclose(y, np.log(10) ** order * 10**x, rtol=1e-14)
first = wg.elementwise_grad(f)
near(wg.vjp(f, x)[0], 0), near(wg.compile(lambda x: f(x))(x), 0)
near(first(x), 1), near(wg.compile(first)(x), 1), near(wg.jvp(f, (x,), (ones,))[1], 1)
near(wg.elementwise_grad(first)(x), 2), near(wg.jvp(first, (x,), (ones,))[1], 2)
"""


def blocks() -> list[tuple[str, list[str]]]:
    """Each block of the section, and all text of the section before it."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    section = re.search(r"^## Add an operation\n(.*?)^## ", page, re.DOTALL | re.MULTILINE).group(1)
    fenced = re.finditer(r"^ *```\w+\n(.*?)^ *```\n", section, re.DOTALL | re.MULTILINE)
    return [(section[: block.start()], block.group(1).splitlines()) for block in fenced]


def insert(path: Path, lines: list[str], anchor: str) -> None:
    """The lines in front of the anchor, indented as it is."""
    text = path.read_text().splitlines()
    at = next(k for k, line in enumerate(text) if line.startswith(anchor))
    indent = re.match(" *", anchor).group()
    text[at:at] = [indent + line.strip() for line in lines]
    path.write_text("\n".join(text) + "\n")


def run(tree: Path, *command: str) -> str:
    """What a Python command prints that finds the tree's package first."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout


def test_the_lines_of_the_page_add_an_operation(tmp_path):
    tree = tmp_path / "wengert"
    for name in ("csrc", "src", "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "CONTRIBUTING.md"):
        shutil.copy2(ROOT / name, tree)
    found = blocks()
    for (before, lines), (file, anchor) in zip(found, PLACES, strict=True):
        assert f"{Path(file).name}`" in before
        insert(tree / file, lines, anchor)
    assert sum(len(lines) for _, lines in found) < 10
    run(tree, "setup.py", "--quiet", "build_ext", "--inplace")
    run(tree, "-c", USE)
    files = [
        f"tests/test_{name}.py" for name in ("ops", "closure", "special_values", "reference", "accuracy")
    ]
    tests = run(tree, "-m", "pytest", "-q", "-k", "exp10", "-p", "no:cacheprovider", *files)
    assert int(re.search(r"(\d+) passed", tests).group(1)) >= 30
    assert "skipped" not in tests
