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
