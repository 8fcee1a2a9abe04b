"""scikit-learn: partial_fit on one batch, which is what its users call for a gradient and a step of Adam."""

import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ..harness import Unavailable
from ..workloads import BETAS, EPSILON_HAT, LEARNING_RATE, Call, Net, Row


def about(_threads: int) -> dict[str, object]:
    """scikit-learn runs on NumPy's BLAS."""
    return {"version": sklearn.__version__}


def train(net: Net, kind: str) -> Call:
    """Its squared error has a half and a sum over outputs: with epsilon scaled alike, Adam sees neither."""
    if kind in ("function", "gradient"):
        raise Unavailable(f"no public function gives the {kind} alone")
    start, x, y = net.batch()
    epsilon = EPSILON_HAT * (net.widths[-1] / 2 if net.loss == "squared_error" else 1)
    make = MLPRegressor if net.loss == "squared_error" else MLPClassifier
    model = make(
        hidden_layer_sizes=net.widths[1:-1], activation=net.activation, alpha=0.0, batch_size=net.rows,
        shuffle=False, max_iter=1, warm_start=True, learning_rate_init=LEARNING_RATE,
        beta_1=BETAS[0], beta_2=BETAS[1], epsilon=epsilon,
    )  # fmt: skip
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    classes = {"classes": np.arange(net.widths[-1])} if make is MLPClassifier else {}
    model.partial_fit(x, y, **classes)
    for number, (weight, bias) in enumerate(net.layers(start)):
        model.coefs_[number][...], model.intercepts_[number][...] = weight, bias
    if kind == "forward":
        return Call(lambda: model.predict(x), lambda: model.predict(x).reshape(net.rows, -1))

    def change() -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)  # a warm start: one step of a fresh Adam
        pairs = zip(model.coefs_, model.intercepts_, strict=True)
        return np.concatenate([part.ravel() for pair in pairs for part in pair]) - start

    return Call(lambda: model.partial_fit(x, y), change)


def row(workload: Row, kind: str) -> Call:
    """predict, of one row."""
    if kind.startswith("Jacobian"):
        raise Unavailable("no public function gives a Jacobian")
    predict = train(workload.net, "forward")
    return Call(predict.run, lambda: predict.check()[0], quantile=0.999 if "p99.9" in kind else None)
