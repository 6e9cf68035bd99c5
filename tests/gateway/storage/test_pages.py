"""The scope's own leaks are the same ones, however they are found."""

import itertools
from collections.abc import Iterator

import pytest

from gateway.keys import parse
from gateway.storage.callers import find_key
from gateway.storage.database import open_engine
from gateway.storage.reads import SQLStore
from schema.pages import Key, Order, PageRequest
from schema.records import Kind, LeakStatus
from schema.scope import Scope
from schema.store import Filter, Pages, ask
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
