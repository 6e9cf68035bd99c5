"""What is quick is read in the event loop itself, and what is not goes on in a thread.

Most answers take SQLite less time than the way into a thread and back does, and than the interpreter's lock takes to
change hands. So all that ask at one turn of the loop are answered at the next, by a connection that gives up where a
statement is not done after some thousand steps, or the disk lets it wait: it is begun anew in a thread, and so are the
next ones that say the same. Whatever fails here is left to a thread as well, to succeed there or to tell.
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
"""After so many looks a statement is not quick; there is one every thousand steps, some 50 µs."""
_SECONDS = 0.005
"""Nor is it where the disk takes longer than this."""
_NEXT_ONES = 64
_LONG_KEPT = 256


class NotQuick(sqlite3.Error):
    """A statement that is not for the event loop."""


class QuickConnection(ReadingConnection):
    """Reads what takes no time, and gives up on all else."""

    steps_between_looks = 1_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looks_left = 0
        self._long: dict[str, int] = {}
        """How many times more each is not even tried."""

    def read(self, command: Command, times: int = 1) -> Rows:
        """The rows that a command gives.

        Raises:
            NotQuick: it takes too long for once, or did lately.
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
    """Runs programs in the event loop where they are quick, and else by other readers."""

    def __init__(self, path: Path, others: Readers) -> None:
        self._path = path
        self._others = others
        self._arrived: list[Waiting] = []
        self._connection: QuickConnection | None = None

    def open(self) -> None:
        """Open the connection, in the event loop that it is for."""
        address = f"file:{self._path}?mode=ro"
        # Whoever has to wait for a lock does so in a thread.
        self._connection = sqlite3.connect(address, uri=True, timeout=0, isolation_level=None, factory=QuickConnection)

    def close(self) -> None:
        """Close it."""
        if self._connection is not None:
            self._connection.close()

    def run(self, program: Program[T]) -> "asyncio.Future[T]":
        """What a program comes to."""
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
                self._others.take(one)
            else:
                tell(one.future, outcome)
        for one in arrived[len(outcomes) :]:
            if one.is_over:
                tell(one.future, one.outcome)
            else:
                self._others.take(one)
