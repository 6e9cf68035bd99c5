"""The SQLite engine: several reading connections and one that writes, each with its own thread."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from databases import Database
from databases.backends.sqlite import SQLiteBackend, SQLitePool

from gateway.storage.dialects import SQLITE
from gateway.storage.engine import Damaged, DatabaseError, OtherTables, Program, Transaction
from gateway.storage.hops import Readers, ReadingConnection, execute, finish
from gateway.storage.patience import ANSWER_SECONDS
from gateway.storage.quick import QuickReaders
from gateway.storage.sqlite_memory import count_no_memory
from gateway.storage.write_lock import WriteLock
from schema.errors import Unavailable

T = TypeVar("T")

APPLICATION_ID = 0x4C45414B
"""Identifies a file of this application in its header: `LEAK` in ASCII
(https://www.sqlite.org/fileformat.html, 1.3.18)."""

BUSY_TIMEOUT_SECONDS = 5.0
TURN_SECONDS = 60.0
"""How long an administrative command waits for other writers: concurrent imports take turns, batch by batch."""
LAST_WRITE_SECONDS = 10.0
"""How long a process waits for its last write: another one may be writing, or the disk may be slow."""
ANALYZED_ROWS = 1000
_PRIMARY_CODE = 0xFF
"""The bits of an extended result code that are its primary code (https://www.sqlite.org/rescode.html)."""

logger = logging.getLogger(__name__)


class _WritingConnection(sqlite3.Connection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = FULL")
        self.execute("PRAGMA foreign_keys = ON")
        self.execute("PRAGMA cache_size = -65536")


class _Pool(SQLitePool):
    async def acquire(self) -> aiosqlite.Connection:
        """Open a connection with a daemon thread, which ends with the process even if the disk hangs."""
        connection = aiosqlite.connect(self._database, isolation_level=None, **self._options)
        # aiosqlite has no public API for this; SQLAlchemy does the same.
        connection._thread.daemon = True  # noqa: SLF001
        return await connection


class _Backend(SQLiteBackend):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pool = _Pool(self._database_url, **self._options)


class _Database(Database):
    SUPPORTED_BACKENDS = {"sqlite": f"{__name__}:{_Backend.__name__}"}  # noqa: RUF012 - so `databases` has it


class _Held:
    """A connection that is opened, kept open and finally closed by one task."""

    def __init__(self, path: Path, factory: type[sqlite3.Connection], mode: str) -> None:
        self._database = _Database(
            f"sqlite:///file:{path}?mode={mode}", uri=True, factory=factory, timeout=BUSY_TIMEOUT_SECONDS
        )
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._raw: aiosqlite.Connection

    async def open(self) -> None:
        opened: asyncio.Future[aiosqlite.Connection] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(opened))
        self._raw = await opened

    async def _hold(self, opened: "asyncio.Future[aiosqlite.Connection]") -> None:
        try:
            async with self._database.connection() as connection:
                opened.set_result(connection.raw_connection)
                await self._closing.wait()
        except sqlite3.Error as error:
            opened.set_exception(error)

    async def close(self) -> None:
        self._closing.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def drop(self) -> None:
        """Stop waiting for the thread, which still closes the connection when it can."""
        while self._task is not None and not self._task.done():
            # If aiosqlite is cancelled while closing, it waits once more.
            self._task.cancel()
            await asyncio.sleep(0)

    async def call(self, function: Any, *args: Any) -> Any:
        """Call a function with the `sqlite3` connection, in the connection's thread.

        aiosqlite has no public API to run several statements in one hop.
        """
        return await self._raw._execute(function, self._raw._conn, *args)  # type: ignore[no-untyped-call]  # noqa: SLF001


class _Writer:
    def __init__(self, held: _Held) -> None:
        self._held = held

    async def run(self, program: Program[T]) -> T:
        outcome: T = await self._held.call(_run_writing, program)
        return outcome


class SQLiteEngine:
    """A SQLite database, through `databases`.

    Args:
        path: The file.
        readers: The number of connections that operations read from; there is one more for `glance`.
        turn_seconds: How long to wait for other writers.

    Attributes:
        is_damaged: Whether a statement has found it damaged since it was opened.
    """

    dialect = SQLITE

    def __init__(self, path: Path, readers: int = 2, turn_seconds: float = BUSY_TIMEOUT_SECONDS) -> None:
        self.is_damaged = False
        self._path = path
        self._held_readers = [_Held(path, ReadingConnection, "ro") for _ in range(readers + 1)]
        self._readers = QuickReaders(path, Readers(self._held_readers[1:]))
        # Separate: operations may occupy all their threads for long.
        self._glances = QuickReaders(path, Readers(self._held_readers[:1]))
        self._held_writer: _Held | None = None
        self._writing = asyncio.Lock()
        self._lock = WriteLock(path, turn_seconds)

    async def open(self) -> None:
        """Open the readers.

        Raises:
            DatabaseError: the file is missing, cannot be read, or belongs to another application.
        """
        if not self._path.is_file():
            raise DatabaseError(f"There is no database at {self._path}.")
        count_no_memory()
        try:
            for held in self._held_readers:
                await held.open()
            self._readers.open()
            self._glances.open()
            application_id = await self._held_readers[0].call(_read_application_id)
        except sqlite3.Error as error:
            await self.close()
            raise DatabaseError(f"{self._path} cannot be opened as a database: {error}.") from error
        if application_id != APPLICATION_ID:
            await self.close()
            raise DatabaseError(f"{self._path} is a database of something else; it is left as it is.")

    async def close(self) -> None:
        """Close every connection, after analyzing what was written; if the disk hangs, drop them."""
        self._readers.close()
        self._glances.close()
        if not await _is_over(self._close_readers(), ANSWER_SECONDS):
            logger.warning("The disk does not answer; connections that read are dropped")
            for held in self._held_readers:
                await held.drop()
        writer = self._held_writer
        if writer is not None:
            if not await _is_over(self._close_writer(writer), LAST_WRITE_SECONDS):
                logger.warning("The disk does not answer; the connection that writes is dropped")
                self._lock.keep()
                await writer.drop()
            self._held_writer = None

    async def _close_readers(self) -> None:
        await asyncio.gather(*(held.close() for held in self._held_readers))

    async def _close_writer(self, writer: _Held) -> None:
        # The last connection to close checkpoints; while another process writes, it is not this one.
        with suppress(Unavailable):
            async with self._lock.held(BUSY_TIMEOUT_SECONDS):
                if not self.is_damaged:
                    await writer.call(_analyze)
                await writer.close()
        await writer.close()

    async def run(self, program: Program[T]) -> T:
        """Run a program that reads."""
        return await self._run(self._readers, program)

    async def glance(self, program: Program[T]) -> T:
        """Run a program that reads little; if it is not quick, in a thread that operations do not use."""
        return await self._run(self._glances, program)

    async def _run(self, readers: QuickReaders, program: Program[T]) -> T:
        try:
            return await readers.run(program)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise Unavailable from error
            if not str(error).startswith(("no such table", "no such column")):
                raise
            logger.warning("%s does not have the tables that are read: %s", self._path, error)
            raise OtherTables from error
        except sqlite3.DatabaseError as error:
            self._refuse_damage(error)
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction that writes, unless the file is damaged."""
        if self.is_damaged:
            raise Damaged("it is not written to any more")
        async with self._writing, self._lock.held():
            held = await self._writer()
            try:
                # Inside the `try`, because the transaction begins even if the task is cancelled while waiting.
                await held.call(sqlite3.Connection.execute, "BEGIN IMMEDIATE")
                yield _Writer(held)
                await held.call(_commit)
            except BaseException as error:
                await held.call(_rollback)
                if isinstance(error, sqlite3.OperationalError):
                    raise Unavailable(f"The database cannot be written to: {error}.") from error
                self._refuse_damage(error)
                raise

    def _refuse_damage(self, error: BaseException) -> None:
        if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            self.is_damaged = True
            raise Damaged(str(error)) from error

    async def _writer(self) -> _Held:
        if self._held_writer is None:
            held = _Held(self._path, _WritingConnection, "rw")
            try:
                await held.open()
            except sqlite3.Error as error:
                raise Unavailable(f"The database cannot be written to: {error}.") from error
            self._held_writer = held
        return self._held_writer


async def _is_over(closing: Coroutine[Any, Any, None], seconds: float) -> bool:
    """Whether closing finishes in time; otherwise it continues in the background."""
    task = asyncio.create_task(closing)
    await asyncio.wait([task], timeout=seconds)
    if task.done():
        task.result()
    return task.done()


def _run_writing(connection: sqlite3.Connection, program: Program[T]) -> T:
    return finish(partial(execute, connection), program, next(program))


def _read_application_id(connection: sqlite3.Connection) -> int:
    application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return application_id


def _analyze(connection: sqlite3.Connection) -> None:
    """Give SQLite's planner statistics about the selectivity of each index column.

    Without them, it assumes that an organization has as few rows as a name, so that a filter by name reads all of them.
    A sample is enough (https://www.sqlite.org/lang_analyze.html, 3). If the database cannot be written to, the old
    statistics remain.
    """
    with suppress(sqlite3.Error):
        connection.execute(f"PRAGMA analysis_limit = {ANALYZED_ROWS}")
        connection.execute("ANALYZE")


def _commit(connection: sqlite3.Connection) -> None:
    # A full disk may roll back the transaction and let later statements succeed; COMMIT then fails.
    connection.execute("COMMIT")


def _rollback(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
