"""Databases that are slow, and servers that are real."""

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from tests.gateway.commands.conftest import environment, ready, run  # noqa: F401 - fixtures
from tests.records import World

_SQLITE_DAWDLES = (
    "(WITH RECURSIVE step(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM step LIMIT 1000000000) "
    "SELECT max(number) AS last FROM step)"
)
_POSTGRESQL_DAWDLES = "(SELECT pg_sleep(600))"


def path_of(url: str) -> Path:
    """Where the file of a SQLite URL lies."""
    return Path(url.removeprefix("sqlite:///"))


def slow_down(url: str) -> None:
    """Let every statement that reads leaks take minutes."""
    is_sqlite = url.startswith("sqlite")
    dawdling = _SQLITE_DAWDLES if is_sqlite else _POSTGRESQL_DAWDLES
    script = f"""
        ALTER TABLE leaks RENAME TO stored_leaks;
        CREATE VIEW leaks AS SELECT stored_leaks.* FROM {dawdling} AS slow CROSS JOIN stored_leaks;
    """
    if is_sqlite:
        connection = sqlite3.connect(path_of(url))
        connection.executescript(script)
        connection.close()
    else:
        asyncio.run(_run(url, script))


async def _run(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(script)
    await connection.close()


@pytest.fixture
def slow_world(fresh_world: World) -> World:
    """A filled database whose leaks take minutes to read, on each engine in turn."""
    slow_down(fresh_world.settings.database_url)
    return fresh_world
