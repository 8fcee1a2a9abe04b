"""Losses in NumPy code: each takes outputs (rows, out) and targets and returns their mean as a number."""

from collections.abc import Callable

import numpy as np

from . import numpy as wnp
from ._core import DTYPES, Var
from .protocols.registry import operand


def squared_error(output, target):
    """Mean over all elements of ``(output - target) ** 2``, without a factor of one half.

    Parameters
    ----------
    output : array or Var, of any shape
    target : array or Var of the same shape; only (rows,) against (rows, 1) is reshaped

    Returns
    -------
    number, or Var where an argument is one

    Raises
    ------
    ValueError
        Where the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> float(squared_error(np.array([1.0, 2.0]), np.array([0.0, 4.0])))
    2.5
    """
    output, target = operand(output), operand(target)
    return np.mean((output - as_shape_of(output, target, "squared_error")) ** 2)


def cross_entropy(logits, labels):
    """Mean over the rows of minus the log-probability that the logits give to the label.

    Parameters
    ----------
    logits : array or Var, (rows, out)
        Unnormalised log-probabilities; with out = 1, the log-odds of class 1 against class 0.
    labels : integer array (rows,) with 0 <= label < out, or one-hot (rows, out)

    Returns
    -------
    number, or Var where an argument is one

    Raises
    ------
    TypeError
        Where labels of shape (rows,) are not integers.
    ValueError
        Where the shapes do not fit or a label is out of range.
    IndexError
        Where a label is out of range in a replay of a compiled function.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(cross_entropy(np.zeros((3, 4)), np.array([0, 3, 1]))), 4)  # log 4
    1.3863
    """
    logits, labels = operand(logits), operand(labels)
    rows, n_out = _rows_and_classes(logits, labels)
    if n_out == 1:
        # -log sigmoid(z) = softplus(z) - z for class 1, softplus(z) for class 0
        z = logits.reshape(rows)
        return np.mean(wnp.softplus(z) - _look_up(np.arange(2, dtype=z.dtype), labels.reshape(rows)) * z)
    log_total = wnp.logsumexp(logits, axis=1)
    if labels.shape == (rows, n_out):
        return np.mean(log_total - np.sum(labels * logits, axis=1))
    classes = np.arange(n_out)
    chosen = _look_up(classes, labels.reshape(rows)).reshape(rows, 1) == classes
    # a sum of one term and zeros: compiled, it is part of the loop over the rows that makes the logits
    return np.mean(log_total - np.sum(wnp.where(chosen, logits, 0), axis=1))


def as_shape_of(output, target, where):
    """`target`, reshaped where one is (rows,) and the other (rows, 1); nothing broadcasts."""
    a, b = output.shape, target.shape
    if a == b:
        return target
    if a and b and a[0] == b[0] and {a[1:], b[1:]} == {(), (1,)}:
        return target.reshape(a)
    raise ValueError(f"{where}: target has shape {b}, output has shape {a}; they must be equal")


def _look_up(table, labels):
    """table[labels], where negative labels raise too: in a replay it is the only check that labels get."""
    if labels.dtype not in DTYPES:  # small and unsigned integers cannot be recorded
        labels = labels.astype(np.int64)
    return wnp.take(table, wnp.where(wnp.less(labels, 0), len(table), labels))


def _rows_and_classes(logits, labels):
    """The shape of the logits, once the labels are known to fit it."""
    if len(logits.shape) != 2:
        raise ValueError(
            f"cross_entropy: logits have shape {logits.shape}, expected (rows, out); give one row as x[None]"
        )
    rows, n_out = logits.shape
    if labels.shape == (rows, n_out) and n_out > 1:
        return rows, n_out
    if labels.shape not in ((rows,), (rows, 1)):
        raise ValueError(
            f"cross_entropy: labels have shape {labels.shape}, logits have shape {logits.shape}; "
            f"expected integers ({rows},) or one-hot ({rows}, {n_out})"
        )
    if labels.dtype.kind not in "iub":
        raise TypeError(
            f"cross_entropy: labels have dtype {labels.dtype}, expected integers; pass .astype(int)"
        )
    classes = max(n_out, 2)
    if isinstance(labels, np.ndarray) and rows and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"cross_entropy: labels lie in [{labels.min()}, {labels.max()}], expected 0 to {classes - 1} "
            f"for logits of shape {logits.shape}"
        )
    return rows, n_out


LOSSES: dict[str, Callable] = {"squared_error": squared_error, "cross_entropy": cross_entropy}


def resolve(loss, where):
    """The loss function for a name or a callable."""
    if callable(loss):
        return loss
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]
    raise ValueError(
        f"{where}: loss is {loss!r}, expected {', '.join(map(repr, LOSSES))} or a callable(output, target)"
    )


def averaged(loss, output, target, where):
    """The loss as one number: a loss that returns one value per row is averaged."""
    value = loss(output, target)
    known = isinstance(value, Var | np.ndarray | np.generic | int | float)
    if not known:
        raise TypeError(
            f"{where}: the loss returned a {type(value).__name__}, expected a number or one value per row"
        )
    shape = getattr(value, "shape", ())
    if shape == ():
        return value
    if shape in ((output.shape[0],), (output.shape[0], 1)):
        return np.mean(value)
    raise ValueError(f"{where}: the loss returned shape {shape}, expected a number or one value per row")
