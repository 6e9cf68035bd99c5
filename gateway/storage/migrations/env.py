"""Runs the migrations; called by Alembic."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, event, inspect, pool, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.storage.migrations import SECONDS_TO_WAIT
from gateway.storage.policies import hand_over, make_policies
from gateway.storage.roles import provide
from gateway.storage.sqlite import ANALYZED_ROWS, APPLICATION_ID
from gateway.storage.tables import metadata


def _run(connection: Connection) -> bool:
    """Migrate in one transaction; concurrent migrations wait for it, so that it is done once.

    Returns:
        Whether existing tables were changed.
    """
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
            hand_over(connection)
            _lock_tables(connection)
        before = context.get_context().get_current_heads()
        context.run_migrations()
        role = context.config.attributes.get("serving_role")
        if role and not is_sqlite:
            make_policies(connection)
            provide(connection, role)
        return bool(before) and before != context.get_context().get_current_heads()


def _lock_tables(connection: Connection) -> None:
    """With PostgreSQL, lock all tables before any of them changes.

    If they were locked one by one as they change, a reader of one table that waits for another could cause a deadlock,
    after long work.
    """
    if context.get_context().get_current_heads() != context.get_head_revisions():
        there = sorted(metadata.tables.keys() & inspect(connection).get_table_names())
        if there:
            connection.exec_driver_sql(f"LOCK TABLE {', '.join(there)} IN ACCESS EXCLUSIVE MODE")


def _analyze(connection: Connection) -> None:
    """Update the planner's statistics after a migration: without them, it may prefer a new index to all others.

    With PostgreSQL this also updates the visibility map, which index-only scans need. Empty tables are skipped: the
    planner would assume that they are empty until they are analyzed again.
    """
    if connection.dialect.name == "sqlite":
        with connection.begin():
            connection.exec_driver_sql(f"PRAGMA analysis_limit = {ANALYZED_ROWS}")
            connection.exec_driver_sql("ANALYZE")
    else:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in sorted(metadata.tables.keys() & inspect(connection).get_table_names()):
            if connection.scalar(text(f"SELECT EXISTS (SELECT FROM {table})")):  # noqa: S608 - a name of ours
                connection.exec_driver_sql(f"VACUUM (ANALYZE) {table}")


def _begin_to_write(engine: Engine) -> None:
    """Start every transaction with `BEGIN IMMEDIATE`: Python's `sqlite3` would start one for changes of rows only."""

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
        if await connection.run_sync(_run):
            await connection.run_sync(_analyze)
    await engine.dispose()


asyncio.run(_connect_and_run(context.config.attributes["url"]))
