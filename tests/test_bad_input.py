"""What the core refuses: each with the right exception, one clear sentence, and the tape as it was before."""

import threading

import numpy as np
import pytest
from oracle import OPS, Core

import wengert as wg
from wengert import _core

BIG = 2**40


def refuse(exception, match, name, *arrays, attrs=()):
    """On an eager and on an abstract tape alike: shapes and dtypes are checked without values."""
    for abstract in (False, True):
        m = Core(abstract)
        xs = [m.array(x) for x in arrays]
        length = len(m.tape)
        with pytest.raises(exception, match=match) as error:
            m.op(name, *xs, attrs=attrs)
        assert len(m.tape) == length
        assert "\n" not in str(error.value)
        m.tape.verify()
        m.op("copy", xs[0])  # the tape goes on


ONES = np.ones
INDEX = np.array([0, 1])


@pytest.mark.parametrize(
    ("exception", "match", "name", "arrays", "attrs"),
    [
        (ValueError, r"add.*\(2,\).*\(3,\)", "add", [ONES(2), ONES(3)], ()),
        (ValueError, r"where.*\(2, 2\)|where.*\(3,\)", "where", [ONES((2, 2), bool), ONES(3), ONES(3)], ()),
        (ValueError, r"matmul.*3 columns against 4 rows", "matmul", [ONES((2, 3)), ONES((4, 5))], ()),
        (ValueError, "matmul.*two axes", "matmul", [ONES(3), ONES((3, 2))], ()),
        (ValueError, "broadcast|matmul", "matmul", [ONES((2, 2, 3)), ONES((3, 3, 2))], ()),
        (ValueError, "sum.*axis.*out of range", "sum", [ONES((2, 3))], (4, 0)),
        (ValueError, "argmax.*axis 2.*out of range", "argmax", [ONES((2, 3))], (2,)),
        (ValueError, "argmax.*axis -1.*out of range", "argmax", [ONES((2, 3))], (-1,)),
        (ValueError, "concatenate.*axis 1.*out of range", "concatenate", [ONES(2), ONES(3)], (1,)),
        (ValueError, "concatenate.*differ", "concatenate", [ONES((2, 3)), ONES((2, 4))], (0,)),
        (ValueError, "max of an empty axis", "max", [ONES((0,))], (1, 0)),
        (ValueError, "min of an empty axis", "min", [ONES((2, 0))], (2, 0)),
        (ValueError, "argmax of an empty axis", "argmax", [ONES((0, 2))], (0,)),
        (ValueError, r"reshape.*\(2, 3\).*\(4,\)", "reshape", [ONES((2, 3))], (4,)),
        (ValueError, "reshape|shape|negative", "reshape", [ONES((2, 3))], (-1, 6)),
        (ValueError, "transpose.*permutation", "transpose", [ONES((2, 3))], (0, 0)),
        (ValueError, r"broadcast.*\(2,\).*\(3,\)", "broadcast", [ONES(2)], (3,)),
        (ValueError, "broadcast", "broadcast", [ONES((2, 2))], (2,)),
        (IndexError, "slice.*leaves axis 0", "slice", [ONES(3)], (1, 1, 3)),
        (IndexError, "slice.*leaves axis 0", "slice", [ONES(3)], (0, -1, 2)),
        (IndexError, "slice.*leaves axis 0", "slice", [ONES(3)], (0, 2**62, 3)),
        (IndexError, "slice.*leaves axis 0", "slice", [ONES(3)], (0, -(2**63), 2)),
        (IndexError, "slice.*leaves axis 0", "slice", [ONES(3)], (0, 1, -1)),
        (ValueError, r"slice_add.*\(3,\).*\(2,\)", "slice_add", [ONES(5), ONES(3)], (0, 1, 2)),
        (TypeError, "gather.*integers.*float64", "gather", [ONES(3), ONES(2)], ()),
        (IndexError, "gather.*0-d", "gather", [ONES(()), INDEX], ()),
        (ValueError, r"index_add.*\(3,\).*\(2,\)", "index_add", [ONES(4), INDEX, ONES(3)], ()),
        (ValueError, "tanh takes 0 attributes, got 1", "tanh", [ONES(2)], (1,)),
        (ValueError, "leaky_relu takes 1 attributes, got 0", "leaky_relu", [ONES(2)], ()),
        (TypeError, "tanh takes 1 operands, got 2", "tanh", [ONES(2), ONES(2)], ()),
        # products of extents, and of extents and bytes, that no integer holds
        (ValueError, "large|big|overflow|bytes", "broadcast", [ONES(1)], (BIG, BIG)),
        (ValueError, "large|big|overflow|bytes", "broadcast", [ONES(1)], (2**62, 4)),
        (ValueError, "large|big|overflow|bytes", "broadcast", [ONES(1)], (2**61,)),
        (ValueError, "large|big|overflow|bytes|negative", "broadcast", [ONES(1)], (-1,)),
        (TypeError, "complex", "erfinv", [ONES(2, complex)], ()),
    ],
)
def test_the_core_refuses(exception, match, name, arrays, attrs):
    refuse(exception, match, name, *arrays, attrs=attrs)


@pytest.mark.parametrize("rows", [[2], [-3], [0, 5, 1], [2**40], [-(2**63)]])
def test_rows_out_of_range(rows):
    """Found when the node runs: at once on an eager tape, at replay on a compiled one."""
    for name, others in (("gather", []), ("index_add", [ONES((len(rows), 3))])):
        m = Core()
        xs = [m.array(ONES((2, 3))), m.array(np.array(rows)), *map(m.array, others)]
        length = len(m.tape)
        with pytest.raises(IndexError, match=r"index -?\d+ is out of bounds for axis 0 with size 2"):
            m.op(name, *xs)
        assert len(m.tape) == length
        m = Core(abstract=True)
        y = m.op(name, m.array(ONES((2, 3))), m.array(np.array(rows)), *map(m.array, others))
        with pytest.raises(IndexError, match="out of bounds"):
            m.read([y])


def test_too_much_memory_is_an_error():
    """A view of 2^50 elements is free; a copy of it is not to be had."""
    m = Core()
    wide = m.op("broadcast", m.array(ONES(1)), attrs=(2**50,))
    assert wide.shape == (2**50,)
    length = len(m.tape)
    with pytest.raises(MemoryError):
        m.op("tanh", wide)
    assert len(m.tape) == length


def test_a_plan_whose_sizes_overflow_is_an_error():
    """Sixteen groups of ten values of 2^57 bytes a row: the sum of them is no size at all."""

    def f(x):
        z = np.broadcast_to(x[:, None], (16, 2**54)) * np.broadcast_to(x[0], (2**54,))
        parts = [np.tanh(z), np.cos(z), np.sin(z), np.exp(z), np.sinh(z), np.cosh(z), np.arctan(z)]
        return np.sum(sum(a * b for a, b in zip(parts, reversed(parts), strict=True)))

    with pytest.raises(MemoryError, match="intermediates do not fit in memory"):
        wg.compile(f).program(np.ones(16))


def test_sweeps_check_their_seeds():
    m = Core()
    x = m.array(ONES(3))
    y = m.op("tanh", x)
    with pytest.raises(ValueError, match=r"cotangent.*\(2,\).*\(3,\)"):
        m.vjp([y], [m.array(ONES(2))], [x])
    with pytest.raises(ValueError, match=r"tangent.*\(2,\).*\(3,\)"):
        m.jvp([x], [m.array(ONES(2))], [y])
    m.tape.verify()


def test_calls_check_their_operands():
    child = _core.Tape(abstract=True)
    child.set_outputs([_core.record(OPS["tanh"].code, (child.input(np.dtype("float64"), (3,)),))])
    m = Core()
    for wrong in (ONES(2), ONES(3, "float32")):
        with pytest.raises((ValueError, TypeError), match="call"):
            m.tape.call(child, [m.array(wrong)])
    with pytest.raises(ValueError, match="2 operands for 1 inputs"):
        m.tape.call(child, [m.array(ONES(3)), m.array(ONES(3))])
    m.tape.verify()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2, "float16"),
        np.zeros(2, "longdouble"),
        np.array(["a"]),
        np.array([None]),
        np.zeros(2, "uint64"),
    ],
    ids=lambda x: x.dtype.name,
)
def test_dtypes_that_no_tape_holds(array):
    with pytest.raises(TypeError, match="cannot be recorded; supported are"):
        Core().tape.leaf(array)


def test_arrays_of_every_layout_are_taken_as_they_are():
    base = np.arange(24.0).reshape(4, 6)
    read_only = base.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"\0" * 4 + base.tobytes(), offset=4).reshape(4, 6)
    for x in (
        base.T,
        base[::2, ::-1],
        np.asfortranarray(base),
        read_only,
        base[:0],
        base[1, 1],
        unaligned,
        base.astype(">f8"),
        np.broadcast_to(base[0], (3, 6)),
        base.astype("int8"),
        base[:, None, :],
    ):
        m = Core()
        np.testing.assert_array_equal(m.op("neg", m.tape.leaf(x)).value, -x)


def in_a_thread(work):
    """What work() raised in another thread."""
    raised = []

    def run():
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


def test_a_tape_belongs_to_its_thread():
    m = Core()
    x = m.array(ONES(3))
    y = m.op("tanh", x)
    for misuse in (
        lambda: m.op("tanh", x),
        lambda: m.array(ONES(2)),
        lambda: m.vjp([y], [x], [x]),
        lambda: m.jvp([x], [x], [y]),
    ):
        (error,) = in_a_thread(misuse)
        assert isinstance(error, RuntimeError)
        assert "thread" in str(error)
    np.testing.assert_array_equal(y.value, np.tanh(ONES(3)))
    m.tape.verify()


def test_a_program_runs_in_any_thread():
    m = Core(abstract=True)
    y = m.op("sum", m.op("tanh", m.array(ONES(1000))), attrs=(1, 0))
    m.tape.set_outputs([y])
    program = _core.Program(m.tape)
    expected, found = program.run(m.arrays), []
    threads = [
        threading.Thread(target=lambda: [found.append(program.run(m.arrays)) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 200


def test_vars_of_unrelated_tapes():
    a, b = Core(), Core()
    with pytest.raises(ValueError, match="unrelated tapes"):
        a.op("add", a.array(ONES(2)), b.array(ONES(2)))


def test_a_var_that_has_ended():
    m = Core()
    x = m.array(ONES(2))
    y = m.op("tanh", x)
    m.tape.pop(y.index)
    with pytest.raises(RuntimeError, match="ended"):
        m.op("tanh", y)


def test_an_abstract_tape_has_no_values():
    m = Core(abstract=True)
    y = m.op("tanh", m.array(ONES(2)))
    with pytest.raises(TypeError, match="no value"):
        y.value  # noqa: B018 - it raises


def test_a_python_integer_must_fit_the_array_that_it_meets():
    m = Core()
    x = m.array(np.ones(2, "int32"))
    with pytest.raises(ValueError, match="Python integer 1099511627776 is out of bounds for int32"):
        x + 2**40
    assert (x + (2**31 - 2)).dtype == np.int32
