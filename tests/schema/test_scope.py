"""Nobody reaches, counts or guesses a record outside their scope, whatever way they take."""

from functools import partial
from typing import Any

import pytest

from schema.records import Kind
from tests.records import (
    ARCHIVED_LEAK_ID,
    EXAMPLE_ID,
    HOST,
    LABS_LEAKS,
    LARGE_ID,
    MACHINE,
    OLDER_ARCHIVED_LEAK_ID,
    OTHER_DOMAIN_LEAK_ID,
    OTHER_ORGANIZATION_LEAK_ID,
    PERSON,
    UNKNOWN_ID,
    Record,
    has,
)
from tests.serving import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

IN_USE = ("example.com", "example.net", "quiet.example.com")
LEAKS = "leaks(first: 100) { totalCount nodes { id domain { name } } }"
SHARED = f"... on Resource {{ {LEAKS} }} ... on User {{ {LEAKS} }} ... on Endpoint {{ {LEAKS} }}"
ONLY_ARCHIVED = "only-in-the-archive@example.com"


def told(leaks: dict[str, Any]) -> tuple[int, list[str]]:
    return leaks["totalCount"], [leak["id"] for leak in leaks["nodes"]]


def shared_nodes(gateway: Gateway, organization: str = "corp") -> dict[Kind, str]:
    world = gateway.world
    return {
        Kind.RESOURCE: world.node_id(Kind.RESOURCE, HOST, "domain", organization=organization),
        Kind.USER: world.node_id(Kind.USER, PERSON, "email", organization=organization),
        Kind.ENDPOINT: world.node_id(Kind.ENDPOINT, MACHINE, organization=organization),
    }


def _is_connected_to(user: Record, leak: Record) -> bool:
    return user in leak["connections"]["users"]


def _holds(kind: Kind) -> Any:
    if kind is Kind.USER:
        return lambda leak: {"identity": PERSON, "identity_type": "email"} in leak["connections"]["users"]
    return has(kind, HOST if kind is Kind.RESOURCE else MACHINE)


# ------------------------------------------------------- shared things lead nowhere else


@pytest.mark.parametrize("kind", [Kind.RESOURCE, Kind.USER, Kind.ENDPOINT])
async def test_through_a_shared_thing_only_leaks_in_scope_are_reached_and_counted(gateway: Gateway, kind: Kind) -> None:
    query = f"query ($id: ID!) {{ node(id: $id) {{ {SHARED} }} }}"
    id_ = shared_nodes(gateway)[kind]
    for key, domains in (("read", IN_USE), ("restricted", ("example.net",))):
        expected = gateway.world.corp.leaks(domains, _holds(kind))
        data = await gateway.ask(query, {"id": id_}, key)
        assert told(data["node"]["leaks"]) == (len(expected), expected)


async def test_through_a_leak_and_its_machine_the_scope_of_the_root_holds(gateway: Gateway) -> None:
    query = """query ($id: ID!, $in: [ID!]) { leak(id: $id, domainIds: $in) { connections {
                 endpoints(first: 5) { nodes { leaks(first: 100) { totalCount nodes { id connections { users(first: 2) { nodes {
                   identity identityType leaks(first: 20) { totalCount nodes { id domain { name } } } } } } } } } } } } }"""
    world = gateway.world
    for names in (("example.net",), ("example.net", "old.example.com")):
        ids = [world.domain_id(name) for name in names]
        data = await gateway.ask(query, {"id": OTHER_DOMAIN_LEAK_ID, "in": ids})
        (machine,) = data["leak"]["connections"]["endpoints"]["nodes"]
        expected = world.corp.leaks(names, _holds(Kind.ENDPOINT))
        assert told(machine["leaks"]) == (len(expected), expected)
        below = [user for leak in machine["leaks"]["nodes"] for user in leak["connections"]["users"]["nodes"]]
        reached = {leak["domain"]["name"] for user in below for leak in user["leaks"]["nodes"]}
        assert reached == set(names)
        for user in below:
            told_of = {"identity": user["identity"], "identity_type": user["identityType"].lower()}
            of_user = world.corp.leaks(names, partial(_is_connected_to, told_of))
            assert told(user["leaks"]) == (len(of_user), of_user[:20])


@pytest.mark.parametrize("also", ["", "__schema { queryType { name } }"], ids=["planned", "interpreted"])
async def test_each_root_field_has_a_scope_of_its_own(gateway: Gateway, also: str) -> None:
    world = gateway.world
    com, net, old = (world.domain_id(name) for name in ("example.com", "example.net", "old.example.com"))
    query = """query ($com: [ID!], $net: [ID!], $old: [ID!], $machine: ID!) {
                 com: leaks(domainIds: $com) { totalCount nodes { connections { endpoints { nodes { leaks { totalCount } } } } } }
                 net: leaks(domainIds: $net) { totalCount } all: leaks { totalCount } old: leaks(domainIds: $old) { totalCount }
                 node(id: $machine) { ... on Endpoint { leaks { totalCount } } } %s }"""
    data = await gateway.ask(query % also, {"com": [com], "net": [net], "old": [old], "machine": world.machine_id})
    corp = world.corp
    for name, domains in (
        ("com", ["example.com"]),
        ("net", ["example.net"]),
        ("all", IN_USE),
        ("old", ["old.example.com"]),
    ):
        assert data[name]["totalCount"] == len(corp.leaks(domains))
    assert data["node"]["leaks"]["totalCount"] == len(corp.leaks(IN_USE, _holds(Kind.ENDPOINT)))
    in_com = len(corp.leaks(["example.com"], _holds(Kind.ENDPOINT)))
    for leak in data["com"]["nodes"]:
        assert all(machine["leaks"]["totalCount"] <= in_com for machine in leak["connections"]["endpoints"]["nodes"])


async def test_a_thing_that_only_leaks_out_of_scope_are_connected_to_is_not_there(gateway: Gateway) -> None:
    world = gateway.world
    only_net = world.node_id(Kind.RESOURCE, "host-129.example.net", "domain")
    for key, is_there in (
        ("read", True),
        ("restricted", True),
        ("restricted to nothing", False),
        ("labs", False),
        ("nobody", False),
    ):
        data = await gateway.ask(
            "query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }", {"id": only_net}, key
        )
        assert (data["node"] is not None, data["nodes"] != [None]) == (is_there, is_there), key


async def test_domains_lead_to_leaks_in_scope_only(gateway: Gateway) -> None:
    query = "{ organization { domains(includeArchived: true) { nodes { name leaks(first: 100) { totalCount nodes { id } } } } } }"
    for key, visible in (("read", IN_USE), ("restricted", ("example.net",)), ("restricted to the archived", ())):
        data = await gateway.ask(query, key=key)
        for domain in data["organization"]["domains"]["nodes"]:
            expected = gateway.world.corp.leaks([domain["name"]]) if domain["name"] in visible else []
            assert (domain["leaks"]["totalCount"], [leak["id"] for leak in domain["leaks"]["nodes"]]) == (
                len(expected),
                expected[:100],
            )


# ------------------------------------------------------------------- archived domains


async def test_an_archived_domain_is_in_scope_only_when_named(gateway: Gateway) -> None:
    world = gateway.world
    old, com = world.domain_id("old.example.com"), world.domain_id("example.com")
    query = f"query ($in: [ID!]) {{ {LEAKS.replace('first: 100', 'first: 100, domainIds: $in')} }}"
    for ids, names in ((None, IN_USE), ([old], ["old.example.com"]), ([com, old], ["example.com", "old.example.com"])):
        data = await gateway.ask(query, {"in": ids})
        expected = world.corp.leaks(names)
        assert told(data["leaks"]) == (len(expected), expected[:100])


async def test_an_archived_leak_is_found_by_its_id_only_where_its_domain_is_named(gateway: Gateway) -> None:
    world = gateway.world
    old, older, com = (world.domain_id(name) for name in ("old.example.com", "older.example.com", "example.com"))
    query = "query ($id: ID!, $in: [ID!]) { leak(id: $id, domainIds: $in) { id } }"
    for ids, is_there in ((None, False), ([com], False), ([older], False), ([old], True), ([com, old], True)):
        data = await gateway.ask(query, {"id": ARCHIVED_LEAK_ID, "in": ids})
        assert (data["leak"] is not None) == is_there
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Domain { leaks { totalCount } } } }"
    for ids, is_there in (
        ([ARCHIVED_LEAK_ID], False),
        ([com, ARCHIVED_LEAK_ID], False),
        ([old, ARCHIVED_LEAK_ID], True),
        ([old, OLDER_ARCHIVED_LEAK_ID], False),
        ([older, ARCHIVED_LEAK_ID], False),
        ([old, older, OLDER_ARCHIVED_LEAK_ID], True),
    ):
        data = await gateway.ask(query, {"ids": ids})
        assert (data["nodes"][-1] is not None) == is_there


async def test_naming_an_archived_domain_as_a_node_brings_it_into_the_scope_below(gateway: Gateway) -> None:
    world = gateway.world
    expected = world.corp.leaks(["old.example.com"])
    for query in (f"query ($id: ID!) {{ found: domain(id: $id) {{ {LEAKS} }} }}",
                  f"query ($id: ID!) {{ found: node(id: $id) {{ ... on Domain {{ {LEAKS} }} }} }}"):  # fmt: skip
        for key in ("read", "restricted to the archived"):
            data = await gateway.ask(query, {"id": world.domain_id("old.example.com")}, key)
            assert told(data["found"]["leaks"]) == (len(expected), expected)
        assert await gateway.ask(query, {"id": world.domain_id("old.example.com")}, "restricted") == {"found": None}


async def test_a_filter_finds_nothing_in_an_archived_domain_that_is_not_named(gateway: Gateway) -> None:
    query = "query ($login: String, $in: [ID!]) { leaks(filter: {login: $login}, domainIds: $in) { totalCount } }"
    for ids, count in ((None, 0), ([gateway.world.domain_id("old.example.com")], 1)):
        assert await gateway.ask(query, {"login": ONLY_ARCHIVED, "in": ids}) == {"leaks": {"totalCount": count}}


# ----------------------------------------------------------------- other organizations


async def test_an_organization_sees_its_own_leaks_by_ids_and_names_that_both_have(gateway: Gateway) -> None:
    query = f"query ($id: ID!) {{ leak(id: $id) {{ login riskLevel domain {{ name }} }} {LEAKS} }}"
    data = await gateway.ask(query, {"id": EXAMPLE_ID}, "labs")
    assert data["leak"] == {"login": "other@example.org", "riskLevel": 9, "domain": {"name": "example.org"}}
    expected = gateway.world.labs.leaks()
    assert told(data["leaks"]) == (len(LABS_LEAKS), expected)
    data = await gateway.ask(query, {"id": EXAMPLE_ID})
    assert data["leak"] == {"login": "user@example.com", "riskLevel": 5, "domain": {"name": "example.com"}}


async def test_filters_by_a_name_that_both_have_find_the_callers_own(gateway: Gateway) -> None:
    for wanted in ({"resource": HOST}, {"identity": PERSON}, {"filename": MACHINE}):
        data = await gateway.ask(
            "query ($f: LeakFilter) { leaks(filter: $f) { totalCount nodes { id } } }", {"f": wanted}, "labs"
        )
        assert told(data["leaks"]) == (2, gateway.world.labs.leaks())


async def test_another_organizations_ids_are_as_good_as_none_in_every_argument(gateway: Gateway) -> None:
    world = gateway.world
    labs_domain = world.domain_id("example.org", "labs")
    theirs = [
        OTHER_ORGANIZATION_LEAK_ID,
        labs_domain,
        world.organizations["labs"].id,
        *shared_nodes(gateway, "labs").values(),
    ]
    query = """query ($id: ID!) { node(id: $id) { __typename } nodes(ids: [$id]) { __typename } leak(id: $id) { id } domain(id: $id) { id } }"""
    nothing = await gateway.ask(query, {"id": UNKNOWN_ID})
    assert nothing == {"node": None, "nodes": [None], "leak": None, "domain": None}
    for id_ in theirs:
        assert await gateway.ask(query, {"id": id_}) == nothing
        assert await gateway.ask(query, {"id": id_}, "labs") != nothing


async def test_a_domain_that_is_not_the_keys_is_forbidden_in_one_way(gateway: Gateway) -> None:
    world = gateway.world
    com = world.domain_id("example.com")
    for query in (
        "query ($in: [ID!]) { leaks(domainIds: $in) { totalCount } }",
        f'query ($in: [ID!]) {{ leak(id: "{EXAMPLE_ID}", domainIds: $in) {{ id }} }}',
    ):
        answers = [
            await gateway.answer(query, {"in": ids}, key)
            for key, ids in (
                ("read", [UNKNOWN_ID]),
                ("read", [world.domain_id("example.org", "labs")]),
                ("read", [com, world.domain_id("example.com", "labs")]),
                ("read", [EXAMPLE_ID]),
                ("read", [world.organizations["corp"].id]),
                ("restricted", [com]),
                ("restricted", [world.domain_id("example.net"), com]),
                ("restricted", [world.domain_id("old.example.com")]),
                ("restricted to nothing", [com]),
                ("nobody", [com]),
            )
        ]
        assert all(answer == answers[0] for answer in answers)
        (error,) = answers[0]["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}


@pytest.mark.parametrize("ids", [[], ["foo"], [""], ["{com}", "foo"], ["{com}"] * 101, [5]])
async def test_domain_ids_are_one_to_a_hundred_uuids(gateway: Gateway, ids: list[Any]) -> None:
    com = gateway.world.domain_id("example.com")
    sent = [com if id_ == "{com}" else id_ for id_ in ids]
    query = "query ($in: [ID!]) { leaks(domainIds: $in) { totalCount } }"
    assert await gateway.codes(query, {"in": sent}) == ["BAD_USER_INPUT"]


async def test_domain_ids_may_repeat_and_come_in_any_case_and_order(gateway: Gateway) -> None:
    world = gateway.world
    com, net = world.domain_id("example.com"), world.domain_id("example.net")
    expected = len(world.corp.leaks(["example.com", "example.net"]))
    query = "query ($in: [ID!]) { leaks(domainIds: $in) { totalCount } }"
    for ids in ([com, net], [net, com], [com.upper(), net, com], [com, net] * 50):
        assert await gateway.ask(query, {"in": ids}) == {"leaks": {"totalCount": expected}}
    single = await gateway.ask("query ($in: ID!) { leaks(domainIds: [$in]) { totalCount } }", {"in": com})
    assert single == {"leaks": {"totalCount": len(world.corp.leaks(["example.com"]))}}


async def test_a_list_goes_on_by_its_cursor_in_whatever_order_its_domains_are_named(gateway: Gateway) -> None:
    world = gateway.world
    com, net = world.domain_id("example.com"), world.domain_id("example.net")
    query = "query ($in: [ID!], $after: String) { leaks(first: 5, domainIds: $in, after: $after) { nodes { id } pageInfo { endCursor } } }"
    page = (await gateway.ask(query, {"in": [com, net]}))["leaks"]
    more = await gateway.ask(query, {"in": [net.upper(), com, com], "after": page["pageInfo"]["endCursor"]})
    assert [leak["id"] for leak in more["leaks"]["nodes"]] == world.corp.leaks(["example.com", "example.net"])[5:10]


# ------------------------------------------------------------------- restricted keys


async def test_a_restricted_key_sees_its_domains_and_no_other(gateway: Gateway) -> None:
    world = gateway.world
    query = f"{{ organization {{ domains(includeArchived: true) {{ totalCount nodes {{ name }} }} }} {LEAKS} }}"
    for key, names, visible in (
        ("restricted", ["example.net"], ["example.net"]),
        ("restricted to the archived", ["old.example.com"], []),
        ("restricted to nothing", [], []),
    ):
        data = await gateway.ask(query, key=key)
        assert [domain["name"] for domain in data["organization"]["domains"]["nodes"]] == names
        assert data["organization"]["domains"]["totalCount"] == len(names)
        expected = world.corp.leaks(visible)
        assert told(data["leaks"]) == (len(expected), expected)


async def test_a_restricted_key_finds_nothing_of_another_domain_by_id(gateway: Gateway) -> None:
    world = gateway.world
    query = """query ($id: ID!) { node(id: $id) { __typename } nodes(ids: [$id]) { __typename } leak(id: $id) { id } domain(id: $id) { id } }"""
    for id_ in (EXAMPLE_ID, ARCHIVED_LEAK_ID, world.domain_id("example.com"), world.domain_id("old.example.com")):
        data = await gateway.ask(query, {"id": id_}, "restricted")
        assert data == {"node": None, "nodes": [None], "leak": None, "domain": None}
    data = await gateway.ask(query, {"id": LARGE_ID}, "restricted")
    assert data["leak"] == {"id": LARGE_ID}


async def test_an_organization_without_domains_has_no_leaks(gateway: Gateway) -> None:
    query = f"{{ organization {{ name domains {{ totalCount nodes {{ id }} }} }} {LEAKS} }}"
    assert await gateway.ask(query, key="nobody") == {
        "organization": {"name": "Example Nobody", "domains": {"totalCount": 0, "nodes": []}},
        "leaks": {"totalCount": 0, "nodes": []},
    }
