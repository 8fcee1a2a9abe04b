"""Optimizers against their formulas written out: over trees, compiled, with a changing learning rate."""

import copy
import pickle

import numpy as np
import pytest

import wengert as wg
from wengert.optim import SGD, Adagrad, Adam, AdamW, Clipped, RMSprop, clip_by_norm, clip_by_value
from wengert.pytree import tree_leaves, tree_map

TARGET = np.array([1.0, -2.0, 0.5])
OPTIMIZERS = [
    SGD(0.1),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    Adam(0.1),
    Adam(0.05, betas=(0.8, 0.99), eps=1e-6),
    AdamW(0.1, weight_decay=0.1),
    RMSprop(0.05),
    RMSprop(0.05, alpha=0.9, momentum=0.5, weight_decay=0.01),
    Adagrad(0.5),
    Adagrad(0.5, weight_decay=0.01),
    Clipped(SGD(0.1, momentum=0.9), norm=2.0),
    Clipped(Adam(0.1), norm=5.0, value=3.0),
    Clipped(RMSprop(0.05), value=0.5),
]


def gradient(p):
    """Of a badly scaled quadratic."""
    return np.array([1.0, 4.0, 9.0]) * (p - TARGET)


def sgd(opt, p, g, s):
    g = g + opt.weight_decay * p
    s["v"] = opt.momentum * s["v"] + g
    return p - opt.lr * (g + opt.momentum * s["v"] if opt.nesterov else s["v"])


def adam(opt, p, g, s):
    (b1, b2), s["t"] = opt.betas, s["t"] + 1
    p = p * (1 - opt.lr * getattr(opt, "weight_decay", 0.0))
    s["v"], s["s"] = b1 * s["v"] + (1 - b1) * g, b2 * s["s"] + (1 - b2) * g * g
    return p - opt.lr * s["v"] / (1 - b1 ** s["t"]) / ((s["s"] / (1 - b2 ** s["t"])) ** 0.5 + opt.eps)


def rmsprop(opt, p, g, s):
    g = g + opt.weight_decay * p
    s["s"] = opt.alpha * s["s"] + (1 - opt.alpha) * g * g
    s["v"] = opt.momentum * s["v"] + g / (s["s"] ** 0.5 + opt.eps)
    return p - opt.lr * s["v"]


def adagrad(opt, p, g, s):
    g = g + opt.weight_decay * p
    s["s"] = s["s"] + g * g
    return p - opt.lr * g / (s["s"] ** 0.5 + opt.eps)


FORMULAS = {SGD: sgd, Adam: adam, AdamW: adam, RMSprop: rmsprop, Adagrad: adagrad}


def written_out(opt, p, steps):
    """The formulas of torch.optim's documentation, one number at a time."""
    p, states = list(map(float, p)), [{"t": 0, "v": 0.0, "s": 0.0} for _ in p]
    inner = opt.optimizer if isinstance(opt, Clipped) else opt
    for _ in range(steps):
        slope = list(gradient(np.array(p)))
        if isinstance(opt, Clipped):
            slope = [min(max(g, -(opt.value or np.inf)), opt.value or np.inf) for g in slope]
            norm = sum(g * g for g in slope) ** 0.5
            slope = [g * min(1.0, (opt.norm or np.inf) / (norm + 1e-6)) for g in slope]
        p = [FORMULAS[type(inner)](inner, x, g, s) for x, g, s in zip(p, slope, states, strict=True)]
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
        if getattr(opt, "norm", None) is None:  # which all arrays share
            np.testing.assert_array_equal(got, alone)


@pytest.mark.parametrize("opt", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_parameters_and_state_keep_their_dtype_whatever_the_gradients_have(opt, dtype):
    for step in opt.step, wg.compile(opt.step):
        p, state = np.ones(3, "float32"), opt.init(np.ones(3, "float32"))
        for _ in range(2):
            p, new = step(p, np.arange(3).astype(dtype), state)
            assert p.dtype == "float32"
            assert tree_map(lambda x: x.dtype, new) == tree_map(lambda x: x.dtype, state)
            state = new


@pytest.mark.parametrize("opt", OPTIMIZERS, ids=repr)
def test_plain_arrays_are_stepped_as_within_a_function_that_is_compiled(opt):
    """By a program of the optimizer's own; a copy has one of its own, and its rate."""
    opt = copy.deepcopy(opt)
    whole = wg.compile(opt.step)
    p, state = {"w": TARGET * 2, "b": [np.ones(())]}, opt.init({"w": TARGET, "b": [np.ones(())]})
    for rate in (0.1, 0.1, 0.5):
        opt.lr = rate
        found, expected = opt.step(p, p, state), whole(p, p, state)
        named = opt.step(params=p, state=state, grads=p)
        for x, y, z in zip(*map(tree_leaves, (found, expected, named)), strict=True):
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(x, z)
        p, state = found
    other = pickle.loads(pickle.dumps(opt))
    other.lr = 0.0
    assert opt.lr == 0.5
    np.testing.assert_array_equal(opt.step(p, p, state)[0]["w"], whole(p, p, state)[0]["w"])
    if getattr(opt, "weight_decay", 0) == 0:
        np.testing.assert_array_equal(other.step(p, p, state)[0]["w"], p["w"])
    with pytest.raises(AttributeError, match="only lr may change, not eps"):
        opt.eps = 1.0


def test_complex_gradients_are_refused():
    with pytest.raises(TypeError, match=r"Adam: grads\['w'\] is complex, expected real numbers"):
        Adam(0.1).step({"w": np.ones(2)}, {"w": np.ones(2, complex)}, Adam(0.1).init({"w": np.ones(2)}))


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norm_is_that_of_all_arrays_together(dtype, rng):
    tree = {"w": rng.normal(size=(4, 3)).astype(dtype), "b": [rng.normal(size=3).astype(dtype)]}
    norm = float(np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in (tree["w"], *tree["b"]))))
    halved, same = clip_by_norm(tree, norm / 2), clip_by_norm(tree, norm * 2)
    for found, factor in ((halved, 0.5), (same, 1.0)):
        assert found["w"].dtype == dtype
        np.testing.assert_allclose(found["w"], factor * tree["w"], rtol=3e-6)
        np.testing.assert_allclose(found["b"][0], factor * tree["b"][0], rtol=3e-6)
    np.testing.assert_array_equal(clip_by_value(tree, 0.25)["w"], np.clip(tree["w"], -0.25, 0.25))


def test_clipping_works_in_fit_and_passes_the_rate_on(rng):
    X, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    clipped, plain = (wg.MLP([2, 3, 1], "tanh", "float64", seed=0) for _ in range(2))
    opt = Clipped(SGD(0.5), norm=1e-3)
    start = plain.theta.copy()
    clipped.fit(1e6 * X, 1e6 * y, optimizer=opt, epochs=1)
    assert np.linalg.norm(clipped.theta - start) == pytest.approx(0.5e-3, rel=1e-4)
    opt.lr = 0.25
    assert opt.lr == opt.optimizer.lr == 0.25
    assert repr(opt) == f"Clipped({opt.optimizer!r}, norm=0.001)"
    wide = Clipped(SGD(0.1), norm=1e9, value=1e9)
    once, again = wg.MLP([2, 3, 1], "tanh", "float64", seed=0), plain
    once.fit(X, y, optimizer=wide, epochs=2)
    again.fit(X, y, optimizer=SGD(0.1), epochs=2)
    np.testing.assert_allclose(once.theta, again.theta, rtol=1e-12)


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
        (lambda: AdamW(weight_decay=-1), "AdamW: weight_decay is -1"),
        (lambda: RMSprop(alpha=1), r"RMSprop: alpha is 1, expected in \[0, 1\)"),
        (lambda: Adagrad(eps=0), "Adagrad: eps is 0, expected a positive number, for example 1e-10"),
        (lambda: Clipped(SGD(0.1)), "Clipped: give norm or value"),
        (lambda: Clipped(SGD(0.1), norm=0), "Clipped: norm is 0, expected a positive number"),
        (lambda: Clipped(SGD(0.1), value="a"), "Clipped: value is 'a'"),
    ],
)
def test_settings_that_make_no_sense_raise(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_parameters_must_be_float_arrays():
    with pytest.raises(TypeError, match="float32 or float64 arrays, one is int64"):
        SGD(0.1).step(np.ones(2, int), np.ones(2), {})


def test_an_optimizer_without_a_step_is_none():
    class Half(wg.optim.Optimizer):
        def init(self, params):
            return ()

    for cls in (wg.optim.Optimizer, Half):
        with pytest.raises(TypeError, match=f"{cls.__name__}.*step"):
            cls(0.1)


def test_an_optimizer_has_no_state_unless_it_says_what_it_is_like():
    class Sign(wg.optim.Optimizer):
        def step(self, params, grads, state):
            return tree_map(lambda p, g: p - self.rate_for(p) * np.sign(g), params, grads), state

    params, state = Sign(0.5).step([np.ones(2)], [np.array([3.0, -3.0])], Sign(0.5).init([np.ones(2)]))
    assert state == {}
    assert params[0].tolist() == [0.5, 1.5]


@pytest.mark.parametrize("optimizer", [Adam(0.1), SGD(0.1, momentum=0.9), RMSprop(0.1, momentum=0.9)])
def test_the_arrays_of_a_new_state_are_its_own(optimizer):
    params = {"w": np.ones(3, np.float32), "b": np.ones(2)}
    arrays = [x for x in tree_leaves(optimizer.init(params)) if x.ndim]
    assert all(not x.any() for x in arrays)
    assert {x.dtype.name for x in arrays} == {"float32", "float64"}
    assert len({id(x) for x in [*arrays, *params.values()]}) == len(arrays) + 2
