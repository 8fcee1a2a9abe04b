"""Nothing that is implemented goes unchecked: each function of docs/numpy-coverage.md, wengert.numpy and
wengert.scipy, each method of a Var has derivatives of order two, forward and reverse, as differences say.

The cases are those of the tests by subject and the ones here; calls are counted by what a namespace was asked
for.
"""

import types
import warnings

import numpy as np
import pytest
import scipy
import scipy.special
import scipy.stats
import test_array_functions
import test_fft
import test_linalg
import test_numpy
import test_numpy_coverage
import test_scipy
from numpy.testing import assert_allclose, overrides
from test_numpy_coverage import CUBE, EAGER, V, X, Z, coverage

import wengert as wg
import wengert.numpy as wnp
import wengert.scipy as wscipy
from wengert.protocols import NAMESPACE
from wengert.pytree import tree_map

ARRAYS = {**test_array_functions.COMPUTE, **test_array_functions.MOVE, **test_array_functions.FLAT}
U = np.array([[0.31, 0.62, 0.18, 0.83], [0.44, 0.75, 0.27, 0.56]])  # inside the domain of each function
PLACES = np.array([[1], [0], [3]])
# Of floats to floats, at U or at U + 1.
ELEMENTWISE = (
    "absolute arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil celu cos cosh digamma elu erf erfc "
    "erfinv exp exp2 expit expm1 fabs floor gelu hard_sigmoid hard_swish hard_tanh i0 isneginf leaky_relu "
    "lgamma log log10 log1p log2 log_expit log_softmax logsumexp mish negative reciprocal relu relu6 rint "
    "selu sign sigmoid silu sin sinh softmax softplus sqrt square tan tanh trunc"
).split()
COMPARISONS = "equal greater greater_equal less less_equal not_equal".split()


def written(name, *args):
    """A function that writes to its first argument, as one that returns what it has written."""

    def f(np, x, *more):
        y = x * 1.0
        getattr(np, name)(y, *args, *more)
        return y

    return f


# name -> function of (np, x, ...), arguments[, EAGER]
CASES = {
    **{name: (lambda np, x, f=name: getattr(np, f)(x), (U + (name == "arccosh"),)) for name in ELEMENTWISE},
    **{name: (lambda np, x, y, f=name: getattr(np, f)(x, y) * x, (U, V)) for name in COMPARISONS},
    "amax": (lambda np, x: np.amax(x, axis=1), (X,)),
    "minimum": (lambda np, x, y: np.minimum(x, y), (X, V)),
    "bits": (lambda np, x: np.bitwise_or(x.astype(int), 1) + np.right_shift(x.astype(int), 1), (9.7 * X,)),
    "float_power": (lambda np, x, y: np.float_power(x, y), (U, V)),
    "all": (lambda np, x: np.all(x, axis=0) * x + np.any(x > 0, axis=1, keepdims=True) * x, (X,)),
    "angle": (lambda np, x: np.angle(x + 1j * x**2), (X,)),
    "imag": (lambda np, x: np.imag((x + 0.3j) ** 2), (X,)),
    "argpartition": (lambda np, x: np.take_along_axis(x, np.argpartition(x, 2)[:, 2:3], 1) ** 2, (X,)),
    "argsort": (lambda np, x: np.take_along_axis(x, np.argsort(x, axis=0), 0) ** 2, (X,)),
    "astype": (lambda np, x: np.real(np.astype(x, complex) ** 2), (X,)),
    "copyto": (written("copyto"), (X, V)),
    "copyto where": (lambda np, x, y: written("copyto")(np, x, y) * X, (X, V)),
    "empty_like": (lambda np, x: np.empty_like(x).shape[0] * x, (X,)),
    "fill_diagonal": (written("fill_diagonal"), (X, V[:3] ** 2)),
    "linalg.cross": (lambda np, x: np.linalg.cross(x[:, :3], x[:, 1:]), (X,)),
    "linalg.matrix_rank": (lambda np, x: np.linalg.matrix_rank(x) * x, (X,)),
    "linalg.matrix_transpose": (lambda np, x: np.linalg.matrix_transpose(x) ** 2, (CUBE,)),
    "linalg.tensordot": (lambda np, x, y: np.linalg.tensordot(x, y, axes=1), (CUBE, X.T)),
    "linalg.vecdot": (lambda np, x, y: np.linalg.vecdot(x, y), (X, V)),
    "median": (lambda np, x: np.median(x, axis=1), (X,)),
    "quantile": (lambda np, x: np.quantile(x, [0.2, 0.7], axis=0), (X,)),
    "percentile": (lambda np, x: np.percentile(x, 40.0, method="hazen"), (X,)),
    "nanmedian": (lambda np, x: np.nanmedian(x * Z, axis=1), (X,), EAGER),
    "nanquantile": (lambda np, x: np.nanquantile(x * Z, 0.3, axis=1), (X,), EAGER),
    "nanpercentile": (lambda np, x: np.nanpercentile(x * Z, 40.0), (X + U[0],), EAGER),
    "nanprod": (lambda np, x: np.nanprod(x * Z, axis=1), (X,)),
    "nancumsum": (lambda np, x: np.nancumsum(x * Z, axis=1) ** 2, (X,)),
    "nancumprod": (lambda np, x: np.nancumprod(x * Z, axis=1), (X,)),
    "place": (written("place", X > 0), (X, V)),
    "put": (written("put", [0, 5, -1]), (X, V[:3])),
    "putmask": (written("putmask", X > 0), (X, V)),
    "put_along_axis": (
        lambda np, x, v: written("put_along_axis", PLACES, v[:3, None], 1)(np, x), (X, V),
    ),
    "trim_zeros": (lambda np, x: np.trim_zeros(np.append(0.0, x)) ** 2, (V,), EAGER),
    "unwrap": (lambda np, x: np.unwrap(4 * x, axis=1) ** 2, (X,)),
}  # fmt: skip
# Of wengert.numpy alone.
BEYOND = {
    "asarray": (lambda np, x: np.asarray(x) * np.asanyarray(x), (X,)),
    "contiguous": (lambda np, x: np.ascontiguousarray(x.T) * np.asfortranarray(x.T), (X,)),
    "require": (lambda np, x: np.require(x, float) ** 2, (X,)),
    "full": (lambda np, x: np.full((2, 4), x), (V,)),
    "gammaln": (lambda np, x: np.gammaln(x) + np.gelu(x, approximate=True), (U,)),
    "index_set": (lambda np, x, v: np.index_set(x, [0, 2], v), (V, U[0, :2])),
    "index_add": (lambda np, x, v: np.index_add(x, [0, 0, 2], v) ** 2, (V, V[:3])),
    "make_diagonal": (lambda np, x: np.make_diagonal(x**2, axis1=-1, axis2=-2), (X,)),
    "multi_dot": (lambda np, x, y: np.multi_dot([x, y, x]), (X, X.T)),
    "one_hot": (lambda np, x: np.one_hot([1, 0, 3], 4) * x, (X,)),
    "polygamma": (lambda np, x: np.polygamma(2, x), (U,)),
    "scatter": (lambda np, x, v: np.scatter(x, PLACES, v[:3, None]), (X, V)),
    "shapes": (lambda np, x: np.ndim(x) * np.size(x) * np.shape(x)[0] * x, (X,)),
    "result_type": (lambda np, x: np.asarray(x, np.result_type(x, "f4")) ** 2, (X,)),
    "sliding_window_view": (lambda np, x: np.sliding_window_view(x, 2, axis=1) ** 2, (X,)),
    "stop_gradient": (lambda np, x: np.stop_gradient(X) * x, (X,)),
    "topk": (lambda np, x: np.topk(x, 2)[0] ** 2, (X,)),
}
ONLY_BEYOND = {name for name in ELEMENTWISE if not hasattr(np, name)}
# They make arrays of what is no array; a Var takes part as the `like=` of their result only.
MADE = set(
    (
        "arange empty eye frombuffer fromfile fromfunction fromiter fromstring genfromtxt identity loadtxt "
        "ones tri zeros"
    ).split()
)


def plainly(f, args):
    """The function of its arguments for the checks: its results as floats."""
    return lambda *args: tree_map(lambda y: y * 1.0, f(*args))


@pytest.mark.parametrize("name", [*CASES, *BEYOND])
def test_derivatives_are_those_of_differences(name, tape):
    f, args, *eager = {**CASES, **BEYOND}[name]
    spaces = [wnp] if name in BEYOND or name in ONLY_BEYOND else [np, wnp]
    for space in spaces:
        if space is wnp and "." in name:
            continue
        wg.testing.check_grads(plainly(lambda *args, np=space: f(np, *args), args), args, order=2, scale=10)
        expected = np.asarray(f(wnp if name in ONLY_BEYOND else spaces[0], *args))
        found = f(space, *map(tape.leaf, args))
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert_allclose(found.value, expected, rtol=1e-12, atol=1e-14)
        if not eager:
            compiled = wg.compile(lambda *args, np=space: f(np, *args))
            assert_allclose(compiled(*args), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", test_numpy.FUNCTIONS)
def test_derivatives_of_numpys_functions(name):
    f = test_numpy.FUNCTIONS[name]
    if "f4" not in f.__code__.co_consts:  # of which differences say little
        wg.testing.check_grads(plainly(lambda x: f(np, x), None), (test_numpy.B + 0.013,), order=2, scale=10)


# ---- methods ------------------------------------------------------------------------------------------


def changed(name, *args):
    def f(x):
        y = x * 1.0
        getattr(y, name)(*args)
        return y

    return f


METHODS = {
    "all": lambda x: x.all(0) * x,
    "any": lambda x: x.any() * x,
    "argmax": lambda x: x[x.argmax(0), 0],
    "argmin": lambda x: x[x.argmin(0), 0],
    "argpartition": lambda x: np.take_along_axis(x, x.argpartition(1, axis=0), 0)[1],
    "argsort": lambda x: np.take_along_axis(x, x.argsort(0), 0) ** 2,
    "astype": lambda x: (x.astype(complex) ** 2).real,
    "choose": lambda x: (x > 0).astype(int).choose([x, x**2]),
    "clip": lambda x: x.clip(-0.5, 1.0),
    "compress": lambda x: x.compress([True, False, True], 0),
    "conj": lambda x: x.conj(),
    "conjugate": lambda x: (x * 1j).conjugate().imag,
    "copy": lambda x: x.copy() ** 2,
    "cumprod": lambda x: x.cumprod(1),
    "cumsum": lambda x: x.cumsum(1) ** 2,
    "diagonal": lambda x: x.diagonal() ** 2,
    "dot": lambda x: x.dot(x.T),
    "fill": lambda x: changed("fill", x[0, 0])(x),
    "flatten": lambda x: x.flatten() ** 2,
    "max": lambda x: x.max(1),
    "mean": lambda x: x.mean(0) ** 2,
    "min": lambda x: x.min(0),
    "nonzero": lambda x: x[x.nonzero()] ** 2,
    "partition": changed("partition", 1),
    "prod": lambda x: x.prod(0),
    "put": lambda x: changed("put", [0, 3], x[0, :2] ** 2)(x),
    "ravel": lambda x: x.ravel() ** 2,
    "repeat": lambda x: x.repeat(2, 0),
    "reshape": lambda x: x.reshape(4, -1) ** 2,
    "round": lambda x: x.round(1) * x,
    "searchsorted": lambda x: x[0, np.sort(x[0]).searchsorted(0.5)] ** 2,
    "sort": changed("sort", 0),
    "squeeze": lambda x: x[None].squeeze() ** 2,
    "std": lambda x: x.std(1),
    "sum": lambda x: x.sum(1) ** 2,
    "swapaxes": lambda x: x.swapaxes(0, 1) @ x,
    "take": lambda x: x.take([1, 1], 0) ** 2,
    "trace": lambda x: x.trace() ** 2,
    "transpose": lambda x: x.transpose() @ x,
    "var": lambda x: x.var(0),
    "T": lambda x: x.T @ x,
    "mT": lambda x: x.mT @ x,
    "real": lambda x: (x + 1j * x**2).real,
    "imag": lambda x: (x + 1j * x**2).imag,
}
CONSTANT = {"dtype", "itemsize", "nbytes", "ndim", "shape", "size"}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name, tape):
    f = METHODS[name]
    assert_allclose(f(tape.leaf(X)).value, f(X), rtol=1e-14)
    wg.testing.check_grads(plainly(f, None), (X,), order=2)


@pytest.mark.parametrize("name", sorted(name for name in dir(np.ndarray) if name[0] != "_"))
def test_every_method_of_an_array_is_implemented_or_refused_by_name(name, tape):
    v = tape.leaf(X)
    if name in CONSTANT:
        assert getattr(v, name) == getattr(X, name)
    elif name not in METHODS:
        with pytest.raises((AttributeError, TypeError), match=rf"{name}.*v\.value|v\.{name}\(\).*would drop"):
            getattr(v, name)()


# ---- SciPy --------------------------------------------------------------------------------------------

DISTRIBUTIONS = {  # shape parameters, or arguments
    "norm": (), "t": (2.5,), "gamma": (1.7,), "chi2": (3.0,), "expon": (), "beta": (2.0, 1.5),
}  # fmt: skip
METHODS_OF_ONE = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf")
STATS = {
    f"{name}.{method}": (
        lambda s, x, scale, d=name, m=method, shapes=shapes: getattr(getattr(s.stats, d), m)(
            x, *shapes, loc=-0.1, scale=scale
        ),
        (U, U[0] + 1.2),
    )
    for name, shapes in DISTRIBUTIONS.items()
    for method in METHODS_OF_ONE
}
STATS |= {
    "multivariate_normal.pdf": (
        lambda s, x, c: s.stats.multivariate_normal.pdf(x, X[0], c @ c.T + np.eye(4)), (U, CUBE[0].T),
    ),
    "dirichlet.pdf": (lambda s, a: s.stats.dirichlet.pdf(np.array([0.2, 0.3, 0.5]), a), (V[:3],)),
    "zeta": (lambda s, x: s.special.zeta(2.5, x), (U,)),
    "order": (lambda s, x: s.special.jn(2, x) + s.special.yn(2, x), (U,)),
    "softmax": (lambda s, x: s.special.softmax(x, axis=0) * s.special.log_softmax(x, axis=1), (X,)),
}  # fmt: skip


@pytest.mark.parametrize("name", STATS)
def test_scipys_functions(name):
    f, args = STATS[name]
    assert_allclose(wg.vjp(lambda *args: f(wscipy, *args), *args)[0], f(scipy, *args), rtol=1e-9)
    wg.testing.check_grads(lambda *args: f(wscipy, *args), args, order=2, scale=10)


# ---- nothing is left out ------------------------------------------------------------------------------


class Seen:
    """A namespace that notes what it is asked for; to modules and distributions it leads on."""

    def __init__(self, space, names, path=""):
        self.space, self.names, self.path = space, names, path

    def __getattr__(self, name):
        found, full = getattr(self.space, name), self.path + name
        if isinstance(found, types.ModuleType) or hasattr(found, "logpdf") or hasattr(found, "logpmf"):
            return Seen(found, self.names, full + ".")
        self.names.add(full)
        return found


def names_in(space, cases):
    names = set()
    seen = Seen(space, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for f, args in cases:
            f(seen, *args)
    return names


def checked():
    """The names of NumPy's that cases with a check of order two, in both modes, ask for."""
    cases = [case[:2] for case in (*test_numpy_coverage.CASES.values(), *test_linalg.CASES.values())]
    cases += [(f, (test_fft.X,)) for f in test_fft.CASES.values()]
    cases += [
        (f, (X,)) for f in (*test_array_functions.COMPUTE.values(), *test_array_functions.MOVE.values())
    ]
    cases += [(f, (test_numpy.B,)) for f in test_numpy.FUNCTIONS.values()]
    cases += [case[:2] for name, case in CASES.items() if name not in ONLY_BEYOND]
    beyond = [
        case[:2]
        for name, case in (*CASES.items(), *BEYOND.items())
        if name not in CASES or name in ONLY_BEYOND
    ]
    beyond += [(f, (x,)) for f, x in test_numpy.JOINED.values()]
    return names_in(np, cases) | names_in(wnp, beyond)


def test_every_function_of_the_page_is_checked():
    listed = {
        coverage.full_name(f).removeprefix("numpy.")
        for f in overrides.get_overridable_numpy_array_functions()
        if coverage.status(f) == "implemented"
    }
    listed |= {
        u.__name__
        for u in overrides.get_overridable_numpy_ufuncs()
        if coverage.ufunc_status(u) == "implemented"
    }
    names = checked()
    names |= {f"lib.stride_tricks.{name}" for name in names if name == "sliding_window_view"}
    same = {name: getattr(np, name, name) for name in listed}  # np.amax and np.max
    objects = {id(getattr(np, name)) for name in names if hasattr(np, name)}
    assert not {name for name in listed - names - MADE if id(same[name]) not in objects}


def test_every_name_of_wengert_numpy_is_checked():
    objects = {id(NAMESPACE[name]) for name in checked() if name in NAMESPACE}
    assert not {name for name, f in NAMESPACE.items() if id(f) not in objects}


def test_every_mirror_of_scipys_is_checked():
    seen = names_in(scipy, [*test_scipy.CASES.values(), *STATS.values()])
    linear = {name.removeprefix("linalg.") for name in checked()}
    for module in ("special", "linalg", "signal", "integrate"):
        theirs, ours = getattr(scipy, module), getattr(wscipy, module)
        for name in dir(theirs):
            mirrored = name[0] != "_" and getattr(ours, name) is not getattr(theirs, name)
            mirrored = mirrored and callable(getattr(ours, name))
            assert not mirrored or f"{module}.{name}" in seen or (module == "linalg" and name in linear), name
    for name, distribution in vars(wscipy.stats).items():
        if isinstance(distribution, wscipy.stats._Plain):
            methods = {m for m in dir(type(distribution)) if hasattr(getattr(scipy.stats, name), m)}
            assert not {m for m in methods if m[0] != "_"} - {
                m.rpartition(".")[2] for m in seen if f".{name}." in m
            }


# ---- complex numbers ----------------------------------------------------------------------------------

COMPLEX = {
    **{f"every {name}": case for name, case in CASES.items() if name not in ONLY_BEYOND},
    **test_numpy_coverage.CASES,
    "inverses": (
        lambda np, x: np.arccosh(x + 0j) + np.arcsin(x + 0j) * np.arcsinh(x + 0j) + np.log1p(x + 0j),
        (X,),
    ),
    **{f"linalg {name}": case for name, case in test_linalg.CASES.items()},
    **{f"fft {name}": (f, (test_fft.X,)) for name, f in test_fft.CASES.items()},
    **{f"array {name}": (f, (X,)) for name, f in ARRAYS.items()},
    **{f"numpy {name}": (f, (test_numpy.B,)) for name, f in test_numpy.FUNCTIONS.items()},
}
# What NumPy gives is not a function of the numbers: vectors up to a factor, the upper triangle not looked at;
# distinct ones in the order of a hash table; weights whose imaginary parts it drops.
ARBITRARY = {
    *(f"linalg {name}" for name in test_linalg.CASES if name.startswith(("eig", "svd", "qr", "cholesky"))),
    "unique_values", "unique_counts", "cov weights",
}  # fmt: skip


def turned(x):
    return x * (1 + 0.2j) + 0.1j * np.cos(np.arange(np.size(x))).reshape(np.shape(x))


@pytest.mark.parametrize("name", sorted(set(COMPLEX) - ARBITRARY))
@pytest.mark.filterwarnings("ignore")
def test_complex_numbers_are_numpys_or_refused_by_name(name, tape):
    f, args = COMPLEX[name][:2]
    numbers = [turned(x) for x in args]
    try:
        expected = np.asarray(f(np, *numbers))
    except (TypeError, ValueError):  # not in NumPy
        return
    try:
        found = f(np, *map(tape.leaf, numbers))
    except TypeError as error:
        assert "complex" in str(error) or "this dtype" in str(error) or "not offered" in str(error)  # noqa: PT017
        return
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert_allclose(found.value, expected, rtol=1e-10, atol=1e-11)

    def parts(*args):
        y = f(np, *(args[k] + 1j * args[k + len(numbers)] for k in range(len(numbers))))
        return np.real(y) * 1.0, np.imag(y) * 1.0

    pairs = (*(z.real.copy() for z in numbers), *(z.imag.copy() for z in numbers))
    wg.testing.check_grads(parts, pairs, order=2, scale=10)
