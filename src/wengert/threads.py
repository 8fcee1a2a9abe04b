"""The pool of threads under threadpoolctl's control, where that package is used."""

import sys
from functools import cache
from typing import Any

from ._version import __version__

__all__ = ["register"]


@cache
def register() -> None:
    """Lets `threadpoolctl.threadpool_limits` and `threadpool_info` see the pool, as the library "wengert".

    It is done without being asked for when a name of `wengert` is first used, if threadpoolctl has been
    imported by then.

    Examples
    --------
    >>> import threadpoolctl, wengert as wg
    >>> with threadpoolctl.threadpool_limits(1, user_api="wengert"):
    ...     wg.get_num_threads()
    1
    """
    threadpoolctl: Any = sys.modules["threadpoolctl"]

    class Controller(threadpoolctl.LibController):
        """Calls the C functions behind `wengert.get_num_threads` and `set_num_threads`."""

        user_api = internal_api = "wengert"
        filename_prefixes = ("_core",)
        check_symbols = ("wg_get_num_threads", "wg_set_num_threads")

        def get_num_threads(self):
            return self.dynlib.wg_get_num_threads()

        def set_num_threads(self, num_threads):
            return self.dynlib.wg_set_num_threads(num_threads)

        def get_version(self):
            return __version__

    threadpoolctl.register(Controller)
