"""The scope's own leaks are the same ones, however they are found."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from gateway.keys import parse
from gateway.storage.callers import find_key
from gateway.storage.database import open_engine
from gateway.storage.dialects import SQLITE
from gateway.storage.engine import fetch
from gateway.storage.reads import SQLStore
from gateway.storage.statements import Command
from schema.pages import Key, Order, PageRequest
from schema.records import Kind, Leak, LeakStatus, RiskLevelName
from schema.scope import Scope
from schema.store import Counts, Filter, Pages, ask
from tests.records import HOST, MACHINE, PERSON, World

NOBODYS = tuple(range(10_001, 10_101))
"""Numbers of domains that there are not: with them a scope is wide, and sees no more."""

FILTERS = [
    Filter(),
    Filter(status=(LeakStatus.NEW, LeakStatus.RESOLVED)),
    Filter(risk_level_min=3, added_at_since="2026-02-01T00:00:00.000Z"),
    Filter(login="user@example.com"),
    Filter(url_contains="example"),
    Filter(resource=HOST),
    Filter(identity=PERSON),
    Filter(filename=MACHINE),
    Filter(filename=MACHINE, resource=HOST, first_seen_until="2026-03-01T00:00:00.000Z"),
    Filter(filename="nowhere"),
]


def _reads(place: dict[str, Key]) -> Iterator[Pages]:
    for column, descending, wanted in itertools.product(place, (True, False), FILTERS):
        order = Order(column, descending)
        for page in (
            PageRequest(7),
            PageRequest(7, backward=True),
            PageRequest(7, after=place[column]),
            PageRequest(100, backward=True, before=place[column]),
        ):
            yield Pages(Kind.LEAK, None, (0,), page, order, wanted)


async def test_a_narrow_scope_and_a_wide_one_have_the_same_pages(world: World) -> None:
    async with open_engine(world.url) as engine:
        store = SQLStore(engine)
        stored = await find_key(engine, parse(world.keys["read"]) or "")
        assert stored is not None
        narrow = stored.caller.default_scope
        wide = Scope(narrow.organization, narrow.domains + NOBODYS)
        everything = Pages(Kind.LEAK, None, (0,), PageRequest(None), Order("added_at"))
        ((all_,),) = await store.run(ask(narrow, [everything]))
        middle = all_.rows[len(all_.rows) // 2]
        place: dict[str, Key] = {
            column: (getattr(middle, column), middle.id) for column in ("added_at", "first_seen", "risk_level")
        }
        found = 0
        for read in _reads(place):
            ((one,),) = await store.run(ask(narrow, [read]))
            ((other,),) = await store.run(ask(wide, [read]))
            assert one == other, read
            found += len(one.rows)
    assert found > 1000


@pytest.mark.parametrize("column", ["added_at", "first_seen", "risk_level"])
async def test_a_filter_by_a_name_finds_what_walking_all_leaks_finds(world: World, column: str) -> None:
    async with open_engine(world.url) as engine:
        store = SQLStore(engine)
        stored = await find_key(engine, parse(world.keys["read"]) or "")
        assert stored is not None
        scope = stored.caller.default_scope
        for wanted in FILTERS[5:]:
            pages = [
                Pages(Kind.LEAK, None, (0,), PageRequest(limit), Order(column, descending=True), wanted)
                for limit in (None, 100)
            ]
            (whole,), (page,) = await store.run(ask(scope, pages))
            assert list(page.rows) == list(whole.rows)[:100]


RARE = [
    Filter(status=(LeakStatus.FALSE_POSITIVE,), risk_level_name=(RiskLevelName.NONE, RiskLevelName.HIGH)),
    Filter(risk_level_name=(RiskLevelName.LOW,)),
    Filter(status=()),
    Filter(risk_level_min=2, risk_level_max=6, added_at_since="2026-02-01T12:00:00.000Z"),
    Filter(first_seen_since="2026-01-20T00:00:00.000Z", status=(LeakStatus.NEW,), resource=HOST, url_contains="e"),
]
TURNS = list(itertools.product(("added_at", "first_seen", "risk_level"), (True, False), range(4)))


@pytest.mark.parametrize("few", [1, 5, 1_000_000])
async def test_a_page_is_the_same_whichever_way_it_is_found(world: World, few: int) -> None:
    async with open_engine(world.url) as engine:
        store = SQLStore(engine, few)
        stored = await find_key(engine, parse(world.keys["read"]) or "")
        assert stored is not None
        narrow = stored.caller.default_scope
        scopes = itertools.cycle((narrow, Scope(narrow.organization, narrow.domains + NOBODYS)))
        lists: list[tuple[Kind | None, str | int]] = [
            (None, 0),
            (Kind.DOMAIN, narrow.domains[0]),
            (Kind.ENDPOINT, world.machine_id),
            (Kind.RESOURCE, world.host_id),
        ]
        turns, found = itertools.cycle(TURNS), 0
        for (via, parent), wanted in itertools.product(lists, FILTERS + RARE):
            whole = Pages(Kind.LEAK, via, (parent,), PageRequest(None), Order("added_at"), wanted)
            ((all_,), (total,)) = await store.run(ask(narrow, [whole, Counts(Kind.LEAK, via, (parent,), wanted)]))
            assert len(all_.rows) == total, whole
            for column, descending, place in itertools.islice(turns, 2):
                order = Order(column, descending)
                page = _placed(place, order, all_.rows)
                ((one,),) = await store.run(ask(next(scopes), [replace(whole, page=page, order=order)]))
                ((rest,),) = await store.run(ask(narrow, [replace(whole, page=replace(page, limit=None), order=order)]))
                limit = page.limit or 0
                expected = rest.rows[-limit:] if page.backward else rest.rows[:limit]
                assert (list(one.rows), one.has_more) == (list(expected), len(rest.rows) > limit), (whole, order, page)
                found += len(one.rows)
    assert found > 200


@pytest.mark.parametrize("few", [1, 5, 1_000_000])
@pytest.mark.parametrize("via", [Kind.DOMAIN, Kind.ENDPOINT, Kind.RESOURCE, Kind.USER])
async def test_of_several_parents_each_has_its_own_page(world: World, via: Kind, few: int) -> None:
    async with open_engine(world.url) as engine:
        if engine.dialect is not SQLITE:
            await engine.run(fetch(Command("ANALYZE")))
        store = SQLStore(engine, few)
        stored = await find_key(engine, parse(world.keys["read"]) or "")
        assert stored is not None
        scope = stored.caller.default_scope
        wide = Scope(scope.organization, scope.domains + NOBODYS)
        ((all_,),) = await store.run(ask(scope, [Pages(Kind.LEAK, None, (0,), PageRequest(None), Order("added_at"))]))
        parents: Sequence[str | int] = scope.domains
        if via is not Kind.DOMAIN:
            order = Order({Kind.ENDPOINT: "filename", Kind.RESOURCE: "resource", Kind.USER: "identity"}[via])
            ids = tuple(leak.id for leak in all_.rows)
            (nodes,) = await store.run(ask(scope, [Pages(via, Kind.LEAK, ids, PageRequest(None), order)]))
            parents = list(dict.fromkeys(node.id for page in nodes for node in page.rows))
        found = 0
        for wanted, limit in itertools.product([*FILTERS, *RARE], (2, 100)):
            page = Pages(Kind.LEAK, via, tuple(parents), PageRequest(limit), Order("added_at"), wanted)
            whole = replace(page, page=PageRequest(None))
            pages, lists = await store.run(ask(wide, [page, whole]))
            assert [list(one.rows) for one in pages] == [list(one.rows)[:limit] for one in lists], page
            found += sum(len(one.rows) for one in pages)
        assert len(parents) > 2
        assert found > 100


def _placed(number: int, order: Order, rows: Sequence[Leak]) -> PageRequest:
    """One of four pages of a list, which may begin or end at a row in its middle."""
    row = rows[len(rows) // 2] if rows else None
    place = (getattr(row, order.column), row.id) if row else None
    return (
        PageRequest(7),
        PageRequest(7, backward=True),
        PageRequest(7, after=place),
        PageRequest(100, backward=True, before=place),
    )[number]
