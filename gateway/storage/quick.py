"""Quick statements are read in the event loop itself, all others in a thread.

SQLite answers most statements faster than a hop into a thread and back takes, or a handover of the interpreter's lock.
So all programs that come in one turn of the loop are run at the next, over a connection that gives up on a statement
after some thousand steps: that is started again in a thread, and so are the next ones with the same SQL, also where one
had to wait for the disk. A statement that fails here is left to a thread as well, to succeed there or to raise there.
"""

import asyncio
import sqlite3
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from gateway.storage.engine import Program, Rows
from gateway.storage.hops import Readers, ReadingConnection, Waiting, run_some, tell
from gateway.storage.statements import Command

T = TypeVar("T")

_LOOKS = 5
"""Progress callbacks until a statement is not quick; there is one every thousand steps, some 50 µs."""
_SECONDS = 0.005
"""A statement that took longer is not quick either: it waited for the disk."""
_NEXT_ONES = 64
_LONG_KEPT = 256


class NotQuick(sqlite3.Error):
    """A statement that does not belong in the event loop."""


class QuickConnection(ReadingConnection):
    """Reads what is quick, and gives up on all else."""

    steps_between_looks = 1_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looks_left = 0
        self._long: dict[str, int] = {}
        """SQL that was not quick, and how many more times it is not even tried."""

    def read(self, command: Command, times: int = 1) -> Rows:
        """The rows of a command, which stands for so many commands.

        Raises:
            NotQuick: the same SQL was not quick lately.
            sqlite3.OperationalError: it was interrupted, since it takes too long.
        """
        if command.sql in self._long:
            self._pass_over(command.sql)
        self._looks_left = _LOOKS * times
        began = perf_counter()
        try:
            return super().read(command)
        finally:
            if self._looks_left < 0 or perf_counter() - began > _SECONDS:
                self._note(command.sql)

    def pause(self) -> None:
        """Let a program that has worked for long go on elsewhere.

        Raises:
            NotQuick: always.
        """
        raise NotQuick

    def _is_unwanted(self) -> bool:
        self._looks_left -= 1
        return self._looks_left < 0

    def _note(self, sql: str) -> None:
        if len(self._long) >= _LONG_KEPT:
            del self._long[next(iter(self._long))]
        self._long[sql] = _NEXT_ONES

    def _pass_over(self, sql: str) -> None:
        self._long[sql] -= 1
        if not self._long[sql]:
            del self._long[sql]
        raise NotQuick


class QuickReaders:
    """Runs programs in the event loop while they are quick, and then by other readers."""

    def __init__(self, path: Path, others: Readers) -> None:
        self._path = path
        self._others = others
        self._arrived: list[Waiting] = []
        self._connection: QuickConnection | None = None

    def open(self) -> None:
        """Open the connection, in the thread of the event loop."""
        address = f"file:{self._path}?mode=ro"
        # No timeout: a program that has to wait for a lock does so in a thread.
        self._connection = sqlite3.connect(address, uri=True, timeout=0, isolation_level=None, factory=QuickConnection)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def run(self, program: Program[T]) -> "asyncio.Future[T]":
        """Run a program; the future has its outcome."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._arrived.append(Waiting(program, future))
        if len(self._arrived) == 1:
            loop.call_soon(self._read)
        return future

    def _read(self) -> None:
        arrived, self._arrived = self._arrived, []
        assert self._connection is not None  # noqa: S101 - it is open while there are readers
        outcomes = run_some(self._connection, arrived)
        for one, outcome in zip(arrived, outcomes, strict=False):
            if isinstance(outcome, sqlite3.Error):
                # Its frames refer to `outcomes`: only the garbage collector would free all of them.
                outcome.__traceback__ = None
                self._others.take(one)
            else:
                tell(one.future, outcome)
        for one in arrived[len(outcomes) :]:
            if one.is_over:
                tell(one.future, one.outcome)
            else:
                self._others.take(one)
