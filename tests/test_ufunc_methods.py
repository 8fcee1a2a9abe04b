"""Every ufunc of NumPy's with out=, where=, reduce, accumulate, outer, at and reduceat: NumPy's answer, or an
error that names it."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, overrides

import wengert as wg

UFUNCS = {u.__name__: u for u in overrides.get_overridable_numpy_ufuncs() if hasattr(np, u.__name__)}
FLOATS = np.array([[0.3, 0.7, 0.5], [0.2, 0.9, 0.4]])
ARRAYS = (FLOATS, np.array([[1, 2, 3], [2, 1, 4]]), FLOATS > 0.4)
MASK = np.array([[True, False, True], [False, True, True]])
REFUSED = {"nextafter", "spacing"}  # neither of which has a derivative worth the name
CONSTANT = {"gcd", "lcm", "bitwise_count"}  # results which do not go into the Var that was given
UNCAST = {"at", "reduce", "reduce keepdims", "reduce initial", "reduce where"}  # of ldexp: floats of integers


def argument(ufunc):
    """An array that the ufunc takes."""
    for array in ARRAYS:
        try:
            with np.errstate(all="ignore"):
                ufunc(*[array] * ufunc.nin)
            return array
        except (TypeError, ValueError):
            continue
    return None


def empty(like):
    """A place for results: an array for NumPy's, a Var for Vars."""
    return (like * 0 + 0) if like.dtype != bool else (like != like)


def into(ufunc, x, **options):
    results = ufunc(*[x] * ufunc.nin)
    out = tuple(map(empty, results)) if isinstance(results, tuple) else (empty(results),)
    return ufunc(*[x] * ufunc.nin, out=out, **options)


def at(ufunc, x, *more):
    x = x.copy()
    ufunc.at(x, ([0, 1, 1, 0], [0, 1, 1, 2]), *more)
    return x


def initial(x):
    return np.ones((), x.dtype)[()]


BOTH = {"out": into, "where": lambda u, x: into(u, x, where=MASK)}
UNARY = {"at": at}
BINARY = {
    "at": lambda u, x: at(u, x, x[0, :1]),
    "reduce": lambda u, x: u.reduce(x),
    "reduce keepdims": lambda u, x: u.reduce(x, keepdims=True),
    "reduce all": lambda u, x: u.reduce(x, axis=None),
    "reduce initial": lambda u, x: u.reduce(x, initial=initial(x)),
    "reduce where": lambda u, x: u.reduce(x, where=MASK, initial=initial(x)),
    "reduce of nothing": lambda u, x: u.reduce(x[:0]),
    "accumulate": lambda u, x: u.accumulate(x, axis=1),
    "outer": lambda u, x: u.outer(x, x[0]),
    "reduceat": lambda u, x: u.reduceat(x, [0, 1, 0]),
}
CASES = [
    (name, case)
    for name, ufunc in sorted(UFUNCS.items())
    if argument(ufunc) is not None and not ufunc.signature
    for case in (BOTH, BOTH | UNARY, BOTH | BINARY)[ufunc.nin if ufunc.nin < 3 and ufunc.nout == 1 else 0]
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_method_answers_as_numpys_or_is_named(name, case, tape):
    ufunc, array = UFUNCS[name], argument(UFUNCS[name])
    call = (BOTH | BINARY if ufunc.nin == 2 else BOTH | UNARY)[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = call(ufunc, array)
        except (TypeError, ValueError):  # not of this ufunc
            with pytest.raises((TypeError, ValueError)):
                call(ufunc, tape.leaf(array))
            return
    if name in REFUSED or (name in CONSTANT and case in BOTH) or (name == "ldexp" and case in UNCAST):
        with pytest.raises(TypeError, match=f"{name}|values of dtype float64 do not fit an array of int64"):
            call(ufunc, tape.leaf(array))
        return
    found = call(ufunc, tape.leaf(array))
    pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    for result, answer in pairs:
        value = result.value if isinstance(result, wg.Var) else result
        assert np.shape(value) == np.shape(answer)
        if case == "reduce of nothing":
            assert value.dtype == np.asarray(answer).dtype
        if np.asarray(answer).dtype == bool:
            assert_array_equal(np.asarray(value, bool), answer)
        assert_allclose(value, answer, rtol=1e-13)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_method_has_its_derivatives(name, case):
    """In both modes and of order two, where all is finite and floating."""
    ufunc, x = UFUNCS[name], FLOATS + np.array([[0.011, 0.023, 0.037], [0.041, 0.059, 0.067]])
    x = {"arccosh": x + 1, "tan": x / 2}.get(name, x)  # inside of the domain, and no pole nearby
    call = (BOTH | BINARY if ufunc.nin == 2 else BOTH | UNARY)[case]

    def floats(x):
        results = call(ufunc, x)
        return [y for y in (results if isinstance(results, tuple) else (results,)) if y.dtype == float]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = floats(x)
        except (TypeError, ValueError):  # not of this ufunc, or not of floats
            return
    refused = name in REFUSED or (name in CONSTANT and case in BOTH)
    if expected and not refused and np.all(np.isfinite(np.concatenate(expected, axis=None))):
        wg.testing.check_grads(floats, (x,))


@pytest.mark.parametrize("name", ["matmul", "vecdot", "modf", "clip"])
@pytest.mark.parametrize("method", ["reduce", "accumulate", "outer", "reduceat", "at"])
def test_methods_that_numpy_does_not_have_are_named(name, method, tape):
    ufunc = np._core.umath.clip if name == "clip" else UFUNCS[name]
    more = {"at": ([0],), "outer": (FLOATS,), "reduceat": ([0],)}.get(method, ())
    with pytest.raises((TypeError, ValueError, RuntimeError), match=f"{name}|ufunc|binary"):
        getattr(ufunc, method)(tape.leaf(FLOATS), *more)


def test_repeated_places_count_again():
    def f(np, x):
        y = x * 1.0
        np.multiply.at(y, [0, 2, 0, 0], x[1])
        np.maximum.at(y, [1, 1], [x[0] * 9, 0.1])
        np.square.at(y, [3, 3])
        np.divide.at(y.reshape(2, 2).T, (1, [0, 0]), x[:2])
        return y

    x = np.array([0.3, 0.7, 0.5, 1.2])
    assert_allclose(wg.vjp(lambda x: f(np, x), x)[0], f(np, x), rtol=1e-14)
    wg.testing.check_grads(lambda x: f(np, x), (x,))
    assert_allclose(wg.compile(lambda x: f(np, x))(x), f(np, x), rtol=1e-14)


def test_several_outputs_into_vars():
    def f(x):
        part, whole = x * 0.0, x * 0.0
        np.modf(x * 3, out=(part, None))
        np.divmod(x, 0.3, out=(whole, part), where=np.array([True, False, True]))
        return part * x + whole

    x = np.array([0.5, 1.7, 2.2])
    assert_allclose(wg.vjp(f, x)[0], [0.5 * 0.2 + 1, 1.7 * 0.1, 2.2 * 0.1 + 7], rtol=1e-12)
    wg.testing.check_grads(f, (x,))


F4, I8 = np.array([1.5, -2.0, 0.0], "f4"), np.array([2**62 + 1, 2**53 + 1, -(2**60) - 1])
EDGES = {
    **{
        f"{u} of float32": (UFUNCS[u], F4, 0.5)
        for u in "fmod fmax fmin heaviside logaddexp2 copysign".split()
    },
    "ldexp of float32": (np.ldexp, F4, [3, -4, 5]),
    "ldexp of integers": (np.ldexp, np.array([3, 5]), -3),
    "frexp of integers": (np.frexp, np.array([1, -6])),
    "modf of integers": (np.modf, np.array([1, -6])),
    "modf of infinities": (np.modf, np.array([np.inf, -np.inf, 1.5])),
    "heaviside of NaN": (np.heaviside, np.array([np.nan, 0.0, -0.0]), 0.5),
    "many digits": (np.floor_divide, I8, 3),
    "many digits, each by its own": (np.floor_divide, I8, np.array([3, 1, -7])),
    "nan_to_num of complex": (np.nan_to_num, np.array([complex(np.nan, 1), complex(2, -np.inf)]), True, 0.5),
    "bincount": (lambda w: np.bincount([0, 2, 2], w), np.array([1.0, 2.0, 4.0])),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_have_numpys_values_and_dtypes(name, tape):
    f, x, *more = EDGES[name]
    found, expected = f(tape.leaf(x), *more), f(x, *more)
    pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    for result, answer in pairs:
        assert result.dtype == answer.dtype
        assert_allclose(result.value, answer, rtol=3e-7 if answer.dtype == np.float32 else 0)


@pytest.mark.parametrize(("numbers", "message"), [([-1, 2], "negative"), ([0, 1, 2], "same length")])
def test_bincount_refuses_what_numpys_does(numbers, message, tape):
    with pytest.raises(ValueError, match=message):
        np.bincount(numbers, tape.leaf(np.array([1.0, 2.0])))


NUMBERS = {
    **{
        d: [0.0, -0.0, 1.0, -1.0, 2.5, -7.0, np.inf, -np.inf, np.nan, 5e-324, 1e16, 3.0] for d in ("f4", "f8")
    },
    **{d: [0, 1, -1, 2, -2, 7, -7, np.iinfo(d).min, np.iinfo(d).max, 3, 10**9] for d in ("i4", "i8")},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod"])
def test_quotients_at_zeros_infinities_and_the_smallest_integer(name, dtype, tape):
    with np.errstate(all="ignore"):
        grid = np.meshgrid(*[np.array(NUMBERS[dtype]).astype(dtype)] * 2)
        expected = getattr(np, name)(*grid)
    compiled = wg.compile(lambda a, b: getattr(np, name)(a, b))(*grid)
    for found in (compiled, getattr(np, name)(*map(tape.leaf, grid)).value):
        assert_array_equal(found, expected)
        assert_array_equal(
            np.signbit(found)[expected == expected], np.signbit(expected)[expected == expected]
        )


def test_fmod_is_the_identity_about_zero():
    assert wg.grad(lambda x: np.fmod(x, 3.0))(0.0) == 1
    assert wg.grad(lambda x: np.floor_divide(x, 0.0) + x)(2.0) == 1


@pytest.mark.parametrize("kth", [3, -4, 1.0, "1", [0, 5], True, None, 1, [1, -1], np.int64(2)])
def test_partition_takes_and_refuses_what_numpys_does(kth, tape):
    x = np.array([3.0, 1.0, 2.0])
    calls = [
        lambda v: np.partition(v, kth),
        lambda v: np.argpartition(v, kth),
        lambda v: v.copy().partition(kth),
    ]
    for call in calls:
        try:
            call(x)
        except (TypeError, ValueError) as error:
            with pytest.raises(type(error), match=re.escape(str(error))):
                call(tape.leaf(x))
        else:
            call(tape.leaf(x))
