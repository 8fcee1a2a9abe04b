"""scan with fewer carries kept, against the scan that stores all: bits, places of the snapshots, memory."""

import numpy as np
import pytest
from helpers import DERIVATIVES
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
from wengert.transforms import loops

rng = np.random.default_rng(11)
W, H = rng.normal(size=(4, 4)) / 3, rng.normal(size=(3, 4))


def rnn(checkpoint, reverse=False):
    def f(W, h, X):
        def step(h, x):
            h = np.tanh(h @ W + x)
            return h, np.sum(h * h)

        h, ys = wg.scan(step, h, X, reverse=reverse, checkpoint=checkpoint)
        return np.sum(h**3) + ys @ np.arange(len(X))

    return f


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 8, 9, 17, 64, 100, 137])
def test_a_checkpointed_scan_is_the_stored_one_bit_for_bit(steps, reverse):
    xs = np.cos(np.arange(steps * 12.0)).reshape(steps, 3, 4)
    for make in (lambda f: f, lambda f: wg.grad(f, (0, 1, 2))):
        stored, root, log = (make(rnn(c, reverse)) for c in (None, "sqrt", "log"))
        for found, expected in ((wg.compile(log), wg.compile(stored)), (log, stored)):
            wg.tree_map(assert_array_equal, found(W, H, xs), expected(W, H, xs))
        # there, the sums for the weights are taken block by block
        wg.tree_map(
            lambda a, b: assert_allclose(a, b, rtol=1e-11, atol=1e-11 * np.abs(b).max(initial=0)),
            wg.compile(root)(W, H, xs),
            stored(W, H, xs),
        )


@pytest.mark.parametrize("checkpoint", ["sqrt", "log"])
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_carries_without_elements(shape, checkpoint):
    scan = lambda h: wg.scan(lambda h, x: (np.sin(h) * x, h), h, np.arange(20.0), checkpoint=checkpoint)
    found = wg.compile(wg.grad(lambda h: sum(map(np.sum, scan(h)))))(np.zeros(shape))
    assert_array_equal(found, np.zeros(shape))


def varied(checkpoint, kind, reverse):
    """Loops whose carries are of all sorts, or which have loops and branches in them."""

    def plain(h, x, a):
        h = np.tanh(h @ W + x) * a
        return h, np.sum(h * h)

    def tree(carry, x, a):  # one that stays, one that is counted, one that nobody reads
        h, count, same = carry["h"], carry["count"], carry["same"]
        return {"h": np.sin(h @ W + x * same), "count": count + 1, "same": same}, (h * a, count)

    def nested(h, x, a):
        h, hs = wg.scan(lambda h, _: (np.sin(h * a) + x, h), h, length=5, checkpoint="log")
        return h @ W, np.sum(hs)

    def branched(h, x, a):
        return wg.cond(np.sum(h) > 0, lambda h: np.tanh(h @ W) * a, lambda h: h * x, h), None

    def f(W, h, X, a):
        step = {"plain": plain, "tree": tree, "nested": nested, "branched": branched}[kind]
        first = {"h": h, "count": np.int64(0), "same": np.float64(2)} if kind == "tree" else h
        results = wg.scan(lambda c, x: step(c, x, a), first, X, reverse=reverse, checkpoint=checkpoint)
        flat, _ = wg.flatten(wg.tree_map(lambda leaf: leaf * 1.0, results))
        return np.sum(np.cos(flat))

    return f


@pytest.mark.parametrize("block", [1, 3, 16])
@pytest.mark.parametrize("kind", ["plain", "tree", "nested", "branched"])
def test_every_derivative_of_a_checkpointed_scan_is_that_of_the_stored_one(kind, block, monkeypatch):
    monkeypatch.setattr(loops, "_BLOCK", block)
    transforms = DERIVATIVES | {
        "hessian": lambda f: wg.hessian(f, 1),
        "vmap of grad": lambda f: (
            lambda W, h, X, a: wg.vmap(wg.grad(f, (0, 2)), (0, None, 1, None))(
                np.stack([W, -W]), h, np.stack([X, -X], 1), a
            )
        ),
        "grad of vmap": lambda f: wg.grad(
            lambda W, h, X, a: np.sum(wg.vmap(f, (None, 0, None, None))(W, wg.numpy.stack([h, -h]), X, a)),
            (0, 1),
        ),
    }
    for steps, reverse in ((2, False), (7, True), (17, False), (33, True)):
        xs = np.cos(np.arange(steps * 12.0)).reshape(steps, 3, 4)
        for transform in transforms.values():
            stored, saved = (wg.compile(transform(varied(c, kind, reverse))) for c in (None, "log"))
            expected = stored(W, H, xs, 0.7)
            for _ in range(2):  # a replay begins anew
                wg.tree_map(assert_array_equal, saved(W, H, xs, 0.7), expected)


def visited(steps):
    """The steps that a gradient takes, in their order: forward once, then again where carries are missing."""
    order = []

    def note(i):
        order.append(int(i))
        return 0.0

    def f(c):
        def step(c, i):
            return np.sin(c) + wg.host_call(note, ())(i), None

        return wg.scan(step, c, np.arange(steps), checkpoint="log")[0]

    wg.compile(wg.value_and_grad(f))(1.0)
    return order


def kept(order):
    """By place in that order, the steps whose carry is kept: it is needed before it is computed again."""
    alive, needed = [], {0}
    for k in reversed(range(len(order))):
        step = order[k]
        needed.discard(step + 1)  # this step computes it
        needed.add(step)
        alive.append(frozenset(needed | {0}))
    return alive[::-1]


@pytest.mark.parametrize("steps", [*range(1, 41), 63, 64, 65, 127, 128, 129, 200])
def test_snapshots_stand_at_the_halvings_of_what_is_left(steps, monkeypatch):
    monkeypatch.setattr(loops, "_BLOCK", 1)
    order = visited(steps)
    assert order[:steps] == list(range(steps))
    if steps == 1:
        return
    again = order[steps:]
    assert again[:steps] == list(range(steps))  # up to the last step, whose derivative comes first
    snapshots = kept(again)
    assert max(map(len, snapshots)) <= np.floor(np.log2(steps)) + 1
    expected, place = [0], 0
    while place < steps - 1:  # 0, 1/2, 3/4, 7/8 ..., rounded up
        place += (steps - place + 1) // 2
        expected.append(place)
    assert sorted(snapshots[steps - 1]) == expected
    # a halving takes half of the steps, of an odd number half a step more; then each is taken once more
    assert len(again) <= steps * (np.ceil(np.log2(steps)) / 2 + 2)


@pytest.mark.parametrize("steps", [1000, 100_000])
def test_a_checkpointed_scan_keeps_few_carries(steps):
    width = 256
    transforms = {
        "grad": wg.grad,
        "fwd-rev": lambda f: lambda h: wg.hvp(f)(h, np.ones(width)),
        "rev-fwd": lambda f: wg.grad(lambda h: wg.jvp(f, (h,), (np.ones(width),))[1]),
        "vmap": lambda f: lambda h: wg.vmap(wg.grad(f))(wg.numpy.stack([h, 2 * h])),
        "jvp": lambda f: lambda h: wg.jvp(f, (h,), (h,))[1],
    }

    def memory(name, checkpoint):
        def last(h):
            step = lambda h, _: (np.sin(h) * 1.01, None)
            return np.sum(wg.scan(step, h, length=steps, checkpoint=checkpoint)[0])

        info = wg.compile(transforms[name](last)).program(np.ones(width)).info
        return (info["arena_bytes"] + info["scratch_bytes"]) / (width * 8)  # in carries

    assert memory("grad", None) >= steps
    assert memory("grad", "sqrt") < 4 * steps**0.5 + 50
    block = 17 + np.floor(np.log2(steps / 16)) + 1  # values of a block of 16 steps, and snapshots
    assert memory("grad", "log") < block + 8  # cotangents, and what a step computes
    for name in ("fwd-rev", "rev-fwd", "vmap"):
        # each carry with a tangent, or two of them; and a loop's own
        assert memory(name, "log") < 2 * (2 * block + 8)
    assert memory("jvp", "log") < 10


def test_an_unknown_strategy():
    with pytest.raises(ValueError, match="expected None, 'sqrt' or 'log'"):
        wg.scan(lambda c, x: (c, x), 1.0, np.ones(3), checkpoint="all")
