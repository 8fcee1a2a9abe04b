"""wg.compile: what is traced, read anew, static or guarded; results, out=, donation, threads."""

import functools
import itertools
import threading

import numpy as np
import pytest
from helpers import counted
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
import wengert.numpy as wnp

# ---- recording and replaying ----------------------------------------------------------------------------


def test_a_replay_computes_with_new_values(rng):
    f, calls = counted(lambda w, x: np.sum(np.tanh(x @ w) ** 2))
    g = wg.compile(wg.value_and_grad(f))
    for _ in range(3):
        w, x = rng.standard_normal(3), rng.standard_normal((4, 3))
        for found, expected in zip(g(w, x), wg.value_and_grad(f.__wrapped__)(w, x), strict=True):
            assert_allclose(found, expected, rtol=1e-15)
    assert len(calls) == 1


def test_structure_shape_dtype_and_weakness_select_a_recording():
    f, calls = counted(lambda x: x)
    g = wg.compile(f)
    arguments = [
        np.ones(3), np.ones(4), np.ones(3, "f4"), 1.0, 1, np.float64(1), (np.ones(3),), [np.ones(3)],
        {"a": np.ones(3)}, np.ones((3, 1)), np.array(True), None, "text", "other", True, np.sin,
    ]  # fmt: skip
    for expected, x in enumerate(arguments, 1):
        for _ in range(2):
            g(x)
            assert len(calls) == expected
    for x in arguments:
        g(x)
    assert len(calls) == len(arguments)


def test_python_numbers_are_traced_and_weak():
    f, calls = counted(lambda x, s, n: x * s + n)
    g = wg.compile(f)
    x = np.ones(3, "f4")
    assert_array_equal(g(x, 2.0, 1), np.full(3, 3.0, "f4"))
    assert g(x, 5.0, -1).dtype == np.float32
    assert_array_equal(g(x, 5.0, -1), np.full(3, 4.0))
    assert len(calls) == 1


def test_keywords():
    g = wg.compile(lambda x, *, scale: x * scale)
    assert g(2.0, scale=3.0) == 6.0
    assert g(2.0, scale=np.ones(2)).shape == (2,)


def test_results_keep_their_structure_and_constants():
    g = wg.compile(lambda x: {"b": [x, 3.0], "a": (None, "text", x * 2)})
    found = g(np.ones(2))
    assert list(found) == ["b", "a"]
    assert found["b"][1] == 3.0
    assert found["a"][:2] == (None, "text")
    assert_array_equal(found["a"][2], [2.0, 2.0])
    assert wg.compile(lambda x: None)(1.0) is None
    assert wg.compile(lambda x: (1, "a"))(1.0) == (1, "a")


def test_results_belong_to_the_caller():
    g = wg.compile(lambda x: (x, x + 1, x))
    x = np.ones(3)
    first, second = g(x), g(x)
    arrays = [x, *first, *second]
    assert not any(np.may_share_memory(a, b) for a, b in itertools.combinations(arrays, 2))
    assert all(a.flags.owndata and a.flags.writeable and a.flags.c_contiguous for a in first)
    scalar = wg.compile(np.sum)(x)
    assert type(scalar) is np.float64


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(4, 6)[::2, ::2],
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.arange(6, dtype="u1").reshape(2, 3),
        np.broadcast_to(np.arange(3.0), (2, 3)),
        np.frombuffer(b"x" + np.arange(6.0).tobytes(), np.uint8)[1:].view("f8").reshape(2, 3),
        np.zeros((0, 3)),
        np.array(2.0),
    ],
    ids=["F", "strided", "big-endian", "uint8", "broadcast", "unaligned", "empty", "0-d"],
)
def test_any_layout_is_replayed(array):
    g = wg.compile(lambda x: x * 2)
    for _ in range(2):
        assert_array_equal(g(array), array * 2)
    captured = wg.compile(lambda s: array * s)
    assert_array_equal(captured(2.0), array * 2)
    assert_array_equal(captured(3.0), array * 3)


def test_few_recordings_are_kept():
    f, calls = counted(lambda x: x)
    g = wg.compile(f)
    for n in range(100):
        g(np.zeros(n))
    g(np.zeros(99))
    assert len(calls) == 100
    g(np.zeros(0))
    assert len(calls) == 101


# ---- what is captured -----------------------------------------------------------------------------------


def test_captured_arrays_are_read_at_every_replay():
    W, s = np.ones((2, 2)), np.array(3.0)
    f, calls = counted(lambda x: wnp.sum(x @ W) * s)
    g = wg.compile(wg.grad(f))
    x = np.ones(2)
    assert_array_equal(g(x), [6.0, 6.0])
    W[0] = 10
    s[()] = 1.0
    assert_array_equal(g(x), [20.0, 2.0])
    assert len(calls) == 1


def test_functions_of_captured_arrays_alone_are_not_folded():
    W = np.ones(3)
    g = wg.compile(lambda x: x + wnp.sum(wnp.square(W)))
    assert g(0.0) == 3.0
    W[:] = 2.0
    assert g(0.0) == 12.0


def test_captured_arrays_may_change_their_shape():
    W = np.arange(6.0)
    g = wg.compile(lambda x: wnp.sum(W, axis=-1) * x)
    assert g(1.0) == 15.0
    W.shape = (2, 3)
    assert_array_equal(g(1.0), [3.0, 12.0])


def test_rebinding_what_the_function_closes_over_records_again():
    scale = 2.0
    f, calls = counted(lambda x: x * scale)
    g = wg.compile(wg.grad(f))
    assert (g(1.0), g(2.0)) == (2.0, 2.0)
    scale = 5.0
    assert (g(1.0), len(calls)) == (5.0, 2)


FACTOR = 2.0


def times_factor(x, offset=1.0, *, shift=0.0):
    return next(x * FACTOR + offset + shift for _ in range(1))


def test_rebinding_globals_and_defaults_records_again(monkeypatch):
    g = wg.compile(times_factor)
    assert g(1.0) == 3.0
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert g(1.0) == 4.0
    monkeypatch.setattr(times_factor, "__defaults__", (10.0,))
    assert g(1.0) == 13.0
    monkeypatch.setattr(times_factor, "__kwdefaults__", {"shift": 100.0})
    assert g(1.0) == 113.0


def test_a_changed_method_or_partial_is_seen():
    base = 2.0

    class Model:
        def __call__(self, x):
            return x * base

        def method(self, x):
            return x + base

    compiled = [
        wg.compile(f) for f in (Model(), Model().method, functools.partial(lambda a, x: x - base, None))
    ]
    assert [g(1.0) for g in compiled] == [2.0, 3.0, -1.0]
    base = 5.0
    assert [g(1.0) for g in compiled] == [5.0, 6.0, -4.0]


# ---- static arguments -----------------------------------------------------------------------------------


def test_static_arguments_are_values():
    f, calls = counted(lambda x, n: x**n if n > 1 else x.reshape(n, -1))
    g = wg.compile(f, static_argnums=1)
    assert_array_equal(g(np.full(2, 3.0), 2), [9.0, 9.0])
    assert g(np.ones(2), 1).shape == (1, 2)
    g(np.ones(2), 2)
    assert len(calls) == 2
    g(np.ones(2), 2.0)
    assert len(calls) == 3  # equal, but of another type


def test_decorating_with_static_arguments():
    @wg.compile(static_argnums=(1,))
    def f(x, axis):
        """A sum."""
        return np.sum(x, axis=axis)

    assert f.__name__ == "f"
    assert f.__doc__ == "A sum."
    assert_array_equal(f(np.ones((2, 3)), 0), [2.0, 2.0, 2.0])
    assert f(np.ones((2, 3)), None) == 6.0


def test_static_arguments_by_name():
    x = np.arange(1.0, 4)
    g = wg.compile(lambda x, n=2, *, k=1.0: sum(x[i] for i in range(n)) * k, static_argnums=np.int64(1))
    assert [g(x, n=2), g(x, n=3), g(x, 3), g(x), g(n=2, x=x), g(x, n=2, k=2.0)] == [3, 6, 6, 3, 3, 6]
    g(x, n=2)
    assert "6 recordings" in repr(g)  # a keyword makes another call than a position


def test_a_compiled_method():
    class Model:
        @wg.compile(static_argnums=0)
        def double(self, x):
            return x * 2

    assert Model().double(3.0) == 6.0


@pytest.mark.parametrize(
    ("f", "args", "options", "error", "match"),
    [
        (
            lambda x: x if x > 0 else -x,
            (1.0,),
            {},
            TypeError,
            r"bool\(v\).*np\.where.*wg\.cond.*static_argnums",
        ),
        (lambda x: x[x > 0], (np.ones(2),), {}, TypeError, r"v\[mask\].*np\.where"),
        (lambda x: float(x), (1.0,), {}, TypeError, r"float\(v\)"),
        (lambda x: x.value, (1.0,), {}, TypeError, "static_argnums"),
        (lambda n: range(n), (3,), {}, TypeError, "static_argnums"),
        (lambda x, n: x.reshape(n), (np.ones(2), 2), {}, TypeError, "static_argnums"),
        (lambda x, n: np.sum(x, axis=n), (np.ones(2), 0), {}, TypeError, "static_argnums"),
        (lambda x, n: x[:n], (np.ones(2), 1), {}, TypeError, "static_argnums|static arguments"),
        (lambda x: x, (object(),), {}, TypeError, "argument 0 is a object.*static_argnums"),
        (lambda x: x, ({"a": [object()]},), {}, TypeError, r"argument 0\['a'\]\[0\] is a object"),
        (lambda x: x, ([1],), {"static_argnums": 0}, TypeError, "static argument 0 cannot be hashed"),
        (lambda x: x, (np.ones(1, "O"),), {}, TypeError, "dtype object"),
        (lambda x: x, (1.0,), {"static_argnums": 1}, TypeError, "names argument 1, the call has 1 argument$"),
        (
            lambda *x: x[0],
            (1.0, 2.0),
            {"donate_argnums": (0, 2)},
            TypeError,
            "names argument 2, the call has 2",
        ),
        (lambda x: x @ np.ones(3), (np.ones(2),), {}, ValueError, "matmul"),
    ],
)
def test_mistakes_are_named(f, args, options, error, match):
    g = wg.compile(f, **options)
    for _ in range(2):
        with pytest.raises(error, match=match):
            g(*args)


def test_mistakes_of_compile_itself():
    with pytest.raises(TypeError, match="f must be a function"):
        wg.compile(3)
    for places in (-1, None, "x", (0, 1.5)):
        with pytest.raises(ValueError, match=r"^compile: static_argnums=.*expected positions of arguments"):
            wg.compile(np.sin, static_argnums=places)
    with pytest.raises(ValueError, match=r"^loop: each=-1; expected positions"):
        wg.compile(np.sin).loop(np.ones(2), each=-1)
    with pytest.raises(TypeError, match="a donated argument must be given by position"):
        wg.compile(lambda x, y: x + y, donate_argnums=1)(np.ones(2), y=np.ones(2))
    with pytest.raises(ValueError, match="cannot be donated"):
        wg.compile(np.sin, static_argnums=0, donate_argnums=0)


def test_check_finds_what_a_recording_does_not_see():
    numbers = itertools.count()
    cases = {
        "constant": lambda x: x * next(numbers),
        "array of other values": lambda x: x * np.full(3, float(next(numbers))),
        "nodes": lambda x: functools.reduce(lambda y, _: np.sin(y), range(next(numbers)), x),
    }
    for match, f in cases.items():
        with pytest.raises(RuntimeError, match=match):
            wg.compile(f, check=True)(1.0)
    assert wg.compile(lambda x: x * np.ones(3), check=True)(2.0).tolist() == [2.0, 2.0, 2.0]


# ---- out= and donation ----------------------------------------------------------------------------------


def test_out_receives_the_results():
    g = wg.compile(lambda x: (x * 2, {"s": np.sum(x)}))
    x = np.arange(3.0)
    out = (np.empty(3), {"s": np.empty(())})
    found = g(x, out=out)
    assert found[0] is out[0]
    assert found[1]["s"] is out[1]["s"]
    assert_array_equal(out[0], 2 * x)
    assert out[1]["s"] == 3.0
    single = np.empty(3)
    assert wg.compile(np.sin)(x, out=single) is single


def test_out_may_overlap_inputs():
    g = wg.compile(lambda x, y: (x + y, x - y))
    x, y = np.array([1.0, 2.0]), np.array([10.0, 20.0])
    g(x, y, out=(y, x))
    assert_array_equal(y, [11.0, 22.0])
    assert_array_equal(x, [-9.0, -18.0])
    shifted = np.arange(5.0)
    wg.compile(lambda x: x + 1)(shifted[:-1], out=shifted[1:])
    assert_array_equal(shifted, [0.0, 1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("out", "error", "match"),
    [
        (np.empty(3), ValueError, "structure"),
        ((np.empty(2), np.empty(3)), ValueError, r"out\[0\] has shape \(2,\)"),
        ((np.empty(3, "f4"), np.empty(3)), ValueError, "dtype float32"),
        ((np.empty(6)[::2], np.empty(3)), ValueError, "C-contiguous"),
        ((np.broadcast_to(1.0, 3), np.empty(3)), ValueError, "C-contiguous and writeable"),
        ((1.0, np.empty(3)), TypeError, "expected an ndarray"),
    ],
)
def test_a_bad_out_is_named(out, error, match):
    g = wg.compile(lambda x: (x, x * 2))
    with pytest.raises(error, match=match):
        g(np.ones(3), out=out)
    shared = np.empty(3)
    with pytest.raises(ValueError, match="shares memory"):
        g(np.ones(3), out=(shared, shared))


def test_donated_arrays_are_overwritten_and_returned():
    @wg.compile(donate_argnums=(0, 1))
    def step(state, memory, gradient):
        memory = {"m": memory["m"] * 0.5 + gradient}
        return state - 0.1 * memory["m"], memory, np.sum(gradient)

    state, memory, gradient = np.ones(3), {"m": np.zeros(3)}, np.full(3, 2.0)
    expected, m = np.ones(3), np.zeros(3)
    for _ in range(3):
        m = m * 0.5 + gradient
        expected = expected - 0.1 * m
        new_state, new_memory, total = step(state, memory, gradient)
        assert new_state is state
        assert new_memory["m"] is memory["m"]
        assert total == 6.0
        assert_allclose(state, expected, rtol=1e-15)
        assert_allclose(memory["m"], m, rtol=1e-15)
    assert_array_equal(gradient, np.full(3, 2.0))


def test_donated_arrays_may_swap():
    g = wg.compile(lambda x, y: (y, x), donate_argnums=(0, 1))
    x, y = np.ones(3), np.full(3, 2.0)
    a, b = g(x, y)
    assert a is x
    assert b is y
    assert_array_equal(a, np.full(3, 2.0))
    assert_array_equal(b, np.ones(3))


def test_an_output_prefers_the_donated_argument_at_its_place():
    g = wg.compile(lambda loss, count: (loss + count, count + 1), donate_argnums=(1,))
    count = np.array(1.0)
    total, after = g(1.0, count)
    assert (total, after) == (2.0, 2.0)
    assert after is count
    assert total is not count


def test_what_cannot_be_donated():
    g = wg.compile(lambda x, y: x + y, donate_argnums=0)
    base = np.ones(6)
    for x in (base[:3], base[::2], np.broadcast_to(1.0, 3), np.ones(3, ">f8")):
        with pytest.raises(ValueError, match="argument 0 is donated"):
            g(x, np.ones(3))
    unshared = g(np.arange(6.0).reshape(2, 3), 1.0)  # a view whose base nobody else knows
    assert_array_equal(unshared, np.arange(1.0, 7.0).reshape(2, 3))
    x = np.ones(3)
    with pytest.raises(ValueError, match="shares memory"):
        g(x, x)
    assert_array_equal(x, np.ones(3))


# ---- programs and threads -------------------------------------------------------------------------------


def test_one_program_from_two_threads():
    g = wg.compile(lambda x: np.sum(np.sin(x)) + x)
    wrong = []

    def work(k):
        x = np.full(1000, float(k))
        expected = g(x).tobytes()
        wrong.extend(k for _ in range(100) if g(x).tobytes() != expected)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_any_number_of_threads_gives_the_same_bits(rng):
    before = wg.get_num_threads()
    W, x = rng.standard_normal((300, 200)).astype("f4"), rng.standard_normal((257, 300)).astype("f4")
    g = wg.compile(wg.grad(lambda W: np.sum(np.tanh(x @ W) ** 2)))
    try:
        results = []
        for n in (1, 2, 3, 4):
            wg.set_num_threads(n)
            assert wg.get_num_threads() == n
            results.append(g(W).tobytes())
    finally:
        wg.set_num_threads(before)
    assert len(set(results)) == 1
    for n in (0, -1, 257):
        with pytest.raises(ValueError, match="expected 1 to 256"):
            wg.set_num_threads(n)


def test_an_array_rewritten_while_recording_is_refused():
    def f(x):
        work, total = np.zeros(3), 0.0
        for k in range(3):
            work[:] = k
            total = total + np.sum(x * work)
        return total

    assert wg.grad(f)(np.arange(3.0)).tolist() == [3.0, 3.0, 3.0]
    with pytest.raises(ValueError, match=r"array of shape \(3,\) was changed in place"):
        wg.compile(f)(np.arange(3.0))


def test_what_a_recording_leaves_behind_takes_no_operations():
    kept = []
    g = wg.compile(lambda x: kept.append(x) or 2 * x)
    assert g(2.0) == 4.0
    with pytest.raises(RuntimeError, match="has ended"):
        kept[0] + 1


def test_only_arrays_and_plain_values_are_returned():
    with pytest.raises(TypeError, match="returned a generator"):
        wg.compile(lambda x: (x for _ in range(2)))(1.0)


def test_out_and_donation_exclude_one_another():
    g = wg.compile(lambda b, a: (b + 1, a + 10), donate_argnums=1)
    a, out = np.ones(3), np.zeros(3)
    with pytest.raises(ValueError, match="out= and donate_argnums"):
        g(np.zeros(3), a, out=(a, out))
    assert a.tolist() == [1.0, 1.0, 1.0]


def test_recordings_are_forgotten_by_the_memory_they_hold():
    g = wg.compile(lambda x: np.sum(np.sin(x)[::-1] * x))  # the sines are kept: they are read from the end
    for n in range(1_000_000, 1_000_020):
        g(np.ones(n))  # keeps some 8 to 16 MB for each shape
    assert 2 <= len(g._traces) < 12


def test_masked_arrays_are_refused_as_arguments():
    with pytest.raises(TypeError, match="MaskedArray cannot be recorded"):
        wg.compile(np.sum)(np.ma.array(np.ones(3), mask=[1, 0, 0]))


def test_integers_beyond_64_bits_are_floats():
    g = wg.compile(lambda x, k: x * k)
    for k in (3, 2**63, 2, 2**70, -(2**63) - 1):
        assert_array_equal(g(np.ones(2), k), [float(k)] * 2)


def test_masked_arrays_are_refused_also_by_a_replay():
    g = wg.compile(np.sum)
    assert g(np.ones(3)) == 3.0
    with pytest.raises(TypeError, match="MaskedArray cannot be recorded"):
        g(np.ma.array(np.ones(3), mask=[1, 0, 0]))
