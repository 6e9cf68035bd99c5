"""Runs the migrations; Alembic calls it."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, event, pool, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.storage.migrations import SECONDS_TO_WAIT
from gateway.storage.roles import provide
from gateway.storage.sqlite import APPLICATION_ID
from gateway.storage.tables import metadata


def _run(connection: Connection) -> None:
    """Migrate in one transaction; whoever migrates at the same time waits for it, so that it is done once."""
    is_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,
        render_as_batch=is_sqlite,
    )
    with context.begin_transaction():
        if not is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": APPLICATION_ID})
        context.run_migrations()
        role = context.config.attributes.get("serving_role")
        if role and not is_sqlite:
            provide(connection, role)


def _begin_to_write(engine: Engine) -> None:
    """Begin each transaction as one that writes, and for tables too: Python's `sqlite3` begins some for rows only."""

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _connect_and_run(url: URL) -> None:
    is_sqlite = url.get_backend_name() == "sqlite"
    driver, options = ("sqlite+aiosqlite", {"timeout": SECONDS_TO_WAIT}) if is_sqlite else ("postgresql+asyncpg", {})
    engine = create_async_engine(url.set(drivername=driver), poolclass=pool.NullPool, connect_args=options)
    if is_sqlite:
        _begin_to_write(engine.sync_engine)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
    await engine.dispose()


asyncio.run(_connect_and_run(context.config.attributes["url"]))
