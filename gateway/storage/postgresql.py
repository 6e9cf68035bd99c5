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
"""So many more there are than operations at a time: for keys, readiness, and what is written."""

_GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.TransactionRollbackError,
)
"""What a server answers with that stops, starts, drops its connections or lets others go first."""

_OTHER_TABLES = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedTableError,
)

_UNWRITABLE = (asyncpg.InsufficientResourcesError, asyncpg.ReadOnlySQLTransactionError)
"""What a server answers with whose disk is full, or that may only be read."""

_CORRUPTED = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)


class _Connection:
    """Runs each statement within its bounds; the first that has some opens a transaction for all of a program."""

    def __init__(self, raw: asyncpg.Connection) -> None:
        self._raw = raw
        self._bounds: Bounds = None
        self.has_bounds = False

    async def run(self, program: Program[T]) -> T:
        try:
            commands = next(program)
            while True:
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
        """Send rows to the end, also for whoever is cancelled: between two pieces asyncpg would then wait for ever."""
        sending = asyncio.create_task(self._send(command))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.gather(sending, return_exceptions=True)
            raise

    async def _send(self, command: Command) -> None:
        """Send rows while there is a connection: asyncpg would wait for ever to write to one that is lost."""
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
            # A connection that is lost has no listeners any more, and nothing can be asked of it.
            with suppress(asyncpg.InterfaceError):
                self._raw.remove_termination_listener(stop)

    async def _enter(self, bounds: Bounds) -> None:
        begin = "" if self._raw.is_in_transaction() else "BEGIN READ ONLY; "
        self.has_bounds = True
        await self._raw.execute(begin + settings_of(bounds))
        self._bounds = bounds


class PostgreSQLEngine:
    """A PostgreSQL database that is open: to serve as a role that may do just that, or else to administer.

    Args:
        url: Where it is.
        pool_size: Connections at the most.
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
        # What a connection begins with costs nothing later, and is what RESET and DISCARD lead back to.
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
            # Where the server's own word does not come by then, the connection has gone silent, and is dropped.
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
        """Give every connection back; those of a server that hangs are dropped."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._database.disconnect()
        except TimeoutError:
            logger.warning("PostgreSQL does not answer; its connections are dropped")

    async def run(self, program: Program[T]) -> T:
        """Run a program that reads, in one transaction where its statements have bounds."""
        async with self._connected() as raw:
            running = _Connection(raw)
            try:
                return await running.run(program)
            finally:
                if running.has_bounds:
                    await raw.execute("COMMIT")

    async def glance(self, program: Program[T]) -> T:
        """Run a program that reads little; there are connections that no operation takes (`KEPT_CONNECTIONS`)."""
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
                yield cast("asyncpg.Connection", connection.raw_connection)
        except _GONE as error:
            # What could not be given back, `databases` would take for this task's own ever after.
            self._database._connection = None  # noqa: SLF001
            raise Unavailable from error
        except _OTHER_TABLES as error:
            logger.warning("PostgreSQL does not have the tables that are read: %s", error)
            raise OtherTables from error
        except _CORRUPTED as error:
            self.is_damaged = True
            raise Damaged(str(error)) from error


async def _speak_text(connection: Any) -> None:
    """Let ids and instants be text on both sides, as they are in Python."""
    for name in ("uuid", "timestamptz"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=str, format="text")


async def _leave(_connection: Any) -> None:
    """Give a connection back as it is: what is set here is set for a transaction, and that is over."""


def _cannot_serve(role: str | None, error: Exception) -> DatabaseError:
    return DatabaseError(
        f"PostgreSQL cannot be opened: {error}. Run: python -m gateway migrate, and in the database: "
        f'GRANT "{role}" TO the login'
    )
