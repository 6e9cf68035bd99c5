"""Whether a database is whole: what its engine can tell, and what only its tables promise."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import Select, Table, and_, func, or_, select

from gateway.storage.engine import Damaged, Engine, Rows, fetch
from gateway.storage.migrations import is_at_head
from gateway.storage.statements import SQLITE, Command, Statement
from gateway.storage.tables import LISTED_BY, leaks, links

_BROKEN_PAGES = "SELECT integrity_check FROM pragma_integrity_check(20) WHERE integrity_check <> 'ok'"
_LOST_PARENTS = 'SELECT "table", "parent", count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 ORDER BY 1, 2'
_INVALID_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT (indisvalid AND indisready)"
_INVALID_CONSTRAINTS = (
    "SELECT conname, conrelid::regclass::text FROM pg_constraint "
    "WHERE NOT convalidated AND connamespace = current_schema()::regnamespace"
)

Check = Callable[[Engine], Awaitable[Sequence[str]]]


async def find_troubles(engine: Engine) -> list[str]:
    """What is wrong with an open database, a line each; nothing is written.

    Raises:
        Unavailable: it does not answer just now.
    """
    checks: tuple[Check, ...] = (*(_SQLITE if engine.dialect is SQLITE else _POSTGRESQL), _version, _links)
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


async def _indexes(engine: Engine) -> Sequence[str]:
    return [f"The index {name} is not valid." for (name,) in await _rows(engine, _INVALID_INDEXES)]


async def _constraints(engine: Engine) -> Sequence[str]:
    invalid = await _rows(engine, _INVALID_CONSTRAINTS)
    return [f"The constraint {name} of {table} is not validated." for name, table in invalid]


async def _links(engine: Engine) -> Sequence[str]:
    """What a link repeats of its leak, no constraint holds to."""
    if not await is_at_head(engine):
        return ()
    troubles = []
    for link in links.values():
        ((count,),) = await _rows(engine, Statement(_differing(link), engine.dialect).sql)
        if count:
            troubles.append(f"{count} rows of {link.name} do not repeat what their leak says.")
    return troubles


def _differing(link: Table) -> Select[Any]:
    is_its_leak = and_(leaks.c.organization_number == link.c.organization_number, leaks.c.id == link.c.leak_id)
    differs = or_(*(link.c[name] != leaks.c[name] for name in LISTED_BY))
    return select(func.count()).select_from(link.join(leaks, is_its_leak)).where(differs)


async def _rows(engine: Engine, sql: str) -> Rows:
    (rows,) = await engine.run(fetch(Command(sql)))
    return rows


_SQLITE: tuple[Check, ...] = (_pages, _references)
_POSTGRESQL: tuple[Check, ...] = (_indexes, _constraints)
