"""What the same reads cost in a small database and in a large one, and around a machine with a million leaks.

    uv run python tests/benchmarks/growth.py [--leaks 5000000] [--folder /tmp]

A hundred thousand leaks come in through the import. The large database is a copy that SQL multiplies, since five
millions through the import take an hour: each copy of a leak has an id and a domain of its own, and shares machines,
people and hosts. Half of the organization's leaks, a million at the most, hang on one machine and one host. The times
are the store's own, the median of several runs, in milliseconds.
"""

import argparse
import asyncio
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from gateway.commands.demonstration import prepare  # noqa: E402
from gateway.settings import Settings  # noqa: E402
from gateway.storage.database import open_engine  # noqa: E402
from gateway.storage.reads import SQLStore  # noqa: E402
from schema.pages import Key, Order, PageRequest  # noqa: E402
from schema.records import Kind, LeakStatus, RiskLevelName  # noqa: E402
from schema.scope import Scope  # noqa: E402
from schema.store import Filter, Lookup, Pages, Read, ask  # noqa: E402

SEED_LEAKS = 100_000
DOMAINS = 500
MOST_AT_THE_SUPERNODE = 1_000_000
SUPERNODE = "00000000-0000-4000-8000-00005e9e40de"
RUNS = 15
LINKS = ("resources", "users", "endpoints")


def main() -> None:
    """Make both databases, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaks", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))  # noqa: S108 - where a person says
    options = parser.parse_args()
    sizes = SEED_LEAKS, options.leaks
    databases = [_database(options.folder, leaks) for leaks in sizes]
    small, large = (asyncio.run(_measure(path)) for path in databases)
    print(f"{'':52}{sizes[0]:>12,}{sizes[1]:>12,}   ratio")
    for name, milliseconds in small.items():
        print(f"{name:52}{milliseconds:12.2f}{large[name]:12.2f}   {large[name] / milliseconds:5.2f}")


# ---------------------------------------------------------------- databases


def _database(folder: Path, leaks: int) -> Path:
    path = folder / f"leaks-growth-{leaks}.db"
    if path.exists():
        return path
    seed = folder / f"leaks-growth-seed-{SEED_LEAKS}.db"
    if not seed.exists():
        asyncio.run(
            prepare(replace(Settings(secret="not-a-secret-" * 4), database_url=f"sqlite:///{seed}"), SEED_LEAKS, 1)
        )
    draft = path.with_suffix(".draft")
    shutil.copy(seed, draft)
    connection = sqlite3.connect(draft, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -4000000", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    _multiply(connection, leaks // SEED_LEAKS)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    draft.rename(path)
    return path


def _multiply(connection: sqlite3.Connection, copies: int) -> None:
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    (known,) = connection.execute("SELECT max(number) FROM domains").fetchone()
    for number in range(known + 1, DOMAINS + 1):
        values = number, f"00000000-0000-4000-8000-{number:012}", f"d{number}.example.com"
        connection.execute("INSERT INTO domains VALUES (?, 1, ?, ?, '')", values)
    domains = [number for (number,) in connection.execute("SELECT number FROM domains WHERE organization_number = 1")]
    leaks = _columns(connection, "leaks")
    connection.execute("CREATE TEMP TABLE first AS SELECT * FROM leaks WHERE organization_number = 1")
    for table in LINKS:
        connection.execute(
            f"CREATE TEMP TABLE first_{table} AS SELECT * FROM leak_{table} WHERE organization_number = 1"
        )
    for copy in range(1, copies):
        # A prefix in order, so that what is put in is put behind all that is there.
        changed = {"id": f"'{copy:04x}' || substr(id, 5)", "domain_number": str(domains[copy * 7 % len(domains)])}
        connection.execute(f"INSERT OR IGNORE INTO leaks SELECT {_changed(leaks, changed)} FROM temp.first")
        changed["leak_id"] = changed.pop("id").replace("id", "leak_id")
        for table in LINKS:
            columns = _changed(_columns(connection, f"leak_{table}"), changed)
            connection.execute(f"INSERT OR IGNORE INTO leak_{table} SELECT {columns} FROM temp.first_{table}")
    (count,) = connection.execute("SELECT count(*) FROM leaks WHERE organization_number = 1").fetchone()
    connection.execute(
        "INSERT INTO endpoints VALUES (1, ?, '[ZZ]supernode.rar', '2026-01-01T00:00:00.000Z')", (SUPERNODE,)
    )
    connection.execute("INSERT INTO resources VALUES (1, ?, 'supernode.example.com', 'domain')", (SUPERNODE,))
    for table in ("endpoints", "resources"):
        connection.execute(
            f"INSERT INTO leak_{table} SELECT 1, id, ?, domain_number, risk_level, first_seen, added_at FROM leaks"
            " WHERE organization_number = 1 ORDER BY substr(id, 10) LIMIT ?",
            (SUPERNODE, min(MOST_AT_THE_SUPERNODE, count // 2)),
        )
    for _, sql in indexes:
        connection.execute(sql)
    connection.execute("PRAGMA analysis_limit = 1000")
    connection.execute("ANALYZE")


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _changed(columns: list[str], changed: dict[str, str]) -> str:
    return ", ".join(changed.get(column, column) for column in columns)


# -------------------------------------------------------------- measurement


async def _measure(path: Path) -> dict[str, float]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    numbers = [n for (n,) in connection.execute("SELECT number FROM domains WHERE organization_number = 1")]
    scopes = {
        "all": Scope(1, tuple(numbers), restricted=False),
        "3 of 500": Scope(1, tuple(numbers[-40:-37])),
        "497 of 500": Scope(1, tuple(numbers[:-3])),
    }
    async with open_engine(f"sqlite:///{path}") as engine:
        store = SQLStore(engine)
        return {name: await _median(store, scopes[scope], read) for name, scope, read in _reads(connection)}


def _reads(connection: sqlite3.Connection) -> Iterator[tuple[str, str, Read]]:
    newest = Order("added_at", descending=True)
    ids = tuple(id_ for (id_,) in connection.execute("SELECT id FROM leaks WHERE organization_number = 1 LIMIT 50"))
    yield "leak by id", "all", Lookup(Kind.LEAK, ids[:1])
    for kind in (Kind.RESOURCE, Kind.USER, Kind.ENDPOINT):
        yield f"{kind}s of 50 leaks", "all", Pages(kind, Kind.LEAK, ids, PageRequest(20), Order(_BY[kind]))
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
    return row[0], row[1]


async def _median(store: SQLStore, scope: Scope, read: Read) -> float:
    await store.run(ask(scope, [read]))
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        await store.run(ask(scope, [read]))
        times.append(time.perf_counter() - began)
        if sum(times) > 10:
            break
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
