"""Operations that exceed their time, or whose client is gone, are stopped down to the database."""

import asyncio
from typing import Any, TypeVar

from starlette.types import Receive

from schema.errors import Abandoned, TimedOut
from schema.store import Level, Program, Store

T = TypeVar("T")

WATCHED_AFTER_SECONDS = 0.1
"""Younger operations are not watched: most end before, and so cost no more than an entry in a set."""

_SECONDS_TO_STOP = 1.0


class Timeouts:
    """Gives each operation a store that can be stopped, and watches those that take long."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._reading: set[_Operation] = set()
        self._look_again: asyncio.TimerHandle | None = None

    def store(self, receive: Receive) -> Store:
        """A store for one operation; `receive` tells when its client disconnects."""
        return _Operation(self, self._store, receive, self._seconds)

    def add(self, operation: "_Operation") -> None:
        """Begin to watch an operation."""
        self._reading.add(operation)
        if self._look_again is None:
            self._look_again = asyncio.get_running_loop().call_later(WATCHED_AFTER_SECONDS, self._look)

    def remove(self, operation: "_Operation") -> None:
        """Watch an operation no longer."""
        self._reading.discard(operation)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for operation in self._reading:
            if operation.began_at <= loop.time() - WATCHED_AFTER_SECONDS:
                operation.watch()
        self._look_again = loop.call_later(WATCHED_AFTER_SECONDS, self._look) if self._reading else None


class _Operation:
    """The store of one operation. Several of its tasks may read, one at a time; all of them are stopped together."""

    def __init__(self, timeouts: Timeouts, store: Store, receive: Receive, seconds: float) -> None:
        self.began_at = asyncio.get_running_loop().time()
        self._timeouts = timeouts
        self._store = store
        self._receive = receive
        self._seconds = seconds
        self._reading: dict[asyncio.Task[Any], int] = {}
        self._alone = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._stopped: type[TimedOut] | None = None

    async def run(self, program: Program[T], levels: list[Level] | None = None) -> T:
        """Run a program of reads, unless the operation is stopped."""
        if self._stopped is not None:
            raise self._stopped
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        self._begin(task)
        try:
            # One turn is one connection, however many reads the operation asks for at once.
            async with self._alone:
                return await self._store.run(program, levels)
        except BaseException as error:
            if (reason := self._reason_to_end(task)) is not None:
                raise reason from error
            raise
        finally:
            self._end(task)

    def _begin(self, task: asyncio.Task[Any]) -> None:
        if not self._reading:
            self._timeouts.add(self)
        self._reading[task] = 0

    def _end(self, task: asyncio.Task[Any]) -> None:
        del self._reading[task]
        if not self._reading:
            self._timeouts.remove(self)
            if self._watching is not None:
                self._watching.cancel()
                self._watching = None

    def _reason_to_end(self, task: asyncio.Task[Any]) -> type[TimedOut] | None:
        """Why this operation was stopped; None if something else has cancelled the task as well."""
        for _ in range(self._reading[task]):
            task.uncancel()
        return None if task.cancelling() else self._stopped

    def watch(self) -> None:
        """Stop the operation once its time is over or its client gone."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        self._stopped = await self._reason_to_stop()
        while True:
            for task in self._reading:
                task.cancel()
                self._reading[task] += 1
            # A database that hangs does not end its statement either: cancelled again, the task waits no longer.
            await asyncio.sleep(_SECONDS_TO_STOP)

    async def _reason_to_stop(self) -> type[TimedOut]:
        try:
            async with asyncio.timeout_at(self.began_at + self._seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return TimedOut
        return Abandoned
