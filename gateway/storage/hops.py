"""Programs that read share the way into a connection's thread, and there whatever they have in common.

The way in and back costs more than a small statement, and so does every change of hands of the interpreter's lock. So
all that wait when a thread comes free go in together: what several ask in the same words is read once, and rows that
several look for by id are looked for at once. One thread does it all while it is quick. Where something waits longer,
the next thread helps; and nobody holds on to a thread while others wait that might have another.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol, TypeVar

from gateway.storage.engine import Program, Rows
from gateway.storage.statements import Command, PointQuery, Sharing

T = TypeVar("T")

_MOST_PROGRAMS = 8
_PATIENCE_SECONDS = 0.002


class Thread(Protocol):
    """The thread of a connection."""

    async def call(self, function: Any, *args: Any) -> Any:
        """Call a function with the connection, in there."""
        ...


class ReadingConnection(sqlite3.Connection):
    """Reads for one program after the other, and stops in the middle of a statement that nobody waits for any more.

    SQLite asks in its own thread, between two steps of the statement that runs. So it is always the right one that
    ends, which `interrupt` from another thread could not promise where programs share a hop.
    """

    steps_between_looks = 200_000
    """Some milliseconds: no statement of a common size is ever asked about."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcome: asyncio.Future[Any] | None = None
        self.set_progress_handler(self._is_unwanted, self.steps_between_looks)
        self.execute("PRAGMA query_only = ON")
        self.execute("PRAGMA temp_store = MEMORY")
        self.execute("PRAGMA mmap_size = 1073741824")

    def read(self, command: Command, times: int = 1) -> Rows:  # noqa: ARG002 - it may take as long as it takes
        """The rows that a command gives, which stands for so many."""
        return execute(self, command)

    def _is_unwanted(self) -> bool:
        return self.outcome is not None and self.outcome.cancelled()


class Waiting:
    """A program that waits to be run, and whoever waits for what becomes of it."""

    __slots__ = ("commands", "future", "is_over", "outcome", "program")

    def __init__(self, program: Program[Any], future: "asyncio.Future[Any]") -> None:
        self.program = program
        self.future = future
        self.commands: Sequence[Command] | None = None
        """What it asks next, once it was begun."""
        self.is_over = False
        """Whether it has ended without asking anything; it cannot be begun again."""
        self.outcome: Any = None


class Readers:
    """Runs programs in the threads of some connections."""

    def __init__(self, threads: Sequence[Thread]) -> None:
        self._idle = list(threads)[::-1]
        self._most = len(threads)
        self._waiting: deque[Waiting] = deque()
        self._looking: asyncio.TimerHandle | None = None
        self._draining: set[asyncio.Task[None]] = set()

    def run(self, program: Program[T]) -> "asyncio.Future[T]":
        """What a program comes to."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.take(Waiting(program, future))
        return future

    def take(self, waiting: Waiting) -> None:
        """Run a program that waits, begun or not."""
        self._waiting.append(waiting)
        if len(self._idle) == self._most:
            self._drain_in(self._idle.pop())
        elif self._looking is None and self._idle:
            self._looking = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._help)

    def _help(self) -> None:
        """Let one more thread do what has waited for so long."""
        self._looking = None
        if self._waiting and self._idle:
            self._drain_in(self._idle.pop())

    def _drain_in(self, thread: Thread) -> None:
        task = asyncio.create_task(self._drain(thread))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _drain(self, thread: Thread) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_PROGRAMS))]
            outcomes = await self._outcomes(thread, taken)
            self._waiting.extendleft(reversed(taken[len(outcomes) :]))
            for one, outcome in zip(taken, outcomes, strict=False):
                tell(one.future, outcome)
        self._idle.append(thread)

    async def _outcomes(self, thread: Thread, taken: list[Waiting]) -> list[Any]:
        try:
            outcomes: list[Any] = await thread.call(run_some, taken)
        except Exception as error:  # noqa: BLE001 - the connection is gone; each is told so
            return [error] * len(taken)
        return outcomes


def tell(future: "asyncio.Future[Any]", outcome: Any) -> None:
    """Let whoever waits know what became of a program."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def run_some(connection: ReadingConnection, waiting: list[Waiting]) -> list[Any]:
    """What becomes of programs that were all waiting: of as many as are done in a moment, but of one at the least.

    Those that are done stand in front, then.
    """
    hop = _Hop(connection)
    hop.begin(waiting)
    ends_at = perf_counter() + _PATIENCE_SECONDS
    outcomes = []
    for one in waiting:
        outcomes.append(hop.outcome(one))
        if perf_counter() > ends_at:
            break
    return outcomes


class _Hop:
    """What is read while programs have the connection's thread."""

    def __init__(self, connection: ReadingConnection) -> None:
        self._connection = connection
        self._known: dict[Hashable, Rows] = {}

    def begin(self, waiting: list[Waiting]) -> None:
        """Let programs ask their first questions; all rows that several look for by id are asked for at once."""
        ids: dict[PointQuery, set[str]] = {}
        for one in waiting:
            for command in self._first(one):
                if command.sharing is not None:
                    ids.setdefault(command.sharing.query, set()).add(command.sharing.id)
        self._connection.outcome = None
        for query, together in ids.items():
            if len(together) > 1:
                # Whatever goes wrong, each finds out for itself.
                with suppress(sqlite3.Error):
                    self._read_together(query, together)

    def _first(self, one: Waiting) -> Iterable[Command]:
        if one.commands is None and not one.is_over:
            try:
                one.commands = next(one.program)
            except StopIteration as stop:
                one.is_over, one.outcome = True, stop.value
            except Exception as error:  # noqa: BLE001 - it is raised where the program is awaited
                one.is_over, one.outcome = True, error
        return one.commands or ()

    def _read_together(self, query: PointQuery, ids: Collection[str]) -> None:
        found = {row[0]: [row] for row in self._connection.read(query.together([*ids]), len(ids))}
        for id_ in ids:
            self._known[Sharing(query, id_)] = found.get(id_, ())

    def outcome(self, one: Waiting) -> Any:
        """What becomes of a program in the end: a result, or an error."""
        if one.commands is None:
            return one.outcome
        self._connection.outcome = one.future
        try:
            while True:
                one.commands = one.program.send([self._read(command) for command in one.commands])
        except StopIteration as stop:
            return stop.value
        except Exception as error:  # noqa: BLE001 - as above
            return error

    def _read(self, command: Command) -> Rows:
        asked = command.sharing or (command.sql, command.values)
        rows = self._known.get(asked)
        if rows is None:
            rows = self._known[asked] = self._connection.read(command)
        return rows


def finish(execute: Callable[[Command], Rows], program: Program[T], commands: Sequence[Command]) -> T:
    """Run a program from its first questions to its end."""
    try:
        while True:
            commands = program.send([execute(command) for command in commands])
    except StopIteration as stop:
        outcome: T = stop.value
        return outcome


def execute(connection: sqlite3.Connection, command: Command) -> Rows:
    """The rows that a command gives."""
    if command.many:
        connection.executemany(command.sql, command.values)
        return ()
    return connection.execute(command.sql, command.values).fetchall()
