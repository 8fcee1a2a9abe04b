"""Ops that move, select, reduce and multiply arrays: values and derivatives to order 2 in every mode, against
the reference.  Every op that is not elementwise has cases here; a test checks that none is missing.
"""

import math
import zlib

import numpy as np
import pytest
from oracle import OPS, Core, agree, derivative, names, run, takes_complex, weights

ANY = OPS["where"].class_
ARRAY_OPS = names("LINEAR", "BILINEAR", "RULE", "FLAT")
PARTS = ("real", "imag", "conj")  # of complex numbers
ORDERS = ((), ("rev",), ("fwd",), ("rev", "rev"), ("rev", "fwd"), ("fwd", "rev"), ("fwd", "fwd"))


def cubed(m, x):
    """Makes second derivatives of linear ops interesting."""
    return m.op("mul", x, m.op("square", x))


def apply(name, *attrs):
    """The op on cubes of its operands; integer and bool operands are taken as they are."""

    def program(m, *xs):
        operands = [cubed(m, x) if str(x.dtype).startswith(("float", "complex")) else x for x in xs]
        return [m.op(name, *operands, attrs=attrs)]

    program.attrs = attrs
    return program


def of_parts(name):
    """The op of the square of the complex number whose parts are the operands."""

    def program(m, x, y):
        z = m.op("to_complex", x, y)
        return [m.op(name, m.op("mul", z, z))]

    return program


def box(*axes):
    """Attributes of a slice: (start, step, length) for each axis."""
    return [number for axis in axes for number in axis]


def index(*rows):
    return np.array(rows, "int64")


def two_outputs(m, x, y):
    return m.call(
        lambda m, a, b: [m.op("tanh", m.op("mul", a, b)), m.op("sum", m.op("exp", a), attrs=(1, 0))], x, y
    )


def call_in_call(m, x):
    def inner(m, a):
        return [m.op("mul", a, m.op("sin", a))]

    return m.call(lambda m, a: m.call(inner, *m.call(inner, a)), x)


def result_of_call(m, x, y):
    return [m.op("mul", *two_outputs(m, x, y))]


TRUE_FALSE = np.array([True, False, True])
EVERY, KEEP = (1, 0), (1, 1)  # axes 0 folded; and kept
# name: (program, operands), operands given as shapes (float arrays) or as arrays (of the other dtypes)
CASES = {
    "where": [
        (apply("where"), [TRUE_FALSE, (3,), (3,)]),
        (apply("where"), [TRUE_FALSE, (), (2, 3)]),
        (apply("where"), [TRUE_FALSE[:, None], (3, 4), (4,)]),
    ],
    "copy": [(apply("copy"), [shape]) for shape in ((), (3,), (2, 0))],
    "stop_gradient": [
        (apply("stop_gradient"), [(3,)]),
        (lambda m, x: [m.op("mul", x, m.op("stop_gradient", x))], [(4,)]),
    ],
    "cast": [
        (apply("cast", dtype), [(5,)])
        for dtype in ("float32", "float64", "int32", "int64", "bool", "complex64")
    ]
    + [(apply("cast", "float32"), [index(1, -2, 3)])],
    "reshape": [
        (apply("reshape", 6), [(2, 3)]),
        (apply("reshape", 3, 1, 2), [(2, 3)]),
        (apply("reshape"), [(1, 1)]),
        (apply("reshape", 0, 7), [(3, 0)]),
        (lambda m, x: [m.op("reshape", m.op("transpose", cubed(m, x), attrs=(1, 0)), attrs=(6,))], [(2, 3)]),
    ],
    "transpose": [
        (apply("transpose", 1, 0), [(2, 3)]),
        (apply("transpose", 2, 0, 1), [(2, 3, 4)]),
        (apply("transpose"), [()]),
        (apply("transpose", 1, 0), [(0, 3)]),
    ],
    "broadcast": [
        (apply("broadcast", 2, 3), [(3,)]),
        (apply("broadcast", 4), [()]),
        (apply("broadcast", 2, 3, 4), [(3, 1)]),
        (apply("broadcast", 0, 3), [(1, 3)]),
    ],
    "slice": [
        (apply("slice", *box((1, 2, 2))), [(5,)]),
        (apply("slice", *box((4, -2, 3))), [(5,)]),
        (apply("slice", *box((1, 1, 2), (0, 3, 2))), [(3, 4)]),
        (apply("slice", *box((2, 1, 0))), [(5,)]),
    ],
    "slice_add": [
        (apply("slice_add", *box((1, 2, 2))), [(5,), (2,)]),
        (apply("slice_add", *box((2, -1, 3), (0, 3, 2))), [(3, 4), (3, 2)]),
    ],
    "slice_set": [
        (apply("slice_set", *box((1, 2, 2))), [(5,), (2,)]),
        (apply("slice_set", *box((2, -1, 3), (0, 3, 2))), [(3, 4), (3, 2)]),
        (apply("slice_set", *box((1, 1, 0))), [(3,), (0,)]),
        (apply("slice_set"), [(), ()]),
    ],
    "concatenate": [
        (apply("concatenate", 0), [(2,), (0,), (3,)]),
        (apply("concatenate", 1), [(2, 3), (2, 1)]),
        (apply("concatenate", 1), [(2, 2, 2)] * 4),
        (apply("concatenate", 0), [(2, 3)]),
        (apply("concatenate", 0), [(1, 2)] * 20),
    ],
    "gather": [
        (apply("gather"), [(4,), index(2, 0, 2)]),
        (apply("gather"), [(3, 2), index([0, 2], [1, 1])]),
        (apply("gather"), [(3, 2), np.int64(1)]),
        (apply("gather"), [(3, 2), np.array([2, 0], "int32")]),
        (apply("gather"), [(3, 2), index(-1, 0, -3)]),
        (apply("gather"), [(3, 2), index()]),
    ],
    "index_add": [
        (apply("index_add"), [(4,), index(2, 0, 2), (3,)]),
        (apply("index_add"), [(3, 2), index([0, 2], [1, 1]), (2, 2, 2)]),
        (apply("index_add"), [(4,), index(-4, 1, -1), (3,)]),
        (apply("index_add"), [(3, 2), index(), (0, 2)]),
    ],
    "index_set": [
        (apply("index_set"), [(4,), index(2, 0), (2,)]),
        (apply("index_set"), [(4,), index(2, 0, -2, 2), (4,)]),
        (apply("index_set"), [(3, 2), index([0, 2], [1, 1]), (2, 2, 2)]),
        (apply("index_set"), [(3, 2), np.array([-1, 0], "int32"), (2, 2)]),
        (apply("index_set"), [(3, 2), np.int64(1), (2,)]),
        (apply("index_set"), [(3, 2), index(), (0, 2)]),
        (
            lambda m, x, i: [m.op("index_set", cubed(m, x), i, m.op("transpose", x, attrs=(1, 0)))],
            [(3, 3), index(1, 1, 0)],
        ),
    ],
    "ravel_index": [
        (apply("ravel_index", 3), [index(2, -1, 0)]),
        (apply("ravel_index", 3, 4), [index([2], [-1]), index(0, 3, -4)]),
        (apply("ravel_index", 2, 3, 4), [np.array([1, 0], "int32"), np.int64(-2), index(3, 3)]),
        (apply("ravel_index", 0, 4), [index(), index(1)]),
    ],
    "recurrence": [
        (apply("recurrence", axis, turned), [shape, shape])
        for turned in (0, 1)
        for shape, axis in (
            ((5,), 0),
            ((1,), 0),
            ((0,), 0),
            ((4, 3), 0),
            ((3, 4), 1),
            ((2, 4, 3), 1),
            ((3, 9), 0),
        )
    ]
    + [
        (
            lambda m, one, x, t=t: [
                m.op("recurrence", m.op("broadcast", one, attrs=(4,)), cubed(m, x), attrs=(0, t))
            ],
            [np.ones(()), (4,)],
        )
        for t in (0, 1)
    ],
    "sum": [
        (apply("sum", mask, keep), [shape])
        for keep in (0, 1)
        for shape, mask in (
            ((5,), 1),
            ((3, 4), 1),
            ((3, 4), 2),
            ((3, 4), 3),
            ((2, 3, 4), 5),
            ((2, 3, 4), 2),
            ((3, 4), 0),
            ((0, 3), 1),
            ((3, 0), 1),
            ((), 0),
        )
    ],
    "prod": [
        (apply("prod", mask, keep), [shape])
        for keep, shape, mask in (
            (0, (5,), 1),
            (1, (3, 4), 1),
            (0, (3, 4), 2),
            (0, (2, 2), 3),
            (0, (2, 2, 3), 5),
            (0, (3,), 0),
            (0, (0, 3), 1),
            (0, (3, 0), 1),
            (0, (), 0),
        )
    ]
    + [
        (lambda m, x: [m.op("prod", x, attrs=(1, 0))], [np.array(factors)])
        for factors in ([2.0, 0.0, 3.0, 5.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0])
    ],
    "matmul": [
        (apply("matmul"), shapes)
        for shapes in (
            [(2, 3), (3, 4)],
            [(1, 5), (5, 1)],
            [(3, 1), (1, 3)],
            [(2, 0), (0, 3)],
            [(0, 2), (2, 3)],
            [(2, 2, 3), (2, 3, 2)],
            [(4, 2, 3), (3, 2)],
            [(2, 3), (4, 3, 2)],
            [(2, 1, 2, 3), (3, 3, 2)],
            [(7, 9), (9, 17)],
        )
    ]
    + [
        (lambda m, x, y: [m.op("matmul", m.op("transpose", x, attrs=(1, 0)), y)], [(3, 2), (3, 4)]),
        (lambda m, x: [m.op("matmul", x, x)], [(3, 3)]),
    ],
    "logsumexp": [
        (apply("logsumexp", mask, keep), [shape])
        for keep in (0, 1)
        for shape, mask in (((5,), 1), ((3, 4), 1), ((3, 4), 2), ((3, 4), 3), ((), 0))
    ],
    "argmax": [(apply("argmax", axis), [(3, 4)]) for axis in (0, 1)] + [(apply("argmax", 0), [(1,)])],
    "argmin": [(apply("argmin", axis), [(3, 4)]) for axis in (0, 1)] + [(apply("argmin", 0), [(1,)])],
    "argsort": [
        (apply("argsort", axis, falling, over), [shape])
        for falling in (0, 1)
        for shape, axis, over in (
            ((7,), 0, 0),
            ((7,), 0, 1),
            ((3, 4), 0, 0),
            ((3, 4), 0, 2),
            ((3, 4), 1, 0),
            ((2, 5, 3), 1, 0),
            ((2, 5, 3), 1, 2),
            ((2, 5, 3), 1, 3),
            ((0,), 0, 0),
            ((2, 0), 1, 2),
            ((1,), 0, 0),
            ((2, 60), 1, 0),
        )
    ]
    + [
        (
            lambda m, x, f=f: [m.op("argsort", x, attrs=(0, f, 0))],
            [np.array([1.0, np.nan, -0.0, 0.0, -np.inf, 1.0, np.nan, np.inf])],
        )
        for f in (0, 1)
    ],
    "random": [
        (apply("random", code, stream, *shape), [np.array(key)])
        for code in (1, 2, 3, 4)  # int32, int64, float32, float64
        for key, stream, shape in ((7, 0, (3,)), (-1, 1 << 40, ()), ([1, 1 << 62], 1, (2, 67)), (3, 0, (0,)))
    ],
    **{name: [(of_parts(name), [shape, (2,)]) for shape in ((2,), (), (3, 1), (0, 1))] for name in PARTS},
    "to_complex": [(apply("to_complex"), [shape, (2,)]) for shape in ((2,), (), (3, 1), (0, 1))],
    "call": [(two_outputs, [(3,), (3,)]), (call_in_call, [(2, 2)]), (result_of_call, [(3,), (3,)])],
}
for name in ("max", "min"):
    CASES[name] = [
        (apply(name, *attrs), [shape])
        for attrs, shape in (
            (EVERY, (5,)),
            (KEEP, (3, 4)),
            ((2, 0), (3, 4)),
            ((3, 1), (3, 4)),
            ((5, 0), (2, 3, 4)),
            ((0, 0), ()),
        )
    ]
CASES["max"].append((lambda m, x: [m.op("max", x, attrs=(1, 0))], [np.array([1.0, 2.0, 2.0, -1.0, 2.0])]))
CASES["min"].append((lambda m, x: [m.op("min", x, attrs=(1, 0))], [np.array([1.0, -2.0, -2.0, 1.0])]))
CASES["result"] = CASES["call"]


def arrays(operands, dtype):
    """Float operands are numbers between -1.2 and 1.2 that differ, so no reduction has ties by chance."""
    rng = np.random.default_rng(zlib.crc32(repr(operands).encode()))

    def draw(shape):
        x = rng.uniform(-1.2, 1.2, shape)
        return (x + 1j * rng.uniform(-1.2, 1.2, shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)

    return [
        draw(x)
        if isinstance(x, tuple)
        else x.astype(dtype)
        if np.asarray(x).dtype.kind == "f"
        else np.asarray(x)
        for x in operands
    ]


def test_every_op_has_cases():
    assert set(CASES) == set(ARRAY_OPS) - {"host"}  # tests/test_linalg.py


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name, dtype):
    for program, operands in CASES[name]:
        for order in ORDERS:
            agree(derivative(program, order), arrays(operands, dtype))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", [name for name in CASES if takes_complex(name) and name != "cast"])
def test_complex_numbers(name, dtype):
    for program, operands in [(apply(name), [(2, 3)])] if name in PARTS else CASES[name]:
        for order in ORDERS if dtype == "complex128" else ORDERS[:2]:
            agree(derivative(program, order), arrays(operands, dtype))


def axes(mask, a):
    return tuple(axis for axis in range(a.ndim) if mask >> axis & 1)


def window(attrs, a):
    """The index that a slice's attributes stand for."""
    found = []
    for start, step, length in zip(attrs[0::3], attrs[1::3], attrs[2::3], strict=True):
        found.append(start + step * np.arange(length))
    return np.ix_(*found)


def with_added(a, where, b):
    a = a.copy()
    np.add.at(a, where, b)
    return a


def with_set(a, where, b):
    a = np.array(a)
    a[where] = b
    return a


def recurrence(attrs, a, b):
    axis, turned = attrs
    lines = [np.moveaxis(x, axis, 0) for x in (a, b)]
    a, y = (x[::-1] if turned else x.copy() for x in lines)
    y = y.copy()
    for k in range(1, len(y)):
        y[k] += a[k - turned] * y[k - 1]
    return np.moveaxis(y[::-1] if turned else y, 0, axis)


def argsort(attrs, a):
    axis, falling, over = attrs
    order = np.argsort(-a if falling else a, axis, kind="stable")
    if not over:
        return order
    places = np.broadcast_to(np.arange(math.prod(a.shape[a.ndim - over :])).reshape(a.shape[-over:]), a.shape)
    return np.take_along_axis(places, order, axis)


# The same in NumPy: functions of the attributes and the operands.
NUMPY = {
    "where": lambda attrs, c, a, b: np.where(c, a, b),
    "copy": lambda attrs, a: a,
    "stop_gradient": lambda attrs, a: a,
    "cast": lambda attrs, a: a.astype(attrs[0]),
    "reshape": lambda attrs, a: a.reshape(attrs),
    "transpose": lambda attrs, a: a.transpose(attrs),
    "broadcast": lambda attrs, a: np.broadcast_to(a, attrs),
    "slice": lambda attrs, a: a[window(attrs, a)],
    "slice_add": lambda attrs, a, b: with_added(a, window(attrs, a), b),
    "slice_set": lambda attrs, a, b: with_set(a, window(attrs, a) if attrs else (), b),
    "concatenate": lambda attrs, *arrays: np.concatenate(arrays, attrs[0]),
    "gather": lambda attrs, a, i: a[i.astype("int64")],
    "index_add": lambda attrs, a, i, b: with_added(a, i.astype("int64"), b),
    "index_set": lambda attrs, a, i, b: with_set(a, i.astype("int64"), b),
    "ravel_index": lambda attrs, *i: np.ravel_multi_index(
        np.broadcast_arrays(*(x % n if n else x for x, n in zip(i, attrs, strict=True))), attrs
    ),
    "recurrence": recurrence,
    "to_complex": lambda attrs, a, b: a + 1j * b,
    "sum": lambda attrs, a: a.sum(axes(attrs[0], a), keepdims=bool(attrs[1])),
    "prod": lambda attrs, a: a.prod(axes(attrs[0], a), keepdims=bool(attrs[1])),
    "max": lambda attrs, a: a.max(axes(attrs[0], a), keepdims=bool(attrs[1])),
    "min": lambda attrs, a: a.min(axes(attrs[0], a), keepdims=bool(attrs[1])),
    "logsumexp": lambda attrs, a: np.log(np.exp(a).sum(axes(attrs[0], a), keepdims=bool(attrs[1]))),
    "argmax": lambda attrs, a: a.argmax(attrs[0]),
    "argmin": lambda attrs, a: a.argmin(attrs[0]),
    "argsort": argsort,
    "matmul": lambda attrs, a, b: a @ b,
}


@pytest.mark.parametrize("name", NUMPY)
def test_values_are_numpy_s(name):
    assert set(NUMPY) == set(ARRAY_OPS) - {"call", "result", "random", "host", *PARTS}
    for program, operands in CASES[name]:
        given = arrays(operands, "float64")
        if hasattr(program, "attrs"):
            cubes = [x * (x * x) if x.dtype.kind == "f" else x for x in given]
            expected = np.asarray(NUMPY[name](program.attrs, *cubes))
            (found,) = run(program, given, "eager")
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            # at most nine terms, of size 2 or less
            np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in ARRAY_OPS if name not in ("call", "result", "host")])
def test_integers(name):
    for dtype in ("bool", "int32", "int64"):
        for program, operands in CASES[name]:
            agree(
                program,
                [np.rint(3 * weights(x)).astype(dtype) if isinstance(x, tuple) else x for x in operands],
            )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_every_length(dtype):
    """n terms in a tree or in chains, rounded each time: |error| <= n eps sum |x| (Higham 2002, 4.2)."""
    eps = np.finfo(dtype).eps
    for n in (*range(1, 70), 511, 512, 513, 1007, 4099):
        x = weights((n,)).astype(dtype)
        for rows in (x, np.stack([x, -x]), np.stack([x, -x], axis=1)):
            m, axis = Core(), int(rows.shape[0] == 2 and rows.ndim == 2)
            y = m.op("sum", m.array(rows), attrs=(1 << axis, 0)).value
            exact = rows.astype("longdouble").sum(axis)
            assert np.all(np.abs(y - exact) <= n * eps * np.abs(x).sum())
            m = Core()
            np.testing.assert_array_equal(
                m.op("max", m.array(rows), attrs=(1 << axis, 0)).value, rows.max(axis)
            )
            np.testing.assert_array_equal(
                m.op("min", m.array(rows), attrs=(1 << axis, 0)).value, rows.min(axis)
            )
            np.testing.assert_array_equal(
                m.op("argmax", m.array(rows), attrs=(axis,)).value, rows.argmax(axis)
            )
            np.testing.assert_array_equal(
                m.op("argsort", m.array(rows), attrs=(axis, 0, 0)).value, rows.argsort(axis, kind="stable")
            )
            near_one = (1 + rows / 8).astype(dtype)
            y = m.op("prod", m.array(near_one), attrs=(1 << axis, 0)).value
            exact = near_one.astype("longdouble").prod(axis)
            assert np.all(np.abs(y - exact) <= n * eps * np.abs(exact))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_every_size(dtype):
    """A chain of k multiply-adds: |error| <= k eps |A| |B| (Higham 2002, 3.5)."""
    eps, rng = np.finfo(dtype).eps, np.random.default_rng(5)
    sizes = [(m, n, 9) for m in (*range(1, 15), 17, 33) for n in (*range(1, 19), 31, 32, 33)]
    sizes += [(6, 16, k) for k in (0, 1, 2, 3, 4, 5, 63, 64, 65, 300)] + [
        (97, 101, 103),
        (1, 1, 1000),
        (130, 1, 70),
    ]
    for m, n, k in sizes:
        a, b = (rng.uniform(-1, 1, shape).astype(dtype) for shape in ((m, k), (k, n)))
        exact, limit = a.astype(float) @ b.astype(float), (k + 1) * eps * (np.abs(a) @ np.abs(b)) + 1e-300
        for turn in (
            lambda x: x,
            np.asfortranarray,
            lambda x: np.repeat(x, 2, axis=-1)[:, ::2],
            lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
        ):
            machine = Core()
            y = machine.op("matmul", machine.array(turn(a)), machine.array(turn(b))).value
            assert y.shape == (m, n)
            assert np.all(np.abs(y - exact) <= limit), (m, n, k)
