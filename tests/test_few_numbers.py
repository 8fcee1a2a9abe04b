"""Programs of arrays of few elements, which run number by number: random ones, and integrators as loops."""

import numpy as np
import pytest
from helpers import printed_by_every_instruction_set
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import Reference, agree, derivative, run, weights
from test_programs import Steps, draw_step, floats
from test_scan import TRANSFORMS, unrolled

import wengert as wg

ELEMENTS = 8  # that a node has at most
SHAPES = ((), (1,), (2,), (3,), (2, 2), (3, 1), (1, 4))
# Reductions, products and gathers are steps of their own.
OPS = {
    *(
        "neg",
        "square",
        "sin",
        "cos",
        "tanh",
        "abs",
        "add",
        "sub",
        "mul",
        "maximum",
        "greater",
        "where",
        "div",
    ),
    *("reshape", "broadcast", "cast", "concatenate", "transpose", "slice", "slice_set"),
}


@st.composite
def few_numbers(draw, length=8, shapes=SHAPES, ops=frozenset(OPS), most=ELEMENTS):
    """A program, its operands; steps that `ops` lacks are drawn again."""
    arrays = [
        weights(draw(st.sampled_from(shapes)), phase=k).astype(draw(st.sampled_from(["float32", "float64"])))
        for k in range(draw(st.integers(1, 3)))
    ]
    m, steps = Reference(), []
    values = [m.array(x) for x in arrays]
    for _ in range(3 * length):
        added = draw_step(draw, values)
        if not {name for name, *_ in added} <= ops or len(steps) > length:
            continue
        grown = Steps(added, range(len(values) + len(added)))(m, *values)
        if max(len(x.value.data) for x in grown) > most:
            continue
        steps, values = steps + added, grown
        if max(map(abs, grown[-1].value.data), default=0) > ELEMENTS:
            steps.append(("sin", (len(grown) - 1,), ()))
            values.append(m.op("sin", grown[-1]))
    assume(steps)
    return Steps(steps, [len(values) - 1, *floats(values)[-2:]]), arrays


@settings(max_examples=150)
@given(few_numbers())
def test_random_programs_are_eager_bit_for_bit(drawn):
    program, arrays = drawn
    for ours, theirs in zip(run(program, arrays, "compiled"), run(program, arrays, "eager"), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert_array_equal(ours, theirs)


@settings(max_examples=100)
@given(few_numbers(5), st.sampled_from([("rev",), ("fwd",), ("rev", "rev"), ("rev", "fwd"), ("fwd", "rev")]))
def test_machines_agree_on_derivatives(drawn, order):
    program, arrays = drawn
    agree(derivative(program, order), arrays)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool", "complex64", "complex128"])
def test_elements_of_every_dtype_are_moved(dtype):
    def program(m, a, b):
        swapped = m.op("concatenate", m.op("slice", b, attrs=(1, -1, 2)), a, attrs=(0,))
        column = m.op("reshape", swapped, attrs=(4, 1))
        turned = m.op(
            "reshape", m.op("transpose", m.op("reshape", a, attrs=(2, 1)), attrs=(1, 0)), attrs=(2,)
        )
        put = m.op("slice_set", swapped, turned, attrs=(0, 2, 2))
        both = m.op("concatenate", column, m.op("reshape", put, attrs=(4, 1)), attrs=(1,))
        if dtype != "bool":
            put = m.op("slice_add", put, m.op("mul", b, a), attrs=(3, -2, 2))
        return [both, put, m.op("slice", put, attrs=(1, 1, 1))]

    arrays = [np.array([3, 0]).astype(dtype), np.array([1, 2]).astype(dtype)]
    for ours, theirs in zip(agree(program, arrays), run(program, arrays, "eager"), strict=True):
        assert_array_equal(ours, theirs)


def test_what_is_not_a_number_stays_where_it_is():
    def f(x):
        y = np.stack([np.sqrt(x[0]), x[1] / 0.0, -x[2]]) * x
        return np.concatenate([y[::-1], y[:1]]), np.where(y > 0, y, x)

    for x in ([-1.0, 0.0, 0.0], [np.inf, -2.0, np.nan], [-0.0, 1.0, -np.inf]):
        with np.errstate(all="ignore"):
            for ours, theirs in zip(wg.compile(f)(np.array(x)), f(np.array(x)), strict=True):
                assert_array_equal(ours, theirs)


# ---- loops ------------------------------------------------------------------------------------------------


def lotka_volterra(u, p):
    return np.stack([p[0] * u[0] - p[1] * u[0] * u[1], p[3] * u[0] * u[1] - p[2] * u[1]])


def lorenz(u, p):
    return np.stack([p[0] * (u[1] - u[0]), u[0] * (p[1] - u[2]) - u[1], u[0] * u[1] - p[2] * u[2]])


def runge_kutta(f, h=0.01):
    def step(u, p):
        k1 = f(u, p)
        k2 = f(u + h / 2 * k1, p)
        k3 = f(u + h / 2 * k2, p)
        k4 = f(u + h * k3, p)
        return u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return step


SYSTEMS = {
    "lotka_volterra": (lotka_volterra, np.array([1.1, 0.4, 0.4, 0.1]), np.array([10.0, 5.0])),
    "lorenz": (lorenz, np.array([10.0, 28.0, 8 / 3]), np.array([1.0, 0.5, 1.5])),
}


def misfit(scan, f, numbers, reverse):
    """The squared distance from data; numbers: the state is a tuple."""
    step = runge_kutta(f)

    def loss(p, start, data):
        def body(u, d):
            u = step(np.stack(u) if numbers else u, p)
            return (tuple(u[k] for k in range(len(u))) if numbers else u), (u, np.sin(u[0] - d))

        carry = tuple(start[k] for k in range(start.shape[0])) if numbers else start
        last, (path, sines) = scan(body, carry, data, reverse=reverse)
        return np.sum((path - data) ** 2) + np.sum(sines) + last[0]

    return loss


NAMES = ["value", "grad", "jvp", "fwd-rev", "rev-fwd", "rev-rev", "vmap of carry", "vmap of grad"]


def stacked(scan):
    def loop(body, carry, xs, reverse=False):
        if scan is wg.scan:
            return wg.scan(body, carry, xs, reverse=reverse)
        parts = [None] * len(xs)
        for k in reversed(range(len(xs))) if reverse else range(len(xs)):
            carry, parts[k] = body(carry, xs[k])
        return carry, tuple(wg.numpy.stack(part) for part in zip(*parts, strict=True))

    return loop


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_an_integrator_are_those_of_the_unrolled_one(name, system, numbers, reverse):
    f, p, start = SYSTEMS[system]
    data = np.cos(np.arange(6.0 * len(start))).reshape(6, -1)
    loops = (misfit(stacked(loop), f, numbers, reverse) for loop in (unrolled, wg.scan))
    plain, looped = (TRANSFORMS[name](loss) for loss in loops)
    expected = plain(p, start, data)
    for g in (looped, wg.compile(looped)):
        # sums of hundreds of products, in another order
        wg.tree_map(
            lambda a, b: assert_allclose(a, b, 1e-11, 1e-11 * np.abs(b).max()), g(p, start, data), expected
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_an_integrator_is_the_eager_one_bit_for_bit_and_one_step(system, dtype):
    f, p, u = SYSTEMS[system]
    p, u, step = p.astype(dtype), u.astype(dtype), runge_kutta(f)
    compiled = wg.compile(step)
    (only,) = compiled.program(u, p).steps()
    assert only.rows == 1
    path = wg.compile(lambda u, p: wg.scan(lambda u, _: (step(u, p),) * 2, u, length=50))(u, p)[1]
    for row in path:
        u = step(u, p)
        assert u.dtype == dtype
        assert_array_equal(compiled(path[0], p), step(path[0], p))
        assert_array_equal(row, u)


PATH = """
import sys
import numpy as np
import wengert as wg
from test_few_numbers import SYSTEMS, misfit, stacked
for dtype in ("float32", "float64"):
    for f, p, u in SYSTEMS.values():
        loss = misfit(stacked(wg.scan), f, False, False)
        data = np.ones((40, len(u)), dtype)
        value, grads = wg.compile(wg.value_and_grad(loss, (0, 1)))(p.astype(dtype), u.astype(dtype), data)
        again, _ = wg.compile(wg.value_and_grad(loss, (0, 1)))(p.astype(dtype), u.astype(dtype), data)
        assert value == again
        print(*(x.tobytes().hex() for x in wg.scan(
            lambda u, _: (f(u, p.astype(dtype)) * 0.01 + u,) * 2, u.astype(dtype), length=9)[1]))
"""


def test_every_instruction_set_gives_the_same_bits():
    """Additions, multiplications and moves leave no choice."""
    found = printed_by_every_instruction_set(PATH)
    assert len(set(found.values())) == 1
    assert all(found.values())


def test_zeros_have_the_signs_of_the_eager_tape():
    x, c = np.array([2.0, 3.0, 4.0]), np.array([-0.0, 0.0])
    gradient = wg.grad(lambda x, c: np.sum(np.stack([x[1], -x[0]]) * c), (0, 1))
    for ours, eager in zip(wg.compile(gradient)(x, c), gradient(x, c), strict=True):
        assert_array_equal(np.signbit(ours), np.signbit(eager))
