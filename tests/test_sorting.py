"""Sorting against NumPy's stable sort: dtypes, lengths, layouts, numbers of threads, and ties."""

import itertools
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracle import Core, run

import wengert as wg
import wengert.numpy as wnp

DTYPES = ("bool", "int32", "int64", "float32", "float64")
FLOATS = ("float32", "float64")
# around a vector, what a network and what a pass over bytes takes, and where lines go from one to the other
LENGTHS = (*range(71), 127, 128, 129, 255, 256, 257, 1000, 2047, 2049, 4097)


def argsort(x, axis=-1, falling=0):
    m = Core()
    return m.op("argsort", m.array(x), attrs=(axis % x.ndim, falling, 0)).value


def falling_order(x, axis=-1):
    """Equal elements in their order, NaN first: the turned array's order, turned."""
    n = x.shape[axis]
    return np.flip(n - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)


def same_bits(found, expected, message=""):
    """NaN have payloads and zeros a sign, which a stable sort keeps in their order."""
    as_bytes = [np.ascontiguousarray(a).view(f"u{a.dtype.itemsize}") for a in (found, expected)]
    assert_array_equal(*as_bytes, message)


def in_order(x, axis=-1):
    return np.take_along_axis(x, np.argsort(x, axis, kind="stable"), axis)


def of(kind, dtype, shape, rng):
    """Numbers of a kind, as far as the dtype has them."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    info = np.finfo(dtype) if dtype in FLOATS else np.iinfo(dtype)
    if kind == "ties":
        return rng.integers(-2, 3, shape).astype(dtype)
    if kind == "any":
        bits = rng.integers(-(2**63), 2**63 - 1, shape).astype(f"i{np.dtype(dtype).itemsize}")
        return bits.view(dtype)
    if kind == "edges":
        edges = [info.min, info.max, 0, 1, -1]
        if dtype in FLOATS:
            tiny = info.smallest_subnormal
            edges += [np.nan, -np.nan, np.inf, -np.inf, -0.0, tiny, -tiny]
        return rng.choice(np.array(edges, dtype), shape)
    if kind == "plain":  # neither NaN nor -0, but what no network may take for its own mark
        edges = [info.min, info.max, 0, 1, -1, *([np.inf, -np.inf] if dtype in FLOATS else [])]
        return np.where(
            rng.uniform(size=shape) < 0.2,
            rng.choice(np.array(edges, dtype), shape),
            rng.integers(-100, 100, shape).astype(dtype),
        )
    # neighbours far from the smallest one: their ranks differ in the lowest bits alone
    near = np.array(1, dtype).view(f"i{np.dtype(dtype).itemsize}") + rng.integers(0, 50, shape)
    near = near.astype(f"i{np.dtype(dtype).itemsize}").view(dtype)
    return np.where(rng.uniform(size=shape) < 0.05, np.array(info.min, dtype), near)


KINDS = ("any", "ties", "edges", "near", "plain")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_lines_of_every_length(kind, dtype, rng):
    for n in LENGTHS:
        for lines in (1, 3, 17) if n < 1000 else (1, 5):
            x = of(kind, dtype, (lines, n), rng)
            assert_array_equal(argsort(x), np.argsort(x, kind="stable"), f"{lines} x {n}")
            assert_array_equal(argsort(x, falling=1), falling_order(x), f"{lines} x {n}, falling")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_elements_alone(kind, dtype, rng):
    """A program that only wants the sorted elements, against those that the permutation picks."""
    for n in LENGTHS:
        for lines in (1, 3, 16, 35) if n < 1000 else (1, 17):
            x = of(kind, dtype, (lines, n), rng)
            sort = wg.compile(wnp.sort)
            same_bits(sort(x), in_order(x), f"{lines} x {n}")


def ops_of(f, *args):
    return [op for step in f.program(*args).steps() for op in step.ops]


def test_the_elements_are_sorted_alone_where_nobody_reads_the_order(rng):
    x = rng.standard_normal((5, 6))
    for f in (
        wnp.sort,
        lambda x: wnp.sort(x, None),
        lambda x: wnp.sort(x, 0),
        lambda x: x.ravel()[wnp.argsort(x, None)],
    ):
        assert [op for op in ops_of(wg.compile(f), x) if "sort" in op or op == "gather"] == ["sort"]
    for f in (wnp.median, lambda x: wnp.quantile(x, 0.3, axis=0), lambda x: wnp.partition(x, 2)):
        found = ops_of(wg.compile(f), x)
        assert [op for op in found if "sort" in op] == ["sort"]
    for f in (
        lambda x: (lambda order: (wnp.take(x[0], order), order))(wnp.argsort(x[0])),
        lambda x: wnp.topk(x, 2),
        lambda x: wnp.take(x, wnp.argsort(x[:, 0]), 0),
        lambda x: wnp.take(x.ravel() + 1, wnp.argsort(x, None)),
        wg.value_and_grad(lambda x: wnp.sum(wnp.sort(x) ** 2)),
    ):
        found = ops_of(wg.compile(f), x)
        assert [op for op in found if "sort" in op] == ["argsort"]
    m = Core()
    with pytest.raises(ValueError, match="sort is not an op to append"):
        m.op("sort", m.array(x), attrs=(1, 0, 2))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", KINDS)
def test_sorted_alone_eagerly_and_beside_a_gradient_are_the_same_bits(kind, dtype, rng):
    for shape in ((16, 40), (3, 300), (1, 5000)):
        x, w = of(kind, dtype, shape, rng), rng.standard_normal(shape).astype(dtype)
        sort = wg.compile(wnp.sort)
        primal, _ = wg.compile(lambda x, w: wg.jvp(wnp.sort, (x,), (w,)))(x, w)
        same_bits(primal, sort(x))
        same_bits(wnp.sort(wg.Tape().var(x)).value, sort(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(33, 40), (5, 6, 7), (2, 19, 3, 4), (3, 3000), (3000, 3)])
def test_lines_along_every_axis(shape, dtype, rng):
    x = of("plain", dtype, shape, rng)
    stored = {
        "C": x,
        "F": np.asfortranarray(x),
        "every other": np.repeat(x, 2, axis=-1)[..., ::2],
        "turned": np.flip(np.flip(x).copy()),
        "the same": np.broadcast_to(x[:1], shape),
    }
    for (name, x), axis in itertools.product(stored.items(), range(len(shape))):
        both = wg.compile(lambda x, axis=axis: (wnp.argsort(x, axis), wnp.sort(x, axis)))
        for order, found in (both(x), both(np.asarray(x, order="K"))):
            assert_array_equal(order, np.argsort(x, axis, kind="stable"), name)
            same_bits(found, in_order(x, axis), name)
        assert_array_equal(wg.vmap(lambda x: wnp.sort(x, -1))(x), np.sort(x, -1), name)


@pytest.mark.parametrize("dtype", FLOATS)
def test_signs_of_zeros_and_nan_are_kept(dtype):
    """-0 and 0 are equal, so that they stay in their order, bits and all."""
    x = np.array([0.0, -0.0, np.nan, -0.0, 0.0, -1.0], dtype)
    assert_array_equal(np.signbit(wg.compile(wnp.sort)(x)[:-1]), [True, False, True, True, False])


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_share_lines(dtype, rng):
    before = wg.get_num_threads()
    try:
        for shape in ((4001, 100), (9, 50_000), (200_000,), (301, 2, 77)):
            x = of("any", dtype, shape, rng)
            for threads in (1, 2, 3, 4):
                wg.set_num_threads(threads)
                for axis in range(x.ndim):
                    assert_array_equal(argsort(x, axis), np.argsort(x, axis, kind="stable"))
                    same_bits(wg.compile(lambda x, axis=axis: wnp.sort(x, axis))(x), in_order(x, axis))
    finally:
        wg.set_num_threads(before)


@pytest.mark.parametrize("dtype", FLOATS)
def test_long_lines_whose_neighbours_are_close(dtype, rng):
    """The bits that an item has no room for: few neighbours are to be put right, and all of them."""
    for share in (1e-5, 0.5):
        x = of("any", dtype, (1, 300_000), rng)
        x = np.where(rng.uniform(size=x.shape) < share, of("near", dtype, x.shape, rng), x)
        assert_array_equal(argsort(x), np.argsort(x, kind="stable"))


def weighted_sum_of(f, weights):
    return lambda x: wnp.sum(f(x) * weights)


def test_derivatives_follow_each_element(rng):
    x, w = rng.permutation(60).astype(float).reshape(3, 4, 5), rng.standard_normal((3, 4, 5))
    for axis in (0, 1, 2, None):
        by, sort = (w.ravel() if axis is None else w), partial(wnp.sort, axis=axis)
        ranks = np.argsort(np.argsort(x, axis), axis)
        gradient = wg.grad(weighted_sum_of(sort, by))
        expected = np.take_along_axis(by, ranks, axis).reshape(x.shape)
        assert_array_equal(gradient(x), expected)
        assert_array_equal(wg.compile(gradient)(x), expected)
        tangent = wg.jvp(sort, (x,), (w,))[1]
        assert_array_equal(tangent, np.take_along_axis(w, np.argsort(x, axis), axis))
    per_row = wg.vmap(wg.grad(lambda x: wnp.sum(wnp.sort(x, 0) ** 3)))(x)
    assert_array_equal(per_row, 3 * x**2)


def test_places_count_over_the_last_axes():
    (found,) = run(
        lambda m, x: [m.op("argsort", x, attrs=(1, 0, 2))], [np.array([[[2.0, 1.0], [1.0, 2.0]]])], "eager"
    )
    assert_array_equal(found, [[[2, 1], [0, 3]]])
    m = Core()
    for over in (-1, 3):
        with pytest.raises(ValueError, match="argsort"):
            m.op("argsort", m.array(np.zeros((2, 2))), attrs=(1, 0, over))
    with pytest.raises(ValueError, match="argsort"):
        m.op("argsort", m.array(np.zeros((2, 2))), attrs=(0, 0, 1))
