"""Every op of the table on operands that are views, that are large, or that differ in dtype."""

import numpy as np
import pytest
from oracle import OPS, Core, agree, derivative, names, run
from test_array_ops import CASES, NUMPY, arrays
from test_ops import ELEMENTWISE, FLOATS, PARAMETERS, SMOOTH, draw, operands, program

MAPS = names("UNARY", "BINARY", "ZERO", "COMPARE", "DERIVATIVE")
ORDERS = ((), ("rev",), ("fwd", "rev"))


def box(axes):
    """Attributes of a slice: (start, step, length) for each axis."""
    return [number for axis in axes for number in axis]


# What is stored, and the view of it that is the operand: on the tape, since arrays that enter it are copied.
LAYOUTS = {
    "F order": (np.transpose, lambda m, v, x: m.op("transpose", v, attrs=range(x.ndim)[::-1])),
    "every other": (
        lambda x: np.repeat(x, 2, axis=-1),
        lambda m, v, x: m.op(
            "slice", v, attrs=box([(0, 1, n) for n in x.shape[:-1]] + [(0, 2, x.shape[-1])])
        ),
    ),
    "reversed": (
        np.flip,
        lambda m, v, x: m.op("slice", v, attrs=box((max(n - 1, 0), -1, n) for n in x.shape)),
    ),
    "off by one": (
        lambda x: np.concatenate([x[..., :1] * 0, x], axis=-1),
        lambda m, v, x: m.op(
            "slice", v, attrs=box([(0, 1, n) for n in x.shape[:-1]] + [(1, 1, x.shape[-1])])
        ),
    ),
    "broadcast": (lambda x: x[..., :1], lambda m, v, x: m.op("broadcast", v, attrs=x.shape)),
}


def same_in_every_layout(program, given):
    """The bits do not depend on how operands lie in memory, for one of them turned or all of them."""
    turnable = [k for k, x in enumerate(given) if np.ndim(x) and np.size(x)]
    for layout, (store, view) in LAYOUTS.items():
        for turned in {*((k,) for k in turnable), tuple(turnable)}:
            plain = list(given)
            if layout == "broadcast":  # its numbers are others
                for k in turned:
                    plain[k] = np.broadcast_to(store(given[k]), given[k].shape).copy()

            def through_views(m, *stored, turned=turned, view=view, plain=plain):
                viewed = [view(m, v, x) if k in turned else v for k, (v, x) in enumerate(zip(stored, plain))]
                return program(m, *viewed)

            stored = [store(x).copy() if k in turned else x for k, x in enumerate(plain)]
            for machine in ("eager", "compiled"):
                expected, found = run(program, plain, machine), run(through_views, stored, machine)
                for y, z in zip(expected, found, strict=True):
                    assert (y is None) == (z is None)
                    np.testing.assert_array_equal(y, z, f"{layout} {turned} {machine}")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_on_views(name, dtype):
    for shapes in ([(19, 53)] * 2, [(3, 4, 5)] * 2, [(4, 1, 3), (2, 3)]):
        given = operands(name, shapes[: OPS[name].arity], dtype)
        for order in ORDERS[: 1 if name not in SMOOTH else None]:
            same_in_every_layout(derivative(program(name), order), given)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CASES)
def test_array_ops_on_views(name, dtype):
    for run_program, shapes in CASES[name]:
        for order in ORDERS:
            same_in_every_layout(derivative(run_program, order), arrays(shapes, dtype))


@pytest.mark.parametrize("name", MAPS)
def test_elementwise_at_large(name):
    """Tiles and threads: any part of a large result is the result of that part."""
    base = name if name in ELEMENTWISE else name[2:-2]
    attrs = PARAMETERS[: OPS[base].n_params]
    for dtype in FLOATS:
        given = [draw(base, (100_003,), dtype, k) for k in range(OPS[name].arity)]
        whole = {
            machine: run(lambda m, *xs: [m.op(name, *xs, attrs=attrs)], given, machine)[0]
            for machine in ("eager", "compiled")
        }
        for start in (0, 32_253, 65_521, 98_996):
            part = [x[start : start + 1007] for x in given]
            (expected,) = run(lambda m, *xs: [m.op(name, *xs, attrs=attrs)], part, "eager")
            for y in whole.values():
                np.testing.assert_array_equal(y[start : start + 1007], expected)


ROWS, LINE = (700, 901), (500_003,)
LARGE = {  # op: (attributes, operands)
    **{
        name: [((1, 0), [LINE]), ((1, 0), [ROWS]), ((2, 1), [ROWS])]
        for name in ("sum", "max", "min", "logsumexp")
    },
    **{name: [((0,), [ROWS]), ((1,), [ROWS]), ((0,), [LINE])] for name in ("argmax", "argmin")},
    "argsort": [((0, 0), [ROWS]), ((1, 1), [ROWS]), ((0, 0), [LINE])],
    "prod": [((1, 0), [(9, 60_001)]), ((2, 1), [(60_001, 9)])],
    "recurrence": [((axis, turned), [ROWS, ROWS]) for axis in (0, 1) for turned in (0, 1)],
    "transpose": [((1, 0), [ROWS]), ((2, 0, 1), [(60, 70, 80)])],
    "broadcast": [(ROWS, [(901,)]), (ROWS, [(700, 1)])],
    "reshape": [((901, 700), [ROWS])],
    "slice": [(box([(1, 2, 300), (900, -1, 901)]), [ROWS])],
    "slice_add": [(box([(1, 2, 300), (0, 1, 901)]), [ROWS, (300, 901)])],
    "slice_set": [(box([(1, 2, 300), (0, 1, 901)]), [ROWS, (300, 901)])],
    "index_set": [((), [ROWS, np.arange(1500) * 7 % 700, (1500, 901)])],
    "ravel_index": [((700, 901), [np.arange(200_003) % 700, np.arange(200_003) * 7 % 901])],
    "to_complex": [((), [ROWS, (901,)])],
    "stop_gradient": [((), [ROWS])],
    "concatenate": [((0,), [LINE, LINE]), ((1,), [ROWS, (700, 3), ROWS])],
    "gather": [((), [ROWS, np.arange(5000) * 7 % 700])],
    "index_add": [((), [ROWS, np.arange(1500) * 7 % 700, (1500, 901)])],
    "where": [((), [np.arange(901) % 3 == 0, ROWS, ROWS])],
    "cast": [(("float32",), [LINE]), (("int64",), [LINE])],
    "copy": [((), [ROWS])],
    "matmul": [((), [(301, 402), (402, 203)]), ((), [(9, 100, 80), (9, 80, 70)])],
}


def test_every_array_op_is_looked_at_large():
    assert set(LARGE) == set(NUMPY)


@pytest.mark.parametrize("name", LARGE)
def test_array_ops_at_large(name):
    for attrs, shapes in LARGE[name]:
        given = arrays(shapes, "float64")
        expected = np.asarray(NUMPY[name](attrs, *given))
        for machine in ("eager", "compiled"):
            (found,) = run(lambda m, *xs, attrs=attrs: [m.op(name, *xs, attrs=attrs)], given, machine)
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            # half a million terms of size 1.2 in another order: n eps sum |x| at most (Higham 2002, 4.2)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-8 if name == "sum" else 1e-12)


@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32"), ("int32", "float32")])
@pytest.mark.parametrize("name", [name for name in SMOOTH if OPS[name].arity == 2])
def test_derivatives_of_mixed_dtypes(name, dtypes):
    """An operand's adjoint has the operand's dtype, and none where that is an integer."""
    given = [draw(name, (6,), dtype, k) for k, dtype in enumerate(dtypes)]
    for order in (("rev",), ("fwd",), ("rev", "rev")):
        agree(derivative(program(name), order), given)
    m = Core()
    xs = [m.array(x) for x in given]
    (y,) = program(name)(m, *xs)
    floats = [x for x in xs if x.dtype.kind == "f"]
    for x, g in zip(floats, m.vjp([y], [m.op("copy", y)], floats), strict=True):
        assert g is None or g.dtype == x.dtype
