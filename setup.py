"""Builds wengert._core: the Cython binding and the whole C core in one extension.  See pyproject.toml."""

import os
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent


def files(folder: str, *patterns: str) -> list[str]:
    """The matching files below a folder, relative to this one and in an order that is the same everywhere."""
    found = (path for pattern in patterns for path in (ROOT / folder).rglob(pattern))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


# -g0 keeps the installed size small.  No -march: the kernels choose their instruction set at run time.
# No -ffast-math: it would change the caller's floating-point mode.  Contraction is off: a multiply-add fuses
# only where the code says so, and results are the same with every compiler.
FLAGS = ["-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]
if os.environ.get("WENGERT_DEV"):
    # Cython writes helpers that a module may leave unused, and casts between function types by design.
    FLAGS += ["-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-cast-function-type"]

core = Extension(
    "wengert._core",
    sources=["src/wengert/_core.pyx", *files("csrc", "*.c")],
    # Whatever a source includes: a change in any of these rebuilds the extension.
    depends=files("csrc", "*.h", "*.inc", "*.def") + files("src", "*.pxd", "*.pxi"),
    include_dirs=["csrc", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_compile_args=FLAGS,
    extra_link_args=["-pthread"],
)

setup(ext_modules=cythonize([core]))
