"""Progress of long work, on standard error: a bar on a terminal, otherwise an occasional line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.commands.terminal import hint

SECONDS_BETWEEN_LINES = 10

Report: TypeAlias = Callable[[int], None]
"""Takes the amount that is done so far."""


@contextmanager
def progress(name: str, total: int | None, unit: str = "bytes") -> Iterator[Report]:
    """Show how much of a total is done, while the context is open.

    Args:
        name: What is being processed.
        total: How much there is to do, or None if that is unknown.
        unit: The unit of the amounts.
    """
    if not sys.stderr.isatty():
        yield _lines(name, total, unit)
        return
    count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    # Without markup: a name may look like it.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(name: str, total: int | None, unit: str) -> Report:
    told = monotonic()

    def report(done: int) -> None:
        nonlocal told
        if monotonic() - told >= SECONDS_BETWEEN_LINES:
            told = monotonic()
            of = "" if total is None else f" of {total}"
            hint(f"{name}: {done}{of} {unit}")

    return report
