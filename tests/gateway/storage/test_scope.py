"""Which rows a scope lets through, of rows that differ in one thing each from those that it may see."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import ColumnElement, FromClause, Select, Table, bindparam, insert, select

from gateway.storage.database import open_engine
from gateway.storage.dialects import SQLITE
from gateway.storage.engine import Engine, fetch
from gateway.storage.rows import read_rows, write_rows
from gateway.storage.scope import as_shown, in_scope, of_leak, of_organization, scope_values, visible_node
from gateway.storage.statements import Statement
from gateway.storage.tables import MONTH, domains, endpoint_dates, leaks, links, nodes, organizations
from gateway.storage.types import Instant, month_of
from schema.records import CONNECTED, Kind
from schema.scope import Scope
from tests.conftest import ENGINES, fresh_database
from tests.records import LONG_AGO

Row = dict[str, Any]
Rows = set[tuple[Any, ...]]

CORP, LABS = 1, 2
OWN, SECOND, HIDDEN, FOREIGN = 11, 12, 13, 21
SCOPE = Scope(CORP, (OWN, SECOND))
IN_SCOPE = [(CORP, OWN), (CORP, SECOND)]
PLACES = [*IN_SCOPE, (CORP, HIDDEN), (CORP, FOREIGN), (LABS, OWN), (LABS, FOREIGN)]
"""Where a row may lie: its organization, and its domain, which may be another organization's by mistake."""

DATES = [f"2026-{month:02}-01T00:00:00.000Z" for month in range(1, 13)]
LATEST = DATES[-1]
OF_DOMAINS: list[FromClause] = [leaks, endpoint_dates, *links.values()]
_NAMES = {Kind.RESOURCE: ("resource", "type"), Kind.USER: ("identity", "identity_type"), Kind.ENDPOINT: ("filename",)}


def leak_id(place: int) -> str:
    """The id of the leak at a place: the organizations have the same ones."""
    organization, _ = PLACES[place]
    return f"00000000-0000-4000-8000-1eac{[owner for owner, _ in PLACES[:place]].count(organization):08}"


def node_id(place: int) -> str:
    """The id of what the leak at a place is connected to: both organizations have it."""
    return f"00000000-0000-4000-8000-00de{place:08}"


MACHINE, OTHER_MACHINE = node_id(0), node_id(1)
ASTRAY, ALONE = len(PLACES), len(PLACES) + 1
"""What a link leads to that lies in another domain than its leak; what no link leads to."""


# -------------------------------------------------------------------- the rows


@pytest.fixture(scope="module", params=ENGINES)
def filled_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    url = fresh_database(request, tmp_path_factory.mktemp("scope"), request.param)
    asyncio.run(fill(url))
    return url


@pytest.fixture
async def filled(filled_url: str) -> AsyncIterator[Engine]:
    """The rows, for the login that owns the tables: nothing but the conditions stands before them."""
    async with open_engine(filled_url) as engine:
        yield engine


async def fill(url: str) -> None:
    async with open_engine(url) as engine:
        for table, rows in _tables():
            await write_rows(engine, insert(table).values(rows))


def _tables() -> Iterator[tuple[Table, list[Row]]]:
    yield organizations, [{"number": number, "id": node_id(number), "name": str(number)} for number in (CORP, LABS)]
    owners = {OWN: CORP, SECOND: CORP, HIDDEN: CORP, FOREIGN: LABS}
    yield domains, [_domain(number, owner) for number, owner in owners.items()]
    yield leaks, [_leak(place) for place in range(len(PLACES))]
    for kind in CONNECTED:
        yield nodes[kind], [_node(kind, owner, place) for owner in (CORP, LABS) for place in range(ALONE + 1)]
        yield links[kind], [_link(place, node_id(place)) for place in range(len(PLACES))]
        yield links[kind], [_link(0, node_id(ASTRAY)) | {"domain_number": SECOND}]
    yield endpoint_dates, [_dated(place, MACHINE, DATES[place]) for place in range(len(PLACES))]
    yield endpoint_dates, [_dated(0, OTHER_MACHINE, DATES[10])]


def _domain(number: int, owner: int) -> Row:
    return {
        "number": number,
        "organization_number": owner,
        "id": node_id(number),
        "name": str(number),
        "archived_at": None,
    }


def _at(place: int) -> Row:
    organization, domain = PLACES[place]
    return {"organization_number": organization, "domain_number": domain}


def _listed(place: int) -> Row:
    listed = {"risk_level": 5, "risk_level_name": "medium", "status": "new"}
    dates = {"first_seen": LONG_AGO, "added_at": LONG_AGO}
    return _at(place) | listed | dates | {MONTH[name]: month_of(date) for name, date in dates.items()}


def _leak(place: int) -> Row:
    own = {"id": leak_id(place), "url": None, "login": "user", "login_folded": "user", "content_hash": 0}
    return _listed(place) | own


def _link(place: int, node: str) -> Row:
    return _listed(place) | {"leak_id": leak_id(place), "node_id": node}


def _node(kind: Kind, organization: int, place: int) -> Row:
    names = dict.fromkeys(_NAMES[kind], f"name-{place}")
    dated = {"date": LATEST} if kind is Kind.ENDPOINT else {}
    return {"organization_number": organization, "id": node_id(place), **names, **dated}


def _dated(place: int, node: str, date: str) -> Row:
    return _at(place) | {"node_id": node, "date": date}


# ------------------------------------------------------------------ what is seen


async def found(engine: Engine, wanted: Select[Any], scope: Scope = SCOPE, **values: Any) -> Rows:
    rows = await read_rows(engine, wanted, **scope_values(scope), **values)
    assert len(rows) == len(set(map(tuple, rows)))
    return set(map(tuple, rows))


@pytest.mark.parametrize("by_organization", [True, False])
@pytest.mark.parametrize("by_domain", [True, False])
async def test_a_scope_sees_what_lies_in_its_organization_and_its_domains(
    filled: Engine, by_organization: bool, by_domain: bool
) -> None:
    for rows in OF_DOMAINS:
        is_seen = in_scope(rows, filled.dialect, by_organization=by_organization, by_domain=by_domain)
        seen = select(rows.c.organization_number, rows.c.domain_number).where(is_seen).distinct()
        assert await found(filled, seen) == set(IN_SCOPE)
        assert await found(filled, seen, Scope(CORP, (SECOND,))) == {(CORP, SECOND)}
        assert await found(filled, seen, Scope(CORP, ())) == set()


async def test_a_scope_sees_the_things_of_its_organization(filled: Engine) -> None:
    for kind in CONNECTED:
        owner = nodes[kind].c.organization_number
        assert await found(filled, select(owner).where(of_organization(nodes[kind])).distinct()) == {(CORP,)}


async def test_the_links_of_a_leak_have_its_organization_its_id_and_its_domain(filled: Engine) -> None:
    for link in links.values():
        linked = select(leaks.c.id, link.c.organization_number, link.c.leak_id, link.c.node_id)
        linked = linked.join_from(leaks, link, of_leak(link, leaks)).where(in_scope(leaks, filled.dialect))
        assert await found(filled, linked) == {
            (leak_id(place), CORP, leak_id(place), node_id(place)) for place in (0, 1)
        }


@pytest.mark.parametrize("by_domain", [True, False])
async def test_a_thing_is_visible_where_a_link_in_the_scope_leads_to_it(filled: Engine, by_domain: bool) -> None:
    for kind in CONNECTED:
        node = nodes[kind]
        visible = select(node.c.organization_number, node.c.id)
        visible = visible.where(visible_node(node, kind, filled.dialect, by_domain=by_domain))
        assert await found(filled, visible) == {(CORP, node_id(place)) for place in (0, 1, ASTRAY)}
        assert await found(filled, visible, Scope(CORP, (OWN,))) == {(CORP, node_id(0))}
        assert await found(filled, visible, Scope(CORP, ())) == set()


# ----------------------------------------------------------------- what is shown


async def test_a_limited_scope_is_shown_the_newest_date_that_its_domains_gave(filled: Engine) -> None:
    shown = as_shown(nodes[Kind.ENDPOINT], Kind.ENDPOINT, filled.dialect, restricted=True)
    assert shown.c.keys() == nodes[Kind.ENDPOINT].c.keys()
    dates = select(shown.c.id, shown.c.date).where(of_organization(shown))
    expected = dict.fromkeys(map(node_id, range(ALONE + 1))) | {MACHINE: DATES[1], OTHER_MACHINE: DATES[10]}
    assert await found(filled, dates) == set(expected.items())
    expected |= {MACHINE: DATES[1], OTHER_MACHINE: None}
    assert await found(filled, dates, Scope(CORP, (SECOND,))) == set(expected.items())


async def test_where_its_domains_gave_no_date_it_lies_before_all_others(filled: Engine) -> None:
    shown = as_shown(nodes[Kind.ENDPOINT], Kind.ENDPOINT, filled.dialect, restricted=True)
    older = select(shown.c.id).where(of_organization(shown), shown.c.date < bindparam("date", type_=Instant()))
    undated = {(node_id(place),) for place in range(2, ALONE + 1)}
    assert await found(filled, older, date=LONG_AGO) == undated
    assert await found(filled, older, date=DATES[2]) == {*undated, (MACHINE,)}


async def test_all_else_is_shown_as_it_is(filled: Engine) -> None:
    for kind in CONNECTED:
        assert as_shown(nodes[kind], kind, filled.dialect, restricted=False) is nodes[kind]
        is_worked_out = as_shown(nodes[kind], kind, filled.dialect, restricted=True) is not nodes[kind]
        assert is_worked_out == (kind is Kind.ENDPOINT)


# --------------------------------------------------------------- how it is found


async def ways(engine: Engine, rows: FromClause, condition: ColumnElement[bool]) -> str:
    """How SQLite goes about the rows that a condition holds for."""
    command = Statement(select(rows.c.organization_number).where(condition), engine.dialect).bind(**scope_values(SCOPE))
    (steps,) = await engine.run(fetch(command._replace(sql=f"EXPLAIN QUERY PLAN {command.sql}")))
    return "\n".join(str(step[-1]) for step in steps)


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Engine]:
    async with open_engine(sqlite_url) as engine:
        yield engine


async def test_sqlite_looks_for_rows_by_domain_only_where_it_is_told_to(sqlite: Engine) -> None:
    assert "(organization_number=?)" in await ways(sqlite, leaks, in_scope(leaks, SQLITE))
    assert "=?" not in await ways(sqlite, leaks, in_scope(leaks, SQLITE, by_organization=False))
    by_domain = in_scope(leaks, SQLITE, by_organization=False, by_domain=True)
    assert "(domain_number=?)" in await ways(sqlite, leaks, by_domain)


@pytest.mark.parametrize("kind", CONNECTED)
async def test_sqlite_looks_for_links_of_a_thing_by_domain_only_where_it_is_told_to(sqlite: Engine, kind: Kind) -> None:
    by_node, by_domain = (visible_node(nodes[kind], kind, SQLITE, by_domain=told) for told in (False, True))
    assert "(organization_number=? AND node_id=?)" in await ways(sqlite, nodes[kind], by_node)
    columns = "organization_number=? AND node_id=? AND status=? AND risk_level_name=? AND domain_number=?"
    assert f"({columns})" in await ways(sqlite, nodes[kind], by_domain)
