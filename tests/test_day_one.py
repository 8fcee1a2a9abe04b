"""The first day with the package: the snippets of the public description as they stand."""

import math
import pickle

import numpy as np
import pytest

import wengert as wg
import wengert.numpy as wnp

X0, Y0 = 0.5, 4.2

# ---- the tape by hand, with every value of Rufflewind's article -----------------------------------------


@pytest.fixture
def article():
    """The article's z = x y + sin x on a tape."""
    t = wg.Tape()
    x, y = t.var(X0, name="x"), t.var(Y0, name="y")
    return t, x, y, x * y + np.sin(x)


def test_the_article_in_reverse(article):
    t, x, y, z = article
    before = len(t)
    g = t.gradient(z)
    assert z.value == pytest.approx(2.579425538604203, rel=1e-15)
    assert g.wrt(x) == pytest.approx(5.077582561890373, rel=1e-15)
    assert g[y] == 0.5
    assert z.grad().wrt(x) == g.wrt(x)
    assert len(t) == before


def test_the_article_forward(article):
    t, x, y, z = article
    assert t.tangent(x).of(z) == pytest.approx(5.077582561890373, rel=1e-15)
    assert t.tangent(y).of(z) == 0.5


def test_two_outputs_of_one_tape():
    t = wg.Tape()
    x = t.var(X0)
    z, v = 2 * x + np.sin(x), 4 * x + np.cos(x)
    assert t.gradient(z).wrt(x) == pytest.approx(2 + math.cos(X0), rel=1e-15)
    assert t.gradient(v).wrt(x) == pytest.approx(4 - math.sin(X0), rel=1e-15)
    d = t.tangent(x)
    assert (d.of(z), d.of(v)) == (t.gradient(z).wrt(x), t.gradient(v).wrt(x))


def test_a_chain_of_powers_against_its_closed_form():
    t = wg.Tape()
    x = start = t.var(4.2)
    for _ in range(100):
        x = x**1.01
    power = 1.01**100
    assert x.value == pytest.approx(4.2**power, rel=1e-10)
    assert t.gradient(x).wrt(start) == pytest.approx(power * 4.2 ** (power - 1), rel=1e-10)


def test_what_a_tape_shows(article, tmp_path):
    t, x, _, z = article
    assert (x.value, x.shape, x.dtype, x.index) == (0.5, (), np.float64, 0)
    assert "sin" in str(t)
    t.to_svg(tmp_path / "tape.svg")
    assert (tmp_path / "tape.svg").read_text().startswith("<svg")
    assert t._repr_svg_().startswith("<svg")
    independent = t.var(1.0)
    assert t.gradient(z).wrt(independent) == 0


def test_higher_orders_by_hand(article):
    t, x, _, z = article
    slope = t.gradient(z, create_graph=True).var(x)
    assert t.gradient(slope).wrt(x) == pytest.approx(-math.sin(X0), rel=1e-15)


@pytest.mark.parametrize("conversion", [float, int, math.sin, np.asarray])
def test_a_derivative_is_never_dropped(article, conversion):
    with pytest.raises(TypeError, match=r"v\.value"):
        conversion(article[1])


def test_values_steer_an_eager_tape(article):
    _, x, y, _ = article
    assert x < y
    assert f"{x:.2f}" == "0.50"


# ---- functions -----------------------------------------------------------------------------------------


def loss(params, x, y):
    return np.mean((np.tanh(x @ params["W"] + params["b"]) - y) ** 2)


@pytest.fixture
def problem(rng):
    params = {"W": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}
    return params, rng.normal(size=(5, 3)), rng.normal(size=(5, 2))


def test_value_and_grad_over_a_tree(problem):
    params, x, y = problem
    value, slopes = wg.value_and_grad(loss)(params, x, y)
    assert value == loss(params, x, y)
    h = np.tanh(x @ params["W"] + params["b"])
    delta = 2 * (h - y) * (1 - h**2) / y.size
    np.testing.assert_allclose(slopes["W"], x.T @ delta, rtol=1e-12)
    np.testing.assert_allclose(slopes["b"], delta.sum(axis=0), rtol=1e-12)


def test_vjp_and_jvp_agree(problem):
    params, x, y = problem
    direction = {"W": np.ones((3, 2)), "b": -np.ones(2)}
    value, tangent = wg.jvp(lambda p: loss(p, x, y), (params,), (direction,))
    again, pullback = wg.vjp(lambda p: loss(p, x, y), params)
    (slopes,) = pullback(np.float64(1))
    assert value == pytest.approx(again, rel=1e-14)
    assert tangent == pytest.approx(slopes["W"].sum() - slopes["b"].sum(), rel=1e-12)


def test_derivatives_nest_in_any_order():
    def f(x):
        return np.exp(x) * np.sin(x)

    def forward(f):
        return lambda x: wg.jvp(f, (x,), (1.0,))[1]

    second = 2 * math.exp(X0) * math.cos(X0)
    for outer in (wg.grad, forward):
        for inner in (wg.grad, forward):
            assert outer(inner(f))(X0) == pytest.approx(second, rel=1e-13)
    assert wg.grad(lambda x: x * wg.grad(lambda y: x + y)(2.0))(1.0) == 1.0  # no perturbation confusion


def test_results_belong_to_the_caller():
    x = np.arange(3.0)
    slope = wg.grad(lambda x: np.sum(x * x))(x)
    assert slope.flags.writeable
    assert slope.flags.c_contiguous
    assert isinstance(wg.grad(np.sin)(0.0), np.float64)
    assert wg.grad(lambda x: np.sum(x * 2.0))(x.astype("f4")).dtype == np.float32


def test_flatten():
    vector, unflatten = wg.flatten({"W": np.ones((2, 2), "f4"), "b": 3.0})
    assert vector.shape == (5,)
    assert unflatten(vector)["W"].dtype == np.float32


# ---- programs ------------------------------------------------------------------------------------------


def test_compile_records_once(problem):
    params, x, y = problem
    calls = []

    @wg.compile
    def f(params, x, y):
        calls.append(1)
        return wg.value_and_grad(loss)(params, x, y)

    for scale in (1.0, 2.0, 3.0):
        value, slopes = f(params, scale * x, y)
        expected, wanted = wg.value_and_grad(loss)(params, scale * x, y)
        assert value == pytest.approx(expected, rel=1e-14)
        np.testing.assert_allclose(slopes["W"], wanted["W"], rtol=1e-12)
    assert len(calls) == 1


def test_captured_arrays_are_read_anew_and_out_receives():
    weights = np.ones(3)
    f = wg.compile(lambda x: wnp.sin(x) * weights)
    x, out = np.arange(3.0), np.empty(3)
    f(x)
    weights[:] = 2
    assert f(x, out=out) is out
    np.testing.assert_allclose(out, 2 * np.sin(x), rtol=1e-14)


def test_a_donated_array_is_the_one_returned():
    step = wg.compile(lambda p, g: p - 0.5 * g, donate_argnums=0)
    p = np.ones(4)
    assert step(p, np.ones(4)) is p
    np.testing.assert_array_equal(p, 0.5)


# ---- nets ----------------------------------------------------------------------------------------------


def test_a_net_from_description_to_file(tmp_path, rng):
    net = wg.MLP([30, 64, 2], activation="relu", dtype="float32", seed=0)
    assert repr(net) == "MLP(30-64-2, relu, float32, 2,114 parameters)"
    assert net.params[0]["weight"].shape == (30, 64)
    assert np.shares_memory(net.params[1]["bias"], net.theta)
    X = rng.normal(size=(400, 30))
    y = (X[:, :3].sum(axis=1) > 0).astype(int)
    history = net.fit(X, y, loss="cross_entropy", optimizer=wg.optim.Adam(1e-3), epochs=30, validation=0.2)
    assert isinstance(history, wg.History)
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert net(X[0]).shape == (2,)
    assert net.predict(X).shape == (400, 2)
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    assert net.jacobian(X[0]).shape == (2, 30)
    assert [J.shape for J in net.layer_jacobians(X[0])] == [(64, 30), (2, 64)]
    assert [a.shape for a in net.layer_adjoints(X[0], y[0], loss="cross_entropy")] == [(30,), (64,), (2,)]
    for path in (tmp_path / "net.npz", tmp_path / "net.safetensors"):
        net.save(path)
        np.testing.assert_array_equal(wg.MLP.load(path)(X), net(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net.copy()))(X), net(X))


def test_an_optimizer_step_by_hand(rng):
    net, X, Y = wg.MLP([3, 5, 2], "tanh", seed=0), rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    opt = wg.optim.Adam(lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
    state = opt.init(net.params)
    first, _ = net.value_and_grad(X, Y)
    for _ in range(50):
        _, grads = net.value_and_grad(X, Y)
        net.params, state = opt.step(net.params, grads, state)
    last, _ = net.value_and_grad(X, Y)
    assert last < first


def test_an_error_names_the_way_out():
    net = wg.MLP([30, 8, 2])
    with pytest.raises(ValueError, match="fit: y has shape") as caught:
        net.fit(np.zeros((569, 30)), np.zeros(569, int))
    assert str(caught.value) == (
        'fit: y has shape (569,), outputs have shape (569, 2); for class labels pass loss="cross_entropy"'
    )


def test_the_machine():
    info = wg.cpu_info()
    assert info["isa"] in info["supported"]
    threads = wg.get_num_threads()
    wg.set_num_threads(1)
    assert wg.get_num_threads() == 1
    wg.set_num_threads(threads)
