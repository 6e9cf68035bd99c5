"""How fast an import is, against `sqlite3` alone writing the very same rows: python tests/benchmarks/import_speed.py.

Each of the two runs in a process of its own, on a new database. The limit is timed without what makes its rows: only
the transactions, and `executemany` of rows that are ready, into the same tables with the same settings.
"""

import argparse
import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.importing.demo import ORGANIZATIONS, demo_lines
from gateway.importing.files import open_lines
from gateway.importing.importer import import_leaks
from gateway.storage.database import open_engine
from gateway.storage.dialects import SQLITE
from gateway.storage.engine import Program, Rows
from gateway.storage.migrations import migrate
from gateway.storage.sqlite import _WritingConnection
from gateway.storage.statements import Command
from schema.records import Organization

T = TypeVar("T")

ORGANIZATION = Organization(1, "0b9f0e54-3f0e-4c4e-9d2c-6f0f6a3a1c11", ORGANIZATIONS[0].name)
SECRET = b"a secret of no installation"


async def prepare(database: Path) -> None:
    """A new database with one organization."""
    await migrate(f"sqlite:///{database}")
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO organizations VALUES (?, ?, ?)", (ORGANIZATION.number, ORGANIZATION.id, ORGANIZATION.name)
        )
    connection.close()


async def time_import(database: Path, file: Path) -> float:
    """The seconds that an import takes, as the command line runs it."""
    started = time.perf_counter()
    async with open_engine(f"sqlite:///{database}") as engine:
        with open_lines(str(file)) as lines:
            await import_leaks(engine, ORGANIZATION, lines, secret=SECRET, create_domains=True)
    return time.perf_counter() - started


class Limit:
    """Stands in for an engine: `sqlite3` and nothing else, with a stopwatch on what it writes."""

    dialect = SQLITE
    is_damaged = False

    def __init__(self, database: Path) -> None:
        self.seconds = 0.0
        self._connection = _WritingConnection(database, isolation_level=None)

    async def open(self) -> None:
        """It is open."""

    async def run(self, program: Program[T]) -> T:
        """Run a program; rows that are ready are inserted as they are, the rest is not timed."""
        try:
            commands = next(program)
            while True:
                commands = program.send([self._execute(command) for command in commands])
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome

    glance = run

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Limit"]:
        """Open a transaction."""
        self._timed(self._connection.execute, "BEGIN IMMEDIATE")
        yield self
        self._timed(self._connection.execute, "COMMIT")

    async def close(self) -> None:
        """Close the connection."""
        self._timed(self._connection.close)

    def _execute(self, command: Command) -> Rows:
        if not command.many:
            return self._connection.execute(command.sql, command.values).fetchall()
        rows = [tuple("" if value is None else value for value in row) for row in command.values]
        self._timed(self._connection.executemany, _plain(command.sql, len(rows[0])), rows)
        return ()

    def _timed(self, function: Callable[..., Any], *arguments: Any) -> None:
        started = time.perf_counter()
        function(*arguments)
        self.seconds += time.perf_counter() - started


def _plain(sql: str, values: int) -> str:
    """The plainest insertion into the same table; that of a link tells its status from the leak."""
    table = re.match(r"INSERT INTO (\w+)", sql)
    assert table is not None
    if table[1] == "domains" or table[1].startswith("leak_"):
        return sql
    return f"INSERT OR IGNORE INTO {table[1]} VALUES ({','.join('?' * values)})"


async def time_limit(database: Path, file: Path) -> float:
    """The seconds that `sqlite3` takes to write what an import writes."""
    limit = Limit(database)
    with open_lines(str(file)) as lines:
        await import_leaks(limit, ORGANIZATION, lines, secret=SECRET, create_domains=True)
    await limit.close()
    return limit.seconds


def peak_megabytes() -> float:
    """The most memory that this process has held (VmHWM: `ru_maxrss` would count what its parent held, too)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def run_apart(what: str, folder: Path) -> tuple[float, float]:
    """The seconds and the peak of megabytes of one of the two, in a process of its own."""
    database = folder / f"{what}.db"
    asyncio.run(prepare(database))
    command = [sys.executable, __file__, "--run", what, "--folder", str(folder)]
    seconds, megabytes = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    database.unlink()
    return seconds, megabytes


def write_file(file: Path, leaks: int) -> None:
    """A file of made-up leaks."""
    with file.open("wb") as out:
        out.writelines(line + b"\n" for line in demo_lines(ORGANIZATIONS[0], leaks))


def main() -> None:
    """Measure both and print what they come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaks", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", choices=("import", "limit"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        timed = time_import if arguments.run == "import" else time_limit
        seconds = asyncio.run(timed(arguments.folder / f"{arguments.run}.db", arguments.folder / "leaks.jsonl"))
        print(json.dumps([seconds, peak_megabytes()]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_file(folder / "leaks.jsonl", arguments.leaks)
        limit_seconds, _ = run_apart("limit", folder)
        seconds, megabytes = run_apart("import", folder)
    print(f"sqlite3 alone  {arguments.leaks / limit_seconds:10,.0f} leaks/s  {limit_seconds:8.1f} s")
    print(f"import         {arguments.leaks / seconds:10,.0f} leaks/s  {seconds:8.1f} s  peak {megabytes:.0f} MB")
    print(f"ratio          {limit_seconds / seconds:10.2f}")


if __name__ == "__main__":
    main()
