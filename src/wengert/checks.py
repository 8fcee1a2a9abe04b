"""What users hand in, checked before anything changes.  Each message names the argument and the way out."""

import numpy as np

from .losses import LOSSES


def count(where, name, value, least=1):
    """`value` as an int that is at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{where}: {name} is {value!r}, expected an integer")
    if value < least:
        raise ValueError(f"{where}: {name} is {value}, expected at least {least}")
    return int(value)


def choice(where, name, value, table):
    """`value`, once it is known to be a key of the table."""
    if not isinstance(value, str) or value not in table:
        raise ValueError(f"{where}: {name} is {value!r}, expected one of {', '.join(table)}")
    return value


def generator(where, seed):
    """NumPy's generator over Philox, whose stream is the same on every platform."""
    if seed is not None:
        seed = count(where, "seed", seed, least=0)
    return np.random.Generator(np.random.Philox(seed))


def unmasked(where, name, values):
    """`values` as an array; a masked one is refused, for its mask would be lost."""
    if isinstance(values, np.ndarray) and hasattr(values, "mask"):
        raise TypeError(
            f"{where}: {name} is a {type(values).__name__}, whose mask would be ignored; "
            f"leave the masked rows out or pass {name}.filled(...)"
        )
    return np.asarray(values)


def numbers(where, name, values, dtype):
    """`values` as a finite array of the dtype, itself where it is one."""
    array = unmasked(where, name, values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{where}: {name} has dtype {array.dtype}, expected real numbers")
    if array.dtype != dtype:
        with np.errstate(over="ignore"):
            array = array.astype(dtype)
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(int(k) for k in np.argwhere(~finite)[0])
        held = np.asarray(values)[place]
        why = "is not finite" if not np.isfinite(held) else f"is too large for {np.dtype(dtype)}"
        raise ValueError(
            f"{where}: {name} holds {held} at {place}, which {why}; remove or replace such rows first"
        )
    return array


def features(where, name, x, n_in, dtype):
    """Finite inputs (rows, in) with at least one row."""
    array = unmasked(where, name, x)
    if array.ndim != 2 or array.shape[1] != n_in:
        fits = array.ndim != 2 and array.size % n_in == 0
        hint = f"; reshape it to ({array.size // n_in}, {n_in})" if fits else ""
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected (rows, {n_in}){hint}")
    if len(array) == 0:
        raise ValueError(f"{where}: {name} has no rows")
    return numbers(where, name, x, dtype)


def targets(where, name, y, rows, n_out, loss, dtype):
    """Targets as the loss takes them: class labels (rows,) for cross-entropy, else numbers.

    For squared error they get the outputs' shape (rows, out); for a callable they keep theirs.
    """
    array = unmasked(where, name, y)
    if loss is LOSSES["cross_entropy"]:
        return labels(where, name, array, rows, n_out)
    if array.dtype.kind in "OSUT":
        raise TypeError(
            f"{where}: {name} has dtype {array.dtype}, expected numbers; number the classes with "
            f"np.unique({name}, return_inverse=True)"
        )
    if loss is LOSSES["squared_error"]:
        if array.shape != (rows, n_out) and not (n_out == 1 and array.shape == (rows,)):
            hint = '; for class labels pass loss="cross_entropy"' if array.shape == (rows,) else ""
            raise ValueError(
                f"{where}: {name} has shape {array.shape}, outputs have shape {(rows, n_out)}{hint}"
            )
        return numbers(where, name, array, dtype).reshape(rows, n_out)
    if array.ndim == 0 or len(array) != rows:
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected {rows} rows as in the inputs")
    return numbers(where, name, array, dtype if array.dtype.kind == "f" else np.int64)


def labels(where, name, array, rows, n_out):
    """Class labels (rows,) as int64, from integers or one-hot rows."""
    one_hot = n_out > 1 and array.shape == (rows, n_out)
    if array.dtype.kind in "OSUT" or (array.dtype.kind not in "iub" and not one_hot):
        way_out = (
            'if they number the classes, pass .astype(int); for regression pass loss="squared_error"'
            if array.dtype.kind == "f"
            else f"number the classes with np.unique({name}, return_inverse=True)"
        )
        raise TypeError(f"{where}: {name} has dtype {array.dtype}, expected integer class labels; {way_out}")
    if one_hot:
        if not (np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()):
            raise ValueError(
                f"{where}: {name} has shape {array.shape} but is not one-hot: each row needs a single 1"
            )
        return array.argmax(axis=1)
    if array.shape not in ((rows,), (rows, 1)):
        raise ValueError(
            f"{where}: {name} has shape {array.shape}, "
            f"expected integer labels ({rows},) or one-hot {(rows, n_out)}"
        )
    classes = max(n_out, 2)
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"{where}: {name} holds labels from {low} to {high}, "
            f"expected 0 to {classes - 1} for {n_out} outputs"
        )
    return array.reshape(rows).astype(np.int64)
