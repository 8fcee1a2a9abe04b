"""What several test files share."""

import functools

import numpy as np
from numpy.testing import assert_array_equal


def counted(f):
    """`f` and the list that grows whenever it is called, that is recorded."""
    calls = []

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        calls.append(1)
        return f(*args, **kwargs)

    return wrapped, calls


def same(v, expected):
    """Value, shape and dtype agree with NumPy's."""
    expected = np.asarray(expected)
    assert (v.shape, v.dtype) == (expected.shape, expected.dtype)
    assert_array_equal(v.value, expected)
