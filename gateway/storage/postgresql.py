"""PostgreSQL: a pool of asyncpg connections, through `databases`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, cast

import asyncpg
from databases import Database

from gateway.storage.bounds import Bounds, settings_of
from gateway.storage.dialects import POSTGRESQL
from gateway.storage.engine import Damaged, DatabaseError, OtherTables, Program, Rows, Transaction
from gateway.storage.patience import ANSWER_SECONDS
from gateway.storage.roles import refuse_to_administer_in_part, refuse_to_serve_with_more
from gateway.storage.statements import Command
from schema.errors import Unavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)

KEPT_CONNECTIONS = 2
"""Connections beyond those for operations: for keys, readiness and writes."""

_GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.TransactionRollbackError,
)
"""Errors of a server that stops, starts, hangs, drops its connections or lets others go first."""

_OTHER_TABLES = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedTableError,
)

_UNWRITABLE = (asyncpg.InsufficientResourcesError, asyncpg.ReadOnlySQLTransactionError)
"""Errors of a server whose disk is full, or that is read-only."""

_CORRUPTED = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)


class _Connection:
    """Runs each statement within its bounds; the first with bounds opens a transaction for the rest of the program."""

    def __init__(self, raw: asyncpg.Connection) -> None:
        self._raw = raw
        self._bounds: Bounds = None
        self.has_bounds = False

    async def run(self, program: Program[T]) -> T:
        try:
            commands = next(program)
            while True:
                if not commands:
                    await asyncio.sleep(0)
                commands = program.send([await self._execute(command) for command in commands])
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome

    async def _execute(self, command: Command) -> Rows:
        if command.bounds != self._bounds:
            await self._enter(command.bounds)
        if command.many:
            await self._send_many(command)
            return ()
        return cast("Rows", await self._raw.fetch(command.sql, *command.values))

    async def _send_many(self, command: Command) -> None:
        """Send all rows even if the task is cancelled: asyncpg, cancelled between two chunks, would wait for ever."""
        sending = asyncio.create_task(self._send(command))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.gather(sending, return_exceptions=True)
            raise

    async def _send(self, command: Command) -> None:
        """Send rows while the connection lasts: asyncpg would wait for ever to write to one that is lost."""
        sending = asyncio.current_task()
        assert sending is not None  # noqa: S101 - coroutines run in tasks

        def stop(_connection: object) -> None:
            sending.cancel()

        self._raw.add_termination_listener(stop)
        try:
            await self._raw.executemany(command.sql, command.values)
        except asyncio.CancelledError as error:
            raise asyncpg.ConnectionDoesNotExistError from error
        finally:
            # A lost connection has no listeners any longer, and any call of it raises this.
            with suppress(asyncpg.InterfaceError):
                self._raw.remove_termination_listener(stop)

    async def _enter(self, bounds: Bounds) -> None:
        begin = "" if self._raw.is_in_transaction() else "BEGIN READ ONLY; "
        self.has_bounds = True
        await self._raw.execute(begin + settings_of(bounds))
        self._bounds = bounds


class PostgreSQLEngine:
    """An open PostgreSQL database, either to serve from in a role that may do just that, or to administer.

    Args:
        url: Where it is.
        pool_size: The most connections.
        serving_role: The role to serve as; None to administer.
        statement_seconds: How long the server lets a statement run, even where nobody is left to cancel it.

    Attributes:
        is_damaged: Whether a statement has met damage since it was opened.
    """

    dialect = POSTGRESQL

    def __init__(
        self,
        url: str,
        pool_size: int = 10,
        serving_role: str | None = None,
        statement_seconds: float | None = None,
    ) -> None:
        self.is_damaged = False
        # Settings of the connection itself cost nothing later, and RESET and DISCARD restore them.
        settings = {} if serving_role is None else {"role": serving_role}
        if statement_seconds is not None:
            settings["statement_timeout"] = f"{statement_seconds * 1000:.0f}"
        self._database = Database(
            url,
            min_size=1,
            max_size=pool_size,
            init=_speak_text,
            reset=_leave,
            timeout=5,
            # If the server has not ended the statement by then, the connection has gone silent and is dropped.
            command_timeout=None if statement_seconds is None else statement_seconds + ANSWER_SECONDS,
            server_settings=settings,
        )
        self._serving_role = serving_role
        self._check = refuse_to_administer_in_part if serving_role is None else refuse_to_serve_with_more

    async def open(self) -> None:
        """Open the pool.

        Raises:
            DatabaseError: the server cannot be reached or does not let us in, or the role is not right.
        """
        try:
            await self._database.connect()
        except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as error:
            raise _cannot_serve(self._serving_role, error) from error
        except (*_GONE, asyncpg.PostgresError) as error:
            raise DatabaseError(f"PostgreSQL cannot be reached: {error}.") from error
        try:
            await self._check(self)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection; those of a server that hangs are dropped."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._database.disconnect()
        except TimeoutError:
            logger.warning("PostgreSQL does not answer; its connections are dropped")

    async def run(self, program: Program[T]) -> T:
        """Run a program that reads, in one transaction where its statements have bounds."""
        try:
            async with self._connected() as raw:
                running = _Connection(raw)
                try:
                    return await running.run(program)
                finally:
                    if running.has_bounds:
                        await raw.execute("COMMIT")
        except _OTHER_TABLES as error:
            logger.warning("PostgreSQL does not have the tables that are read: %s", error)
            raise OtherTables from error

    async def glance(self, program: Program[T]) -> T:
        """Run a program that reads little, over one of the connections that no operation takes (`KEPT_CONNECTIONS`)."""
        return await self.run(program)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction that writes; a database that is damaged is left as it is."""
        if self.is_damaged:
            raise Damaged("it is not written to any more")
        try:
            async with self._connected() as raw, raw.transaction():
                yield _Connection(raw)
        except _UNWRITABLE as error:
            raise Unavailable(f"The database cannot be written to: {error}.") from error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            async with self._database.connection() as connection:
                raw = cast("asyncpg.Connection", connection.raw_connection)
                try:
                    yield raw
                except _GONE:
                    # Whoever has it next would be the first to be told that it ended.
                    raw.terminate()
                    raise
        except _GONE as error:
            # `databases` would go on taking a connection that could not be released for this task's own.
            self._database._connection = None  # noqa: SLF001
            raise Unavailable from error
        except _CORRUPTED as error:
            self.is_damaged = True
            raise Damaged(str(error.args[0])) from error


async def _speak_text(connection: Any) -> None:
    """Exchange ids and instants as text, which is what they are in Python."""
    for name in ("uuid", "timestamptz"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=str, format="text")


async def _leave(_connection: Any) -> None:
    """Release a connection without a reset: all settings here are local to a transaction, which is over."""


def _cannot_serve(role: str | None, error: Exception) -> DatabaseError:
    return DatabaseError(
        f"PostgreSQL cannot be opened: {error}. Run: python -m gateway migrate, and in the database: "
        f'GRANT "{role}" TO the login'
    )
