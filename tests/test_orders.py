"""Orders one to four in every mix of modes against closed forms, and perturbations not to be confused."""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import wengert as wg

# f, and its derivatives of order 0 to 4, at a number
CLOSED = {
    "sin": (np.sin, lambda x: [np.sin(x), np.cos(x), -np.sin(x), -np.cos(x), np.sin(x)]),
    "exp": (lambda x: np.exp(2 * x), lambda x: [2**k * np.exp(2 * x) for k in range(5)]),
    "log": (np.log, lambda x: [np.log(x), 1 / x, -1 / x**2, 2 / x**3, -6 / x**4]),
    "power": (lambda x: x**5, lambda x: [x**5, 5 * x**4, 20 * x**3, 60 * x**2, 120 * x]),
    "quotient": (
        lambda x: 1 / (1 - x),
        lambda x: [k / (1 - x) ** n for n, k in enumerate((1, 1, 2, 6, 24), 1)],
    ),
    "tanh": (
        np.tanh,
        lambda x: [
            np.tanh(x),
            1 - np.tanh(x) ** 2,
            -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
            (6 * np.tanh(x) ** 2 - 2) * (1 - np.tanh(x) ** 2),
            (16 * np.tanh(x) - 24 * np.tanh(x) ** 3) * (1 - np.tanh(x) ** 2),
        ],
    ),
}


def forward(f):
    return lambda x: wg.jvp(f, (x,), (1.0,))[1]


def batched(f):
    """The derivative at two points at once, of which one is asked for."""
    return lambda x: wg.vmap(wg.grad(f))(wg.numpy.stack([x, 0.5 * x]))[0]


MODES = {"rev": wg.grad, "fwd": forward, "vmap": batched, "jac": wg.jacobian}


@pytest.mark.parametrize("name", CLOSED)
def test_every_mix_of_modes(name):
    f, exact = CLOSED[name]
    x = 0.7
    for order in range(1, 5):
        for mix in itertools.product(("rev", "fwd", "vmap") if order < 4 else ("rev", "fwd"), repeat=order):
            g = f
            for mode in mix:
                g = MODES[mode](g)
            # a few roundings for each order, of terms that are larger than the result by the order at most
            assert_allclose(g(x), exact(x)[order], rtol=1e-12, atol=1e-13, err_msg=str(mix))
    assert_allclose(wg.laplacian(wg.laplacian(f))(x), exact(x)[4], rtol=1e-12)
    assert_allclose(wg.laplacian(wg.jacobian(f))(x), exact(x)[3], rtol=1e-12)
    assert_allclose(wg.compile(forward(wg.grad(wg.laplacian(f))))(x), exact(x)[4], rtol=1e-12)


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(["rev", "fwd", "vmap", "jac"], repeat=2)))
def test_perturbations_are_not_confused(outer, inner):
    """d/dx [x d/dy (x + y)] = 1, and d/dx [x d/dy (x y)] = 2 x (Siskind & Pearlmutter 2005)."""
    d, e = MODES[outer], MODES[inner]
    assert d(lambda x: x * e(lambda y: x + y)(1.0))(3.0) == 1.0
    assert d(lambda x: x * e(lambda y: x * y)(2.0))(3.0) == 6.0
    assert d(lambda x: e(lambda y: x * y**2)(x))(3.0) == 12.0
    assert d(lambda x: wg.laplacian(lambda y: x * y**2)(2.0) * x)(3.0) == 12.0
    assert d(lambda x: wg.scan(lambda c, _: (c * e(lambda y: x * y)(c), None), 1.0, length=2)[0])(3.0) == 6.0
    assert d(lambda x: wg.checkpoint(lambda z: z * e(lambda y: z * x * y)(z))(x))(3.0) == 27.0


@pytest.mark.parametrize("inner", ["rev", "fwd", "vmap", "jac"])
def test_perturbations_are_not_confused_where_common_nodes_are_one(inner):
    """On an abstract tape a sweep takes copies for what they copy, but not its inputs."""
    e = MODES[inner]
    for f, exact in (
        (lambda x: x * e(lambda y: x * y)(x), lambda x: 2 * x),
        (lambda x: np.sin(x) * e(np.sin)(x), lambda x: np.cos(2 * x)),
        (
            lambda x: x * e(lambda y: np.sin(x) * np.sin(y))(x),
            lambda x: np.sin(2 * x) / 2 + x * np.cos(2 * x),
        ),
        (lambda x: e(lambda y: np.exp(x) * y + wg.stop_gradient(np.exp(x)) * y)(x), np.exp),
    ):
        assert_allclose(wg.compile(wg.grad(f))(0.7), exact(0.7), rtol=1e-14)


def test_a_function_recorded_twice_is_differentiated_once():
    w = np.random.default_rng(0).normal(size=(4, 4)) / 4

    def f(x):
        return np.sum(np.tanh(np.tanh(x @ w) @ w), axis=1)

    def slope(x):
        return wg.jvp(f, (x,), (np.ones((8, 4)),))

    def once(x):
        value, tangent = slope(x)
        return np.sum(value * tangent * value)

    def twice(x):
        return np.sum(f(x) * slope(x)[1] * slope(x)[0])

    x = np.random.default_rng(1).normal(size=(8, 4))
    compiled = [wg.compile(wg.grad(g)) for g in (once, twice)]
    assert_allclose(*(g(x) for g in compiled), rtol=1e-13)
    assert_allclose(compiled[1](x), wg.grad(twice)(x), rtol=1e-13)
    few, many = (sum(len(step.ops) for step in g.program(x).steps()) for g in compiled)
    assert many <= few + 1  # a cotangent more is added


# ---- random programs through random nests -------------------------------------------------------------

UNARY = ("sin", "cos", "tanh", "atan", "asinh", "square")
BINARY = ("add", "sub", "mul", "bounded quotient")


def evaluate(program, x, call):
    """A program's last value: each line applies an op to two of the values before it."""
    values = [x]
    for name, i, j in program:
        a, b = values[i % len(values)], values[j % len(values)]
        if name == "square":
            values.append(a * a)
        elif name in UNARY:
            values.append(call(name, a))
        elif name == "bounded quotient":
            values.append(a / (2 + call("cos", b)))
        else:
            values.append(a + b if name == "add" else a - b if name == "sub" else a * b)
    return values[-1]


NUMPY = {"atan": np.arctan, "asinh": np.arcsinh, "sin": np.sin, "cos": np.cos, "tanh": np.tanh}
NESTS = {
    **MODES,
    "checkpoint": lambda f: wg.grad(wg.checkpoint(f)),
    "compiled": lambda f: wg.compile(wg.grad(f)),
    "scan": lambda f: lambda x: wg.scan(lambda c, _: (wg.grad(f)(c), None), x, length=1)[0],
    "jet": lambda f: lambda x: wg.jet(f, (x,), ((1.0,),))[1][0],
    "branch": lambda f: wg.grad(lambda x: wg.cond(x > 0, f, lambda x: f(x) * 1.0, x)),
}


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(UNARY + BINARY), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=7,
    ),
    st.lists(st.sampled_from(sorted(NESTS)), min_size=1, max_size=3),
    st.booleans(),
)
def test_random_programs_through_random_nests(program, nest, outermost):
    """Against mpmath's derivatives of the same program."""
    f = lambda x: evaluate(program, x, lambda name, a: NUMPY[name](a))
    for mode in nest:
        f = NESTS[mode](f)
    f = wg.compile(f) if outermost else f
    with mpmath.workdps(40):
        terms = mpmath.taylor(
            lambda x: evaluate(program, x, lambda name, a: getattr(mpmath, name)(a)), 0.6, 4
        )
        exact = float(terms[len(nest)] * mpmath.factorial(len(nest)))
    # sums of a hundred terms at most, each of which may be larger than what they leave
    assert_allclose(f(0.6), exact, rtol=1e-11, atol=1e-12 * float(1 + sum(map(abs, terms))))
