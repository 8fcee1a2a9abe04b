"""Program.explain, .profile and its picture: what was fused, and what it costs."""

import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import wengert as wg


def net(rows=200):
    def loss(theta, x, y):
        w, b, v = theta[:60].reshape(4, 15), theta[60:75], theta[75:].reshape(15, 2)
        return np.mean((np.tanh(x @ w + b) @ v - y) ** 2)

    rng = np.random.default_rng(0)
    args = rng.normal(size=105), rng.normal(size=(rows, 4)), np.ones((rows, 2))
    return wg.compile(wg.value_and_grad(loss)), args


def plan(program):
    """What explain() prints but for the lines on packing, which depends on the processor."""
    lines = program.explain().splitlines()
    return [line for line in lines if not line.startswith(("  scratch", "  in all"))]


def test_the_program_explains_itself():
    g, args = net()
    program = g.program(*args)
    assert isinstance(program, wg.Program)
    assert "1 recording" in repr(g)
    assert plan(program)[:3] == [
        "3 inputs, 2 outputs",
        "  nodes recorded      38",
        "  nodes run           14 in 2 steps",
    ]


def gradient_of(widths, activation, loss, rows, dtype="float32"):
    """The gradient of a net's loss, and its arguments."""
    model = wg.MLP(widths, activation, dtype, seed=0)
    target = np.zeros(rows, int) if loss == "cross_entropy" else np.ones((rows, widths[-1]), dtype)
    return wg.value_and_grad(model.objective(loss)), (model.theta, np.ones((rows, widths[0]), dtype), target)


def step_of(*net):
    """Gradient and Adam, which write over parameters and state."""
    gradient, (theta, x, y) = gradient_of(*net)
    adam = wg.optim.Adam(0.01)

    def step(theta, state, x, y):
        value, slope = gradient(theta, x, y)
        return *adam.step(theta, slope, state), value

    return wg.compile(step, donate_argnums=(0, 1)).program(theta, adam.init(theta), x, y)


def burgers(rows):
    """The gradient of the mean squared residual u_t + u u_x - 0.01 u_xx of a net with inputs t and x."""
    model = wg.MLP([2, 32, 32, 1], "tanh", seed=0)
    t, x = np.tile([1.0, 0.0], (rows, 1)), np.tile([0.0, 1.0], (rows, 1))

    def loss(params, z):
        def u(z):
            return model.apply(params, z)

        (value, u_x), (_, u_xx) = wg.jvp(lambda z: wg.jvp(u, (z,), (x,)), (z,), (x,))
        return np.mean((wg.jvp(u, (z,), (t,))[1] + value * u_x - 0.01 * u_xx) ** 2)

    return wg.compile(wg.grad(loss)).program(list(model.params), np.ones((rows, 2)))


def gradient_program(*net):
    gradient, arguments = gradient_of(*net)
    return wg.compile(gradient).program(*arguments)


PLANS = {
    "4-32-16-4-gradient": lambda: gradient_program([4, 32, 16, 4], "tanh", "squared_error", 200),
    "24-8-2-gradient": lambda: gradient_program([24, 8, 2], "tanh", "squared_error", 200, "float64"),
    "16-64-64-1-step": lambda: step_of([16, 64, 64, 1], "tanh", "squared_error", 32),
    "64-100-10-step": lambda: step_of([64, 100, 10], "relu", "cross_entropy", 200),
    "784-128-10-step": lambda: step_of([784, 128, 10], "relu", "cross_entropy", 32),
    "256-256-256-1-step": lambda: step_of([256, 256, 256, 1], "tanh", "squared_error", 1024),
    "burgers": lambda: burgers(1000),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans_are_those_on_record(name):
    """A lost fusion shows in the diff of tests/plans; with WENGERT_WRITE_PLANS=1 they are written anew."""
    path = Path(__file__).parent / "plans" / f"{name}.txt"
    found = plan(PLANS[name]())
    if os.environ.get("WENGERT_WRITE_PLANS"):
        path.write_text("\n".join(found) + "\n")
    assert found == path.read_text().splitlines()


def test_why_a_step_stands_alone():
    x, w, rows = np.ones((50, 200)), np.ones((200, 100)), np.array([3, 1])
    steps = wg.compile(lambda x, w: np.tanh(x @ w)[rows]).program(x, w).steps()
    assert "by itself" in next(step.reason for step in steps if step.ops == ("matmul",))
    assert all((step.reason is None) == (step.rows > 0) for step in steps)


def test_a_program_that_decomposes_matrices_has_a_profile():
    def f(x, noise):
        return np.sum(np.log(np.diagonal(np.linalg.cholesky(x @ x.T + noise))))

    program = wg.compile(lambda x, c: wg.grad(f)(x, c * np.eye(5))).program(np.ones((5, 2)), np.ones(()))
    assert "host" in program.profile(2)


def test_the_work_of_a_program_is_counted():
    x, w = np.ones((50, 20)), np.ones((20, 10))
    (step,) = wg.compile(lambda x, w: np.sum(np.tanh(x @ w), axis=1)).program(x, w).steps()
    assert step.flops == 2 * 50 * 20 * 10 + 500 + 500
    assert step.bytes == 8 * (50 * 20 + 20 * 10 + 50)


def test_the_work_of_a_loop_is_that_of_all_turns():
    def scanned(c, x):
        return wg.scan(lambda c, x: (np.sin(c) * x + c * c, c), c, x)

    def until(c):
        return wg.while_loop(lambda c: c < 5, lambda c: c * c + 1, c)

    (step,) = wg.compile(scanned).program(1.0, np.ones(10)).steps()
    assert step.flops == 10 * 4
    *_, step = wg.compile(until).program(1.0).steps()
    assert (
        step.flops == 4
    )  # one turn, for how many there are is not known: *, +, < and the test of what it gives


def test_the_profile_has_a_line_for_each_step():
    g, args = net()
    program = g.program(*args)
    lines = program.profile(repeats=3).splitlines()
    assert len(lines) == 1 + program.info["steps"] + 1
    assert "limits: " in lines[-1]
    clock = program.clock(list(args), 5)
    assert len(clock) == 5
    assert all(len(times) == program.info["steps"] and min(times) >= 0 for times in clock)
    with pytest.raises(ValueError, match="shapes and dtypes"):
        program.clock([args[0], args[1], args[2][:5]], 1)


def test_the_profile_of_a_donated_number():
    g = wg.compile(lambda count, x: (count + 1.0, x * count), donate_argnums=(0, 1))
    assert "add" in g.program(np.zeros(()), np.ones(3)).profile(repeats=2)


def test_the_arena_against_the_most_that_is_in_use():
    """A sort needs its operand and its result, 12,800 bytes each, whatever was sorted before."""

    def f(a):
        for axis in (0, 1, 0, 1):
            a = np.sort(a, axis)
        return a

    info = wg.compile(f).program(np.ones((40, 40))).info
    assert info["live_bytes"] == info["arena_bytes"] == 2 * 12_800
    assert info["value_bytes"] >= 4 * 12_800


def test_the_memory_in_all_against_its_lower_bound():
    """Large products pack, and what they pack is not there while something else is in use."""
    a = np.ones((300, 300))
    program = wg.compile(lambda a: np.sort(np.sort(a @ a, 0), 1)).program(a)
    info = program.info
    held = 2 * a.nbytes  # a and the result
    assert info["held_bytes"] == held
    assert 0 < info["packed_bytes"] == info["scratch_bytes"]
    assert info["least_bytes"] == max(a.nbytes + info["packed_bytes"], info["live_bytes"] + 2 * 16 * 300)
    peak = info["held_bytes"] + info["arena_bytes"] + info["scratch_bytes"]
    line = f"{peak:,} bytes with arguments and results; lower bound {held + info['least_bytes']:,}"
    assert line in program.explain()
    donated = wg.compile(lambda x: x + 1, donate_argnums=0).program(a)
    assert donated.info["held_bytes"] == a.nbytes


def test_the_picture_of_a_program_is_xml():
    g, args = net()
    root = ElementTree.fromstring(g.program(*args)._repr_svg_())
    assert root.tag.endswith("svg")
    assert sum(child.tag.endswith("rect") for child in root) == g.program(*args).info["steps"]


@pytest.mark.parametrize(
    "rest",
    [
        lambda np, c: [np.exp(c)],
        lambda np, c: [np.cumsum(np.exp(c))],
        lambda np, c: [np.cumsum(np.exp(c)), np.sort(np.exp(c))],
        lambda np, c: [np.exp(np.concatenate([c, c])), c],
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_a_result_that_is_a_part_of_what_is_written_over(rest, last):
    def f(np, x, y):
        part = np.sin(x)
        others = rest(np, np.concatenate([part, np.cos(y)]))
        return (*others, part) if last else (part, *others)

    x, y = np.linspace(0, 1, 5), np.linspace(1, 2, 7)
    found = wg.compile(lambda x, y: f(wg.numpy, x, y))(x, y)
    for value, want in zip(found, f(np, x, y), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-14)


@pytest.mark.parametrize("shape", [(4, 40), (600, 3), (5000,)])
def test_a_part_that_is_read_where_the_whole_is_written_over(shape):
    """Its elements are read once more for each operand of the concatenation."""

    def f(np, x):
        part = x * x
        both = np.stack([part, 0.5 * part])
        return [both - part, np.exp(both) * part]

    x = np.linspace(0, 1, np.prod(shape)).reshape(shape)
    for k, want in enumerate(f(np, x)):
        np.testing.assert_allclose(wg.compile(lambda x, k=k: f(wg.numpy, x)[k])(x), want, rtol=1e-14)


def test_a_result_that_another_one_is_made_of():
    def f(x):
        kept = np.sin(x)
        changed = kept * 1.0
        changed[1] = x[2]
        return kept, changed, np.cumsum(changed)

    x = np.linspace(0, 1, 5)
    for value, want in zip(wg.compile(f)(x), f(x), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-14)


def test_cotangents_of_slices_stay_in_their_region():
    def rosenbrock(x):
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    x = np.linspace(-1.0, 1.5, 30)
    program = wg.compile(wg.hessian(rosenbrock)).program(x)
    assert program.info["steps"] == 2
    assert "equal cast zmul sub zmul x4 add sub slice_add x2" in program.explain()
    np.testing.assert_array_equal(wg.compile(wg.hessian(rosenbrock))(x), wg.hessian(rosenbrock)(x))
