"""Functions that NumPy and SciPy compute: linear algebra, Fourier transforms.

Each is a host op, which calls Python at every replay, with a derivative written in differentiable code.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from math import prod
from threading import get_ident
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .. import transforms
from .._core import DTYPES, Var, dtype_code, raised
from ..protocols.registry import FUNCTIONS, append, mirrored, recorded

__all__ = ["LINALG", "call", "files"]


def _keeping(transform: Any) -> Any:
    """The transform of functions that read their arguments only: one recording serves all calls of a kind."""

    def custom(f: Callable, nondiff_argnums: Any = ()) -> Any:
        function = transform(f, nondiff_argnums)
        function.kept = {}
        return function

    return custom


custom_jvp, custom_vjp = _keeping(transforms.custom_jvp), _keeping(transforms.custom_vjp)
LINALG: dict[str, Callable] = {}  # name in wengert.numpy.linalg -> function for Vars and plain arrays alike
FFT: dict[str, Callable] = {}
SMALL: dict[Callable, int] = {}  # WG_HOST_... of csrc/wengert.h: of small matrices the core does these
FILLING: set[Callable] = set()  # functions that write their result to `out`


class _Array(ctypes.Structure):
    """`wg_array` of csrc/wengert.h, without strides where it is contiguous."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("ndim", ctypes.c_int),
        ("dtype", ctypes.c_int),
    )

    def view(self) -> np.ndarray:
        """The elements, where they are."""
        strides = tuple(self.strides[: self.ndim]) if self.strides else None
        return _at(self.data or 1, tuple(self.shape[: self.ndim]), strides, self.dtype)


@functools.lru_cache(4096)  # a replay asks for the same places as the one before
def _at(address: int, shape: tuple[int, ...], strides: tuple[int, ...] | None, code: int) -> np.ndarray:
    if strides:
        first = _at(address, (1,), None, code)
        return as_strided(first, shape, [step * first.itemsize for step in strides])
    kind: Any = ctypes.c_char * (prod(shape) * DTYPES[code].itemsize)
    return np.ndarray(shape, DTYPES[code], kind.from_address(address))


_CALLED: dict[int, Callable] = {}  # by id, for good: any tape may refer to one


@ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Array), ctypes.POINTER(_Array)
)
def _call(context: int | None, n: int, operands: Any, out: Any) -> bool:
    """`wg_host_fn`: calls a function with the operands, where they are, and writes its result to `out`."""
    try:
        function, target = _CALLED[context or 0], out[0].view()
        arrays = [operands[k].view() for k in range(n)]
        if function in FILLING:
            function(*arrays, out=target)
            return True
        result = np.asarray(function(*arrays))
        name = getattr(function, "__name__", function)
        if np.iscomplexobj(result) and target.dtype.kind != "c":
            raise TypeError(f"{name}: of real numbers it is complex here; pass a.astype(np.complex128)")
        if result.shape != target.shape:
            raise ValueError(f"{name}: the result has shape {result.shape}, not {target.shape} as declared")
        np.copyto(target, result, "same_kind")
        return True
    except BaseException as error:
        raised[get_ident()] = error
        return False


_ADDRESS = ctypes.cast(_call, ctypes.c_void_p).value


def call(function: Callable, *operands: Any, shape: tuple[int, ...], dtype: Any, stacks: bool = True) -> Var:
    """One host op: `function` of ndarrays with a result of a shape and dtype; a constant to derivatives.

    The function neither keeps nor changes its arrays, which are the program's: what users give takes copies.
    Functions that take no stacks of operands are called once for each element by `vmap`.
    """
    _CALLED.setdefault(id(function), function)
    attrs = _ADDRESS, id(function), dtype_code(dtype), stacks, SMALL.get(function, 0), *shape
    return append("host", *operands, attrs=attrs)


def files(table: dict[str, Callable], function: Any) -> Callable:
    """Files an implementation under a function of NumPy's and under its name in a namespace."""

    def file(implementation: Callable) -> Callable:
        module = "wengert.numpy.linalg" if table is LINALG else "wengert.numpy.fft"
        FUNCTIONS[function] = implementation
        table[function.__name__] = mirrored(function, implementation, module)
        return table[function.__name__]

    return file


def floating(a: Any) -> Any:
    """An array or a Var as one of floating point."""
    a = recorded(a)
    return a if a.dtype.kind in "fc" else a * 1.0


def dagger(a: Any) -> Any:
    """The last two axes exchanged."""
    return np.swapaxes(a, -1, -2)


def adjoint(a: Any) -> Any:
    """The last two axes exchanged, and conjugated."""
    return dagger(a).conj()
