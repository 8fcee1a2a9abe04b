"""Who may know whom, how long each part may be, what an import loads: docs/architecture.md, checked."""

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import wengert
from wengert import _core

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
PACKAGE = Path(wengert.__file__).parent  # the installed one

# ---- the rooms of the C core ----------------------------------------------------------------------------

SHARED = {"wengert.h", "ops.def", "chains.def"}
ROOMS = {
    "tape": {"tape"},
    "rules": {"rules", "tape"},
    "kernels": {"kernels"},
    "threads": {"threads"},
    "program": {"program", "tape", "rules", "kernels", "threads"},
}
C_FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in {".c", ".h", ".inc"})


def included(path: Path) -> list[Path]:
    """The project's files that a C file includes, relative to csrc."""
    names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE)
    folders = path.parent, CSRC
    places = [next(folder / name for folder in folders if (folder / name).exists()) for name in names]
    return [place.resolve().relative_to(CSRC) for place in places]


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.relative_to(CSRC).as_posix())
def test_a_room_includes_only_the_rooms_below_it(path):
    room = path.relative_to(CSRC).parts[0]
    allowed = ROOMS.get(room, set())  # wengert.h itself includes nothing but the table
    known = [file for file in included(path) if file.as_posix() not in SHARED]
    assert {file.parts[0] for file in known} <= allowed


def test_every_room_is_on_the_map():
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == set(ROOMS)


# ---- the layers of the Python package -------------------------------------------------------------------

# A module may import from its own layer and from those above it in this list.
LAYERS = [
    ["_core", "_version", "machine", "threads", "extras"],
    ["protocols", "numpy", "tape", "pytree", "drawing", "random"],
    ["transforms", "program", "recording", "plans", "guards", "hosted", "scipy", "extend"],
    ["optim", "losses", "activations", "architecture", "parameters", "checks", "io", "testing"],
    ["nn"],
    ["training", "plot"],
    ["cli", "runs", "progress", "targets"],
    ["__main__"],
]
# Names that open the layer above when first used: MLP.fit; functions that NumPy and SciPy compute.
DOORS = {("nn", "training"), ("protocols", "hosted"), ("protocols", "scipy"), ("numpy", "hosted")}
LAYER = {name: depth for depth, names in enumerate(LAYERS) for name in names}


def module_name(path: Path) -> str:
    """The first part of a module's name below the package; `__init__` for the package itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def siblings(path: Path) -> set[str]:
    """The modules of this package that a file imports anywhere, except those for types only."""
    tree = ast.parse(path.read_text())
    branches = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    guards = [branch for branch in branches if ast.unparse(branch.test) == "TYPE_CHECKING"]
    ignored = {id(child) for guard in guards for child in ast.walk(guard)}
    here = ("wengert", *path.relative_to(PACKAGE).parts[:-1])
    found = set()
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            found |= {(*base, alias.name) for alias in node.names}
    return {name[1] for name in found if name[0] == "wengert" and len(name) > 1}


PY_FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", PY_FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_from_its_layer_and_above(path):
    own = module_name(path)
    above = {name for name in siblings(path) if LAYER.get(name, len(LAYERS)) > LAYER[own]}
    assert {(own, name) for name in above} <= DOORS


SCRIPT = """
import json, sys
import numpy
before = set(sys.modules)
import wengert
{}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize(
    "use", ["", "[getattr(wengert, name) for name in wengert.__all__]"], ids=["import", "use"]
)
def test_nothing_but_numpy_is_loaded_from_outside(use):
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(use)], capture_output=True, text=True, check=True
    )
    loaded = {name for name in json.loads(answer.stdout) if name.split(".")[0] not in sys.stdlib_module_names}
    # Cython registers a module of its own for the types that its extensions share.
    assert {name.split(".")[0] for name in loaded if not name.startswith(("_cython_", "cython_"))} <= {
        "numpy",
        "wengert",
    }
    assert not {"wengert.cli", "wengert.sklearn"} & loaded


# ---- budgets --------------------------------------------------------------------------------------------


def c_lines(text: str) -> int:
    """Lines of C that are neither blank nor comment."""
    without = re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group().count("\n"), text, flags=re.DOTALL)
    return sum(1 for line in without.splitlines() if line.strip())


def python_lines(text: str) -> int:
    """Lines of Python that hold code: neither blank nor only a comment nor a docstring."""
    layout = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        docstring = token.type == tokenize.STRING and token.line.strip().startswith(('"""', 'r"""'))
        if token.type not in {*layout, tokenize.COMMENT} and not docstring:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def test_the_c_core_keeps_its_budget():
    assert sum(c_lines(path.read_text()) for path in [*C_FILES, *CSRC.glob("*.def")]) <= 13767


def test_the_binding_keeps_its_budget():
    source = ROOT / "src" / "wengert"
    files = [*source.glob("_core.p[xy][xd]"), *source.glob("_core_*.pxi")]
    assert sum(python_lines(path.read_text()) for path in files) <= 1741


def test_the_python_face_keeps_its_budget():
    assert sum(python_lines(path.read_text()) for path in PACKAGE.rglob("*.py")) <= 8930


# ---- closure of the op table ----------------------------------------------------------------------------

OPS = {op.name: op for op in _core.ops()}
COLUMNS = {
    f"d {op.name} / d {operand}": text
    for op in OPS.values()
    for operand, text in zip("ab", op.derivative, strict=True)
    if text is not None
}


def applications(column: str) -> list[ast.Call]:
    """The op(...) terms of a derivative column, which is also a Python expression."""
    return [node for node in ast.walk(ast.parse(column, mode="eval")) if isinstance(node, ast.Call)]


def kind(term: ast.expr) -> str:
    """The kind of the row that a term of a column applies; "LEAF" for operands and constants."""
    return OPS[term.func.id].kind if isinstance(term, ast.Call) else "LEAF"


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_derivative_is_made_of_rows_that_have_derivatives(column):
    for term in applications(column):
        assert term.func.id in OPS
        assert len(term.args) == OPS[term.func.id].arity
        assert kind(term) not in {"FLAT", "DERIVATIVE"}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_comparison_stands_only_as_a_condition(column):
    terms = applications(column)
    conditions = [term.args[0] for term in terms if term.func.id == "where"]
    assert {id(term) for term in terms if kind(term) == "COMPARE"} == {id(term) for term in conditions}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_derivative_keeps_at_most_two_of_operands_and_result(column):
    names = {node.id for node in ast.walk(ast.parse(column, mode="eval")) if isinstance(node, ast.Name)}
    assert len(names & {"a", "b", "y"}) <= 2


def test_every_elementwise_row_has_its_derivative_ops():
    for op in OPS.values():
        operands = {"UNARY": 1, "BINARY": 2}.get(op.kind, 0)
        assert [text is not None for text in op.derivative] == [k < operands for k in range(2)]
        for k in range(operands):
            derived = OPS[f"d_{op.name}_{k}"]
            assert (derived.kind, derived.base, derived.operand) == ("DERIVATIVE", op.code, k)
