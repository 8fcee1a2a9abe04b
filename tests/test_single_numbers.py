"""0-d nodes of a program: one step, which gives the bits of the eager tape and agrees with the reference."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from oracle import OPS, agree, names, run
from test_special_values import EDGES

import wengert as wg

DTYPES = ("float32", "float64")


def assert_same_bits(ours, theirs):
    """Signs of zeros count; a NaN is a NaN."""
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        assert (x != x and y != y) or x.tobytes() == y.tobytes(), f"{x!r} against {y!r}"


def same_bits(program, arrays):
    with np.errstate(all="ignore"):
        assert_same_bits(run(program, arrays, "compiled"), run(program, arrays, "eager"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*names("UNARY", "BINARY", "ZERO", "COMPARE"), "where"])
def test_every_op_on_edges_with_its_derivatives(name, dtype):
    """Each op reads what was computed just before, and is read; so does each node of its derivatives."""
    with np.errstate(over="ignore"):
        edges = [np.array(x, dtype) for x in EDGES]
    op, attrs = OPS[name], (0.25,) * OPS[name].n_params

    def program(m, *inputs):
        negated, outputs = [m.op("neg", a) for a in inputs], []
        for shift in (0, 1, 5) if op.arity == 2 else (0,):
            for u, b in zip(negated, inputs[shift:] + inputs[:shift], strict=True):
                if name == "where":
                    y = m.op("where", m.op("less", u, b), b, u)
                else:
                    y = m.op(name, *(u, b)[: op.arity], attrs=attrs)
                if op.kind == "COMPARE":
                    y = m.op("where", y, u, b)
                outputs.append(m.op("mul", y, u))
        known = name != "zeta"  # not differentiable by its first operand
        slopes = m.vjp(outputs, [m.array(np.array(0.5, dtype))] * len(outputs), inputs) if known else []
        return [*outputs, *(g for g in slopes if g is not None)]

    same_bits(program, edges)


def number(name):
    return st.tuples(st.just(name), *[st.integers(0, 30)] * (3 if name == "where" else OPS[name].arity))


# Quiet ones, so that rounding is not magnified without bound, and casts.
QUIET = (
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "maximum",
    "where",
    "neg",
    "abs",
    "hypot",
    "add",
    "sub",
    "mul",
    "square",
)
STEPS = st.one_of(
    [number(name) for name in QUIET]
    + [st.tuples(st.just(dtype), st.integers(0, 30)) for dtype in ("float32", "float64", "int64")]
)


def straight_line(steps, gradient=True):
    """A program of 0-d nodes, each of which reads nodes counted from the latest."""

    def program(m, *inputs):
        values = list(inputs)
        for name, *back in steps:
            a, *rest = (values[-1 - k % len(values)] for k in back)
            if name in ("float32", "float64", "int64"):
                y = m.op("cast", a, attrs=(name,))
            elif name == "where":
                y = m.op("where", m.op("less", a, rest[0]), *rest)
            else:
                y = m.op(name, a, *rest)
            if name in ("add", "sub", "mul", "square"):
                y = m.op("sin", y)  # numbers stay small
            values.append(y)
        outputs = [y for y in values[len(inputs) :] if y.dtype != "int64"][-2:]
        seeds = [m.array(np.array(0.7, y.dtype)) for y in outputs if gradient]
        return [*outputs, *(m.vjp(outputs, seeds, inputs) if seeds else inputs)]

    return program


INPUTS = [np.array(0.4), np.array(-0.8, "float32"), np.array(1.3)]


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_machines_agree_on_straight_lines(steps):
    steps = [step for step in steps if step[0] != "int64"]  # rounding may move a number over a whole one
    agree(straight_line(steps), INPUTS)


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=40, max_size=200))
def test_long_straight_lines_are_eager_bit_for_bit(steps):
    same_bits(straight_line(steps, gradient=False), INPUTS)


@pytest.mark.parametrize("length", [*range(61, 70), *range(127, 134), 1000])
def test_chains_of_any_length(length):
    """Instructions run in pieces of a fixed number; what one hands to the next ends there."""

    def program(m, x):
        y = x
        for k in range(length):
            y = m.op(("sin", "neg", "square")[k % 3], y) if k % 2 else m.op("add", x, y)
        return [y]

    same_bits(program, [np.array(0.3)])


def test_numbers_among_arrays():
    """Elements of arrays come in, go on as numbers, and out into arrays and results."""

    def f(x, t, n):
        a, b = x[1], x[3]
        c = a * b + t
        d = np.where(n > 2, c, -c) * n
        y = np.stack([d, a, d - b]) * (c * x[:3])
        return y, c, c, t, n + 1, d > 0.0

    args = np.linspace(0.5, 1.5, 5), np.array(0.25), np.array(3)
    for ours, theirs in zip(wg.compile(f)(*args), f(*args), strict=True):
        assert_array_equal(ours, theirs)
    steps = wg.compile(lambda x, t: (x[1] * t, x[3] * t)).program(args[0], args[1]).steps()
    assert [(step.ops, step.rows, step.block) for step in steps] == [(("mul", "mul"), 1, 0)]


def test_a_donated_number_is_overwritten():
    t, m = np.array(3.0), np.array(0.5)
    g = wg.compile(lambda t, m: (t + m, m * t, t - m), donate_argnums=(0, 1))
    first, second, third = g(t, m)
    assert first is t
    assert second is m
    assert (first, second, third) == (3.5, 1.5, 2.5)


def test_many_operands_and_results():
    """Each operand comes in once, however far apart its readers are."""

    def f(*xs):
        pairs = itertools.product(xs, repeat=2)
        return [a * b - a for a, b in pairs]

    xs = [float(k) for k in range(70)]
    g = wg.compile(f)
    assert_array_equal(g(*xs), f(*xs))
    (step,) = g.program(*xs).steps()
    assert step.bytes == 8 * (70 + 70**2)


def test_more_numbers_than_one_step_holds():
    def f(x):
        y = x
        for _ in range(70_000):
            y = y * 0.5 + x
        return y

    g = wg.compile(f)
    assert g(0.3) == f(0.3)
    most = 1 << 16
    assert [len(step.ops) for step in g.program(0.3).steps()] == [most, most, 140_000 - 2 * most]
