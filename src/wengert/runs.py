"""Training runs: from a data set to a folder that holds the network, a report and pictures."""

import json
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from . import checks, plot, targets
from ._core import get_num_threads
from ._version import __version__
from .io import weights
from .io.datasets import Dataset
from .losses import LOSSES
from .machine import cpu_info
from .nn import MLP
from .optim import OPTIMIZERS
from .tape import Tape
from .targets import Classes, Numbers, Scaling, Targets, is_classification
from .training import cosine_decay, split_rows

# Rows on the tape that a run draws: enough to see the shapes, few enough to read the values.
ROWS_ON_TAPE = 4


@dataclass(frozen=True)
class Settings:
    """What a run may choose."""

    layers: tuple[int, ...] = (512, 256)
    activation: str = "relu"
    epochs: int = 30
    batch_size: int = 32
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "cosine"
    dtype: str = "float32"
    task: str | None = None
    test: float = 0.2
    validation: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """A trained network with all that it takes to use it on raw data.

    Attributes
    ----------
    net : MLP
    inputs : Scaling
    targets : Classes or Numbers
    column : str or None
        The csv column that was learned.
    """

    net: MLP
    inputs: Scaling
    targets: Targets
    column: str | None

    def prepare(self, X, source):
        """Raw inputs as the network takes them."""
        n_in = self.net.layers[0]
        if X.shape[1] != n_in:
            raise ValueError(f"{source} has {X.shape[1]} features per row, the network takes {n_in}")
        return self.inputs.apply(checks.numbers(source, "X", X, float), self.net.dtype)

    def encode(self, y, source):
        """Raw targets as the loss takes them."""
        return self.targets.encode(y, self.net.dtype, source)

    def predict(self, X, source):
        """Classes, or numbers in the targets' own units."""
        return self.targets.decode(self.net.predict(self.prepare(X, source)))

    def evaluate(self, X, y, source):
        """The loss, and the accuracy (classes) or r2 (numbers)."""
        targets, output = self.encode(y, source), self.net.predict(self.prepare(X, source))
        return {
            "loss": float(LOSSES[self.targets.loss](output, targets)),
            **self.targets.score(output, targets),
        }

    def save(self, path):
        """Writes network, scaling and classes to one file of weights."""
        self.net.save(path, inputs=self.inputs.as_json(), targets=self.targets.as_json(), column=self.column)

    @classmethod
    def load(cls, path):
        """From a run's folder, or from its file of weights."""
        path = Path(path)
        path = path / "weights.npz" if path.is_dir() else path
        header, _ = weights.load(path)
        if "inputs" not in header:
            raise ValueError(f"{path} holds a network but no run: how its inputs were scaled is not known")
        return cls(
            MLP.load(path),
            Scaling.from_json(header["inputs"]),
            targets.from_json(header["targets"]),
            header["column"],
        )


def train(dataset: Dataset, settings: Settings, folder: Path, callback) -> dict:
    """Trains a network on a data set and fills a folder.

    Part of the rows is held out for the test and touched once, after training; another part, of what remains,
    is the validation set, which is looked at after each epoch and decides nothing.  Classes are held out in
    proportion.

    Parameters
    ----------
    dataset : Dataset
    settings : Settings
    folder : Path
        Must exist; gets weights.npz, report.json, loss.png and tape.svg.
    callback : callable(epoch, history, net)

    Returns
    -------
    dict
        The report.
    """
    X, y, classes, (test, held, kept) = _divided(dataset, settings)
    learned = Numbers(Scaling.fit(y[kept], uniform=True)) if classes is None else Classes(classes)
    layers = [X.shape[1], *settings.layers, learned.n_out]
    net = MLP(layers, settings.activation, settings.dtype, seed=settings.seed)
    run = Run(net, Scaling.fit(X[kept], dataset.uniform), learned, dataset.target)

    def part(rows):
        return run.prepare(X[rows], dataset.source), run.encode(y[rows], dataset.source)

    optimizer = OPTIMIZERS[settings.optimizer](settings.lr)
    callbacks = [callback] + [cosine_decay(optimizer, settings.epochs)] * (settings.schedule == "cosine")
    started = time.perf_counter()
    history = net.fit(
        *part(kept),
        loss=learned.loss,
        optimizer=optimizer,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        validation=part(held) if len(held) else None,
        callbacks=callbacks,
    )
    seconds = time.perf_counter() - started
    measured = run.evaluate(X[test], y[test], dataset.source)
    report = _report(dataset, settings, net, history, measured, seconds)
    report["rows"] = {"training": len(kept), "validation": len(held), "test": len(test)}
    report["samples_per_second"] = len(kept) * len(history.loss) / seconds
    run.save(folder / "weights.npz")
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    plot.learning_curves(history, folder / "loss.png", f"{dataset.name}: {net!r}")
    x_few, y_few = part(kept[:ROWS_ON_TAPE])
    loss_tape(net, x_few, y_few, learned.loss).to_svg(folder / "tape.svg")
    return report


def _divided(dataset, settings):
    """Checked inputs and targets, the classes (or None), and the rows for test, validation and training."""
    X, y, source = dataset.X, dataset.y, dataset.source
    checks.numbers(source, "X", X, float)
    if y.dtype.kind == "f":
        checks.numbers(source, "y", y, float)
    classes, strata = None, np.zeros(len(y), int)  # what is split in proportion
    if is_classification(y, settings.task, source):
        classes, strata = np.unique(y, return_inverse=True)
    rng = checks.generator("train", settings.seed)
    test, rest = split_rows(strata, settings.test, rng)
    held, kept = rest[:0], rest
    if settings.validation:
        held, kept = (rest[rows] for rows in split_rows(strata[rest], settings.validation, rng))
    return X, y, classes, (test, held, kept)


def _report(dataset, settings, net, history, measured, seconds):
    """What a run was and what came out, as JSON can hold it."""
    return {
        "dataset": dataset.name,
        **asdict(settings),
        "layers": net.layers,
        "epochs": len(history.loss),
        "train_loss": history.loss[-1],
        "validation_loss": history.val_loss[-1] if history.val_loss else None,
        "validation_accuracy": history.metrics[-1].get("val_accuracy"),
        "test_loss": measured["loss"],
        "test_accuracy": measured.get("accuracy"),
        "test_r2": measured.get("r2"),
        "seconds": seconds,
        "isa": cpu_info()["isa"],
        "threads": get_num_threads(),
        "versions": {"wengert": __version__, "numpy": np.__version__},
    }


def loss_tape(net, x, y, loss):
    """A tape on which the loss of some rows stands, with inputs and parameters as its variables."""
    tape = Tape()
    params = [
        {name: tape.var(value, name=f"{name}{k}") for name, value in layer.items()}
        for k, layer in enumerate(net.params, 1)
    ]
    LOSSES[loss](net.apply(params, tape.var(x, name="x")), y)
    return tape


@contextmanager
def new_folder(path: Path):
    """A temporary folder that takes the name `path` when the block ends, and vanishes when it raises.

    A folder that is there and empty gets its contents: it may be a mount point or where a shell stands.

    Raises
    ------
    ValueError
        Where the folder already holds something.
    OSError
        Where it cannot be written; the error names `path`, not the temporary folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} already exists; choose another --out, or remove it")
    missing = [parent for parent in path.absolute().parents if not parent.exists()]
    there = path.exists()
    temporary = (path if there else path.parent) / f".{path.name}.{secrets.token_hex(4)}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if there:
            for entry in temporary.iterdir():
                os.replace(entry, path / entry.name)
            temporary.rmdir()
        else:
            os.replace(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in missing:  # innermost first; one that others have filled meanwhile stays
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError) and _concerns(error, temporary):
            raise weights.unwritable(path, error) from None
        raise


def _concerns(error: OSError, folder: Path) -> bool:
    """Whether the file that an error names is a folder, is in it, or is one of those that hold it."""
    place = Path(error.filename or "")
    return bool(place.name) and (folder.is_relative_to(place) or place.is_relative_to(folder))


def next_free(parent: Path, name: str) -> Path:
    """parent/name, or the first of parent/name-2, parent/name-3 ... that is not taken."""
    path, number = parent / name, 2
    while path.exists():
        path, number = parent / f"{name}-{number}", number + 1
    return path
