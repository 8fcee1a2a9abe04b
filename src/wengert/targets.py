"""From raw data to what a network takes, and back: scaled inputs, classes, scaled numbers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from . import checks
from .training import predicted_classes


@dataclass(frozen=True)
class Scaling:
    """An affine map, fitted on training rows, that gives them mean 0 and variance 1."""

    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, x, uniform):
        """Of each column, or of all at once where they are measured on one scale."""
        axis = None if uniform else 0
        shift, scale = np.mean(x, axis=axis, dtype=float), np.std(x, axis=axis, dtype=float)
        return cls(np.atleast_1d(shift), np.atleast_1d(np.where(scale > 0, scale, 1.0)))

    def apply(self, x, dtype):
        """`x` scaled, in another dtype."""
        return ((x - self.shift) / self.scale).astype(dtype)

    def undo(self, x):
        """`x` in its own units again."""
        return x * self.scale + self.shift

    def as_json(self):
        return {"shift": self.shift.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, entry):
        return cls(np.array(entry["shift"], float), np.array(entry["scale"], float))


class Targets(Protocol):
    """What a network is to learn."""

    loss: str

    @property
    def n_out(self) -> int:
        """How many outputs the network needs."""

    def encode(self, y, dtype, source) -> np.ndarray:
        """Raw targets as the loss takes them; ValueError, naming the source, where one is unknown."""

    def decode(self, output) -> np.ndarray:
        """Outputs as raw targets."""

    def score(self, output, targets) -> dict[str, float]:
        """How well outputs meet encoded targets, beside the loss."""

    def as_json(self) -> dict: ...


@dataclass(frozen=True)
class Classes:
    """Classes by their sorted names, integers or strings."""

    names: np.ndarray
    loss = "cross_entropy"

    @property
    def n_out(self):
        return len(self.names)

    def encode(self, y, dtype, source):
        unknown = np.setdiff1d(y, self.names)
        if len(unknown):
            known = ", ".join(map(str, self.names[:10])) + (" ..." if len(self.names) > 10 else "")
            raise ValueError(f"{source} holds the class {unknown[0]}, the network knows {known}")
        return np.searchsorted(self.names, y)

    def decode(self, output):
        return self.names[predicted_classes(output)]

    def score(self, output, targets):
        return {"accuracy": float(np.mean(predicted_classes(output) == targets))}

    def as_json(self):
        return {"classes": self.names.tolist()}


@dataclass(frozen=True)
class Numbers:
    """Numbers, scaled for training."""

    scaling: Scaling
    loss = "squared_error"
    n_out = 1

    def encode(self, y, dtype, source):
        return self.scaling.apply(checks.numbers(source, "y", y, float), dtype)[:, None]

    def decode(self, output):
        return self.scaling.undo(output[:, 0].astype(float))

    def score(self, output, targets):
        """r2: the share of the targets' variance that is explained."""
        spread = float(np.mean((targets - targets.mean()) ** 2))
        unexplained = float(np.mean((output - targets) ** 2))
        return {"r2": 1 - unexplained / spread if spread else float(unexplained == 0)}

    def as_json(self):
        return {"numbers": self.scaling.as_json()}


def from_json(entry) -> Targets:
    """What `as_json` wrote."""
    if "classes" in entry:
        return Classes(np.array(entry["classes"]))
    return Numbers(Scaling.from_json(entry["numbers"]))


def is_classification(y, task, source) -> bool:
    """Whether raw targets are to be learned as classes: what the task says, else whether they are no floats.

    Raises
    ------
    ValueError
        Where the task cannot be done with such targets.
    """
    if task == "regression" or (task is None and y.dtype.kind == "f"):
        if y.dtype.kind not in "fiu":
            raise ValueError(f"{source}: targets of dtype {y.dtype} cannot be learned by regression")
        return False
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        example = y[y != np.floor(y)][0]
        raise ValueError(f"{source}: targets such as {example} are no classes; use --task regression")
    n_classes = len(np.unique(y))
    if not 2 <= n_classes <= max(2, len(y) // 2):
        raise ValueError(
            f"{source}: {len(y)} rows of {n_classes} classes cannot be learned; "
            f"for numbers instead of classes use --task regression"
        )
    return True
