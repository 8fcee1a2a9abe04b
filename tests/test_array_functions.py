"""Functions that reduce, order, repeat and pad arrays: NumPy's values for every layout and dtype, eager and
compiled; derivatives against HIPS autograd and against differences, to order two."""

import importlib
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
import wengert.numpy as wnp

MASK = np.array([[True, False, True, True], [False, True, True, False], [True, True, True, True]])
PLACES = np.array([[0, -1], [2, 2], [3, 0]])
# name -> function of (np, x), x of shape (3, 4)
COMPUTE = {
    "prod": lambda np, x: np.prod(x, axis=1),
    "prod of all": lambda np, x: np.prod(x, keepdims=True),
    "prod where": lambda np, x: np.prod(x, axis=0, where=MASK, initial=2),
    "sum": lambda np, x: np.sum(x * x, axis=(0, 1)),
    "sum where": lambda np, x: np.sum(x * x, axis=1, where=MASK, initial=1),
    "mean": lambda np, x: np.mean(x * x, axis=-1),
    "mean where": lambda np, x: np.mean(x * x, axis=1, where=MASK),
    "var": lambda np, x: np.var(x, axis=(0, 1), ddof=1),
    "var where": lambda np, x: np.var(x, axis=1, where=MASK, keepdims=True),
    "var mean": lambda np, x: np.var(x, axis=1, mean=np.mean(x, axis=1, keepdims=True)),
    "std": lambda np, x: np.std(x, axis=0),
    "max": lambda np, x: np.max(x * x, axis=1),
    "max where": lambda np, x: np.max(x * x, axis=1, where=MASK, initial=0),
    "pad odd": lambda np, x: np.pad(x, ((2, 1), (5, 0)), "reflect", reflect_type="odd"),
    "pad symmetric odd": lambda np, x: np.pad(x, 4, "symmetric", reflect_type="odd"),
    "pad maximum": lambda np, x: np.pad(x, ((1, 2), (0, 3)), "maximum", stat_length=2),
    "pad minimum": lambda np, x: np.pad(x, 1, "minimum"),
    "pad median": lambda np, x: np.pad(x, 1, "median", stat_length=3),
    "min where": lambda np, x: np.min(x, axis=0, where=MASK, initial=9),
    "cumsum": lambda np, x: np.cumsum(x * x, axis=0),
    "cumsum flat": lambda np, x: np.cumsum(x * x * x),
    "cumprod": lambda np, x: np.cumprod(x, axis=1),
    "cumprod flat": lambda np, x: np.cumprod(x),
    "norm": lambda np, x: np.linalg.norm(x),
    "norm axis": lambda np, x: np.linalg.norm(x, axis=1, keepdims=True),
    "norm 1": lambda np, x: np.linalg.norm(x, 1, axis=0),
    "norm 3": lambda np, x: np.linalg.norm(x, 3, axis=0),
    "norm inf": lambda np, x: np.linalg.norm(x, np.inf, axis=1),
    "norm -inf": lambda np, x: np.linalg.norm(x, -np.inf, axis=1),
    "norm fro": lambda np, x: np.linalg.norm(x, "fro", keepdims=True),
    "norm of matrices": lambda np, x: np.linalg.norm(x, 1) + np.linalg.norm(x, -np.inf, axis=(1, 0)),
    "matmul of vectors": lambda np, x: np.matmul(x[0], x[1]),
    "matmul of a row": lambda np, x: np.matmul(x[:, 0], x),
    "matmul of a column": lambda np, x: np.matmul(x, x[0]),
    "matmul turned": lambda np, x: np.matmul(np.matmul(x.T, x[:, ::-1]), x[::2].T),
    "batches": lambda np, x: np.matmul(np.reshape(x, (3, 1, 2, 2)), np.reshape(x[:2], (2, 2, 2))),
}
MOVE = {
    "sort": lambda np, x: np.sort(x, axis=0),
    "sort flat": lambda np, x: np.sort(x, axis=None),
    "take_along_axis": lambda np, x: np.take_along_axis(x, PLACES, 1),
    "take_along_axis broadcast": lambda np, x: np.take_along_axis(x, PLACES[:1], 1),
    "take_along_axis flat": lambda np, x: np.take_along_axis(x, PLACES[0], None),
    "roll": lambda np, x: np.roll(x, (1, -6), (0, 1)),
    "roll flat": lambda np, x: np.roll(x, 5),
    "tile": lambda np, x: np.tile(x, (2, 1, 3)),
    "repeat": lambda np, x: np.repeat(x, 2, axis=0),
    "repeat each": lambda np, x: np.repeat(x, [1, 0, 2, 1], axis=1),
    "repeat flat": lambda np, x: np.repeat(x, 2),
    "pad": lambda np, x: np.pad(x, ((1, 2), (0, 3)), constant_values=1),
    "pad sides": lambda np, x: np.pad(x, 1, constant_values=((1, 2), (3, 4))),
    "pad edge": lambda np, x: np.pad(x, (1, 2), "edge"),
    "pad reflect": lambda np, x: np.pad(x, ((2, 1), (5, 0)), "reflect"),
    "pad symmetric": lambda np, x: np.pad(x, 4, "symmetric"),
    "pad wrap": lambda np, x: np.pad(x, (0, 5), "wrap"),
    "pad linear_ramp": lambda np, x: np.pad(x, ((2, 0), (1, 3)), "linear_ramp", end_values=((1, 2), (0, -3))),
    "pad mean": lambda np, x: np.pad(x, ((0, 2), (1, 1)), "mean"),
    "pad mean of some": lambda np, x: np.pad(x, 1, "mean", stat_length=((1, 2), (3, 9))),
    "diag": lambda np, x: np.diag(x, 1),
    "diag of a vector": lambda np, x: np.diag(x[1], -2),
    "diagflat": lambda np, x: np.diagflat(x, 1),
    "tril": lambda np, x: np.tril(x, 1),
    "triu": lambda np, x: np.triu(x, -1),
    "split": lambda np, x: np.split(x, [1, 3], axis=1)[1],
    "stack": lambda np, x: np.stack([x, x[:, ::-1]], axis=1),
    "concatenate": lambda np, x: np.concatenate([x, x[:1]]),
    "flip": lambda np, x: np.flip(x, 0),
    "broadcast_to": lambda np, x: np.broadcast_to(x, (2, 3, 4)),
}
FLAT = {
    "any": lambda np, x: np.any(x, axis=1),
    "any where": lambda np, x: np.any(x, axis=1, where=MASK, keepdims=True),
    "all": lambda np, x: np.all(x),
    "all where": lambda np, x: np.all(x, axis=(0, 1), where=MASK),
    "argmin": lambda np, x: np.argmin(x, axis=0),
    "argmin flat": lambda np, x: np.argmin(x, keepdims=True),
    "argmax": lambda np, x: np.argmax(x, axis=1),
    "argsort": lambda np, x: np.argsort(x, axis=0, kind="stable"),
    "argsort flat": lambda np, x: np.argsort(x, axis=None, kind="stable"),
}
ALL = {**COMPUTE, **MOVE, **FLAT}
X = np.array([[0.3, -1.2, 2.5, 0.8], [1.1, 0.4, -0.7, 1.9], [-2.1, 0.6, 0.9, -0.2]])
LAYOUTS = {
    "C": lambda x: x,
    "F": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
}


def agrees(f, x, tolerance):
    """With NumPy: on a tape by either door, compiled, and without a tape."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(f(np, x))
    for found in (
        f(np, wg.Tape().leaf(x)).value,
        f(wnp, wg.Tape().leaf(x)).value,
        wg.compile(lambda x: f(np, x))(x),
        f(wnp, x),
    ):
        assert (np.shape(found), found.dtype) == (expected.shape, expected.dtype)
        assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_values_are_numpys(name, layout):
    # at most 12 terms or factors, of size 10 or less in all
    agrees(ALL[name], layout(X), 1e-13)
    agrees(ALL[name], layout(X.astype("float32")), 5e-5)


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "complex64", "complex128"])
@pytest.mark.parametrize("name", ALL)
def test_other_dtypes_are_numpys(name, dtype):
    if dtype == "bool":  # NumPy adds bools to int64 only in sums
        allowed = name in {**MOVE, **FLAT} or name.startswith(("prod", "cum", "mean", "any", "all"))
    elif dtype.startswith("complex"):
        allowed = name in MOVE and "sort" not in name
    else:
        allowed = not name.startswith("norm 3")  # of large numbers
    if allowed:
        computes = dtype == "complex64" and name.startswith(("pad mean", "pad linear_ramp"))
        agrees(ALL[name], (3 * X).astype(dtype), 5e-5 if computes else 1e-13)  # as of float32


@pytest.mark.parametrize("name", [name for name in ALL if "split" not in name])
def test_empty_arrays_are_numpys(name):
    for shape in ((0, 4), (3, 0)):
        x, f = np.zeros(shape), ALL[name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = np.asarray(f(np, x))
        except (ValueError, IndexError):
            with pytest.raises((ValueError, IndexError)):
                f(np, wg.Tape().leaf(x))
            continue
        found = f(np, wg.Tape().leaf(x)).value
        assert (np.shape(found), found.dtype) == (expected.shape, expected.dtype)
        assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "name", ["prod", "sum", "max", "cumsum", "cumprod", "sort", "norm axis", "roll", "pad edge"]
)
def test_large_arrays_are_numpys(name, rng):
    """Beyond what one tile, one block of a sum and one thread take; factors are near 1."""
    x = (
        rng.standard_normal((700, 1100))
        if name != "prod" and name != "cumprod"
        else 1 + rng.uniform(-1, 1, (700, 1100)) / 99
    )
    expected = ALL[name](np, x)
    # n roundings of each result at most, of sums whose terms are positive or (cumsum) squares
    assert_allclose(ALL[name](np, wg.Tape().leaf(x)).value, expected, rtol=1100 * np.finfo(float).eps)


def scalar(name):
    """A number that depends on every element and twice on each: second derivatives are not zero."""
    f = ALL[name]

    def loss(np, x):
        y = f(np, x) if name in COMPUTE else f(np, x) ** 3
        return np.sum(np.sin(y))

    return loss


@pytest.mark.parametrize("name", [*COMPUTE, *MOVE])
def test_derivatives_are_those_of_differences(name):
    loss = scalar(name)
    wg.testing.check_grads(lambda x: loss(np, x), (X,), order=2)
    g = wg.grad(lambda x: loss(np, x))(X)
    assert_allclose(wg.compile(wg.grad(lambda x: loss(np, x)))(X), g, rtol=1e-14, atol=1e-14)
    assert_allclose(wg.grad(lambda x: loss(np, x))(X.astype("float32")), g, rtol=1e-3, atol=1e-4)


# What HIPS autograd has with these options.
IN_AUTOGRAD = (
    "sum", "mean", "var", "std", "max", "cumsum", "cumsum flat", "norm", "norm 3", "matmul of vectors",
    "matmul of a row", "matmul of a column", "matmul turned", "batches", "tile", "repeat", "split", "stack",
    "concatenate", "roll flat", "tril", "triu",
)  # fmt: skip


@pytest.mark.parametrize("name", IN_AUTOGRAD)
def test_derivatives_are_autograds(name):
    autograd, anp = importlib.import_module("autograd"), importlib.import_module("autograd.numpy")
    loss = scalar(name)
    ours, theirs = lambda x: loss(np, x), lambda x: loss(anp, x)
    # some tens of roundings of terms up to ten times the result
    assert_allclose(wg.grad(ours)(X), autograd.grad(theirs)(X), rtol=1e-13, atol=1e-13)
    assert_allclose(wg.hessian(ours)(X), autograd.hessian(theirs)(X), rtol=1e-12, atol=1e-12)


# ---- where there are several derivatives, or none -----------------------------------------------------


def test_ties_and_zeros():
    zero = np.zeros(3)
    for f in (np.linalg.norm, lambda x: np.linalg.norm(x, 3), lambda x: np.std(x + 1.0)):
        for g in (wg.grad(f), wg.compile(wg.grad(f)), wg.jacfwd(f)):
            assert_array_equal(g(zero), zero)
        assert_array_equal(wg.hessian(f)(zero), np.zeros((3, 3)))
    # the product of the others, whatever is 0 itself
    for factors in ([2.0, 0.0, 3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]):
        x = np.array(factors)
        others = [np.prod(np.delete(x, k)) for k in range(3)]
        assert_array_equal(wg.grad(np.prod)(x), others)
        pairs = [[np.prod(np.delete(x, [j, k])) * (j != k) for j in range(3)] for k in range(3)]
        assert_array_equal(wg.hessian(np.prod)(x), pairs)
        running = [[np.prod(np.delete(x[: k + 1], j)) if j <= k else 0.0 for j in range(3)] for k in range(3)]
        assert_array_equal(wg.jacobian(np.cumprod)(x), running)
        assert_array_equal(wg.jacfwd(np.cumprod)(x), running)
    # equal elements keep their order, and so do their derivatives
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    by_place = wg.grad(lambda x: np.sum(np.sort(x) * weight))(np.array([1.0, 0.0, 1.0, 0.0]))
    assert_array_equal(by_place, [3, 1, 4, 2])
    assert_array_equal(wg.grad(np.max)(np.array([1.0, 2.0, 2.0])), [0.0, 0.5, 0.5])


def test_nan_is_the_largest():
    x = np.array([3.0, np.nan, -np.inf, np.inf, 1.0])
    v = wg.Tape().leaf(x)
    assert_array_equal(np.argsort(v).value, np.argsort(x))
    assert_array_equal(np.sort(v).value, np.sort(x))
    assert (int(np.argmin(v).value), int(np.argmax(v).value)) == (1, 1)
    values, places = wnp.topk(x, 3)
    assert_array_equal(values, [np.nan, np.inf, 3.0])
    assert_array_equal(places, [1, 3, 0])


def test_nan_spreads_to_a_quantile():
    x = np.array([[1.0, np.nan, 3, 2], [4.0, 1, 3, 2], [np.nan, np.nan, np.nan, np.nan]])
    for f in (
        lambda x: np.median(x, axis=1),
        lambda x: np.median(x, axis=0, keepdims=True),
        lambda x: np.percentile(x, [0, 30, 100], axis=1),
        lambda x: np.quantile(x, 0.5, method="nearest"),
    ):
        for found in (wg.vjp(f, x)[0], wg.compile(f)(x)):
            assert_array_equal(found, f(x))
    slopes = wg.grad(lambda x: np.median(x, axis=1)[1])(x)
    assert_array_equal(slopes, [[0, 0, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 0]])


def test_integers_at_the_ends_of_their_range():
    """Where the negative of a number is no number."""
    x = np.array([0, np.iinfo("int64").min, np.iinfo("int64").max, -1])
    v = wg.Tape().leaf(x)
    assert_array_equal(np.sort(v).value, np.sort(x))
    assert int(np.argmin(v).value) == 1
    assert_array_equal(wnp.topk(x, 2)[1], [2, 0])


@pytest.mark.parametrize("n", [1, 2, 47, 48, 49, 255, 256, 1000])
@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "float32", "float64"])
def test_argsort_of_every_length(n, dtype, rng):
    x = rng.integers(-9, 9, (2, n)).astype(dtype) if n % 2 else rng.standard_normal((2, n)).astype(dtype)
    v = wg.Tape().leaf(x)
    assert_array_equal(np.argsort(v, axis=1).value, np.argsort(x, axis=1, kind="stable"))
    assert_array_equal(np.argsort(np.transpose(v), axis=0).value, np.argsort(x.T, axis=0, kind="stable"))


# ---- what NumPy does not have -------------------------------------------------------------------------


def test_topk():
    values, places = wnp.topk(X, 2, axis=0)
    assert_array_equal(places, np.argsort(-X, axis=0)[:2])
    assert_array_equal(values, -np.sort(-X, axis=0)[:2])
    compiled = wg.compile(lambda x: wnp.topk(x, 2, axis=0))(X)
    assert_array_equal(compiled[0], values)
    assert_array_equal(compiled[1], places)
    wg.testing.check_grads(lambda x: np.sum(wnp.topk(x, 3)[0] ** 3), (X,), order=2)
    with pytest.raises(ValueError, match="topk: k=5; the axis has 4 elements"):
        wnp.topk(X, 5)


def test_scatter():
    """What np.put_along_axis does in place: of several values at one place the last."""
    values = np.array([[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]])
    expected = X.copy()
    np.put_along_axis(expected, PLACES, values, 1)
    for f in (wnp.scatter, wg.compile(wnp.scatter, static_argnums=3)):
        assert_array_equal(f(X, PLACES, values, 1), expected)
    wg.testing.check_grads(lambda x, v: np.sum(wnp.scatter(x, PLACES, v) ** 3), (X, values), order=2)


def test_one_hot():
    expected = [[[0, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 0]]]
    assert_array_equal(wnp.one_hot(np.array([[1, 0], [2, -1]]), 3), expected)
    for f in (wnp.one_hot, wg.compile(wnp.one_hot, static_argnums=1)):
        assert_array_equal(f(np.array([2, 0]), 3), np.eye(3)[[2, 0]])
    first = wnp.one_hot([2, 0], 3, dtype="float32", axis=0)
    assert first.dtype == "float32"
    assert_array_equal(first, np.eye(3)[[2, 0]].T)
    with pytest.raises(TypeError, match="one_hot: classes must be integers, got float64"):
        wnp.one_hot(X, 3)


def test_stop_gradient():
    assert_array_equal(wnp.stop_gradient(X), X)
    assert wg.grad(lambda x: x * wnp.stop_gradient(x))(3.0) == 3.0


# ---- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "error", "match"),
    [
        (
            lambda x: np.max(x, where=MASK),
            ValueError,
            "max: without a neutral element, where= needs initial=",
        ),
        (
            lambda x: np.sum(x, where=np.ones((2, 3, 4), bool)),
            ValueError,
            r"sum: where= of shape \(2, 3, 4\)",
        ),
        (lambda x: np.prod(x, out=np.empty(())), TypeError, "out= .*a Var in a plain array"),
        (lambda x: np.cumsum(x, axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (lambda x: np.sort(x, axis=5), np.exceptions.AxisError, "axis 5 is out of bounds"),
        (
            lambda x: np.pad(x, 1, lambda *_: None),
            TypeError,
            "pad: mode=.*function is not supported on a Var",
        ),
        (lambda x: np.pad(x, 1, "mean", end_values=1), ValueError, "pad: mode='mean' .*no such option of it"),
        (lambda x: np.pad(x, -1), ValueError, "widths cannot be negative"),
        (lambda x: np.pad(x, ((1, 2, 3),)), ValueError, "expected a number, a pair"),
        (lambda x: np.repeat(x, [1, 2], axis=0), ValueError, "2 repeats for 3 elements along axis 0"),
        (lambda x: np.repeat(x, -1), ValueError, "cannot be repeated less than 0 times"),
        (lambda x: np.take_along_axis(x, PLACES + 9, 1), IndexError, "out of bounds for axis 1 with size 4"),
        (lambda x: np.take_along_axis(x, PLACES * 1.0, 1), IndexError, "indices must be integers"),
        (lambda x: np.take_along_axis(x, PLACES[0], 1), ValueError, r"indices of shape \(2,\) for an array"),
        (lambda x: np.linalg.norm(x, 7), ValueError, "7 is no order of a norm of matrices"),
        (lambda x: np.linalg.norm(np.reshape(x, (1, 3, 4)), 1), ValueError, "the array has 3 axes"),
        (lambda x: np.diag(np.reshape(x, (1, 3, 4))), ValueError, "one axis or two"),
    ],
)
def test_what_is_refused_is_named(f, error, match):
    for call in (lambda: f(wg.Tape().leaf(X)), lambda: wg.compile(f)(X)):
        with pytest.raises(error, match=match):
            call()
