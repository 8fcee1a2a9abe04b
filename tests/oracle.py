"""One program, three machines: the C tape run eagerly, the C tape compiled, and the pure-Python reference.

A program is a function of a machine and of values on its tape that returns a list of values:

    def program(m, x):
        y = m.op("tanh", x)
        return [y, *m.vjp([y], [m.array(weights(y.shape))], [x])]

`run(program, arrays)` gives its outputs on each machine, `tolerances` how far they may lie apart.
"""

import contextlib
import math
import random

import numpy as np
import reference
import reference_arrays  # noqa: F401  (their rows join reference.OPS)
import reference_complex  # noqa: F401  (as above)

from wengert import _core

OPS = {op.name: op for op in _core.ops()}


def names(*kinds):
    """The ops in rows of these kinds, in the table's order."""
    return [name for name, op in OPS.items() if op.kind in kinds]


def weights(shape, phase=0.0):
    """Numbers without structure between -1 and 1, the same for the same shape and phase."""
    n = math.prod(shape)
    return np.cos(1.3 * np.arange(n) + 0.7 + phase).reshape(shape)


def takes_complex(name):
    """Whether the row is of a class that has complex numbers."""
    return OPS[name].class_ in ("FIELD", "RING", "ANY")


# ---- machines -----------------------------------------------------------------------------------------


class Core:
    """The C tape; abstract: it is recorded, lowered and replayed, else it runs as it is recorded."""

    def __init__(self, abstract=False):
        self.abstract, self.tape, self.arrays = abstract, _core.Tape(abstract=abstract), []

    def array(self, array):
        if not self.abstract:
            return self.tape.leaf(array)
        self.arrays.append(np.ascontiguousarray(array).reshape(np.shape(array)))
        return self.tape.input(array.dtype, array.shape)

    def op(self, name, *operands, attrs=()):
        if name == "cast":
            attrs = (_core.dtype_code(*attrs),)
        return _core.record(OPS[name].code, operands, tuple(attrs))

    def call(self, function, *operands):
        child = Core(abstract=True)
        inputs = [child.tape.input(x.dtype, x.shape) for x in operands]
        child.tape.set_outputs(function(child, *inputs))
        return self.tape.call(child.tape, operands)

    def vjp(self, outputs, cotangents, inputs):
        return self.tape.vjp(outputs, cotangents, inputs)

    def jvp(self, inputs, tangents, outputs):
        return self.tape.jvp(inputs, tangents, outputs)

    def read(self, outputs):
        self.tape.verify()
        if not self.abstract:
            return [y if y is None else np.asarray(y.value) for y in outputs]
        known = [y for y in outputs if y is not None]
        self.tape.set_outputs(known)
        results = iter(_core.Program(self.tape).run(self.arrays) if known else [])
        return [y if y is None else np.asarray(next(results)) for y in outputs]


class Reference:
    def __init__(self, tape=None):
        self.tape = tape or reference.Tape()

    def array(self, array):
        return self.tape.leaf(array.dtype.name, array.shape, array.ravel().tolist())

    def op(self, name, *operands, attrs=()):
        return reference.OPS[name](*operands, attrs=attrs)

    def call(self, function, *operands):
        child = reference.Tape(lambda *xs: function(Reference(xs[0].tape), *xs), *operands)
        return [reference.call(*operands, attrs=(child, k)) for k in range(len(child.outputs))]

    def vjp(self, outputs, cotangents, inputs):
        return reference.vjp(outputs, cotangents, inputs)

    def jvp(self, inputs, tangents, outputs):
        return reference.jvp(inputs, tangents, outputs)

    def read(self, outputs):
        return [y if y is None else np.array(y.value.data, y.dtype).reshape(y.shape) for y in outputs]


MACHINES = {"eager": Core, "compiled": lambda: Core(abstract=True), "reference": Reference}


def run(program, arrays, machine):
    """The program's outputs as a list of ndarrays; None where an adjoint or a tangent is known to be zero."""
    m = MACHINES[machine]()
    return m.read(program(m, *(m.array(array) for array in arrays)))


# ---- how far two machines may lie apart ---------------------------------------------------------------

# Each elementary function is good to 2 ULP in wengert and to 1 ULP in the C library that the reference calls.
ULPS = 3
RUNS = 6


@contextlib.contextmanager
def perturbed(seed):
    """The reference with every float that it stores moved by up to ULPS units of roundoff, at random.

    Derivative nodes are written out, so that their inner roundings are moved too.  max and min select: what
    they store is one of their operands, and a comparison finds it there.
    """
    draw, plain = random.Random(seed).uniform, dict(reference.STORE)
    most = {dtype: ULPS * float(np.finfo(dtype).eps) for dtype in reference.FLOATS}
    moving = {
        dtype: (lambda x, m=m: x + abs(x) * complex(draw(-m, m), draw(-m, m)))
        if dtype in reference.COMPLEX
        else (lambda x, m=m: x + abs(x) * draw(-m, m))
        for dtype, m in most.items()
    }

    def written_out(op):
        def evaluate(attrs, *arrays):
            tape = reference.Tape()
            return op.function(*(tape.push(None, (), (), x) for x in arrays), *attrs).value

        return evaluate

    def exactly(evaluate):
        def selected(attrs, *arrays):
            reference.STORE.update(plain)
            try:
                return evaluate(attrs, *arrays)
            finally:
                reference.STORE.update(moving)

        return selected

    kept = {op: op.evaluate for op in reference.OPS.values()}
    try:
        for op, evaluate in kept.items():
            if op.name.startswith("d_"):
                op.evaluate = written_out(op)
            elif op in reference.COMPARISONS or op.name in ("max", "min"):
                op.evaluate = exactly(evaluate)
        reference.STORE.update(moving)
        yield
    finally:
        reference.STORE.update(plain)
        for op, evaluate in kept.items():
            op.evaluate = evaluate


def tolerances(program, arrays, exact):
    """For each output, element by element, the distance from `exact` that rounding can explain.

    That is ULP times condition.  The condition is measured: the program is rerun on numbers that are moved
    at each step (Vignes 1974, stochastic arithmetic).  All of RUNS draws from [-1, 1] lie in [-1/4, 1/4] once
    in 4^RUNS = 4096 times: four times the largest deviation is a bound.  The result's own rounding is added.
    """
    worst = [np.zeros(y.shape) if y is not None else 0.0 for y in exact]
    for seed in range(RUNS):
        with perturbed(seed):
            moved = run(program, arrays, "reference")
        for k, (y, z) in enumerate(zip(exact, moved, strict=True)):
            if y is not None:
                with np.errstate(invalid="ignore"):
                    worst[k] = np.maximum(worst[k], np.abs(wide(z) - wide(y)))
    return [4 * w + ULPS * spacing(y) for w, y in zip(worst, exact, strict=True)]


def wide(y):
    return y.astype(complex if y.dtype.kind == "c" else float)


def spacing(y):
    if y is None or y.dtype.kind not in "fc":
        return 0.0
    info = np.finfo(y.dtype)
    with np.errstate(invalid="ignore"):
        return np.maximum(np.abs(wide(y)) * info.eps, float(info.smallest_subnormal))


def close(actual, expected, tolerance):
    """Same shape and dtype, infinities and NaNs in the same places, finite values within the tolerance.  None
    stands for zeros."""
    if actual is None or expected is None:
        known = expected if actual is None else actual
        assert known is None or not np.any(known), f"known zero against {known}"
        return
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind not in "fc":
        np.testing.assert_array_equal(actual, expected)
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    excess = np.abs(wide(actual[finite]) - wide(expected[finite]))
    limit = np.broadcast_to(tolerance, expected.shape)[finite]
    worst = np.argmax(excess - limit) if excess.size else None
    assert worst is None or excess[worst] <= limit[worst], (
        f"{actual[finite].flat[worst]!r} against {expected[finite].flat[worst]!r}, "
        f"{excess[worst]:.3g} apart where rounding explains {limit[worst]:.3g}"
    )


def agree(program, arrays):
    """The machines agree on all outputs; returns the reference's."""
    expected = run(program, arrays, "reference")
    limits = tolerances(program, arrays, expected)
    for machine in ("eager", "compiled"):
        for y, exact, limit in zip(run(program, arrays, machine), expected, limits, strict=True):
            close(y, exact, limit)
    return expected


# ---- programs of derivatives --------------------------------------------------------------------------


def sweep(m, mode, inputs, outputs, phase):
    """One sweep with weights for cotangents or tangents; what is known to be zero is left out."""
    if mode == "rev":
        seeds = [m.array(seed(y, phase)) for y in outputs]
        found = m.vjp(outputs, seeds, inputs)
    else:
        seeds = [m.array(seed(x, phase)) for x in inputs]
        found = m.jvp(inputs, seeds, outputs)
    return found


def seed(x, phase):
    """Weights in the shape and dtype of a value."""
    found = weights(x.shape, phase)
    if dtype_name(x) in reference.COMPLEX:
        found = found + 1j * weights(x.shape, phase + 2)
    return found.astype(dtype_name(x))


def dtype_name(x):
    return x.dtype if isinstance(x.dtype, str) else x.dtype.name


def derivative(program, modes):
    """The program of a program's derivatives, one sweep after the other: modes are "fwd" and "rev"."""

    def derived(m, *xs):
        inputs = [x for x in xs if dtype_name(x) in reference.FLOATS]
        values = program(m, *xs)
        for depth, mode in enumerate(modes):
            values = [y for y in values if y is not None and dtype_name(y) in reference.FLOATS]
            values = sweep(m, mode, inputs, values, depth) if values else []
        return values

    return derived
