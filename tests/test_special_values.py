"""NaN, infinities, signed zeros, overflow, ties and kinks: values as NumPy has them; derivatives."""

import itertools

import numpy as np
import pytest
import scipy.special
from oracle import OPS, Core, names, run

INF, NAN = np.inf, np.nan
EDGES = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        1e-310,
        -1e-310,
        5e-324,
        -5e-324,
        1e-40,
        -1e-40,
        2.2250738585072014e-308,
        2.0**-126,
        -10.5,
        -1e15,
        1e15,
        3.4028234663852886e38,
        1.7976931348623157e308,
        -1.7976931348623157e308,
        1e-30,
        1e300,
        -1e300,
        88.8,
        -104.0,
        709.9,
        -745.2,
        INF,
        -INF,
        NAN,
    ]
)
MACHINES = ("eager", "compiled", "reference")


def values(name, *arrays, attrs=(), machine="eager"):
    return run(lambda m, *xs: [m.op(name, *xs, attrs=attrs)], arrays, machine)[0]


def gradient(program, x, machine="eager"):
    """d(sum of program)/dx; program is a function of a machine and a Var."""

    def derived(m, x):
        y = program(m, x)
        return m.vjp([y], [m.array(np.ones(y.shape))], [x])

    return run(derived, [np.asarray(x, float)], machine)[0]


# ---- values -------------------------------------------------------------------------------------------

# Where scipy.special is not what it should be: erfinv(-0.0) is 0.0, gammaln of a subnormal is infinite and
# that of -inf is -inf (C99: inf), zeta is NaN where the exponent is large, and inf at NaN or -inf.
ASTRAY = {
    "erfinv": lambda a: a == 0,
    "lgamma": lambda a: (a == -INF) | ((a != 0) & (np.abs(a) < 1e-300)),
    "zeta": lambda s, q: (q < -3) | (np.abs(s) > 1e10) | np.isnan(s) | np.isnan(q) | (q == -INF),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", [name for name in names("UNARY", "BINARY", "ZERO", "COMPARE") if OPS[name].numpy]
)
def test_edges_are_numpy_s(name, dtype):
    function = getattr(np, OPS[name].numpy, None) or getattr(scipy.special, OPS[name].numpy)
    with np.errstate(all="ignore"):
        edges = EDGES.astype(dtype)
        arrays = [np.array(x) for x in zip(*itertools.product(edges, repeat=OPS[name].arity), strict=True)]
        if name in ASTRAY:
            arrays = [x[~ASTRAY[name](*arrays)] for x in arrays]
        expected = function(*arrays)
        # In float32, a subnormal's logarithm or reciprocal is as good as NumPy's double.
        exact = np.asarray(function(*(x.astype(float) for x in arrays)))
    ours = values(name, *arrays)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(ours), np.isinf(expected))
    zeros = expected == 0
    np.testing.assert_array_equal(ours[zeros], 0)
    np.testing.assert_array_equal(
        np.signbit(ours[~np.isnan(expected)]), np.signbit(expected[~np.isnan(expected)])
    )
    finite = np.isfinite(expected)
    np.testing.assert_allclose(
        ours[finite],
        exact[finite].astype(expected.dtype),
        rtol=6 * np.finfo(dtype).eps,
        atol=4 * np.finfo(dtype).smallest_subnormal,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "attrs", "at"),
    [
        ("sigmoid", (), {INF: 1, -INF: 0, 1e300: 1, -1e300: 0}),
        ("softplus", (), {INF: INF, -INF: 0, 800.0: 800, -800.0: 0}),
        ("relu", (), {INF: INF, -INF: 0}),
        ("leaky_relu", (0.5,), {INF: INF, -INF: -INF}),
        ("elu", (0.5,), {INF: INF, -INF: -0.5, -800.0: -0.5}),
        ("gelu", (), {INF: INF, 40.0: 40, -40.0: 0}),
        ("gelu_tanh", (), {INF: INF, -INF: 0, 40.0: 40, -40.0: 0}),
        ("sinc", (), {INF: 0, -INF: 0, 1e300: 0, 0.0: 1, -3.0: 0}),
        ("silu", (), {INF: INF, 800.0: 800, -800.0: 0}),
        ("mish", (), {INF: INF, 800.0: 800, -INF: 0, -800.0: 0}),
        ("log_sigmoid", (), {INF: 0, -INF: -INF, 800.0: 0, -800.0: -800}),
        ("relu6", (), {INF: 6, -INF: 0, 6.0: 6}),
        ("celu", (0.5,), {INF: INF, -INF: -0.5, -800.0: -0.5}),
        ("selu", (), {INF: INF, -INF: -1.7580993408473769}),
        ("hard_tanh", (), {INF: 1, -INF: -1, 0.5: 0.5}),
        ("hard_sigmoid", (), {INF: 1, -INF: 0, 0.0: 0.5}),
        ("hard_swish", (), {INF: INF, -INF: 0, -3.0: 0, 3.0: 3}),
    ],
)
def test_activations_far_out(name, attrs, at, dtype):
    for machine in ("eager", "compiled"):
        with np.errstate(over="ignore"):
            x = np.array([*at, NAN]).astype(dtype)
            np.testing.assert_array_equal(
                values(name, x, attrs=attrs, machine=machine), np.array([*at.values(), NAN]).astype(dtype)
            )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_gives_a_zero_without_sign(dtype):
    x = np.tile(np.array([-0.0, -1, NAN, 2], dtype), 9)
    for machine in ("eager", "compiled"):
        y = values("relu", x, machine=machine)
        np.testing.assert_array_equal(y, np.tile([0, 0, NAN, 2], 9))
        assert not np.signbit(y[y == 0]).any()


@pytest.mark.parametrize("name", ["max", "min"])
def test_nan_wins_a_reduction(name):
    for n, at in ((1, 0), (5, 4), (9, 0), (40, 17), (1007, 1006)):
        x = np.arange(n, dtype=float)
        x[at] = NAN
        assert np.isnan(values(name, x, attrs=(1, 0)))
        assert values("argmax", x, attrs=(0,)) == at


def test_log_sum_exp_at_the_edges():
    for x, expected in (
        ([-INF, -INF], -INF),
        ([INF, 0.0], INF),
        ([1000.0, 1000.0], 1000 + np.log(2)),
        ([-1000.0, -INF], -1000),
        ([NAN, 0.0], NAN),
        ([INF, -INF], INF),
    ):
        for machine in MACHINES:
            np.testing.assert_allclose(
                values("logsumexp", np.array(x), attrs=(1, 0), machine=machine), expected, rtol=1e-15
            )


def test_empty_sums_and_products():
    assert values("sum", np.zeros((0,)), attrs=(1, 0)) == 0
    np.testing.assert_array_equal(values("matmul", np.zeros((2, 0)), np.zeros((0, 3))), np.zeros((2, 3)))
    assert values("logsumexp", np.zeros((0,)), attrs=(1, 0)) == -INF


# ---- derivatives at kinks, ties and poles -------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "attrs", "at", "expected"),
    [
        ("relu", (), 0.0, 0),
        ("leaky_relu", (0.25,), 0.0, 0.25),
        ("elu", (0.25,), 0.0, 0.25),
        ("abs", (), 0.0, 0),
        ("sign", (), 0.0, 0),
        ("sqrt", (), 0.0, INF),
        ("log", (), 0.0, INF),
        ("square", (), 0.0, 0),
        ("reciprocal", (), 0.0, -INF),
        ("log1p", (), -1.0, INF),
        ("softplus", (), 800.0, 1),
        ("softplus", (), -800.0, 0),
        ("sigmoid", (), 800.0, 0),
        ("tanh", (), 400.0, 0),
        ("gelu", (), 40.0, 1),
        ("silu", (), -800.0, 0),
        ("exp", (), -INF, 0),
        ("relu", (), -INF, 0),
        ("floor", (), 2.0, 0),
        ("rint", (), 0.5, 0),
        ("cbrt", (), 0.0, INF),
        ("log2", (), 0.0, INF),
        ("asin", (), 1.0, INF),
        ("asin", (), -1.0, INF),
        ("acos", (), 1.0, -INF),
        ("atan", (), INF, 0),
        ("asinh", (), -INF, 0),
        ("acosh", (), 1.0, INF),
        ("atanh", (), 1.0, INF),
        ("relu6", (), 0.0, 0),
        ("relu6", (), 6.0, 0),
        ("celu", (0.25,), 0.0, 1),
        ("selu", (), 0.0, 1.7580993408473769),
        ("hard_tanh", (), 1.0, 0),
        ("hard_tanh", (), -1.0, 0),
        ("hard_sigmoid", (), 3.0, 0),
        ("hard_sigmoid", (), -3.0, 0),
        ("hard_swish", (), 3.0, 1),
        ("hard_swish", (), -3.0, 0),
        ("mish", (), -800.0, 0),
        ("mish", (), 800.0, 1),
        ("log_sigmoid", (), -800.0, 1),
    ],
)
def test_conventions(name, attrs, at, expected, machine):
    found = gradient(lambda m, x: m.op(name, x, attrs=attrs), at, machine)
    assert (0.0 if found is None else found) == expected


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [
        ("maximum", 1.0, 1.0, (0.5, 0.5)),
        ("minimum", 1.0, 1.0, (0.5, 0.5)),
        ("maximum", 2.0, 1.0, (1, 0)),
        ("minimum", 2.0, 1.0, (0, 1)),
        ("maximum", 0.0, -0.0, (0.5, 0.5)),
        ("maximum", INF, INF, (0.5, 0.5)),
        ("pow", 0.0, 0.0, (0, 0)),
        ("pow", 0.0, 1.0, (1, 0)),
        ("pow", 0.0, 2.0, (0, 0)),
        ("pow", 0.0, 0.5, (INF, 0)),
        ("pow", -2.0, 0.0, (0, NAN)),
        ("pow", -2.0, 3.0, (12, NAN)),
        ("pow", 5.0, 0.0, (0, np.log(5))),
        ("div", 1.0, 0.0, (INF, -INF)),
        ("mul", 0.0, INF, (INF, 0)),
        ("zmul", 0.0, INF, (INF, 0)),
        ("hypot", 0.0, 0.0, (0, 0)),
        ("hypot", 3e200, 4e200, (0.6, 0.8)),
        ("atan2", 0.0, 0.0, (0, 0)),
        ("atan2", 0.0, -2.0, (-0.5, 0)),
        ("atan2", 1e200, 1e200, (0.5e-200, -0.5e-200)),
        ("remainder", 4.0, 2.0, (1, -2)),
        ("remainder", -1.0, 4.0, (1, 1)),
    ],
)
def test_conventions_of_two(name, a, b, expected, machine):
    def both(m, a, b):
        return m.vjp([m.op(name, a, b)], [m.array(np.array(1.0))], [a, b])

    found = [0.0 if g is None else float(g) for g in run(both, [np.array(a), np.array(b)], machine)]
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize("machine", MACHINES)
def test_ties_of_a_reduction_share(machine):
    for name in ("max", "min"):
        found = gradient(lambda m, x, name=name: m.op(name, x, attrs=(1, 0)), [1.0, 1.0, 1.0, 1.0], machine)
        np.testing.assert_array_equal(found, [0.25] * 4)
    found = gradient(lambda m, x: m.op("max", x, attrs=(2, 0)), [[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]], machine)
    np.testing.assert_array_equal(found, [[0, 0.5, 0.5], [1, 0, 0]])


# An untaken branch: infinite or NaN in value or derivative where the condition is false.
BRANCHES = {
    "sqrt": lambda m, x: m.op("sqrt", x),
    "log": lambda m, x: m.op("log", x),
    "reciprocal": lambda m, x: m.op("reciprocal", x),
    "div": lambda m, x: m.op("div", m.op("sin", x), x),
    "pow": lambda m, x: m.op("pow", x, 0.5),
    "log1p": lambda m, x: m.op("log1p", m.op("sub", x, 1.0)),
    "exp": lambda m, x: m.op("exp", m.op("mul", m.op("sub", 1.0, x), 1e9)),
    "log2": lambda m, x: m.op("log2", x),
    "cbrt": lambda m, x: m.op("cbrt", x),
    "acosh": lambda m, x: m.op("acosh", m.op("add", x, 0.5)),
    "hypot": lambda m, x: m.op("hypot", x, m.op("relu", x)),
    "sqrt of log": lambda m, x: m.op("sqrt", m.op("log", x)),
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "modes",
    [("rev",), ("fwd",), ("rev", "rev"), ("fwd", "rev"), ("rev", "fwd"), ("fwd", "fwd")],
    ids="-".join,
)
@pytest.mark.parametrize("branch", BRANCHES)
def test_an_untaken_branch_has_no_say(branch, modes, machine):
    """where(x > 0.5, branch(x), x) has the derivatives of x at x <= 0, to order 2 and in every mode."""

    def program(m, x):
        y = m.op("where", m.op("greater", x, 0.5), BRANCHES[branch](m, x), x)
        for mode in modes:
            if y is not None:
                ones = m.array(np.ones(3))
                (y,) = m.vjp([y], [ones], [x]) if mode == "rev" else m.jvp([x], [ones], [y])
        return [y]

    (found,) = run(program, [np.array([0.0, -1.0, 2.0])], machine)
    np.testing.assert_array_equal(found[:2], [1.0, 1.0] if len(modes) == 1 else [0.0, 0.0])
    assert np.isfinite(found[2])


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["logsumexp", "max"])
def test_an_untaken_reduction_has_no_say(name, machine):
    """A row without finite elements (logsumexp), or with NaN (max), that where() throws away."""
    rows = np.array([[-INF, -INF], [1.0, 2.0]]) if name == "logsumexp" else np.array([[NAN, 1.0], [1.0, 2.0]])

    def program(m, x):
        return m.op("where", m.array(np.array([False, True])), m.op(name, x, attrs=(2, 0)), 0.0)

    found = gradient(program, rows, machine)
    np.testing.assert_array_equal(found[0], [0, 0])
    assert found[1].sum() == pytest.approx(1, rel=1e-15)


@pytest.mark.parametrize("machine", MACHINES)
def test_zmul_is_zero_where_either_factor_is(machine):
    for other in (INF, -INF, NAN, 0.0, 1.0):
        assert values("zmul", np.array(0.0), np.array(other), machine=machine) == 0
        assert values("zmul", np.array(other), np.array(0.0), machine=machine) == 0
    assert np.isnan(values("zmul", np.array(1.0), np.array(NAN), machine=machine))
    assert np.isnan(values("zmul", np.array(NAN), np.array(-2.0), machine=machine))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_root_of_nothing_has_derivative_zero(machine):
    """The root's slope is infinite there, that of what stands under it is 0."""
    assert gradient(lambda m, x: m.op("sqrt", m.op("square", x)), 0.0, machine) == 0
    assert gradient(lambda m, x: m.op("sqrt", m.op("relu", x)), -1.0, machine) == 0
    norm = gradient(
        lambda m, x: m.op("sqrt", m.op("sum", m.op("square", x), attrs=(1, 0))), [0.0, 0.0], machine
    )
    np.testing.assert_array_equal(norm, [0, 0])


def test_integers_wrap_as_numpy_s():
    for dtype in ("int32", "int64"):
        big = np.full(5, np.iinfo(dtype).max, dtype)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(values("add", big, big), big + big)
            np.testing.assert_array_equal(values("mul", big, big), big * big)
            np.testing.assert_array_equal(values("neg", -big - 1), -(-big - 1))


def test_in_place_is_safe_on_large_arrays():
    """Borrowed memory (1 MB and more) is read, never written."""
    x = np.linspace(-1, 1, 300_000)
    kept = x.copy()
    m = Core()
    v = m.array(x)
    m.vjp([m.op("tanh", m.op("mul", v, v))], [m.array(np.ones_like(x))], [v])
    np.testing.assert_array_equal(x, kept)
