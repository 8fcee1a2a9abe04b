"""Every op of the table on operands that are views, that are large, or that differ in dtype."""

import numpy as np
import pytest
from helpers import counted
from oracle import OPS, Core, agree, derivative, names, run
from test_array_ops import CASES, NUMPY, arrays
from test_ops import ELEMENTWISE, FLOATS, PARAMETERS, SMOOTH, draw, operands, program

import wengert as wg
import wengert.numpy as wnp

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
    "argsort": [((0, 0, 0), [ROWS]), ((1, 1, 2), [ROWS]), ((0, 0, 0), [LINE])],
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


# ---- arrays as callers have them --------------------------------------------------------------------------


def padded(x, steps):
    """x as a view of every so manieth element of a larger array, backwards where that is negative."""
    whole = np.full([n * abs(step) + 3 for n, step in zip(x.shape, steps, strict=True)], -7).astype(x.dtype)
    view = whole[tuple(slice(2, 2 + n * abs(s), abs(s)) for n, s in zip(x.shape, steps, strict=True))]
    view = view[tuple(slice(None, None, -1 if s < 0 else 1) for s in steps)]
    view[...] = x
    return view


def unaligned(x):
    return np.frombuffer(b"x" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)


MEMORY = {
    "F order": np.asfortranarray,
    "axes turned": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
    "every other": lambda x: padded(x, [1] * (x.ndim - 1) + [2]),
    "every third row": lambda x: padded(x, [3] + [1] * (x.ndim - 1)),
    "reversed": lambda x: padded(x, [-1] * x.ndim),
    "part of a turned one": lambda x: padded(x.T, [1] * (x.ndim - 1) + [-2]).T,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": unaligned,
}
# Functions of a (34, 19) and b of that shape: their dtypes; whether they add in the order of memory (ADR 23).
# What a region reads is copied into C order; what stands alone is read where it lies.
REAL, ANY = ("float32", "float64", "int32"), ("float32", "float64", "int32", "complex128")
PROGRAMS = {
    "map": (FLOATS, False, lambda a, b: wnp.tanh(a)),
    "maps of two": (REAL, False, lambda a, b: (a * b, wnp.maximum(b, a), wnp.where(a > b, a, b))),
    "broadcast": (ANY, False, lambda a, b: a[:, :1] * b[0]),
    "sum": (ANY, True, lambda a, b: wnp.sum(a)),
    "sums along axes": (ANY, True, lambda a, b: (wnp.sum(a, 0), wnp.sum(b, 1))),
    "extremes": (REAL, False, lambda a, b: (wnp.max(a), wnp.min(b, 0), wnp.argmax(a), wnp.argmin(a, 1))),
    "logsumexp": (FLOATS, True, lambda a, b: wnp.logsumexp(a, 1)),
    "product": (ANY, False, lambda a, b: a @ b.T),
    "turned product": (ANY, False, lambda a, b: a.T @ b),
    "matrix and vector": (ANY, True, lambda a, b: (a @ b[0], b[:, 0] @ a)),
    "region": (FLOATS, False, lambda a, b: wnp.sum(wnp.exp(a * b - a), 1)),
    "net": (FLOATS, False, lambda a, b: wg.grad(lambda w: wnp.sum(wnp.tanh(a @ w) * b[:, :5]))(b[:19, :5])),
    "region and lone": (FLOATS, False, lambda a, b: (wnp.tanh(a) * a + 1, a @ b.T, wnp.cumsum(b, 0))),
    "moved": (ANY, False, lambda a, b: (a, a.T, a.reshape(17, 38), wnp.concatenate([b, a]), a[::-2, 3:])),
    "rows": (REAL, False, lambda a, b: (a[np.array([3, 0, 33])], wnp.sort(b, 0), wnp.cumsum(a, 1))),
    "slopes": (FLOATS, False, wg.grad(lambda a, b: wnp.sum(wnp.sin(a) * b), (0, 1))),
    "loop": (FLOATS, False, lambda a, b: wg.scan(lambda c, x: (wnp.tanh(c + x), c), b[0], a)),
}


def leaves(result):
    return [np.asarray(leaf) for leaf in wg.pytree.tree_leaves(result)]


def agree_by_layout(found, expected, sums):
    for y, z in zip(leaves(found), leaves(expected), strict=True):
        assert y.flags.c_contiguous
        # n numbers up to 36 in another order: 2 n eps sum |x| (Higham 2002, 4.2)
        n, eps = 34 * 19, np.finfo(y.dtype).eps if sums and y.dtype.kind in "fc" else 0
        np.testing.assert_allclose(y, z, rtol=0, atol=2 * n * eps * 36 * n)


@pytest.mark.parametrize(("name", "dtype"), [(name, d) for name in PROGRAMS for d in PROGRAMS[name][0]])
def test_programs_take_arrays_in_any_order(name, dtype):
    _, sums, program = PROGRAMS[name]
    rng = np.random.default_rng(3)
    a, b = (rng.uniform(-4, 4, (34, 19)).astype(dtype) for _ in range(2))
    if dtype == "complex128":
        a = a + 1j * b
    recorded, calls = counted(program)
    f, expected = wg.compile(recorded), wg.compile(program)(a, b)
    for layout in MEMORY.values():
        for x, y in ((layout(a), b), (a, layout(b)), (layout(a), layout(b))):
            np.testing.assert_array_equal(x, a)
            for _ in range(2):
                agree_by_layout(f(x, y), expected, sums)
    assert len(calls) == 1
    assert f.program(a, b).explain() == wg.compile(program).program(a, b).explain()


@pytest.mark.parametrize("layout", MEMORY)
def test_captured_arrays_lie_in_any_order(layout):
    a = np.arange(34.0 * 19).reshape(34, 19) / 100
    weight, b = MEMORY[layout](a.T), MEMORY[layout](a + 1).copy(order="K")

    def program(x, weight, b):
        return wnp.tanh(x @ weight) * 2, x * b, wnp.matmul(weight, b)

    f, expected = wg.compile(lambda x: program(x, weight, b)), wg.compile(program)
    for _ in range(2):
        agree_by_layout(f(a), expected(a, a.T.copy(), b.astype(float, "C")), False)
        b *= 3  # it is read anew


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", MEMORY)
def test_plain_calls_take_any_order(layout, dtype):
    a = np.random.default_rng(4).uniform(-2, 2, (34, 19)).astype(dtype)
    x = MEMORY[layout](a)
    for f in (wnp.square, wnp.negative, lambda v: wnp.matmul(v, a.T), lambda v: wnp.add(v, a), wnp.max):
        np.testing.assert_array_equal(f(x), f(a))


def test_every_layout_of_three_axes():
    a = np.random.default_rng(5).uniform(-1, 1, (4, 5, 6))
    f = wg.compile(lambda x: (wnp.exp(x), wnp.max(x, 1), x + x[0], wnp.matmul(x, x[0].T)))
    for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        for turn in (slice(None), slice(None, None, -1)):
            stored = np.transpose(a, axes)[turn].copy()[turn]
            agree_by_layout(f(np.transpose(stored, np.argsort(axes))), f(a), False)
    one = np.broadcast_to(a[:1, :, :1], a.shape)
    agree_by_layout(f(one), f(one.copy()), False)
    few = f.program(a).orders
    assert 0 < len(few) <= 8  # an order that comes again is not planned again; many are not kept


@pytest.mark.parametrize("dtype", ["float32", "float64", "bool", "complex128"])
def test_each_element_repeated(dtype):
    x = (np.arange(1, 12) % 7).astype(dtype)
    for n in (2, 3, 4, 5, 7, 8, 63, 65):
        rows = wg.compile(lambda x, n=n: np.broadcast_to(x[:, None], (11, n)))(x)
        apart = wg.compile(lambda x, n=n: np.pad(np.broadcast_to(x[:, None], (11, n)), ((0, 0), (0, 1))))(x)
        np.testing.assert_array_equal(rows, np.repeat(x, n).reshape(11, n))
        np.testing.assert_array_equal(apart, np.pad(rows, ((0, 0), (0, 1))))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bool", "complex128"])
@pytest.mark.parametrize("columns", [0, 1, 3, 7, 8, 65])
def test_each_row_repeated(dtype, columns):
    x = (np.arange(2 * columns).reshape(2, 1, columns) % 7).astype(dtype)
    for n in (0, 1, 2, 3, 17, 64):
        shape = (2, n, columns)
        rows = wg.compile(lambda x, s=shape: np.broadcast_to(x, s))(x)
        added = wg.compile(lambda x, zero: x + zero)(x, np.zeros(shape, dtype))
        np.testing.assert_array_equal(rows, np.broadcast_to(x, shape))
        np.testing.assert_array_equal(added, rows)


def test_memory_that_is_read_and_written():
    a = np.arange(12.0).reshape(3, 4)
    f = wg.compile(lambda x: x + x[::-1, ::-1])
    for view in (lambda x: x[::-1, ::-1], lambda x: x[::-1], lambda x: x.reshape(4, 3).T):
        out = a.copy()
        expected = f(view(a).copy())
        assert f(view(out), out=out) is out
        np.testing.assert_array_equal(out, expected)
    step = wg.compile(lambda w, g: w - g, donate_argnums=0)
    w = np.arange(9.0).reshape(3, 3).copy()
    np.testing.assert_array_equal(step(w, w.T), [[0, -2, -4], [2, 0, -2], [4, 2, 0]])
    with pytest.raises(ValueError, match="C-contiguous"):
        step(np.asfortranarray(w), w)


def test_repeated_calls_copy_once():
    x = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    add = wg.compile(lambda total, x, k: total + x[k], donate_argnums=0)
    np.testing.assert_array_equal(add.loop(np.zeros(4), x, np.arange(3), each=2), x.sum(0))


@pytest.mark.parametrize("order", ["F", "S"])
def test_threads_do_not_change_sums_of_turned_arrays(order):
    x = np.random.default_rng(6).uniform(-1, 1, (1200, 900))
    x = np.asfortranarray(x) if order == "F" else np.repeat(x, 2, 1)[:, ::2]
    f = wg.compile(lambda x: (wnp.sum(x), wnp.sum(x, 0), wnp.sum(wnp.exp(x) * x, 1), x @ x[:900]))
    before = wg.get_num_threads()
    try:
        wg.set_num_threads(1)
        one = leaves(f(x))
        wg.set_num_threads(3)
        for y, z in zip(leaves(f(x)), one, strict=True):
            assert y.tobytes() == z.tobytes()
    finally:
        wg.set_num_threads(before)


ROWS = {  # of a matrix, what is folded along its first axis, which is not the one that memory lies along
    "few columns": lambda x: x[:, :5],
    "odd": lambda x: x[:, :77],
    "long": lambda x: x,
    "apart": lambda x: x[::3, 5:141],
    "backwards": lambda x: x[::-1],
    "every other column": lambda x: x[:, ::2],
    "three axes": lambda x: x.reshape(400, 10, 30),
    "parts of three axes": lambda x: x.reshape(400, 10, 30)[:, ::2, :29],
    "an axis of one": lambda x: x.reshape(400, 10, 1, 30),
    "one row": lambda x: x[:1],
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("fold", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("rows", ROWS)
def test_folds_along_the_first_axis_take_row_after_row(rows, fold, dtype):
    x = ROWS[rows](np.random.default_rng(7).uniform(-2, 2, (400, 300)).astype(dtype))
    combine = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}[fold]
    expected = x[0].copy()
    for row in x[1:]:
        expected = combine(expected, row)
    for function in (lambda x: getattr(wnp, fold)(x, axis=0), lambda x: getattr(wnp, fold)(x.T, axis=-1).T):
        for machine in (function, wg.compile(function)):
            np.testing.assert_array_equal(machine(x), expected)
    np.testing.assert_array_equal(wg.compile(lambda x: getattr(wnp, fold)(x[:, :0], axis=0))(x), expected[:0])
