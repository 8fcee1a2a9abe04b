"""Writing to traced arrays: v[i] = w, v += w, np.add.at; views as NumPy's; gradients to order two."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_numpy import FUNCTIONS, B
from test_numpy_coverage import CASES

import wengert as wg

X = np.array([0.7, -1.3, 2.1, 0.4, 1.9, -0.6])
M = np.array([[0.3, -1.2, 2.5], [1.1, 0.4, -0.7]])

# ---- programs -------------------------------------------------------------------------------------------


def write(key, value):
    def program(np, x):
        y = x * 1.0
        y[key] = value(np, x) if callable(value) else value
        return y

    return program


def chained(np, x):
    y = x.copy()
    y[0] = x[1] * 3
    y[1:] *= 2
    z = y[1:]
    y[2] = 7 * x[0]
    z[0] += x[2] ** 2
    w = y.reshape(-1, 1)
    w[1, 0] = np.sin(x[0])
    return y**2 + z.sum() + w[:, 0]


def recurrence(np, x):
    y = x * 0.5
    for i in range(1, len(x)):
        y[i] = y[i - 1] * x[i] + x[i]
    return y


def transposed(np, x):
    y = x * np.ones((2, 1))
    t = y.T
    t[0] += x[1]
    t[1:3, 1] = np.exp(t[:2, 0])
    y[1, ::2] -= t[0, 0]
    return y * t.sum()


def rows(np, x):
    y = x * np.ones((3, 1))
    row = y[1]
    row[2:4] = x[:2] ** 2
    y[0] += row
    row *= y[2]
    y[2][1] = 4.0
    return y


def augmented(np, x):
    y = x + 0.0
    y += x[0]
    y -= 1.0
    y *= x
    y /= 2.0 + x**2
    y **= 2
    return y


def shared(np, x):
    y = x * 2
    z = y
    z += 1
    a, b = np.split(y, 2)
    a[...] = b * x[:3]
    np.flip(y)[0] = x[0]
    return y + z


def filled(np, x):
    y = x * 1.0
    np.copyto(y, x**2, where=np.array([True, False] * 3))
    np.put(y, [0, -1], x[1] * x[2])
    np.putmask(y, np.arange(6) == 2, x[0])
    np.place(y, np.arange(6) > 3, [1.0, 2.0])
    m = y.reshape(2, 3) * 1.0
    np.fill_diagonal(m, x[3])
    np.put_along_axis(m, np.array([[2], [0]]), 5.0, 1)
    return m * x[:3]


def collected(np, x):
    y = x * 1.0
    np.add.at(y, [0, 0, 2], x[:3])
    np.subtract.at(y, [5, 5], x[0])
    np.multiply(y, x, out=y)
    np.add(y, 1.0, out=y, where=np.arange(6) > 2)
    return y


def received(np, x):
    y, m = x * 1.0, x.reshape(2, 3) * x[0]
    row = m[1]
    np.sum(m, axis=0, out=row)
    np.clip(y, -1.0, 1.5, out=y)
    np.cumsum(y[:3], out=m[0])
    np.std(m, 0, None, y[:3])
    np.nanstd(m, axis=1, out=y[::3])
    np.concatenate([row, m[0]], out=y[::-1])
    np.max(m, axis=0, out=m[1])
    np.nanmin(m, axis=1, out=y[..., :2])
    np.quantile(m, 0.3, axis=0, out=m[0])
    total = m[..., 0, 0]
    np.mean(y, out=m[0, 0, ...])
    np.add(total, row[1], out=total)
    np.negative(y, out=y, where=np.arange(6) % 2 > 0)
    return y * m.ravel()


def chained_keys(np, x):
    y = x.reshape(2, 3) * 1.0
    y[0][1] = x[5] ** 2
    y[1, ...][1:] *= x[0]
    y[[0, 1]][0] = 7.0  # of a copy
    y[:, 1][np.array([True, False])] *= 2
    y.T[1][...] += y[:, 0]
    y[:, ::2][1, 1] /= 3.0
    last = y[..., -1, -1]
    last **= 2
    return y.ravel() * last


def sorted_in_place(np, x):
    y = x * 1.0
    y[1:5].sort()
    y[::-1].partition(2)
    y.reshape(2, 3).T.sort(0)
    y[1:2].fill(x[2] * 3)
    y.put([0, 3], [x[1], 2.0])
    return y


PROGRAMS = {
    "element": write(2, lambda np, x: x[0] * x[1]),
    "negative": write(-1, lambda np, x: x[0] ** 2),
    "slice": write(slice(1, 4), lambda np, x: x[:3] ** 2),
    "step": write(slice(None, None, -2), lambda np, x: x[:3] * x[0]),
    "broadcast": write(slice(1, 4), lambda np, x: x[0] ** 3),
    "everything": write(Ellipsis, lambda np, x: x[::-1] * x),
    "integers": write([0, 3, 1], lambda np, x: x[:3] * x[3]),
    "repeated": write([0, 3, 0], lambda np, x: x[:3] * x[3]),
    "mask": write(X > 0.5, lambda np, x: x[0] * 2),
    "constant": write([1, 2], 5.0),
    "chained": chained,
    "recurrence": recurrence,
    "transposed": transposed,
    "rows": rows,
    "augmented": augmented,
    "shared": shared,
    "filled": filled,
    "collected": collected,
    "received": received,
    "chained keys": chained_keys,
    "sorted in place": sorted_in_place,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_write(name):
    program = PROGRAMS[name]
    expected = program(np, X.copy())
    eager = lambda x: program(np, x)
    assert_allclose(wg.vjp(eager, X)[0], expected, rtol=1e-14)
    wg.testing.check_grads(eager, (X,))
    compiled = wg.compile(eager)
    assert_allclose(compiled(X), expected, rtol=1e-14)
    wg.testing.check_grads(compiled, (X,))
    assert_allclose(wg.compile(wg.jacobian(eager))(X), wg.jacobian(eager)(X), rtol=1e-13, atol=1e-13)


def test_masks_in_eager_and_compiled_code():
    def f(x):
        y = x * 1.0
        y[x > 1] *= 2
        y[y < 0] = x[0]
        return y

    wg.testing.check_grads(f, (X,))

    def masked(x):
        y = x * 1.0
        y[x < 0] = x[0] ** 2
        return y

    assert_allclose(wg.compile(wg.jacobian(masked))(X), wg.jacobian(masked)(X), rtol=1e-14)
    with pytest.raises(TypeError, match=r"v\[mask\] \(.*test_in_place.py, line.*a mask made of plain arrays"):
        wg.compile(lambda x: x[x < 0])(X)


def test_a_recording_serves_while_a_mask_keeps_its_values():
    mask = X > 0.5

    def f(x):
        y = x * 1.0
        y[mask] = x[mask] ** 2
        return np.sum(y[mask]) + np.sum(np.compress(mask, x) * x[0])

    inner = wg.compile(f)
    compiled = [
        (inner, f),
        (wg.compile(wg.grad(f)), wg.grad(f)),
        (wg.compile(lambda x: inner(x) * 2), lambda x: f(x) * 2),
        (wg.compile(wg.vmap(f)), wg.vmap(f)),
        (
            wg.compile(lambda x: wg.scan(lambda c, _: (c[::-1], f(c)), x, None, length=2)[1]),
            lambda x: [f(x), f(x[::-1])],
        ),
    ]
    for changed in (None, 1, 0, None, 4):
        if changed is not None:
            mask[changed] = not mask[changed]
        for g, plain in compiled:
            x = np.stack([X, X**2]) if plain is compiled[3][1] else X
            assert_allclose(g(x), plain(x), rtol=1e-14)


def test_arguments_are_not_changed():
    def f(x):
        x[0] = 5.0
        x *= 2
        return np.sum(x**2)

    given_ = X.copy()
    gradient = wg.grad(f)(given_)
    assert_array_equal(given_, X)
    assert_allclose(gradient, np.where(np.arange(6) == 0, 0, 8 * X))
    assert_allclose(wg.compile(wg.grad(f))(given_), gradient)
    assert_allclose(wg.hessian(f)(X), np.diag(np.where(np.arange(6) == 0, 0.0, 8.0)))


# ---- views ----------------------------------------------------------------------------------------------

TABLE = {**{k: (f, B) for k, f in FUNCTIONS.items()}, **{k: (c[0], *c[1]) for k, c in CASES.items()}}


def shares(f, args):
    """Whether NumPy's result is a view of the first argument; None where it may not be written."""
    result = f(np, *args)
    parts = result if isinstance(result, (tuple, list)) else [result]
    return any(isinstance(part, np.ndarray) and np.shares_memory(part, args[0]) for part in parts)


@pytest.mark.parametrize("name", TABLE.keys())
def test_results_are_views_where_numpys_are(name, tape):
    f, *args = TABLE[name]
    args = [np.array(x) for x in args]
    v = tape.leaf(args[0]) * 1.0
    y = f(np, v, *args[1:])
    before = y.value if isinstance(y, wg.Var) else None
    if before is None or not before.size or before.dtype != float or not y.ndim:
        return
    v[...] = np.asarray(v.value) + 17.0
    assert np.array_equal(y.value, before, equal_nan=True) is not shares(f, args)


VIEWS = {
    "slice": lambda x: x[1:, ::2],
    "row": lambda x: x[1],
    "new axis": lambda x: x[None, :, 0],
    "transpose": lambda x: x.T,
    "reshape": lambda x: x.reshape(3, 2),
    "reshape of a transpose": lambda x: x.T.reshape(2, 3),
    "split of a stride": lambda x: x[:, ::2].reshape(2, 2, 1),
    "ravel": lambda x: x.ravel(),
    "ravel of columns": lambda x: x[:, :2].ravel(),
    "flatten": lambda x: x.flatten(),
    "integers": lambda x: x[[0, 1]],
    "copy": lambda x: x.copy(),
    "swapaxes": lambda x: x.swapaxes(0, 1)[:, None],
    "squeeze": lambda x: np.squeeze(x[:1]),
    "flip": lambda x: np.flip(x, 1),
    "diagonal of a view": lambda x: x[:, 1:].T[::-1],
}


@pytest.mark.parametrize("name", VIEWS)
def test_writes_go_both_ways_as_numpys(name, tape):
    def run(x):
        y = VIEWS[name](x)
        z = VIEWS[name](x)
        y[...] = y * 3
        x[0, 0] = 100.0
        z[0] = -1.0
        x[1] += 7
        return [x, y, z]

    for found, expected in zip(run(tape.leaf(M) * 1.0), run(M.copy()), strict=True):
        assert_array_equal(found.value, expected)
    compiled = wg.compile(lambda x: run(x * 1.0))
    for found, expected in zip(compiled(M), run(M.copy()), strict=True):
        assert_array_equal(found, expected)


def test_the_parts_of_complex_numbers_are_views():
    def f(x):
        z = x + 2j * x[::-1]
        re, im = z.real, np.imag(z)
        z *= 1j
        re[1:] += im[:-1]
        im[..., 0] = 5.0
        first = z[..., 1].imag
        first *= 3
        z.real[0] = x[1]
        z.imag = z.imag * x
        z.real = np.real(z)[::-1]
        return np.concatenate([re, im, np.real(z), z.imag, first[None]])

    assert_allclose(wg.vjp(f, X)[0], f(X), rtol=1e-14)
    wg.testing.check_grads(f, (X,))
    assert_allclose(wg.compile(wg.jacobian(f))(X), wg.jacobian(f)(X), rtol=1e-14)


def test_numbers_are_not_views(tape):
    x = tape.leaf(X)
    first = x[0]
    x[0] = 9.0
    total = x[1]
    total += 5.0
    assert (first.value, total.value, x[1].value) == (X[0], X[1] + 5, X[1])
    with pytest.raises(TypeError, match="does not support item assignment"):
        first[...] = 1.0
    np.ravel(first)[0] = 1.0  # of a copy, as ravel of NumPy's scalar is
    assert first.value == X[0]


def test_a_loop_reads_what_was_written_before_it_came_there():
    def f(x):
        y = x * 1.0
        for k, element in enumerate(y):
            y[(k + 1) % len(y)] += element**2
        return y

    assert_allclose(wg.vjp(f, X / 9)[0], f(X / 9), rtol=1e-14)
    wg.testing.check_grads(f, (X / 9,))


def test_dtype_stays(tape):
    x = tape.leaf(X.astype("f4"))
    x += np.float64(1.0)
    x[0] = np.float64(3.0)
    assert x.dtype == np.float32
    n = tape.leaf(np.arange(3))
    with pytest.raises(TypeError, match="do not fit an array of int64"):
        n += 0.5
    with pytest.raises(ValueError, match="cannot hold"):
        x += np.ones((2, 6), "f4")


# ---- what cannot be kept is named -----------------------------------------------------------------------


def test_a_broadcast_array_is_read_only(tape):
    y = np.broadcast_to(tape.leaf(X), (2, 6))
    with pytest.raises(ValueError, match="read-only"):
        y[0, 0] = 1.0


@pytest.mark.parametrize(
    "view",
    [
        lambda x: np.diagonal(x),
        lambda x: np.diagonal(x[:, 1:]),
        lambda x: np.broadcast_arrays(x, x)[0],
        lambda x: np.meshgrid(x, x, copy=False)[0],
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, 1, writeable=True),
    ],
)
def test_views_that_are_read_only(view, tape):
    def write(x):
        y = view(x * 1.0)
        y[...] = 1.0
        return y

    with pytest.raises(ValueError, match="read-only"):
        write(tape.leaf(M))
    with pytest.raises(ValueError, match="read-only"):
        wg.compile(write)(M)


def test_a_write_to_what_lies_outside_of_a_recording_raises():
    def f(x):
        y = x * 1.0

        @wg.compile
        def g(z):
            y[0] = z
            return z

        return g(x[0]) + y[0]

    with pytest.raises(TypeError, match="made outside"):
        wg.grad(f)(X)


def test_plain_arrays_do_not_take_vars(tape):
    plain = np.zeros(6)
    x = tape.leaf(X)
    for write_ in (
        lambda: plain.__setitem__(0, x[0]),
        lambda: plain.__setitem__(slice(0, 6), x),
        lambda: np.copyto(plain, x),
        lambda: np.put(plain, [0], x[0]),
        lambda: np.putmask(plain, X > 0, x),
        lambda: np.place(plain, X > 0, x),
        lambda: np.add.at(plain, [0], x[0]),
        lambda: np.fill_diagonal(plain.reshape(2, 3), x[0]),
    ):
        with pytest.raises((TypeError, ValueError)) as raised:
            write_()
        assert "would drop the derivative" in str(raised.value.__cause__ or raised.value)
    assert_array_equal(plain, 0)


def test_a_failed_write_changes_nothing(tape):
    x = tape.leaf(X) * 1.0
    for _ in range(2):  # the second time the array could be written over
        x[1] = 2.0
        length, before = len(tape), x.value
        with pytest.raises(IndexError):
            x[[0, 9]] = 1.0
        with pytest.raises(ValueError, match="do not broadcast"):
            x[:2] = np.ones(3)
        assert_array_equal(x.value, before)
        tape.verify()
    assert length


def test_loops_keep_one_array(tape):
    """Writing element by element goes on in the same memory, forwards and in the sweep."""
    n = 200
    x = tape.leaf(np.linspace(0.1, 0.9, n))
    y = x * 0.5
    for i in range(1, n):
        y[i] = y[i - 1] * x[i]
    written = [k for k in range(len(tape)) if tape.node(k).op == "slice_set"]
    assert sum(tape.node(k).has_value for k in written) == 1
    length = len(tape)
    tape.vjp([y[n - 1]], [1.0], [x], True)
    arrays = [k for k in range(length, len(tape)) if tape.node(k).shape == (n,) and tape.node(k).has_value]
    assert len(arrays) < 10
