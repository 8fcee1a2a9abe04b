"""The training loop of `MLP.fit`."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from . import checks
from .losses import LOSSES, averaged, resolve
from .optim import Adam
from .program import compile
from .pytree import tree_map
from .transforms import value_and_grad


@dataclass
class History:
    """What `fit` measured, one entry per epoch.

    Attributes
    ----------
    loss : list of float
        Mean loss over the epoch's rows, each taken when its batch was used.
    val_loss : list of float
        Loss on the validation rows after the epoch; empty without validation.
    metrics : list of dict
        For cross-entropy with validation {"val_accuracy": float}, else {}.
    seconds : list of float
        Time since the start of `fit`.
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def fit(
    net, X, y, *, loss, optimizer, epochs, batch_size, shuffle, validation, seed, callbacks, verbose
) -> History:
    """The loop behind `MLP.fit`, which describes the arguments."""
    loss = resolve(loss, "fit")
    x, y = _rows(net, X, y, loss, ("X", "y"))
    optimizer = _checked_optimizer(optimizer)
    epochs = checks.count("fit", "epochs", epochs)
    batch_size = min(200, len(x)) if batch_size is None else checks.count("fit", "batch_size", batch_size)
    held = _checked_validation(net, validation, loss, len(x))
    callbacks = _checked_callbacks(callbacks)
    rng = net.generator if seed is None else checks.generator("fit", seed)
    if isinstance(held, float):
        part, rest = split_rows(y if loss is LOSSES["cross_entropy"] else len(x), held, rng)
        held, x, y = (x[part], y[part]), x[rest], y[rest]

    step = compile(_step(net, loss, optimizer), donate_argnums=(0, 1))
    # numbers as arrays, so that a step may overwrite them
    state = tree_map(lambda leaf: np.array(leaf) if np.ndim(leaf) == 0 else leaf, optimizer.init(net.theta))
    history, started = History(), time.perf_counter()
    for epoch in range(1, epochs + 1):
        before = net.theta.copy()
        order = rng.permutation(len(x)) if shuffle else np.arange(len(x))
        state, total = _epoch(step, net, state, (x, y), order, batch_size, epoch, callbacks)
        if not math.isfinite(total) or not np.isfinite(net.theta).all():
            net.theta = before
            raise FloatingPointError(
                f"fit: the loss became {total / len(x)} in epoch {epoch}; the weights are those from before "
                f"it: lower the learning rate or scale the inputs"
            )
        history.loss.append(total / len(x))
        _validate(net, held, loss, history)
        history.seconds.append(time.perf_counter() - started)
        if verbose:
            print(_line(epoch, epochs, history))
        answers = [callback(epoch, history, net) for callback in callbacks]
        if any(answers):
            break
    return history


def split_rows(labels, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two random sets of row numbers; the first has `fraction` of the rows, and of each class to within one.

    Parameters
    ----------
    labels : integer array (rows,), or the number of rows where there are no classes
    fraction : float between 0 and 1
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        Where one of the parts would be empty.

    Examples
    --------
    >>> labels = np.repeat([0, 1], 10)
    >>> held, rest = split_rows(labels, 0.2, np.random.default_rng(0))
    >>> labels[held]
    array([0, 0, 1, 1])
    """
    labels = np.zeros(labels, int) if isinstance(labels, int) else labels
    n = len(labels)
    n_held = round(fraction * n)
    if not 0 < n_held < n:
        raise ValueError(
            f"split_rows: a fraction of {fraction} of {n} rows leaves one part empty; give another, or more "
            f"rows"
        )
    shuffled = rng.permutation(n)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Systematic sampling: equal steps through the rows sorted by class meet every class in proportion.
    passed = np.floor(np.arange(n + 1) * (n_held / n) + rng.uniform())
    chosen = np.diff(passed) > 0
    return np.sort(by_class[chosen]), np.sort(by_class[~chosen])


def cosine_decay(optimizer, epochs: int) -> Callable:
    """A callback for `fit`: half a cosine from the learning rate to zero (Loshchilov & Hutter 2017).

    The first epoch has the optimizer's own rate, the last one nearly none; then the rate is restored.
    """
    top = optimizer.lr

    def decay(epoch, history, net):
        optimizer.lr = top * 0.5 * (1 + math.cos(math.pi * epoch / epochs)) if epoch < epochs else top
        return False

    return decay


def _step(net, loss, optimizer):
    """One update as a pure function, so that gather, gradient and update are compiled as one program."""
    gradient = value_and_grad(net.objective(loss, "fit"))

    def step(theta, state, x, y, rows):
        value, slope = gradient(theta, x[rows], y[rows])
        theta, state = optimizer.step(theta, slope, state)
        # the loss stands last: a result overwrites the first donated array of its shape and dtype
        return theta, state, value

    return step


def _epoch(step, net, state, data, order, batch_size, epoch, callbacks):
    """Steps over the rows in their order, the whole batches as one C call.

    Returns the optimizer's state and the sum of the rows' losses.
    """
    n_whole, rest = divmod(len(order), batch_size)
    whole = order[: n_whole * batch_size].reshape(n_whole, batch_size)
    # The first step of all may change the dtypes and shapes of a state; from then on they stay.
    alone = 1 if epoch == 1 else 0
    parts = [whole[:alone], whole[alone:], order[len(order) - rest :].reshape(min(rest, 1), rest)]
    hear = [callback.progress for callback in callbacks if hasattr(callback, "progress")]
    total, done = 0.0, 0

    def watch(steps):
        for progress in hear:
            progress(epoch, (done + steps * batch_size) / len(order))

    for rows in parts:
        if len(rows) == 1:
            net.theta, state, value = step(net.theta, state, *data, rows[0])
        elif len(rows):
            net.theta, state, value = step.loop(
                net.theta, state, *data, rows, each=4, watch=watch if hear else None
            )
        else:
            continue
        total += float(np.sum(value, dtype=float)) * rows.shape[1]
        done += rows.size
    return state, total


def _rows(net, X, y, loss, names):
    """Checked inputs and targets."""
    x = checks.features("fit", names[0], X, net.layers[0], net.dtype)
    return x, checks.targets("fit", names[1], y, len(x), net.layers[-1], loss, net.dtype)


def _checked_optimizer(optimizer):
    if optimizer is None:
        return Adam(1e-3)
    methods = callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "step", None))
    if isinstance(optimizer, type) or not methods:
        raise TypeError(
            f"fit: optimizer is {optimizer!r}, expected wg.optim.Adam(1e-3), wg.optim.SGD(0.1) or the like"
        )
    return optimizer


def _checked_callbacks(callbacks):
    """A list of what is called after each epoch."""
    if callable(callbacks):
        return [callbacks]
    if not isinstance(callbacks, Iterable):
        raise TypeError(
            f"fit: callbacks is {callbacks!r}, expected a sequence of callable(epoch, history, net)"
        )
    callbacks = list(callbacks)
    for k, callback in enumerate(callbacks):
        if not callable(callback):
            raise TypeError(f"fit: callbacks[{k}] is {callback!r}, expected a callable(epoch, history, net)")
    return callbacks


def _checked_validation(net, validation, loss, rows):
    """None, a fraction, or checked rows (x, y)."""
    if validation is None:
        return None
    if isinstance(validation, float | np.floating):
        if not 0 < validation < 1 or not 0 < round(validation * rows) < rows:
            raise ValueError(
                f"fit: validation is {validation}, expected a fraction that leaves rows in both parts"
            )
        return float(validation)
    if isinstance(validation, tuple | list) and len(validation) == 2:
        X, y = validation
        return _rows(net, X, y, loss, ("validation[0]", "validation[1]"))
    raise TypeError(
        f"fit: validation is {type(validation).__name__}, expected a fraction such as 0.1, or (X, y)"
    )


def _validate(net, held, loss, history):
    """Appends what the held-out rows say."""
    history.metrics.append({})
    if held is None:
        return
    x, y = held
    output = net.predict(x)
    history.val_loss.append(float(averaged(loss, output, y, "fit")))
    if loss is LOSSES["cross_entropy"]:
        history.metrics[-1]["val_accuracy"] = float(np.mean(predicted_classes(output) == y))


def predicted_classes(output: np.ndarray) -> np.ndarray:
    """The most probable class per row of logits (rows, out); one output is the log-odds of class 1."""
    return (output[:, 0] > 0).astype(np.int64) if output.shape[1] == 1 else output.argmax(axis=1)


def _line(epoch, epochs, history):
    """One epoch in words."""
    parts = [f"epoch {epoch}/{epochs}", f"loss {history.loss[-1]:.5f}"]
    parts += [f"val_loss {history.val_loss[-1]:.5f}"] if history.val_loss else []
    parts += [f"{name} {value:.4f}" for name, value in history.metrics[-1].items()]
    return "  ".join(parts)
