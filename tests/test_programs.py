"""Random programs: eager, compiled and reference agree on values and on derivatives to order 2."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Reference, agree, derivative, run, weights

UNARY = (
    "neg",
    "abs",
    "square",
    "sin",
    "cos",
    "tanh",
    "erf",
    "sigmoid",
    "softplus",
    "relu",
    "gelu",
    "silu",
    "mish",
    "atan",
    "asinh",
    "rint",
    "exp",
    "expm1",
    "copy",
    "stop_gradient",
)
BINARY = ("add", "sub", "mul", "maximum", "minimum")
REDUCTIONS = ("sum", "prod", "max", "min", "logsumexp")
SHAPES = ((), (1,), (3,), (2, 3), (3, 2), (3, 1), (2, 1, 3))
ORDERS = ((), ("rev",), ("fwd",), ("rev", "rev"), ("rev", "fwd"), ("fwd", "rev"))
INDEX = np.array([1, 0, 1, 1])  # operand 0 of every program: rows to gather and to add to
LARGE = 4.0  # a step's result beyond this is followed by a sine, so that nothing overflows


class Steps:
    """A program as data: (op, operands, attributes) one after the other, on a growing list of values.

    An operand is a place in that list, or a float."""

    def __init__(self, steps=(), outputs=()):
        self.steps, self.outputs = list(steps), tuple(outputs)

    def __call__(self, m, *xs):
        values = list(xs)
        for name, operands, attrs in self.steps:
            xs = [values[x] if isinstance(x, int) else x for x in operands]
            values += m.call(attrs[0], *xs) if name == "call" else [m.op(name, *xs, attrs=attrs)]
        return [values[k] for k in self.outputs]

    def __repr__(self):
        return f"Steps({self.steps}, {self.outputs})"


def floats(values, fits=lambda shape: True):
    return [k for k, x in enumerate(values) if x.dtype in ("float32", "float64") and fits(x.shape)]


def factors(n):
    return st.sampled_from([(n,), (1, n), (n, 1), *([(2, n // 2)] if n and n % 2 == 0 else [])])


def draw_step(draw, values):
    """One step that the values so far allow."""

    def pick(fits=lambda shape: True):
        return draw(st.sampled_from(floats(values, fits)))

    a = pick()
    shape = values[a].shape
    kinds = [
        "unary",
        "binary",
        "where",
        "reduce",
        "reshape",
        "broadcast",
        "cast",
        "div",
        "concatenate",
        "call",
    ]
    kinds += ["transpose", "slice"] if shape else []
    kinds += ["recurrence", "slice_set", "slice_add"] if shape else []
    kinds += ["gather", "index_add", "index_set"] if shape and shape[0] >= 2 else []
    kinds += ["matmul"] if len(shape) >= 2 else []
    kind = draw(st.sampled_from(kinds))
    if kind == "unary":
        return [(draw(st.sampled_from(UNARY)), (a,), ())]
    if kind in ("binary", "where", "div"):
        b = draw(st.one_of(st.just(0.7), st.sampled_from(floats(values, lambda s: compatible(s, shape)))))
        if kind == "binary":
            return [(draw(st.sampled_from(BINARY)), (a, b), ())]
        n = len(values)  # the places of the intermediate results
        if kind == "where":
            return [("greater", (a, 0.1), ()), ("where", (n, a, b), ())]
        return [
            ("square", (b if isinstance(b, int) else a,), ()),
            ("add", (n, 1.0), ()),
            ("div", (a, n + 1), ()),
        ]
    if kind == "reduce":
        return [
            (
                draw(st.sampled_from(REDUCTIONS)),
                (a,),
                (draw(st.integers(0, 2 ** len(shape) - 1)), draw(st.integers(0, 1))),
            )
        ]
    if kind == "reshape":
        return [("reshape", (a,), draw(factors(math.prod(shape))))]
    if kind == "broadcast":
        return [("broadcast", (a,), (2, *shape))]
    if kind == "cast":
        return [("cast", (a,), (draw(st.sampled_from(["float32", "float64"])),))]
    if kind == "concatenate":
        b = pick(lambda s: s[1:] == shape[1:] and len(s) == len(shape)) if shape else a
        return [("concatenate", (a, b), (0,))] if shape else [("copy", (a,), ())]
    if kind == "call":
        return [
            ("call", (a,), (Steps([("tanh", (0,), ()), ("mul", (0, 1), ()), ("sum", (2,), (0, 0))], (2, 3)),))
        ]
    if kind == "transpose":
        return [("transpose", (a,), tuple(draw(st.permutations(range(len(shape))))))]
    if kind == "slice":
        return [("slice", (a,), tuple(number for n in shape for number in draw(windows(n))))]
    if kind == "gather":
        return [("gather", (a, 0), ())]
    if kind in ("index_add", "index_set"):
        n = len(values)
        return [("gather", (a, 0), ()), ("sin", (n,), ()), (kind, (a, 0, n + 1), ())]
    if kind in ("slice_set", "slice_add"):
        n, window = len(values), tuple(number for extent in shape for number in draw(windows(extent)))
        return [("slice", (a,), window), ("sin", (n,), ()), (kind, (a, n + 1), window)]
    if kind == "recurrence":
        b = draw(st.sampled_from(floats(values, lambda s: s == shape)))
        return [("recurrence", (a, b), (draw(st.integers(0, len(shape) - 1)), draw(st.integers(0, 1))))]
    b = draw(st.sampled_from(floats(values, lambda s: len(s) >= 2 and s[-2] == shape[-1]) or [None]))
    if b is None:
        n, turned = len(values), (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
        return [("transpose", (a,), turned), ("matmul", (a, n), ())]
    return [("matmul", (a, b), ())] if compatible(values[b].shape[:-2], shape[:-2]) else [("copy", (a,), ())]


def compatible(s, t):
    return all(1 in (n, m) or n == m for n, m in zip(reversed(s), reversed(t), strict=False))


def windows(n):
    runs = [(0, 1, n - 1), (1, 1, n - 1)] if n > 1 else []
    return st.sampled_from([(0, 1, n), (n - 1, -1, n), (0, 2, (n + 1) // 2), (n - 1, 1, 1), *runs])


@st.composite
def programs(draw):
    """A program and its operands, grown on the reference, which tells shapes and sizes of numbers."""
    arrays = [INDEX]
    for k in range(draw(st.integers(1, 3))):
        dtype = draw(st.sampled_from(["float32", "float64"]))
        arrays.append(weights(draw(st.sampled_from(SHAPES)), phase=k).astype(dtype))
    steps = []
    m = Reference()
    values = [m.array(x) for x in arrays]
    for _ in range(draw(st.integers(1, 7))):
        added = draw_step(draw, values)
        result = Steps(
            added, range(len(values) + sum(len(s[2][0].outputs) if s[0] == "call" else 1 for s in added))
        )
        grown = result(m, *values)
        for k in range(len(values), len(grown)):
            if max(map(abs, grown[k].value.data), default=0) > LARGE:
                added.append(("sin", (k,), ()))
                grown.append(m.op("sin", grown[k]))
        if math.prod(grown[-1].shape) > 60:
            continue
        steps += added
        values = grown
    count = draw(st.integers(1, 2))
    return Steps(steps, floats(values)[-count:]), arrays


@settings(max_examples=150)
@given(programs(), st.sampled_from(ORDERS))
def test_machines_agree(drawn, order):
    program, arrays = drawn
    agree(derivative(program, order), arrays)


@settings(max_examples=100)
@given(programs())
def test_forward_and_reverse_are_transposed(drawn):
    """u . (J v) = (J^T u) . v on the C tape: the same number by either mode."""
    program, arrays = drawn

    def both(m, *xs):
        inputs, outputs = xs[1:], program(m, *xs)
        us = [m.array(weights(y.shape, 2).astype(y.dtype)) for y in outputs]
        vs = [m.array(weights(x.shape, 3).astype(x.dtype)) for x in inputs]
        tangents, adjoints = m.jvp(inputs, vs, outputs), m.vjp(outputs, us, inputs)
        return [
            part
            for pairs in (zip(us, tangents, strict=True), zip(adjoints, vs, strict=True))
            for a, b in pairs
            for part in [None if a is None or b is None else m.op("mul", a, b)]
        ]

    parts = run(both, arrays, "compiled")
    count = len(program.outputs)
    left, right = (
        [p.astype(float) for p in side if p is not None] for side in (parts[:count], parts[count:])
    )
    size = sum(np.abs(p).sum() for p in [*left, *right])
    # some thousand roundings of float32, 6e-8 each, of terms whose sizes add up to about `size`
    assert abs(sum(p.sum() for p in left) - sum(p.sum() for p in right)) <= 2e-4 * (size + 1e-6)


@settings(max_examples=50)
@given(programs())
def test_replay_is_eager_bit_for_bit(drawn):
    """Without fusion nothing reorders a sum: a program's values are those of the eager tape."""
    program, arrays = drawn
    for eager, compiled in zip(run(program, arrays, "eager"), run(program, arrays, "compiled"), strict=True):
        np.testing.assert_array_equal(eager, compiled)
