"""Processes that are killed in the middle of a migration, at the statement that is wanted.

`python -m tests.faults.killing URL` migrates a database time and again, and is killed before the first statement or
commit, then before the second and so on, until it comes to its end. A line tells what there was before each time: the
version and the tables.
"""

import asyncio
import os
import signal
import sys
from itertools import count
from typing import Any

from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, inspect, make_url
from sqlalchemy.dialects.postgresql import asyncpg  # noqa: F401 - here, and not in every process anew
from sqlalchemy.dialects.sqlite import aiosqlite  # noqa: F401 - the same
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.storage.migrations import migrate


async def state(url: str) -> tuple[str, list[str]]:
    """The version of a database, and the names of its tables."""

    def find(connection: Connection) -> tuple[str, list[str]]:
        version = MigrationContext.configure(connection).get_current_revision()
        return str(version), sorted(inspect(connection).get_table_names())

    parsed = make_url(url)
    driver = "sqlite+aiosqlite" if parsed.get_backend_name() == "sqlite" else "postgresql+asyncpg"
    engine = create_async_engine(parsed.set(drivername=driver))
    async with engine.connect() as connection:
        found = await connection.run_sync(find)
    await engine.dispose()
    return found


def _migrate_until(step: int, url: str) -> None:
    """Migrate in this process, which ends before the statement or commit of this number, from 0."""
    steps = count()

    def end_at(*_: Any) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", end_at)
    event.listen(Engine, "commit", end_at)
    asyncio.run(migrate(url))


def _kill_at_every_step(url: str) -> int:
    """How the process ended that was not killed any more."""
    for step in count():
        child = os.fork()
        if not child:
            version, tables = asyncio.run(state(url))
            print(version, *tables, flush=True)  # noqa: T201 - the test listens
            _migrate_until(step, url)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            return os.waitstatus_to_exitcode(status)
    raise AssertionError


if __name__ == "__main__":
    sys.exit(_kill_at_every_step(sys.argv[1]))
