"""Charts, drawn with matplotlib's figures directly: no window, no global state."""

from .extras import require

TRAINING, VALIDATION = "#1f6f8b", "#d1495b"


def learning_curves(history, path, title=""):
    """Writes a chart of the loss, and of the validation accuracy where there is one, over the epochs.

    Parameters
    ----------
    history : History
    path : str or path
        Where to write; the extension (.png, .svg, .pdf) gives the format.
    title : str

    Raises
    ------
    ImportError
        Where matplotlib is missing.
    """
    accuracy = [entry["val_accuracy"] for entry in history.metrics if "val_accuracy" in entry]
    panels = 2 if accuracy else 1
    figure = require("matplotlib.figure", "plot.learning_curves").Figure(figsize=(5.2 * panels, 3.9), dpi=150)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    epochs = range(1, len(history.loss) + 1)

    axes[0].plot(epochs, history.loss, color=TRAINING, label="training")
    if history.val_loss:
        axes[0].plot(epochs, history.val_loss, color=VALIDATION, label="validation")
    _finish(axes[0], "loss")
    axes[0].set_yscale("log")
    axes[0].legend(frameon=False)
    if accuracy:
        axes[1].plot(epochs, accuracy, color=VALIDATION)
        axes[1].annotate(f"{accuracy[-1]:.4f}", (len(accuracy), accuracy[-1]), (0, -14),
                         textcoords="offset points", ha="right", color="0.35")  # fmt: skip
        _finish(axes[1], "validation accuracy")
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    figure.savefig(path)


def _finish(axes, label):
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for line in axes.get_lines():
        line.set_solid_capstyle("round")
