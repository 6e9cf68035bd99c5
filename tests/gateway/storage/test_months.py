"""What lies far behind in the order of a date costs no more than what lies near."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from gateway.importing.importer import import_leaks
from gateway.storage.database import open_engine
from gateway.storage.dialects import SQLITE
from gateway.storage.domains import add_domain, list_domains
from gateway.storage.engine import fetch
from gateway.storage.organizations import add_organization
from gateway.storage.reads import SQLStore, Statements
from gateway.storage.statements import Command
from schema.pages import Order, PageRequest
from schema.records import Kind, LeakStatus
from schema.scope import Scope
from schema.store import Column, Filter, JsonList, JsonNodes, JsonObject, Pages, Written, ask
from tests.gateway.storage.costs import looked_at

FEW, SETTLED, MONTHS = 60, 40, 24
START = datetime(2024, 1, 1, tzinfo=UTC)
WANTED = [
    Filter(status=(LeakStatus.RESOLVED, LeakStatus.FALSE_POSITIVE)),
    Filter(first_seen_until="2024-01-20T00:00:00.000Z"),
    Filter(added_at_until="2024-01-20T00:00:00.000Z"),
    Filter(added_at_since="2024-01-01T00:00:00.000Z", added_at_until="2024-02-01T00:00:00.000Z"),
    Filter(status=(LeakStatus.RESOLVED,), first_seen_since="2024-01-01T00:00:00.000Z"),
]


def _leaks(number: int) -> Iterator[dict[str, Any]]:
    """So many leaks of two years, the oldest of which are settled; some have no date, and are old as well."""
    for one in range(number):
        seen = START + timedelta(days=30 * MONTHS * one / number)
        is_settled = one < SETTLED
        yield {
            "id": str(UUID(int=one * 7919 % number, version=4)),
            "domain": f"d{one % 12}.example.com",
            "login": f"user{one}@example.com",
            "risk_level": one % 11,
            "status": ("resolved", "false_positive")[one % 2] if is_settled else "new",
            "first_seen": None if one % 10 == 0 and is_settled else _text(seen),
            "added_at": _text(seen + timedelta(hours=1)),
            "connections": {"endpoints": [{"filename": "everything.rar"}]},
        }


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _world(url: str, number: int) -> tuple[Scope, str]:
    """The scope of an organization that has so many leaks, and the machine that has them all."""
    async with open_engine(url) as engine:
        organization = await add_organization(engine, f"Example {number}")
        for domain in range(12):
            await add_domain(engine, organization, f"d{domain}.example.com")
        report = await import_leaks(engine, organization, map(orjson.dumps, _leaks(number)), secret=b"plainly-fake")
        assert report.new == number
        domains = await list_domains(engine, organization)
        if engine.dialect is not SQLITE:
            await engine.run(fetch(Command("ANALYZE")))
        scope = Scope(organization.number, tuple(domain.number for domain in domains), restricted=False)
        find = Command(f"SELECT CAST(id AS text) FROM endpoints WHERE organization_number = {organization.number}")
        ((machine,),) = (await engine.run(fetch(find)))[0]
        return scope, str(machine)


async def test_what_lies_far_behind_costs_the_same_in_a_long_list_and_is_the_same(database_url: str) -> None:
    worlds = [await _world(database_url, number) for number in (1_000, 4_000)]
    async with open_engine(database_url) as engine:
        store, statements = SQLStore(engine, FEW), Statements(engine.dialect, FEW)
        for wanted, column, via in itertools.product(WANTED, ("added_at", "first_seen"), (None, Kind.ENDPOINT)):
            costs = []
            for scope, machine in worlds:
                order = Order(column, descending=True)
                page = Pages(Kind.LEAK, via, (machine if via else 0,), PageRequest(10), order, wanted)
                whole = Pages(Kind.LEAK, via, page.parents, PageRequest(None), order, wanted)
                (found,), (all_,) = await store.run(ask(scope, [page, whole]))
                assert list(found.rows) == list(all_.rows)[:10] != [], page
                costs.append(await looked_at(engine, database_url, statements.command(scope, page)))
                if via is None:
                    written = Written(JsonList(page, (("nodes", JsonNodes(JsonObject((("id", Column("id")),)))),)))
                    (text,) = (await store.run(ask(scope, [written])))[0]
                    ids = [node["id"] for node in orjson.loads(text)["nodes"]]
                    assert ids == [leak.id for leak in found.rows]
                    costs[-1] += await looked_at(engine, database_url, statements.command(scope, written))
            assert costs[1] < 1.7 * costs[0] + 20, (wanted, column, via, costs)
