"""Indexing a Var: NumPy's rules for slices, integers, index arrays and masks."""

import numpy as np
import pytest
from helpers import same
from numpy.testing import assert_array_equal

import wengert as wg
import wengert.numpy as wnp

# ---- indexing -------------------------------------------------------------------------------------------

A = np.arange(60.0).reshape(3, 4, 5)
KEYS = {
    "int": 1,
    "negative": -1,
    "ints": (1, 2, 3),
    "slice": slice(1, None),
    "steps": (slice(None, None, 2), slice(None, None, -1)),
    "empty slice": slice(2, 1),
    "beyond": slice(1, 100),
    "ellipsis": (..., 1),
    "middle ellipsis": (0, ..., 1),
    "new axes": (None, 1, None, slice(2), None),
    "nothing": (),
    "array": np.array([2, 0, -1]),
    "2-d array": np.array([[2, 0], [1, 1]]),
    "list": [0, 2],
    "empty list": [],
    "array behind": (slice(None), np.array([3, 0])),
    "two arrays": (np.array([0, 2]), np.array([1, -1])),
    "broadcast arrays": (np.array([[0], [2]]), np.array([1, -1])),
    "apart": (np.array([0, 2]), slice(None), np.array([1, -1])),
    "together": (slice(None), np.array([0, 2]), np.array([1, -1])),
    "int and array": (1, slice(None), np.array([0, 2])),
    "int beside array": (slice(1), 1, np.array([0, 2])),
    "array, new axis": (np.array([0, 2]), None, slice(1, 3)),
    "slice, new axis, array": (slice(None), None, np.array([0, 2])),
    "mask": A > 30,
    "mask of rows": np.array([True, False, True]),
    "mask and slice": (np.array([True, False, True]), slice(2)),
    "numpy int": np.int64(2),
    "numpy ints": (np.int64(-1), slice(None), np.uint8(3)),
    "all ints, negative": (-1, -4, -5),
    "numpy int in a slice": slice(np.int64(1), None, np.int32(2)),
    "int beyond 64 bits in a slice": (slice(-(10**30), 10**30, 10**30), slice(10**30, None, -2)),
    "back to the start": (slice(None), slice(-1, None, -3), slice(3, -6, -1)),
    "empty backwards": (slice(None), slice(0, 3, -1)),
    "ellipsis alone": ...,
    "ellipsis for no axis": (0, ..., slice(1, 3), -1),
    "ellipsis between ints": (1, ..., 2),
    "ints and ellipsis": (1, 2, 3, ...),
    "last axes": (..., slice(None, None, -2), 2),
    "new axis": None,
    "new axes and ints": (None, 0, None, -1, None),
    "new axes and ellipsis": (None, ..., None, slice(None, None, 2)),
    "an int and a new axis": (slice(None), 2, None),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_indexing_is_numpys(tape, key):
    v = tape.leaf(A)
    same(v[key], A[key])
    weight = np.random.default_rng(0).standard_normal(A[key].shape)
    expected = np.zeros_like(A)
    np.add.at(expected, key, weight)
    assert_array_equal(wg.grad(lambda x: np.sum(x[key] * weight))(A), expected)


@pytest.mark.parametrize(
    "key", [k for n, k in KEYS.items() if "mask" not in n], ids=[n for n in KEYS if "mask" not in n]
)
def test_indexing_compiles(key):
    same_as = wg.compile(lambda x: x[key])(A)
    assert_array_equal(same_as, A[key])


def basic_key(rng, shape):
    """A key of slices, integers, new axes and at most one ellipsis."""
    key = []
    least = min(shape)  # whichever axes the integers come to stand for
    for _ in range(rng.integers(len(shape) + 1)):
        start, stop = (None if rng.random() < 0.3 else int(k) for k in rng.integers(-9, 9, 2))
        step = None if rng.random() < 0.3 else int(rng.choice([-3, -2, -1, 1, 2, 3]))
        single = least > 0 and rng.random() < 0.4
        key.append(int(rng.integers(-least, least)) if single else slice(start, stop, step))
    for extra in [None] * rng.integers(3) + [...] * rng.integers(2):
        key.insert(rng.integers(len(key) + 1), extra)
    return tuple(key)


def test_any_basic_key_is_numpys_and_gives_a_view(tape):
    rng = np.random.default_rng(2)
    for shape in [(7,), (4, 3), (2, 0, 3), (3, 4, 2, 5)] * 40:
        key, a = basic_key(rng, shape), rng.standard_normal(shape)
        v = tape.leaf(a)
        same(v[key], a[key])
        if isinstance(a[key], np.ndarray):  # else both are numbers
            part, expected = v[key], a[key]
            part += 1
            expected += 1
            same(v, a)
        slope = wg.grad(lambda x, key=key: np.sum(x[key] ** 2))(a)
        assert_array_equal(slope, changed(np.zeros(shape), key, 2 * a[key], "set"))


class Recorder:
    """An index that appends nodes, and shapes, when it is asked what it is."""

    def __init__(self, tape):
        self.tape = tape

    def __index__(self):
        for n in range(1, 200):
            self.tape.leaf(np.zeros((n, 1, 1, 1)))
        return 1


def test_an_index_may_record_where_it_is_asked(tape):
    v = tape.leaf(A)
    same(v[slice(Recorder(tape), None), 2, slice(None, None, 2)], A[1:, 2, ::2])


def test_what_is_0_d_takes_new_axes_and_an_ellipsis(tape):
    number, array = tape.leaf(2.0), tape.leaf(A)[0, 0, ..., 0]
    assert number.is_number
    assert not array.is_number
    for v in (number, array):
        same(v[None], v.value[None])
        same(v[None, ..., None], v.value[None, None])
        assert v[()].is_number
        assert not v[...].is_number
        with pytest.raises(IndexError, match="too many indices: the array has 0 axes, but 1 were indexed"):
            v[0]
    view = array[...]
    view += 5
    assert array.value == 5
    other = number[...]
    other += 5
    assert (number.value, other.value) == (2, 7)
    assert wg.grad(lambda x: np.sum(x[None, None] ** 2))(3.0) == 6


def test_a_traced_index_gathers(rng):
    x, i, j = rng.standard_normal((5, 4)), np.array([0, -1, 2]), np.array([3, 0, -4])
    pick = wg.compile(lambda x, i, j: x[i, j])
    assert_array_equal(pick(x, i, j), x[i, j])
    with pytest.raises(IndexError):
        pick(x, i, np.array([0, 0, 4]))
    with pytest.raises(IndexError):
        pick(x, i, np.array([0, 0, -5]))


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (3, IndexError, "index 3 is out of bounds for axis 0 with size 3"),
        ((0, -5), IndexError, "out of bounds for axis 1"),
        ((0, 0, 0, 0), IndexError, "too many indices"),
        ((..., ...), IndexError, "single ellipsis"),
        ((..., 0, ...), IndexError, "single ellipsis"),
        (-4, IndexError, "index -4 is out of bounds for axis 0 with size 3"),
        ((None, ..., 5), IndexError, "index 5 is out of bounds for axis 2 with size 5"),
        (10**30, IndexError, "is out of bounds for axis 0 with size 3"),
        (-(10**30), IndexError, "is out of bounds for axis 0 with size 3"),
        ((None, 0, 0, 0, 0), IndexError, "too many indices: the array has 3 axes, but 4 were indexed"),
        (True, IndexError, "a single True or False is not an index of a Var"),
        ((0, False), IndexError, "a single True or False is not an index of a Var"),
        (slice(None, None, 0), ValueError, "slice step cannot be zero"),
        (slice(1.0, None), TypeError, "slice indices must be integers"),
        ((None,) * 30, ValueError, "at most 32"),
        ((None,) * 130, ValueError, "at most"),
        (1.0, IndexError, "only integers"),
        (np.array([0, 3]), IndexError, "index 3 is out of bounds for axis 0 with size 3"),
        ((np.array([0]), np.array([4])), IndexError, "out of bounds"),
    ],
)
def test_bad_indices_raise(tape, key, error, match):
    with pytest.raises(error, match=match):
        tape.leaf(A)[key]


@pytest.mark.parametrize("mask", [[True, False], [True, False, True, False], [[True] * 3]])
def test_a_mask_must_match_its_axes(mask):
    with pytest.raises(IndexError, match=r"boolean index did not match|too many indices"):
        wg.grad(lambda x: np.sum(x[np.array(mask)]))(np.arange(3.0))
    assert wg.grad(lambda x: np.sum(x[x > 0.5] ** 2))(np.arange(3.0)).tolist() == [0.0, 2.0, 4.0]


# ---- changing a part ------------------------------------------------------------------------------------


def changed(a, key, value, how):
    a = a.copy()
    if how == "set":
        a[key] = value
    else:
        np.add.at(a, key, value)
    return a


@pytest.mark.parametrize("how", ["set", "add"])
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_part_is_changed_as_in_numpy(tape, key, how):
    rng = np.random.default_rng(1)
    function = {"set": wnp.index_set, "add": wnp.index_add}[how]
    value = rng.standard_normal(A[key].shape)
    expected = changed(A, key, value, how)
    assert_array_equal(function(A, key, value), expected)
    same(function(tape.leaf(A), key, value), expected)
    same(function(A, key, tape.leaf(value)), expected)
    same(function(tape.leaf(A), key, 2.5), changed(A, key, 2.5, how))
    # Both are linear in the array and in the values: the derivative is what the function does to numbers.
    weight = rng.standard_normal(A.shape)
    by_array, by_value = wg.grad(lambda a, v: np.sum(function(a, key, v) * weight), (0, 1))(A, value)
    assert_array_equal(by_array, changed(weight, key, 0.0, "set") if how == "set" else weight)
    numbers = np.arange(value.size).reshape(value.shape) + 1
    kept = changed(np.zeros(A.shape, int), key, numbers, "set")[key] == numbers if how == "set" else True
    assert_array_equal(by_value, np.where(kept, weight[key], 0.0))
    if not any(
        isinstance(k, np.ndarray) and k.dtype == bool for k in (key if type(key) is tuple else (key,))
    ):
        assert_array_equal(wg.compile(lambda a, v: function(a, key, v))(A, value), expected)


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "float32", "complex64", "complex128"])
def test_a_part_is_changed_in_the_dtype_of_the_array(tape, dtype):
    a = (np.arange(12).reshape(3, 4) % 3).astype(dtype)
    for key in (1, (slice(None), [0, 2, 0]), ([0, 1], [1, 1])):
        same(wnp.index_set(tape.leaf(a), key, a[key][..., ::-1]), changed(a, key, a[key][..., ::-1], "set"))
        assert_array_equal(
            wg.compile(lambda a, key=key: wnp.index_set(a, key, True))(a), changed(a, key, True, "set")
        )
    with pytest.raises(TypeError, match="do not fit an array of int64; cast one"):
        wnp.index_set(np.arange(3), 0, tape.leaf(1.5))


def test_the_last_of_equal_indices_counts():
    """In its derivative as well, to any order: the other values have no part in the result."""
    a, value, i = np.zeros(3), np.array([2.0, 3.0, 5.0]), np.array([1, -2, 2])
    for g in (wg.grad, lambda f: wg.compile(wg.grad(f)), wg.jacfwd):
        assert_array_equal(g(lambda v: np.sum(wnp.index_set(a, i, v) ** 2))(value), [0.0, 6.0, 10.0])
    hessian = wg.hessian(lambda v: np.sum(wnp.index_set(a, i, v) ** 3))(value)
    assert_array_equal(hessian, np.diag([0.0, 18.0, 30.0]))


@pytest.mark.parametrize(
    ("key", "value", "error", "match"),
    [
        (5, 1.0, IndexError, "index 5 is out of bounds"),
        ([0, 3], 1.0, IndexError, "index 3 is out of bounds for axis 0 with size 3"),
        (([0], [4]), 1.0, IndexError, "index 4 is out of bounds for axis 1 with size 4"),
        (
            0,
            np.zeros(3),
            ValueError,
            r"values of shape \(3,\) do not broadcast to a\[key\] of shape \(4, 5\)",
        ),
        ([0, 1], np.zeros((2, 1, 1, 5)), ValueError, "do not broadcast"),
    ],
)
def test_bad_changes_raise(tape, key, value, error, match):
    for function in (wnp.index_set, wnp.index_add):
        with pytest.raises(error, match=match):
            function(tape.leaf(A), key, value)


@pytest.mark.parametrize(
    "cuts",
    [
        [(0, 4), (1, 3)],
        [(1, 3), (0, 4)],
        [(0, 2), (2, 4), (2, 2)],
        [(0, 2), (2, 4), (3, 4)],
        [(2, 4), (0, 2)],
    ],
    ids=str,
)
def test_slices_that_overlap_or_cover_all(cuts):
    """The compiled gradient is a concatenation only where the slices cover the vector once."""
    x, gradient = np.arange(1.0, 5.0), np.zeros(4)
    for start, stop in cuts:
        gradient[start:stop] += 3 * x[start:stop] ** 2
    by_x = wg.compile(wg.grad(lambda x: sum(np.sum(x[start:stop] ** 3) for start, stop in cuts)))
    assert_array_equal(by_x(x), gradient)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_threads_gather_parts_and_name_the_first_index_that_is_out_of_range(rows, dtype):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1000, rows)).astype(dtype)
    i = rng.integers(-1000, 1000, 100_003)
    f = wg.compile(lambda x, i: x[i])
    wrong = i.copy()
    wrong[[60_000, 60_007, 99_000]] = 1000, -1001, 5000
    before = wg.get_num_threads()
    try:
        for threads in (1, 2, 3, 4):
            wg.set_num_threads(threads)
            assert_array_equal(f(x, i), x[i])
            with pytest.raises(IndexError, match="index 1000 is out of bounds for axis 0 with size 1000"):
                f(x, wrong)
    finally:
        wg.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("width", [0, 1, 2, 3, 8, 15, 16, 17, 31, 33, 63, 64])
def test_short_rows_are_taken_and_added_in_the_order_of_their_indices(dtype, width):
    """Bit for bit NumPy's sums: eager, compiled, by any number of threads, indices of every kind."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-9, 9, (7, width)).astype(dtype)
    before = wg.get_num_threads()
    try:
        for index in ("uint8", "int32", "int64"):
            for shape in ((), (0,), (700,), (301, 2)):
                at = rng.integers(0 if index == "uint8" else -7, 7, shape).astype(index)
                b = rng.uniform(-9, 9, (*shape, width)).astype(dtype)
                sums = changed(x, at, b, "add")
                for threads in (1, 2, 3):
                    wg.set_num_threads(threads)
                    assert_array_equal(wg.compile(lambda x, i: x[i])(x, at), x[at])
                    assert_array_equal(wg.compile(wnp.index_add)(x, at, b), sums)
                assert_array_equal(wnp.index_add(x, at, b), sums)
    finally:
        wg.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [2, 16, 19])
def test_factors_of_a_matrix(dtype, width):
    """Rows picked, multiplied and added up; compiled, under vmap and derived again as well."""
    rng = np.random.default_rng(6)
    u, v = rng.integers(-4, 5, (6, width)).astype(dtype), rng.integers(-4, 5, (5, width)).astype(dtype)
    i, j, r = rng.integers(-6, 6, 300), rng.integers(0, 5, 300), rng.integers(-9, 9, 300).astype(dtype)

    def loss(u, v):
        return np.sum((np.sum(u[i] * v[j], axis=1) - r) ** 2)

    g = 2 * (np.sum(u[i] * v[j], axis=1) - r)[:, None]  # whole numbers, as all sums are: exact
    by_u, by_v = changed(0 * u, i, g * v[j], "add"), changed(0 * v, j, g * u[i], "add")
    gradient = wg.grad(loss, (0, 1))
    for f in (gradient, wg.compile(gradient)):
        for got, expected in zip(f(u, v), (by_u, by_v), strict=True):
            assert got.dtype == dtype
            assert_array_equal(got, expected)
    many = wg.compile(wg.vmap(gradient, (0, None)))(np.stack([u, 0 * u]), v)
    assert_array_equal(many[0][0], by_u)
    assert_array_equal(many[1][0], by_v)
    turned = changed(0 * u, i, 2 * np.sum(u[i] * v[j], axis=1)[:, None] * v[j], "add")  # quadratic in u
    assert_array_equal(wg.compile(lambda u, v, w: wg.hvp(lambda u: loss(u, v), u, w))(u, v, u), turned)


@pytest.mark.parametrize("width", [3, 16])
def test_nothing_is_changed_where_an_index_is_out_of_range(width):
    base, at = np.ones((9, width), "float32"), np.arange(3000) % 9
    at[-1] = 9
    add = wg.compile(wnp.index_add, donate_argnums=0)
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 0 with size 9"):
        add(base, at, np.ones((3000, width), "float32"))
    assert_array_equal(base, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_threads_share_the_rows_that_change(dtype):
    rng = np.random.default_rng(3)
    base = rng.integers(0, 99, (500, 96)).astype(dtype)
    at = rng.integers(-500, 500, (3000, 2))
    rows = [rng.uniform(0, 9, shape).astype(dtype) for shape in ((3000, 2, 96), (3000, 1, 96), (96,))]
    add = wg.compile(lambda base, at, b: wnp.index_add(base, at, b))
    put = wg.compile(lambda base, at, b: wnp.index_set(base, at, b))
    before = wg.get_num_threads()
    try:
        for threads in (1, 2, 3):
            wg.set_num_threads(threads)
            for b in rows:
                sums, last = base.copy(), base.copy()
                np.add.at(sums, at, b)
                last[at] = b
                assert_array_equal(add(base, at, b), sums)
                assert_array_equal(put(base, at, b), last)
                with pytest.raises(IndexError, match="500"):
                    add(base, np.where(at == at[-1, -1], 500, at), b)
    finally:
        wg.set_num_threads(before)
