"""A key that is limited to domains is told, and pages by, the dates that those gave a machine; another all of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import orjson
import pytest

from gateway.app import create_app
from gateway.importing.importer import import_leaks
from gateway.settings import Settings
from gateway.storage.database import open_engine
from schema.records import Kind
from tests.conftest import ENGINES, fresh_database
from tests.records import SECRET, UNKNOWN_ID, World, fill
from tests.serving import Gateway, running

Dates: TypeAlias = Mapping[str, str | None]
Told: TypeAlias = list[tuple[str, str | None]]

JAN, MAR, MAY, OCT = (f"2026-{month}-01T00:00:00.000Z" for month in ("01", "03", "05", "10"))
OF_NET: Dates = {"a": MAR, "b": MAY, "c": None, "d": JAN, "e": MAY, "f": None, "g": JAN}
OF_COM: Dates = {"a": None, "b": MAR, "c": OCT, "d": OCT, "e": OCT, "f": None, "g": MAY}
OF_BOTH: Dates = {"a": MAR, "b": MAY, "c": OCT, "d": OCT, "e": OCT, "f": None, "g": MAY}
LEAK_ID = UNKNOWN_ID
SEEN = {"restricted": OF_NET, "read": OF_BOTH}

ONE = "query ($id: ID!, $n: Int, $at: String) { leak(id: $id) { connections { %s } } }"
FORWARD = ONE % "endpoints(first: $n, after: $at) { totalCount edges { cursor node { filename date } } }"
BACKWARD = ONE % "endpoints(last: $n, before: $at) { totalCount edges { cursor node { filename date } } }"
WRITTEN = """{ leaks(first: 1, orderBy: {field: RISK_LEVEL}, filter: {filename: "a"}) { nodes { connections { endpoints {
    nodes { filename date leaks(first: 1, filter: {riskLevel: {min: 10}}) { nodes { connections { endpoints(last: 3) {
    nodes { filename date } } } } } } } } } } }"""
BY_ID = "query ($ids: [ID!]!, $id: ID!) { nodes(ids: $ids) { ...M } node(id: $id) { ...M } } fragment M on Endpoint { filename date }"


@pytest.fixture(scope="module", params=ENGINES)
def dated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A leak of one domain, which the limited key has, and another's of the same machines, with other dates."""
    world = asyncio.run(fill(fresh_database(request, tmp_path_factory.mktemp("dated"), request.param)))
    asyncio.run(import_dates(world))
    return world


async def import_dates(world: World) -> None:
    secret, owner = Settings(secret=SECRET).secrets.fingerprint, world.organizations["corp"]
    net = {"id": LEAK_ID, "domain": "example.net", "risk_level": 10, "login": "net", **connected(OF_NET)}
    com = {"domain": "example.com", "risk_level": 9, "login": "com", **connected(OF_COM)}
    async with open_engine(world.url) as engine:
        summary = await import_leaks(engine, owner, map(orjson.dumps, (net, com)), secret=secret)
    assert summary.new == 2


def connected(dates: Dates) -> dict[str, Any]:
    return {"connections": {"endpoints": [{"filename": name, "date": date} for name, date in dates.items()]}}


@asynccontextmanager
async def gateway_of(world: World, executor: str) -> AsyncIterator[Gateway]:
    async with running(create_app(replace(world.settings, executor=executor))) as client:
        yield Gateway(client, world)


def newest_first(world: World, dates: Dates) -> Told:
    """The machines as a list has them: those of a date by id, those without one last."""
    return sorted(dates.items(), key=lambda one: (one[1] or "", world.node_id(Kind.ENDPOINT, one[0])), reverse=True)


def told(nodes: list[dict[str, Any]]) -> Told:
    return [(node["filename"], node["date"]) for node in nodes]


async def walk(gateway: Gateway, query: str, key: str) -> list[Told]:
    """The pages of two of the leak's machines, from one end to the other."""
    pages: list[Told] = []
    at = None
    while not pages or pages[-1]:
        data = await gateway.ask(query, {"id": LEAK_ID, "n": 2, "at": at}, key)
        found = data["leak"]["connections"]["endpoints"]
        assert found["totalCount"] == len(OF_NET)
        pages.append(told([edge["node"] for edge in found["edges"]]))
        if pages[-1]:
            at = found["edges"][-1 if query is FORWARD else 0]["cursor"]
    return pages


@pytest.mark.parametrize("executor", ["planner", "interpreter"])
async def test_a_limited_key_pages_by_the_dates_that_its_own_domains_gave(dated: World, executor: str) -> None:
    async with gateway_of(dated, executor) as gateway:
        for key, dates in SEEN.items():
            expected = newest_first(dated, dates)
            forward, backward = [await walk(gateway, query, key) for query in (FORWARD, BACKWARD)]
            assert forward == [expected[:2], expected[2:4], expected[4:6], expected[6:], []]
            assert backward == [expected[5:], expected[3:5], expected[1:3], expected[:1], []]


@pytest.mark.parametrize("executor", ["planner", "interpreter"])
async def test_a_date_is_that_of_the_keys_own_domains_however_it_is_reached(dated: World, executor: str) -> None:
    ids = [dated.node_id(Kind.ENDPOINT, filename) for filename in OF_NET]
    async with gateway_of(dated, executor) as gateway:
        # The key that is limited to none comes first: what is kept of its statements is not the other's.
        for key, dates in reversed(SEEN.items()):
            expected = newest_first(dated, dates)
            by_id = await gateway.ask(BY_ID, {"ids": ids, "id": ids[2]}, key)
            assert (told(by_id["nodes"]), told([by_id["node"]])) == (list(dates.items()), [("c", dates["c"])])
            (leak,) = (await gateway.ask(WRITTEN, key=key))["leaks"]["nodes"]
            machines = leak["connections"]["endpoints"]["nodes"]
            assert told(machines) == expected
            for machine in machines:
                (nested,) = machine["leaks"]["nodes"]
                assert told(nested["connections"]["endpoints"]["nodes"]) == expected[-3:]
            rest = (await gateway.get(f"/leaks/{LEAK_ID}", key)).json()
            assert told(rest["data"]["connections"]["endpoints"]) == expected


async def test_a_key_that_is_limited_to_none_is_told_the_organizations_dates_in_whatever_domains_it_names(
    dated: World,
) -> None:
    query = "query ($in: [ID!], $id: ID!) { leak(id: $id, domainIds: $in) { connections { endpoints { nodes { filename date } } } } }"
    async with gateway_of(dated, "planner") as gateway:
        for key, dates in SEEN.items():
            for named in (None, [dated.domain_id("example.net")]):
                data = await gateway.ask(query, {"in": named, "id": LEAK_ID}, key)
                assert told(data["leak"]["connections"]["endpoints"]["nodes"]) == newest_first(dated, dates)
