"""The training loop: what it computes, that it repeats bit for bit, and that bad input changes nothing."""

import importlib

import numpy as np
import pytest

import wengert as wg
from wengert.training import cosine_decay, split_rows


def regression(rows=50, dtype="float64"):
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 1, (rows, 2)).astype(dtype)
    return X, np.sin(3 * X[:, :1]) * X[:, 1:]


def classification(rows=60):
    X = np.random.default_rng(4).normal(size=(rows, 2))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def make(seed=0, layers=(2, 8, 1), dtype="float64"):
    return wg.MLP(list(layers), "tanh", dtype, seed=seed)


# ---- what it computes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("opt", [wg.optim.SGD(0.1, momentum=0.9), wg.optim.Adam(0.01)], ids=repr)
def test_fit_is_gradient_and_step_over_batches(opt):
    """50 rows in batches of 16: the last batch has two rows."""
    (X, y), net, twin = regression(), make(), make()
    history = net.fit(X, y, optimizer=opt, epochs=3, batch_size=16, shuffle=False)
    theta, state = twin.theta.copy(), opt.init(twin.theta)
    gradient = wg.value_and_grad(twin.objective("squared_error"))
    for epoch in range(3):
        total = 0.0
        for start in range(0, 50, 16):
            x_batch, y_batch = X[start : start + 16], y[start : start + 16]
            value, slope = gradient(theta, x_batch, y_batch)
            theta, state = opt.step(theta, slope, state)
            total += value * len(x_batch)
        assert history.loss[epoch] == pytest.approx(total / 50, rel=1e-12)
    np.testing.assert_allclose(net.theta, theta, rtol=1e-11)


def test_a_vector_of_targets_fits_a_single_output():
    X, y = regression()
    column, vector = make(), make()
    column.fit(X, y, epochs=2)
    vector.fit(X, y[:, 0], epochs=2)
    np.testing.assert_array_equal(column.theta, vector.theta)


def test_one_hot_labels_are_their_integers():
    X, y = classification()
    numbers, one_hot = make(layers=[2, 8, 2]), make(layers=[2, 8, 2])
    numbers.fit(X, y, loss="cross_entropy", epochs=2)
    one_hot.fit(X, np.eye(2)[y], loss="cross_entropy", epochs=2)
    np.testing.assert_array_equal(numbers.theta, one_hot.theta)


@pytest.mark.parametrize("out", [1, 2])
def test_classes_are_learned(out):
    X, y = classification(200)
    net = make(layers=[2, 16, out])
    history = net.fit(X, y, loss="cross_entropy", optimizer=wg.optim.Adam(0.02), epochs=60, batch_size=20,
                      validation=(X, y))  # fmt: skip
    assert history.metrics[-1]["val_accuracy"] > 0.95
    p = net.predict_proba(X)
    assert (
        np.mean((p[:, 0] > 0.5 if out == 1 else p.argmax(axis=1)) == y) == history.metrics[-1]["val_accuracy"]
    )


def test_a_callable_may_return_one_value_per_row():
    X, y = regression()
    built_in, per_row = make(), make()
    built_in.fit(X, y, epochs=3)
    per_row.fit(X, y, loss=lambda z, y: np.sum((z - y) ** 2, axis=1), epochs=3)
    np.testing.assert_allclose(per_row.theta, built_in.theta, rtol=1e-11)


def test_history_and_validation():
    X, y = classification()
    history = make(layers=[2, 4, 2]).fit(X, y, loss="cross_entropy", epochs=4, validation=0.25)
    assert [
        len(entries) for entries in (history.loss, history.val_loss, history.metrics, history.seconds)
    ] == [4] * 4
    assert 0 <= history.metrics[0]["val_accuracy"] <= 1
    assert history.seconds == sorted(history.seconds)
    plain = make().fit(*regression(), epochs=2)
    assert (plain.val_loss, plain.metrics) == ([], [{}, {}])


def test_validation_rows_are_not_trained_on():
    X, y = regression()
    net, alone = make(), make()
    history = net.fit(X[:40], y[:40], epochs=3, validation=(X[40:], y[40:]))
    alone.fit(X[:40], y[:40], epochs=3)
    np.testing.assert_array_equal(net.theta, alone.theta)
    assert history.val_loss[-1] == pytest.approx(np.mean((net(X[40:]) - y[40:]) ** 2), rel=1e-12)


def test_fit_continues_from_the_current_weights():
    X, y = regression()
    net = make()
    first = net.fit(X, y, epochs=30)
    second = net.fit(X, y, epochs=1)
    assert second.loss[0] < first.loss[0]


def test_callbacks_see_each_epoch_and_stop():
    seen = []

    def watch(epoch, history, net):
        seen.append((epoch, len(history.loss), net.theta[0]))
        return epoch == 3

    late = []
    history = make().fit(*regression(), epochs=10, callbacks=[watch, lambda *_: late.append(1)])
    assert [entry[:2] for entry in seen] == [(1, 1), (2, 2), (3, 3)]
    assert len({theta for *_, theta in seen}) == 3
    assert (len(history.loss), len(late)) == (3, 3)


def test_a_single_callback_needs_no_list():
    assert len(make().fit(*regression(), epochs=10, callbacks=lambda epoch, *_: epoch == 2).loss) == 2


def test_the_learning_rate_may_change_between_epochs():
    X, y = regression()
    opt, net = wg.optim.SGD(0.1), make()
    thetas = []

    def freeze(epoch, history, net):
        thetas.append(net.theta.copy())
        opt.lr = 0

    net.fit(X, y, optimizer=opt, epochs=3, callbacks=[freeze])
    np.testing.assert_array_equal(thetas[0], thetas[2])
    assert (thetas[0] != make().theta).any()


def test_cosine_decay_ends_low_and_restores_the_rate():
    opt, rates = wg.optim.SGD(0.8), []
    decay = cosine_decay(opt, 4)
    for epoch in range(1, 5):
        rates.append(opt.lr)
        assert not decay(epoch, None, None)
    np.testing.assert_allclose(rates, 0.4 * (1 + np.cos(np.pi * np.arange(4) / 4)), rtol=1e-15)
    assert opt.lr == 0.8


def test_verbose_prints_a_line_per_epoch(capsys):
    make(layers=[2, 4, 2]).fit(
        *classification(), loss="cross_entropy", epochs=2, validation=0.2, verbose=True
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss ")
    assert "val_accuracy" in lines[0]


# ---- the same bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_seed_fixes_everything(dtype):
    X, y = classification()

    def train():
        net = make(layers=[2, 8, 2], dtype=dtype)
        history = net.fit(X, y, loss="cross_entropy", epochs=5, batch_size=16, validation=0.2)
        return net.theta.tobytes(), history.loss, history.val_loss, history.metrics

    assert train() == train()


def test_the_number_of_threads_changes_no_bit(rng):
    X, y = rng.normal(size=(600, 100)), rng.integers(0, 10, 600)
    default, thetas = wg.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            wg.set_num_threads(threads)
            net = wg.MLP([100, 256, 10], seed=0)
            net.fit(X, y, loss="cross_entropy", epochs=2, batch_size=256)
            thetas.append(net.theta.tobytes())
    finally:
        wg.set_num_threads(default)
    assert thetas[0] == thetas[1] == thetas[2]


def test_a_seed_of_fit_overrides_the_nets():
    X, y = regression()
    thetas = []
    for seed in (1, 1, 2):
        net = make()
        net.fit(X, y, epochs=2, batch_size=8, seed=seed)
        thetas.append(net.theta.tobytes())
    assert thetas[0] == thetas[1] != thetas[2]


def test_numpys_global_generator_is_untouched():
    np.random.seed(0)  # noqa: NPY002 (it is the global generator that is meant)
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002 - the global generator is meant
    make().fit(*regression(), epochs=2, validation=0.2)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002 - the global generator is meant


@pytest.mark.parametrize(
    "convert", [np.asfortranarray, lambda a: a.astype(">f8"), lambda a: np.repeat(a, 2, 0)[::2]]
)
def test_the_layout_of_the_data_does_not_matter(convert):
    X, y = regression()
    straight, turned = make(), make()
    straight.fit(X, y, epochs=2)
    turned.fit(convert(X), convert(y), epochs=2)
    np.testing.assert_array_equal(straight.theta, turned.theta)


def test_read_only_and_mapped_data(tmp_path):
    X, y = regression()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    straight, turned = make(), make()
    straight.fit(X, y, epochs=2)
    y.flags.writeable = False
    turned.fit(mapped, y, epochs=2)
    np.testing.assert_array_equal(straight.theta, turned.theta)


# ---- interrupts and bad input --------------------------------------------------------------------------


def test_an_interrupt_leaves_the_last_whole_step():
    X, y = regression()
    net, twin = make(), make()

    def interrupt(epoch, history, net):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=5, callbacks=[interrupt])
    twin.fit(X, y, epochs=2)
    np.testing.assert_array_equal(net.theta, twin.theta)


class Listener:
    """A callback that hears within an epoch and may end the training there."""

    def __init__(self, end=None):
        self.heard, self.end = [], end

    def __call__(self, epoch, history, net):
        return False

    def progress(self, epoch, done):
        self.heard.append((epoch, done))
        if self.end:
            raise self.end


@pytest.mark.parametrize("end", [KeyboardInterrupt, LookupError])
def test_an_interrupt_within_an_epoch_leaves_the_last_whole_step(end):
    rows = 1 << 18
    X = np.linspace(-1, 1, rows)[:, None]
    net, twin, opt, listener = make(layers=[1, 1]), make(layers=[1, 1]), wg.optim.SGD(0.1), Listener(end)
    with pytest.raises(end):
        net.fit(X, X, optimizer=opt, epochs=100, batch_size=1, shuffle=False, callbacks=listener)
    ((epoch, done),) = listener.heard
    assert 0 < done < 1
    steps, gradient = round(done * rows), wg.value_and_grad(twin.objective("squared_error"))

    def step(theta, x):
        return opt.step(theta, gradient(theta, x, x)[1], {})[0]

    program = wg.compile(step, donate_argnums=0)
    for _ in range(1, epoch):
        program.loop(twin.theta, X[:, None], each=1)
    program.loop(twin.theta, X[:steps, None], each=1)
    np.testing.assert_array_equal(net.theta, twin.theta)


def test_progress_within_an_epoch_grows():
    listener = Listener()
    X = np.zeros((1 << 17, 1))
    make(layers=[1, 1]).fit(X, X, epochs=1, batch_size=1, callbacks=listener)
    fractions = [done for _, done in listener.heard]
    assert fractions == sorted(set(fractions))
    assert 0 < fractions[0] <= fractions[-1] < 1


class Counting:
    """An optimizer of one's own: its state begins as Python numbers and takes its shape in the first step."""

    def init(self, params):
        return {"steps": 0, "mean": 0.0}

    def step(self, params, grads, state):
        mean = 0.5 * state["mean"] + grads
        return params - 0.01 * mean, {"steps": state["steps"] + 1, "mean": mean}


def test_an_optimizer_may_keep_what_it_likes():
    (X, y), net, twin = regression(), make(), make()
    net.fit(X, y, optimizer=Counting(), epochs=3, batch_size=16, shuffle=False)
    theta, mean = twin.theta.copy(), 0.0
    gradient = wg.grad(twin.objective("squared_error"))
    for _ in range(3):
        for start in range(0, 50, 16):
            mean = 0.5 * mean + gradient(theta, X[start : start + 16], y[start : start + 16])
            theta = theta - 0.01 * mean
    np.testing.assert_allclose(net.theta, theta, rtol=1e-11)


def test_divergence_raises_and_keeps_finite_weights():
    X, y = regression()
    net = make()
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        net.fit(1e3 * X, 1e3 * y, optimizer=wg.optim.SGD(1e3), epochs=200)
    assert np.isfinite(net.theta).all()


X, Y = regression()
LABELS = classification(50)[1]
NAN, HUGE = X.copy(), X.copy()
NAN[3, 1], HUGE[0, 0] = np.nan, 1e300


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"X": X[:, :1]}, ValueError, r"fit: X has shape \(50, 1\), expected \(rows, 2\)"),
        ({"X": X[:, 0]}, ValueError, r"X has shape \(50,\), expected \(rows, 2\); reshape it to \(25, 2\)"),
        ({"X": X[:0], "y": Y[:0]}, ValueError, "X has no rows"),
        ({"X": NAN}, ValueError, r"fit: X holds nan at \(3, 1\), which is not finite"),
        ({"X": HUGE}, ValueError, r"X holds 1e\+300 at \(0, 0\), which is too large for float32"),
        ({"X": X.astype(str)}, TypeError, "X has dtype <U32, expected real numbers"),
        ({"X": X + 0j}, TypeError, "X has dtype complex128"),
        ({"y": Y[:40]}, ValueError, r"fit: y has shape \(40, 1\), outputs have shape \(50, 1\)"),
        ({"y": np.c_[Y, Y]}, ValueError, r"y has shape \(50, 2\), outputs have shape \(50, 1\)"),
        ({"y": np.full((50, 1), np.inf)}, ValueError, r"y holds inf at \(0, 0\)"),
        ({"y": np.full(50, "cat")}, TypeError, r"y has dtype <U3, expected numbers"),
        ({"loss": "hinge"}, ValueError, "loss is 'hinge'"),
        ({"loss": lambda z, y: z @ y.T}, ValueError, r"the loss returned shape \(50, 50\)"),
        ({"optimizer": "adam"}, TypeError, r"optimizer is 'adam', expected wg.optim.Adam"),
        ({"epochs": 0}, ValueError, "epochs is 0, expected at least 1"),
        ({"epochs": 2.0}, TypeError, "epochs is 2.0, expected an integer"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"validation": 1.0}, ValueError, "validation is 1.0"),
        ({"validation": 0.001}, ValueError, "validation is 0.001"),
        ({"validation": True}, TypeError, "validation is bool"),
        ({"validation": (X, Y[:9])}, ValueError, r"validation\[1\] has shape \(9, 1\)"),
        (
            {"loss": "cross_entropy", "y": Y[:, 0]},
            TypeError,
            "y has dtype float64, expected integer class labels; if",
        ),
        (
            {"loss": "cross_entropy", "y": LABELS.astype(str)},
            TypeError,
            r"np.unique\(y, return_inverse=True\)",
        ),
        (
            {"loss": "cross_entropy", "y": LABELS + 1},
            ValueError,
            "y holds labels from 1 to 2, expected 0 to 1",
        ),
        (
            {"loss": "cross_entropy", "y": LABELS[:9]},
            ValueError,
            r"y has shape \(9,\), expected integer labels \(50,\)",
        ),
    ],
)
def test_bad_input_raises_and_changes_nothing(arguments, error, words):
    net = make(dtype="float32")
    theta, state = net.theta.copy(), str(net.generator.bit_generator.state)
    with pytest.raises(error, match=words):
        net.fit(**{"X": X, "y": Y, "epochs": 2} | arguments)
    np.testing.assert_array_equal(net.theta, theta)
    if not callable(arguments.get("loss")):
        assert str(net.generator.bit_generator.state) == state


def test_one_hot_rows_need_a_single_one():
    net = make(layers=[2, 4, 2])
    with pytest.raises(ValueError, match="not one-hot"):
        net.fit(X, np.full((50, 2), 0.5), loss="cross_entropy")


# ---- splitting -----------------------------------------------------------------------------------------


def test_split_rows_keeps_the_classes_in_proportion(rng):
    labels = rng.permutation(np.repeat([0, 1, 2], [700, 250, 50]))
    held, rest = split_rows(labels, 0.2, rng)
    np.testing.assert_array_equal(np.sort(np.r_[held, rest]), np.arange(1000))
    assert len(held) == 200
    assert np.abs(np.bincount(labels[held]) - [140, 50, 10]).max() <= 1


def test_split_rows_takes_all_rows_alike(rng):
    counts = np.zeros(10)
    for _ in range(400):
        counts[split_rows(10, 0.3, rng)[0]] += 1
    assert np.abs(counts - 120).max() < 5 * (400 * 0.3 * 0.7) ** 0.5


def test_split_rows_leaves_no_part_empty(rng):
    with pytest.raises(ValueError, match="leaves one part empty"):
        split_rows(3, 0.1, rng)


# ---- real data -----------------------------------------------------------------------------------------


def test_digits_are_learned_in_a_second():
    datasets = importlib.import_module("sklearn.datasets")
    X, y = datasets.load_digits(return_X_y=True)
    held, rest = split_rows(y, 0.2, np.random.default_rng(0))
    net = wg.MLP([64, 64, 10], seed=0)
    net.fit(
        X[rest] / 16, y[rest], loss="cross_entropy", optimizer=wg.optim.Adam(3e-3), epochs=25, batch_size=64
    )
    assert np.mean(net.predict(X[held] / 16).argmax(axis=1) == y[held]) >= 0.96


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"callbacks": [print, 3]}, r"callbacks\[1\] is 3, expected a callable"),
        ({"callbacks": 3}, "callbacks is 3, expected a sequence of callable"),
        ({"optimizer": wg.optim.Adam}, r"optimizer is .*Adam'>, expected wg\.optim\.Adam\(1e-3\)"),
        ({"loss": lambda output, target: None}, "fit: the loss returned a NoneType"),
    ],
)
def test_arguments_of_fit_are_checked_before_the_first_step(arguments, words):
    net = make()
    before = net.theta.copy()
    with pytest.raises(TypeError, match=words):
        net.fit(*regression(), **arguments)
    np.testing.assert_array_equal(net.theta, before)
