"""Fusion: what a compiled program runs block by block is what the eager tape computes node by node.

Elementwise results and row-wise products must be the same bits.  A sum over rows is taken group by group: its
rounding differs by at most n units in the last place of the sum of the terms' sizes, for n terms (Higham,
Accuracy and Stability of Numerical Algorithms, section 4.2).
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
from wengert import numpy as wnp
from wengert.protocols.registry import append

DTYPES = ["float32", "float64"]
ROWS = [1, 2, 7, 64, 1000, 20011]


def numbers(dtype, *shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype(dtype)


def both(f, *args):
    """Eager and compiled results; the number of threads must not matter to the compiled ones."""
    pairs = wg.vjp(f, *args)[0]
    g = wg.compile(f)
    before = wg.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 4):
            wg.set_num_threads(threads)
            results.append(g(*args))
    finally:
        wg.set_num_threads(before)
    for result in results[1:]:
        for x, y in zip(result, results[0], strict=True):
            assert_array_equal(x, y)
    return pairs, results[0], g.program(*args).info["steps"]


# Of x (rows, 6), y (rows, 6), r (rows, 1), c (6,), w (6, 5): results that are the same bits, one region each.
SAME_BITS = {
    "chain": lambda x, y, r, c, w: np.tanh(x * y + 2.0) - x,
    "column": lambda x, y, r, c, w: np.exp(x + c) * c,
    "row": lambda x, y, r, c, w: (x * r) / (r + y),
    "outer sum of row and column": lambda x, y, r, c, w: np.sin(r + c) * x,
    "slices within rows": lambda x, y, r, c, w: np.sin(x)[:, 1:] * np.cos(y)[:, :-1],
    "reversed within rows": lambda x, y, r, c, w: np.sin(x)[:, ::-1] + y,
    "every other column": lambda x, y, r, c, w: np.sqrt(x)[:, ::2] * np.sqrt(y)[:, 1::2],
    "a column of a value": lambda x, y, r, c, w: np.sin(x)[:, 2:3] * y,
    "where": lambda x, y, r, c, w: np.where(x > y, x * c, np.exp(y)),
    "casts": lambda x, y, r, c, w: (x.astype("float64") * 2.0).astype("float32") + (x > y),
    "product": lambda x, y, r, c, w: np.tanh((x + c) @ w + 1.0),
    "product with a transpose": lambda x, y, r, c, w: np.tanh(np.tanh(x @ w) @ w.T + c),
    "product of a slice": lambda x, y, r, c, w: (np.sin(x)[:, 1:4] @ w[1:4]) * 2.0,
    "maximum of rows": lambda x, y, r, c, w: np.exp(x - np.max(x * y, axis=1, keepdims=True)),
    "sum of rows": lambda x, y, r, c, w: x / np.sum(np.exp(x), axis=1, keepdims=True),
    "three axes": lambda x, y, r, c, w: np.sum((x.reshape(-1, 2, 3) * 2.0).reshape(-1, 3, 2), axis=2) + 1.0,
}  # fmt: skip

# Sums over the rows, or within them over axes that are not the last.
SUMS = {
    "sum of an inner axis": lambda x, y, r, c, w: np.sum(np.sin(x).reshape(-1, 3, 2), axis=1) * 2.0,
    "sum of two inner axes": lambda x, y, r, c, w: np.sum(np.sin(x).reshape(-1, 3, 1, 2), axis=(1, 2)) * 2.0,
    "matrix of parts of rows": lambda x, y, r, c, w: np.sqrt(x).reshape(-1, 2).T @ (y * r).reshape(-1, 2),
    "total": lambda x, y, r, c, w: np.sum(x * y),
    "columns": lambda x, y, r, c, w: np.sum(np.exp(x) * c, axis=0),
    "matrix": lambda x, y, r, c, w: np.sqrt(x).T @ (y * r),
    "matrix of a slice": lambda x, y, r, c, w: np.sqrt(x)[:, 1:3].T @ np.exp(y)[:, ::2],
    "mean of logsumexp": lambda x, y, r, c, w: np.mean(wnp.logsumexp(x @ w, axis=1) * 2.0),
    "several": lambda x, y, r, c, w: np.sum((x - y) ** 2) + np.sum(np.sum(np.tanh(x @ w), axis=0) ** 2),
}


def operands(rows, dtype):
    return (
        numbers(dtype, rows, 6),
        numbers(dtype, rows, 6, seed=1),
        numbers(dtype, rows, 1, seed=2),
        numbers(dtype, 6, seed=3),
        numbers(dtype, 6, 5, seed=4),
    )


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SAME_BITS)
def test_rows_are_the_same_bits(name, dtype, rows):
    f = SAME_BITS[name]
    eager, compiled, steps = both(lambda *args: (f(*args),), *operands(rows, dtype))
    assert_array_equal(compiled[0], eager[0])
    assert steps == 1, "everything here is one region"


def added(x, window, part):
    """x with `part` added to a slice of it: what the cotangent of a slice is added to."""
    spans = [range(n)[w] for n, w in zip(x.shape, (*window, *[slice(None)] * x.ndim), strict=False)]
    attrs = [v for span in spans for v in (span.start, span.step, len(span))]
    return append("slice_add", x, part, attrs=tuple(attrs))


# Of t (rows, d, n), y (rows, 1, n), c (d, n) and r (rows, 1, 1): y and slices are read where they lie.
WITHIN_ROWS = {
    "repeated": lambda t, y, c, r: np.exp(y) * t + y,
    "repeated, then not": lambda t, y, c, r: (np.exp(y) * np.sin(t)) / np.cos(t),
    "repeated last": lambda t, y, c, r: (np.sin(t) - np.cos(t)) * np.exp(y),
    "two, and a row for all": lambda t, y, c, r: (c * np.exp(y)) - np.sin(y),
    "a number": lambda t, y, c, r: (np.exp(y) * 3.0) / np.sin(t),
    "a number of each row": lambda t, y, c, r: (np.exp(y) * t) - np.exp(r),
    "a slice": lambda t, y, c, r: np.sin(t)[:, 1:] - np.cos(t)[:, :-1],
    "a slice, and repeated": lambda t, y, c, r: np.sin(t)[:, 1:] * np.exp(y),
    "repeated, and a slice": lambda t, y, c, r: np.exp(y) * t[:, :-1] + c[1:],
    "a slice of what is repeated": lambda t, y, c, r: np.sin(t)[:, :1] * np.cos(t),
    "added to a part": lambda t, y, c, r: added(np.sin(t), (slice(None), slice(1, None)), np.cos(t)[:, 1:]),
    "added to the ends of parts": lambda t, y, c, r: (
        added(np.sin(t), np.s_[:, :, 1:], np.cos(t)[:, :, :-1]) * t
    ),
    "a slice's cotangent": lambda t, y, c, r: (
        wg.grad(lambda s: np.sum((s[:, 1:] - s[:, :-1]) * np.exp(y)))(np.sin(t)) - t
    ),
    "added to what is read again": lambda t, y, c, r: added(np.sin(t), np.s_[:, :1], np.exp(y)) * np.sin(t),
    "added twice": lambda t, y, c, r: added(
        added(np.sin(t), np.s_[:, 1:], np.sin(t)[:, :-1]), np.s_[:, :-1], np.cos(t)[:, 1:]
    ),
    "a sum of squares": lambda t, y, c, r: np.sum(np.sin(t) ** 2, axis=1) + np.sum(np.cos(t), axis=1),
    "a sum of products": lambda t, y, c, r: np.sum(np.sin(t) * np.exp(y), axis=1, keepdims=True) * y,
    "sums of the same": lambda t, y, c, r: (
        np.sum(np.sin(t) * c, axis=1) - np.sum(np.sin(t) - r, axis=1) / np.sum(t[:, 1:] / np.exp(y), axis=1)
    ),
    "less a negative": lambda t, y, c, r: np.sin(t) - (-np.exp(y)) + (-t),
    "times a negative": lambda t, y, c, r: (-np.sin(t)) * np.exp(y) * (-y),
}


@pytest.mark.parametrize(("rows", "d", "n"), [(1, 3, 16), (2, 2, 40), (70, 6, 32), (70, 5, 17), (300, 2, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITHIN_ROWS)
def test_parts_of_rows_are_the_same_bits(name, dtype, rows, d, n):
    shapes = (rows, d, n), (rows, 1, n), (d, n), (rows, 1, 1)
    arrays = [numbers(dtype, *shape, seed=k) for k, shape in enumerate(shapes)]
    eager, compiled, steps = both(lambda *args: [WITHIN_ROWS[name](*args)], *arrays)
    assert_array_equal(compiled[0], eager[0])
    assert steps == 1


# Of x (planes, n), y (planes, n + 1), r (n,), c (planes, 1): by elements in all planes, or by rows.
PLANES = {
    "the same for all": (lambda x, y, r, c: np.tanh(x * r) - r / x, True),
    "from rows with gaps": (lambda x, y, r, c: x * y[:, 1:] - np.sqrt(y[:, :-1]) / (1.0 + x), True),
    "in reverse": (lambda x, y, r, c: np.exp(x[::-1] + r) * y[::-1, 1:] - x, True),
    "of every dtype": (lambda x, y, r, c: np.where(x > r, y[:, 1:], r.astype("int64").astype(x.dtype)), True),
    "a result that is read on": (lambda x, y, r, c: np.stack([t := np.sin(x * r), t * r + t]), True),
    "three axes": (lambda x, y, r, c: (x * 2.0).reshape(len(x), 3, -1) * r.reshape(3, -1) + 1.0, True),
    "one of several": (lambda x, y, r, c: x * r[None] + y[:1, 1:], True),
    "by columns": (lambda x, y, r, c: x * c + r, False),
    "a value turned round": (lambda x, y, r, c: np.sin(x * r)[:, ::-1] * x, False),
    "planes turned round": (lambda x, y, r, c: np.sin(x * r)[::-1] * x, True),
    "maxima of rows": (lambda x, y, r, c: x * r - np.max(x, axis=1, keepdims=True), False),
}  # fmt: skip


@pytest.mark.parametrize(("planes", "n"), [(2, 4101), (3, 20001), (65, 4101), (3, 1002)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PLANES)
def test_long_rows_are_planes_of_elements(name, dtype, planes, n):
    f, by_elements = PLANES[name]
    shapes = (planes, n), (planes, n + 1), (n,), (planes, 1)
    arrays = [numbers(dtype, *shape, seed=k) for k, shape in enumerate(shapes)]
    eager, compiled, _ = both(lambda *args: (f(*args),), *arrays)
    assert_array_equal(compiled[0], eager[0])
    explained = wg.compile(f).program(*arrays).explain()
    assert (f": {planes} rows" not in explained) == (by_elements and n > 4096 and planes < 65)


# Of x (6,), w (6, 50), b (50,), v (50, 3): one region of one row each, in which a vector is a row.
VECTORS = {
    "a layer": lambda x, w, b, v: np.tanh(x @ w + b) @ v,
    "reversed": lambda x, w, b, v: np.tanh(x @ w)[::-1] * b,
    "every other": lambda x, w, b, v: np.sin(x @ w)[::2] @ v[::2],
    "a number of a vector": lambda x, w, b, v: np.sin(x @ w) * (x @ w)[3:4],
    "a vector and a matrix": lambda x, w, b, v: np.exp((x @ w)[:, None] * v) - v,
    "columns of a matrix": lambda x, w, b, v: np.exp((x @ w) - w) * b,
    "turned": lambda x, w, b, v: np.exp((x @ w).reshape(5, 10)).T * 2.0,
    "halves exchanged": lambda x, w, b, v: np.exp((x @ w).reshape(2, 25))[::-1] * b.reshape(2, 25),
    "a half, and again": lambda x, w, b, v: np.exp((x @ w).reshape(2, 25))[1:] * b.reshape(2, 25),
    "a sum": lambda x, w, b, v: np.sum(np.cos(x @ w)) * b,
    "a sum of what is turned": lambda x, w, b, v: np.sum(np.cos((x @ w).reshape(5, 10)).T[1:]) * b,
    "casts": lambda x, w, b, v: ((x @ w) > 1.0).astype("float32") + np.where((x @ w) > b, b, 2.0),
    "outer product": lambda x, w, b, v: (x @ w)[:, None] @ np.tanh((x @ w) @ v)[None] + v,
    "wide": lambda x, w, b, v: (x @ w) + np.ones((90, 1)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VECTORS)
def test_vectors_are_rows(name, dtype):
    shapes = (6,), (6, 50), (50,), (50, 3)
    args = [numbers(dtype, *shape, seed=k) for k, shape in enumerate(shapes)]
    f = VECTORS[name]
    eager, compiled, steps = both(lambda *args: [f(*args)], *args)
    close = np.finfo(dtype).eps * 50 if "sum of what" in name else 0  # eager, a sum follows the memory
    assert_allclose(compiled[0], eager[0], rtol=0, atol=50 * close)
    assert steps == (2 if name in ("wide", "outer product") else 1)  # rows that are threads' to share
    gradient = wg.grad(lambda *args: np.sum(np.sin(f(*args))), (0, 1, 2, 3))
    for x, y in zip(wg.compile(gradient)(*args), gradient(*args), strict=True):
        # of 150 terms, each as large as the largest result, about
        assert_allclose(x, y, rtol=0, atol=300 * np.finfo(dtype).eps * np.max(np.abs(y)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_of_planes(dtype):
    x, r = numbers(dtype, 3, 20001), numbers(dtype, 20001, seed=1)
    eager, compiled, steps = both(lambda x, r: (np.sum(t := x * r), t), x, r)
    assert_allclose(compiled[0], eager[0], rtol=x.size * np.finfo(dtype).eps)
    assert_array_equal(compiled[1], eager[1])
    assert steps == 1


@pytest.mark.parametrize("rows", ROWS[1:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_a_product_may_be_parts_of_rows(dtype, rows):
    """As tangents of a batch of points are: (rows, directions, inputs) is multiplied as a matrix."""

    def f(x, y, r, c, w):
        hidden = np.tanh((np.sin(x).reshape(-1, 3) @ w[:3]).reshape(-1, 2, 5) * r[:, :, None])
        return (np.sum(hidden, axis=1), (hidden.reshape(-1, 5) @ w.T).reshape(-1, 12) + r)

    eager, compiled, steps = both(f, *operands(rows, dtype))
    assert_allclose(compiled[0], eager[0], rtol=4 * np.finfo(dtype).eps)  # sums of two
    assert_array_equal(compiled[1], eager[1])
    assert steps == 1
    external = wg.compile(lambda x, w: np.exp(x.reshape(-1, 2) @ w[:2]).reshape(-1, 15) + 1.0)
    x, w = operands(rows, dtype)[0], operands(rows, dtype)[4]
    assert_allclose(external(x, w), np.exp(x.reshape(-1, 2) @ w[:2]).reshape(-1, 15) + 1, rtol=1e-6)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SUMS)
def test_sums_over_rows(name, dtype, rows):
    f = SUMS[name]
    eager, compiled, _ = both(lambda *args: (f(*args),), *operands(rows, dtype))
    # the terms are positive or of like size; "several" adds two sums
    assert_allclose(compiled[0], eager[0], rtol=4 * rows * np.finfo(dtype).eps)


@pytest.mark.parametrize("rows", [64, 1000])  # two groups of rows, and more
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_that_are_added_in_shares(dtype, rows):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(rows, n)).astype(dtype) for n in (49, 65))  # 12 kB of float32
    eager, compiled, steps = both(lambda x, y: (np.exp(x).T @ np.exp(y),), x, y)
    assert_allclose(compiled[0], eager[0], rtol=4 * rows * np.finfo(dtype).eps)  # positive terms
    assert steps == 1, "everything here is one region"


@pytest.mark.parametrize("rows", [1, 7, 1000, 5003])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*SAME_BITS, *SUMS])
def test_gradients(name, dtype, rows):
    f = {**SAME_BITS, **SUMS}[name]
    gradient = wg.grad(lambda *args: np.sum(f(*args)) / rows, argnums=(0, 1, 2, 3, 4))
    args = operands(rows, dtype)
    eager, compiled = gradient(*args), wg.compile(gradient)(*args)
    for x, y in zip(compiled, eager, strict=True):
        assert x.dtype == y.dtype
        assert_allclose(
            x, y, rtol=1e3 * np.finfo(dtype).eps, atol=100 * np.finfo(dtype).eps * np.abs(y).max()
        )


def test_a_value_that_is_also_a_result():
    def f(x, w):
        h = np.tanh(x @ w)
        return h, h * 2.0, np.sum(h * h, axis=1)

    x, w = numbers("float64", 300, 4), numbers("float64", 4, 3)
    for ours, theirs in zip(wg.compile(f)(x, w), f(x, w), strict=True):
        assert_allclose(ours, theirs, rtol=1e-14)


def test_a_value_that_waits_for_a_sum_of_its_own_rows():
    def f(x):
        centred = x - np.mean(x, axis=0)
        return centred / np.sqrt(np.mean(centred**2, axis=0))

    x = numbers("float64", 5000, 3)
    assert_allclose(wg.compile(f)(x), f(x), atol=5000 * np.finfo("float64").eps)


def test_regions_that_read_from_one_another_in_turn():
    def f(x, y):  # two sizes of rows, each waiting for the other's sums
        a, b = np.sin(x), np.cos(y)
        for _ in range(5):
            a, b = a * np.sum(b, axis=0) + 1.0, np.sqrt(np.abs(b)) * np.mean(a, axis=0)
        return a, b

    x, y = numbers("float64", 50, 3), numbers("float64", 70, 3)
    for ours, theirs in zip(wg.compile(f)(x, y), f(x, y), strict=True):
        assert_allclose(ours, theirs, rtol=1e-12)


def test_more_regions_than_one_generation():
    def f(x):  # what is read from its end starts a region anew
        for k in range(200):
            x = (np.sin(x) + k)[::-1] * 0.5
        return x

    x = numbers("float64", 30)
    assert_array_equal(wg.compile(f)(x), wg.vjp(f, x)[0])


def test_a_donated_argument_is_overwritten_inside_a_region():
    def step(theta, velocity, slope):
        velocity = 0.9 * velocity + slope
        return theta - 0.1 * velocity, velocity

    f = wg.compile(step, donate_argnums=(0, 1))
    theta, velocity, slope = (
        numbers("float32", 3000),
        np.zeros(3000, "float32"),
        numbers("float32", 3000, seed=1),
    )
    wanted = step(theta, velocity, slope)
    results = f(theta, velocity, slope)
    assert results[0] is theta
    assert results[1] is velocity
    for ours, theirs in zip(results, wanted, strict=True):
        assert_allclose(ours, theirs, rtol=1e-6)
    assert f.program(theta, velocity, slope).info["steps"] == 1
    assert f.program(theta, velocity, slope).info["arena_bytes"] == 0


def test_a_donated_argument_that_is_read_later_is_saved():
    def f(x, y):
        a = np.sin(x)
        return a, np.sum(x * y) + a[::-1] * x

    g = wg.compile(f, donate_argnums=0)
    x, y = numbers("float64", 500), numbers("float64", 500, seed=1)
    wanted = f(x.copy(), y)
    for ours, theirs in zip(g(x, y), wanted, strict=True):
        assert_allclose(ours, theirs, rtol=1e-13)


def test_a_long_chain_of_numbers_is_one_region():
    def f(x):
        z = x
        for _ in range(3000):
            z = np.sin(z) * 0.9 + x
        return z

    g = wg.compile(wg.grad(f))
    assert_allclose(g(0.3), wg.grad(f)(0.3), rtol=1e-12)
    assert g.program(0.3).info["steps"] == 1


# ---- what is put together is computed in its place ------------------------------------------------------


def assembled(f, *args, donate=()):
    """Compiled results against eager ones, bit for bit, and the program's numbers."""
    wanted = wg.vjp(lambda *args: wg.tree_map(wnp.asarray, f(*args)), *[np.copy(x) for x in args])[0]
    g = wg.compile(f, donate_argnums=donate)
    info = g.program(*args).info
    results = g(*args)
    for ours, theirs in zip(results, wanted, strict=True):
        assert_array_equal(ours, theirs)
    return info


def test_parts_of_a_concatenation_need_no_copies():
    x, y = numbers("float64", 40, 3), numbers("float64", 25, 3)
    info = assembled(lambda x, y: (np.concatenate([np.sin(x), np.cos(y)[::-1] * 2.0, np.exp(x)]),), x, y)
    assert info["steps"] == 3  # two sizes of rows, one of them read from its end
    assert info["arena_bytes"] <= 25 * 3 * 8 + 64


def test_parts_of_parts():
    def f(x):
        inner = np.concatenate([np.sin(x), np.cos(x)])
        return np.concatenate([np.exp(x), inner, x]), np.sum(inner)

    assembled(f, numbers("float64", 12))


def test_a_part_that_is_also_a_result_and_read_later():
    def f(x):
        a, b = np.sin(x), np.cos(x)
        both = np.concatenate([a, b, a])
        return both * 2.0, a, both, b[::-1] + a

    assembled(f, numbers("float64", 12))


def test_a_concatenation_over_a_donated_argument():
    def f(x, y):
        return (np.concatenate([np.sin(x[:5]), np.cos(x[3:])]), np.sum(x * y))

    assembled(f, numbers("float64", 10)[:8].copy(), numbers("float64", 8, seed=1), donate=0)


def test_a_flat_gradient_is_written_part_by_part():
    def loss(theta, x):
        w, b = theta[:12].reshape(4, 3), theta[12:]
        return np.mean(np.tanh(x @ w + b) ** 2)

    g = wg.compile(wg.grad(loss))
    theta, x = numbers("float64", 15), numbers("float64", 50, 4)
    assert_allclose(g(theta, x), wg.grad(loss)(theta, x), rtol=1e-13)
    assert g.program(theta, x).info["steps"] == 1
    assert g.program(theta, x).info["arena_bytes"] == 0


def test_a_flat_gradient_with_gaps_and_overlaps():
    def loss(theta):
        return np.sum(theta[:4] ** 2) + np.sum(np.sin(theta[2:6])) + np.sum(theta[8:] ** 3)

    theta = numbers("float64", 12)
    assert_array_equal(wg.compile(wg.grad(loss))(theta), wg.grad(loss)(theta))


def test_the_same_node_is_computed_once():
    x = numbers("float64", 30)[::-1].copy()
    once = wg.compile(lambda x: np.sin(x[::-1]) * 2.0).program(x).info
    twice = wg.compile(lambda x: np.sin(x[::-1]) + np.sin(x[::-1])).program(x).info
    assert once["steps"] == twice["steps"] == 1
    assert twice["scratch_bytes"] <= once["scratch_bytes"]


def test_what_ieee_arithmetic_distinguishes_stays_apart():
    x = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0])
    for f in (
        lambda x: x + 0.0,
        lambda x: x - 0.0,
        lambda x: 0.0 - x,
        lambda x: x * 1.0,
        lambda x: x * 0.0,
        lambda x: x / 1.0,
        lambda x: x - x,
        lambda x: x[:] * 1.0,
        lambda x: x[::-1][0:6] * 1.0,
        lambda x: x * (2.0 * 0.5) + (1.0 - 1.0),
    ):
        with np.errstate(invalid="ignore"):
            ours, theirs = wg.compile(f)(x), f(x)
        assert_array_equal(ours, theirs)
        assert_array_equal(np.signbit(ours[:2]), np.signbit(theirs[:2]))


def test_groups_of_few_elements_have_a_block_each():
    """Much work on few elements: a group without any would leave its part of the sum unwritten."""

    def f(x):
        y = x
        for _ in range(1500):
            y = np.sin(y + x)
        return np.sum(y)

    program = wg.compile(f)
    for n in (1, 63, 64, 65, 100, 128, 130, 300):
        x = np.linspace(0, 1, n)
        np.testing.assert_allclose(program(x), f(x), rtol=1e-13)


# Of p, a product outside of the region, and a matrix v.  How many blocks of their size are in use at once: a
# result takes over that of p if the region reads p as the result is written, and not later.
BLOCKS = {
    "read once": (lambda p, v: np.tanh(p + 1) @ v, 1),
    "read until the result is written": (lambda p, v: np.tanh(p * np.tanh(p + 1)) @ v, 1),
    "two results": (lambda p, v: (np.tanh(p + 1) @ v) @ (np.tanh(p) @ v), 3),
    "read later, by the second of two": (lambda p, v: np.tanh(p) @ v + (np.tanh(p) * p) @ v, 2),
    "a row's maximum before": (lambda p, v: np.tanh(p - p.max(1)[:, None]) @ v, 1),
    "a row's sum later, by the second of two": (
        lambda p, v: np.tanh(p) @ v + (np.tanh(p) + p.sum(1)[:, None]) @ v,
        2,
    ),
    "a row's sum later, by none": (lambda p, v: np.tanh(p) @ v * (p.sum(1)[:, None] * 2), 2),
    "turned": (lambda p, v: (np.tanh(p) + p.T) @ v, 2),
    "a column of it": (lambda p, v: (np.tanh(p) + p[:, :1]) @ v, 2),
    "other readers": (lambda p, v: np.tanh(p) @ p, 2),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BLOCKS)
def test_a_result_takes_over_what_its_region_is_the_last_to_read(name, dtype):
    f, blocks = BLOCKS[name]
    x, w, v = (numbers(dtype, 200, 200, seed=seed) / 200 for seed in range(3))
    eager, compiled, _ = both(lambda x, w, v: (f(x @ w, v),), x, w, v)
    assert_array_equal(compiled[0], eager[0])
    assert wg.compile(lambda x, w, v: f(x @ w, v)).program(x, w, v).info["arena_bytes"] // x.nbytes == blocks
