"""Every list of leaks: by each filter, in each order, from each parent. A key finds its own there, and they alone.

Some ways to a page are taken where a scope is wide, or where what is looked for is frequent. So the keys have many
domains and few, and it takes few leaks to be frequent.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any, TypeAlias
from unittest.mock import patch

import gateway.app
from gateway.storage.reads import SQLStore
from tests.isolation.checks import assert_sees_its_own
from tests.isolation.tenants import SHARED_NODE_ID, Tenants
from tests.records import HOST, MACHINE, PERSON, Record
from tests.serving import Answer, Gateway, running

Filter: TypeAlias = Mapping[str, Any]
Asked: TypeAlias = tuple[Filter, str, str, int]

KEYS = tuple(f"canary-key-{name}" for name in ("1-all", "1-wide", "1-old", "3-all"))
FEW = 5
"""How many leaks are few: there are more of what is shared, and fewer of what belongs to one leak."""

_ORDERS = ("RISK_LEVEL", "FIRST_SEEN", "ADDED_AT")
_FIRST_SEEN = {"since": "2025-03-01T00:00:00.000Z", "until": "2025-10-01T00:00:00.000Z"}
_ADDED_AT = {"since": "2026-02-01T00:00:00.000Z", "until": "2026-09-01T00:00:00.000Z"}
_LEVELS = ("NONE", *["LOW"] * 3, *["MEDIUM"] * 3, *["HIGH"] * 4)
_FILTERS: Sequence[tuple[Filter, Sequence[str]]] = (
    ({}, _ORDERS),
    ({"login": PERSON}, ("ADDED_AT",)),
    ({"resource": HOST}, ("RISK_LEVEL",)),
    ({"identity": PERSON}, ("FIRST_SEEN",)),
    ({"filename": MACHINE}, ("ADDED_AT",)),
    ({"status": ["NEW"]}, ("RISK_LEVEL", "ADDED_AT")),
    ({"riskLevelName": ["LOW"]}, ("ADDED_AT",)),
    ({"status": ["NEW", "RESOLVED"], "riskLevelName": ["NONE", "MEDIUM"]}, ("FIRST_SEEN",)),
    ({"riskLevel": {"min": 9}}, ("ADDED_AT",)),
    ({"riskLevel": {"min": 3, "max": 8}}, ("RISK_LEVEL",)),
    ({"firstSeen": _FIRST_SEEN}, ("FIRST_SEEN", "ADDED_AT")),
    ({"addedAt": _ADDED_AT}, ("RISK_LEVEL", "FIRST_SEEN")),
    ({"firstSeen": _FIRST_SEEN, "addedAt": _ADDED_AT}, ("ADDED_AT",)),
    ({"addedAt": _ADDED_AT, "status": ["NEW", "INVESTIGATING"]}, ("FIRST_SEEN",)),
    ({"urlContains": "canary", "status": ["RESOLVED"]}, ("RISK_LEVEL",)),
    ({"login": PERSON, "status": ["RESOLVED", "INVESTIGATING"]}, ("FIRST_SEEN",)),
    ({"filename": MACHINE, "login": PERSON, "riskLevel": {"min": 3}}, ("ADDED_AT",)),
)
"""Each with the orders in which it is asked for."""

_LIST = "leaks(first: $n, filter: $f, orderBy: {field: $o, direction: $d})"
_PAGED = f"{_LIST} {{ totalCount edges {{ cursor node {{ id }} }} }}"
_WRITTEN = f"{_LIST} {{ totalCount edges {{ node {{ id url }} }} }}"
_NODES = "nodes(ids: $ids) { ... on Resource { id %s } ... on User { id %s } ... on Endpoint { id %s } }"
_QUERIES = tuple(
    f"""query ($n: Int, $f: LeakFilter, $o: LeakOrderField!, $d: OrderDirection!, $ids: [ID!]!) {{
    {shown} organization {{ domains {{ nodes {{ name {shown} }} }} }} {_NODES % (shown, shown, shown)} }}"""
    for shown in (_PAGED, _WRITTEN)
)
_WHOLE = "{ nodes { id leaks(first: 100) { totalCount edges { node { id } } } } }"
_OF_LEAK = (
    f"query ($id: ID!) {{ leak(id: $id) {{ connections {{ resources {_WHOLE} users {_WHOLE} endpoints {_WHOLE} }} }} }}"
)
_CONNECTED = "{ totalCount edges { cursor node { id } } }"
_CONNECTIONS = f"""{{ leaks(first: 100) {{ edges {{ cursor node {{ id connections {{
    resources {_CONNECTED} users {_CONNECTED} endpoints {_CONNECTED} }} }} }} }} }}"""


async def assert_every_list_holds_its_own(tenants: Tenants, keys: Sequence[str] = KEYS) -> None:
    """Assert it for some keys, over a database that was just filled."""
    async with few_leaks_are(FEW, tenants) as asked:
        for key in keys:
            await assert_sees_its_own(asked, tenants, key)
        for key in keys:
            await _assert_connects_its_own(asked, tenants, key)
            await _assert_reaches_its_own(asked, tenants, key)
            for wanted, query in zip(_questions(tenants, key), cycle(_QUERIES), strict=False):
                await _assert_finds_its_own(asked, tenants, key, wanted, query)


@asynccontextmanager
async def few_leaks_are(few: int, tenants: Tenants) -> AsyncIterator[Gateway]:
    """A gateway that gathers so many leaks for a page at the most."""
    with patch.object(gateway.app, "SQLStore", partial(SQLStore, few=few)):
        app = gateway.app.create_app(replace(tenants.world.settings, rate_limit=0))
    async with running(app) as client:
        yield Gateway(client, tenants.world)


def _questions(tenants: Tenants, key: str) -> Iterator[Asked]:
    """Filters, orders, directions and how many are asked for: what all share, and what belongs to one leak."""
    *_, record = tenants.visible(key)
    own = record["connections"]
    names = {"resource": own["resources"][1]["resource"], "login": record["login"]}
    rare = [({name: value}, _ORDERS[:1]) for name, value in names.items()]
    turns = cycle((("DESC", 100), ("ASC", 100), ("DESC", 2), ("ASC", 2), ("DESC", 100)))
    for wanted, orders in (*_FILTERS, *rare):
        for order in orders:
            yield (wanted, order, *next(turns))


async def _assert_finds_its_own(asked: Gateway, tenants: Tenants, key: str, wanted: Asked, query: str) -> None:
    visible, organization = tenants.visible(key), tenants.keys[key].organization
    ids = [*tenants.node_ids(organization, visible[0]), SHARED_NODE_ID]
    values = dict(zip(("f", "o", "d", "n", "ids"), (*wanted, ids), strict=True))
    data = await asked.ask(query, values, key)
    _assert_holds(data["leaks"], visible, wanted)
    for domain in data["organization"]["domains"]["nodes"]:
        _assert_holds(domain["leaks"], [one for one in visible if one["domain"] == domain["name"]], wanted)
    nodes = [node for node in data["nodes"] if node is not None]
    assert [node["id"] for node in nodes[:6]] == ids[:6]
    _assert_nodes_hold_their_own(tenants, key, nodes, wanted)


def _assert_nodes_hold_their_own(tenants: Tenants, key: str, nodes: Sequence[Answer], wanted: Asked) -> None:
    organization, visible = tenants.keys[key].organization, tenants.visible(key)
    for node in nodes:
        connected = [one for one in visible if node["id"] in tenants.tokens_of(organization, one)]
        _assert_holds(node["leaks"], connected, wanted)


async def _assert_reaches_its_own(asked: Gateway, tenants: Tenants, key: str) -> None:
    """The leaks of all that a leak is connected to, which the store writes as a whole."""
    leak_id = tenants.visible(key)[0]["id"]
    connections = (await asked.ask(_OF_LEAK, {"id": leak_id}, key))["leak"]["connections"]
    nodes = [node for listed in connections.values() for node in listed["nodes"]]
    _assert_nodes_hold_their_own(tenants, key, nodes, ({}, "ADDED_AT", "DESC", 100))


async def _assert_connects_its_own(asked: Gateway, tenants: Tenants, key: str) -> None:
    """Each leak is connected to what its own record says, and to each thing once."""
    organization = tenants.keys[key].organization
    records = {record["id"]: record for record in tenants.visible(key)}
    edges = (await asked.ask(_CONNECTIONS, key=key))["leaks"]["edges"]
    assert sorted(edge["node"]["id"] for edge in edges) == sorted(records)
    for leak in (edge["node"] for edge in edges):
        planted = [SHARED_NODE_ID] if (organization, leak["id"]) in tenants.planted else []
        expected = sorted([*tenants.node_ids(organization, records[leak["id"]]), *planted])
        lists = leak["connections"].values()
        assert sorted(edge["node"]["id"] for one in lists for edge in one["edges"]) == expected
        assert sum(one["totalCount"] for one in lists) == len(expected)


def _assert_holds(listed: Answer, records: Sequence[Record], wanted: Asked) -> None:
    """Assert that a list holds those records that its filter leaves, in its order."""
    filter_, order, direction, first = wanted
    left = [record for record in records if _matches(record, filter_)]
    left.sort(key=lambda record: (record[order.lower()], record["id"]), reverse=direction == "DESC")
    found = [edge["node"]["id"] for edge in listed["edges"]]
    assert (found, listed["totalCount"]) == ([record["id"] for record in left][:first], len(left)), wanted


def _matches(record: Record, wanted: Filter) -> bool:
    return all(_holds(record, part, value) for part, value in wanted.items())


def _holds(record: Record, part: str, value: Any) -> object:  # noqa: PLR0911 - a line a part
    match part:
        case "status":
            return record["status"].upper() in value
        case "riskLevelName":
            return _LEVELS[record["risk_level"]] in value
        case "riskLevel":
            return value["min"] <= record["risk_level"] <= value.get("max", 10)
        case "firstSeen" | "addedAt":
            at = record["first_seen" if part == "firstSeen" else "added_at"]
            return value["since"] <= at < value["until"]
        case "login":
            return record["login"] == value
        case "urlContains":
            return value in record["url"]
    return value in str(record["connections"])
