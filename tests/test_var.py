"""Var: operators, promotion, arrays that come in, conversions, and what it refuses."""

import copy
import math
import operator
import pickle
import threading

import numpy as np
import pytest
from helpers import same
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg

# ---- operators and promotion ----------------------------------------------------------------------------

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
    "//": lambda a, b: a // b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
OTHERS = [
    2, 2.5, np.float32(2.5), np.float64(2.5), np.int32(2), np.arange(1.0, 4.0), np.arange(1, 4, dtype="i4"),
    np.arange(1, 7, dtype="f4").reshape(2, 3), np.array(2.0), [1.0, 2.0, 3.0],
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
@pytest.mark.parametrize("other", OTHERS, ids=lambda x: f"{type(x).__name__}-{getattr(x, 'dtype', '')}")
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_promote_as_numpy(tape, name, other, dtype):
    plain = np.array([1, 2, 3], dtype)
    v = tape.leaf(plain)
    operator = OPERATORS[name]
    same(operator(v, other), operator(plain, other))
    reflected = operator(np.asarray(other) if isinstance(other, list) else other, plain)
    same(operator(other, v), reflected)


def test_python_numbers_are_weak_and_numpy_scalars_are_not(tape):
    v = tape.leaf(np.ones(2, "f4"))
    assert (v * 2.0).dtype == np.float32
    assert (v * np.float64(2.0)).dtype == np.float64
    assert (v * np.ones(2)).dtype == np.float64
    assert (tape.leaf(np.arange(2)) * 2.0).dtype == np.float64


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5, -0.5, 2.5])
def test_powers(tape, exponent):
    plain = np.array([0.5, 1.0, 4.0])
    v = tape.leaf(plain)
    assert_allclose((v**exponent).value, plain**exponent, rtol=4e-16)
    assert_allclose(np.power(v, exponent).value, plain**exponent, rtol=4e-16)
    assert_allclose((2.0**v).value, 2.0**plain, rtol=4e-16)


def test_special_exponents_take_their_own_ops(tape):
    v = tape.leaf(2.0)
    ops = [tape.node((v**e).index).op for e in (2, 0.5, -1, 1, 3, 4, -2, 5, 2.5)]
    assert ops == ["square", "sqrt", "reciprocal", "copy", "mul", "square", "square", "pow", "pow"]


@pytest.mark.parametrize("exponent", [-2, -1, 0, 0.5, 1, 2, 3, 4, 5, -3])
def test_powers_by_a_constant_have_the_slopes_of_powers(tape, exponent):
    x = np.array([0.3, 1.0, 2.5])
    v = tape.leaf(x)
    ones = tape.leaf(np.ones(3))
    (first,) = tape.vjp([v**exponent], [ones], [v])
    second = tape.vjp([first], [ones], [v])[0] if first is not None else None
    n = exponent
    for found, expected in (
        (v**n, x**n),
        (first, n * x ** (n - 1.0)),
        (second, n * (n - 1) * x ** (n - 2.0)),
    ):
        # at most three roundings against the power's one
        np.testing.assert_allclose(0 * x if found is None else found.value, expected, rtol=4e-16 * 3)


def test_integer_powers_stay_integers(tape):
    v = tape.leaf(np.array([-3, 0, 2], np.int32))
    for n in (0, 1, 2, 3, 4, 5):
        same(v**n, np.array([-3, 0, 2], np.int32) ** n)
    same(2**v, np.array([0, 1, 4], np.int32))  # 2**-3 rounded towards 0
    with pytest.raises(ValueError, match="integers to negative integer powers"):
        v**-1


def test_divmod_and_in_place(tape):
    plain = np.array([3.5, -2.0, 7.0])
    for found, expected in zip(divmod(tape.leaf(plain), 0.75), divmod(plain, 0.75), strict=True):
        same(found, expected)
    for found, expected in zip(divmod(7, tape.leaf(plain)), divmod(7, plain), strict=True):
        same(found, expected)
    v = tape.leaf(plain)
    part, plain_part = v[1:], plain[1:]
    part %= 2.25
    part //= 0.3
    plain_part %= 2.25
    plain_part //= 0.3
    same(v, plain)


def test_bitwise_operators(tape):
    a = np.array([6, -7, 1 << 20])
    v = tape.leaf(a)
    same(v & 3, a & 3)
    same(5 | v, 5 | a)
    same(v ^ v, a ^ a)
    same(~v, ~a)
    same(v << 2, a << 2)
    same(1 << tape.leaf(np.array([1, 2])), [2, 4])
    same(v >> 1, a >> 1)
    same((v > 0) ^ True, (a > 0) ^ True)
    with pytest.raises(TypeError, match="bitwise_and takes integers and bools"):
        v & 1.5


def test_unary_operators(tape):
    v = tape.leaf(np.array([-1.5, 2.0]))
    same(-v, [1.5, -2.0])
    same(+v, [-1.5, 2.0])
    same(abs(v), [1.5, 2.0])
    same(~(v > 0), [True, False])
    same((v > 0) & (v < 1), [False, False])
    same((v > 0) | (v < 1), [True, True])


def test_a_modulo_in_pow_is_refused(tape):
    with pytest.raises(TypeError, match="modulo"):
        pow(tape.leaf(2.0), 2, 3)


def test_unknown_operands_are_left_to_them(tape):
    class Other:
        def __radd__(self, left):
            return "answered"

    v = tape.leaf(1.0)
    assert v + Other() == "answered"
    with pytest.raises(TypeError, match="unsupported operand"):
        v + object()
    assert (v == None) is False  # noqa: E711 - Var's own ==
    assert (v == "a") is False


# ---- arrays that come in --------------------------------------------------------------------------------

LAYOUTS = {
    "F-order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(24.0).reshape(4, 6)[::2, ::2],
    "reversed": np.arange(6.0).reshape(2, 3)[::-1, ::-1],
    "transposed": np.arange(6.0).reshape(3, 2).T,
    "big-endian": np.arange(6, dtype=">f8").reshape(2, 3),
    "unaligned": np.frombuffer(b"x" + np.arange(6.0).tobytes(), np.uint8)[1:].view("f8").reshape(2, 3),
    "field": np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i1"), ("b", "f8")])["b"],
    "0-d": np.array(3.0),
    "empty": np.zeros((0, 3)),
    "broadcast": np.broadcast_to(np.arange(3.0), (2, 3)),
    "bool": np.array([True, False]),
    "int8": np.arange(3, dtype="i1"),
    "uint16": np.arange(3, dtype="u2"),
    "uint32": np.arange(3, dtype="u4"),
    "large": np.arange(200_000.0)[::-1],
    "complex": np.array([1 + 2j, 3.0]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_comes_in(tape, layout):
    array = LAYOUTS[layout]
    v = tape.leaf(array)
    assert_array_equal(v.value, array)
    assert v.dtype.isnative
    assert v.ndim == 0 or (v.value.flags.c_contiguous and v.value.flags.writeable)
    assert v.dtype == array.dtype or np.can_cast(array.dtype, v.dtype)


def test_a_read_only_array_comes_in(tape):
    array = np.arange(3.0)
    array.flags.writeable = False
    same(tape.leaf(array) + 1, array + 1)


def test_small_arrays_are_copied(tape):
    array = np.ones(3)
    v = tape.leaf(array)
    array[:] = 7
    same(v, np.ones(3))


@pytest.mark.parametrize("dtype", ["f2", "g", "O", "U3", "u8", "M8[s]"])
def test_unsupported_dtypes_are_named(tape, dtype):
    array = np.zeros(2, dtype)
    with pytest.raises(TypeError, match=r"cannot be recorded; supported are bool, int32.*astype"):
        tape.leaf(1.0) + array


def test_values_are_fresh_copies(tape):
    v = tape.leaf(np.ones(3))
    first = v.value
    first[:] = 5
    same(v, np.ones(3))
    assert type(tape.leaf(1.0).value) is np.float64
    assert type(tape.leaf(np.float32(1)).value) is np.float32


# ---- attributes, conversions ----------------------------------------------------------------------------


def test_attributes(tape):
    v = tape.leaf(np.zeros((2, 3), "f4"))
    assert (v.shape, v.ndim, v.size, v.dtype, len(v)) == ((2, 3), 2, 6, np.float32, 2)
    assert v.T.shape == (3, 2)
    assert v.tape is tape
    assert v.index == len(tape) - 2
    assert (np.shape(v), np.ndim(v), np.size(v)) == ((2, 3), 2, 6)
    rows = list(v)
    assert len(rows) == 2
    assert rows[0].shape == (3,)


@pytest.mark.parametrize(
    ("convert", "name"),
    [
        (float, "np.sin"),
        (math.sin, "np.sin"),
        (int, "astype"),
        (complex, "astype"),
        (np.asarray, "asarray"),
        (lambda v: np.array([v, v]), "asarray|float"),
        (lambda v: v.item(), "v.item"),
        (lambda v: v.tolist(), "v.tolist"),
        (range, "static_argnums"),
    ],
)
def test_what_would_drop_the_derivative_raises(tape, convert, name):
    with pytest.raises(TypeError, match=name) as caught:
        convert(tape.leaf(1.0))
    assert "v.value" in str(caught.value)


def test_storing_in_a_plain_array_raises(tape):
    with pytest.raises((TypeError, ValueError)) as caught:
        np.zeros(1)[0] = tape.leaf(1.0)
    assert "would drop the derivative" in f"{caught.value} {caught.value.__cause__}"


def test_small_integers_promote_as_the_supported_ones(tape):
    v = tape.leaf(np.ones(3, "i4"))
    same(v + np.arange(3, dtype="u1"), np.arange(1, 4, dtype="i4"))
    same(v + np.arange(3, dtype="u4"), np.arange(1, 4, dtype="i8"))


def test_bool_and_formatting_see_eager_values(tape):
    v = tape.leaf(0.5)
    assert bool(v > 0)
    assert not v < 0
    assert f"{v:.3f}" == "0.500"
    assert str(v) == "0.5"
    assert repr(v) == "Var(0.5)"
    with pytest.raises(ValueError, match="ambiguous"):
        bool(tape.leaf(np.ones(2)))


def test_hash_is_identity(tape):
    v, w = tape.leaf(1.0), tape.leaf(1.0)
    assert len({v, w}) == 2
    assert v in {v: None}


def test_len_and_iteration_of_a_number_raise(tape):
    v = tape.leaf(1.0)
    with pytest.raises(TypeError, match="no length"):
        len(v)
    with pytest.raises(TypeError, match="iterated"):
        iter(v)


@pytest.mark.parametrize("action", [pickle.dumps, copy.deepcopy])
def test_a_var_is_not_copied_away_from_its_tape(tape, action):
    with pytest.raises(TypeError, match=r"v\.value"):
        action(tape.leaf(1.0))


def test_a_var_is_not_made_by_its_class():
    with pytest.raises(TypeError, match=r"wg\.Tape\(\)\.var\(value\)"):
        wg.Var(0.5)


# ---- life and threads -----------------------------------------------------------------------------------


def test_a_leaked_var_says_so():
    kept = []
    wg.grad(lambda x: kept.append(x) or x * x)(1.0)
    assert repr(kept[0]) == str(kept[0]) == f"{kept[0]}" == "Var(ended)"
    for use in (lambda v: v.value, lambda v: v + 1, lambda v: v.shape, np.sin, lambda v: 2 * v):
        with pytest.raises(RuntimeError, match="has ended"):
            use(kept[0])
    assert wg.grad(np.sin)(0.0) == 1.0  # and the next transform is not disturbed
    with pytest.raises(RuntimeError, match="has ended"):
        kept[0] * 1.0


def test_vars_of_two_tapes_do_not_mix():
    with pytest.raises(ValueError, match="unrelated tapes"):
        wg.Tape().var(1.0) + wg.Tape().var(1.0)


def test_a_tape_belongs_to_its_thread(tape):
    v, caught = tape.leaf(1.0), []

    def work():
        try:
            v + 1
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(caught) == 1
    assert "thread" in str(caught[0])


def test_threads_have_tapes_of_their_own():
    found = []

    def work(k):
        found.append([wg.grad(lambda x: x**3)(float(k)) for _ in range(50)] == [3.0 * k**2] * 50)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


# ---- operators and methods that are NumPy's ---------------------------------------------------------------

N = np.array([[5.5, -3.0, 2.0], [1.0, 7.0, -4.5]])
SAME = {
    "%": lambda x: [x % 2, 2.5 % x, np.ones(3) % x, x % x[:1]],
    "//": lambda x: [x // 2, 7 // x, x // np.array([1.0, 2.0, -3.0])],
    "divmod": lambda x: [*divmod(x, 2), *divmod(7, x)],
    "round": lambda x: [round(x[0, 0], 1) if isinstance(x, wg.Var) else np.round(x[0, 0], 1), x.round(1)],
    "argpartition": lambda x: [np.sort(x[0])[:2] * 1.0, np.take(x[0], x[0].argpartition(0)[0])],
    "choose": lambda x: [(x > 0).astype(int).choose([x, -x])],
    "compress": lambda x: [x.compress([True, False, True], axis=1)],
    "diagonal": lambda x: [x.diagonal(1), x.trace()],
    "mT": lambda x: [x.mT @ x, np.float64(x.nbytes), np.float64(x.itemsize)],
    "searchsorted": lambda x: [np.sort(x[0]).searchsorted(1.5) * x[0]],
    "nonzero": lambda x: [x.nonzero()[1] * 1.0],
}


def writes(x):
    a, b, c = x * 1.0, x * 1.0, (x > 0) | (x < -3.5)
    view, mask = a[0], c[0]
    a %= 2
    a //= 0.5
    b.sort(axis=0)
    b[0].fill(x[0, 0])
    b.put([4], x[1, 1] ** 2)
    b[1].partition(1)
    c &= x < 6
    c ^= x > 5
    c |= x == 1
    n = (x * 2).astype(int)
    m = n[1]
    n <<= 2
    n >>= 1
    return [a, view, np.sort(b), c, mask, n, m]


@pytest.mark.parametrize("f", [*SAME.values(), writes], ids=[*SAME, "writes"])
def test_operators_and_methods_are_numpys(f):
    for found in (wg.vjp(lambda x: [y * 1.0 for y in f(x)], N)[0], [v.value for v in on_a_tape(f)]):
        for y, expected in zip(found, f(N), strict=True):
            np.testing.assert_allclose(y, expected)


def on_a_tape(f):
    return [v if isinstance(v, wg.Var) else wg.Tape().leaf(np.asarray(v)) for v in f(wg.Tape().leaf(N))]


def test_attributes_that_a_var_does_not_have_are_named(tape):
    v = tape.leaf(N)
    with pytest.raises(AttributeError, match=r"'strides' \(.*test_var.py, line .*v.value.strides"):
        v.strides  # noqa: B018 - it raises
    with pytest.raises(AttributeError, match=r"has no 'colour'; it has ndarray's"):
        v.colour  # noqa: B018 - it raises
    with pytest.raises(AttributeError, match=r"has no 'at'.*v\[i\] = w writes"):
        v.at[0].set(1.0)  # as in JAX
    assert not hasattr(v, "__array_interface__")


class Foreign:
    """Answers every reflected operator with its name, and takes part in nothing else."""

    __array_ufunc__ = None


for _name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift divmod".split():
    setattr(Foreign, f"__r{_name}__", lambda self, other, name=_name: name)

BINARY = "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift".split()


@pytest.mark.parametrize("value", [2.0, np.ones((2, 2))], ids=["number", "array"])
@pytest.mark.parametrize("name", BINARY)
def test_an_operator_asks_the_other_operand_and_then_refuses_it_by_name(name, value):
    apply, in_place = getattr(operator, name), getattr(operator, f"i{name.rstrip('_')}")
    v = wg.Tape().var(value)
    assert apply(v, Foreign()) == in_place(v, Foreign()) == name.rstrip("_")
    for call in (lambda: apply(v, object()), lambda: apply(object(), v), lambda: in_place(v, object())):
        with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for .*'(wengert\._core\.)?Var'"):
            call()
