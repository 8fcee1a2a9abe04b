"""scan against the unrolled loop, in every derivative; checkpoint and cond against the plain function."""

import resource
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
from wengert import _core

rng = np.random.default_rng(11)
W, X, H = rng.normal(size=(4, 4)) / 3, rng.normal(size=(7, 3, 4)), rng.normal(size=(3, 4))


def unrolled(f, carry, xs, reverse=False):
    rows = []
    for k in reversed(range(len(xs))) if reverse else range(len(xs)):
        carry, y = f(carry, xs[k])
        rows.append(y)
    return carry, wg.numpy.stack(rows[::-1] if reverse else rows)


def loss(scan, reverse):
    def f(W, h, X):
        def step(carry, x):
            h, steps = carry
            h = np.tanh(h @ W + x)
            return (h, steps + 1), np.sum(h * h * x)

        (h, steps), ys = scan(step, (h, np.int64(0)), X, reverse=reverse)
        return np.sum(h**3) * steps + np.sum(ys * ys)

    return f


TRANSFORMS = {
    "value": lambda f: f,
    "grad": lambda f: wg.grad(f, (0, 1, 2)),
    "jvp": lambda f: lambda *a: wg.jvp(f, a, tuple(np.cos(x) for x in a))[1],
    "fwd-rev": lambda f: lambda *a: wg.jvp(wg.grad(f, (0, 1, 2)), a, a)[1],
    "rev-fwd": lambda f: wg.grad(lambda *a: wg.jvp(f, a, a)[1], (0, 1, 2)),
    "rev-rev": lambda f: wg.grad(lambda *a: sum(np.sum(g * g) for g in wg.grad(f, (0, 1, 2))(*a)), (0, 1, 2)),
    "fwd-fwd": lambda f: lambda *a: wg.jvp(lambda *b: wg.jvp(f, b, b)[1], a, a)[1],
    "hessian": lambda f: wg.hessian(f, 1),
    "third": lambda f: wg.grad(lambda *a: np.sum(wg.hvp(f, argnums=1)(a[1], H, a[0], a[2]) ** 2)),
    "vmap of carry": lambda f: lambda W, h, X: wg.vmap(f, (None, 0, None))(W, np.stack([h, 2 * h]), X),
    "vmap of grad": lambda f: lambda W, h, X: wg.vmap(wg.grad(f), (0, None, None))(np.stack([W, -W]), h, X),
    "vmap of entries": lambda f: (
        lambda W, h, X: wg.vmap(wg.grad(f, 2), (None, None, 1), 1)(W, h, np.stack([X, X], 1))
    ),
    "grad of vmap": lambda f: wg.grad(
        lambda W, h, X: np.sum(wg.vmap(f, (None, 0, None))(W, wg.numpy.stack([h, -h]), X)), (0, 1, 2)
    ),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_derivative_is_that_of_the_unrolled_loop(name, reverse):
    transform = TRANSFORMS[name]
    expected = transform(loss(unrolled, reverse))(W, H, X)
    for g in (transform(loss(wg.scan, reverse)), wg.compile(transform(loss(wg.scan, reverse)))):
        found = g(W, H, X)
        # sums of hundreds of products of up to 1e3, in another order
        wg.tree_map(lambda a, b: assert_allclose(a, b, 1e-11, 1e-11 * np.abs(b).max()), found, expected)


def test_a_scan_is_the_unrolled_loop_bit_for_bit():
    def step(h, x):
        h = np.tanh(h @ W + x)
        return h, h * x

    for reverse in (False, True):
        recorded = wg.compile(lambda h, X: unrolled(step, h, X, reverse))(H, X)  # noqa: B023 - called at once
        looped = wg.scan(step, H, X, reverse=reverse)
        for a, b in zip(recorded, looped, strict=True):
            assert_array_equal(a, b)


class State(NamedTuple):
    position: np.ndarray
    count: int


def test_trees_of_carries_and_entries():
    def step(state, x):
        moved = State(state.position + x["v"] * 0.5, state.count + 1)
        return moved, {"p": state.position, "none": None}

    last, ys = wg.scan(step, State(np.zeros(2), np.int64(0)), {"v": np.ones((4, 2))})
    assert last.count == 4
    assert last.count.dtype == np.int64
    assert_array_equal(last.position, [2.0, 2.0])
    assert_array_equal(ys["p"][:, 0], [0, 0.5, 1, 1.5])
    assert ys["none"] is None
    carry, none = wg.scan(lambda c, _: (c * 2, None), 1.0, length=10)
    assert (carry, none) == (1024.0, None)
    assert wg.scan(lambda c, x: (c, x), 3.0, np.zeros((0, 2)))[1].shape == (0, 2)
    assert wg.grad(lambda c: wg.scan(lambda c, x: (c * x, None), c, np.zeros(0))[0])(2.0) == 1.0
    assert wg.scan(lambda c, x: (c + x, None), np.float32(1), np.ones(3, "float32"))[0].dtype == np.float32


def test_integers_of_pythons_are_what_the_body_makes_of_them():
    xs = np.array([0.5, 1.5, 2.5, 3.5])
    for checkpoint in (None, "log", "sqrt"):
        scan = partial(wg.scan, checkpoint=checkpoint)
        count, read = scan(lambda i, _: (i + 1, wg.numpy.take(xs, i) * 2), 0, length=4)
        assert (count, count.dtype) == (4, np.int64)
        assert_array_equal(read, 2 * xs)
        total, before = scan(lambda c, x: (c + x, c), 0, xs)
        assert (total, before.dtype) == (8.0, np.float64)
        f = lambda x: np.sum(scan(lambda i, _: (i + 1, x[i] ** 3), 0, length=4)[1])  # noqa: B023 - called at once
        assert_array_equal(wg.grad(f)(xs), 3 * xs**2)
        assert scan(lambda c, _: ((c[1], c[0]), None), (1, 2), length=9)[0] == (2, 1)
        assert scan(lambda c, _: ((c[1], 0.5 * c[0]), None), (1, 2), length=4)[0] == (0.25, 0.5)


def test_what_the_body_captures():
    table = np.arange(3.0)
    f = wg.compile(lambda a: wg.scan(lambda c, x: (c * a + np.sum(x * table), None), 1.0, np.ones(2))[0])
    assert f(2.0) == (2 + 3) * 2 + 3
    table[0] = 1.0
    assert f(2.0) == (2 + 4) * 2 + 4
    assert wg.grad(lambda a: wg.scan(lambda c, _: (c * a, None), 1.0, length=5)[0])(2.0) == 5 * 2.0**4


def test_a_loop_in_a_loop():
    def outer(a):
        def step(c, x):
            return c + wg.scan(lambda d, _: (d * a * x, None), 1.0, length=2)[0], None

        return wg.scan(step, 0.0, np.arange(4.0))[0]

    nested = wg.grad(outer)
    assert_allclose(wg.compile(nested)(3.0), nested(3.0))
    assert_allclose(nested(3.0), sum(2 * 3.0 * x**2 for x in range(4)))


def test_the_program_of_a_loop_does_not_grow_with_its_length():
    f = wg.compile(wg.grad(lambda h, X: np.sum(wg.scan(lambda h, x: (np.tanh(h * x), None), h, X)[0])))
    sizes = {f.program(np.ones(3), np.ones((n, 3))).info["nodes"] for n in (2, 50, 5000)}
    assert len(sizes) == 1


def test_a_million_steps_take_no_more_memory_than_ten():
    """Without a derivative the carry is written over: the loop allocates nothing for each step."""

    @wg.compile(static_argnums=1)
    def f(c, n):
        return wg.scan(lambda c, _: (np.sin(c) * 1.01, None), c, length=n)[0]

    short, long = (f.program(np.ones(64), n).info for n in (10, 10**6))
    assert short == long
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert np.isfinite(f(np.ones(64), 10**6)).all()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kilobytes
    assert grown < 64 * 8 * 10**6 / 1024 / 10


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wg.scan(lambda c, x: (c, x), 1.0), ValueError, "length="),
        (lambda: wg.scan(lambda c, x: (c, x), 1.0, (np.ones(3), np.ones(2))), ValueError, "are 3 steps"),
        (lambda: wg.scan(lambda c, x: (c, x), 1.0, np.ones(3), length=4), ValueError, "are 4 steps"),
        (lambda: wg.scan(lambda c, x: c, 1.0, np.ones(3)), TypeError, r"pair \(carry, y\)"),
        (lambda: wg.scan(lambda c, x: ((c, c), x), 1.0, np.ones(3)), ValueError, "comes out as"),
        (lambda: wg.scan(lambda c, x: (c * np.ones(2), x), 1.0, np.ones(3)), ValueError, "goes in with"),
        (lambda: wg.scan(lambda c, x: (c, x), np.float32(1), 1.0), ValueError, "xs is a number"),
        (lambda: wg.scan(lambda c, x: (c if c > 0 else -c, x), 1.0, np.ones(3)), TypeError, "np.where"),
        (lambda: wg.scan(lambda c, i: (wg.numpy.take(W[0], i), 0), 0.0, np.array([9])), IndexError, "scan"),
    ],
)  # fmt: skip
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_loop_needs_an_abstract_tape():
    body = _core.Tape(abstract=True)
    body.set_outputs([body.input("float64", ())])
    eager = _core.Tape()
    with pytest.raises(ValueError, match="abstract"):
        eager.scan(body, [1.0], 1, 0, 3)


# ---- checkpoint, cond ---------------------------------------------------------------------------------


def layer(W, h):
    return {"h": np.tanh(h @ W), "s": np.sum(h)}


@pytest.mark.parametrize("name", ["grad", "jvp", "fwd-rev", "rev-fwd", "rev-rev"])
def test_a_checkpointed_function_has_the_same_derivatives(name):
    def net(layer):
        def f(W, h, X):
            for _ in range(3):
                h = layer(W, h)["h"]
            return np.sum(h**2) + layer(W, h)["s"] + np.sum(X)

        return f

    expected = TRANSFORMS[name](net(layer))(W, H, X)
    for f in (net(wg.checkpoint(layer)),):
        for g in (TRANSFORMS[name](f), wg.compile(TRANSFORMS[name](f))):
            wg.tree_map(lambda a, b: assert_allclose(a, b, rtol=1e-12, atol=1e-14), g(W, H, X), expected)


def test_a_checkpoint_keeps_less():
    wide = rng.normal(size=(400, 64))

    def block(x):
        for _ in range(10):
            x = np.tanh(np.sin(x) - 0.01 * np.sum(x, 0))
        return x

    def f(block):
        return wg.compile(wg.grad(lambda x: np.sum(block(block(block(block(x)))))))

    stored, recomputed = f(block), f(wg.checkpoint(block))
    assert_allclose(stored(wide), recomputed(wide), rtol=1e-12)
    infos = [g.program(wide).info for g in (stored, recomputed)]
    kept = [info["arena_bytes"] + info["scratch_bytes"] for info in infos]
    assert kept[1] < 0.5 * kept[0]


def test_cond():
    def f(x):
        return wg.cond(x > 0, lambda x: {"y": np.sqrt(x)}, lambda x: {"y": -x * x}, x)["y"]

    for g in (f, wg.compile(f), lambda x: wg.vmap(f)(np.array([x, x]))[0]):
        assert (g(4.0), g(-3.0)) == (2.0, -9.0)
    for g in (wg.grad(f), wg.compile(wg.grad(f)), wg.compile(wg.grad(wg.grad(lambda x: f(x) * x)))):
        assert np.isfinite([g(4.0), g(-3.0)]).all()
    assert wg.compile(wg.grad(f))(-3.0) == 6.0
    with pytest.raises(TypeError, match=r"cond: the operand\[1\] is a str; expected a number or an array"):
        wg.compile(lambda x: wg.cond(x > 0, lambda x, s: x, lambda x, s: -x, x, "s"))(1.0)
    with pytest.raises(ValueError, match="the functions return"):
        wg.compile(lambda x: wg.cond(x > 0, lambda x: x, lambda x: (x, x), x))(1.0)
    for g in (lambda f: f, wg.compile, wg.grad):
        with pytest.raises(ValueError, match=r"pred has shape \(2,\); expected \(\)"):
            g(lambda x: wg.cond(x > 0, np.sin, np.cos, x))(np.ones(2))
        found = g(lambda x: np.sum(wg.cond(x > 0, np.exp, np.cos, x)))(np.ones(1))
        assert_allclose(found, np.e, rtol=4.5e-16)  # 2 ULP
    flag = np.array(True)
    chosen = wg.compile(lambda x: wg.cond(flag, np.sin, np.cos, x))
    assert chosen(1.0) == wg.compile(np.sin)(1.0)
    flag[()] = False  # captured arrays are read anew
    assert chosen(1.0) == wg.compile(np.cos)(1.0)


def test_while_loop():
    def root(a):  # Newton's method until it stands still
        return wg.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a)

    assert_allclose(root(2.0), 2**0.5)
    assert_allclose(wg.grad(root)(2.0), 0.5 * 2**-0.5, rtol=1e-6)
    assert_allclose(wg.jvp(root, (2.0,), (1.0,))[1], 0.5 * 2**-0.5, rtol=1e-6)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        wg.while_loop(lambda x: x > 0, lambda x: x - 1, np.ones(2))


def newton(a):
    return wg.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a)


FORWARD = {
    "value": lambda f: f,
    "jvp": lambda f: lambda a: wg.jvp(f, (a,), (1.0,))[1],
    "fwd-fwd": lambda f: wg.jacfwd(wg.jacfwd(f)),
    "jet": lambda f: lambda a: wg.jet(f, (a,), ((1.0, None, None),))[1][2],
    "laplacian": wg.laplacian,
}


@pytest.mark.parametrize("name", FORWARD)
def test_a_while_loop_whose_condition_is_looked_at_in_a_replay(name):
    """Against the same loop with values: Python's while."""
    f, points = FORWARD[name](newton), [1.0, 2.0, 9.0, 1e6]
    expected = [f(a) for a in points]
    compiled = wg.compile(f)
    # of the same operations; a jet of a recorded loop differentiates it order by order, its Laplacian is a
    # tangent's tangent, whose terms, three for each division of at most 20 steps, are added in another order
    tolerance = {"jet": 1e-9, "laplacian": 60 * np.finfo(float).eps}.get(name)
    equal = partial(assert_allclose, rtol=tolerance, atol=1e-15) if tolerance else assert_array_equal
    equal([compiled(a) for a in points], expected)
    equal(wg.vmap(f)(np.array(points)), expected)
    equal(wg.compile(wg.vmap(f))(np.array(points)), expected)
    both = wg.vmap(wg.vmap(f))(np.array([points, points[::-1]]))
    equal(both, [expected, expected[::-1]])
    assert wg.vmap(f)(np.zeros(0)).shape == (0,)


def test_what_a_while_loop_carries_and_captures():
    @wg.compile
    def collatz(n):
        def step(s):
            n = s["n"]
            return {"n": np.where(n & 1 == 0, n >> 1, 3 * n + 1), "k": s["k"] + 1}

        return wg.while_loop(lambda s: s["n"] != 1, step, {"n": n, "k": np.int64(0)})["k"]

    assert [int(collatz(np.int64(n))) for n in (1, 2, 7, 27)] == [0, 1, 16, 111]
    table = np.array([1.0, 2.0, 4.0, 8.0])
    first = wg.compile(lambda a: wg.while_loop(lambda i: wg.numpy.take(table, i) < a, lambda i: i + 1, 0))
    assert [first(a) for a in (0.5, 3.0, 8.0)] == [0, 2, 3]
    assert first(3.0).dtype == np.int64
    limit = np.array([3.0])
    f = wg.compile(lambda x: wg.while_loop(lambda c: c < limit, lambda c: c + x, 0.0))
    assert f(2.0) == 4.0
    limit[0] = 9.0
    assert f(2.0) == 10.0
    inner = wg.compile(lambda a: wg.scan(lambda c, x: (c + newton(x), None), a, np.array([4.0, 9.0]))[0])
    assert_allclose(inner(1.0), 6.0)
    assert_allclose(
        wg.compile(lambda a: wg.vmap(lambda x: newton(x) * a)(np.array([4.0, 9.0])))(2.0), [4.0, 6.0]
    )


@pytest.mark.parametrize("name", ["value", "jvp"])
def test_a_condition_on_which_the_elements_agree_at_first(name):
    """They start from one value, and differ by what the body captures."""

    def steps(x, start):
        return wg.while_loop(lambda c: c[0] < 10, lambda c: (c[0] + x, c[1] * x), (start, 1.0))[1]

    f, xs = FORWARD[name], np.array([1.0, 2.0, 3.5])
    expected = [f(lambda x: steps(x, 0.0))(x) for x in xs]
    found = wg.compile(lambda start: wg.vmap(f(lambda x: steps(x, start)))(xs))(0.0)
    assert_array_equal(found, expected)


def test_a_reverse_sweep_refuses_a_recorded_while_loop_and_names_the_way_out():
    for f in (wg.compile(wg.grad(newton)), wg.grad(lambda a: wg.vmap(newton)(a * np.ones(2))[0])):
        with pytest.raises(
            ValueError, match=r"while_loop: reverse mode.*wg\.jacfwd, or wg\.scan over as many"
        ):
            f(2.0)
    # what does not flow through it does no harm
    assert wg.compile(wg.grad(lambda a: a * newton(wg.stop_gradient(a))))(1.0) == 1.0
    with pytest.raises(ValueError, match="while_loop: the carry goes in as"):
        wg.compile(
            lambda x: wg.while_loop(lambda c: True if isinstance(c, tuple) else c < 1, lambda c: (c, c), x)
        )(0.0)
    with pytest.raises(ValueError, match=r"while_loop: the carry\[1\] goes in with"):
        wg.compile(lambda x: wg.while_loop(lambda c: np.sum(c) < 1, lambda c: c * np.ones((2, 2)), x))(
            np.ones(2)
        )


def big(x):
    """Either way some work, of which a replay does one half."""
    return wg.cond(
        x[0] > 0,
        lambda x: {"y": np.tanh(W @ x) @ x, "n": x.shape[0]},
        lambda x: {"y": np.sum((np.sqrt(abs(x[0])) * W) @ x) * 3, "n": 7},
        x,
    )


@pytest.mark.parametrize("name", ["grad", "jvp", "fwd-rev", "rev-fwd", "rev-rev", "fwd-fwd", "third"])
def test_a_branch_in_every_derivative(name):
    transforms = {
        "grad": wg.grad,
        "jvp": lambda f: lambda x: wg.jvp(f, (x,), (x,))[1],
        "fwd-rev": wg.hessian,
        "rev-fwd": lambda f: wg.jacrev(wg.jacfwd(f)),
        "rev-rev": lambda f: wg.jacrev(wg.jacrev(f)),
        "fwd-fwd": lambda f: wg.jacfwd(wg.jacfwd(f)),
        "third": lambda f: wg.grad(lambda x: np.sum(wg.hessian(f)(x) ** 2)),
    }
    f = transforms[name](lambda x: big(x)["y"])
    xs = np.array([[0.5, 1, 2, 3], [-0.5, 1, 2, 3], [-1.5, 0.1, 0.2, 0.3]])
    expected = np.stack([f(x) for x in xs])
    for found in (
        [wg.compile(f)(x) for x in xs],
        wg.vmap(f)(xs),
        wg.compile(wg.vmap(f))(xs),
        wg.vmap(wg.vmap(f))(np.stack([xs, xs]))[1],
    ):
        assert_allclose(np.stack(list(found)), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("n", [1, 32, 40])
def test_a_branch_that_a_batch_within_a_batch_takes(n):
    """Its derivative by what all elements share has no axis of the batch within."""

    def f(x):
        double, half = lambda z: np.sin(z) * 2.0, lambda z: z * 0.5
        ys = wg.vmap(lambda flag: wg.cond(flag > 0, lambda _: double(x), lambda _: half(x), 0.0))(x[0])
        return np.sum(ys * np.arange(n)[:, None, None])

    xs = np.cos(np.arange(3.0 * n * n)).reshape(3, n, n)
    expected = np.stack([wg.grad(f)(x) for x in xs])
    for g in (wg.vmap(wg.grad(f)), wg.compile(wg.vmap(wg.grad(f)))):
        assert_allclose(g(xs), expected, rtol=1e-12, atol=1e-12 * n * n)


def test_a_replay_runs_one_branch():
    @wg.compile
    def f(x, which):
        return wg.cond(which > 0, lambda x: np.linalg.inv(x)[0, 0] * 1.0, lambda x: np.sum(x @ x), x)

    singular = np.zeros((2, 2))
    assert f(singular, -1.0) == 0.0  # no inverse is asked for
    with pytest.raises(np.linalg.LinAlgError):
        f(singular, 1.0)
    assert f(2 * np.eye(2), 1.0) == 0.5
    # a branch that would never end is not begun
    g = wg.compile(
        lambda x: wg.cond(x > 0, lambda x: wg.while_loop(lambda c: c > 0, lambda c: c, x), np.sin, x)
    )
    assert g(-1.0) == np.sin(-1.0)


def test_a_negative_length_is_named():
    with pytest.raises(ValueError, match="scan: length is -1; expected an integer, at least 0"):
        wg.scan(lambda c, _: (c, c), 1.0, length=-1)
    with pytest.raises(ValueError, match=r"scan: length is 2\.5; expected an integer"):
        wg.scan(lambda c, _: (c, c), 1.0, length=2.5)


BRANCHES = {  # finite where they are taken, not where they are not
    "log": lambda x: wg.cond(x > 0, np.log, lambda x: x, x),
    "sqrt": lambda x: wg.cond(x > 0, np.sqrt, lambda x: -x, x),
    "reciprocal": lambda x: wg.cond(x != 0, lambda x: 1 / x, lambda x: 3 * x, x),
    "power": lambda x: wg.cond(x > 0, lambda x: x**0.5 * np.log(x), np.exp, x),
    "a guarded branch": lambda x: wg.cond(
        x > 0,
        lambda x: np.sum(np.log(x * np.ones((40, 40))) @ np.eye(40)),
        lambda x: np.sum((x * np.ones((40, 40))) @ np.eye(40)),
        x,
    ),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_not_taken_sends_no_nan(name, compiled):
    f, xs = BRANCHES[name], np.array([2.0, -1.0, 0.0, -0.5, 1.0])
    run = wg.compile if compiled else lambda f: f
    total = lambda x: np.sum(wg.vmap(f)(x))
    derivatives = {
        "value": wg.vmap(f),
        "grad of vmap": wg.grad(total),
        "vmap of grad": wg.vmap(wg.grad(f)),
        "jvp": lambda x: wg.jvp(wg.vmap(f), (x,), (np.ones(5),))[1],
        "hessian": wg.hessian(total),
        "fwd-fwd": wg.vmap(wg.jacfwd(wg.jacfwd(f))),
        "rev-fwd": wg.vmap(wg.jacrev(wg.jacfwd(f))),
        "third": wg.vmap(wg.grad(wg.grad(wg.grad(f)))),
        "laplacian": wg.laplacian(total),
        "vmap of vmap": lambda x: wg.vmap(wg.vmap(wg.grad(f)))(np.stack([x, x])),
        "in a scan": wg.vmap(
            wg.grad(lambda x: wg.scan(lambda c, _: (f(c) * 0.5, c), x, length=20, checkpoint="log")[0])
        ),
    }
    for derivative in derivatives.values():
        assert np.isfinite(run(derivative)(xs)).all()
    for x, slope in zip(xs, run(wg.vmap(wg.grad(f)))(xs), strict=True):
        assert_allclose(slope, wg.grad(f)(x), rtol=1e-12)


def test_the_reverse_body_does_not_compute_the_nonlinearity_again():
    """It reads the next carry, of which tanh's derivative is made."""
    xs = np.zeros((6, 3, 4))

    def loss(W, h, X):
        return np.sum(wg.scan(lambda h, x: (np.tanh(h @ W + x), None), h, X)[0])

    tape = wg.Tape(abstract=True)
    inputs = [tape.input("float64", a.shape) for a in (W, H, xs)]
    result = loss(*inputs)
    tape.vjp([result], [tape.full(1.0, "float64", ())], inputs)
    bodies = [tape.child(k) for k in range(len(tape)) if tape.node(k).op == "call"]
    forward, backward = ([op for step in _core.Program(b).steps() for op in step.ops] for b in bodies)
    assert sorted(forward) == ["add", "matmul", "tanh"]
    assert sorted(backward) == ["add", "d_tanh_0", "matmul", "matmul"]  # the sum for W; none goes forward
