"""PostgreSQL: a pool of asyncpg connections, through `databases`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import asyncpg
from databases import Database

from gateway.storage.engine import DatabaseError, Program, Rows, Transaction
from gateway.storage.statements import POSTGRESQL, Command
from schema.errors import Unavailable

T = TypeVar("T")

_GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)
"""What a server that stops, starts or drops its connections answers with."""


class _Connection:
    def __init__(self, raw: asyncpg.Connection) -> None:
        self._raw = raw

    async def run(self, program: Program[T]) -> T:
        try:
            commands = next(program)
            while True:
                commands = program.send([await self._execute(command) for command in commands])
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome

    async def _execute(self, command: Command) -> Rows:
        if command.many:
            await self._raw.executemany(command.sql, command.values)
            return ()
        return cast("Rows", await self._raw.fetch(command.sql, *command.values))


class PostgreSQLEngine:
    """A PostgreSQL database that is open."""

    dialect = POSTGRESQL
    is_damaged = False

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self._database = Database(url, min_size=1, max_size=pool_size, init=_speak_text, timeout=5)

    async def open(self) -> None:
        """Open the pool.

        Raises:
            DatabaseError: the server cannot be reached or does not let us in.
        """
        try:
            await self._database.connect()
        except (*_GONE, asyncpg.PostgresError) as error:
            raise DatabaseError(f"PostgreSQL cannot be reached: {error}.") from error

    async def close(self) -> None:
        """Give every connection back."""
        await self._database.disconnect()

    async def run(self, program: Program[T]) -> T:
        """Run a program that reads."""
        try:
            async with self._database.connection() as connection:
                return await _Connection(connection.raw_connection).run(program)
        except _GONE as error:
            raise Unavailable from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction that writes."""
        try:
            async with self._database.connection() as connection:
                raw = connection.raw_connection
                async with raw.transaction():
                    yield _Connection(raw)
        except _GONE as error:
            raise Unavailable from error


async def _speak_text(connection: Any) -> None:
    """Let ids and instants be text on both sides, as they are in Python."""
    for name in ("uuid", "timestamptz"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=str, format="text")
