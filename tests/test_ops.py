"""Every elementwise op of the table: values, first and second derivatives, in both modes, on every dtype.

Each is checked against the pure-Python reference (eagerly and compiled), NumPy or scipy.special, complex-step
derivatives of the column's text, and HIPS autograd.  The loops run over the table: a new row is tested.
"""

import importlib
import zlib

import numpy as np
import pytest
import reference
import scipy.special
from oracle import (
    OPS,
    ULPS,
    Core,
    agree,
    close,
    derivative,
    names,
    run,
    spacing,
    takes_complex,
)

SMOOTH = names("UNARY", "BINARY")
ELEMENTWISE = names("UNARY", "BINARY", "ZERO", "COMPARE")
BITWISE = names("BITWISE")
NOT_OF_BOOLS = (
    "sub",
    "neg",
    "sign",
    "remainder",
    "pow",
    "left_shift",
    "right_shift",
)  # as NumPy, or int8 there
FLOATS = ("float32", "float64")
ORDERS = (("rev",), ("fwd",), ("rev", "rev"), ("rev", "fwd"), ("fwd", "rev"), ("fwd", "fwd"))
# Rows that take complex numbers: no order, and |z| is a hypotenuse.
OF_COMPLEX = [
    "abs",
    *(name for name in ELEMENTWISE if takes_complex(name) and "less" not in name and "greater" not in name),
]
PARAMETERS = (0.3,)  # of leaky_relu, elu and celu

# Vectors hold 4 or 8 elements and kernels take up to 4 at a time; 1007 = 19 * 53 leaves every kind of tail.
LENGTHS = (*range(1, 41), 1007)
UNARY_SHAPES = ((), (0,), (1,), (3, 4), (2, 0, 3), (2, 1, 5))
BINARY_SHAPES = (
    ((), ()),
    ((5,), (5,)),
    ((), (5,)),
    ((5,), (1,)),
    ((4, 1), (1, 3)),
    ((2, 3, 4), (4,)),
    ((3, 5), (3, 1)),
    ((0, 3), (3,)),
    ((2, 1, 3), (5, 1)),
)


# gelu rounds a / sqrt(2) by half an ULP; the tail of the normal distribution magnifies that by a^2 + 1 <= 10.
# gelu_tanh rounds its exponent, 7 at most, two or three times; each is magnified by 7.  math.lgamma subtracts
# terms that are ten times the result.
VALUE_ULPS = dict.fromkeys(OPS, ULPS) | {"gelu": ULPS + 5, "gelu_tanh": ULPS + 12, "lgamma": ULPS + 10}


def draw(name, shape, dtype="float64", k=0):
    """An operand from the op's test domain, the same for the same name, shape and k."""
    op = OPS[name]
    rng = np.random.default_rng([zlib.crc32(name.encode()), k, *shape])
    if np.dtype(dtype).kind in "fc":
        x = rng.uniform(op.lo, op.hi, shape)
        return (x + 1j * rng.uniform(-1, 1, shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)
    return rng.integers(
        min(max(int(op.lo), 0), 1) if dtype == "bool" else int(op.lo),
        2 if dtype == "bool" else int(op.hi),
        shape,
        endpoint=dtype != "bool",
    ).astype(dtype)


def operands(name, shapes, dtype="float64"):
    return [draw(name, shape, dtype, k) for k, shape in enumerate(shapes)]


def program(name):
    """The op alone; an operand by which no derivative is known is taken for a constant."""

    def run_op(m, *xs):
        fixed = [text == "NAN" for text in OPS[name].derivative]
        xs = [m.op("stop_gradient", x) if stop else x for x, stop in zip(xs, fixed, strict=False)]
        return [m.op(name, *xs, attrs=PARAMETERS[: OPS[name].n_params])]

    return run_op


def shapes_of(name):
    return [(shape,) for shape in UNARY_SHAPES] if OPS[name].arity == 1 else BINARY_SHAPES


def value(name, *arrays):
    m = Core()
    return np.asarray(m.op(name, *(m.array(x) for x in arrays), attrs=PARAMETERS[: OPS[name].n_params]).value)


# ---- against the reference ----------------------------------------------------------------------------


def test_the_reference_knows_every_op():
    neither = {"constant", "leaf", "input", "result", "host", *names("LOWERED")}
    assert set(OPS) - neither == set(reference.OPS)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values(name, dtype):
    for shapes in [*shapes_of(name), *([(n,)] * OPS[name].arity for n in LENGTHS)]:
        arrays = operands(name, shapes, dtype)
        (expected,) = run(program(name), arrays, "reference")
        for machine in ("eager", "compiled"):
            close(*run(program(name), arrays, machine), expected, VALUE_ULPS[name] * spacing(expected))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name, dtype, order):
    for shapes in [*shapes_of(name), [(9,)] * OPS[name].arity]:
        agree(derivative(program(name), order), operands(name, shapes, dtype))


@pytest.mark.parametrize("order", [(), *ORDERS], ids="-".join)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", OF_COMPLEX)
def test_complex_numbers(name, dtype, order):
    """Also where one operand is real, whose derivatives are."""
    for shapes in [*shapes_of(name), [(9,)] * OPS[name].arity]:
        xs = operands(name, shapes, dtype)
        for k in (None, *range(len(xs) - 1 and len(xs))):
            agree(derivative(program(name), order), [x.real if j == k else x for j, x in enumerate(xs)])


@pytest.mark.parametrize("name", names("UNARY", "BINARY", "ZERO", "COMPARE", "DERIVATIVE"))
def test_a_lane_does_not_depend_on_its_place(name):
    base = name if name in ELEMENTWISE else name[2:-2]
    attrs = PARAMETERS[: OPS[base].n_params]
    for dtype in FLOATS:
        arrays = [draw(base, (1007,), dtype, k) for k in range(OPS[name].arity)]

        def on(*xs):
            m = Core()
            return np.asarray(m.op(name, *(m.array(x) for x in xs), attrs=attrs).value)

        whole = on(*arrays)
        for n in range(1, 41):
            np.testing.assert_array_equal(on(*(x[:n] for x in arrays)), whole[:n])
            np.testing.assert_array_equal(on(*(x[-n:] for x in arrays)), whole[-n:])
        for layout in (
            lambda x: x[::3],
            lambda x: x[::-1],
            lambda x: x[:1000].reshape(20, 50).T,
            lambda x: np.asfortranarray(x[:1000].reshape(20, 50)),
            lambda x: x[5],
            lambda x: x[7:7],
        ):
            np.testing.assert_array_equal(on(*map(layout, arrays)), layout(whole))


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64"])
@pytest.mark.parametrize("name", [*ELEMENTWISE, *BITWISE])
def test_integers(name, dtype):
    if dtype == "bool" and name in NOT_OF_BOOLS:
        with pytest.raises(TypeError, match=f"{name} is not defined for bools"):
            value(name, *operands(name, next(iter(shapes_of(name))), dtype))
        return
    for shapes in shapes_of(name):
        arrays = operands(name, shapes, dtype)
        (expected,) = run(program(name), arrays, "reference")
        for machine in ("eager", "compiled"):
            close(*run(program(name), arrays, machine), expected, VALUE_ULPS[name] * spacing(expected))


@pytest.mark.parametrize("name", [*BITWISE, "pow"])
def test_integers_far_out_are_numpy_s(name):
    """All bits, and shifts by more of them than there are; powers that wrap around."""
    for dtype in ("int32", "int64"):
        info = np.iinfo(dtype)
        a, b = (
            np.array([info.min, -7, -1, 0, 1, 6, info.max], dtype),
            np.array([0, 1, 2, 5, 31, 63, 64], dtype),
        )
        if name != "pow":
            b = np.append(b, -3).astype(dtype)
        xs = [a.repeat(len(b)), np.tile(b, len(a))][: OPS[name].arity]
        np.testing.assert_array_equal(value(name, *xs), known(name)(*xs))


@pytest.mark.parametrize("name", BITWISE)
def test_bits_of_floats_are_refused(name):
    with pytest.raises(TypeError, match=f"{name} takes integers and bools, got float64"):
        value(name, *[np.ones(3)] * OPS[name].arity)


@pytest.mark.parametrize(("dtype", "at", "expected"), [("int64", -1, 1), ("int32", -1, 1), ("int64", 2, 0)])
def test_a_negative_power_of_an_integer_is_rounded_towards_zero(dtype, at, expected):
    assert value("pow", np.array(at, dtype), np.array(-2, dtype)) == expected


def test_an_unknown_derivative_is_refused():
    m = Core()
    x = m.array(np.array(2.5))
    with pytest.raises(TypeError, match="zeta has no derivative by operand 0; pass it through stop_gradient"):
        m.vjp([m.op("zeta", x, x)], [x], [x])


@pytest.mark.parametrize("name", [*names("BINARY", "COMPARE")])
def test_promotion_is_numpy_s(name):
    dtypes = ("int32", "int64", "float32", "float64")
    for a in dtypes:
        for b in dtypes:
            y = value(name, draw(name, (3,), a), draw(name, (3,), b, 1))
            function = getattr(np, OPS[name].numpy, np.true_divide)
            with np.errstate(all="ignore"):
                expected = function(np.ones(3, a), np.ones(3, b)).dtype
            assert y.dtype == expected, (a, b)


# ---- against NumPy and scipy.special ------------------------------------------------------------------


def known(name):
    """The function of NumPy or scipy.special that the row answers to."""
    numpy_name = OPS[name].numpy
    return getattr(np, numpy_name, None) or getattr(scipy.special, numpy_name)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if OPS[name].numpy])
def test_values_are_numpy_s(name, dtype):
    arrays = operands(name, [(1007,)] * OPS[name].arity, dtype)
    exact = np.asarray(known(name)(*(x.astype("float64") for x in arrays)))
    expected = exact.astype(dtype) if exact.dtype.kind == "f" else exact
    # 2 ULP of ours, and up to 4 of NumPy's vector functions in float64; of scipy's erfc, Cephes, 5.7e-14,
    # and of its gamma and zeta functions some 1e-15 in the middle of our domains
    theirs = {"erfc": 5.7e-14, "lgamma": 5e-15, "digamma": 5e-15, "zeta": 5e-15}.get(name, 1e-15)
    theirs = max(theirs / np.finfo("float64").eps, 4)
    close(value(name, *arrays), expected, (2 + theirs) * spacing(expected))


def inverse_erf(a):
    """erfinv beyond the real line: Newton's method on scipy's complex erf."""
    y = scipy.special.erfinv(a.real) + 0j
    for _ in range(3):
        y = y - (scipy.special.erf(y) - a) * np.exp(y * y) * (np.sqrt(np.pi) / 2)
    return y


def hurwitz_zeta(s, q):
    """Euler and Maclaurin's formula, from q + 20 on; the next term is below 1e-17."""
    far, factor, total = q + 20, s, sum((q + k) ** -s for k in range(20))
    total += far ** (1 - s) / (s - 1) + far**-s / 2
    for k, b in enumerate((1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160), 1):
        total += b * factor * far ** (1 - s - 2 * k)
        factor = factor * (s + 2 * k - 1) * (s + 2 * k)
    return total


# What NumPy has no complex function for; where it is not analytic, the side on which the real part lies.
COMPLEX = {
    "abs": lambda a: np.where(a.real < 0, -a, a),
    "cbrt": lambda a: a ** (1 / 3),  # drawn above 0
    "sinc": lambda a: np.sin(np.pi * a) / (np.pi * a),
    "erfc": lambda a: 1 - scipy.special.erf(a),
    "erfinv": inverse_erf,
    "lgamma": scipy.special.loggamma,
    "zeta": hurwitz_zeta,
    "hypot": lambda a, b: np.sqrt(a * a + b * b),
    "atan2": lambda a, b: np.arctan(a / b),  # up to a constant
    "remainder": lambda a, b: a - np.floor(a.real / b.real) * b,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "log_sigmoid": lambda a: -np.log(1 + np.exp(-a)),
    "relu6": lambda a: np.where((a.real > 0) & (a.real < 6), a, 0),
    "celu": lambda a: np.where(a.real > 0, a, PARAMETERS[0] * np.expm1(a / PARAMETERS[0])),
    "selu": lambda a: np.where(a.real > 0, 1.0507009873554805 * a, 1.7580993408473769 * np.expm1(a)),
    "mish": lambda a: a * np.tanh(np.log(1 + np.exp(a))),
    "hard_tanh": lambda a: np.where(np.abs(a.real) < 1, a, 0),
    "hard_sigmoid": lambda a: np.where(np.abs(a.real) < 3, (a + 3) / 6, 0),
    "hard_swish": lambda a: np.where(np.abs(a.real) < 3, a * (a + 3) / 6, np.where(a.real < 3, 0, a)),
    "softplus": lambda a: np.log(1 + np.exp(a)),
    "relu": lambda a: np.where(a.real > 0, a, 0),
    "leaky_relu": lambda a: np.where(a.real > 0, a, PARAMETERS[0] * a),
    "elu": lambda a: np.where(a.real > 0, a, PARAMETERS[0] * np.expm1(a)),
    "gelu_tanh": lambda a: a / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (a + 0.044715 * a**3))),
    "gelu": lambda a: a * 0.5 * (1 + scipy.special.erf(a / np.sqrt(2))),
    "silu": lambda a: a / (1 + np.exp(-a)),
    "zmul": lambda a, b: a * b,
    "one_minus_square": lambda a: 1 - a * a,
    "maximum": lambda a, b: np.where(a.real > b.real, a, b),
    "minimum": lambda a, b: np.where(a.real < b.real, a, b),
}
# The words of a column as NumPy functions: its text is valid Python.
WORDS = {
    name: COMPLEX[name] if name in ("sigmoid", "softplus", "one_minus_square") else known(name)
    for name in (
        "sqrt",
        "digamma",
        "zeta",
        "tanh",
        "sinh",
        "cosh",
        "hypot",
        "abs",
        "floor",
        "softplus",
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "square",
        "one_minus_square",
        "reciprocal",
        "exp",
        "log",
        "sin",
        "cos",
        "erf",
        "pow",
        "sign",
        "sigmoid",
        "where",
        "greater",
        "less",
        "equal",
    )
}


@pytest.mark.parametrize("name", SMOOTH)
def test_columns_against_complex_step(name):
    """Im f(a + ih) / h has no cancellation (Squire & Trapp 1998): it is f' to a few ULP."""
    function, step = COMPLEX.get(name) or known(name), 1e-200
    xs = [draw(name, (200,), k=k) for k in range(OPS[name].arity)]
    letters = dict(zip("ab", xs, strict=False), y=function(*map(np.complex128, xs)).real, p=PARAMETERS)
    for k, text in enumerate(OPS[name].derivative[: len(xs)]):
        if text == "NAN":
            continue
        column = eval(text, dict(WORDS), letters)
        moved = [x + step * 1j if j == k else x + 0j for j, x in enumerate(xs)]
        # Columns add terms of size 1 at most a few times: 100 roundings of those.
        np.testing.assert_allclose(
            np.broadcast_to(column, (200,)), function(*moved).imag / step, 1e-13, 2e-14
        )


# ---- against HIPS autograd ----------------------------------------------------------------------------


def in_autograd(name):
    """The function of HIPS autograd that the row answers to; what it cannot differentiate is written out."""
    anp = importlib.import_module("autograd.numpy")
    special = importlib.import_module("autograd.scipy.special")
    written_out = {
        "cbrt": lambda a: a ** (1 / 3),
        "hypot": lambda a, b: anp.sqrt(a * a + b * b),
        "log_sigmoid": lambda a: -anp.log1p(anp.exp(-a)),
    }
    return written_out.get(name) or getattr(anp, OPS[name].numpy, None) or getattr(special, OPS[name].numpy)


@pytest.mark.filterwarnings("ignore:Output seems independent of input")  # second derivatives that are zero
@pytest.mark.parametrize(
    "name", [name for name in SMOOTH if OPS[name].numpy and "NAN" not in OPS[name].derivative]
)
def test_derivatives_are_autograd_s(name):
    autograd = importlib.import_module("autograd")
    function = in_autograd(name)
    arrays = operands(name, [(50,)] * OPS[name].arity)
    ones = np.ones(50)

    def gradients(m, *xs):
        first = m.vjp([m.op(name, *xs)], [m.array(ones)], xs)
        found = list(first)
        for g in first:
            found += m.vjp([g], [m.array(ones)], xs) if g is not None else [None] * len(xs)
        return found

    grads = [autograd.elementwise_grad(function, k) for k in range(len(arrays))]
    grads += [autograd.elementwise_grad(g, k) for g in grads for k in range(len(arrays))]
    for ours, theirs in zip(run(gradients, arrays, "eager"), grads, strict=True):
        if ours is None:
            ours = np.zeros(50)
        # Each side rounds some tens of times, and terms of either sign reach a hundred times the result.
        np.testing.assert_allclose(ours, theirs(*arrays), rtol=1e-12, atol=1e-12)
