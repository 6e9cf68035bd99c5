"""Databases that are slow, and servers that are real."""

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from tests.gateway.commands.conftest import environment, ready, run  # noqa: F401 - fixtures
from tests.records import World

_SQLITE_DAWDLES = """
    ALTER TABLE leaks RENAME TO stored_leaks;
    CREATE VIEW leaks AS SELECT stored_leaks.* FROM (
        WITH RECURSIVE step(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM step LIMIT {steps})
        SELECT max(number) AS last FROM step
    ) AS slow CROSS JOIN stored_leaks;
"""
# A server starts only where the policy's comment says the same as the policy.
_POSTGRESQL_DAWDLES = """DO $$
    DECLARE slow oid := (SELECT oid FROM pg_policy WHERE polrelid = 'leaks'::regclass AND polname = 'bounds');
    BEGIN
        EXECUTE (SELECT format('ALTER POLICY bounds ON leaks USING ((SELECT pg_sleep({seconds}))::text = %L AND %s)',
            '', pg_get_expr(polqual, polrelid)) FROM pg_policy WHERE oid = slow);
        EXECUTE (SELECT format('COMMENT ON POLICY bounds ON leaks IS %L', pg_get_expr(polqual, polrelid))
            FROM pg_policy WHERE oid = slow);
    END $$"""
_STEPS_A_SECOND = 4_000_000


def path_of(url: str) -> Path:
    """Where the file of a SQLite URL lies."""
    return Path(url.removeprefix("sqlite:///"))


def slow_down(url: str, seconds: float = 600) -> None:
    """Let every statement of a server that reads leaks take about so long."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(path_of(url))
        connection.executescript(_SQLITE_DAWDLES.format(steps=round(seconds * _STEPS_A_SECOND)))
        connection.close()
    else:
        asyncio.run(_run(url, _POSTGRESQL_DAWDLES.format(seconds=seconds)))


async def _run(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(script)
    await connection.close()


@pytest.fixture
def slow_world(fresh_world: World) -> World:
    """A filled database whose leaks take minutes to read, on each engine in turn."""
    slow_down(fresh_world.url)
    return fresh_world
