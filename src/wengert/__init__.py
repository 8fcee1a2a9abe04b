"""Reverse-mode automatic differentiation with a C core: differentiate NumPy code, train dense networks.

Examples
--------
>>> import numpy as np, wengert as wg
>>> wg.grad(lambda x: np.sum(np.sin(x) ** 2))(np.array([0.0, np.pi / 4]))
array([0., 1.])
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wengert._version import __version__

if TYPE_CHECKING:
    from . import io, losses, numpy, optim, plot, random, testing
    from ._core import Var, get_num_threads, set_num_threads
    from .extend import host_call
    from .machine import cpu_info
    from .nn import MLP
    from .program import Program, compile
    from .protocols.refusals import debug_nans
    from .pytree import flatten, register_pytree_node, tree_map
    from .tape import Gradient, Tape
    from .training import History
    from .transforms import (
        checkpoint,
        cond,
        cost,
        custom_jvp,
        custom_vjp,
        elementwise_grad,
        gauss_newton,
        grad,
        hessian,
        hessian_diagonal,
        hvp,
        implicit_root,
        jacfwd,
        jacobian,
        jacrev,
        jet,
        jvp,
        laplacian,
        scan,
        sparse_hessian,
        sparse_jacobian,
        sparsity,
        stop_gradient,
        value_and_grad,
        vjp,
        vmap,
        while_loop,
    )  # fmt: skip

# Where each name lives; a module is imported when one of its names is first used (PEP 562), so that `import
# wengert` is quick.
_NAMES = {
    "_core": ("Var", "get_num_threads", "set_num_threads"),
    "extend": ("host_call",),
    "machine": ("cpu_info",),
    "nn": ("MLP",),
    "program": ("Program", "compile"),
    "protocols.refusals": ("debug_nans",),
    "pytree": ("flatten", "register_pytree_node", "tree_map"),
    "tape": ("Gradient", "Tape"),
    "training": ("History",),
    "transforms": (
        "checkpoint", "cond", "cost", "custom_jvp", "custom_vjp", "elementwise_grad", "gauss_newton",
        "grad", "hessian", "hessian_diagonal", "hvp", "implicit_root", "jacfwd", "jacobian", "jacrev",
        "jet", "jvp", "laplacian", "scan", "sparse_hessian", "sparse_jacobian", "sparsity", "stop_gradient",
        "value_and_grad", "vjp", "vmap", "while_loop",
    ),
}  # fmt: skip
_MODULES = ("io", "losses", "numpy", "optim", "plot", "random", "testing")
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "MLP", "Gradient", "History", "Program", "Tape", "Var", "__version__", "checkpoint", "compile", "cond",
    "cost", "cpu_info", "custom_jvp", "custom_vjp", "debug_nans", "elementwise_grad", "flatten",
    "gauss_newton", "get_num_threads", "grad", "hessian", "hessian_diagonal", "host_call", "hvp",
    "implicit_root", "io", "jacfwd", "jacobian", "jacrev", "jet", "jvp", "laplacian", "losses", "numpy",
    "optim", "plot", "random", "register_pytree_node", "scan", "set_num_threads", "sparse_hessian",
    "sparse_jacobian", "sparsity", "stop_gradient", "testing", "tree_map", "value_and_grad", "vjp", "vmap",
    "while_loop",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if "threadpoolctl" in sys.modules:
        import_module(f"{__name__}.threads").register()
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
