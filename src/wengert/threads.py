"""The pool of threads under threadpoolctl's control, where that package is used."""

import sys
from functools import cache
from typing import Any

from ._version import __version__

__all__ = ["Controller", "register"]


class Controller:
    """What threadpoolctl asks of a library: calls of the C functions that `wengert._core` shows."""

    user_api = internal_api = "wengert"
    filename_prefixes = ("_core",)
    check_symbols = ("wg_get_num_threads", "wg_set_num_threads")
    dynlib: Any

    def get_num_threads(self) -> int:
        return self.dynlib.wg_get_num_threads()

    def set_num_threads(self, num_threads: int) -> int:
        return self.dynlib.wg_set_num_threads(num_threads)

    def get_version(self) -> str:
        return __version__


@cache
def register() -> None:
    """Lets `threadpoolctl.threadpool_limits` and `threadpool_info` see the pool, as the library "wengert".

    It is done without being asked for when a name of `wengert` is first used, if threadpoolctl has been
    imported by then.

    Examples
    --------
    >>> import threadpoolctl, wengert as wg
    >>> register()
    >>> with threadpoolctl.threadpool_limits(1, user_api="wengert"):
    ...     wg.get_num_threads()
    1
    """
    threadpoolctl = sys.modules["threadpoolctl"]
    threadpoolctl.register(type("Controller", (Controller, threadpoolctl.LibController), {}))
