"""Indexing a Var: NumPy's rules for slices, integers, index arrays and masks."""

import numpy as np
import pytest
from helpers import same
from numpy.testing import assert_array_equal

import wengert as wg

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
