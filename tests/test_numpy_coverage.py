"""Every function that NumPy lets others override is implemented, constant, or refused by name; and each that
is implemented gives NumPy's values and right derivatives to order two, eager and compiled."""

import importlib.util
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, overrides

import wengert as wg
import wengert.numpy as wnp
from wengert.protocols import FUNCTIONS, array_function

SCRIPT = Path(__file__).parent.parent / "docs" / "numpy_coverage.py"
SPEC = importlib.util.spec_from_file_location("numpy_coverage", SCRIPT)
coverage = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(coverage)

# ---- the registry -------------------------------------------------------------------------------------


def of_numpy():
    functions = overrides.get_overridable_numpy_array_functions()
    return sorted(functions, key=coverage.full_name)


@pytest.mark.parametrize("function", of_numpy(), ids=coverage.full_name)
def test_every_array_function_is_implemented_or_refused_by_name(function, tape):
    if function in FUNCTIONS:
        return
    words = rf"{function.__name__} is not supported on a Var \(.*, line \d+\); .*v\.value"
    with pytest.raises(TypeError, match=words):
        array_function(function, (wg.Var,), (tape.leaf(np.ones(3)),), {})


@pytest.mark.parametrize(
    "ufunc",
    sorted(overrides.get_overridable_numpy_ufuncs(), key=lambda u: u.__name__),
    ids=lambda u: u.__name__,
)
def test_every_ufunc_is_implemented_or_refused_by_name(ufunc, tape):
    if coverage.ufunc_status(ufunc) != "refused":
        return
    with pytest.raises(TypeError, match=ufunc.__name__):
        ufunc(*[tape.leaf(np.ones(3))] * ufunc.nin)


def test_the_page_is_up_to_date():
    assert coverage.PAGE.read_text() == coverage.page(), "run: python docs/numpy_coverage.py"


# ---- values and derivatives ---------------------------------------------------------------------------

X = np.array([[0.3, -1.2, 2.5, 0.8], [1.1, 0.4, -0.7, 1.9], [-2.1, 0.6, 0.9, -0.2]])
V = np.array([0.2, 0.7, 1.9, 3.1])
Z = np.array([0.5, np.nan, 1.5, -2.0])
CUBE = np.linspace(-1, 1, 24).reshape(2, 3, 4) ** 3
LAST, FIRST = (CUBE + 1).swapaxes(1, 2), (CUBE + 1).transpose(1, 2, 0)
EAGER = "eager"  # the shape of the result, or an order, depends on values

# name -> function of (np, x, ...), arguments[, EAGER]
CASES = {
    "diff": (lambda np, x: np.diff(x), (X,)),
    "diff n axis": (lambda np, x: np.diff(x, 2, axis=0), (X,)),
    "diff edges": (lambda np, x: np.diff(x, prepend=0.0, append=x[:, :2]), (X,)),
    "ediff1d": (lambda np, x: np.ediff1d(x, to_begin=x[0, 0], to_end=[1.0, 2.0]), (X,)),
    "trapezoid": (lambda np, y: np.trapezoid(y, dx=0.5), (X,)),
    "trapezoid x": (lambda np, y, x: np.trapezoid(y, x, axis=1), (X, V)),
    "gradient": (lambda np, x: np.gradient(x, axis=1), (X,)),
    "gradient of axes": (lambda np, x: np.stack(np.gradient(x, 0.5, 2.0)), (X,)),
    "gradient at coordinates": (lambda np, f, x: np.gradient(f, x, axis=1, edge_order=2), (X, V)),
    "gradient edge": (lambda np, f: np.gradient(f, 0.3, axis=1, edge_order=2), (X,)),
    "interp": (lambda np, x, xp, fp: np.interp(x, xp, fp), (X * 0.97, V, V**2)),
    "interp bounds": (lambda np, x, fp: np.interp(x, V, fp, left=-1.0, right=fp[0]), (X * 0.97, V**2)),
    "convolve": (lambda np, a, v: np.convolve(a, v), (V, V[:3] ** 2)),
    "convolve same": (lambda np, a, v: np.convolve(a[:2], v, "same"), (V, X[0])),
    "convolve valid": (lambda np, a, v: np.convolve(a, v[:3], mode="valid"), (V, X[0])),
    "correlate": (lambda np, a, v: np.correlate(a, v), (V, X[0])),
    "correlate full": (lambda np, a, v: np.correlate(a, v[:3], "full"), (V, X[0])),
    "correlate swapped": (lambda np, a, v: np.correlate(a[:2], v, "full"), (V, X[0])),
    "correlate same": (lambda np, a, v: np.correlate(a[:3], v, "same"), (V, X[0])),
    "correlate same even": (lambda np, a, v: np.correlate(a, v[:2], "same"), (V, X[0])),
    "apply_along_axis": (lambda np, x: np.apply_along_axis(lambda r: r * r[0], 0, x), (X,)),
    "apply_along_axis number": (lambda np, x: np.apply_along_axis(lambda r: r[0] * r[1], 1, x), (X,)),
    "apply_over_axes": (lambda np, x: np.apply_over_axes(np.sum, x, [0, 2]), (CUBE,)),
    "select": (lambda np, x: np.select([x > 1, x < 0], [x**2, -x], 0.5), (X,)),
    "piecewise": (lambda np, x: np.piecewise(x, [x < 0, x > 1], [lambda x: -x, lambda x: x * x, 0.3]), (X,)),
    "choose": (lambda np, a, b: np.choose([0, 1, 1, 0], [a, b * b]), (V, X[0])),
    "choose wrap": (lambda np, a, b: np.choose([0, 3, 1, 4], [a, b * b], mode="wrap"), (V, X[0])),
    "compress": (lambda np, x: np.compress([True, False, True], x, axis=0) ** 2, (X,)),
    "extract": (lambda np, x: np.extract(X > 0, x) ** 2, (X,)),
    "nan_to_num": (lambda np, x: np.nan_to_num(x * np.array([1, np.nan, np.inf, 1]), nan=2.0)[::3], (V,)),
    "isclose": (lambda np, x: np.isclose(x, x + 1e-9) * x, (X,)),
    "unique": (lambda np, x: np.unique(np.append(x, x[1])) ** 2, (X,), EAGER),
    "fix": (lambda np, x: np.fix(x) * x, (X,)),
    "count_nonzero": (lambda np, x: np.count_nonzero(x > 0, axis=1) * x[:, 0], (X,)),
    "isposinf": (lambda np, x: np.isposinf(x) * x + np.isneginf(-x), (X,)),
    "ptp": (lambda np, x: np.ptp(x, axis=0), (X,)),
    "average": (lambda np, x, w: np.average(x, axis=1, weights=w), (X, V)),
    "average of all": (lambda np, x: np.average(x), (X,)),
    "cov": (lambda np, x: np.cov(x), (X,)),
    "cov of two": (lambda np, x, y: np.cov(x, y, ddof=0), (X, V)),
    "cov weights": (lambda np, x, w: np.cov(x, aweights=w), (X, V)),
    "cov columns": (lambda np, x: np.cov(x, rowvar=False, bias=True), (X,)),
    "corrcoef": (lambda np, x: np.corrcoef(x)[0, 1:], (X,)),
    "nansum": (lambda np, x: np.nansum(x * Z, axis=1), (X,)),
    "nanmean": (lambda np, x: np.nanmean(x * Z, axis=1), (X,)),
    "nanvar": (lambda np, x: np.nanvar(x * Z, axis=1, ddof=1), (X,)),
    "nanstd": (lambda np, x: np.nanstd(x * Z), (X,)),
    "nanmax": (lambda np, x: np.nanmax(x * Z, axis=1), (X,)),
    "nanmin": (lambda np, x: np.nanmin(x * Z, axis=1, keepdims=True), (X,)),
    "einsum": (lambda np, a, b: np.einsum("ij,kj->ik", a, b), (X, X[:2] ** 2)),
    "einsum implicit": (lambda np, a, b: np.einsum("ij,j", a, b), (X, V)),
    "einsum trace": (lambda np, a: np.einsum("ii", a[:, :3] ** 2), (X,)),
    "einsum diagonal": (lambda np, a: np.einsum("ii->i", a[:, :3] ** 2), (X,)),
    "einsum ellipsis": (lambda np, a, b: np.einsum("...ij,...jk->...ik", a, b), (CUBE, LAST)),
    "einsum batch": (lambda np, a, b: np.einsum("bij,bkj->bik", a, b), (CUBE, CUBE**2)),
    "einsum three": (lambda np, a, b, c: np.einsum("ij,j,i->j", a, b, c), (X, V, V[:3])),
    "einsum optimize": (lambda np, a, b: np.einsum("ij,jk,kl->il", a, b, a, optimize=True), (X, X.T)),
    "einsum outer": (lambda np, a, b: np.einsum("i,j->ji", a, b), (V, V[:3] ** 2)),
    "einsum sum": (lambda np, a: np.einsum("ijk->j", a), (CUBE,)),
    "einsum lists": (lambda np, a, b: np.einsum(a, [0, 1], b, [2, 1], [2, 0]), (X, X[:2])),
    "einsum lists implicit": (lambda np, a, b: np.einsum(a, [..., 1], b, [1]), (X, V)),
    "einsum ones": (lambda np, a, b: np.einsum("ij,ij->i", a, b[:1]), (X, X**2)),
    "tensordot": (lambda np, a, b: np.tensordot(a, b, axes=([1, 2], [0, 1])), (CUBE, FIRST)),
    "tensordot number": (lambda np, a, b: np.tensordot(a, b, 1), (CUBE, X.T)),
    "inner": (lambda np, a, b: np.inner(a, b), (CUBE, X)),
    "vdot": (lambda np, a, b: np.vdot(a, b), (X, X**2)),
    "vecdot": (lambda np, a, b: np.vecdot(a, b), (X, V)),
    "matvec": (lambda np, a, b: np.matvec(CUBE * b, a), (V, V)),
    "vecmat": (lambda np, a, b: np.vecmat(a[:3], CUBE * b), (V, V)),
    "kron": (lambda np, a, b: np.kron(a, b), (X, V[:2])),
    "cross": (lambda np, a, b: np.cross(a[:, :3], b[:, 1:]), (X, X + 1)),
    "cross axis": (lambda np, a, b: np.cross(a[:, :3], b[:, 1:], axisa=0, axisb=1, axisc=0), (X, X + 1)),
    "multi_dot": (lambda np, a, b: np.linalg.multi_dot([a, b, a]), (X, X.T)),
    "trace": (lambda np, x: np.trace(x, offset=1), (X,)),
    "diagonal": (lambda np, x: np.diagonal(x, -1, 1, 2) * 2, (CUBE,)),
    "linalg.diagonal": (lambda np, x: np.linalg.diagonal(x) + np.linalg.trace(x)[..., None], (CUBE,)),
    "polyval": (lambda np, p, x: np.polyval(p, x), (V, X)),
    "polyadd": (lambda np, p, q: np.polyadd(p, q[:2]) + np.polysub(p[:2], q), (V, V**2)),
    "polymul": (lambda np, p, q: np.polymul(p, q), (V, V[:3] ** 2)),
    "polyder": (lambda np, p: np.concatenate([np.polyder(p**2, 2), np.polyint(p**2, 2, k=[1.0, 2.0])]), (V,)),
    "poly": (lambda np, p: np.poly(p), (V,)),
    "poly of a matrix": (lambda np, x: np.poly(x[:, :3]), (X,)),
    "polydiv": (lambda np, p, q: np.concatenate(np.polydiv(p, q[:2])), (V, V**2 + 1), EAGER),
    "roots": (lambda np, p: np.sort(np.roots(p)), (np.array([2.0, -3.0, -7.0, 1.5]),), EAGER),
    "roots complex": (lambda np, p: abs(np.roots(p)) ** 2, (V,)),
    "roots at zero": (lambda np, p: np.roots(np.append(np.append(0.0, p), [0.0])), (V[:2],), EAGER),
    "polyfit": (lambda np, x, y, w: np.polyfit(x, y, 1, w=w), (V, X[0], V + 1)),
    "polyfit columns": (lambda np, x, y: np.polyfit(x, y.T, 2), (V, X)),
    "vander": (lambda np, x: np.vander(x, 3) + np.vander(x, 3, increasing=True), (V,)),
    "partition": (lambda np, x: np.sort(np.partition(x, 2, axis=1)[:, :2] ** 2), (X,)),
    "sort_complex": (lambda np, x: np.real(np.sort_complex(x)) ** 2, (X,), EAGER),
    "union1d": (lambda np, x, y: np.union1d(x**2, y), (X, V), EAGER),
    "intersect1d": (lambda np, x: np.intersect1d(x, x[1:]) ** 2, (X,), EAGER),
    "setdiff1d": (lambda np, x: np.setdiff1d(x, x[1:]) ** 2, (X,), EAGER),
    "setxor1d": (lambda np, x, y: np.setxor1d(x, y**2) ** 2, (X, V), EAGER),
    "unique_values": (lambda np, x: np.unique_values(x) + np.unique_all(x)[0] ** 2, (X,), EAGER),
    "unique_counts": (
        lambda np, x: np.unique_counts(x).values * 2 + np.unique_inverse(x).values, (X,), EAGER,
    ),
    "ldexp": (lambda np, x: np.ldexp(x, [1, -2, 0, 3]), (X,)),
    "ldexp far": (lambda np, x: np.ldexp(np.ldexp(x, 1021), -1022), (X,)),
    "frexp": (lambda np, x: np.frexp(x)[0] * np.frexp(x)[1], (X,)),
    "frexp of edges": (lambda np, x: np.frexp(x * 0 + 2.0 ** np.array([-3, 0, 1, 900]))[1] * x, (X,)),
    "real_if_close": (lambda np, x: np.real_if_close(x + 1e-15j * x) ** 2, (X,), EAGER),
    "isreal": (lambda np, x: np.isreal(x + 0j) * x + np.iscomplex(x * 1j), (X,)),
    "append": (lambda np, x: np.append(x, x[:1] ** 2, axis=0), (X,)),
    "block": (lambda np, x: np.block([[x, x[:, :1]], [x[:1] ** 2, np.ones((1, 1))]]), (X,)),
    "array_split": (lambda np, x: np.array_split(x, 3, axis=1)[0], (X,)),
    "hsplit": (lambda np, x: np.hsplit(x, 2)[1] + np.vsplit(x, 3)[0][0, 0], (X,)),
    "dsplit": (lambda np, x: np.dsplit(x, 2)[1] ** 2, (CUBE,)),
    "dstack": (lambda np, x: np.dstack([x, x**2]), (X,)),
    "column_stack": (lambda np, x: np.column_stack([x[:, 0], x]), (X,)),
    "unstack": (lambda np, x: np.unstack(x, axis=1)[2], (X,)),
    "broadcast_arrays": (lambda np, x, y: np.multiply(*np.broadcast_arrays(x, y)), (X, V)),
    "meshgrid": (lambda np, x, y: np.multiply(*np.meshgrid(x, y)), (V, V[:3] ** 2)),
    "meshgrid ij": (lambda np, x, y: np.multiply(*np.meshgrid(x, y, indexing="ij", sparse=True)), (V, V[:3])),
    "rollaxis": (lambda np, x: np.rollaxis(x, 2, 0) + np.rollaxis(x, 2).sum(), (CUBE,)),
    "matrix_transpose": (lambda np, x: np.matrix_transpose(x), (CUBE,)),
    "rot90": (lambda np, x: np.rot90(x), (X,)),
    "rot90 thrice": (lambda np, x: np.rot90(x, 3, axes=(1, 2)) * np.rot90(x, -1, axes=(1, 2)), (CUBE,)),
    "rot90 twice": (lambda np, x: np.rot90(x, 2) + np.flipud(x) * np.fliplr(x), (X,)),
    "resize": (lambda np, x: np.resize(x, (3, 5)), (X,)),
    "delete": (lambda np, x: np.delete(x, [0, 2], axis=1), (X,)),
    "insert": (lambda np, x, v: np.insert(x, 1, v[:3], axis=1), (X, V)),
    "insert many": (lambda np, x, v: np.insert(x, [3, 0, 1], v[:3], axis=1), (X, V)),
    "insert flat": (lambda np, x: np.insert(x, [2, 2], [1.0, 3.0]), (V,)),
    "sliding_window_view": (lambda np, x: np.lib.stride_tricks.sliding_window_view(x, (2, 3)), (X,)),
    "linspace": (lambda np, a, b: np.linspace(a, b, 5, axis=-1), (V, V**2)),
    "logspace": (lambda np, a, b: np.logspace(a, b, 3, base=2.0), (V, V**2)),
    "geomspace": (lambda np, a, b: np.geomspace(a, b, 4, endpoint=False), (V, V + 1)),
    "atleast_3d": (lambda np, x: np.atleast_3d(x), (X,)),
    "like": (lambda np, x: np.array([1.0, 2.0], like=x) + np.ones(2, like=x) * x[:2], (V,)),
    "add.reduce": (lambda np, x: np.add.reduce(x) * np.maximum.reduce(x, axis=0), (X,)),
    "subtract.reduce": (lambda np, x: np.subtract.reduce(x, axis=1, keepdims=True), (X,)),
    "divide.accumulate": (lambda np, x: np.divide.accumulate(x + 3, axis=1), (X,)),
    "multiply.outer": (lambda np, x, y: np.multiply.outer(x, y), (X, V)),
    "power.reduce": (lambda np, x: np.power.reduce(abs(x)), (X,)),
    "hypot.reduce": (lambda np, x: np.hypot.reduce(x, axis=(0, 2)), (CUBE + 2,)),
    "fmax.reduce": (lambda np, x: np.fmax.reduce(x, axis=1, keepdims=True), (X,)),
    "subtract.reduce where": (
        lambda np, x: np.subtract.reduce(x, axis=1, where=X > 0, initial=3.0), (X,),
    ),
    "maximum.reduce where": (lambda np, x: np.maximum.reduce(x, where=X > 0, initial=-1.0), (X,)),
    "logical_xor.reduce": (lambda np, x: np.logical_xor.reduce(x > 0, axis=1) * x[:, 0], (X,)),
    "logical_and.accumulate": (lambda np, x: np.logical_and.accumulate(x, axis=1) * x, (X,)),
    "maximum.accumulate": (lambda np, x: np.maximum.accumulate(x, axis=1), (X,)),
    "add.reduceat": (lambda np, x: np.add.reduceat(x, [0, 2, 1, 3], axis=1), (X,)),
    "multiply.reduceat": (lambda np, x: np.multiply.reduceat(x, [1, 2]), (X,)),
    "where=": (lambda np, x: np.add.reduce(x, axis=0, where=X > 0, initial=2.0), (X,)),
    "floor_divide": (lambda np, x, y: np.floor_divide(x, y) * x, (X, V)),
    "fmod": (lambda np, x, y: np.fmod(x, y), (X, V)),
    "divmod": (lambda np, x: np.divmod(x, 0.73)[0] * x + np.divmod(x, 0.73)[1], (X,)),
    "modf": (lambda np, x: np.modf(x)[0] * np.modf(x)[1], (X,)),
    "angles": (lambda np, x: np.deg2rad(x) * np.degrees(x) + np.radians(np.rad2deg(x)), (X,)),
    "signs": (lambda np, x: np.copysign(x * x, x) + np.fabs(x) * np.signbit(x), (X,)),
    "signbit of -0": (lambda np, x: np.signbit(x * 0.0) * x, (X,)),
    "heaviside": (lambda np, x: np.heaviside(x, 0.5) * x, (X,)),
    "fmax": (lambda np, x: np.fmax(x, Z) * np.fmin(Z, x), (X,)),
    "logaddexp2": (lambda np, x, y: np.logaddexp2(x, y), (X, V)),
    "cumulative_sum": (lambda np, x: np.cumulative_sum(x, axis=1, include_initial=True) ** 2, (X,)),
    "cumulative_prod": (lambda np, x: np.cumulative_prod(x), (V,)),
    "bincount": (lambda np, w: np.bincount([0, 2, 2, 5], w * w, minlength=8), (V,)),
    "dtype=": (lambda np, x: np.add(x, 1, dtype="f8"), (X,)),
}  # fmt: skip
ONLY_NUMPY = {"like", "sliding_window_view", "multi_dot", "linalg.diagonal"}  # not names of wengert.numpy


def norm(f):
    """The function with its results as floats, for the checks of derivatives."""
    return lambda *args: f(np, *args) * 1.0


@pytest.mark.parametrize("name", CASES)
def test_values_are_numpys(name, tape):
    f, args = CASES[name][:2]
    expected = np.asarray(f(np, *args))
    close = partial(assert_allclose, rtol=1e-12, atol=1e-13)
    found = f(np, *(tape.leaf(x) for x in args))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    close(found.value, expected)
    for k in range(len(args) if len(args) > 1 else 0):  # a Var among plain arrays
        mixed = f(np, *(tape.leaf(x) if i == k else x for i, x in enumerate(args)))
        close(mixed.value, expected)
    if EAGER not in CASES[name]:
        close(wg.compile(lambda *args: f(np, *args))(*args), expected)
    if name not in ONLY_NUMPY and ".reduce" not in name and "." not in name:
        close(f(wnp, *(tape.leaf(x) for x in args)).value, expected)
        close(f(wnp, *args), expected)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_agree_with_differences(name):
    f, args = CASES[name][:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wg.testing.check_grads(norm(f), args, order=2)
        if EAGER not in CASES[name]:
            gradient = wg.grad(lambda *a: np.sum(f(np, *a) ** 2 * 1.0), tuple(range(len(args))))
            for eager, compiled in zip(gradient(*args), wg.compile(gradient)(*args), strict=True):
                assert_allclose(compiled, eager, rtol=1e-12, atol=1e-13)
