"""MLP: parameters, evaluation, derivatives, files."""

import copy
import importlib
import pickle
from itertools import pairwise

import numpy as np
import pytest

import wengert as wg
from wengert.activations import ACTIVATIONS

SHAPES = [[3, 2], [4, 5, 3], [2, 6, 5, 4]]  # narrower outputs, and narrower inputs


def make(layers=(4, 5, 3), activation="tanh", dtype="float64", seed=1, **options):
    net = wg.MLP(list(layers), activation, dtype, seed=seed, **options)
    for layer in net.params:  # biases that are not 0
        layer["bias"][...] = np.linspace(-0.5, 0.5, len(layer["bias"]))
    return net


def central_difference(f, x, h=1e-6):
    """Jacobian of f by a vector, outputs first; truncation and rounding errors are some 1e-10."""
    columns = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))]
    return np.stack(columns, axis=-1)


# ---- parameters ----------------------------------------------------------------------------------------


def test_repr_counts_the_parameters():
    assert repr(wg.MLP([30, 64, 2])) == "MLP(30-64-2, relu, float32, 2,114 parameters)"
    assert repr(make(output_activation="sigmoid")) == "MLP(4-5-3, tanh then sigmoid, float64, 43 parameters)"


def test_parameters_are_views_into_theta():
    net = make()
    assert [layer["weight"].shape for layer in net.params] == [(4, 5), (5, 3)]
    assert [layer["bias"].shape for layer in net.params] == [(5,), (3,)]
    net.theta[...] = np.arange(net.theta.size)
    assert net.params[0]["weight"][0, 1] == 1
    assert net.params[1]["bias"][-1] == net.theta.size - 1
    net.params[1]["weight"][0, 0] = -7
    assert net.theta[25] == -7


def test_assignment_copies_in_place():
    net, other = make(), make(seed=2)
    theta, weight = net.theta, net.params[0]["weight"]
    net.theta = other.theta
    assert net.theta is theta
    assert net.params[0]["weight"] is weight
    np.testing.assert_array_equal(theta, other.theta)
    net.params = [{"weight": np.ones((4, 5)), "bias": np.zeros(5)}, other.params[1]]
    np.testing.assert_array_equal(theta[:20], 1)
    net.params[0]["bias"] = np.full(5, 3.0)
    net.params[1] = {"weight": np.full((5, 3), 4.0), "bias": np.zeros(3)}
    np.testing.assert_array_equal(theta[20:40], [3] * 5 + [4] * 15)
    net.params[0]["bias"] += 1
    assert theta[20] == 4


@pytest.mark.parametrize(
    ("assign", "words"),
    [
        (lambda net: setattr(net, "theta", np.zeros(3)), r"theta: shape \(3,\) was given, expected \(43,\)"),
        (lambda net: setattr(net, "theta", 0.0), r"theta: shape \(\)"),
        (lambda net: setattr(net, "params", net.params[:1]), "1 layers were given, expected 2"),
        (
            lambda net: setattr(net, "params", [net.params[0], {"weight": 1}]),
            "expected a dict of 'weight' and 'bias'",
        ),
        (lambda net: net.params[0].__setitem__("weight", np.zeros((5, 4))), r"weight: shape \(5, 4\)"),
    ],
)
def test_an_assignment_that_does_not_fit_changes_nothing(assign, words):
    net = make()
    before = net.theta.copy()
    with pytest.raises(ValueError, match=words):
        assign(net)
    np.testing.assert_array_equal(net.theta, before)


@pytest.mark.parametrize(
    "duplicate", [wg.MLP.copy, copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_copies_have_parameters_of_their_own(duplicate):
    net = make()
    net.predict(np.zeros(4))  # whatever it keeps from this must not get in the way
    twin = duplicate(net)
    assert repr(twin) == repr(net)
    np.testing.assert_array_equal(twin.theta, net.theta)
    twin.theta[:] = 5
    assert twin.params[0]["weight"][0, 0] == 5
    assert net.theta[0] != 5
    assert twin.generator.integers(1 << 30) == net.generator.integers(1 << 30)


def test_copied_parameters_are_plain():
    kept = copy.deepcopy(make().params)
    assert (type(kept), type(kept[0])) == (list, dict)
    assert kept[0]["weight"].base is None


def test_the_seed_fixes_the_weights_and_dtypes_share_them():
    np.testing.assert_array_equal(wg.MLP([3, 4, 2], seed=7).theta, wg.MLP([3, 4, 2], seed=7).theta)
    assert (wg.MLP([3, 4, 2], seed=7).theta != wg.MLP([3, 4, 2], seed=8).theta).any()
    double = wg.MLP([3, 4, 2], dtype="float64", seed=7).theta
    np.testing.assert_array_equal(wg.MLP([3, 4, 2], seed=7).theta, double.astype("float32"))


@pytest.mark.parametrize(
    ("activation", "init", "variance"),
    [
        ("relu", None, 2 / 300),
        ("tanh", None, 2 / 500),
        ("identity", None, 1 / 300),
        ("relu", "glorot", 2 / 500),
    ],
)
def test_initial_variance(activation, init, variance):
    weight = wg.MLP([300, 200, 1], activation, seed=0, init=init).params[0]["weight"]
    # the sample variance of 60,000 draws varies by at most sqrt(2 / 60,000) = 0.6 %
    assert weight.var() == pytest.approx(variance, rel=0.03)
    assert abs(weight.mean()) < 4 * (variance / weight.size) ** 0.5


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"layers": [3]}, ValueError, "expected at least two widths"),
        ({"layers": [3, 0, 1]}, ValueError, r"layers\[1\] is 0, expected at least 1"),
        ({"layers": [3, 2.5]}, TypeError, r"layers\[1\] is 2.5, expected an integer"),
        ({"layers": [2**40, 2**40]}, ValueError, "more than memory can address"),
        ({"activation": "rleu"}, ValueError, "activation is 'rleu', expected one of relu, leaky_relu"),
        ({"output_activation": None}, ValueError, "output_activation is None"),
        ({"dtype": "float16"}, ValueError, "dtype is 'float16', expected 'float32' or 'float64'"),
        ({"dtype": "wide"}, ValueError, "dtype is 'wide'"),
        ({"init": "zeros"}, ValueError, "init is 'zeros', expected one of he, glorot, lecun"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": 1.5}, TypeError, "seed is 1.5"),
    ],
)
def test_arguments_that_do_not_fit_raise(arguments, error, words):
    with pytest.raises(error, match=words):
        wg.MLP(**{"layers": [3, 4, 1]} | arguments)


# ---- evaluation ----------------------------------------------------------------------------------------


def by_hand(net, x):
    h = np.asarray(x, net.dtype)
    for k, layer in enumerate(net.params):
        h = h @ layer["weight"] + layer["bias"]
        h = np.tanh(h) if k + 1 < len(net.params) else h
    return h


@pytest.mark.parametrize("layers", SHAPES)
def test_outputs(layers, rng):
    net, x = make(layers), rng.normal(size=(7, layers[0]))
    for function in (net, net.predict, lambda x: net.apply(net.params, x)):
        np.testing.assert_allclose(function(x), by_hand(net, x), rtol=1e-13)
        np.testing.assert_allclose(function(x[0]), by_hand(net, x[0]), rtol=1e-13)
        assert function(x).dtype == np.float64
    assert net.predict(x[:0]).shape == (0, layers[-1])


def test_changed_parameters_are_seen():
    net, x = make(), np.ones(4)
    before = net(x)
    net.theta *= 2
    np.testing.assert_allclose(net(x), by_hand(net, x), rtol=1e-13)
    assert (net(x) != before).all()


def test_a_compiled_function_reads_the_parameters_anew():
    net, x = make(), np.ones((2, 4))
    compiled = wg.compile(lambda scale: scale * net(x))
    compiled(2.0)
    net.theta *= 0.5
    np.testing.assert_allclose(compiled(2.0), 2 * by_hand(net, x), rtol=1e-13)


def test_a_net_of_constants_inside_of_a_derivative():
    net, x = make(), np.ones((2, 4))
    slope = wg.grad(lambda scale: np.sum(scale * net(x)))(3.0)
    assert slope == pytest.approx(by_hand(net, x).sum(), rel=1e-13)
    assert wg.grad(lambda scale: np.sum(net(scale * x)))(1.0) == pytest.approx(
        net.jacobian(x).sum(), rel=1e-12
    )


@pytest.mark.parametrize(
    "x",
    [
        np.arange(12).reshape(3, 4),
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.asfortranarray(np.ones((3, 4))),
        np.ones((3, 8))[:, ::2],
        [[1, 2, 3, 4]],
        np.ones((3, 4), bool),
    ],
    ids=["int", "big-endian", "fortran", "strided", "list", "bool"],
)
def test_inputs_are_cast(x):
    np.testing.assert_allclose(make()(x), by_hand(make(), x), rtol=1e-13)


def test_predictions_in_blocks_have_the_same_bits(monkeypatch, rng):
    net, x = make(), rng.normal(size=(50, 4))
    whole = net.predict(x)
    monkeypatch.setattr(wg.nn, "BLOCK_ELEMENTS", 35)
    np.testing.assert_array_equal(net.predict(x), whole)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 4)])
def test_inputs_of_another_shape_raise(shape):
    net = make()
    for function in (net, net.predict, net.jacobian, lambda x: net.apply(net.params, x)):
        with pytest.raises(ValueError, match=r"expected \(4,\) or \(rows, 4\)"):
            function(np.zeros(shape))


def test_inputs_that_are_no_numbers_raise():
    with pytest.raises(TypeError, match="real numbers"):
        make()(np.array(["a", "b", "c", "d"]))


def test_probabilities(rng):
    net, x = make(), rng.normal(size=(5, 4))
    p = net.predict_proba(x)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), net(x)[:, 1] - net(x)[:, 0], rtol=1e-10)
    np.testing.assert_allclose(net.predict_proba(x[0]), p[0], rtol=1e-14)
    single = make([4, 5, 1])
    np.testing.assert_allclose(single.predict_proba(x), 1 / (1 + np.exp(-single(x))), rtol=1e-14)
    with pytest.raises(ValueError, match="no logits"):
        make(output_activation="sigmoid").predict_proba(x)


# ---- derivatives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_through_every_activation(name, rng):
    net, x, y = make([3, 5, 2], name), rng.normal(size=(6, 3)), rng.normal(size=(6, 2))

    def loss(theta):
        twin = net.copy()
        twin.theta = theta
        return np.mean((twin.predict(x) - y) ** 2)

    value, gradient = net.value_and_grad(x, y)
    assert value == pytest.approx(loss(net.theta), rel=1e-14)
    flat, _ = wg.flatten([[layer["weight"], layer["bias"]] for layer in gradient])
    np.testing.assert_allclose(flat, central_difference(loss, net.theta), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "loss", ["squared_error", "cross_entropy", lambda z, y: np.sum(np.abs(z - y), axis=1)]
)
def test_value_and_grad_is_the_gradient_of_the_loss(loss, rng):
    net, x = make(), rng.normal(size=(6, 4))
    y = np.array([0, 2, 1, 1, 0, 2]) if loss == "cross_entropy" else rng.normal(size=(6, 3))
    function = wg.losses.resolve(loss, "test")
    value, gradient = net.value_and_grad(x, y, loss=loss)
    expected, slopes = wg.value_and_grad(lambda p: np.mean(function(net.apply(p, x), y)))(net.params)
    assert value == pytest.approx(expected, rel=1e-14)
    for got, want in zip(gradient, slopes, strict=True):
        np.testing.assert_allclose(got["weight"], want["weight"], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(got["bias"], want["bias"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("layers", SHAPES)
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_jacobian(layers, activation, rng):
    net, x = make(layers, activation), rng.normal(size=(3, layers[0]))
    jacobians = net.jacobian(x)
    assert jacobians.shape == (3, layers[-1], layers[0])
    for row, jacobian in zip(x, jacobians, strict=True):
        np.testing.assert_allclose(jacobian, central_difference(net, row), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(net.jacobian(row), jacobian, rtol=1e-13, atol=1e-15)
    y, again = net.value_and_jacobian(x)
    np.testing.assert_array_equal(again, jacobians)
    np.testing.assert_allclose(y, net(x), rtol=1e-14)


@pytest.mark.parametrize("layers", SHAPES)
def test_layer_jacobians_multiply_to_the_jacobian(layers, rng):
    net, x = make(layers, output_activation="sigmoid"), rng.normal(size=(3, layers[0]))
    factors = net.layer_jacobians(x)
    assert [factor.shape for factor in factors] == [(3, b, a) for a, b in pairwise(layers)]
    product = factors[0]
    for factor in factors[1:]:
        product = factor @ product
    np.testing.assert_allclose(product, net.jacobian(x), rtol=1e-13)
    np.testing.assert_allclose(net.layer_jacobians(x[1])[0], factors[0][1], rtol=1e-13)


def test_a_layer_jacobian_is_slope_times_weight(rng):
    net, x = make(), rng.normal(size=4)
    weight, bias = net.params[0]["weight"], net.params[0]["bias"]
    slope = 1 - np.tanh(x @ weight + bias) ** 2
    j, i = 2, 3
    assert net.layer_jacobians(x)[0][j, i] == pytest.approx(slope[j] * weight[i, j], rel=1e-14)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_layer_adjoints(loss, rng):
    net, x = make([4, 6, 5, 3]), rng.normal(size=(2, 4))
    y = np.array([2, 0]) if loss == "cross_entropy" else rng.normal(size=(2, 3))
    adjoints = net.layer_adjoints(x, y, loss=loss)
    assert [adjoint.shape for adjoint in adjoints] == [(2, 4), (2, 6), (2, 5), (2, 3)]

    def mean_loss(flat):
        return wg.losses.resolve(loss, "test")(net.predict(flat.reshape(2, 4)), y)

    np.testing.assert_allclose(
        adjoints[0].ravel(), central_difference(mean_loss, x.ravel()), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(adjoints[-1], wg.grad(wg.losses.resolve(loss, "test"))(net(x), y), rtol=1e-13)
    for below, above, factor in zip(adjoints, adjoints[1:], net.layer_jacobians(x), strict=False):
        np.testing.assert_allclose(below[:, None], above[:, None] @ factor, rtol=1e-12, atol=1e-16)


def test_layer_adjoints_of_one_row(rng):
    net, x = make(), rng.normal(size=4)
    for y, loss in ((1, "cross_entropy"), (np.arange(3.0), "squared_error")):
        one = net.layer_adjoints(x, y, loss=loss)
        rows = net.layer_adjoints(x[None], np.asarray(y)[None], loss=loss)
        for a, b in zip(one, rows, strict=True):
            np.testing.assert_array_equal(a, b[0])


def test_a_weight_of_the_last_layer_costs_slope_times_input(rng):
    net, x, y = make(output_activation="sigmoid"), rng.normal(size=4), np.array([0.2, 0.4, 0.6])
    h = np.tanh(x @ net.params[0]["weight"] + net.params[0]["bias"])
    output = net(x)
    adjoint = net.layer_adjoints(x, y)[-1]
    i, j = 1, 2
    single = adjoint[j] * output[j] * (1 - output[j]) * h[i]  # dL/dh_j sigma'(a_j) h_i
    _, gradient = net.value_and_grad(x[None], y[None])
    assert gradient[-1]["weight"][i, j] == pytest.approx(single, rel=1e-13)


def test_derivatives_of_a_traced_net_have_any_order(rng):
    net, x = make([2, 6, 1]), rng.normal(size=2)
    gradient = wg.grad(lambda x: net(x)[0])
    np.testing.assert_allclose(gradient(x), net.jacobian(x)[0], rtol=1e-13)
    second = wg.grad(lambda x: gradient(x)[0])(x)
    np.testing.assert_allclose(second, central_difference(gradient, x)[0], rtol=1e-6, atol=1e-8)


def test_the_cast_of_the_input_is_differentiated():
    net = make(dtype="float32")
    slope = wg.grad(lambda x: np.sum(net(x)))(np.ones(4))
    assert slope.dtype == np.float64
    np.testing.assert_allclose(slope, net.jacobian(np.ones(4)).sum(axis=0), rtol=1e-5)


def test_batches_that_do_not_fit_raise():
    net, x = make(), np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"value_and_grad: y has shape \(2,\), outputs have shape \(2, 3\)"):
        net.value_and_grad(x, np.zeros(2))
    with pytest.raises(
        ValueError, match="layer_adjoints: y holds labels from 3 to 3, expected 0 to 2 for 3 outputs"
    ):
        net.layer_adjoints(x[0], 3, loss="cross_entropy")
    with pytest.raises(ValueError, match=r"the loss returned shape \(2, 3\)"):
        net.value_and_grad(x, np.zeros((2, 3)), loss=lambda z, y: z - y)


def test_an_error_begins_with_the_method_that_was_called():
    net, x, y = make(), np.zeros((2, 5)), np.zeros((2, 3))
    with pytest.raises(TypeError, match=r"^MLP\.__call__\(\) takes 2 positional arguments but 3 were given"):
        net(x, y)
    calls = {
        "net: x": lambda: net(x),
        "predict: X": lambda: net.predict(x),
        "predict_proba: X": lambda: net.predict_proba(x),
        "apply: x": lambda: net.apply(net.params, x),
        "jacobian: x": lambda: net.jacobian(x),
        "value_and_jacobian: x": lambda: net.value_and_jacobian(x),
        "layer_jacobians: x": lambda: net.layer_jacobians(x),
        "layer_adjoints: x": lambda: net.layer_adjoints(x, y),
        "value_and_grad: X": lambda: net.value_and_grad(x, y),
        "fit: X": lambda: net.fit(x, y),
    }
    for start, call in calls.items():
        with pytest.raises(ValueError, match=rf"^{start} has shape \(2, 5\), expected .*4\)"):
            call()
    with pytest.raises(ValueError, match=r"^net: x has shape \(5,\)"):
        wg.grad(lambda x: np.sum(net(x)))(x[0])


# ---- files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_save_and_load(tmp_path, suffix, dtype):
    net = make(activation="elu", dtype=dtype, output_activation="sigmoid")
    net.save(tmp_path / f"net{suffix}")
    twin = wg.MLP.load(tmp_path / f"net{suffix}")
    assert repr(twin) == repr(net)
    np.testing.assert_array_equal(twin.theta, net.theta)
    assert [path.name for path in tmp_path.iterdir()] == [f"net{suffix}"]


def test_safetensors_is_the_common_format(tmp_path):
    safetensors = importlib.import_module("safetensors.numpy")
    net = make(dtype="float32")
    net.save(tmp_path / "net.safetensors")
    arrays = safetensors.load_file(tmp_path / "net.safetensors")
    assert sorted(arrays) == ["layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight"]
    np.testing.assert_array_equal(arrays["layers.1.weight"], net.params[1]["weight"])


def test_an_npz_opens_without_pickle(tmp_path):
    make().save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        assert file["layers.0.weight"].shape == (4, 5)


def test_save_knows_two_extensions(tmp_path):
    with pytest.raises(ValueError, match=r"expected .npz or .safetensors"):
        make().save(tmp_path / "net.h5")
    with pytest.raises(OSError, match="No such file"):
        make().save(tmp_path / "nowhere" / "net.npz")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_damaged_file_raises(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    make().save(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[: len(whole) // 2], whole[:-40], b"\xff" * 200):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"load: .*net{suffix} "):
            wg.MLP.load(path)


def test_a_file_of_something_else_raises(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="holds no wengert weights"):
        wg.MLP.load(tmp_path / "other.npz")
    np.savez(tmp_path / "partly.npz", header=np.array('{"layers": [2, 1]}'))
    with pytest.raises(ValueError, match="does not hold a network"):
        wg.MLP.load(tmp_path / "partly.npz")


@pytest.mark.parametrize("layers", [3, None, "345"])
def test_layers_are_a_sequence_of_widths(layers):
    with pytest.raises(TypeError, match=r"MLP: layers is .*, expected a sequence of widths such as"):
        wg.MLP(layers)


def test_too_little_memory_is_told_with_the_size(monkeypatch):
    def none_left(*_):
        raise MemoryError

    monkeypatch.setattr(wg.MLP, "_draw_weights", none_left)
    with pytest.raises(MemoryError, match="layers 3-4-2 need 26 parameters, more than there is memory for"):
        wg.MLP([3, 4, 2])


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "no/such/net.npz"
    with pytest.raises(FileNotFoundError, match="cannot be written: No such file or directory") as raised:
        wg.MLP([2, 2]).save(path)
    assert raised.value.filename == str(path)
    (tmp_path / "net.npz").mkdir()
    with pytest.raises(IsADirectoryError, match="cannot be written") as raised:
        wg.MLP([2, 2]).save(tmp_path / "net.npz")
    assert raised.value.filename == str(tmp_path / "net.npz")
    assert [place.name for place in tmp_path.iterdir()] == ["net.npz"]


def test_masked_arrays_are_refused():
    net = wg.MLP([2, 1])
    X, y = np.ma.array(np.ones((4, 2)), mask=[[1, 0]] * 4), np.ma.array(np.ones(4), mask=[1, 0, 0, 0])
    for call in (
        lambda: net(X),
        lambda: net.apply(net.params, X),
        lambda: net.jacobian(X),
        lambda: net.layer_adjoints(X, np.ones(4)),
        lambda: net.value_and_grad(np.ones((4, 2)), y),
        lambda: net.fit(X, np.ones(4)),
        lambda: net.fit(np.ones((4, 2)), y),
    ):
        with pytest.raises(TypeError, match=r"is a MaskedArray, whose mask would be ignored; .*filled"):
            call()
