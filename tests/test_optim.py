"""Optimizers against their formulas written out: over trees, compiled, with a changing learning rate."""

import pickle

import numpy as np
import pytest

import wengert as wg
from wengert.optim import SGD, Adam

TARGET = np.array([1.0, -2.0, 0.5])
OPTIMIZERS = [
    SGD(0.1),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    Adam(0.1),
    Adam(0.05, betas=(0.8, 0.99), eps=1e-6),
]


def gradient(p):
    """Of a badly scaled quadratic."""
    return np.array([1.0, 4.0, 9.0]) * (p - TARGET)


def written_out(opt, p, steps):
    """The formulas of torch.optim's documentation, one number at a time."""
    p, velocity, mean, square = [list(map(float, row)) for row in (p, p * 0, p * 0, p * 0)]
    for t in range(1, steps + 1):
        for k, g in enumerate(gradient(np.array(p))):
            if isinstance(opt, Adam):
                b1, b2 = opt.betas
                mean[k] = b1 * mean[k] + (1 - b1) * g
                square[k] = b2 * square[k] + (1 - b2) * g * g
                root = (square[k] / (1 - b2**t)) ** 0.5
                p[k] -= opt.lr * mean[k] / (1 - b1**t) / (root + opt.eps)
                continue
            g = g + opt.weight_decay * p[k]
            velocity[k] = opt.momentum * velocity[k] + g
            p[k] -= opt.lr * (g + opt.momentum * velocity[k] if opt.nesterov else velocity[k])
    return p


@pytest.mark.parametrize("opt", OPTIMIZERS, ids=repr)
def test_steps_follow_the_formulas(opt):
    p = np.array([3.0, 3.0, 3.0])
    state = opt.init(p)
    for _ in range(25):
        p, state = opt.step(p, gradient(p), state)
    np.testing.assert_allclose(p, written_out(opt, np.array([3.0, 3.0, 3.0]), 25), rtol=1e-12)


@pytest.mark.parametrize("opt", OPTIMIZERS, ids=repr)
def test_steps_compile_along_with_the_gradient(opt):
    def step(p, state):
        slope = wg.grad(lambda p: 0.5 * np.sum(np.array([1.0, 4.0, 9.0]) * (p - TARGET) ** 2))(p)
        return opt.step(p, slope, state)

    compiled = wg.compile(step)
    p = np.array([3.0, 3.0, 3.0])
    state = opt.init(p)
    for _ in range(25):
        p, state = compiled(p, state)
    np.testing.assert_allclose(p, written_out(opt, np.array([3.0, 3.0, 3.0]), 25), rtol=1e-12)


@pytest.mark.parametrize("opt", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_trees_give_what_their_arrays_give_alone(opt, dtype):
    tree = {"w": np.arange(6, dtype=dtype).reshape(2, 3), "rest": [np.ones(2, dtype), (np.zeros((), dtype),)]}
    leaves = [tree["w"], tree["rest"][0], tree["rest"][1][0]]
    whole, state = tree, opt.init(tree)
    for _ in range(3):
        whole, state = opt.step(whole, whole, state)
    for leaf, got in zip(leaves, [whole["w"], whole["rest"][0], whole["rest"][1][0]], strict=True):
        alone, own = leaf, opt.init(leaf)
        for _ in range(3):
            alone, own = opt.step(alone, alone, own)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, alone)


def test_a_step_leaves_its_arguments_alone():
    p, g = np.ones(3), np.ones(3)
    opt = Adam(0.1)
    state = opt.init(p)
    opt.step(p, g, state)
    np.testing.assert_array_equal(
        [p, g, state["mean"], state["square"]], [[1] * 3, [1] * 3, [0] * 3, [0] * 3]
    )
    assert state["count"] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_learning_rate_changes_without_recording_again(dtype):
    recordings = []
    opt = SGD(0.5)

    def step(p, state):
        recordings.append(p.shape)
        return opt.step(p, p, state)

    compiled, p = wg.compile(step), np.ones(2, dtype)
    first, _ = compiled(p, opt.init(p))
    opt.lr = 0.25
    second, _ = compiled(p, opt.init(p))
    np.testing.assert_array_equal([first, second], [[0.5, 0.5], [0.75, 0.75]])
    assert len(recordings) == 1


def test_other_settings_cannot_change():
    opt = Adam()
    with pytest.raises(AttributeError, match="only lr may change, not betas"):
        opt.betas = (0.5, 0.5)


def test_repr_and_pickle():
    opt = Adam(0.01, betas=(0.8, 0.9))
    assert repr(opt) == "Adam(lr=0.01, betas=(0.8, 0.9), eps=1e-08)"
    twin = pickle.loads(pickle.dumps(opt))
    twin.lr = 1
    assert (repr(opt), twin.lr) == ("Adam(lr=0.01, betas=(0.8, 0.9), eps=1e-08)", 1.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SGD(-1), "SGD: lr is -1"),
        (lambda: SGD(float("nan")), "SGD: lr is nan"),
        (lambda: SGD("fast"), "SGD: lr is 'fast', expected a finite number"),
        (lambda: SGD(0.1, momentum=1), r"momentum is 1, expected in \[0, 1\)"),
        (lambda: SGD(0.1, nesterov=True), "nesterov=True needs momentum"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay is -1"),
        (lambda: Adam(betas=0.9), r"betas is 0.9, expected two numbers"),
        (lambda: Adam(betas=(0.9, 1.0)), r"betas\[1\] is 1.0"),
        (lambda: Adam(eps=0), "eps is 0, expected a positive number"),
    ],
)
def test_settings_that_make_no_sense_raise(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_parameters_must_be_float_arrays():
    with pytest.raises(TypeError, match="float32 or float64 arrays, one is int64"):
        SGD(0.1).step(np.ones(2, int), np.ones(2), {})
