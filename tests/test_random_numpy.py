"""Random NumPy programs of 5 to 40 steps: indexing, broadcasting, reductions, products, views, writes.

What a step may do depends on shapes and values, so a program is made by running it on plain arrays; then it
is run by complex step, and its Jacobian is taken in both modes: through NumPy's protocols, wengert.numpy and
compiled.
"""

from contextlib import contextmanager

import numpy
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import wengert as wg
import wengert.numpy as wnp

X = numpy.cos(numpy.arange(12.0) * 1.7).reshape(3, 4)
Y = numpy.array([0.6, -1.1, 0.35, 1.4])
LARGE = 3.0  # a result beyond is followed by tanh, so that nothing overflows

UNARY = {
    "sin": lambda np, a: np.sin(a),
    "tanh": lambda np, a: np.tanh(a),
    "square": lambda np, a: a**2 / 2,
    "quotient": lambda np, a: a / (2 + a * a),
    "bell": lambda np, a: np.exp(-(a * a)),
    "cumsum": lambda np, a: np.cumsum(a, axis=0),
    "roll": lambda np, a: np.roll(a, 1, axis=-1),
    "diff": lambda np, a: np.diff(a, axis=0),
    "pad": lambda np, a: np.pad(a, 1),
    "tile": lambda np, a: np.tile(a, 2),
    "copy": lambda np, a: a.copy(),
}
VIEWS = {
    "transpose": lambda np, a: a.T,
    "reversed": lambda np, a: a[::-1],
    "every other": lambda np, a: a[..., ::2],
    "rest": lambda np, a: a[1:],
    "row": lambda np, a: a[0],
    "new axis": lambda np, a: a[:, None],
    "reshape": lambda np, a: a.reshape(2, -1),
    "ravel": lambda np, a: np.ravel(a),
    "swapaxes": lambda np, a: np.swapaxes(a, 0, -1),
    "diagonal block": lambda np, a: a[:2, :2],
}
RESHAPES = (VIEWS["reshape"], VIEWS["ravel"])
REDUCTIONS = {
    "sum": lambda np, a: np.sum(a, axis=0),
    "mean": lambda np, a: np.mean(a, axis=-1, keepdims=True),
    "var": lambda np, a: np.sum((a - np.mean(a)) ** 2),
    "prod": lambda np, a: np.prod(np.tanh(a), axis=-1),
    "integers": lambda np, a: a[[0, -1, 0]],
    "mask": lambda np, a: a[numpy.arange(len(a)) % 2 == 0],
    "trace": lambda np, a: np.trace(a),
}
ORDERED = {  # complex numbers are ordered by their real parts: where those differ, complex step serves
    "max": lambda np, a: np.max(a, axis=0),
    "min": lambda np, a: np.min(a),
    "sort": lambda np, a: np.sort(a, axis=-1),
    "positive": lambda np, a: np.where(a > 0, a * a, -a),
    "clip": lambda np, a: np.maximum(a, 0.1),
}
BINARY = {
    "add": lambda np, a, b: a + b,
    "subtract": lambda np, a, b: b - a,
    "multiply": lambda np, a, b: a * b,
    "divide": lambda np, a, b: a / (3 + b * b),
    "matmul": lambda np, a, b: a @ b,
    "outer": lambda np, a, b: np.multiply.outer(a[0], b[0]),
    "concatenate": lambda np, a, b: np.concatenate([a, b], axis=0),
    "stack": lambda np, a, b: np.stack([a, b], axis=-1),
    "einsum": lambda np, a, b: np.einsum("ij,ij->j", a, b),
    "where": lambda np, a, b: np.where(numpy.arange(a.shape[-1]) % 2 == 0, a, b),
}
KEYS = [
    0, -1, slice(1, 3), slice(None, None, -2), [0, 2], [1, 1], (Ellipsis, 0), (slice(None), slice(1, None)),
    (0, [0, 2]), numpy.array([True, False, True]),
]  # fmt: skip


def set_item(np, a, b, key):
    a[key] = np.tanh(b)


def add_to(np, a, b, key):
    a += np.tanh(b)


def scale(np, a, b, key):
    a *= np.tanh(b)


def subtract_from_part(np, a, b, key):
    a[key] -= np.sin(b)


def add_at(np, a, b, key):
    np.add.at(a, key, np.sum(np.tanh(b)))  # of an array that does not fit NumPy 2.3's ends the process


def multiply_out(np, a, b, key):
    np.multiply(a, np.cos(b), out=a)


def copy_where(np, a, b, key):
    np.copyto(a, np.sin(b), where=numpy.arange(a.shape[-1]) % 3 > 0)


def positive_part(np, a, b, key):
    a[...] = np.where(np.real(a) > 0.137, np.tanh(b), a)


def masked(np, a, b, key):
    a[numpy.arange(len(a)) % 2 == 1] *= np.cos(b)


WRITES = {
    f.__name__: f
    for f in (
        set_item, add_to, scale, subtract_from_part, add_at, multiply_out, copy_where, positive_part, masked,
    )
}  # fmt: skip
KINDS = [UNARY, VIEWS, REDUCTIONS, ORDERED, BINARY, WRITES, WRITES]


def distinct(a):
    """Whether the real parts of an array, and 0.1 and 0, lie apart."""
    values = numpy.sort(numpy.append(numpy.real(a).ravel(), [0.0, 0.1]))
    return bool(numpy.all(numpy.diff(values) > 1e-6))


def build(choices):
    """The steps that plain NumPy takes, each a function of (np, arrays) that changes the list of arrays.

    A choice whose shapes do not fit is tried with the next function and other operands.
    """
    arrays, steps = [X * 1.0, Y * 1.0], []
    for kind, name, i, j, k in choices:
        for attempt in range(10):
            step = fitting(arrays, kind, name + attempt, i + attempt, j + 3 * attempt, k + attempt)
            if step is not None:
                step(numpy, arrays)
                assert all(numpy.all(numpy.isfinite(x)) for x in arrays)
                steps.append(step)
                break
    return steps


def fitting(arrays, kind, name, i, j, k):
    """One step, or None where NumPy does not take it."""
    table = KINDS[kind % len(KINDS)]
    function, key = list(table.values())[name % len(table)], KEYS[k % len(KEYS)]
    first, second = i % len(arrays), j % len(arrays)
    a = arrays[first]
    if (table is ORDERED and not distinct(a)) or (not a.ndim and table not in (BINARY, WRITES)):
        return None
    if function in RESHAPES and not a.flags.c_contiguous:
        return None  # which may be a view or not, see test_views.py

    def write(np, arrays):
        function(np, arrays[first], arrays[second], key)

    given = (first, second)[: 2 if table is BINARY else 1]
    try:
        if table is WRITES:
            write(numpy, [x.copy() for x in arrays])
            return write
        result = function(numpy, *(arrays[n] for n in given))
    except (ValueError, IndexError, TypeError):  # the shapes do not fit
        return None
    if numpy.size(result) > 60 or not numpy.size(result) or numpy.ndim(result) > 3:
        return None
    tame = bool(numpy.max(numpy.abs(result)) > LARGE)

    def step(np, arrays):
        y = function(np, *(arrays[n] for n in given))
        arrays.append(np.tanh(y) if tame else y)

    return step


def run(steps, np, x, y):
    """A number for each array at the end: what is overwritten counts, and what was seen before, too."""
    arrays = [x * 1.0, y * 1.0]
    for step in steps:
        step(np, arrays)
    return np.stack([np.sum(a * numpy.cos(numpy.arange(a.size)).reshape(a.shape)) for a in arrays])


@contextmanager
def kept_or_named():
    """Leaves out the program, one in a thousand, whose reshape may be a view or not, and that says so."""
    try:
        yield
    except ValueError as error:
        assert "take the reshape of a copy" in str(error)  # noqa: PT017
        reject()


CHOICE = st.tuples(*[st.integers(0, 99)] * 5)
CHOICES = st.integers(5, 40).flatmap(
    lambda n: st.lists(CHOICE, min_size=n, max_size=n)
)  # short ones are no rarer


@given(CHOICES)
@settings(max_examples=50)
def test_random_programs(choices):
    steps = build(choices)
    expected = run(steps, numpy, X, Y)
    h = 1e-30j
    columns = [
        (run(steps, numpy, X + h * e[:12].reshape(3, 4), Y + h * e[12:]) / h.imag).imag for e in numpy.eye(16)
    ]
    exact = numpy.stack(columns, 1)
    room = 1e-10 * (1 + numpy.max(numpy.abs(exact)))
    for np in (numpy, wnp):
        f = lambda x, y, np=np: run(steps, np, x, y)
        with kept_or_named():
            found = wg.vjp(f, X, Y)[0]
        assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
        takes = [wg.jacrev(f, (0, 1)), wg.jacfwd(f, (0, 1))]
        for jacobian in (*takes, *map(wg.compile, takes)):
            by_x, by_y = jacobian(X, Y)
            found = numpy.concatenate([by_x.reshape(-1, 12), by_y], 1)
            assert_allclose(found, exact, rtol=1e-9, atol=room)


@given(CHOICES)
@settings(max_examples=30)
def test_random_programs_at_order_two(choices):
    """The Hessian of a sum: symmetric, and the same for all mixes of modes."""
    steps = build(choices[:20])
    f = lambda x: numpy.sum(numpy.sin(run(steps, numpy, x, Y + 0 * x[0])))
    with kept_or_named():
        hessian = wg.jacfwd(wg.grad(f))(X).reshape(12, 12)
    room = 1e-9 * (1 + numpy.max(numpy.abs(hessian)))
    assert_allclose(hessian, hessian.T, atol=room)
    mixed = wg.jacrev(wg.jacfwd(f)), wg.jacfwd(wg.jacfwd(f)), wg.compile(wg.jacrev(wg.jacrev(f)))
    for other in mixed:
        assert_allclose(other(X).reshape(12, 12), hessian, rtol=1e-9, atol=room)
