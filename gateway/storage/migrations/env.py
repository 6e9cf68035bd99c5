"""Runs the migrations; Alembic calls it."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, event, pool
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.storage.roles import provide
from gateway.storage.tables import metadata


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()
    role = context.config.attributes.get("serving_role")
    if role and connection.dialect.name == "postgresql":
        provide(connection, role)
        connection.commit()


def _migrate_whole_or_not_at_all(engine: Engine) -> None:
    """Let tables be made within transactions, which Python's `sqlite3` begins for rows only.

    Whoever migrates at the same time waits, so that it is done once.
    """

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _connect_and_run(url: URL) -> None:
    driver = "sqlite+aiosqlite" if url.get_backend_name() == "sqlite" else "postgresql+asyncpg"
    engine = create_async_engine(url.set(drivername=driver), poolclass=pool.NullPool)
    if url.get_backend_name() == "sqlite":
        _migrate_whole_or_not_at_all(engine.sync_engine)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
    await engine.dispose()


asyncio.run(_connect_and_run(context.config.attributes["url"]))
