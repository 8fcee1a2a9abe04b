"""The command `wengert`: train, predict, evaluate, info."""

import argparse
import csv
import os
import platform
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

DESCRIPTION = "Train dense networks on CPUs, and use them."
DATASET_HELP = (
    "digits, iris, wine, breast_cancer, diabetes (with scikit-learn), or a file: IDX (.gz or not), .npz, .csv"
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv=None) -> int:
    """Runs the command and returns its exit code: 0, 2 for bad input, 130 for Ctrl-C.

    SIGTERM ends it with 143 by SystemExit.
    """
    try:
        args = _parser().parse_args(argv)
        with _clean_termination():
            args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("wengert: interrupted; nothing was written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{place}{error.strerror or error}")
    except MemoryError as error:
        return _fail(
            f"not enough memory: {error}" if str(error) else "not enough memory; choose narrower layers"
        )
    except (ValueError, ImportError, ArithmeticError) as error:
        return _fail(str(error))
    return 0


@contextmanager
def _clean_termination():
    """Turns SIGTERM into SystemExit, so that it removes half-written folders as Ctrl-C does."""

    def stop(number, frame):
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(sentence):
    print(f"wengert: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _parser():
    parser = Parser(prog="wengert", description=DESCRIPTION)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)
    _add_train(commands)

    predict = commands.add_parser(
        "predict", help="apply a trained network", description="Print one prediction per row."
    )
    predict.add_argument("model", metavar="RUN", type=Path, help="a run's folder, or its weights.npz")
    predict.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    predict.add_argument("--out", type=Path, metavar="FILE", help="write a csv file instead")
    predict.set_defaults(run=_predict)

    evaluate = commands.add_parser(
        "evaluate", help="measure a trained network", description="Print loss and accuracy."
    )
    evaluate.add_argument("model", metavar="RUN", type=Path, help="a run's folder, or its weights.npz")
    _add_data(evaluate)
    evaluate.set_defaults(run=_evaluate)

    info = commands.add_parser(
        "info", help="version, instruction set, threads", description="Print what runs here."
    )
    info.set_defaults(run=_info)
    return parser


def _add_train(commands):
    from .activations import ACTIVATIONS
    from .optim import OPTIMIZERS
    from .runs import Settings

    defaults = Settings()
    parser = commands.add_parser(
        "train", help="train a network on a data set", description="Train a network."
    )
    _add_data(parser)

    def choose(option, meaning, **details):
        name = option.removeprefix("--").replace("-", "_")
        default = getattr(defaults, name)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        parser.add_argument(option, default=default, help=f"{meaning} ({shown})", **details)

    choose("--layers", "widths of the hidden layers", type=_widths, metavar="N,N")
    choose("--activation", "after each hidden layer", choices=ACTIVATIONS)
    choose("--epochs", "passes over the rows", type=_positive, metavar="N")
    choose("--batch-size", "rows per step", type=_positive, metavar="N")
    choose("--optimizer", "how a step follows from the gradient", choices=OPTIMIZERS)
    choose("--lr", "learning rate", type=_rate, metavar="RATE")
    choose("--schedule", "of the learning rate", choices=("cosine", "constant"))
    choose("--dtype", "of the parameters", choices=("float32", "float64"))
    choose("--test", "part of the rows held out for the test", type=_fraction, metavar="F")
    choose("--validation", "part of the others to watch, 0 for none", type=_fraction_or_none, metavar="F")
    choose("--seed", "of everything random", type=_seed, metavar="N")
    parser.add_argument(
        "--task", choices=("classification", "regression"), help="by default as the targets look"
    )
    parser.add_argument("--threads", type=_positive, metavar="N", help="by default one per core")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="a new folder (runs/NAME)")
    parser.set_defaults(run=_train)


def _add_data(parser):
    parser.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    parser.add_argument("--labels", metavar="FILE", help="IDX file of the labels, for IDX images")
    parser.add_argument(
        "--target", metavar="COLUMN", help="csv column to predict, by name or number (the last)"
    )


# ---- the commands --------------------------------------------------------------------------------------


def _train(args):
    from dataclasses import fields

    from ._core import set_num_threads
    from .extras import require
    from .io.datasets import load_dataset
    from .progress import display
    from .runs import Settings, new_folder, next_free, train

    require("matplotlib.figure", "wengert train")
    if args.threads is not None:
        set_num_threads(args.threads)
    settings = Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})
    dataset = load_dataset(args.dataset, args.labels, args.target)
    folder = args.out or next_free(Path("runs"), dataset.name)
    rows = round(len(dataset.X) * (1 - settings.test) * (1 - settings.validation))
    with new_folder(folder) as temporary, display(settings.epochs, rows) as show:
        report = train(dataset, settings, temporary, show)
    score = "test_r2" if report["test_accuracy"] is None else "test_accuracy"
    print(f"{score.replace('_', ' ')} {report[score]:.4f} on {report['rows']['test']} held-out rows, "
          f"{report['seconds']:.1f} s; see {folder}{os.sep}")  # fmt: skip


def _predict(args):
    from .io.datasets import load_dataset
    from .runs import Run

    run = Run.load(args.model)
    dataset = load_dataset(args.dataset, target=_learned_column(run, args.dataset), supervised=False)
    predictions = run.predict(dataset.X, args.dataset)
    if args.out is None:
        for value in predictions:
            print(value)
        return
    with open(args.out, "x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([run.column or "prediction"])
        writer.writerows([value] for value in predictions)


def _evaluate(args):
    from .io.datasets import load_dataset
    from .runs import Run

    run = Run.load(args.model)
    target = args.target or _learned_column(run, args.dataset)
    dataset = load_dataset(args.dataset, args.labels, target)
    measured = run.evaluate(dataset.X, dataset.y, args.dataset)
    figures = "  ".join(f"{name} {value:.4f}" for name, value in measured.items())
    print(f"{figures}  rows {len(dataset.X)}")


def _learned_column(run, source):
    """The column that a run was trained on, where the data set has columns."""
    from .io.datasets import kind_of

    return run.column if kind_of(source) == "csv" else None


def _info(args):
    import numpy as np

    from ._version import __version__
    from .machine import cpu_info

    versions = {"wengert": __version__, "numpy": np.__version__, "python": platform.python_version()}
    for name, value in (versions | cpu_info()).items():
        print(f"{name:10} {' '.join(value) if isinstance(value, list) else value}")


# ---- arguments -----------------------------------------------------------------------------------------


def _argument(convert, valid, expected):
    """A type for argparse: the converted text, or an error that says what was expected."""

    def parse(text):
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not valid(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
        return value

    return parse


_positive = _argument(int, lambda n: n >= 1, "a positive integer")
_seed = _argument(int, lambda n: n >= 0, "an integer that is not negative")
_rate = _argument(float, lambda rate: 0 < rate < float("inf"), "a positive number")
_fraction = _argument(float, lambda part: 0 < part < 1, "a fraction between 0 and 1")
_fraction_or_none = _argument(float, lambda part: 0 <= part < 1, "0 or a fraction below 1")
_widths = _argument(
    lambda text: tuple(int(part) for part in text.split(",") if text),
    lambda widths: min(widths, default=1) >= 1,
    "a list of positive integers such as 64,32",
)
