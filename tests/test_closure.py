"""Closure: every op that a rule appends has a rule itself, so derivatives exist to any order."""

import re
from pathlib import Path

import pytest
from oracle import OPS, Core, names, run
from test_array_ops import CASES, arrays
from test_ops import operands, program

ELEMENTWISE = names("UNARY", "BINARY", "ZERO", "COMPARE")
DIFFERENTIABLE = set(
    names("UNARY", "BINARY", "LINEAR", "BILINEAR", "RULE", "DERIVATIVE", "ZERO", "COMPARE", "FLAT")
)


def appended(run_program, given, sweeps):
    """The ops of all nodes that sweeps over a program append."""
    m = Core()
    xs = [m.array(x) for x in given]
    floats = [x for x in xs if x.dtype.kind in "fc"]
    outputs, length = run_program(m, *xs), len(m.tape)
    for mode in sweeps:
        outputs = [y for y in outputs if y is not None and y.dtype.kind in "fc"]
        if not outputs:
            break
        seeds = [m.op("copy", y) for y in (outputs if mode == "rev" else floats)]
        outputs = m.vjp(outputs, seeds, floats) if mode == "rev" else m.jvp(floats, seeds, outputs)
    return {m.tape.node(k).op for k in range(length, len(m.tape))}


def cases(name):
    if name in ELEMENTWISE:
        return [(program(name), operands(name, [(3,)] * OPS[name].arity))]
    return [(run_program, arrays(given, "float64")) for run_program, given in CASES[name]]


@pytest.mark.parametrize(
    "sweeps",
    [
        ("rev",),
        ("fwd",),
        ("rev", "rev"),
        ("fwd", "fwd"),
        ("rev", "fwd"),
        ("fwd", "rev"),
        ("rev", "rev", "rev"),
        ("fwd", "fwd", "fwd"),
    ],
    ids="-".join,
)
@pytest.mark.parametrize("name", [*ELEMENTWISE, *CASES])
def test_rules_append_ops_that_have_rules(name, sweeps):
    for run_program, given in cases(name):
        found = appended(run_program, given, sweeps)
        assert found <= DIFFERENTIABLE | {"constant", "leaf"}, found


KNOWN = [name for name in names("DERIVATIVE") if OPS[name[2:-2]].derivative[OPS[name].operand] != "NAN"]


@pytest.mark.parametrize("name", KNOWN)
def test_derivative_nodes_are_differentiable_by_every_operand(name):
    """d_<op>_<k>(g, ...) is an op like any other: its own derivatives agree between forward and reverse."""
    base = name[2:-2]
    attrs = (0.3,) * OPS[base].n_params
    xs = operands(base, [(5,)] * OPS[name].arity)

    fixed = "NAN" in OPS[base].derivative  # by its first operand, which d_<op>_<k> reads as its second

    def reverse(m, *xs):
        y = m.op(
            name,
            *(m.op("stop_gradient", x) if fixed and k == 1 else x for k, x in enumerate(xs)),
            attrs=attrs,
        )
        return m.vjp([y], [m.op("stop_gradient", x) for x in (y,)], xs)

    def forward(m, *xs):
        y = m.op(
            name,
            *(m.op("stop_gradient", x) if fixed and k == 1 else x for k, x in enumerate(xs)),
            attrs=attrs,
        )
        ones = [m.op("stop_gradient", m.op("add", m.op("mul", x, 0.0), 1.0)) for x in xs]
        return [
            (t if t is None else m.op("mul", t, y))
            for x, one in zip(xs, ones, strict=True)
            for t in m.jvp([x], [one], [y])
        ]

    for r, f in zip(run(reverse, xs, "eager"), run(forward, xs, "eager"), strict=True):
        r, f = (0.0 if x is None else x for x in (r, f))
        # the same products in another order, of numbers up to 1e4
        assert abs(r - f).max() <= 1e-11 if hasattr(r, "max") or hasattr(f, "max") else r == f


@pytest.mark.parametrize("column", ["kind", "class_"])
def test_every_kind_and_every_class_has_a_row(column):
    header = (Path(__file__).parent.parent / "csrc" / "wengert.h").read_text()
    constants = re.findall(rf"\bWG_{column.rstrip('_').upper()}_(\w+)", header)
    assert {getattr(op, column) for op in OPS.values()} == set(constants)


def test_columns_read_valid_python_with_known_words():
    for name in names("UNARY", "BINARY"):
        for text in OPS[name].derivative[: OPS[name].arity]:
            code = compile(text, name, "eval")
            letters = {"a", "b", "y", "p", "NAN"}
            assert set(code.co_names) - letters <= set(OPS), text
            ops = set(code.co_names) - letters
            assert all(OPS[op].kind in ("UNARY", "BINARY", "ZERO", "COMPARE") or op == "where" for op in ops)
