"""Losses: values and gradients against closed forms, and the rules for shapes and labels."""

import numpy as np
import pytest

import wengert as wg
from wengert import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4))
LABELS = np.array([0, 3, 1, 1, 2, 0])
ONE_HOT = np.eye(4)[LABELS]


def softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_squared_error_is_the_mean_over_all_elements(rng):
    output, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    value, slope = wg.value_and_grad(losses.squared_error)(output, target)
    assert value == pytest.approx(np.sum((output - target) ** 2) / 15, rel=1e-14)
    np.testing.assert_allclose(slope, 2 * (output - target) / 15, rtol=1e-14)


@pytest.mark.parametrize(
    "labels", [LABELS, LABELS[:, None], LABELS.astype(np.int32), ONE_HOT, ONE_HOT.astype(int)]
)
def test_cross_entropy_and_its_gradient(labels):
    value, slope = wg.value_and_grad(losses.cross_entropy)(LOGITS, labels)
    probability = softmax(LOGITS)
    assert value == pytest.approx(-np.mean(np.log(probability[np.arange(6), LABELS])), rel=1e-13)
    np.testing.assert_allclose(slope, (probability - ONE_HOT) / 6, rtol=1e-12, atol=1e-16)


def test_cross_entropy_of_one_output_is_binary(rng):
    z, labels = rng.normal(size=(5, 1)), np.array([0, 1, 1, 0, 1])
    value, slope = wg.value_and_grad(losses.cross_entropy)(z, labels)
    p = 1 / (1 + np.exp(-z[:, 0]))
    assert value == pytest.approx(-np.mean(np.where(labels, np.log(p), np.log1p(-p))), rel=1e-13)
    np.testing.assert_allclose(slope[:, 0], (p - labels) / 5, rtol=1e-12)


def test_cross_entropy_does_not_overflow():
    logits = np.array([[1e4, 0.0], [0.0, 1e4]])
    value, slope = wg.value_and_grad(losses.cross_entropy)(logits, np.array([0, 0]))
    assert value == 5e3
    np.testing.assert_array_equal(slope, [[0, 0], [-0.5, 0.5]])


def test_losses_of_plain_arrays_are_plain_numbers():
    assert isinstance(losses.squared_error(LOGITS, ONE_HOT), np.float64)
    assert isinstance(losses.cross_entropy(LOGITS, LABELS), np.float64)


def test_float32_stays_float32():
    assert losses.cross_entropy(LOGITS.astype("f4"), LABELS).dtype == np.float32
    assert losses.squared_error(LOGITS.astype("f4"), ONE_HOT.astype("f4")).dtype == np.float32


def test_only_a_column_against_a_vector_is_reshaped():
    column, vector = np.arange(3.0)[:, None], np.ones(3)
    assert (
        losses.squared_error(column, vector) == losses.squared_error(vector, column) == pytest.approx(2 / 3)
    )
    for shape in [(3, 2), (1, 3), (), (1,), (4,)]:
        with pytest.raises(ValueError, match="must be equal"):
            losses.squared_error(column, np.zeros(shape))


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (LABELS.astype(float), TypeError, "dtype float64, expected integers"),
        (LABELS[:5], ValueError, r"shape \(5,\)"),
        (np.zeros((6, 3), int), ValueError, r"one-hot \(6, 4\)"),
        (LABELS + 1, ValueError, r"lie in \[1, 4\], expected 0 to 3"),
        (LABELS - 1, ValueError, r"lie in \[-1, 2\]"),
    ],
)
def test_labels_that_do_not_fit_raise(labels, error, words):
    with pytest.raises(error, match=words):
        losses.cross_entropy(LOGITS, labels)


def test_logits_need_rows():
    with pytest.raises(ValueError, match=r"logits have shape \(4,\)"):
        losses.cross_entropy(LOGITS[0], LABELS[:1])


def test_a_loss_by_name_or_callable():
    assert losses.resolve("cross_entropy", "fit") is losses.cross_entropy
    assert losses.resolve(np.mean, "fit") is np.mean
    with pytest.raises(ValueError, match="'hinge', expected 'squared_error', 'cross_entropy' or a callable"):
        losses.resolve("hinge", "fit")


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("wrong", [-1, -3, 3, 100])
@pytest.mark.parametrize("derive", [lambda f: f, wg.grad])
def test_labels_out_of_range_raise_in_a_replay_too(n_out, wrong, derive):
    compiled = wg.compile(derive(losses.cross_entropy))
    logits, labels = np.zeros((3, n_out)), np.array([1, 0, 1])
    compiled(logits, labels)
    for row in range(3):  # in the first rows and the last: no row takes a neighbour's logits
        with pytest.raises(IndexError, match=f"out of bounds for axis 0 with size {max(n_out, 2)}"):
            compiled(logits, np.where(np.arange(3) == row, wrong, labels))


def test_captured_labels_are_read_at_each_replay():
    labels = LABELS.copy()
    compiled = wg.compile(lambda logits: losses.cross_entropy(logits, labels))
    assert compiled(LOGITS) == pytest.approx(losses.cross_entropy(LOGITS, LABELS))
    labels[:] = 3 - LABELS
    assert compiled(LOGITS) == pytest.approx(losses.cross_entropy(LOGITS, 3 - LABELS))
    labels[2] = -1
    with pytest.raises(IndexError, match="size 4"):
        compiled(LOGITS)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u8", "?"])
def test_labels_of_any_integer_type(dtype):
    logits, labels = np.zeros((4, 300)), np.array([0, 1, 1, 0], dtype)
    slope = wg.grad(losses.cross_entropy)(logits, labels)
    np.testing.assert_array_equal(slope.argmin(axis=1), labels)
    compiled = wg.compile(lambda logits: losses.cross_entropy(logits, labels))
    assert compiled(logits) == losses.cross_entropy(logits, labels)


def test_binary_cross_entropy_of_float32_stays_float32():
    assert losses.cross_entropy(LOGITS[:, :1].astype("f4"), LABELS % 2).dtype == np.float32


def test_a_loss_that_returns_no_number_is_named():
    output = np.zeros((2, 1))
    with pytest.raises(TypeError, match="fit: the loss returned a NoneType, expected a number or one value"):
        losses.averaged(lambda *_: None, output, output, "fit")
