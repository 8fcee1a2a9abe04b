"""Many calls as one C call: what they compute, what they leave when they are stopped."""

import _thread
import signal
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg

# ---- what a loop computes ---------------------------------------------------------------------------------


def step(state, data, rows, rate):
    """Something like a training step: rows are gathered, the state is overwritten."""
    mean = 0.5 * state["mean"] + np.sum(data["x"][rows], axis=0)
    return {"w": state["w"] - rate * mean, "mean": mean}, {"norm": np.sum(mean * mean), "rate": rate * 1.0}


def fresh():
    return {"w": np.arange(3.0), "mean": np.zeros(3)}


def test_a_loop_gives_what_its_calls_give(rng):
    data, rows, rates = {"x": rng.normal(size=(20, 3))}, rng.integers(0, 20, (7, 4)), rng.uniform(size=7)
    f = wg.compile(step, donate_argnums=0)
    expected, stacked = fresh(), []
    for k in range(7):
        expected, rest = f(expected, data, rows[k], rates[k])
        stacked.append(rest)
    state = fresh()
    found, rest = f.loop(state, data, rows, rates, each=(2, 3))
    assert found["w"] is state["w"]
    assert_array_equal(found["w"], expected["w"])
    assert_array_equal(found["mean"], expected["mean"])
    assert_array_equal(rest["norm"], [r["norm"] for r in stacked])
    assert_array_equal(rest["rate"], rates)
    assert len(f._traces) == 1


def test_arrays_of_many_axes_are_stacked():
    f = wg.compile(lambda total, x: (total + x["a"], x["a"].T, "same"), donate_argnums=0)
    x = np.arange(24.0).reshape(4, 2, 3)
    total, turned, word = f.loop(np.zeros((2, 3)), {"a": x}, each=1)
    assert_array_equal(total, x.sum(axis=0))
    assert_array_equal(turned, x.swapaxes(1, 2))
    assert turned.flags.owndata
    assert word == "same"


def test_a_loop_without_entries_changes_nothing():
    f = wg.compile(lambda total, x: (total + x, x), donate_argnums=0)
    program = f.program(np.ones(2), np.ones(2))
    state = np.full(2, 5.0)
    found = program.repeat([state, np.zeros((0, 2))], 0, [1])
    assert found[0] is state
    assert_array_equal(state, [5.0, 5.0])
    assert found[1].shape == (0, 2)


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        lambda a: a.astype(">f8"),
        lambda a: np.repeat(a, 2, 1)[:, ::2],
        lambda a: a.astype("f4"),
    ],
    ids=["F", "big-endian", "strided", "float32"],
)
def test_any_layout_is_looped_over(convert):
    x = np.arange(12.0).reshape(4, 3)
    f = wg.compile(lambda total, x: total + x, donate_argnums=0)
    assert_array_equal(f.loop(np.zeros(3), convert(x), each=1), x.sum(axis=0))


def test_rows_of_a_memory_map_are_gathered(tmp_path, rng):
    x = rng.normal(size=(50, 3))
    np.save(tmp_path / "x.npy", x)
    mapped, rows = np.load(tmp_path / "x.npy", mmap_mode="r"), rng.integers(0, 50, (9, 5))
    f = wg.compile(step, donate_argnums=0)
    found, _ = f.loop(fresh(), {"x": mapped}, rows, np.full(9, 0.1), each=(2, 3))
    expected, _ = f.loop(fresh(), {"x": x}, rows, np.full(9, 0.1), each=(2, 3))
    assert_array_equal(found["w"], expected["w"])


def test_captured_arrays_may_change_their_shape():
    captured = np.ones(2)
    f = wg.compile(lambda total, x: total + np.sum(x * captured), donate_argnums=0)
    assert f.loop(np.zeros(()), np.ones(3), each=1) == 6.0
    captured.resize(4, refcheck=False)
    captured[:] = 2.0
    assert f.loop(np.zeros(()), np.ones(3), each=1) == 24.0


def test_mistakes_are_named():
    f = wg.compile(lambda a, b, c: (a + b, c), donate_argnums=0)
    a = np.zeros(2)
    with pytest.raises(ValueError, match=r"in each have \[3, 4\] entries"):
        f.loop(a, np.ones((3, 2)), np.ones(4), each=(1, 2))
    with pytest.raises(ValueError, match="an argument in each cannot be donated"):
        f.loop(a, np.ones((3, 2)), 1.0, each=(0, 1))
    with pytest.raises(ValueError, match=r"loop: argument 0 is donated, but no result"):
        f.loop(np.zeros(1), np.ones((3, 2)), 1.0, each=1)
    base = np.zeros(4)
    with pytest.raises(ValueError, match="it is a view of another array"):
        f.loop(base[:2], np.ones((3, 2)), 1.0, each=1)
    with pytest.raises(ValueError, match="each names argument 3, the call has 3 arguments"):
        f.loop(a, np.ones((3, 2)), 1.0, each=(1, 3))
    with pytest.raises(ValueError, match="argument 2 is in each and has no axis to go along"):
        f.loop(a, np.ones((3, 2)), 1.0, each=(1, 2))
    with pytest.raises(ValueError, match="each=-1"):
        f.loop(a, np.ones((3, 2)), 1.0, each=-1)
    with pytest.raises(TypeError, match=r"within a transform use wg\.scan"):
        wg.compile(lambda x: f.loop(x, np.ones((3, 2)), 1.0, each=1))(a)
    with pytest.raises(TypeError, match=r"within a transform use wg\.scan"):
        wg.grad(lambda x: np.sum(f.loop(x, np.ones((3, 2)), 1.0, each=1)[0]))(a)
    assert_array_equal(a, [0.0, 0.0])


def test_the_short_way_is_left_where_it_does_not_serve():
    """Loops over other arguments, lengths and dtypes, other names and views, one after the other."""
    scale = 1.0
    f = wg.compile(lambda total, x: (total + scale * np.sum(x), x), donate_argnums=0)
    x = np.arange(6.0).reshape(3, 2)
    for _ in range(2):
        assert f.loop(np.zeros(()), x, each=1)[0] == 15.0
        assert f.loop(np.zeros(()), x[:2], each=1)[0] == 6.0
        assert f.loop(np.zeros(()), x.astype("f4"), each=1)[1].dtype == np.float32
        assert f.loop(np.zeros(()), x.T, each=1)[0] == 15.0
        assert f(np.zeros(()), x)[0] == 15.0
    base = np.zeros(1)
    with pytest.raises(ValueError, match="it is a view of another array"):
        f.loop(base.reshape(()), x, each=1)
    scale = 2.0
    assert f.loop(np.zeros(()), x, each=1)[0] == 30.0


def test_an_error_leaves_the_last_whole_call():
    f = wg.compile(lambda total, x, i: total + x[i], donate_argnums=0)
    total = np.zeros(())
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        f.loop(total, np.arange(5.0), np.array([1, 2, 3, 9, 4]), each=2)
    assert total == 6.0


# ---- what stops one ---------------------------------------------------------------------------------------

MANY = 1 << 26  # more calls than any test waits for


def counting():
    """A program that counts its replays in a donated array, and operands for many."""

    def step(n, x):
        y = n
        for _ in range(40):  # so that MANY take some seconds
            y = np.sin(y)
        return n + 1.0 + 0.0 * y

    f = wg.compile(step, donate_argnums=0)
    count = np.zeros(())
    return f.program(count, np.array(False)), count, np.broadcast_to(np.array(False), MANY).copy()


def test_a_watch_hears_how_far_it_is_and_ends_it():
    program, count, ticks = counting()
    heard = []

    def watch(done):
        heard.append((done, float(count)))
        if len(heard) == 3:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        program.repeat([count, ticks], MANY, [1], watch)
    assert len(heard) == 3
    assert all(done == counted for done, counted in heard)
    assert 0 < heard[0][0] < heard[1][0] < heard[2][0] == count < MANY


def interrupt(event):
    """Acts as Ctrl-C once the event is set."""
    event.wait()
    _thread.interrupt_main()


def interrupting(event):
    thread = threading.Thread(target=interrupt, args=(event,))
    thread.start()
    return thread


def test_ctrl_c_ends_a_loop_of_short_calls():
    program, count, ticks = counting()
    event = threading.Event()
    thread = interrupting(event)
    with pytest.raises(KeyboardInterrupt):
        program.repeat([count, ticks], MANY, [1], lambda done: event.set())
    thread.join()
    assert 0 < count < MANY
    assert count == np.floor(count)
    after = float(count)
    program.repeat([count, ticks[:5]], 5, [1])
    assert count == after + 5


@pytest.mark.parametrize("kind", ["products", "elementwise"])
def test_ctrl_c_ends_one_long_call_and_leaves_what_is_donated(kind, rng):
    """Some seconds of work; the timer's signal comes when it has begun, and no update with it."""
    x = rng.normal(size=(700, 700)) / 30 if kind == "products" else rng.normal(size=1_000_000)

    def long(theta, x):
        h = x
        for _ in range(200):
            h = h @ x if kind == "products" else np.sin(h) * x
        return theta - np.sum(h)

    f = wg.compile(long, donate_argnums=0)
    program, theta = f.program(np.zeros(3), x), np.ones(3)

    def ring(*_):
        raise InterruptedError("rung")

    def run_until_rung():
        while True:  # should one replay be quicker than the timer
            theta[:] = 1.0
            program.run([theta, x])

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(InterruptedError, match="rung"):
            run_until_rung()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert_array_equal(theta, np.ones(3))


def test_what_interrupts_a_program_cannot_run_it():
    program, count, ticks = counting()
    with pytest.raises(RuntimeError, match="a program cannot run while"):
        program.repeat([count, ticks], MANY, [1], lambda done: program.run([np.zeros(()), np.array(True)]))
    assert program.run([np.zeros(()), np.array(True)])[0] == 1.0


def test_a_short_call_waits_without_keeping_a_long_one_from_python():
    program, count, ticks = counting()
    begun, heard = threading.Event(), []

    def watch(done):  # needs the interpreter, which the short call must not hold while it waits
        heard.append(done)
        begun.set()
        if len(heard) == 4:
            raise LookupError("enough")

    def run():
        with pytest.raises(LookupError, match="enough"):
            program.repeat([count, ticks], MANY, [1], watch)

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(10)
    assert program.run([np.zeros(()), np.array(True)])[0] == 1.0
    thread.join()
    assert len(heard) == 4
    assert 0 < count < MANY


def test_another_thread_than_the_main_one_is_not_asked():
    program, count, ticks = counting()
    few = 1 << 20
    thread = threading.Thread(target=program.repeat, args=([count, ticks[:few]], few, [1]))
    thread.start()
    thread.join()
    assert count == few


# ---- long work is done in pieces --------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1500, 1300), (3, 1100, 1000), (2, 1500, 1300)])
def test_a_product_in_pieces_has_the_bits_of_its_parts(shape, rng):
    a = rng.normal(size=shape).astype("f4")
    b = rng.normal(size=(shape[-1], 1400)).astype("f4")
    product = wg.compile(lambda a, b: a @ b)
    found = product(a, b)
    assert_allclose(found, a @ b, rtol=1e-2, atol=1e-3)
    for start in range(0, shape[-2], 400):
        part = product(np.ascontiguousarray(a[..., start : start + 400, :]), b)
        assert_array_equal(found[..., start : start + 400, :], part)


@pytest.mark.parametrize("within", ["alone", "scan", "vmap"])
def test_ctrl_c_ends_a_while_loop_that_never_would(within):
    def endless(a):
        return wg.while_loop(lambda c: c > 0, lambda c: c * 1.0, a)

    f = {
        "alone": endless,
        "scan": lambda a: wg.scan(lambda c, _: (endless(c), None), a, length=2)[0],
        "vmap": lambda a: wg.vmap(endless)(a * np.ones(3))[0],
    }[within]
    g = wg.compile(f)
    assert g(-1.0) == -1.0
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        g(1.0)
    timer.join()
    assert g(-2.0) == -2.0
