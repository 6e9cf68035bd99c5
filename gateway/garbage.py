"""How often Python's garbage collector runs while requests are served."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (5_000, 10, 100)
"""New objects before the youngest generation is collected; collections of it before the next one's; and of that before
all are (https://docs.python.org/3/library/gc.html#gc.set_threshold)."""


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Make collections rare, and never look through what exists by now: it lasts as long as the process.

    Requests leave no reference cycles, unless graphql-core refuses or interprets them. Connections last, and to look
    through thousands of them takes longer than many an answer.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
