"""What a function is said to take, against what its products and arrays are known to take."""

import subprocess
import sys

import numpy as np
import pytest

import wengert as wg
from wengert.transforms import loops

X, W = np.ones((50, 30), "float32"), np.ones((30, 20), "float32")
PRODUCT = 2 * 50 * 30 * 20


def f(W, X):
    return np.sum(np.tanh(X @ W))


def test_a_product_and_its_gradient():
    value = wg.cost(f)(W, X)
    assert value.nodes == 3
    assert value.flops == PRODUCT + 50 * 20 + 50 * 20
    # product, tanh and sum: operands and results, float32
    assert value.bytes == 4 * ((1500 + 600 + 1000) + (1000 + 1000) + (1000 + 1))
    gradient = wg.cost(wg.grad(f))(W, X)
    assert 2 * PRODUCT < gradient.flops < 2.2 * PRODUCT
    both = wg.cost(wg.grad(f, (0, 1)))(W, X)
    assert 3 * PRODUCT < both.flops < 3.2 * PRODUCT


def test_it_depends_on_shapes_alone_and_runs_nothing():
    assert wg.cost(f)(W * np.nan, X) == wg.cost(f)(W, X)
    huge = np.broadcast_to(np.float32(0), (10**7, 30))
    assert wg.cost(f)(W, huge).flops == 2 * 10**7 * 600 + 2 * 20 * 10**7


def test_peak_memory_holds_arguments_results_and_what_must_be_kept():
    peak = wg.cost(wg.grad(f))(W, X).peak
    assert peak >= W.nbytes + X.nbytes + W.nbytes
    more = wg.cost(wg.hessian(lambda x: np.sum(np.tanh(W.T[:, :6] @ x))))(np.ones(6, "float32"))
    assert more.peak < 10**5


def test_nothing_costs_nothing():
    assert wg.cost(lambda x: None)(W) == (0, 0, 0, 0)


@wg.custom_vjp
def ruled(W, X):
    return np.tanh(X @ W)


ruled.defvjp(lambda W, X: (ruled(W, X), (W, X)), lambda r, g: (r[1].T @ g, g @ r[0].T))


def test_loops_branches_and_rules_are_looked_into():
    def rnn(h, steps):
        square = np.ones((30, 30), "float32")
        return np.sum(wg.scan(lambda h, _: (np.tanh(h @ square), None), h, length=steps)[0])

    step = 2 * 50 * 30 * 30 + 50 * 30
    value = wg.cost(lambda h: rnn(h, 100))(X)
    assert value.flops == 100 * step + 50 * 30
    assert value.nodes == 2 * 100 + 1
    gradient = wg.cost(wg.grad(lambda h: rnn(h, 100)))(X)
    # tanh's derivative in place of tanh, and the product with the cotangent
    assert gradient.flops == 200 * step
    assert gradient.peak > 100 * X.nbytes > 10 * value.peak
    saved = wg.cost(wg.grad(wg.checkpoint(lambda h: np.sum(np.tanh(h @ np.ones((30, 30), "float32"))))))(X)
    assert saved.flops > 2 * 2 * 50 * 30 * 30
    assert wg.cost(lambda W: np.sum(ruled(W, X)))(W).flops == wg.cost(f)(W, X).flops
    assert wg.cost(wg.grad(lambda W: np.sum(ruled(W, X))))(W).flops == PRODUCT
    both = wg.cost(lambda x: wg.cond(x[0, 0] > 0, lambda x: f(W, x), lambda x: f(W, 2 * x), x))(X)
    assert 2 * PRODUCT < both.flops < 2.2 * PRODUCT
    down = wg.cost(lambda x: wg.while_loop(lambda x: x[0] > 0, lambda x: x - 1, x))
    assert down(np.ones(9)).flops == 9 + 2 * 2
    assert wg.cost(lambda x: np.sum(np.linalg.inv(x)))(np.ones((3, 3))).bytes > 2 * 72


SECOND = {
    "gradient": wg.grad,
    "value and gradient": wg.value_and_grad,
    "tangent": lambda f: lambda c: wg.jvp(f, (c,), (1.0,))[1],
    "gradient of a tangent": lambda f: wg.grad(lambda c: wg.jvp(f, (c,), (1.0,))[1]),
    "gradient of a gradient": lambda f: wg.grad(wg.grad(f)),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", SECOND)
def test_steps_that_a_checkpointed_scan_takes_again_count(name, reverse, monkeypatch):
    """Against the steps that a run takes, told by a function of Python's in the body."""
    monkeypatch.setattr(loops, "_BLOCK", 3)
    seen = []
    note = wg.host_call(lambda i: seen.append(i) or 0.0, ())

    def steps_and_nodes(checkpoint, length):
        def f(c):
            step = lambda c, i: (np.sin(c) + note(i), None)
            return wg.scan(step, c, np.arange(length), reverse=reverse, checkpoint=checkpoint)[0]

        seen.clear()
        wg.compile(SECOND[name](f))(1.0)
        return np.array([len(seen), wg.cost(SECOND[name](f))(1.0).nodes])

    found = [steps_and_nodes("log", n) - steps_and_nodes(None, n) for n in (3, 4, 5, 9, 10, 31, 100)]
    size = {"tangent": 0, "gradient of a tangent": 4}.get(name, 3)  # sine, call, sum; the tangent
    assert [again * size for again, _ in found] == [nodes for _, nodes in found]
    assert found[0][0] == 0
    assert (found[-1][0] > 100) == (size > 0)


def test_operations_and_nodes_are_those_that_a_program_runs():
    """Of a plain function exactly; else a program has fewer, for it takes what is common to nodes once."""
    x = np.ones(6)
    for g, args in ((wg.grad(f), (W, X)), (wg.hessian(lambda x: np.sum(np.tanh(x[:3] * x[3:]))), (x,))):
        steps, cost = wg.compile(g).program(*args).steps(), wg.cost(g)(*args)
        assert 0.5 * cost.flops <= sum(step.flops for step in steps) <= cost.flops
    steps = wg.compile(f).program(W, X).steps()
    assert sum(step.flops for step in steps) == wg.cost(f)(W, X).flops
    assert sum(len(step.ops) for step in steps) == wg.cost(f)(W, X).nodes


MEASURED = """
import numpy as np, wengert as wg

def memory(word):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(word))

def f(x):
    h, _ = wg.scan(lambda h, _: (np.sin(h) * 1.01, None), x, length=60, checkpoint={checkpoint!r})
    return np.sum(h)

g = wg.compile(wg.grad(f))
g(np.ones(3))  # imports, threads
x = np.ones(100_000)
before = memory("VmRSS")
g(x)
print(memory("VmHWM") - before, wg.cost(wg.grad(f))(x).peak - x.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("checkpoint", [None, "log"])
def test_the_peak_is_what_a_process_grows_by(checkpoint):
    program = MEASURED.format(checkpoint=checkpoint)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    grown, said = map(int, run.stdout.split())
    assert abs(grown - said) < 0.05 * said + 2**21  # what Python itself may take
