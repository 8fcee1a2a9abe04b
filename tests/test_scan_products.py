"""Matrix products within a loop's steps: a reverse sweep reads them, and turns constants once.

Against the unrolled loop; those that keep the carries only ("log", "sqrt") compute the products again.
"""

import numpy as np
import pytest
from helpers import DERIVATIVES
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
from wengert import _core

rng = np.random.default_rng(5)
N = 33  # a product of 32 multiply-adds an element is kept
W, V = rng.normal(size=(2, N, N)) / 6
H = rng.normal(size=(3, N))

BODIES = {  # the derivative of a sine reads its argument, which is made of the product
    "right": lambda h, x, W, V: np.sin(h @ W + x),
    "left": lambda h, x, W, V: np.sin((W @ h.T).T + x),
    "transposed": lambda h, x, W, V: np.sin(h @ W.T + x),
    "of entries": lambda h, x, W, V: np.sin(x @ W) * h + np.sin(x @ V),
    "twice in a turn": lambda h, x, W, V: np.sin(np.sin(h @ W) @ W + x),
    "two layers": lambda h, x, W, V: np.sin(np.cos(h @ W) @ V.T + x),
    "the same again": lambda h, x, W, V: np.sin((h @ W)[:, :1] + x) * np.cos(h @ W),
    "also elementwise": lambda h, x, W, V: np.sin(h @ W + x) * np.sum(W * V) + W[:3],
    "of constants": lambda h, x, W, V: np.sin(h * (W @ V)[0] + x),
    "one column": lambda h, x, W, V: np.sin((W @ h[0]) * (h[1] @ W.T) + x[1]) + 0.5 * h,
    "one row": lambda h, x, W, V: np.sin(h[0] @ W + x[1]) + 0.5 * h,
    "transposed is next": lambda h, x, W, V: np.sin(h @ W)[:, ::-1] * np.sum(x) + W.T[:3],
    "its result is next": lambda h, x, W, V: 0.1 * (np.sin(h) @ W),
    "turned, twice": lambda h, x, W, V: np.sin(h @ W.T + x @ W.T + np.sin(h @ W)),
}


def unrolled(f, carry, xs, reverse=False, checkpoint=None):
    rows = []
    for k in range(len(xs))[:: -1 if reverse else 1]:
        carry, y = f(carry, xs[k])
        rows.append(y)
    return carry, wg.numpy.stack(rows[:: -1 if reverse else 1])


def loss(kind, scan=wg.scan, reverse=False, checkpoint=None):
    def f(W, V, h, X):
        def step(h, x):
            h = BODIES[kind](h, x, W, V)
            return h, np.sum(h * h * x)

        h, ys = scan(step, h, X, reverse=reverse, checkpoint=checkpoint)
        return np.sum(h**3) + np.sum(ys * ys)

    return f


def entries(steps):
    return np.cos(np.arange(steps * 3.0 * N)).reshape(steps, 3, N)


TRANSFORMS = DERIVATIVES | {
    "vmap of grad": lambda f: (
        lambda W, V, h, X: wg.vmap(wg.grad(f, (0, 1, 2)), (0, None, 0, None))(
            np.stack([W, -W]), V, np.stack([h, 2 * h]), X
        )
    ),
    "grad of vmap": lambda f: wg.grad(
        lambda W, V, h, X: np.sum(wg.vmap(f, (None, None, 0, None))(W, V, wg.numpy.stack([h, -h]), X)),
        (0, 1, 2, 3),
    ),
}


def same(found, expected, tolerance=1e-11):
    """Sums of some thousand products, in another order."""
    wg.tree_map(lambda a, b: assert_allclose(a, b, tolerance, tolerance * np.abs(b).max()), found, expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_derivatives_are_those_of_the_unrolled_loop(name, kind, reverse):
    transform, X = TRANSFORMS[name], entries(5)
    expected = transform(loss(kind, unrolled, reverse))(W, V, H, X)
    stored = transform(loss(kind, wg.scan, reverse))
    same(stored(W, V, H, X), expected)
    same(wg.compile(stored)(W, V, H, X), expected)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_is_read_has_the_bits_of_what_is_computed_again(name, kind):
    for steps, reverse in ((17, False), (33, True)):
        X = entries(steps)
        stored, log, root = (
            wg.compile(TRANSFORMS[name](loss(kind, wg.scan, reverse, c))) for c in (None, "log", "sqrt")
        )
        expected = stored(W, V, H, X)
        # the second reverse sweep adds the cotangents of a product that is read before it goes on
        equal = same if name == "rev-rev" else assert_array_equal
        wg.tree_map(equal, log(W, V, H, X), expected)
        same(root(W, V, H, X), expected, 1e-9)  # through 33 steps; sums for weights are taken block by block


SHARED = {"right", "left", "transposed", "of entries", "twice in a turn", "two layers", "the same again"}


@pytest.mark.parametrize("kind", BODIES)
def test_bits_for_any_number_of_threads(kind):
    f, h = wg.grad(loss(kind), (0, 1, 2, 3)), np.tile(H, (40, 1)) if kind in SHARED else H
    X, before = np.tile(entries(10), (1, len(h) // 3, 1)), wg.get_num_threads()
    try:
        for g in (f, wg.compile(f)):
            wg.set_num_threads(1)
            expected = g(W, V, h, X)
            for threads in (2, 3):
                wg.set_num_threads(threads)
                wg.tree_map(assert_array_equal, g(W, V, h, X), expected)
    finally:
        wg.set_num_threads(before)


def products(f, *shapes):
    """By loop of the reverse sweep over f, the matrix products of a step of its program."""
    tape = wg.Tape(abstract=True)
    inputs = [tape.input("float64", shape) for shape in shapes]
    tape.vjp([f(*inputs)], [tape.full(1.0, "float64", ())], inputs)
    bodies = [tape.child(k) for k in range(len(tape)) if tape.node(k).op == "call"]
    return [sum(step.ops.count("matmul") for step in _core.Program(body).steps()) for body in bodies]


@pytest.mark.parametrize(
    ("kind", "checkpoint", "expected"),
    [
        ("right", None, [1, 2]),
        ("right", "log", [1, 3]),  # computed again
        ("the same again", None, [1, 2]),
        ("two layers", None, [2, 4]),
        ("two layers", "log", [2, 6]),
    ],
)
def test_a_product_is_computed_once(kind, checkpoint, expected):
    shapes = (N, N), (N, N), (3, N), (20, 3, N)
    assert products(loss(kind, checkpoint=checkpoint), *shapes) == expected


def test_shallow_products_and_checkpoints_are_computed_again():
    def f(W, h, X):
        return np.sum(wg.scan(lambda h, x: (np.sin(h @ W + x), None), h, X)[0])

    assert products(f, (16, 16), (3, 16), (20, 3, 16)) == [1, 3]
    assert products(f, (32, 32), (3, 32), (20, 3, 32)) == [1, 2]
    layer = wg.checkpoint(lambda h, W: np.sin(h @ W))
    assert products(lambda h, W: np.sum(layer(h, W)), (3, 32), (32, 32)) == [1, 3]


def kept(f, *arguments):
    info = wg.compile(f).program(*arguments).info
    return info["arena_bytes"] + info["scratch_bytes"]


def test_memory_for_what_is_read_only():
    def f(activation, checkpoint=None):
        def last(h, X):
            step = lambda h, x: (activation(h @ W + x), None)
            return np.sum(wg.scan(step, h, X, checkpoint=checkpoint)[0])

        return wg.grad(last)

    steps, carry = 400, H.nbytes
    X = entries(steps)
    few = W.nbytes * 8  # copies, packed panels, cotangents of one step
    assert kept(f(np.tanh), H, X) < (steps + 1) * carry + few  # tanh's derivative is made of the next carry
    assert 2 * steps * carry <= kept(f(np.sin), H, X) < (2 * steps + 2) * carry + few
    # the strategies keep carries only; from 40 steps to 400 "log" keeps 4 more, "sqrt" some 2 (20 - 6)
    for checkpoint, more in (("log", 4), ("sqrt", 40)):
        grown = kept(f(np.sin, checkpoint), H, X) - kept(f(np.sin, checkpoint), H, X[:40])
        assert grown <= more * carry
    assert kept(f(np.sin, "log"), H, X[:16]) < kept(f(np.sin), H, X[:16])


def test_explain_tells_what_a_loop_stacks():
    def f(activation):
        def last(h, X):
            return np.sum(wg.scan(lambda h, x: (activation(h @ W + x), None), h, X)[0])

        return wg.compile(wg.grad(last)).program(H, entries(20)).explain()

    def held(text):
        lines = [line for line in text.splitlines() if "its arrays are" in line]
        return [int(line.split()[-2].replace(",", "")) for line in lines]

    kept, computed = held(f(np.sin)), held(f(np.tanh))
    assert len(kept) == 2
    assert kept[0] - computed[0] == 20 * H.nbytes  # the products, written by one loop and read by the other
    assert kept[1] == computed[1]  # which for tanh are the next carries


def test_what_is_stacked_and_not_read_is_not_computed():
    def f(read):
        def g(h, X):
            last, ys = wg.scan(lambda h, x: (np.sin(h) + x, np.exp(h @ W)), h, X)
            return last, ys if read else None

        return sum(step.flops for step in wg.compile(g).program(H, entries(10)).steps())

    assert f(True) - f(False) >= 10 * 2 * H.size * N


def test_a_masked_root_sends_no_nan():
    def f(W, h):
        step = lambda h, _: (np.where(h @ W > 0, np.sqrt(h @ W), 0.0 * h), None)
        return np.sum(wg.scan(step, h, length=4)[0])

    for g in (wg.grad(f), wg.compile(wg.grad(f)), wg.compile(wg.grad(lambda W, h: np.sum(wg.grad(f)(W, h))))):
        assert np.isfinite(g(W, np.zeros((3, N)))).all()
        assert np.isfinite(g(W, np.abs(H))).all()


def test_calls_that_read_a_next_carry():
    """Whose operands do not lie in their nodes; and carries that are one of several results of a call."""

    @wg.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x * x * g,))

    def custom(scan):
        def f(W, h, X):
            def step(h, x):
                h = np.tanh(h @ W + x)
                return h, cube(h)

            return np.sum(scan(step, h, X)[1] ** 2)

        return f

    def nested(scan):
        def f(W, h, X):
            def inner(h, x):
                return np.tanh(h @ W) * x, np.sin(h @ W)

            def step(h, x):
                h, hs = scan(inner, h, wg.numpy.stack([x, 2 * x]))
                return h, np.sum(hs * hs)

            return np.sum(scan(step, h, X)[1] ** 2)

        return f

    for make in (custom, nested):
        for transform in (
            lambda f: wg.grad(f, (0, 1, 2)),
            lambda f: wg.grad(lambda *a: sum(np.sum(g**2) for g in wg.grad(f, (0, 1, 2))(*a)), (0, 1, 2)),
        ):
            expected = transform(make(unrolled))(W, H, entries(3))
            same(transform(make(wg.scan))(W, H, entries(3)), expected)
            same(wg.compile(transform(make(wg.scan)))(W, H, entries(3)), expected)
