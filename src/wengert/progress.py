"""What a training run shows while it works: a live bar on a terminal, plain lines elsewhere."""

import sys
from contextlib import suppress

from .extras import require

# Columns that the live line needs beside its bar, with room for large numbers.
TEXT_WIDTH = 76


class PlainLines:
    """At most about twenty lines over the whole training."""

    def __init__(self, epochs, rows, stream):
        self.epochs, self.rows, self.stream = epochs, rows, stream

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None

    def __call__(self, epoch, history, net):
        if epoch % max(1, self.epochs // 20) == 0 or epoch in (1, self.epochs):
            words = measured(history, self.rows)
            left = history.seconds[-1] / epoch * (self.epochs - epoch)
            line = "  ".join(f"{name} {text}" for name, text in words.items())
            with suppress(BrokenPipeError):  # a reader that has seen enough does not end the training
                print(f"epoch {epoch}/{self.epochs}  {line}  ETA {left:.0f} s", file=self.stream, flush=True)
        return False


class LiveBar:
    """One bar that grows with the epochs."""

    def __init__(self, epochs, rows, stream):
        progress = require("rich.progress", "the live display")
        console = require("rich.console", "the live display").Console(file=stream)
        self.rows, self.epochs = rows, epochs
        self.live = progress.Progress(
            progress.TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
            progress.BarColumn(bar_width=min(max(console.width - TEXT_WIDTH, 4), 30)),
            progress.TextColumn("{task.description}"),
            progress.TextColumn("ETA"),
            progress.TimeRemainingColumn(compact=True),
            console=console,
        )
        self.task = self.live.add_task("", total=epochs, epoch=0)

    def __enter__(self):
        self.live.start()
        return self

    def __exit__(self, *exception):
        self.live.stop()

    def __call__(self, epoch, history, net):
        figures = measured(history, self.rows)
        figures.pop("val loss", None)  # so that the line fits 80 columns
        words = (f"{name} [bold]{text}[/bold]" for name, text in figures.items())
        self.live.update(self.task, completed=epoch, epoch=epoch, description="  ".join(words))
        return False

    def progress(self, epoch, done):
        """Within an epoch: the bar grows, the figures are still the last epoch's."""
        self.live.update(self.task, completed=epoch - 1 + done)


def measured(history, rows):
    """The latest figures as name -> text."""
    figures = {"loss": f"{history.loss[-1]:.4f}"}
    if history.val_loss:
        figures["val loss"] = f"{history.val_loss[-1]:.4f}"
    if "val_accuracy" in history.metrics[-1]:
        figures["val accuracy"] = f"{history.metrics[-1]['val_accuracy']:.4f}"
    figures["samples/s"] = f"{rows * len(history.loss) / history.seconds[-1]:,.0f}"
    return figures


def display(epochs, rows, stream=None):
    """A callback for `fit`, used as a context manager, that suits the stream."""
    stream = sys.stdout if stream is None else stream
    return (LiveBar if stream.isatty() else PlainLines)(epochs, rows, stream)
