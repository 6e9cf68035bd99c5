"""What is in the way of whoever writes to a database: somebody else's lock, and a disk that is full."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from gateway.storage.engine import Engine, fetch
from gateway.storage.statements import Command
from tests.faults.conftest import path_of

_LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""

# What is written beside each leak goes to a table whose file is the device that never has room.
_FULL = """
    CREATE FUNCTION write_more() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO full_disk VALUES (1); RETURN NEW; END $$;
    CREATE TRIGGER more BEFORE INSERT ON leaks FOR EACH ROW EXECUTE FUNCTION write_more()"""
_FREE = "DROP TRIGGER more ON leaks; DROP FUNCTION write_more; DROP TABLE full_disk"


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Let another process hold the database's lock for a while; whoever only reads is not held up."""
    if url.startswith("sqlite"):
        with _locked_file(path_of(url)):
            yield
        return
    async with _connected(url) as connection, connection.transaction():
        await connection.execute("LOCK TABLE leaks IN EXCLUSIVE MODE")
        yield


@contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    arguments = [sys.executable, "-c", _LOCKING, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate()


@asynccontextmanager
async def full_disk(url: str, engine: Engine, folder: Path) -> AsyncIterator[None]:
    """Let there be no room for what an engine writes for a while; PostgreSQL's data lie in a folder."""
    async with _full_file(engine) if url.startswith("sqlite") else _full_device(url, folder):
        yield


@asynccontextmanager
async def _full_file(engine: Engine) -> AsyncIterator[None]:
    # At least what the file has already.
    await _bound_pages(engine, 1)
    yield
    await _bound_pages(engine, 10**6)


async def _bound_pages(engine: Engine, count: int) -> None:
    async with engine.transaction() as transaction:
        await transaction.run(fetch(Command(f"PRAGMA max_page_count = {count}")))


@asynccontextmanager
async def _full_device(url: str, folder: Path) -> AsyncIterator[None]:
    async with _connected(url) as connection:
        await connection.execute("CREATE TABLE full_disk (number INTEGER)")
        file = folder / await connection.fetchval("SELECT pg_relation_filepath('full_disk')")
        file.unlink()
        file.symlink_to("/dev/full")
        await connection.execute(_FULL)
        yield
        await connection.execute(_FREE)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
