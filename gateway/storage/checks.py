"""Checks a database: what its engine can verify, and what only the meaning of its tables promises."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Table, and_, cast, func, or_, select

from gateway.storage.dialects import SQLITE
from gateway.storage.engine import Damaged, Engine, Rows, fetch
from gateway.storage.migrations import is_at_head
from gateway.storage.policies import BOUNDED, HAS_ITS_POLICIES, IS_FORCED
from gateway.storage.statements import Command, Statement
from gateway.storage.tables import MONTH, REPEATED, endpoint_dates, leaks, links, metadata, nodes
from gateway.storage.types import NO_MONTH, Instant
from schema.records import Kind

_BROKEN_PAGES = "SELECT integrity_check FROM pragma_integrity_check(20) WHERE integrity_check <> 'ok'"
_LOST_PARENTS = 'SELECT "table", "parent", count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 ORDER BY 1, 2'
_INVALID_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready)"
_INVALID_CONSTRAINTS = (
    "SELECT conname, conrelid::regclass::text FROM pg_constraint "
    "WHERE NOT convalidated AND connamespace = current_schema()::regnamespace"
)
_ROW_SECURITY = f"""SELECT relation, {IS_FORCED}, {HAS_ITS_POLICIES} FROM unnest($1::text[]) AS relation
    JOIN pg_class ON pg_class.oid = to_regclass(relation) ORDER BY 1"""  # noqa: S608 - names of ours

Check = Callable[[Engine], Awaitable[Sequence[str]]]


async def find_troubles(engine: Engine) -> list[str]:
    """What is wrong with an open database, one line each. It writes nothing.

    Raises:
        Unavailable: the database does not answer.
    """
    own = _SQLITE if engine.dialect is SQLITE else _POSTGRESQL
    checks: tuple[Check, ...] = (*own, _version, _links, _months, _dates)
    troubles: list[str] = []
    for check in checks:
        try:
            troubles.extend(await check(engine))
        except Damaged as error:
            troubles.append(str(error.__cause__))
    return list(dict.fromkeys(troubles))


async def _version(engine: Engine) -> Sequence[str]:
    return () if await is_at_head(engine) else ("The tables are not at the newest version.",)


async def _pages(engine: Engine) -> Sequence[str]:
    return [" ".join(text.split()) for (text,) in await _rows(engine, _BROKEN_PAGES)]


async def _references(engine: Engine) -> Sequence[str]:
    lost = await _rows(engine, _LOST_PARENTS)
    return [f"{count} rows of {child} name a row of {parent} that is not there." for child, parent, count in lost]


async def _tables(engine: Engine) -> Sequence[str]:
    """Every table is read as a whole, so that the server verifies the checksum of each page."""
    troubles = []
    for table in metadata.tables.values():
        try:
            await _rows(engine, Statement(select(func.count(table.table_valued())), engine.dialect).sql)
        except Damaged as error:
            troubles.append(f"The table {table.name} cannot be read: {error.__cause__}.")
    return troubles


async def _row_security(engine: Engine) -> Sequence[str]:
    found = await _rows(engine, _ROW_SECURITY, BOUNDED)
    return [
        *(f"Row-level security is not forced on {table}." for table, is_forced, _ in found if not is_forced),
        *(f"The policies of {table} are not those that migrate makes." for table, _, has in found if not has),
    ]


async def _indexes(engine: Engine) -> Sequence[str]:
    return [f"The index {name} is not valid." for (name,) in await _rows(engine, _INVALID_INDEXES)]


async def _constraints(engine: Engine) -> Sequence[str]:
    invalid = await _rows(engine, _INVALID_CONSTRAINTS)
    return [f"The constraint {name} of {table} is not validated." for name, table in invalid]


async def _links(engine: Engine) -> Sequence[str]:
    """No constraint keeps what a link repeats the same as its leak's."""
    if not await is_at_head(engine):
        return ()
    return [
        f"{count} rows of {link.name} do not repeat what their leak says."
        for link in links.values()
        if (count := await _count(engine, _differing(link)))
    ]


async def _months(engine: Engine) -> Sequence[str]:
    """No constraint keeps a month the one that its date lies in."""
    if not await is_at_head(engine):
        return ()
    is_another = or_(*(leaks.c[month] != _month(leaks.c[date]) for date, month in MONTH.items()))
    count = await _count(engine, select(func.count()).select_from(leaks).where(is_another))
    return [f"{count} rows of {leaks.name} name another month than their dates lie in."] if count else ()


async def _dates(engine: Engine) -> Sequence[str]:
    """No constraint keeps an endpoint's date the newest of those of its domains."""
    if not await is_at_head(engine):
        return ()
    count = await _count(engine, _too_new())
    return [f"{count} rows of {endpoint_dates.name} are newer than their endpoint's date."] if count else ()


def _month(date: ColumnElement[str]) -> ColumnElement[int]:
    text: ColumnElement[str] = Instant().column_expression(date)
    year, month = (cast(func.substr(text, *place), Integer) for place in ((1, 4), (6, 2)))
    return func.coalesce(12 * year + month, NO_MONTH)


def _too_new() -> Select[Any]:
    endpoint, date = nodes[Kind.ENDPOINT], endpoint_dates
    is_its_endpoint = and_(
        endpoint.c.organization_number == date.c.organization_number, endpoint.c.id == date.c.node_id
    )
    return select(func.count()).select_from(date.join(endpoint, is_its_endpoint)).where(date.c.date > endpoint.c.date)


def _differing(link: Table) -> Select[Any]:
    is_its_leak = and_(leaks.c.organization_number == link.c.organization_number, leaks.c.id == link.c.leak_id)
    differs = or_(*(link.c[name] != leaks.c[name] for name in REPEATED))
    return select(func.count()).select_from(link.join(leaks, is_its_leak)).where(differs)


async def _count(engine: Engine, counted: Select[Any]) -> int:
    (((count,),),) = await engine.run(fetch(Statement(counted, engine.dialect).bind()))
    return int(count)


async def _rows(engine: Engine, sql: str, *values: Any) -> Rows:
    (rows,) = await engine.run(fetch(Command(sql, values)))
    return rows


_SQLITE: tuple[Check, ...] = (_pages, _references)
_POSTGRESQL: tuple[Check, ...] = (_tables, _indexes, _constraints, _row_security)
