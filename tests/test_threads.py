"""The same bits for any number of threads, on arrays large enough to be split."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from oracle import OPS, names, run, weights
from test_ops import operands, program

import wengert as wg

LARGE = 200_003  # prime, so that no split comes out even


@pytest.fixture(autouse=True)
def restored():
    before = wg.get_num_threads()
    yield
    wg.set_num_threads(before)


def same_bits(program, arrays):
    for machine in ("eager", "compiled"):
        wg.set_num_threads(1)
        expected = run(program, arrays, machine)
        for threads in (2, 3, 7):
            wg.set_num_threads(threads)
            for _ in range(2):
                for x, y in zip(run(program, arrays, machine), expected, strict=True):
                    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", names("UNARY", "BINARY", "COMPARE"))
def test_elementwise(name):
    arrays = operands(name, [(LARGE,)] * OPS[name].arity, "float32")
    if name == "zeta":
        arrays[1] += 20  # where its series is short: near 0 it takes ten microseconds an element
    same_bits(program(name), arrays)


@pytest.mark.parametrize("name", ["sum", "max", "min", "logsumexp"])
def test_reductions(name):
    for mask in (1, 2, 3):
        same_bits(lambda m, x, mask=mask: [m.op(name, x, attrs=(mask, 0))], [weights((401, 503))])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products(dtype):
    for m, n, k in ((301, 203, 257), (1, 1009, 2003), (2003, 7, 501), (64, 2048, 64)):
        arrays = [weights((m, k)).astype(dtype), weights((k, n), 1.0).astype(dtype)]
        same_bits(lambda m, a, b: [m.op("matmul", a, b)], arrays)
    batches = [weights((8, 65, 129)).astype(dtype), weights((129, 67), 1.0).astype(dtype)]
    same_bits(lambda m, a, b: [m.op("matmul", a, b)], batches)


def test_replays_by_all_threads_and_by_one():
    """A short program compares the two, again after some thousand replays: 128 for each that it compared."""

    def step(w, x):
        y = np.tanh(x @ w)
        return w + 1e-3 * np.sum(y), x.T @ y, np.sum(y, axis=0)

    x, w = weights((400, 16)), weights((16, 16), 0.5)
    wg.set_num_threads(1)
    alone = wg.compile(step)
    expected = alone(w, x)
    wg.set_num_threads(2)
    compared = wg.compile(step)
    assert any(part.groups > 1 for part in compared.program(w, x).steps())
    for _ in range(4500):
        for found, want in zip(compared(w, x), expected, strict=True):
            np.testing.assert_array_equal(found, want)


def test_a_net_and_its_gradient():
    def net(m, x, w, v):
        h = m.op("tanh", m.op("matmul", x, w))
        z = m.op("sum", m.op("square", m.op("matmul", h, v)), attrs=(3, 0))
        return [z, *m.vjp([z], [m.array(np.array(1.0, "float32"))], [w, v])]

    shapes = ((700, 130), (130, 260), (260, 11))
    same_bits(net, [weights(shape, k).astype("float32") / 16 for k, shape in enumerate(shapes)])


@pytest.mark.parametrize("rows", [64, 1000])  # two groups of rows and eight, 15 kB of sums each
def test_a_small_net_and_its_gradient(rows):
    def net(m, x, w, b, v):
        h = m.op("tanh", m.op("add", m.op("matmul", x, w), b))
        z = m.op("sum", m.op("square", m.op("matmul", h, v)), attrs=(3, 0))
        return [z, *m.vjp([z], [m.array(np.array(1.0, "float32"))], [w, b, v])]

    shapes = ((rows, 20), (20, 71), (71,), (71, 33))
    same_bits(net, [weights(shape, k).astype("float32") / 8 for k, shape in enumerate(shapes)])


@pytest.mark.parametrize("wrong", [0, -1, 257, 10**6])
def test_numbers_of_threads_that_are_refused(wrong):
    with pytest.raises(ValueError, match="threads"):
        wg.set_num_threads(wrong)


@pytest.mark.parametrize("wrong", [2**31, 2**40, -(2**40), 10**30])
def test_numbers_of_threads_beyond_an_int_are_refused_alike(wrong):
    with pytest.raises(ValueError, match=f"n={wrong}; expected 1 to 256"):
        wg.set_num_threads(wrong)


@pytest.mark.parametrize("wrong", [2.5, 2.0, "2", None])
def test_a_number_of_threads_is_an_integer(wrong):
    with pytest.raises(TypeError, match=r"set_num_threads: n=.*; expected an integer"):
        wg.set_num_threads(wrong)
    wg.set_num_threads(np.int64(2))
    assert wg.get_num_threads() == 2


# ---- who decides how many ----------------------------------------------------------------------------------


def told(script, **environment):
    """What a fresh interpreter prints."""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return answer.stdout.split()


def test_the_default_is_what_openmp_is_told_or_the_cores_there_are():
    script = "import wengert as wg; print(wg.get_num_threads(), wg.cpu_info()['cores'])"
    threads, cores = map(int, told(script, OMP_NUM_THREADS=""))
    assert threads == cores
    assert told(script, OMP_NUM_THREADS="1") == ["1", str(cores)]
    assert told(script, OMP_NUM_THREADS="1000") == [str(cores), str(cores)]


FORKED = """
import os, numpy as np, wengert as wg
wg.set_num_threads(2)
g = wg.compile(lambda x: np.sum(np.tanh(x @ x)))
x = np.ones((400, 400)) / 400
expected = g(x)
child = os.fork()
if child == 0:
    os._exit(0 if g(x) == expected and wg.get_num_threads() == 2 else 1)
print(os.waitpid(child, 0)[1], g(x) == expected)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_has_threads_of_its_own():
    assert told(FORKED) == ["0", "True"]


IDLE = """
import os, numpy as np, wengert as wg
def threads():
    return len(os.listdir("/proc/self/task"))
wg.set_num_threads(2)
net = wg.MLP([12, 64, 64, 4], "tanh", seed=0)
x, before = np.ones(12, "f4"), threads()
for _ in range(3):
    net(x), net.jacobian(x), net.value_and_jacobian(x), net.value_and_grad(x[None], np.zeros((1, 4), "f4"))
after = threads()
big = np.ones((400, 400))
wg.compile(lambda a: a @ a)(big)
print(after - before, threads() - after)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="this system does not list threads so")
def test_one_row_wakes_nobody():
    assert told(IDLE) == ["0", "1"]


LIMITED = """
import threadpoolctl
import wengert as wg
wg.set_num_threads(3)
def pools():
    return [(pool["num_threads"], pool["version"] == wg.__version__)
            for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "wengert"]
assert pools() == [(3, True)], pools()
with threadpoolctl.threadpool_limits(2):
    assert wg.get_num_threads() == 2
    with threadpoolctl.threadpool_limits(1, user_api="wengert"):
        assert wg.get_num_threads() == 1
        assert pools() == [(1, True)]
with threadpoolctl.threadpool_limits(1, user_api="blas"):
    assert wg.get_num_threads() == 3
wg.grad, wg.MLP
assert len(pools()) == 1
print(wg.get_num_threads())
"""


def test_threadpoolctl_sees_and_limits_the_pool():
    assert told(LIMITED) == ["3"]


def test_threadpoolctl_may_come_after_wengert():
    first, second = LIMITED.strip().split("\n")[:2]
    assert told(LIMITED.replace(f"{first}\n{second}", f"{second}\n{first}")) == ["3"]


# ---- one function, many threads -------------------------------------------------------------------------


@pytest.fixture
def together():
    """Runs work(0), work(1) ... at once, each in its thread; they take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def run_all(work, n=4):
        start, errors = threading.Barrier(n), []

        def run_one(k):
            start.wait()
            try:
                work(k)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=run_one, args=(k,)) for k in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors

    yield run_all
    sys.setswitchinterval(before)


def test_threads_that_record_a_function_for_new_shapes(together):
    """More of them than are kept, so that some are forgotten while others are looked up."""
    f = wg.compile(lambda x: np.sum(x * 2))

    def work(_):
        for n in range(1, 100):
            assert f(np.ones(n)) == 2 * n

    together(work)


def test_threads_that_make_one_program(together):
    for _ in range(40):
        f, answers = wg.compile(lambda x: np.sum(np.sin(x) * x)), []
        together(lambda _, f=f, answers=answers: answers.append(f(np.ones(3))))
        assert len(set(answers)) == 1


def test_threads_that_call_functions_of_python_for_the_first_time(together):
    """Each its own: two that came at once got the same place, and the one called the other's."""

    def work(k):
        double = wg.host_call(lambda x: x * k, lambda shape: shape)
        assert wg.vjp(double, np.ones(2))[0].tolist() == [k, k]

    for _ in range(60):
        together(work)
