"""Where a derivative would be lost the error names the user's line, what happened and the way out; the first
NaN is found."""

import array
import bisect
import cmath
import copy
import decimal
import fractions
import functools
import heapq
import io
import itertools
import json
import math
import operator
import pickle
import random
import statistics
import struct
import threading

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats
from numpy.testing import assert_allclose

import wengert as wg
import wengert.numpy as wnp
from wengert.pytree import tree_leaves

LOSSES = {
    "float": (lambda v: float(v), "np.sin"),
    "int": (lambda v: int(v), "astype"),
    "complex": (lambda v: complex(v), "astype"),
    "math": (lambda v: math.sin(v), "np.sin"),
    "asarray": (lambda v: np.asarray(v), "wengert.numpy.asarray"),
    "array": (lambda v: np.array([v, v]), "np.stack"),
    "random": (lambda v: np.random.normal(v), "wengert.random"),  # noqa: NPY002 - the global generator is meant
    "generator": (lambda v: np.random.default_rng(0).normal(v, 1.0), "wengert.random"),
    "item": (lambda v: v.item(), "v itself"),
    "array[i] = v": (lambda v: np.zeros(3).__setitem__(0, v), "a[i] = v"),
    "array += v": (lambda v: operator.iadd(np.zeros(3), v), "a = a + v"),
    "out=array": (lambda v: np.sin(v, out=np.zeros(())), "a = a + v"),
    "full": (lambda v: np.full(2, v), "wengert.numpy.asarray"),
    "full_like": (lambda v: np.full_like(np.zeros(2), v), "np.where"),
    "copyto": (lambda v: np.copyto(np.zeros(2), v), "np.where"),
    "add.at": (lambda v: np.add.at(np.zeros(2), [0], v), "index_add"),
    "fromiter": (lambda v: np.fromiter([v, v], float), "np.stack"),
    "floor": (lambda v: math.floor(v), "np.sin"),
    "hypot": (lambda v: math.hypot(v, 1.0), "np.sin"),
    "fsum": (lambda v: math.fsum([v, v]), "np.sin"),
    "float64": (lambda v: np.float64(v), "wengert.numpy.asarray"),
    "tolist": (lambda v: v.tolist(), "list(v)"),
    "tobytes": (lambda v: v.tobytes(), "v.value.tobytes"),
    "flat": (lambda v: v.flat, "v.value.flat"),
    "index": (lambda v: [1, 2, 3][v], "np.take"),
    "range": (lambda v: range(v), "static_argnums"),
    "uniform": (lambda v: np.random.uniform(0, v), "wengert.random"),  # noqa: NPY002 - the global generator is meant
    "scipy.linalg": (lambda v: scipy.linalg.expm(v * np.eye(2)), "wengert.scipy.linalg"),
    "scipy.integrate": (lambda v: scipy.integrate.quad(lambda t: t * v, 0, 1), "wg.implicit_root"),
    "fill": (lambda v: np.zeros(3).fill(v), "np.stack"),
    "initial=": (lambda v: np.sum(np.zeros(3), initial=v), "np.stack"),
    "array.array": (lambda v: array.array("d", [v]), "np.stack"),
    "%f": (lambda v: "%f" % v, "v.value"),  # noqa: UP031
    "fmean": (lambda v: statistics.fmean([v, v]), "np.sin"),
    "dist": (lambda v: math.dist([v], [1.0]), "np.sin"),
    "cmath": (lambda v: cmath.exp(v), "astype"),
    "complex of two": (lambda v: complex(v, v), "astype"),
    "float32": (lambda v: np.float32(v), "wengert.numpy.asarray"),
    "masked array": (lambda v: np.ma.array(v), "wengert.numpy.asarray"),
    "r_": (lambda v: np.r_[v, 1.0], "wengert.numpy.asarray"),
    "mgrid": (lambda v: np.mgrid[0:v], "wengert.numpy.asarray"),
    "arange": (lambda v: np.arange(v), "v.value"),
    "choice": (lambda v: np.random.default_rng(0).choice(3, p=[v, v, 0.0]), "wengert.random"),
    "gauss": (lambda v: np.random.default_rng(0).multivariate_normal([v], [[1.0]]), "wengert.random"),
    "seed": (lambda v: np.random.seed(v), "v.value"),  # noqa: NPY002
    "assert_allclose": (lambda v: np.testing.assert_allclose(v, 0.5), "wengert.numpy.asarray"),
    "save": (lambda v: np.save(io.BytesIO(), v), "v.value"),
    "savetxt": (lambda v: np.savetxt(io.StringIO(), v), "v.value"),
    "copy.copy": (lambda v: copy.copy(v), "v.copy()"),
    "deepcopy": (lambda v: copy.deepcopy([v]), "v.copy()"),
    "pickle": (lambda v: pickle.dumps(v), "v.value"),
    "frompyfunc": (lambda v: np.frompyfunc(lambda a: a * a, 1, 1)(v), "wengert.numpy"),
    "vectorize": (lambda v: np.vectorize(lambda a: a * a)(v), "wengert.numpy"),
    "nditer of values": (lambda v: np.broadcast(v, v), "wengert.numpy.asarray"),
    "ndenumerate": (lambda v: list(np.ndenumerate(v)), "wengert.numpy.asarray"),
    "emath": (lambda v: np.emath.sqrt(v), "wengert.numpy"),
    "einsum out=": (lambda v: np.einsum(",", v, v, out=np.zeros(())), "compute without it"),
    "sum out=": (lambda v: np.sum(v, out=np.zeros(())), "out= away"),
    "array @= v": (lambda v: operator.imatmul(np.eye(2), v * np.eye(2)), "a = a + v"),
    "a[v]": (lambda v: np.zeros(3)[v], "np.take"),
    "a[:v]": (lambda v: np.zeros(3)[:v], "np.take"),
    "v.data": (lambda v: v.data, "v.value.data"),
    "v.ctypes": (lambda v: v.ctypes, "v.value.ctypes"),
    "v.strides": (lambda v: v.strides, "v.value.strides"),
    "v.view": (lambda v: v.view("i8"), "v.value.view"),
    "v.shape = ": (lambda v: setattr(v, "shape", (1,)), "v.reshape"),
    "v.dtype = ": (lambda v: setattr(v, "dtype", "f4"), "v.astype"),
    "v.flat = ": (lambda v: setattr(v, "flat", 1.0), "v[...]"),
    "array.dot": (lambda v: np.zeros(1).dot(v), "wengert.numpy.array"),
    "dot of a list": (lambda v: np.dot([v, v], [1.0, 2.0]), "wengert.numpy.array"),
    "sum of a list": (lambda v: np.sum([v, v]), "wengert.numpy.array"),
    "scipy.stats": (lambda v: scipy.stats.norm.logpdf(v), "wengert.scipy.stats"),
}


MODES = {
    "grad": lambda f, x: wg.grad(f)(x),
    "compile": lambda f, x: wg.compile(f)(x),
    "tape": lambda f, x: f(wg.Tape().var(x)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_lost_derivative_is_named_with_the_line(name, mode):
    f, way_out = LOSSES[name]
    with pytest.raises((TypeError, AttributeError)) as raised:
        MODES[mode](f, 0.5)
    assert way_out in str(raised.value)
    assert "test_refusals.py, line" in str(raised.value)


def looked_up(x):
    """Integers and bools in places that take plain numbers only."""
    table, k, cells = np.array([10.0, 20.0, 30.0]), np.argmax(x), np.floor(x).astype(int)
    y = table[k] * x[0] + np.sum(table[cells] * x) + np.sum(table[x > 1]) * x[1] + [1, 2, 3][k] * x[1]
    return y + sum(range(k)) * x[2] + int(k) * x[0] + float(k.item()) * x[1] + cells.tolist()[1] * x[2]


def test_integers_and_bools_have_no_derivative_to_lose():
    x = np.array([0.3, 1.2, 2.1])
    value, slope = wg.value_and_grad(looked_up)(x)
    assert_allclose(value, looked_up(x))
    assert_allclose(slope, [10 + 30 + 2, 20 + 50 + 3 + 2, 30 + 1 + 1])
    for f in (
        lambda x: np.ones(3)[np.argmax(x)] * x[0],
        lambda x: np.sum(np.ones(3)[x > 1]),
        lambda x: [1, 2][np.argmax(x)] * x[0],
        lambda x: int(np.argmax(x)) * x[0],
    ):
        with pytest.raises(TypeError, match=r"np\.take\(a, v\)|v\.astype\(int\)"):
            wg.compile(wg.grad(f))(x)


VALUES = {
    "bool": (lambda v: v if v > 0 else -v, "wg.cond"),
    "and": (lambda v: v > 0 and v, "np.where"),
    "max": (lambda v: max(v, 0.0), "np.where"),
    "in": (lambda v: v in [1.0, 2.0], "np.where"),
    "format": (lambda v: f"{v:.3f}", "static_argnums"),
    "value": (lambda v: v.value, "static_argnums"),
    "v[mask]": (lambda v: (v * np.ones(3))[v > 0], "np.where(mask, v, 0)"),
    "nonzero": (lambda v: np.nonzero(v), "static_argnums"),
    "unique": (lambda v: np.unique(v), "static_argnums"),
    "allclose": (lambda v: np.allclose(v, 0), "static_argnums"),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_needs_values_while_compiling_is_named_with_the_line(name):
    f, way_out = VALUES[name]
    with pytest.raises(TypeError) as raised:
        wg.compile(f)(1.0)
    assert way_out in str(raised.value)
    assert "test_refusals.py, line" in str(raised.value)


# ---- everything that Python, the standard library and NumPy may ask of a value ---------------------------

A = np.array([1.0, 2.0, 3.0])
X0 = np.array([1.5, 2.5, 3.5])


def assigned(array, key, value):
    array[key] = value
    return array


# Of three numbers, to one: NumPy's value and derivative, eager, compiled and on a tape by hand.
WORKS = {
    "sum": lambda v: sum(v) ** 2,
    "math.prod": lambda v: math.prod(v),
    "iter": lambda v: next(iter(v)) ** 2,
    "unpacking": lambda v: (lambda a, b, c: a * b - c)(*v),
    "list": lambda v: np.stack(list(v)[::-1])[0] ** 2,
    "zip": lambda v: sum(a * b for a, b in zip(v, A, strict=True)),
    "enumerate": lambda v: sum(k * a * a for k, a in enumerate(v)),
    "map": lambda v: sum(map(np.square, v)),
    "reversed": lambda v: next(reversed(v)) ** 2,
    "len": lambda v: len(v) * v[0],
    "reduce": lambda v: functools.reduce(operator.mul, v),
    "accumulate": lambda v: list(itertools.accumulate(v, operator.mul))[-1],
    "ndindex": lambda v: sum(v[i] ** 2 for i in np.ndindex(v.shape)),
    "abs": lambda v: abs(-v[0]) ** 2,
    "pow": lambda v: pow(v[0], 3) + pow(2.0, v[1]),
    "divmod": lambda v: divmod(v[0], 0.4)[1] * v[1],
    "round": lambda v: round(v[0] * 10) * v[1],
    "round to digits": lambda v: round(v[0], 1) * v[1],
    "object array": lambda v: assigned(np.empty(2, object), 0, v[0])[0] * v[1],
    "array == v": lambda v: np.sum((A[:] == v) * v) + np.sum((v != A) * v),
    "array < v": lambda v: np.sum((A[:] < v) * v),
    "array @ v": lambda v: A @ v * v[0],
    "array * v": lambda v: np.sum(A * v + A / v - (v - A) ** A),
    "scalar * v": lambda v: np.sum(np.float64(2.0) * v + np.int8(3) * v + np.True_ * v + True * v),
    "list + v": lambda v: np.sum(([1.0, 2.0, 3.0] + v) * v),  # noqa: RUF005
    "complex * v": lambda v: np.abs((1 + 2j) * v[0]),
    "array[indices]": lambda v: v[np.argsort(A)][0] * v[A > 1][0],
    "array.clip": lambda v: np.sum(A.clip(v[0], 2.75) * v),
    "isclose": lambda v: np.sum(np.isclose(v, X0, atol=0.1) * v),
    "linspace": lambda v: np.sum(np.linspace(0, v[0], 3) * v),
    "logspace": lambda v: np.sum(np.logspace(0, v[0], 3) * v),
    "geomspace": lambda v: np.sum(np.geomspace(1, v[0], 3) * v),
    "apply_along_axis": lambda v: np.apply_along_axis(lambda a: np.sum(a * a), 0, v) * 1.0,
    "piecewise": lambda v: np.sum(np.piecewise(v, [v > 2], [lambda a: a * a, 0.5])),
    "Polynomial": lambda v: np.polynomial.polynomial.polyval(v[0], A),
    "poly1d of coefficients": lambda v: np.poly1d(A)(v[0]),
    "random": lambda v: v[0] * random.Random(0).uniform(v[1], v[2]),
    "lru_cache": lambda v: functools.lru_cache(lambda x: x * x)(v[0]),
    "dict keys": lambda v: dict(zip("abc", v, strict=True))["b"] ** 2,
    "copies": lambda v: (v.copy() * np.copy(v))[0],
    "big integers": lambda v: v[0] * 10**30 / 10**30,
}
# The same, but which look at values: while a function is compiled these are named.
LOOKS = {
    "max": lambda v: max(v) ** 2 + min(v),
    "sorted": lambda v: sorted(v, key=lambda a: -a)[0] ** 2,
    "any, all": lambda v: v[0] * any(v) + v[1] * all(v),
    "if": lambda v: v[0] ** 2 if v[0] > 0 else v[1],
    "chained": lambda v: v[0] ** 2 if 0 < v[0] < 2 else v[1],
    "not": lambda v: v[0] ** 2 if not v[0] < 0 else v[1],
    "in": lambda v: v[0] ** 2 if v[0] in A else v[1] ** 2,
    "in v": lambda v: v[0] ** 2 if 99.0 in v else v[1] ** 2,
    "list.index": lambda v: [v[0], v[1]].index(v[1]) * v[2],
    "list.sort": lambda v: (lambda values: (values.sort(), values[0] ** 2)[1])(list(v)),
    "heapq": lambda v: heapq.nlargest(1, v)[0] ** 2,
    "bisect": lambda v: bisect.bisect(A, v[0]) * v[1],
    "median": lambda v: statistics.median(v) ** 2,
    "tuples": lambda v: v[0] ** 2 if (v[0], 1) < (v[1], 2) else v[1],
    "allclose": lambda v: v[0] if np.allclose(v, X0, atol=0.1) else v[1],
    "array_equal": lambda v: v[0] if np.array_equal(v, A) else v[1] ** 2,
    "format": lambda v: v[0] * len(f"{v[0]:.3f}"),
    "trim_zeros": lambda v: np.sum(np.trim_zeros(v) ** 2),
}
# What says in its own words that it takes no Var, and will not let ours through.
OWN = {
    "nditer": (lambda v: list(np.nditer(v)), TypeError, "Iterator operand"),
    "bool of several": (lambda v: bool(v), (ValueError, TypeError), r"ambiguous|no truth value"),
    "struct": (lambda v: struct.pack("d", v[0]), struct.error, "not a float"),
    "%d": (lambda v: "%d" % v[0], TypeError, "a real number is required, not wengert._core.Var"),  # noqa: UP031
    "memoryview": (lambda v: memoryview(v), TypeError, "not 'wengert._core.Var'"),
    "frombuffer": (lambda v: np.frombuffer(v), TypeError, "not 'wengert._core.Var'"),
    "json": (lambda v: json.dumps(v[0]), TypeError, "Var is not JSON serializable"),
    "Decimal": (lambda v: decimal.Decimal(v[0]), TypeError, "Var"),
    "Fraction": (lambda v: fractions.Fraction(v[0]), TypeError, "Rational"),
    "trunc": (lambda v: math.trunc(v[0]), TypeError, "Var"),
    "statistics.mean": (lambda v: statistics.mean(v), TypeError, "'Var'"),
    "zeros": (lambda v: np.zeros(v[0]), TypeError, "Var"),
    "bisect of v": (lambda v: bisect.bisect(v, 1.5), TypeError, "Var is not a sequence"),
    "+ str": (lambda v: v + "a", TypeError, "unsupported operand"),
    "+ None": (lambda v: v + None, TypeError, "unsupported operand"),
    "* Fraction": (lambda v: v[0] * fractions.Fraction(1, 2), TypeError, "unsupported operand"),
    "* range": (lambda v: v * range(3), TypeError, "unsupported operand"),
    "masked": (lambda v: v * np.ma.array(A, mask=[0, 1, 0]), TypeError, "MaskedArray cannot be recorded"),
    "float16": (lambda v: v * np.float16(2), TypeError, "float16 cannot be recorded"),
    "longdouble": (lambda v: np.longdouble(2) * v, TypeError, "cannot be recorded"),
    "objects": (lambda v: v * np.array([1, 2, 3], object), TypeError, "object cannot be recorded"),
    "astype(object)": (lambda v: v.astype(object), TypeError, "object is not supported"),
    "astype(str)": (lambda v: v.astype(str), TypeError, "is not supported"),
}


def differences(f):
    h = 1e-6
    return np.array([(f(X0 + h * e) - f(X0 - h * e)) / (2 * h) for e in np.eye(3)])


@pytest.mark.parametrize("name", [*WORKS, *LOOKS])
def test_values_and_derivatives_of_plain_code_are_numpys(name):
    f = {**WORKS, **LOOKS}[name]
    value, slope = float(f(X0.copy())), differences(f)
    t = wg.Tape()
    x = t.var(X0)
    z = f(x)
    assert_allclose([z.value, *t.gradient(z)[x]], [value, *slope], rtol=1e-6, atol=1e-7)
    assert_allclose(wg.grad(f)(X0), slope, rtol=1e-6, atol=1e-7)
    for g in (f, wg.value_and_grad(f)):
        if name in LOOKS:
            with pytest.raises(TypeError, match=r"test_refusals\.py, line"):
                wg.compile(g)(X0)
    if name in WORKS:
        found = wg.compile(wg.value_and_grad(f))(X0)
        assert_allclose([found[0], *found[1]], [value, *slope], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OWN)
def test_what_others_refuse_is_refused(name, mode):
    f, error, message = OWN[name]
    with pytest.raises(error, match=message):
        MODES[mode](f, X0)


# ---- arrays that change after they were used -----------------------------------------------------------


@wg.custom_vjp
def scaled(x, c):
    return x * c


scaled.defvjp(lambda x, c: (x * c, c), lambda c, g: (g * c, None))
replayed = wg.compile(lambda x, c: x * c)
USES = {
    "operators": lambda x, c: x * c,
    "numpy": lambda x, c: np.multiply(x, c) + np.sum(c) * 0,
    "wengert.numpy": lambda x, c: wnp.multiply(c, x),
    "products": lambda x, c: np.diag(c) @ x,
    "views": lambda x, c: np.concatenate([x[:2], x[2:]]) * c[::-1][::-1],
    "host ops": lambda x, c: np.linalg.solve(np.diag(1 / c), x),
    "compile": lambda x, c: replayed(x, c),
    "captured": lambda x, c: wg.compile(lambda x: x * c)(x),
    "scan": lambda x, c: wg.scan(lambda s, _: (s * c, None), x, None, length=1)[0],
    "vmap": lambda x, c: wg.vmap(lambda a, b: a * b)(x, c),
    "checkpoint": lambda x, c: wg.checkpoint(lambda x: x * c)(x),
    "custom_vjp": lambda x, c: scaled(x, c),
    "jvp": lambda x, c: wg.jvp(lambda y: y * c, (x,), (x * 0,))[0],
}


@pytest.mark.parametrize("size", [3, 200_000])
@pytest.mark.parametrize("name", USES)
def test_a_pullback_keeps_the_values_that_it_was_recorded_with(name, size):
    if size > 3 and name in ("products", "host ops"):
        size = 300
    x, c = np.linspace(1, 2, size), np.linspace(2, 3, size)
    was_x, was_c = x.copy(), c.copy()
    y, pullback = wg.vjp(lambda x: USES[name](x, c) * x, x)
    assert_allclose(y, was_x**2 * was_c, rtol=1e-12)
    x[:], c[:], y[:] = 0, np.nan, 7
    g = np.ones(size)
    for _ in range(2):
        found = pullback(g)[0]
        assert_allclose(found, 2 * was_x * was_c, rtol=1e-12)
        found[:] = -1  # the caller's own


CHANGES = {
    "an element": lambda c: c.__setitem__(7, np.nan),
    "a bit": lambda c: c.view("i8").__setitem__(len(c) // 2, c.view("i8")[len(c) // 2] ^ 1),
    "two exchanged": lambda c: c.__setitem__([3, 5], c[[5, 3]]),
    "out=": lambda c: np.negative(c, out=c),
    "in-place sort": lambda c: c[::-1].sort(),
    "another thread": lambda c: (lambda t: (t.start(), t.join()))(threading.Thread(target=c.fill, args=(0,))),
}


@pytest.mark.parametrize("size", [40, 200_000])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_whatever_way_is_not_seen_by_a_sweep(change, size):
    def f(a, b, s):
        return np.sum(a * a * b * s * c) + np.sum(replayed(b[::-1], c))

    c = np.linspace(1, 2, size)
    was = c.copy()
    slopes = [2 * was**3 * 3, was**3 * 3 + was[::-1], np.sum(was**4)]  # by a, b and s, all of them given c
    _, pullback = wg.vjp(f, c, c, 3.0)  # the same array twice
    t = wg.Tape()
    v = t.var(c)
    z = f(v, v, 3.0)
    CHANGES[change](c)
    assert not np.array_equal(c, was)
    for found, expected in zip(pullback(1.0), slopes, strict=True):
        assert_allclose(found, expected, rtol=1e-12)
    assert_allclose(t.gradient(z)[v], slopes[0] + slopes[1], rtol=1e-12)


def test_a_tape_keeps_the_values_that_it_was_recorded_with():
    x = np.array([1.0, 2.0])
    t = wg.Tape()
    v = t.var(x)
    z = np.sum(v**3)
    x[:] = v.value[:] = 0  # a value is a copy
    assert_allclose(t.gradient(z)[v], [3, 12])
    assert_allclose(t.tangent(v, np.ones(2)).of(v * v), [2, 4])


def test_the_first_nan_is_found():
    def f(x):
        y = np.sqrt(x - 2)
        return y * 2 + np.sin(y)

    with wg.debug_nans(), pytest.raises(FloatingPointError, match=r"sqrt made a NaN.*test_refusals.py, line"):
        wg.grad(f)(1.0)
    assert math.isnan(wg.grad(f)(1.0))

    def g(x):  # the value is fine, the derivative is 0 * inf
        return np.sum(np.array([0.0, 1.0]) * np.sqrt(x) * np.sqrt(x) / np.sqrt(np.sqrt(x)))

    assert np.isnan(wg.grad(g)(np.array([0.0, 1.0])))[0]
    with wg.debug_nans(), pytest.raises(FloatingPointError, match="made a NaN"):
        wg.grad(g)(np.array([0.0, 1.0]))
    wg.debug_nans(True)
    try:
        with pytest.raises(FloatingPointError, match="constant made a NaN"):
            wg.grad(np.sin)(np.nan)
    finally:
        wg.debug_nans(False)
    assert math.isnan(wg.grad(np.sin)(np.nan))


def bad(x):
    return np.log(x - 5.0) * x


NAN_LINE = bad.__code__.co_firstlineno + 1
INSIDE = {
    "grad": lambda x: wg.grad(bad)(x[0]),
    "jvp": lambda x: wg.jvp(bad, (x,), (x,)),
    "hessian": lambda x: wg.hessian(lambda x: np.sum(bad(x)))(x),
    "compile": lambda x: wg.compile(bad)(x),
    "compile with static arguments": lambda x: wg.compile(lambda x, k: bad(x[k]), static_argnums=1)(x, 1),
    "compile of grad": lambda x: wg.compile(wg.grad(lambda x: np.sum(bad(x))))(x),
    "grad of compile": lambda x: wg.grad(wg.compile(lambda x: np.sum(bad(x))))(x),
    "vmap": lambda x: wg.vmap(bad)(x),
    "vmap of grad": lambda x: wg.vmap(wg.grad(bad))(x),
    "scan": lambda x: wg.scan(lambda c, x: (c + 1, bad(x)), 0, x),
    "scan backwards": lambda x: wg.grad(
        lambda x: wg.scan(lambda c, x: (c + bad(x), x), 0.0, x, reverse=True)[0]
    )(x),
    "cond": lambda x: wg.grad(lambda x: wg.cond(x > 0, bad, np.sin, x))(x[0]),
    "while_loop": lambda x: wg.grad(lambda x: wg.while_loop(lambda x: x < 3, bad, x))(x[0]),
    "compiled while_loop": lambda x: wg.compile(lambda x: wg.while_loop(lambda x: x < 3, bad, x))(x[0]),
    "checkpoint": lambda x: wg.grad(wg.checkpoint(lambda x: np.sum(bad(x))))(x),
    "nested": lambda x: wg.compile(wg.vmap(lambda x: wg.scan(lambda c, _: (bad(c), c), x, None, length=2)))(
        x
    ),
}


def test_an_empty_batch_is_mapped_while_nans_are_looked_for():
    with wg.debug_nans():
        assert wg.vmap(np.sin)(np.ones((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("name", INSIDE)
def test_the_first_nan_is_found_inside_of_what_is_recorded(name):
    INSIDE[name](np.array([17.0, 18.0, 19.0]))  # none there
    with wg.debug_nans(), pytest.raises(FloatingPointError, match=rf"^log made a NaN.*line {NAN_LINE}[;]"):
        INSIDE[name](np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("name", INSIDE)
def test_looking_for_nans_changes_no_value(name):
    x = np.array([17.0, 18.0, 19.0])
    expected = INSIDE[name](x)
    with wg.debug_nans():
        found = INSIDE[name](x)
    for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        assert type(a) is type(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert_allclose(a, b, rtol=1e-14)
