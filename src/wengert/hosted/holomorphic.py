"""Elementwise functions of complex numbers that the core has of real ones only.

NumPy and SciPy compute them; their derivatives hold for its branches (DLMF 4.24, 4.38).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import numpy as wnp
from ..extras import require
from ..protocols.registry import OPS
from . import call, custom_jvp


def _of_scipy(name: str) -> Any:
    return lambda z: getattr(require("scipy.special", f"{name} of complex numbers"), name)(z)


SLOPES = {
    "asin": (np.arcsin, lambda y, z: 1.0 / wnp.sqrt(1.0 - z * z)),
    "acos": (np.arccos, lambda y, z: -1.0 / wnp.sqrt(1.0 - z * z)),
    "atan": (np.arctan, lambda y, z: 1.0 / (1.0 + z * z)),
    "asinh": (np.arcsinh, lambda y, z: 1.0 / wnp.sqrt(1.0 + z * z)),
    "acosh": (np.arccosh, lambda y, z: 1.0 / (wnp.sqrt(z - 1.0) * wnp.sqrt(z + 1.0))),
    "atanh": (np.arctanh, lambda y, z: 1.0 / (1.0 - z * z)),
    "exp2": (np.exp2, lambda y, z: y * math.log(2)),
    "expm1": (np.expm1, lambda y, z: y + 1.0),
    "log1p": (np.log1p, lambda y, z: 1.0 / (1.0 + z)),
    "log2": (np.log2, lambda y, z: 1.0 / (z * math.log(2))),
    "log10": (np.log10, lambda y, z: 1.0 / (z * math.log(10))),
    "erf": (_of_scipy("erf"), lambda y, z: 2.0 / math.sqrt(math.pi) * wnp.exp(-z * z)),
    "erfc": (_of_scipy("erfc"), lambda y, z: -2.0 / math.sqrt(math.pi) * wnp.exp(-z * z)),
}


def _hosted(function: Any, slope: Any) -> Any:
    @custom_jvp
    def primitive(z):
        return call(function, z, shape=z.shape, dtype=z.dtype)

    @primitive.defjvp
    def _(primals, tangents):
        y = primitive(*primals)
        return y, slope(y, *primals) * tangents[0]

    return primitive


def _sinc(z: Any) -> Any:
    zero = z == 0
    angle = np.pi * wnp.where(zero, 1.0, z)
    return wnp.where(zero, 1.0 - (np.pi * z) ** 2 / 6.0, wnp.sin(angle) / angle)


def _rint(z: Any) -> Any:
    return wnp.rint(z.real) + 1j * wnp.rint(z.imag)


OF_COMPLEX = {OPS[name]: _hosted(*row) for name, row in SLOPES.items()}
OF_COMPLEX |= {OPS["sinc"]: _sinc, OPS["rint"]: _rint}
