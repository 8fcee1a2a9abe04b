"""Regions of long rows: numbers of each row, signs, rows that an index picks or that others are added to."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_regions import DTYPES, both, numbers

import wengert as wg
from wengert import numpy as wnp


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 10, 16, 63, 64, 65, 200])
def test_a_column_is_repeated_along_rows_of_any_width(width, dtype):
    rng = np.random.default_rng(width)
    column, full = (rng.integers(-9, 9, size).astype(dtype) for size in ((37, 1), (37, width)))
    choose = wg.compile(lambda column, full: wnp.where(full > 0, column, full) * 2)
    assert np.array_equal(choose(column, full), np.where(full > 0, column, full) * 2)


# Of x (rows, width), a column c and the rows' sums s: arithmetic with a number for each row.
BY_ROWS = {
    "first": lambda x, c, s: c * x,
    "second": lambda x, c, s: (x + x * x) / s,
    "both": lambda x, c, s: np.exp(x - c) / s,
    "of a tile": lambda x, c, s: (np.tanh(x) - s) * np.tanh(x),
    "beside a repeated part": lambda x, c, s: np.reshape(
        np.reshape(x, (len(x), 2, -1)) * np.tanh(x)[:, None, : x.shape[1] // 2] + c[:, None], x.shape
    ),
    "and down": lambda x, c, s: np.sum((x - s) * c, axis=0),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "width"), [(1, 64), (37, 62), (37, 64), (37, 66), (301, 500)])
@pytest.mark.parametrize("name", BY_ROWS)
def test_a_number_of_each_row_is_one_vector(name, rows, width, dtype):
    x, c = numbers(dtype, rows, width), numbers(dtype, rows, 1, seed=1)
    eager, compiled, _ = both(lambda x, c: (BY_ROWS[name](x, c, np.sum(x, 1, keepdims=True)),), x, c)
    exact = rows * np.finfo(dtype).eps if name == "and down" else 0
    assert_allclose(compiled[0], eager[0], rtol=0, atol=exact * np.abs(eager[0]).max())


def test_a_number_of_each_row_takes_no_row_of_memory():
    share = wg.compile(lambda x: x / np.sum(x, axis=1, keepdims=True))
    text = share.program(numbers("float32", 200, 1000)).explain()
    assert "5 at a time, 640 bytes of tiles" in text, text  # for each row its sum, and that as a vector


# What becomes of a, b (300, 40): ops that run, bit for bit what was recorded.
REWRITTEN = {
    "twice": (lambda a, b: (np.exp(a) + np.exp(a)) * b, "exp mul x2"),
    "turned and less": (lambda a, b: np.exp(-a - b), "mul sub exp"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REWRITTEN)
def test_arithmetic_that_pairs(name, dtype):
    f, ops = REWRITTEN[name]
    a, b = numbers(dtype, 300, 40), numbers(dtype, 300, 40, seed=1)
    eager, compiled, _ = both(lambda a, b: (f(a, b),), a, b)
    assert_array_equal(compiled[0], eager[0])
    assert wg.compile(f).program(a, b).explain().splitlines()[-1].split() == ops.split()


# ---- rows that an index picks ---------------------------------------------------------------------------


def picked(x, labels):
    """A loss of logits, whose gradient is dense but for what one of each row adds."""
    return np.sum(np.sum(np.exp(x), axis=1) - x[np.arange(len(labels)), labels])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_an_index_picks_are_added_to_what_is_there(dtype):
    """Not to zeros that are written and read again: one array, the same bits where no place comes twice."""
    x, labels = numbers(dtype, 300, 400), np.arange(300) * 7 % 400
    compiled = wg.compile(wg.grad(picked))
    assert_array_equal(compiled(x, labels), wg.grad(picked)(x, labels))
    assert compiled.program(x, labels).info["arena_bytes"] < 0.1 * x.nbytes


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_an_index_picks_again_and_again(dtype):
    """n terms in another order: (n - 1) rounding errors of their sum at most, n = 300 / 3 + 2."""

    def loss(x, i, v):
        return np.sum(x[i] * v) + np.sum(x * x) + np.sum(np.exp(x))

    x, v, i = numbers(dtype, 400, 300), numbers(dtype, 300, 300, seed=1), np.arange(300) % 3
    eager, compiled = wg.grad(loss)(x, i, v), wg.compile(wg.grad(loss))(x, i, v)
    assert_allclose(compiled, eager, rtol=101 * np.finfo(dtype).eps, atol=0)
    assert_array_equal(compiled[3:], eager[3:])


# ---- cotangents of shifted rows -----------------------------------------------------------------------


def differences(u):
    here = u[:-1, :-1]
    return np.sum(u * u) + np.sum(np.sin(u[1:, :-1] - here) * (u[:-1, 1:] - here))


# Sums over an image u: how many steps their gradients take.  All is added while a block of rows is in cache.
SHIFTED = {
    "differences": (differences, 2),
    "a stencil": (lambda u: np.sum(np.exp(u[2:, 1:-1] + u[:-2, 1:-1] - 2 * u[1:-1, 1:-1])), 2),
    "rows far apart": (lambda u: np.sum(np.exp(u[:-9] * u[9:])), 2),
    "the last two thirds": (lambda u: np.sum(np.sin(u)) + np.sum(np.cos(u[len(u) // 3 :])), 2),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(100, 100), (301, 90), (70, 40, 3)])
@pytest.mark.parametrize("name", SHIFTED)
def test_what_is_added_to_some_rows_is_added_block_by_block(name, shape, dtype):
    f, steps = SHIFTED[name]
    u = numbers(dtype, *shape)
    before = wg.get_num_threads()
    try:
        for threads in (1, 2, 3):
            wg.set_num_threads(threads)
            compiled = wg.compile(wg.grad(f))
            assert_array_equal(compiled(u), wg.grad(f)(u))
    finally:
        wg.set_num_threads(before)
    assert compiled.program(u).info["steps"] == steps
