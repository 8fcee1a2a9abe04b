"""NumPy's order of memory decides what `reshape` and `ravel` make a view: `np.sin(x.T).ravel()` is a copy.

A write through such a one is seen as NumPy has it seen; where the order is not followed, what may have been
written to raises when it is read.
"""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from test_numpy import FUNCTIONS
from test_numpy_coverage import CASES
from test_views import FUNCTIONS_OF_ARRAYS, SHARING, UFUNCS

import wengert as wg

REFUSED = "which is not followed"
X = np.cos(np.arange(24.0) * 1.7).reshape(2, 3, 4) + 1.5

# ---- random programs ------------------------------------------------------------------------------------

MADE = {
    "sin": lambda a, b: np.sin(a),
    "plus": lambda a, b: a + b,
    "where": lambda a, b: np.where(a > b, a, b),
    "plus a row": lambda a, b: a + b[..., :1],
    "constant": lambda a, b: a * np.ones(a.shape),
    "turned constant": lambda a, b: a * np.ones(a.shape[::-1]).T,
    "repeated constant": lambda a, b: a * np.broadcast_to(2.0, a.shape),
    "clip": lambda a, b: np.clip(a, -3, 3),
    "astype": lambda a, b: a.astype("f4").astype("f8"),
    "sum": lambda a, b: np.sum(a, axis=0),
    "max": lambda a, b: np.max(a, axis=1, keepdims=True),
    "mean": lambda a, b: a.mean(-1),
    "cumsum": lambda a, b: np.cumsum(a, axis=1),
    "matmul": lambda a, b: a @ np.swapaxes(b, -1, -2) / 9,
    "copy()": lambda a, b: a.copy(),
    "copy F": lambda a, b: a.copy(order="F"),
    "copy K": lambda a, b: a.copy("K"),
    "np.copy": lambda a, b: np.copy(a),
    "np.copy C": lambda a, b: np.copy(a, "C"),
    "ascontiguousarray": lambda a, b: np.ascontiguousarray(a, like=a),
    "asfortranarray": lambda a, b: np.asfortranarray(a, like=a),
    "concatenate": lambda a, b: np.concatenate([a, b])[:4],
    "stack": lambda a, b: np.stack([a, b], -1)[..., 0],
    "rows": lambda a, b: a[[0, -1]],
    "columns": lambda a, b: a[:, [0, -1]],
    "last": lambda a, b: a[..., [0, 1]],
    "pairs": lambda a, b: a[:, [0, 1], [0, 1]],
    "mask": lambda a, b: a[:, np.arange(a.shape[1]) != 1],
    "take": lambda a, b: np.take(a, [0, 1], axis=1),
    "roll": lambda a, b: np.roll(a, 1, axis=-1),
    "sort": lambda a, b: np.sort(a, axis=0),
    "pad": lambda a, b: np.pad(a, 1),
    "diff": lambda a, b: np.diff(a, axis=-1),
    "tril": lambda a, b: np.tril(a),
    "repeat": lambda a, b: np.repeat(a, 2, axis=1),
    "flip": lambda a, b: np.flip(a) * 1,
    "einsum": lambda a, b: np.einsum("...i,...i->...i", a, a),
    "outer": lambda a, b: np.multiply.outer(a[..., 0], b.ravel()[:2]),
    "rounded": lambda a, b: np.round(a, 3) + a,
}
SEEN = {
    "T": lambda a: a.T,
    "swapaxes": lambda a: np.swapaxes(a, 0, 1),
    "moveaxis": lambda a: np.moveaxis(a, 0, -1),
    "ravel": lambda a: a.ravel(),
    "ravel F": lambda a: a.ravel("F"),
    "ravel A": lambda a: a.ravel("A"),
    "flatten F": lambda a: a.flatten("F"),
    "reshape": lambda a: a.reshape(-1),
    "reshape F": lambda a: np.reshape(a, -1, order="F"),
    "reshape A": lambda a: np.reshape(a, (-1, 2), order="A"),
    "pairs": lambda a: a.reshape(-1, 2),
    "halves": lambda a: a.reshape(2, -1),
    "split": lambda a: a.reshape(*a.shape[:-1], -1, 2),
    "new axis": lambda a: a[:, None],
    "tail": lambda a: a[1:],
    "column": lambda a: a[..., 0],
    "ravel of a column": lambda a: a[..., 0].ravel(),
    "every other": lambda a: a[..., ::2],
    "reversed": lambda a: a[::-1],
    "squeeze": lambda a: np.squeeze(a),
    "conj": lambda a: a.conj(),
}
WRITTEN = {
    "part": lambda a, b: a.__setitem__((..., 0), b.ravel()[0]),
    "first": lambda a, b: a.__setitem__(0, 0.25),
    "all": lambda a, b: a.__setitem__(..., np.tanh(b.ravel()[-1])),
    "update": lambda a, b: a.__iadd__(0.5),
    "scale": lambda a, b: a.__imul__(b.ravel()[1]),
    "masked": lambda a, b: a.__setitem__(a > 0.5, 0.125),
    "out": lambda a, b: np.multiply(a, 0.75, out=a),
}
TABLES = (MADE, SEEN, SEEN, WRITTEN)


def build(choices):
    """The steps that plain NumPy takes: (function, places of its operands, whether it makes an array)."""
    arrays, steps = [X.copy()], []
    for kind, name, i, j in choices:
        table = TABLES[kind % len(TABLES)]
        function = table[sorted(table)[name % len(table)]]
        places = [k % len(arrays) for k in ((i,) if table is SEEN else (i, j))]
        if table is WRITTEN and not arrays[places[0]].flags.writeable:
            continue
        try:
            result = function(*(arrays[k] for k in places))
        except (ValueError, IndexError, TypeError):  # the shapes do not fit: no step of this program
            arrays = run(steps, X.copy())  # a write may be half done
            continue
        steps.append((function, places, table is not WRITTEN))
        if table is not WRITTEN:
            if not 2 <= np.size(result) <= 200 or np.max(np.abs(result)) > 1e6 or result.ndim > 4:
                steps.pop()
            else:
                arrays.append(result)
    return steps


def run(steps, x):
    arrays = [x]
    for function, places, makes in steps:
        result = function(*(arrays[k] for k in places))
        if makes:
            arrays.append(result)
    return arrays


def values(steps, x):
    return np.concatenate([a.flatten() for a in run(steps, x)])


LAYOUTS = {
    "C": lambda x: x,
    "F": np.asfortranarray,
    "swapped": lambda x: x.swapaxes(0, 1).copy().swapaxes(0, 1),
    "strided": lambda x: np.repeat(x, 2, -1)[..., ::2],
}
CHOICES = st.lists(st.tuples(st.integers(0, 3), *[st.integers(0, 99)] * 3), min_size=3, max_size=24)


def step(kind, name, i=0, j=0):
    return kind, sorted(TABLES[kind]).index(name), i, j


@given(CHOICES, st.sampled_from(list(LAYOUTS)))
@settings(max_examples=300)
@example([step(1, "T"), step(0, "sin", 1), step(1, "ravel", 2), step(3, "update", 3)], "C")
@example([step(1, "ravel"), step(3, "update", 1)], "F")
def test_random_programs_are_numpys_or_refused(choices, layout):
    x = LAYOUTS[layout](X.copy())
    steps = build(choices)
    try:
        expected = values(steps, LAYOUTS[layout](X.copy()))
    except (ValueError, IndexError, TypeError):  # of another order a view is none, and the steps do not fit
        return
    try:
        found = wg.vjp(lambda x: values(steps, x), x)[0]
    except ValueError as error:
        assert re.search(REFUSED, str(error)), error  # noqa: PT017 - either is right
        return
    assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    if layout == "C":  # a recorded function takes its arguments as if in C order
        assert_allclose(wg.compile(lambda x: values(steps, x))(x), expected, rtol=1e-9, atol=1e-12)


# ---- every function -------------------------------------------------------------------------------------

BASES = {
    "matrix": lambda x: x[0, :, :3] * 1.0,
    "turned": lambda x: (x[0] * 1.0).T,
    "made of turned": lambda x: np.sin(x[0].T),
    "three axes": lambda x: x * 1.0,
    "swapped": lambda x: (x * 1.0).swapaxes(0, 1),
    "reversed axes": lambda x: (x * 1.0).T,
    "of no order known": lambda x: (x * 1.0).swapaxes(0, 1) + 1,
}
OTHERS = ((), (1,), (2.0,), ([0, 1],), (0, 1), ([0, 1], 1))
ARRAYS = {**FUNCTIONS_OF_ARRAYS, **UFUNCS, **SHARING}
ARRAYS |= {
    f.__name__: f for f in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.fft2, np.fft.fftn, np.fft.fftshift)
}
LOOSE = (
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    np.linalg.LinAlgError,
)


def is_in_order(a):
    return bool(np.squeeze(a).flags.c_contiguous)


def results(f, args):
    try:
        with np.errstate(all="ignore"):
            y = f(*args)
    except LOOSE:
        return None
    return y if isinstance(y, (tuple, list)) else (y,)


def assert_ordered(ours, theirs):
    """Ours lies as NumPy's array does, or it is not known how."""
    for y, numpys in zip(ours or (), theirs or (), strict=False):
        if isinstance(y, wg.Var) and y.ndim > 1 and y.size and sum(n > 1 for n in y.shape) > 1:
            assert y.in_order in (-1, is_in_order(numpys))


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_results_lie_as_numpys_do(name, tape):
    f, x = ARRAYS[name], tape.leaf(X)
    for base in BASES.values():
        pairs = [(args, args) for args in OTHERS]
        pairs += [((base(X),), (base(x),)), ((base(X),), (base(X),)), ((base(X)[0],), (base(x)[0],))]
        for numpys, ours in pairs:
            assert_ordered(results(f, (base(x), *ours)), results(f, (base(X), *numpys)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_results_of_the_cases_lie_as_numpys_do(name, tape):
    f, args, *_ = CASES[name]
    for layout in (np.ascontiguousarray, np.asfortranarray):
        args = [layout(a) if isinstance(a, np.ndarray) and a.ndim else a for a in args]
        vars = [tape.leaf(a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args]
        assert_ordered(results(f, (np, *vars)), results(f, (np, *args)))


@pytest.mark.parametrize(
    "words", ["ij,ij->ij", "ij,ij->ji", "ij,kj->ik", "ij,kj->ki", "ij->ji", "ij,j->i", "ij,k->jik"]
)
@pytest.mark.parametrize("order", ["K", "C", "F"])
def test_results_of_einsum_lie_as_numpys_do(words, order, tape):
    for layout in (np.ascontiguousarray, np.asfortranarray):
        args = [layout(X[0]) if len(word) == 2 else X[0, 0] for word in words.split("->")[0].split(",")]
        theirs = np.einsum(words, *args, order=order)
        assert_ordered([np.einsum(words, *map(tape.leaf, args), order=order)], [theirs])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_of_the_functions_lie_as_numpys_do(name, tape):
    for layout in (np.ascontiguousarray, np.asfortranarray):
        for x in (layout(np.abs(X[0])), layout(X[0, :, :3])):
            assert_ordered(results(FUNCTIONS[name], (np, tape.leaf(x))), results(FUNCTIONS[name], (np, x)))


# ---- what is said ---------------------------------------------------------------------------------------


def test_a_refusal_names_the_way_out(tape):
    a = tape.leaf(X).swapaxes(0, 1) + 1
    flat = a.reshape(-1)
    assert_allclose(np.sum(flat).value, np.sum(X + 1))  # to read both is no question
    a[0] = 2.0
    with pytest.raises(ValueError, match=r"v\.copy\(\)\.reshape"):
        np.sum(flat)
    assert_allclose(a[0].value, 2.0)  # nor is one of them
    flat = a.ravel()
    flat[0] = 5.0
    assert flat[0].value == 5.0
    for use in (np.sum, np.ravel, lambda a: a.T, lambda a: a.__setitem__(0, 1.0)):
        with pytest.raises(ValueError, match=REFUSED):
            use(a)
    b = flat.reshape(3, 2, 4).swapaxes(0, 1).copy()
    b.reshape(-1)[0] = 7.0
    assert b[0, 0, 0].value == 7.0
    with pytest.raises(ValueError, match='say order="C" or "F"'):
        (b.T * 1).ravel("A")


@pytest.mark.parametrize("order", ["K", "x"])
def test_unknown_orders_are_refused_by_name(order, tape):
    with pytest.raises(ValueError, match="order="):
        tape.leaf(X[0]).reshape(-1, order=order)
    with pytest.raises(ValueError, match="order="):
        np.ravel(tape.leaf(X[0]), order)
