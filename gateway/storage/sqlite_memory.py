"""SQLite need not count its memory.

It counts every allocation under one lock of the whole process, and nobody here asks for the count. Threads that read at
the same time would wait for each other at that lock many times in each response.
"""

import _sqlite3
import ctypes
from functools import cache

_MEMSTATUS = 9
"""`SQLITE_CONFIG_MEMSTATUS` (https://www.sqlite.org/c3ref/c_config_covering_index_scan.html)."""


@cache
def count_no_memory() -> None:
    """Let the SQLite of this process count no allocations from now on, if no database is open yet.

    Python's `sqlite3` cannot configure its library (https://www.sqlite.org/c3ref/config.html), but the library can be
    found through it. Where it cannot, it goes on counting.
    """
    try:
        # Without a file of its own the module is a part of the interpreter, and so is the library.
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        used, shutdown, config, initialize = (
            getattr(library, f"sqlite3_{name}") for name in ("memory_used", "shutdown", "config", "initialize")
        )
    except (OSError, AttributeError):
        return
    used.restype = ctypes.c_int64
    # What follows is variadic, and some platforms pass that differently.
    config.argtypes = [ctypes.c_int]
    # It may be configured only between these two, and an open database does not survive the first.
    if not used():
        shutdown()
        config(_MEMSTATUS, 0)
        initialize()
