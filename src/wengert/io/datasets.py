"""Data sets from files and from scikit-learn's bundled ones, as plain arrays."""

import csv
import gzip
import math
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..extras import require

BUNDLED = ("digits", "iris", "wine", "breast_cancer", "diabetes")
IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
INPUT_NAMES = ("X", "x", "data", "images", "features", "inputs", "x_train", "X_train")
TARGET_NAMES = ("y", "Y", "target", "targets", "labels", "label", "y_train")


@dataclass(frozen=True)
class Dataset:
    """Rows of inputs and, where known, their targets as they stand in the source.

    Attributes
    ----------
    name : str
        Short, fit for a folder's name.
    X : ndarray (rows, features), real numbers
    y : ndarray (rows,) of integers, floats or strings, or None
    target : str or None
        The target column's name in a csv file.
    uniform : bool
        Whether all features are measured on one scale, as the pixels of an image are.
    source : str
        What the user called it, for messages.
    """

    name: str
    X: np.ndarray
    y: np.ndarray | None
    target: str | None = None
    uniform: bool = False
    source: str = "data"


def load_dataset(source, labels=None, target=None, *, supervised=True) -> Dataset:
    """A data set by name or from a file.

    Parameters
    ----------
    source : str or path
        ``digits``, ``iris``, ``wine``, ``breast_cancer``, ``diabetes`` (bundled with scikit-learn), or a
        file: IDX (plain or .gz, as MNIST is published), ``.npz`` with arrays X and y, or ``.csv``.
    labels : str or path, optional
        IDX file of the labels that belong to an IDX file of images.
    target : str, optional
        Name or number of the csv column to predict; the last one by default.
    supervised : bool
        Whether targets must be there.

    Raises
    ------
    OSError
        Where a file cannot be read.
    ValueError
        Where a file is damaged or does not fit, or does not take `labels` or `target`; the message names it.
    ImportError
        Where scikit-learn is needed and missing.
    """
    path, kind = Path(source), kind_of(source)
    if labels is not None and kind != "IDX":
        raise ValueError(f"{source}: --labels is for IDX images; this data set brings its own targets")
    if target is not None and kind != "csv":
        raise ValueError(f"{source}: --target is for csv files; this data set has no columns to choose from")
    if path.is_dir() and kind != "bundled":
        raise ValueError(f"{path} is a folder, expected a data file")
    readers = {
        "bundled": lambda: _bundled(str(source)),
        "npz": lambda: _read_npz(path),
        "csv": lambda: _read_csv(path, target, supervised),
        "IDX": lambda: _read_images(path, labels, supervised),
    }
    dataset = readers[kind]()
    if supervised and dataset.y is None:
        raise ValueError(f"{source} holds no targets: name an array {' or '.join(TARGET_NAMES[:4])}")
    if dataset.y is not None and len(dataset.y) != len(dataset.X):
        raise ValueError(f"{source} holds {len(dataset.X)} rows of inputs but {len(dataset.y)} targets")
    if len(dataset.X) == 0:
        raise ValueError(f"{source} holds no rows")
    return replace(dataset, source=str(source))


def kind_of(source) -> str:
    """How a data set is read: "bundled", "npz", "csv", or "IDX" for every other file."""
    if str(source) in BUNDLED and not Path(source).is_file():
        return "bundled"
    return {".npz": "npz", ".csv": "csv"}.get(Path(source).suffix.lower(), "IDX")


def read_idx(path) -> np.ndarray:
    """The array in an IDX file, plain or compressed with gzip.

    The format is that of http://yann.lecun.com/exdb/mnist: two zero bytes, a code for the type, the number of
    dimensions, each extent as a big-endian 32-bit number, then the elements.

    Raises
    ------
    OSError
        Where the file cannot be read.
    ValueError
        Where it is no IDX file, or shorter or longer than its header says.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is truncated or damaged: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_DTYPES or data[3] == 0:
        raise ValueError(f"{path} is no IDX file (its magic number is {data[:4].hex(' ') or 'missing'})")
    dtype, start = np.dtype(IDX_DTYPES[data[2]]), 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[k : k + 4], "big") for k in range(4, start, 4))
    promised = start + math.prod(shape) * dtype.itemsize
    if len(data) != promised:
        state = "truncated" if len(data) < promised else "too long"
        raise ValueError(f"{path} is {state}: {len(data):,} bytes, its header promises {promised:,}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _bundled(name):
    bunch = getattr(require("sklearn.datasets", f"the data set {name!r}"), f"load_{name}")()
    return Dataset(name, bunch.data, bunch.target, uniform=name == "digits")


def _read_images(path, labels, supervised):
    images = read_idx(path)
    if images.ndim < 2:
        raise ValueError(
            f"{path} holds an array of shape {images.shape}, expected images; are the files swapped?"
        )
    if labels is None:
        if supervised:
            raise ValueError(f"{path} holds images without labels: pass --labels FILE")
        y = None
    else:
        y = read_idx(labels)
        if y.ndim != 1 or y.dtype.kind not in "iu":
            raise ValueError(
                f"{labels} holds an array of shape {y.shape}, expected one integer label per image"
            )
    name = path.name.removesuffix(".gz").removesuffix(".idx")
    return Dataset(name, images.reshape(len(images), -1), y, uniform=True)


def _read_npz(path):
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            inputs = [name for name in INPUT_NAMES if name in file.files]
            if not inputs:
                raise ValueError(
                    f"it has {', '.join(file.files) or 'no arrays'}; name the inputs X and the targets y"
                )
            X = file[inputs[0]]
            y = next((file[name] for name in TARGET_NAMES if name in file.files), None)
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is no readable .npz data set: {error}") from error
    if X.ndim < 2 or X.dtype.kind not in "fiub":
        raise ValueError(
            f"{path}: {inputs[0]} has shape {X.shape} and dtype {X.dtype}, expected rows of numbers"
        )
    if y is not None and y.shape not in ((len(y),), (len(y), 1)):
        raise ValueError(f"{path}: the targets have shape {y.shape}, expected one per row")
    flat = X.reshape(len(X), math.prod(X.shape[1:]))
    return Dataset(path.stem, flat, None if y is None else y.reshape(-1), uniform=X.ndim > 2)


def _read_csv(path, target, supervised):
    rows, names = _cells(path)
    if not rows:
        raise ValueError(f"{path} holds no rows")
    place = _target_column(path, names, target, supervised)
    columns = list(zip(*rows, strict=True))
    features = [_numbers(path, names[k], column) for k, column in enumerate(columns) if k != place]
    if not features:
        raise ValueError(f"{path} has no column beside the target")
    y = None if place is None else _targets(path, names[place], columns[place])
    return Dataset(path.stem, np.stack(features, axis=1), y, target=None if place is None else names[place])


def _cells(path):
    """The rows of a csv file as lists of strings, and the columns' names."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8") from None
    first = text.partition("\n")[0]
    rows = [row for row in csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count)) if row]
    if not rows:
        raise ValueError(f"{path} is empty")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"{path}: row {number} has {len(row)} cells, the first one has {len(rows[0])}")
    if _is_header(rows):
        return rows[1:], [name.strip() for name in rows[0]]
    return rows, [str(k) for k in range(len(rows[0]))]


def _is_header(rows):
    """Whether the first row names the columns: it has no number, or has a word above a number."""
    first = [_is_number(cell) for cell in rows[0]]
    second = [_is_number(cell) for cell in rows[1]] if len(rows) > 1 else first
    return not any(first) or any(below and not above for above, below in zip(first, second, strict=True))


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _target_column(path, names, target, supervised):
    """The number of the target column, or None where there is none."""
    if target is None:
        return len(names) - 1 if supervised else None
    if target in names:
        return names.index(target)
    if target.lstrip("-").isdigit() and -len(names) <= int(target) < len(names):
        return int(target) % len(names)
    if supervised:
        raise ValueError(f"{path} has no column {target!r}; its columns are {', '.join(names[:20])}")
    return None


def _numbers(path, name, column):
    try:
        return np.array(column, dtype=np.float64)
    except ValueError:
        number, cell = next((k, cell) for k, cell in enumerate(column, 1) if not _is_number(cell))
        raise ValueError(
            f"{path}: column {name!r} holds {cell!r} in data row {number}, expected a number"
        ) from None


def _targets(path, name, column):
    """Targets as integers where all are, else as floats, else as strings."""
    if not all(cell.strip() for cell in column):
        raise ValueError(f"{path}: column {name!r} is empty in some row, expected a target")
    for dtype in (np.int64, np.float64):
        try:
            return np.array(column, dtype=dtype)
        except (ValueError, OverflowError):
            continue
    return np.array([cell.strip() for cell in column])
