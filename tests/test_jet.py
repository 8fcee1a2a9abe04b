"""Taylor series to order six: rows against mpmath's, other ops against nested derivatives, all nestings."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracle import names
from test_array_ops import CASES, arrays

import wengert as wg
from wengert import _core
from wengert.tape import OPS

ORDER = 6
ELEMENTWISE = names("UNARY", "BINARY", "ZERO")
rng = np.random.default_rng(3)
STRAIGHT = (None,) * (ORDER - 1)


@pytest.fixture(scope="module")
def accuracy():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent.parent))
        yield importlib.import_module("benchmarks.accuracy")


def nested(f, x, v, order=ORDER):
    """The derivatives along a line, one jvp inside of another."""
    if not order:
        return []
    derivative = lambda x: wg.jvp(f, (x,), (v,))[1]
    return [derivative(x), *nested(derivative, x, v, order - 1)]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_row_against_mpmath(name, accuracy):
    """On the curve a + s t + 0.2 t^3 / 6 of the operands, to order six."""
    row, mpf = OPS[name], accuracy.mpf
    params = accuracy.PARAMETERS[: row.n_params]
    formula = accuracy.formula(name)
    if name in ("remainder", "zeta"):  # theirs are made for floats, of which a curve has none
        floor, zeta = accuracy.mpmath.floor, accuracy.mpmath.zeta
        formula = {"remainder": lambda a, b: a - floor(a / b) * b, "zeta": zeta}[name]
    slopes = [0 if name == "zeta" else 0.7, -0.4][: row.arity]
    bends = [0 if name == "zeta" else 0.2, 0.2][: row.arity]
    series = tuple((s or None, None, b or None, *STRAIGHT[:3]) for s, b in zip(slopes, bends, strict=True))
    for place in (0.37, 0.81):
        at = [row.lo + x * (row.hi - row.lo) for x in (place, place + 0.1)][: row.arity]
        lines = list(zip(at, slopes, bends, strict=True))

        def curve(t):
            operands = [a + mpf(s) * t + mpf(b) * t**3 / 6 for a, s, b in lines]  # noqa: B023 - called at once
            return formula(*operands, *map(mpf, params))

        y, found = wg.jet(lambda *v: _core.record(row.code, v, params), tuple(at), series)
        with accuracy.mpmath.workprec(300 if name != "zeta" else 140):
            coefficients = accuracy.mpmath.taylor(curve, 0, ORDER)
            exact = [float(c * math.factorial(k)) for k, c in enumerate(coefficients)]
        # each order adds up products of the orders before it, which may be larger than what they leave
        scale = max(1.0, *map(abs, exact))
        assert_allclose([y, *found], exact, rtol=1e-11, atol=1e-13 * scale, err_msg=f"{name} at {at}")


A, W = rng.normal(size=(3, 3)), rng.normal(size=(2, 3, 3))


@wg.custom_jvp
def ruled(x):
    return np.sin(x)


ruled.defjvp(lambda primals, tangents: (ruled(primals[0]), 3 * np.cos(primals[0]) * tangents[0]))

FUNCTIONS = {
    "matmul": lambda x: (A @ x) @ (x * x),
    "stacks": lambda x: np.sum(W @ np.outer(x, x * x) * W),
    "net": lambda x: np.sum(np.tanh(A @ np.tanh(A @ x))),
    "prod": lambda x: np.prod(np.sin(x) + 2),
    "max": lambda x: np.max(x * x) * np.min(np.exp(x)),
    "logsumexp": lambda x: np.logaddexp(x[0], x[1] * x[2]),
    "cumulated": lambda x: np.sum(np.cumprod(x) * np.cumsum(x)),
    "taken apart": lambda x: np.concatenate([x[::-1] ** 3, np.sin(x[:2])]) @ np.arange(5.0),
    "gathered": lambda x: np.sum(wg.numpy.take(x, np.array([0, 2, 2])) ** 3),
    "chosen": lambda x: np.sum(np.where(x > 0, np.sqrt(abs(x)), x**3)),
    "never taken": lambda x: np.sum(np.where(x > -9, x * x, np.sqrt(x - 9))),
    "a power of zero": lambda x: np.sum((x - x) ** 2 + (0 * x) ** 3 + x**-2.0),
    "powers": lambda x: np.sum(abs(x) ** x),
    "a loop": lambda x: wg.scan(lambda c, a: (np.sin(c) * a, None), 1.0, x)[0],
    "a checkpoint": lambda x: np.sum(wg.checkpoint(lambda x: np.exp(x) * x)(x)),
    "a rule": lambda x: np.sum(ruled(ruled(x)) * x),
    "a call": lambda x: np.sum(wg.compile(lambda x: np.exp(np.sin(x)))(x)),
    "solve": lambda x: np.linalg.solve(A + np.diag(x), x)[0],
    "gradient": lambda x: np.sum(wg.grad(lambda x: np.prod(np.exp(np.sin(x))))(x)),
    "constant": lambda x: np.sum(wg.stop_gradient(x)) + np.floor(x[0]),
    "conditional": lambda x: wg.cond(x[0] > 0, np.sin, np.cos, x)[0],
}
POINT, DIRECTION = np.array([0.4, -0.7, 1.1]), np.array([1.0, 0.5, -0.8])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_nested_derivatives(name):
    f = FUNCTIONS[name]
    order = 3 if name in ("solve", "gradient", "a loop") else 4  # the nested derivatives grow exponentially
    expected = nested(f, POINT, DIRECTION, order)
    for jet in (wg.jet, wg.compile(lambda x, v: wg.jet(f, (x,), ((v, *STRAIGHT),)))):
        y, found = jet(f, (POINT,), ((DIRECTION, *STRAIGHT),)) if jet is wg.jet else jet(POINT, DIRECTION)
        with np.errstate(invalid="ignore"):
            assert_allclose(y, f(POINT), rtol=1e-14)
        assert len(found) == ORDER
        assert_allclose(found[:order], expected, rtol=1e-9, atol=1e-9)


class Machine:
    """Of which a program in the table of array ops asks for ops alone."""

    @staticmethod
    def op(name, *operands, attrs=()):
        attrs = (_core.dtype_code(*attrs),) if name == "cast" else tuple(attrs)
        return _core.record(OPS[name].code, operands, attrs)


@pytest.mark.parametrize("name", [name for name in names("LINEAR", "BILINEAR", "RULE") if name != "call"])
def test_every_op_on_arrays_to_order_six(name):
    """On a line, against tangents of tangents; of a cubic, of which a linear op's are exact."""
    for program, shapes in CASES[name][:2]:
        operands = arrays(shapes, "float64")
        moving = [k for k, x in enumerate(operands) if x.dtype.kind == "f"]
        directions = [np.cos(np.arange(operands[k].size) + k).reshape(operands[k].shape) for k in moving]

        def along(t):
            line = [operands[k] + t * v for k, v in zip(moving, directions, strict=True)]  # noqa: B023
            placed = dict(zip(moving, line, strict=True))  # noqa: B023 - called at once
            return program(Machine, *[placed.get(k, x) for k, x in enumerate(operands)])[0]  # noqa: B023

        _, found = wg.jet(along, (0.0,), ((1.0, *STRAIGHT),))
        expected = nested(along, 0.0, 1.0)
        eps = np.finfo(expected[0].dtype).eps  # and terms of sums that cancel may be of the largest's size
        scale = max(1.0, *(np.abs(e).max(initial=0) for e in expected))
        for a, b in zip(found, expected, strict=True):
            assert_allclose(a, b, rtol=1e6 * eps, atol=1e3 * eps * scale)


def test_it_nests():
    def third(x):
        return wg.jet(lambda x: np.sin(x) * x, (x,), ((1.0, None, None),))[1][2]

    def exact(x, order):  # of x sin x
        return x * np.sin(x + order * np.pi / 2) + order * np.sin(x + (order - 1) * np.pi / 2)

    x = 0.7
    assert_allclose(third(x), exact(x, 3))
    assert_allclose(wg.grad(third)(x), exact(x, 4))
    assert_allclose(wg.grad(wg.grad(third))(x), exact(x, 5))
    assert_allclose(wg.jvp(third, (x,), (1.0,))[1], exact(x, 4))
    xs = np.array([0.1, 0.5, 0.9])
    for g in (
        wg.vmap(wg.grad(third)),
        wg.compile(wg.vmap(wg.grad(third))),
        wg.grad(lambda x: np.sum(wg.vmap(third)(x))),
    ):
        assert_allclose(g(xs), exact(xs, 4))
    assert_allclose(wg.jet(third, (x,), ((1.0, None, None),))[1][2], exact(x, 6))
    assert_allclose(wg.jet(wg.grad(np.tanh), (x,), ((1.0, None),))[1][1], nested(np.tanh, x, 1.0, 3)[2])
    # the inner perturbation is not the outer one
    assert_allclose(
        wg.jet(lambda x: x * wg.jet(lambda y: x * y, (2.0,), ((1.0,),))[1][0], (3.0,), ((1.0,),))[1][0], 6.0
    )


def test_curves_of_pytrees_and_several_arguments():
    def f(tree, b):
        return {"p": tree["x"] * b, "q": (np.sum(tree["x"]), 3.0)}

    x, v = np.array([1.0, 2.0], "float32"), np.array([0.5, 1.5], "float32")
    y, (first, second) = wg.jet(f, ({"x": x}, 2.0), (({"x": v}, None), (1.0, 4.0)))
    assert y["p"].dtype == first["p"].dtype == np.float32
    assert_allclose(first["p"], v * 2 + x)
    assert_allclose(second["p"], 2 * v + 4 * x)
    assert (first["q"][1], second["q"][0]) == (0.0, 0.0)


def test_the_terms_grow_with_the_square_of_the_order():
    def nodes(order):
        def f(x):
            return wg.jet(lambda x: np.exp(np.sin(x)) * np.tanh(x), (x,), ((1.0, *[None] * (order - 1)),))[1][
                -1
            ]

        return wg.compile(f).program(1.0).info["nodes"]

    assert nodes(12) < 4.5 * nodes(6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wg.jet(np.sin, (1.0,), ((1.0,), (1.0,))), "one entry per argument"),
        (lambda: wg.jet(np.sin, (1.0,), ((),)), "1 or more"),
        (lambda: wg.jet(np.add, (1.0, 1.0), ((1.0,), (1.0, 2.0))), "as many derivatives"),
        (
            lambda: wg.jet(np.sin, (np.ones(2),), ((1.0,),)),
            r"series\[0\] has shape \(\), expected \(2,\)",
        ),
        (lambda: wg.jet(lambda x: x["a"], ({"a": 1.0},), ((1.0,),)), "has the structure"),
        (
            lambda: wg.jet(
                lambda s: wg.numpy.exp(_core.record(OPS["zeta"].code, (s, 2.0), ())), (2.0,), ((1.0,),)
            ),
            "zeta",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
