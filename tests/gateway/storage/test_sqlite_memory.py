"""Whether SQLite counts its memory; processes of their own are asked, since each decides once."""

import _sqlite3
import ctypes
import subprocess
import sys

import pytest
from databases import DatabaseURL

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(getattr(_sqlite3, "__file__", None)), "sqlite3_memory_used"),
    reason="SQLite is a part of this Python that cannot be asked",
)

READ = """
import _sqlite3, asyncio, ctypes, sqlite3, sys
from pathlib import Path
from gateway.storage.engine import fetch
from gateway.storage.sqlite import SQLiteEngine
from gateway.storage.statements import Command

async def main():
    engine = SQLiteEngine(Path(sys.argv[1]))
    await engine.open()
    [[version]] = await engine.run(fetch(Command("SELECT version_num FROM alembic_version")))
    counted = used()
    await engine.close()
    return version, counted > used()

used = ctypes.CDLL(getattr(_sqlite3, "__file__", None)).sqlite3_memory_used
"""
OTHER = """
other = sqlite3.connect(":memory:")
other.execute("CREATE TABLE kept (value)")
other.execute("INSERT INTO kept VALUES (7)")
"""


def run(script: str, url: str) -> str:
    command = [sys.executable, "-c", READ + script, DatabaseURL(url).database]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_no_memory_is_counted_while_a_database_is_read(sqlite_url: str) -> None:
    assert run("print(*asyncio.run(main()))", sqlite_url).endswith(" False\n")
    assert run("[asyncio.run(main()) for _ in range(2)]; print(*asyncio.run(main()))", sqlite_url).endswith(" False\n")


def test_a_database_that_is_open_already_stays_open(sqlite_url: str) -> None:
    script = OTHER + "print(*asyncio.run(main()), *other.execute('SELECT value FROM kept'))"
    assert run(script, sqlite_url).endswith(" True (7,)\n")
