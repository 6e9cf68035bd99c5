"""One process at a time writes to a SQLite file, and what it has written is there to stay."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage import database
from gateway.storage.database import open_engine
from gateway.storage.engine import fetch
from gateway.storage.migrations import migrate
from gateway.storage.organizations import add_organization
from gateway.storage.sqlite import SQLiteEngine
from gateway.storage.statements import Command
from gateway.storage.write_lock import WriteLock
from schema.errors import Unavailable

HOLDER = """
import asyncio, sys
from pathlib import Path
from gateway.storage.write_lock import WriteLock

async def hold() -> None:
    async with WriteLock(Path(sys.argv[1]), 5).held():
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


async def test_what_sqlite_took_back_by_itself_is_not_taken_for_committed(sqlite_url: str) -> None:
    async with open_engine(sqlite_url) as engine:
        with pytest.raises(Unavailable, match="no transaction is active"):
            async with engine.transaction() as transaction:
                # So does a full disk.
                await transaction.run(fetch(Command("ROLLBACK")))


async def test_its_file_is_the_databases_owners_whoever_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "leaks.db"
    path.touch()
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(path, owner, -1)
    async with WriteLock(path, 5).held():
        assert (tmp_path / "leaks.db-writer").stat().st_uid == owner


async def test_one_has_it_at_a_time_and_whoever_waits_is_next(tmp_path: Path) -> None:
    one, other = (WriteLock(tmp_path / "leaks.db", 10) for _ in range(2))
    order = []

    async def second() -> None:
        async with other.held():
            order.append("second")

    async with one.held():
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.05)
        order.append("first")
    await waiting
    assert order == ["first", "second"]


async def test_whoever_waits_too_long_is_told(tmp_path: Path) -> None:
    async with WriteLock(tmp_path / "leaks.db", 10).held():
        with pytest.raises(Unavailable, match="another process writes"):
            async with WriteLock(tmp_path / "leaks.db", 0.05).held():
                pass


async def test_who_administers_waits_for_others_that_write_when_a_server_has_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)
    path = tmp_path / "leaks.db"
    await migrate(url := f"sqlite:///{path}")
    async with open_engine(url) as administering, open_engine(url, "serving") as serving:
        async with WriteLock(path, 10).held():
            adding = asyncio.create_task(add_organization(administering, "Example Corp"))
            with pytest.raises(Unavailable, match="another process writes"):
                await add_organization(serving, "Example Labs")
        await adding


async def test_it_ends_with_the_process_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "leaks.db"
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, path, stdout=asyncio.subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    with pytest.raises(Unavailable):
        async with WriteLock(path, 0.05).held():
            pass
    holder.kill()
    await holder.wait()
    async with WriteLock(path, 10).held():
        pass


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SQLiteEngine]:
    """A SQLite file at head, open."""
    path = tmp_path / "leaks.db"
    await migrate(f"sqlite:///{path}")
    opened = SQLiteEngine(path)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_transaction_holds_it_to_its_end(engine: SQLiteEngine, tmp_path: Path) -> None:
    path = tmp_path / "leaks.db"
    async with engine.transaction():
        with pytest.raises(Unavailable):
            async with WriteLock(path, 0.05).held():
                pass
    async with WriteLock(path, 0.05).held():
        pass


async def test_what_is_committed_is_on_the_disk(engine: SQLiteEngine) -> None:
    pragmas = [Command(f"PRAGMA {name}") for name in ("journal_mode", "synchronous")]
    async with engine.transaction() as transaction:
        ((mode,),), ((synchronous,),) = await transaction.run(fetch(*pragmas))
    assert (mode, synchronous) == ("wal", 2), "2 is FULL"
