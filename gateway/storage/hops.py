"""Programs that read share hops into a connection's thread, and there the statements that they have in common.

A hop into a thread and back costs more than a small statement, and so does every handover of the interpreter's lock. So
all programs that wait when a thread comes free go in together: a statement that several ask is run once, and rows that
several look up by id are read together. One thread does everything while that is quick; where something waits longer,
the next thread helps. No program keeps a thread for long while others wait that could have another.
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
    """Reads for one program after another, and stops in the middle of a statement that nobody waits for any longer.

    SQLite calls the progress handler in the connection's thread, between two steps of the running statement. So the
    right statement ends, which `interrupt` from another thread could not promise where programs share a hop.
    """

    steps_between_looks = 200_000
    """Some milliseconds: statements of common size end before the handler is called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outcome: asyncio.Future[Any] | None = None
        self.on_progress: Callable[[], None] | None = None
        """What is called, if anything, in the middle of a long statement."""
        self.set_progress_handler(self._is_unwanted, self.steps_between_looks)
        self.execute("PRAGMA query_only = ON")
        self.execute("PRAGMA temp_store = MEMORY")
        self.execute("PRAGMA mmap_size = 1073741824")

    def read(self, command: Command, times: int = 1) -> Rows:  # noqa: ARG002 - it may take as long as it takes
        """The rows of a command, which stands for so many commands."""
        return execute(self, command)

    def pause(self) -> None:
        """Let a program go on that has worked for long: nobody waits for this thread but who reads."""

    def _is_unwanted(self) -> bool:
        if self.on_progress is not None:
            self.on_progress()
        return self.outcome is not None and self.outcome.cancelled()


class Waiting:
    """A program that waits to be run, and the future of its outcome."""

    __slots__ = ("commands", "future", "is_over", "outcome", "program")

    def __init__(self, program: Program[Any], future: "asyncio.Future[Any]") -> None:
        self.program = program
        self.future = future
        self.commands: Sequence[Command] | None = None
        """The commands that it yielded last; None before it has begun."""
        self.is_over = False
        """Whether it ended without any command, with `outcome`."""
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
        """Run a program; the future has its outcome."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.take(Waiting(program, future))
        return future

    def take(self, waiting: Waiting) -> None:
        """Run a waiting program, which may have begun already."""
        self._waiting.append(waiting)
        if len(self._idle) == self._most:
            self._drain_in(self._idle.pop())
        else:
            self._look_soon()

    def _look_soon(self) -> None:
        """Let one more thread help in a moment, if there is one."""
        if self._looking is None and self._idle:
            self._looking = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._help)

    def _help(self) -> None:
        """Let one more thread take what still waits."""
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
            if self._waiting:
                self._look_soon()
            outcomes = await self._outcomes(thread, taken)
            self._waiting.extendleft(reversed(taken[len(outcomes) :]))
            for one, outcome in zip(taken, outcomes, strict=False):
                tell(one.future, outcome)
        self._idle.append(thread)

    def _take_back(self, left: list[Waiting]) -> None:
        """Let another thread run what waits behind something long."""
        self._waiting.extendleft(reversed(left))
        if self._idle:
            self._drain_in(self._idle.pop())

    async def _outcomes(self, thread: Thread, taken: list[Waiting]) -> list[Any]:
        loop = asyncio.get_running_loop()

        def hand_back(left: list[Waiting]) -> None:
            loop.call_soon_threadsafe(self._take_back, left)

        try:
            outcomes: list[Any] = await thread.call(run_some, taken, hand_back)
        except Exception as error:  # noqa: BLE001 - the connection is gone; each program gets the error
            return [error] * len(taken)
        return outcomes


def tell(future: "asyncio.Future[Any]", outcome: Any) -> None:
    """Settle the future of a program, unless it was cancelled."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def run_some(
    connection: ReadingConnection, waiting: list[Waiting], hand_back: Callable[[list[Waiting]], object] | None = None
) -> list[Any]:
    """Run waiting programs for a moment, and at least one; return the outcomes of those that were run, in order.

    Args:
        connection: What they read from.
        waiting: The programs; those that are handed back are taken out.
        hand_back: What is called with those that ask something else, if a statement is still running then.
    """
    hop = _Hop(connection)
    hop.begin(waiting)
    ends_at = perf_counter() + _PATIENCE_SECONDS
    outcomes: list[Any] = []

    def hand_over() -> None:
        asked, following = waiting[len(outcomes)].commands, waiting[len(outcomes) + 1 :]
        if hand_back is not None and perf_counter() > ends_at and any(one.commands != asked for one in following):
            waiting[len(outcomes) + 1 :] = [one for one in following if one.commands == asked]
            hand_back([one for one in following if one.commands != asked])

    if hand_back is not None:
        connection.on_progress = hand_over
    try:
        for one in waiting:
            if outcomes and perf_counter() > ends_at and not hop.has_read(one):
                break
            outcomes.append(hop.outcome(one))
    finally:
        connection.on_progress = None
    return outcomes


class _Hop:
    """One hop into the connection's thread, and the rows that its programs share."""

    def __init__(self, connection: ReadingConnection) -> None:
        self._connection = connection
        self._known: dict[Hashable, Rows] = {}

    def begin(self, waiting: list[Waiting]) -> None:
        """Begin all programs, and read the rows together that several of them look up by id."""
        ids: dict[PointQuery, set[str]] = {}
        for one in waiting:
            for command in self._first(one):
                if command.sharing is not None:
                    ids.setdefault(command.sharing.query, set()).add(command.sharing.id)
        self._connection.outcome = None
        for query, together in ids.items():
            if len(together) > 1:
                # If that fails, each program reads for itself and gets its own error.
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

    def has_read(self, one: Waiting) -> bool:
        """Whether the rows that a program asks for are there."""
        return all((command.sharing or (command.sql, command.values)) in self._known for command in one.commands or ())

    def _read_together(self, query: PointQuery, ids: Collection[str]) -> None:
        found = {row[0]: [row] for row in self._connection.read(query.together([*ids]), len(ids))}
        for id_ in ids:
            self._known[Sharing(query, id_)] = found.get(id_, ())

    def outcome(self, one: Waiting) -> Any:
        """Run a program to its end: its result, or the exception that it raised."""
        if one.commands is None:
            return one.outcome
        self._connection.outcome = one.future
        try:
            while True:
                if not one.commands:
                    self._connection.pause()
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
    """Run a program to its end, from the commands that it yielded first."""
    try:
        while True:
            commands = program.send([execute(command) for command in commands])
    except StopIteration as stop:
        outcome: T = stop.value
        return outcome


def execute(connection: sqlite3.Connection, command: Command) -> Rows:
    """The rows of a command."""
    if command.many:
        connection.executemany(command.sql, command.values)
        return ()
    return connection.execute(command.sql, command.values).fetchall()
