"""SciPy's functions for Vars and plain arrays alike: `special`, `stats`, `linalg`, `signal`, `integrate`.

`import wengert.scipy.stats as stats` stands for `import scipy.stats as stats`.  Ufuncs of scipy.special may
be used as they are: they ask their arguments.  SciPy must be installed.
"""

from importlib import import_module
from typing import Any

from ..extras import require

require("scipy", "wengert.scipy")

__all__ = ["integrate", "linalg", "signal", "special", "stats"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
