"""The short ways of an eager gradient and of a reduction over all axes give what the long ones give."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import wengert as wg
import wengert.numpy as wnp
from wengert import _core


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def overwrites(x):
    """Writes to its argument, whose gradient is that of what it was."""
    y = np.sum(x**2)
    x[...] = 0.0
    return y + np.sum(x)


FUNCTIONS = {
    "vectors": rosenbrock,
    "a matrix product": lambda x: np.sum(np.tanh(np.ones((2, x.size)) @ x)),
    "what writes to its argument": overwrites,
    "a part of it": lambda x: x[0] * x[-1],
    "an array of size one": lambda x: np.sum(x * x, keepdims=True),
    "a constant": lambda x: 3,
    "a plain array": lambda x: np.ones((1, 1)),
    "what does not depend on it": lambda x: np.sum(wg.stop_gradient(x)),
    "the argument": lambda x: x[1],
}
ARGUMENTS = {
    "float64": np.linspace(-1, 1.5, 6),
    "float32": np.linspace(-1, 1.5, 6, dtype="f4"),
    "strided": np.linspace(-1, 1.5, 12)[::2],
    "backwards": np.linspace(-1, 1.5, 6)[::-1],
    "big-endian": np.linspace(-1, 1.5, 6).astype(">f8"),
    "complex": np.linspace(-1, 1.5, 6) * (1 + 2j),
}


@pytest.mark.parametrize("x", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_short_way_gives_what_the_long_way_gives(f, x):
    before = x.copy()
    short, long = wg.value_and_grad(f)(x), wg.value_and_grad(f, argnums=(0,))(x)
    for a, b in zip(short, (long[0], *long[1]), strict=True):
        assert_array_equal(a, b)
        assert type(a) is type(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert a.flags.writeable == b.flags.writeable
    assert_array_equal(wg.grad(f)(x), short[1])
    assert_array_equal(x, before)


def test_which_calls_it_serves():
    def f(x, *others):
        return np.sum(x)

    x, v = np.ones(3), wg.Tape().var(1.0)
    for args in [(x,), (2.0,), (x.astype("f4"), x, 1, True, None, "name")]:
        assert _core.value_and_grad("grad", f, args, 0) is not _core.MISSED
    others = [(), (2,), (np.float64(2),), (x > 0,), (x.astype(">f8"),), ([x],)]
    for args in [*others, (v,), (x, v), (x, [v]), (x, {"a": v})]:
        assert _core.value_and_grad("grad", f, args, 0) is _core.MISSED
    for argnums in ((0,), 1, -2, True, np.int64(0)):
        assert _core.value_and_grad("grad", f, (x,), argnums) is _core.MISSED


@pytest.mark.parametrize("argnums", [0, 1, 2, -1, -2, -3])
def test_each_argument_may_be_the_one(argnums):
    args = np.array([1.0, 2.0]), 3.0, np.array([[5.0, 7.0]], "f4")
    gradients = [3 * 12 * np.ones(2), np.float64(3 * 12), 9 * np.ones((1, 2), "f4")]
    found = wg.grad(lambda x, y, z: np.sum(x) * y * np.sum(z), argnums)(*args)
    assert_array_equal(found, gradients[argnums])
    assert (type(found), found.dtype) == (type(gradients[argnums]), gradients[argnums].dtype)


@pytest.mark.parametrize(
    "other", [2, 2.0, True, None, "name", np.float64(2), [2.0], {"a": 2.0}, (), len, 10**30]
)
def test_whatever_else_is_passed_arrives(other):
    def f(x, given):
        assert given is other
        return np.sum(x) ** 2

    assert_array_equal(wg.grad(f)(np.ones(2), other), [4.0, 4.0])
    assert_array_equal(wg.grad(lambda x, given: f(x, given), 0)(np.ones(2), given=other), [4.0, 4.0])


def test_a_number_stays_weak():
    value, slope = wg.value_and_grad(lambda x: np.sum(x * np.ones(3, "f4")))(2.0)
    assert (value.dtype, slope.dtype) == (np.float32, np.float64)
    assert (value, slope) == (6.0, 3.0)
    assert wg.grad(lambda x: x * 2**70)(1) == 2.0**70


@pytest.mark.parametrize(
    ("f", "args", "error", "match"),
    [
        (np.sin, (np.ones(3),), ValueError, r"^grad: the output has shape \(3,\); the gradient is that"),
        (lambda x: np.sum(x > 0), (np.ones(3),), TypeError, "^grad: the output has dtype int64"),
        (lambda x: "no", (np.ones(3),), TypeError, "^grad: the function returned a str"),
        (lambda x: None, (2.0,), TypeError, "^grad: the function returned a NoneType"),
        (np.sum, (np.ones(3, int),), TypeError, "^grad: argument 0 has dtype int64; a derivative"),
        (np.sum, ("x",), TypeError, "^grad: argument 0 is a str; a derivative needs a float"),
        (np.sum, (True,), TypeError, "^grad: argument 0 is a bool"),
        (np.sum, (), TypeError, "^grad: argnums=0 names argument 0, but the function was called with 0"),
        (lambda x: x.nothing, (2.0,), AttributeError, "nothing"),
    ],
)
def test_mistakes_are_named_and_leave_nothing_behind(f, args, error, match):
    with pytest.raises(error, match=match):
        wg.grad(f)(*args)
    assert _core.current() is None
    assert wg.grad(np.sin)(0.0) == 1.0


def test_where_something_is_recorded_the_gradient_is_too():
    x = np.array([0.5, -1.0])
    twice = wg.grad(lambda x: np.sum(wg.grad(rosenbrock)(x) ** 2))
    compiled = wg.compile(twice)
    assert_array_equal(twice(x), compiled(x))
    inner = wg.grad(lambda y: y * np.sum(wg.grad(lambda z: np.sum(z**3))(x)))  # of a plain array, inside
    assert inner(2.0) == 3 * np.sum(x**2)
    t = wg.Tape()
    v = t.var(3.0)
    slope = wg.grad(lambda y: y**2)(v)
    assert t.gradient(slope)[v] == 2.0
    factor = wg.grad(lambda x, y: np.sum(x) * y)(x, v)  # a Var beside the array
    assert_array_equal(factor.value, [3.0, 3.0])


def test_a_var_of_an_ended_call_says_so_and_its_tape_can_be_read_before():
    seen = []

    def f(x):
        seen.append((x, str(x.tape), x.tape.gradient(np.sum(x * x))[x]))
        return np.sum(x)

    wg.grad(f)(np.ones(2))
    v, text, slope = seen[0]
    assert "leaf" in text
    assert_array_equal(slope, [2.0, 2.0])
    with pytest.raises(RuntimeError, match="this Var has ended"):
        v + 1


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0), (1, 1, 2)])
@pytest.mark.parametrize("dtype", ["bool", "int32", "float32", "float64", "complex128"])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_reductions_over_all_axes(name, dtype, shape):
    a = (np.arange(int(np.prod(shape))).reshape(shape) % 3 + 1).astype(dtype)
    numpy_function, function = getattr(np, name), getattr(wnp, name)
    if name in ("max", "min") and (a.size == 0 or dtype == "complex128"):
        for call in (function, numpy_function, lambda v: getattr(v, name)()):
            with pytest.raises((ValueError, TypeError), match=name):
                call(wg.Tape().leaf(a))
        return
    expected = numpy_function(a)
    long = lambda v: numpy_function(v, axis=None)
    for call in (function, numpy_function, lambda v: getattr(v, name)(), long):
        v = call(wg.Tape().leaf(a))
        assert (v.value, v.dtype, v.shape) == (expected, expected.dtype, ())
