"""NumPy's namespace for Vars and plain arrays alike: `import wengert.numpy as np`.

Functions that record are here under NumPy's names, with the same meaning.  On plain arrays they are NumPy's
own, but for matrix products, arithmetic, `where`, sums, extremes, exp, expm1, sin, cos and hypot of small
arrays, which the core computes in less time (of `np.errstate`, `under` is then not looked at).  They are what
cannot be reached by NumPy's protocols (`np.array([v0, v1])`), and while `wg.compile` records they take a
captured array as an input of the program where NumPy would compute with it at once.
Every other name (`pi`, `float64`, `linspace`, ...) is NumPy's.  Beyond NumPy: `relu`, `relu6`, `leaky_relu`,
`elu`, `celu`, `selu`, `gelu`, `silu`, `mish`, `hard_tanh`, `hard_sigmoid`, `hard_swish`, `sigmoid` (`expit`),
`log_sigmoid` (`log_expit`), `softplus`, `erf`, `erfc`, `erfinv`, `lgamma` (`gammaln`), `digamma`,
`polygamma`, `softmax`, `log_softmax`, `logsumexp`, `index_set`, `index_add`, `scatter`, `topk`,
`one_hot`, `stop_gradient`.

Examples
--------
>>> import wengert as wg, wengert.numpy as np
>>> wg.grad(lambda x: np.sum(np.stack([x, np.sin(x)])))(0.0)
np.float64(2.0)
"""

from importlib import import_module as _import_module
from types import ModuleType as _Module
from typing import Any as _Any

import numpy as _numpy

from ..protocols import NAMESPACE as _NAMESPACE


class _Later(_Module):
    """A module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> _Any:
        return getattr(_import_module(self.__name__), name)

    def __dir__(self) -> list[str]:
        return dir(_import_module(self.__name__))


# No __getattr__ of this module: with one, Python looks up each `np.sin` the long way, a quarter of a call.
_OWN = ("__version__", "__array_api_version__", "__array_namespace_info__")  # not of a module as such
globals().update({name: value for name, value in vars(_numpy).items() if name[0] != "_" or name in _OWN})
globals().update({name: _Later(f"numpy.{name}") for name in dir(_numpy) if name not in vars(_numpy)})
globals().update({name: _Later(f"{__name__}.{name}") for name in ("fft", "linalg", "random")})
globals().update(_NAMESPACE)
