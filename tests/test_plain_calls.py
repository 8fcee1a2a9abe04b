"""Functions of wengert.numpy on plain arrays: by the core without a tape, or by NumPy."""

import inspect
import pickle
import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
import wengert.numpy as wnp
from wengert import _core
from wengert.protocols.elementwise import COMPUTED

FLOATS = (np.float32, np.float64)
OPS = {op.numpy: op for op in _core.ops() if op.name in COMPUTED}
INEXACT = {"exp", "expm1", "sin", "cos", "hypot"}
RNG = np.random.default_rng(7)


def numbers(op, shape, dtype):
    """Operands of an op from the domain on which it is tested."""
    return [RNG.uniform(op.lo, op.hi, shape).astype(dtype) for _ in range(op.arity)]


def on_a_tape(function, *arrays):
    """What an eager tape computes."""
    tape = wg.Tape()
    return function(*(tape.var(x) for x in arrays)).value


# ---- the bits of a tape ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", OPS)
def test_an_op_of_small_arrays_has_the_bits_that_a_tape_gives(name, dtype):
    operands = numbers(OPS[name], (3, 37), dtype)
    found = getattr(wnp, name)(*operands)
    assert_array_equal(found, on_a_tape(getattr(wnp, name), *operands), strict=True)
    assert found.dtype == getattr(np, name)(*operands).dtype
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.base is None
    expected = getattr(np, name)(*operands)
    assert_allclose(found, expected, rtol=6 * np.finfo(dtype).eps if name in INEXACT else 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((200, 4), (4, 32)),
        ((32, 64), (64, 64)),
        ((5, 7), (7,)),
        ((7,), (7, 5)),
        ((33,), (33,)),
        ((1, 9), (9, 6)),
        ((6, 9), (9, 1)),
        ((1, 9), (9, 1)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("name", ["matmul", "dot"])
def test_a_product_has_the_bits_that_a_tape_gives(name, left, right, dtype):
    a, b = RNG.normal(size=left).astype(dtype), RNG.normal(size=right).astype(dtype)
    found, expected = getattr(wnp, name)(a, b), getattr(np, name)(a, b)
    assert_array_equal(found, on_a_tape(getattr(wnp, name), a, b), strict=True)
    assert type(found) is type(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    # sums of at most 64 products of normal numbers: 64 roundings of what they are in magnitude
    room = 64 * np.finfo(dtype).eps * np.dot(np.abs(a), np.abs(b))
    assert np.all(np.abs(found - expected) <= room)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(1,), (7,), (300,), (8, 32), (2, 3, 4)])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "amax"])
def test_a_reduction_has_the_bits_that_a_tape_gives(name, shape, dtype):
    x = RNG.uniform(0.9, 1.1, shape).astype(dtype)
    found, expected = getattr(wnp, name)(x), getattr(np, name)(x)
    assert_array_equal(found, on_a_tape(getattr(wnp, name), x), strict=True)
    assert type(found) is type(expected)
    assert_allclose(found, expected, rtol=1e-5 if dtype is np.float32 else 1e-13)


# ---- what NumPy computes, or as it does -----------------------------------------------------------------


def swapped(x):
    return x.astype(x.dtype.newbyteorder())


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    found = raw[1:].view(x.dtype).reshape(x.shape)
    found[...] = x
    return found


def in_records(x):
    """A field of packed records, whose stride is no multiple of its size."""
    records = np.zeros(x.shape, [("x", x.dtype), ("rest", "i2")])
    records["x"] = x
    return records["x"]


def frozen(x):
    x = x.copy()
    x.flags.writeable = False
    return x


class Units(np.ndarray):
    """A subclass that must come back."""


LAYOUTS = {
    "C order": lambda x: x,
    "F order": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "reversed": lambda x: x[::-1, ::-1],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "repeated": lambda x: np.broadcast_to(x[:1], x.shape),
    "read-only": frozen,
    "swapped": swapped,
    "misaligned": misaligned,
    "in records": in_records,
    "subclass": lambda x: x.view(Units),
    "masked": lambda x: np.ma.masked_greater(x, 2.0),
    "matrix": lambda x: x.view(np.matrix),
    "empty": lambda x: x[:0],
    "0-d": lambda x: x[0, 0].reshape(()),
    "number": lambda x: x[0, 0],
    "Python float": lambda x: float(x[0, 0]),
    "list": lambda x: x.tolist(),
    "integers": lambda x: (4 * x).astype(int),
    "small integers": lambda x: (4 * x).astype(np.int8),
    "bool": lambda x: x > 1,
    "complex": lambda x: x + 1j,
    "half": lambda x: x.astype(np.float16),
    "long double": lambda x: x.astype(np.longdouble),
    "ten axes": lambda x: x.reshape((1,) * 8 + x.shape),
    "large": lambda x: np.tile(x, (100, 100)),
}
CALLS = {
    "add": lambda np, x, y: np.add(x, y),
    "divide": lambda np, x, y: np.divide(x, y),
    "less": lambda np, x, y: np.less(x, y),
    "maximum": lambda np, x, y: np.maximum(x, y),
    "exp": lambda np, x, y: np.exp(x),
    "sqrt": lambda np, x, y: np.sqrt(x),
    "matmul": lambda np, x, y: np.matmul(x, y),
    "matmul of the transposed": lambda np, x, y: np.matmul(np.transpose(x), y),
    "dot": lambda np, x, y: np.dot(x, y),
    "sum": lambda np, x, y: np.sum(x),
    "max": lambda np, x, y: np.max(x),
    "sum over an axis": lambda np, x, y: np.sum(x, 0),
    "out": lambda np, x, y: np.multiply(x, y, out=None),
    "dtype": lambda np, x, y: np.add(x, y, dtype=np.float64),
    "where": lambda np, x, y: np.where(np.greater(x, y), x, y),
    "where of numbers": lambda np, x, y: np.where(x, x, y),
    "where of a number": lambda np, x, y: np.where(np.greater(x, y), x, 1.0),
}


def outcome(call, np, x, y):
    """A result, or the class of an exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(np, x, y)
        except Exception as error:
            return type(error)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("right", ["C order", "F order", "0-d", "Python float", "integers"])
@pytest.mark.parametrize("left", LAYOUTS)
def test_a_call_gives_what_numpy_gives(left, right, call, dtype):
    numbers = RNG.uniform(0.2, 3.0, (6, 6)).astype(dtype)
    x, y = LAYOUTS[left](numbers), LAYOUTS[right](numbers.T.copy())
    found, expected = outcome(CALLS[call], wnp, x, y), outcome(CALLS[call], np, x, y)
    assert type(found) is type(expected)
    if isinstance(expected, type):
        assert found is expected
        return
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    eps = np.finfo(expected.dtype).eps if expected.dtype.kind in "fc" else 0
    assert_allclose(found, expected, rtol=8 * eps)


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [("add", (3, 4), (4,)), ("add", (3, 1), (1, 4)), ("multiply", (1,), (5,)), ("dot", (2, 3, 4), (4, 5))],
)
def test_operands_broadcast(name, left, right):
    a, b = RNG.normal(size=left), RNG.normal(size=right)
    assert_allclose(getattr(wnp, name)(a, b), getattr(np, name)(a, b), rtol=1e-14)


@pytest.mark.parametrize("name", ["add", "matmul", "dot"])
@pytest.mark.parametrize(
    ("left", "right"), [((3, 4), (3, 5)), ((3, 4), (5,)), ((4,), (5,)), ((0, 4), (5, 0))]
)
def test_shapes_that_do_not_match_raise_as_numpy_does(name, left, right):
    a, b = np.ones(left), np.ones(right)
    with pytest.raises(ValueError, match=r"shapes|mismatch") as expected:
        getattr(np, name)(a, b)
    with pytest.raises(ValueError, match=re.escape(str(expected.value))):
        getattr(wnp, name)(a, b)


@pytest.mark.parametrize(
    ("name", "operands", "message"),
    [
        ("log", [[1.0, 0.0]], "divide by zero"),
        ("reciprocal", [[1.0, 0.0]], "divide by zero"),
        ("sqrt", [[1.0, -1.0]], "invalid value"),
        ("sin", [[1.0, np.inf]], "invalid value"),
        ("divide", [[1.0, 2.0], [1.0, 0.0]], "divide by zero"),
        ("exp", [[1.0, 1e4]], "overflow"),
        ("multiply", [[1e300, 1.0], [1e300, 1.0]], "overflow"),
        ("matmul", [[[1e300]], [[1e300]]], "overflow"),
    ],
)
def test_floating_point_errors_are_numpys(name, operands, message):
    operands = [np.array(x) for x in operands]
    with np.errstate(all="warn"), pytest.warns(RuntimeWarning, match=message):
        found = getattr(wnp, name)(*operands)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match=message):
        getattr(wnp, name)(*operands)
    with np.errstate(all="ignore"), warnings.catch_warnings(action="error"):
        assert_array_equal(found, getattr(np, name)(*operands), strict=True)
        assert_array_equal(getattr(wnp, name)(*operands), found, strict=True)


def test_a_call_without_its_operands_raises_as_numpy_does():
    for arguments in ((), (np.ones(2),), (np.ones(2),) * 5):
        with pytest.raises(TypeError):
            wnp.add(*arguments)
    with pytest.raises(TypeError, match="takes 1 arrays, got 2"):
        wnp.sin(wg.Tape().var(1.0), 2.0)


# ---- the functions as objects ---------------------------------------------------------------------------


def test_a_function_is_known_by_its_name():
    assert [f.__name__ for f in (wnp.tanh, wnp.sum, wnp.softmax)] == ["tanh", "sum", "softmax"]
    assert "hyperbolic tangent" in wnp.tanh.__doc__
    assert repr(wnp.tanh) == "<function wengert.numpy.tanh>"
    assert list(inspect.signature(wnp.sum).parameters)[:2] == ["a", "axis"]
    assert wnp.add.reduce(np.ones(3)) == 3


@pytest.mark.parametrize("name", ["tanh", "add", "sum", "softmax"])
def test_a_function_is_pickled_by_its_name(name):
    assert pickle.loads(pickle.dumps(getattr(wnp, name))) is getattr(wnp, name)


def test_a_function_as_an_attribute_takes_no_self():
    class Layer:
        activation = wnp.tanh

    assert_array_equal(Layer().activation(np.ones(3)), np.tanh(np.ones(3)))


def test_a_function_finds_what_is_recorded_anywhere_in_its_arguments():
    assert isinstance(wnp.concatenate([np.ones(2), (wg.Tape().var(np.ones(1)))]), wg.Var)
    assert isinstance(wnp.clip(np.ones(2), a_min=None, a_max=wg.Tape().var(0.5)), wg.Var)
    assert _core.is_recorded([[[1.0, [wg.Tape().var(0.5)]]]])
    assert not _core.is_recorded([[1.0, [2.0]], np.ones(2)])
