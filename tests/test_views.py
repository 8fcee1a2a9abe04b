"""What shares memory in NumPy shares it on a tape: views and what copies; writes under every transform."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, overrides
from test_in_place import PROGRAMS, VIEWS, M, X
from test_numpy import FUNCTIONS
from test_numpy_coverage import CASES
from test_ufunc_methods import UFUNCS

import wengert as wg
import wengert.numpy as wnp

# ---- every function that gives a view, or a copy that looks like one ------------------------------------

windows = np.lib.stride_tricks.sliding_window_view
SHARING = {
    "[...]": lambda x: x[...],
    "[()]": lambda x: x[()],
    "[None]": lambda x: x[None],
    "[1:]": lambda x: x[1:],
    "[::-1]": lambda x: x[::-1],
    "[0]": lambda x: x[0],
    "[0][()]": lambda x: x[0][()],
    "[..., 0]": lambda x: x[..., 0],
    "[..., 0][()]": lambda x: x[..., 0][()],
    "[0, ...]": lambda x: x[0, ...],
    "[0, ..., None]": lambda x: x[0, ..., None],
    "[0, 0, ...]": lambda x: x[0, 0, ...],
    "[0, 0]": lambda x: x[0, 0],
    "[None, ..., 0]": lambda x: x[None, ..., 0],
    "[-1, ...][...]": lambda x: x[-1, ...][...],
    "[..., 0][None]": lambda x: x[..., 0][None],
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "transpose": lambda x: np.transpose(x),
    "transpose()": lambda x: x.transpose(*range(x.ndim)),
    "swapaxes": lambda x: np.swapaxes(x, 0, -1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "rollaxis": lambda x: np.rollaxis(x, -1),
    "matrix_transpose": lambda x: np.linalg.matrix_transpose(x),
    "expand_dims": lambda x: np.expand_dims(x, (0, -1)),
    "squeeze": lambda x: np.squeeze(x),
    "squeeze()": lambda x: x.squeeze(),
    "squeeze to ()": lambda x: np.squeeze(x[(slice(1, 2),) * x.ndim]),
    "squeeze an axis": lambda x: np.squeeze(x[:1], 0),
    "reshape to ()": lambda x: x[(slice(1),) * x.ndim].reshape(()),
    "reshape": lambda x: np.reshape(x, -1),
    "reshape F": lambda x: x.reshape(-1, order="F"),
    "reshape A": lambda x: x.reshape(-1, order="A"),
    "reshape to itself": lambda x: x.reshape(x.shape),
    "ravel": lambda x: np.ravel(x),
    "ravel F": lambda x: np.ravel(x, "F"),
    "ravel A": lambda x: x.ravel("A"),
    "flatten": lambda x: x.flatten(),
    "flatten F": lambda x: x.flatten("F"),
    "atleast_1d": lambda x: np.atleast_1d(x),
    "atleast_1d of a part": lambda x: np.atleast_1d(x[..., 0]),
    "atleast_1d of a number": lambda x: np.atleast_1d(x[(0,) * x.ndim]),
    "atleast_2d": lambda x: np.atleast_2d(x),
    "atleast_3d of two": lambda x: np.atleast_3d(x, x)[1],
    "split": lambda x: np.split(x, [1])[1],
    "array_split": lambda x: np.array_split(x, 2)[0],
    "hsplit": lambda x: np.hsplit(x, [1])[0],
    "dsplit": lambda x: np.dsplit(x, [1])[0],
    "list": lambda x: list(x)[-1],
    "unpack": lambda x: (lambda a, *_: a)(*x),
    "reversed": lambda x: next(reversed(x)),
    "flip": lambda x: np.flip(x),
    "flipud": lambda x: np.flipud(x),
    "fliplr": lambda x: np.fliplr(x),
    "rot90": lambda x: np.rot90(x),
    "rot90 by 0": lambda x: np.rot90(x, 0),
    "diagonal": lambda x: np.diagonal(x),
    "diagonal()": lambda x: x.diagonal(1, 1, 0),
    "diag": lambda x: np.diag(x, -1),
    "linalg.diagonal": lambda x: np.linalg.diagonal(x),
    "einsum of a diagonal": lambda x: np.einsum("...ii->...i", x),
    "einsum of itself": lambda x: np.einsum("i...->...i", x),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, *x.shape)),
    "broadcast_to itself": lambda x: np.broadcast_to(x, x.shape),
    "sliding_window_view": lambda x: windows(x, 2, 0),
    "windows of 1": lambda x: windows(x, 1, 0),
    "windows along all axes": lambda x: windows(x, (1,) * x.ndim),
    "meshgrid": lambda x: np.meshgrid(x, x, copy=False, sparse=True)[1],
    "real": lambda x: np.real(x),
    "real_if_close": lambda x: np.real_if_close(x),
    "conj()": lambda x: x.conj(),
    "asanyarray": lambda x: np.asanyarray(x, like=x),
    "ascontiguousarray": lambda x: np.ascontiguousarray(x, like=x),
    "asfortranarray": lambda x: np.asfortranarray(x, like=x),
    "array, no copy": lambda x: np.array(x, copy=None, like=x),
    "astype, no copy": lambda x: x.astype(float, copy=False),
    "nan_to_num, no copy": lambda x: np.nan_to_num(x, copy=False),
    "trim_zeros": lambda x: np.trim_zeros(x),
    "matrix_power": lambda x: np.linalg.matrix_power(x, 1),
    "diff 0 times": lambda x: np.diff(x, 0),
    "copy()": lambda x: x.copy(),
}
COPYING = {
    "[[0, 1]]": lambda x: x[[0, 1]],
    "[mask]": lambda x: x[np.ones(x.shape, bool)],
    "[..., [0]]": lambda x: x[..., [0]],
    "take": lambda x: np.take(x, np.arange(len(x)), axis=0),
    "take one": lambda x: np.take(x, 0),
    "take_along_axis": lambda x: np.take_along_axis(x, np.zeros(x.shape, int), 0),
    "compress": lambda x: np.compress([True] * len(x), x, 0),
    "extract": lambda x: np.extract(np.ones(x.shape), x),
    "choose": lambda x: np.choose(np.zeros(x.shape, int), [x]),
    "select": lambda x: np.select([np.ones(x.shape, bool)], [x]),
    "where": lambda x: np.where(True, x, 0.0),
    "diag of a vector": lambda x: np.diag(np.ravel(x)[:2]),
    "diagflat": lambda x: np.diagflat(x),
    "full_like": lambda x: np.full_like(x, x[(0,) * x.ndim]),
    "roll by 0": lambda x: np.roll(x, 0),
    "tile once": lambda x: np.tile(x, 1),
    "repeat once": lambda x: np.repeat(x, 1, axis=0),
    "pad by 0": lambda x: np.pad(x, 0),
    "resize": lambda x: np.resize(x, x.shape),
    "delete nothing": lambda x: np.delete(x, [], axis=0),
    "append nothing": lambda x: np.append(x, x[:0], axis=0),
    "concatenate one": lambda x: np.concatenate([x]),
    "stack one": lambda x: np.stack([x]),
    "block": lambda x: np.block([x]),
    "meshgrid that copies": lambda x: np.meshgrid(x, x)[0],
    "clip": lambda x: np.clip(x, None, 1e9),
    "round": lambda x: np.round(x, 9),
    "copy": lambda x: np.copy(x),
    "astype": lambda x: x.astype(float),
    "nan_to_num": lambda x: np.nan_to_num(x),
    "conjugate": lambda x: np.conjugate(x),
    "+x": lambda x: +x,
    "x ** 1": lambda x: x**1,
    "x * 1": lambda x: x * 1,
    "sum over nothing": lambda x: np.sum(x, axis=()),
    "max over nothing": lambda x: np.max(x, axis=()),
    "fftshift of nothing": lambda x: np.fft.fftshift(x, axes=()),
    "sort": lambda x: np.sort(x, axis=0),
    "tril": lambda x: np.tril(x, 9),
}
BASES = {
    "matrix": lambda x: x,
    "vector": lambda x: x.reshape(-1)[:3],
    "columns": lambda x: x[:, 1:],
    "column": lambda x: x[:, 1],
    "reversed": lambda x: x[::-1],
    "one": lambda x: x[:1, :1],
    "three axes": lambda x: x.reshape(3, 3, 1)[:, :2],
}
TURNED = {"turned": lambda x: x.T, "three turned": lambda x: x.reshape(3, 3, 1).T}
THEN = {
    "": lambda v: v,
    "[::-1]": lambda v: v[::-1],
    "T": lambda v: v.T,
    "ravel": lambda v: v.ravel(),
    "[..., 0]": lambda v: v[..., 0],
    "[0]": lambda v: v[0],
    "[...]": lambda v: v[...],
    "reshape": lambda v: v.reshape(-1, 1),
    "squeeze": lambda v: v.squeeze(),
    "copy": lambda v: v.copy(),
}
REFUSED = {"[..., [0]]"}  # then reshaped, and one of both written
FLAT, EAGER = {"round"}, {"trim_zeros"}  # without a derivative; looking at values
S = (np.arange(1.0, 10.0) ** 1.1).reshape(3, 3)


def base_written(base, view, then, x):
    view, then = view(base), then(view(base))
    base[...] = base * 2 + 1
    x[..., 0] += 3.0
    return [x, base, view, then]


def view_written(base, view, then, x):
    first = view(base)
    last, other = then(first), view(base)
    last[...] = last * 3 - 1
    return [x, base, first, last, other]


def updated(base, view, then, x):
    first = view(base)
    last = same = then(first)
    last += 2.0
    last *= 3.0
    return [x, base, first, last, same]


def all_written(base, view, then, x):
    first = view(base)
    last = then(first)
    first += 5.0
    base *= 2.0
    last -= 1.5
    x *= 0.5
    last *= 3.0
    return [x, base, first, last]


def shared(write, base, view, then):
    """The program that takes a view of a base and a view of that, writes, and reads all of them."""

    def program(x):
        x = x * 1.0
        return np.concatenate([np.ravel(part) for part in write(base(x), view, then, x)])

    return program


WRITES = (base_written, view_written, updated, all_written)


def numpys(program):
    """What NumPy makes of a program; None where it raises, for an array is read-only or has too few axes."""
    try:
        return program(S.copy())
    except (ValueError, TypeError, IndexError, np.linalg.LinAlgError):
        return None


@pytest.mark.parametrize("name", [*SHARING, *COPYING])
def test_writes_are_seen_as_numpys_are(name):
    view = {**SHARING, **COPYING}[name]
    for base in [*BASES.values(), *(TURNED.values() if name in SHARING else ())]:
        for then in THEN.values():
            for write in WRITES:
                program = shared(write, base, view, then)
                expected = numpys(program)
                if expected is not None:
                    try:
                        found = wg.vjp(program, S)[0]
                    except ValueError as error:  # see test_memory_order
                        if name not in REFUSED or "which is not followed" not in str(error):
                            raise
                    else:
                        assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("name", [name for name in (*SHARING, *COPYING) if name not in FLAT])
def test_derivatives_go_through_what_is_shared(name):
    """The programs are linear: their Jacobians are differences of values."""
    view = {**SHARING, **COPYING}[name]
    for base in [*BASES.values(), *(TURNED.values() if name in SHARING else ())]:
        parts = [shared(write, base, view, THEN[""]) for write in WRITES]
        parts = [part for part in parts if numpys(part) is not None]
        if not parts:
            continue
        program = lambda x, parts=parts: np.concatenate([part(x) for part in parts])
        values = program(S.copy())
        slopes = np.stack([program(S + e.reshape(3, 3)) - values for e in np.eye(9)], axis=-1)
        assert_allclose(wg.jacobian(program)(S).reshape(slopes.shape), slopes, atol=1e-12)
        if name in EAGER:
            continue
        compiled = wg.compile(lambda x, program=program: (program(x), wg.jacfwd(program)(x)))(S)
        assert_allclose(compiled[0], values, rtol=1e-14)
        assert_allclose(compiled[1].reshape(slopes.shape), slopes, atol=1e-12)


# ---- numbers, and arrays of no axes ---------------------------------------------------------------------

V3, M3 = np.array([0.3, 0.7, 0.5]), np.array([[2.0, 0.5, 0.1], [0.3, 3.0, 0.2], [0.1, 0.4, 4.0]])
ARGUMENTS = ((V3,), (M3,), (V3, V3), (M3, M3), (M3, V3), (V3, 0), (V3, 0.5))
NO_AXES = {  # of which NumPy makes arrays, and we numbers
    *("block", "broadcast_arrays", "cov", "full_like", "i0", "piecewise", "select", "tensordot"),
}
OTHERS = {
    "x @ x": lambda x: x @ x,
    "x.sum()": lambda x: x.sum(),
    "x.min()": lambda x: x.min(),
    "einsum": lambda x: np.einsum("i,i->", x, x),
    "of a key": lambda x: x[np.int64(0)],
    "of a list's element": lambda x: x[[0, 1]][0],
    "where": lambda x: np.where(x[0] > 0, x[0], 1.0),
    "copy of a number": lambda x: np.copy(x[0]),
    "copy() of a number": lambda x: x[0].copy(),
    "clip": lambda x: np.clip(x[0], 0, 1),
    "nan_to_num": lambda x: np.nan_to_num(x[0]),
    "norm": lambda x: np.linalg.norm(x),
    "interp": lambda x: np.interp(x[0], [0.0, 1.0], [1.0, 2.0]),
    "polyval": lambda x: np.polyval(x, 2.0),
    "squeezed": lambda x: np.squeeze(x[:1]) * 1,
    "transposed": lambda x: x[..., 0].T,
    "astype": lambda x: x[..., 0].astype("f4"),
}
FUNCTIONS_OF_ARRAYS = {
    f"{f.__module__}.{f.__name__}": f
    for f in overrides.get_overridable_numpy_array_functions()
    if f.__module__ in ("numpy", "numpy.linalg") and f.__name__ in {*FUNCTIONS, *CASES}
}


@pytest.mark.parametrize("name", [*OTHERS, *UFUNCS, *FUNCTIONS_OF_ARRAYS])
def test_results_of_no_axes_are_numbers_where_numpys_are(name, tape):
    """`s = f(x); t = s; s += 1` leaves t alone if s is a number."""
    f = {**OTHERS, **UFUNCS, **FUNCTIONS_OF_ARRAYS}[name]
    cases = [(V3,)] if name in OTHERS else [(0.3,) * f.nin, (2,) * f.nin] if name in UFUNCS else ARGUMENTS
    for args in cases:
        try:
            with np.errstate(all="ignore"):
                expected, found = f(*args), f(tape.leaf(np.array(args[0])), *args[1:])
        except (TypeError, ValueError, IndexError, AttributeError, ArithmeticError, np.linalg.LinAlgError):
            continue
        pairs = zip(expected, found, strict=True) if isinstance(expected, tuple) else [(expected, found)]
        for theirs, ours in pairs:
            if isinstance(ours, wg.Var) and np.ndim(theirs) == 0 and name.split(".")[-1] not in NO_AXES:
                assert ours.is_number == (not isinstance(theirs, np.ndarray))


# ---- under transforms -----------------------------------------------------------------------------------

XS = np.stack([X, 0.3 * X**2, np.cos(X)])
TRANSFORMS = {
    "vmap": lambda f: wg.vmap(f),
    "compile vmap": lambda f: wg.compile(wg.vmap(f)),
    "scan": lambda f: lambda xs: wg.scan(lambda c, x: (c, f(x)), 0.0, xs)[1],
    "checkpoint": lambda f: lambda xs: np.stack([wg.vjp(wg.checkpoint(f), x)[0] for x in xs]),
    "jvp": lambda f: lambda xs: np.stack([wg.jvp(f, (x,), (x * 0,))[0] for x in xs]),
}
JACOBIANS = {
    "vmap": lambda f: wg.vmap(wg.jacobian(f)),
    "vmap forward": lambda f: wg.vmap(wg.jacfwd(f)),
    "compile vmap": lambda f: wg.compile(wg.vmap(wg.jacobian(f))),
    "of compile": lambda f: lambda xs: np.stack([wg.jacobian(wg.compile(f))(x) for x in xs]),
    "of checkpoint": lambda f: lambda xs: np.stack([wg.jacobian(wg.checkpoint(f))(x) for x in xs]),
    "of scan": lambda f: (
        lambda xs: np.stack(
            [
                wg.jacobian(lambda x: wg.scan(lambda c, _: (c, f(x.copy())), 0.0, None, length=1)[1][0])(x)
                for x in xs
            ]
        )
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_write_under_transforms(name, transform):
    expected = np.stack([PROGRAMS[name](np, x.copy()) for x in XS])
    assert_allclose(
        TRANSFORMS[transform](lambda x: PROGRAMS[name](np, x))(XS), expected, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("transform", JACOBIANS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_jacobians_of_programs_that_write(name, transform):
    f = lambda x: PROGRAMS[name](np, x)
    expected = np.stack([wg.jacfwd(f)(x) for x in XS])
    assert_allclose(JACOBIANS[transform](f)(XS), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("transform", ["vmap", "compile vmap", "scan"])
@pytest.mark.parametrize("name", VIEWS)
def test_writes_go_both_ways_under_transforms(name, transform):
    def run(x):
        y, z = VIEWS[name](x), VIEWS[name](x)
        y[...] = y * 3
        x[0, 0] = 100.0
        z[0] = -1.0
        x[1] += 7
        return [np.ravel(a) for a in (x, y, z)]

    batch = np.stack([M, 2 * M])
    found = TRANSFORMS[transform](lambda x: np.concatenate(run(x * 1.0)))(batch)
    assert_allclose(found, np.stack([np.concatenate(run(m.copy())) for m in batch]), rtol=1e-14)


def test_overlapping_views():
    def f(np, x):
        y = x * 1.0
        y[1:] = y[:-1]
        y[::2] = y[::-1][::2] * 2
        a, b = y[1:4], y[2:5]
        a += b
        b *= a
        y[:3] -= y[3:]
        return y

    program = lambda x: f(np, x)
    for g in (program, wg.compile(program)):
        assert_allclose(wg.vjp(g, X)[0], f(np, X.copy()), rtol=1e-12, atol=1e-14)
        wg.testing.check_grads(g, (X,))


# ---- random programs ------------------------------------------------------------------------------------

UNARY = ["sin", "tanh", "square", "arctan"]
KEYS = [0, -1, slice(1, 4), slice(None, None, 2), [0, 2], [3, 3], slice(None), slice(4, 0, -1)]
STEPS = st.one_of(
    st.tuples(st.just("unary"), st.sampled_from(UNARY), st.integers(0, 9)),
    st.tuples(st.just("binary"), st.sampled_from("+*-"), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("set"), st.sampled_from(range(len(KEYS))), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("update"), st.sampled_from("+*-"), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("part"), st.sampled_from(range(len(KEYS))), st.integers(0, 9)),
    st.tuples(st.just("reduce"), st.sampled_from(["sum", "mean", "max"]), st.integers(0, 9)),
    st.tuples(st.just("turn"), st.integers(0, 9)),
)


def random_program(steps, np, x):
    """Each step takes arrays made so far and makes or changes one; all have at least 5 elements or one."""
    arrays = [x * 1.0]
    pick = lambda k: arrays[k % len(arrays)]
    for kind, *rest in steps:
        if kind == "unary":
            arrays.append(getattr(np, rest[0])(pick(rest[1])))
        elif kind == "binary":
            a, b = pick(rest[1]), pick(rest[2])[:1]
            arrays.append(a + b if rest[0] == "+" else a * b * 0.5 if rest[0] == "*" else a - b)
        elif kind == "set":
            pick(rest[1])[KEYS[rest[0]] if len(pick(rest[1])) > 4 else 0] = np.tanh(pick(rest[2])[0])
        elif kind == "update":
            a, b = pick(rest[1]), np.tanh(pick(rest[2])[:1])
            if rest[0] == "+":
                a += b
            elif rest[0] == "*":
                a *= b
            else:
                a -= b
        elif kind == "part" and len(pick(rest[1])) > 4:
            part = pick(rest[1])[KEYS[rest[0]]]
            arrays.append(part if part.ndim else part.reshape(1))
        elif kind == "reduce":
            arrays.append(getattr(np, rest[0])(pick(rest[1])).reshape(1))
        elif kind == "turn":
            arrays.append(pick(rest[0])[::-1])
    return np.concatenate(arrays)


@given(st.lists(STEPS, min_size=5, max_size=40))
def test_random_programs(steps):
    expected = random_program(steps, np, X[:5].copy())
    assert_allclose(wg.vjp(lambda x: random_program(steps, np, x), X[:5])[0], expected, rtol=1e-12)
    jacobian = wg.jacobian(lambda x: random_program(steps, wnp, x))(X[:5])
    forward = wg.jacfwd(lambda x: random_program(steps, np, x))(X[:5])
    compiled = wg.compile(wg.jacobian(lambda x: random_program(steps, np, x)))(X[:5])
    size = 1e-10 * (1 + np.max(np.abs(jacobian)))
    assert_allclose(forward, jacobian, rtol=1e-10, atol=size)
    assert_allclose(compiled, jacobian, rtol=1e-10, atol=size)
    if not any(step[0] == "reduce" and step[1] == "max" for step in steps):  # the others take complex numbers
        h = 1e-30j
        columns = [random_program(steps, np, X[:5] + h * e).imag / h.imag for e in np.eye(5)]
        assert_allclose(jacobian, np.stack(columns, 1), rtol=1e-9, atol=size)
