"""Where a query may start, and what its fields tell."""

import pytest

from schema.records import Kind
from tests.records import (
    ARCHIVED_AT,
    ARCHIVED_LEAK_ID,
    BARE_ID,
    EXAMPLE_ID,
    FAR_AWAY,
    HOST,
    LARGE_ID,
    MACHINE,
    OTHER_DOMAIN_LEAK_ID,
    PERSON,
    UNKNOWN_ID,
    Record,
)
from tests.serving import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEAK = """{ id riskLevel riskLevelName status url login password firstSeen addedAt domain { id name archivedAt }
            connections { resources { totalCount nodes { id resource type } } users { totalCount nodes { id identity identityType } }
                          endpoints { totalCount nodes { id filename date } } } }"""
EVERY_TYPE = """{ __typename id ... on Organization { name } ... on Domain { name archivedAt } ... on Leak { login }
                  ... on Resource { resource type } ... on User { identity identityType } ... on Endpoint { filename date } }"""


async def test_a_leak_is_told_whole(gateway: Gateway) -> None:
    world = gateway.world
    connected = {kind: world.corp.connected(EXAMPLE_ID, kind) for kind in (Kind.RESOURCE, Kind.USER, Kind.ENDPOINT)}
    assert await gateway.ask("query ($id: ID!) { leak(id: $id) " + LEAK + " }", {"id": EXAMPLE_ID}) == {
        "leak": {
            "id": EXAMPLE_ID,
            "riskLevel": 5,
            "riskLevelName": "MEDIUM",
            "status": "NEW",
            "url": "https://example.com/login",
            "login": "user@example.com",
            "password": "***",
            "firstSeen": "2025-12-05T00:00:00.000Z",
            "addedAt": "2025-12-05T01:09:22.879Z",
            "domain": {"id": world.domain_id("example.com"), "name": "example.com", "archivedAt": None},
            "connections": {
                "resources": {
                    "totalCount": 4,
                    "nodes": [
                        {"id": node["id"], "resource": node["resource"], "type": node["type"].upper()}
                        for node in connected[Kind.RESOURCE]
                    ],
                },
                "users": {
                    "totalCount": 2,
                    "nodes": [
                        {"id": node["id"], "identity": node["identity"], "identityType": node["identity_type"].upper()}
                        for node in connected[Kind.USER]
                    ],
                },
                "endpoints": {
                    "totalCount": 3,
                    "nodes": [
                        {"id": node["id"], "filename": node["filename"], "date": node["date"]}
                        for node in connected[Kind.ENDPOINT]
                    ],
                },
            },
        }
    }


async def test_what_a_leak_lacks_is_null_or_empty(gateway: Gateway) -> None:
    data = await gateway.ask("query ($id: ID!) { leak(id: $id) " + LEAK + " }", {"id": BARE_ID})
    leak = data["leak"]
    assert (leak["url"], leak["firstSeen"], leak["addedAt"]) == (None, None, None)
    assert (leak["riskLevel"], leak["riskLevelName"], leak["status"]) == (0, "NONE", "FALSE_POSITIVE")
    for part in leak["connections"].values():
        assert part == {"totalCount": 0, "nodes": []}


async def test_a_leak_by_an_id_that_nothing_visible_has_is_null(gateway: Gateway) -> None:
    for id_ in (UNKNOWN_ID, "foo", "", "\x00", "🔑", EXAMPLE_ID.replace("-", ""), gateway.world.machine_id, "x" * 5000):
        data = await gateway.ask(
            "query ($id: ID!) { leak(id: $id) { id } node(id: $id) { ... on Leak { login } } }", {"id": id_}
        )
        assert data["leak"] is None
        assert data["node"] in (None, {})


async def test_an_id_may_be_an_integer_by_its_type_and_is_no_uuid(gateway: Gateway) -> None:
    assert await gateway.ask("{ leak(id: 5) { id } node(id: 5) { id } nodes(ids: [5]) { id } }") == {
        "leak": None,
        "node": None,
        "nodes": [None],
    }


async def test_an_id_may_be_in_upper_case(gateway: Gateway) -> None:
    id_ = EXAMPLE_ID.upper()
    data = await gateway.ask(
        "query ($id: ID!) { leak(id: $id) { id } node(id: $id) { id } nodes(ids: [$id]) { id } }", {"id": id_}
    )
    assert data == {"leak": {"id": EXAMPLE_ID}, "node": {"id": EXAMPLE_ID}, "nodes": [{"id": EXAMPLE_ID}]}


async def test_a_thing_of_any_type_is_found_by_its_id(gateway: Gateway) -> None:
    world = gateway.world
    shared = {"date": "2025-12-04T14:30:00.000Z"}
    things: list[Record] = [
        {"__typename": "Organization", "id": world.organizations["corp"].id, "name": "Example Corp"},
        {"__typename": "Domain", "id": world.domain_id("example.com"), "name": "example.com", "archivedAt": None},
        {
            "__typename": "Domain",
            "id": world.domain_id("old.example.com"),
            "name": "old.example.com",
            "archivedAt": ARCHIVED_AT,
        },
        {"__typename": "Leak", "id": EXAMPLE_ID, "login": "user@example.com"},
        {"__typename": "Resource", "id": world.host_id, "resource": HOST, "type": "DOMAIN"},
        {"__typename": "User", "id": world.person_id, "identity": PERSON, "identityType": "EMAIL"},
        {"__typename": "Endpoint", "id": world.machine_id, "filename": MACHINE, **shared},
    ]
    ids = [thing["id"] for thing in things]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) " + EVERY_TYPE + " }"
    assert (await gateway.ask(query, {"ids": ids}))["nodes"] == things
    for thing in things:
        data = await gateway.ask("query ($id: ID!) { node(id: $id) " + EVERY_TYPE + " }", {"id": thing["id"]})
        assert data["node"] == thing


async def test_nodes_come_in_the_order_asked_as_often_as_asked_and_null_where_there_is_none(gateway: Gateway) -> None:
    ids = [BARE_ID, UNKNOWN_ID, EXAMPLE_ID, "foo", BARE_ID.upper(), gateway.world.machine_id, BARE_ID]
    data = await gateway.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids})
    found = [BARE_ID, None, EXAMPLE_ID, None, BARE_ID, gateway.world.machine_id, BARE_ID]
    assert [node and node["id"] for node in data["nodes"]] == found


async def test_no_ids_give_no_nodes(gateway: Gateway) -> None:
    assert await gateway.ask("{ nodes(ids: []) { id } }") == {"nodes": []}


async def test_at_most_a_hundred_nodes_are_asked_for_at_once(gateway: Gateway) -> None:
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert len((await gateway.ask(query, {"ids": [EXAMPLE_ID] * 100}))["nodes"]) == 100
    assert await gateway.codes(query, {"ids": [EXAMPLE_ID] * 101}) == ["BAD_USER_INPUT"]


async def test_a_fragment_on_the_interface_holds_for_every_type(gateway: Gateway) -> None:
    world = gateway.world
    ids = [world.organizations["corp"].id, world.domain_id("example.com"), EXAMPLE_ID, world.machine_id]
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) { ...Any ... on Node { again: id } } leaks(first: 1) { nodes { ...Any } } }
               fragment Any on Node { id ... on Leak { login } }"""
    data = await gateway.ask(query, {"ids": ids})
    assert [(node["id"], node["again"]) for node in data["nodes"]] == [(id_, id_) for id_ in ids]
    assert data["nodes"][2]["login"] == "user@example.com"
    assert set(data["leaks"]["nodes"][0]) == {"id", "login"}


async def test_fields_of_one_name_may_differ_by_type(gateway: Gateway) -> None:
    world = gateway.world
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) {
                 ... on Endpoint { name: filename leaks(first: 2, orderBy: {field: RISK_LEVEL, direction: ASC}) { totalCount nodes { id } } }
                 ... on Resource { name: resource leaks(first: 3, filter: {riskLevel: {min: 5}}) { totalCount nodes { id } } }
                 ... on User { name: identity leaks(first: 1) { totalCount nodes { id } } } } }"""
    corp = world.corp
    machine, host, person = (
        (MACHINE, lambda leak: _has(leak, "endpoints", "filename", MACHINE)),
        (HOST, lambda leak: _has(leak, "resources", "resource", HOST) and leak["risk_level"] >= 5),
        (PERSON, lambda leak: {"identity": PERSON, "identity_type": "email"} in leak["connections"]["users"]),
    )
    by_level = corp.leaks(is_wanted=machine[1], field="riskLevel", descending=False)
    by_host, by_person = corp.leaks(is_wanted=host[1]), corp.leaks(is_wanted=person[1])
    data = await gateway.ask(query, {"ids": [world.machine_id, world.host_id, world.person_id]})
    assert data["nodes"] == [
        {"name": name, "leaks": {"totalCount": len(ids), "nodes": [{"id": id_} for id_ in ids[:size]]}}
        for name, ids, size in ((MACHINE, by_level, 2), (HOST, by_host, 3), (PERSON, by_person, 1))
    ]


def _has(leak: Record, part: str, name: str, value: str) -> bool:
    return any(node[name] == value for node in leak["connections"][part])


async def test_a_field_may_be_asked_for_twice_with_other_arguments(gateway: Gateway) -> None:
    query = """{ all: leaks { totalCount } high: leaks(filter: {riskLevelName: [HIGH]}) { totalCount ids: nodes { id } }
                 one: leaks(first: 1) { a: nodes { x: id } b: nodes { y: login } a: nodes { z: status } totalCount } }"""
    data = await gateway.ask(query)
    assert data["all"]["totalCount"] == data["one"]["totalCount"] == len(gateway.world.corp.leaks())
    assert data["high"]["totalCount"] == len(gateway.world.corp.leaks(is_wanted=lambda leak: leak["risk_level"] >= 7))
    assert set(data["one"]["a"][0]) == {"x", "z"}


async def test_the_members_of_an_answer_come_in_the_order_asked(gateway: Gateway) -> None:
    query = """{ viewer { name id } leaks(first: 1) { totalCount pageInfo { endCursor hasNextPage } nodes { login id
                 connections { users { nodes { identityType id } totalCount } resources { totalCount } } domain { name id } __typename } }
                 organization { name __typename id } }"""
    data = await gateway.ask(query)
    assert list(data) == ["viewer", "leaks", "organization"]
    assert list(data["viewer"]) == ["name", "id"]
    assert list(data["leaks"]) == ["totalCount", "pageInfo", "nodes"]
    assert list(data["leaks"]["pageInfo"]) == ["endCursor", "hasNextPage"]
    (leak,) = data["leaks"]["nodes"]
    assert list(leak) == ["login", "id", "connections", "domain", "__typename"]
    assert list(leak["connections"]) == ["users", "resources"]
    assert list(leak["connections"]["users"]) == ["nodes", "totalCount"]
    assert list(leak["domain"]) == ["name", "id"]
    assert list(data["organization"]) == ["name", "__typename", "id"]


async def test_skip_and_include_are_followed(gateway: Gateway) -> None:
    query = """query ($yes: Boolean!, $no: Boolean!) { leaks(first: 1) { totalCount @include(if: $no) nodes @skip(if: $no) { id login @skip(if: $yes)
               ... @include(if: $no) { url } ...More @include(if: $yes) } } viewer @include(if: $no) { id } } fragment More on Leak { status }"""
    data = await gateway.ask(query, {"yes": True, "no": False})
    assert list(data) == ["leaks"]
    assert list(data["leaks"]) == ["nodes"]
    assert set(data["leaks"]["nodes"][0]) == {"id", "status"}
    swapped = await gateway.ask(query, {"yes": False, "no": True})
    assert list(swapped) == ["leaks", "viewer"]
    assert list(swapped["leaks"]) == ["totalCount"]


async def test_the_organization_is_the_callers(gateway: Gateway) -> None:
    for key, name in (
        ("read", "Example Corp"),
        ("labs", "Example Labs"),
        ("nobody", "Example Nobody"),
        ("restricted", "Example Corp"),
    ):
        assert await gateway.ask("{ organization { name } }", key=key) == {"organization": {"name": name}}


async def test_domains_come_by_name_and_archived_ones_only_where_asked_for(gateway: Gateway) -> None:
    in_use = ["example.com", "example.net", "quiet.example.com"]
    every = ["example.com", "example.net", "old.example.com", "older.example.com", "quiet.example.com"]
    for arguments, names in (
        ("", in_use),
        ("(includeArchived: false)", in_use),
        ("(includeArchived: true)", every),
        ("(first: 2)", in_use[:2]),
        ("(last: 1)", in_use[2:]),
    ):
        data = await gateway.ask("{ organization { domains" + arguments + " { totalCount nodes { name } } } }")
        domains = data["organization"]["domains"]
        assert [domain["name"] for domain in domains["nodes"]] == names
        assert domains["totalCount"] == (5 if "true" in arguments else 3)


async def test_include_archived_is_not_null(gateway: Gateway) -> None:
    query = "{ organization { domains(includeArchived: null) { totalCount } } }"
    assert await gateway.codes(query) == ["GRAPHQL_VALIDATION_FAILED"]


async def test_a_domain_of_the_organization_is_found_by_its_id(gateway: Gateway) -> None:
    world = gateway.world
    query = "query ($id: ID!) { domain(id: $id) { id name archivedAt } }"
    for name, archived_at in (("example.com", None), ("old.example.com", ARCHIVED_AT)):
        id_ = world.domain_id(name)
        data = await gateway.ask(query, {"id": id_.upper()})
        assert data == {"domain": {"id": id_, "name": name, "archivedAt": archived_at}}
    for id_ in (
        UNKNOWN_ID,
        "foo",
        "",
        EXAMPLE_ID,
        world.domain_id("example.com", "labs"),
        world.organizations["corp"].id,
    ):
        assert await gateway.ask(query, {"id": id_}) == {"domain": None}


async def test_the_viewer_is_the_key(gateway: Gateway) -> None:
    world = gateway.world
    query = "{ viewer { id name scopes expiresAt domainIds } }"
    for key, scopes, expires_at, domain_ids in (
        ("read", ["LEAKS_READ"], None, None),
        ("read and write", ["LEAKS_READ", "LEAKS_WRITE"], FAR_AWAY, None),
        ("restricted", ["LEAKS_READ"], None, [world.domain_id("example.net")]),
        ("restricted to the archived", ["LEAKS_READ"], None, [world.domain_id("old.example.com")]),
        ("restricted to nothing", ["LEAKS_READ"], None, []),
    ):
        told = {"name": key, "scopes": scopes, "expiresAt": expires_at, "domainIds": domain_ids}
        assert await gateway.ask(query, key=key) == {"viewer": {"id": world.key_ids[key], **told}}


async def test_a_key_is_no_node(gateway: Gateway) -> None:
    query = "query ($id: ID!) { node(id: $id) { id } }"
    assert await gateway.ask(query, {"id": gateway.world.key_ids["read"]}) == {"node": None}


async def test_type_names_are_told_everywhere(gateway: Gateway) -> None:
    query = """{ __typename organization { __typename domains { __typename nodes { __typename } } } viewer { __typename }
                 leaks(first: 1) { __typename edges { __typename node { __typename domain { __typename }
                   connections { __typename users { __typename nodes { __typename } } } } } pageInfo { __typename } } }"""
    data = await gateway.ask(query)
    assert data["__typename"] == "Query"
    assert data["viewer"] == {"__typename": "ApiKey"}
    assert data["organization"]["domains"]["__typename"] == "DomainConnection"
    (edge,) = data["leaks"].pop("edges")
    assert data["leaks"] == {"__typename": "LeakConnection", "pageInfo": {"__typename": "PageInfo"}}
    assert edge["__typename"] == "LeakEdge"
    assert edge["node"]["domain"] == {"__typename": "Domain"}
    assert edge["node"]["connections"]["__typename"] == "Connections"
    assert edge["node"]["connections"]["users"]["__typename"] == "UserConnection"


async def test_from_a_leak_to_the_machine_to_its_leaks_and_back_in_one_request(gateway: Gateway) -> None:
    query = """query ($id: ID!) { leak(id: $id) { connections { endpoints { nodes { filename leaks(first: 100) { totalCount nodes { id
                 domain { name } connections { users { nodes { identity } } } } } } } } } }"""
    corp = gateway.world.corp
    data = await gateway.ask(query, {"id": OTHER_DOMAIN_LEAK_ID})
    (machine,) = data["leak"]["connections"]["endpoints"]["nodes"]
    expected = corp.leaks(is_wanted=lambda leak: _has(leak, "endpoints", "filename", MACHINE))
    assert machine["leaks"]["totalCount"] == len(expected)
    assert [leak["id"] for leak in machine["leaks"]["nodes"]] == expected
    for leak in machine["leaks"]["nodes"]:
        users = [user["identity"] for user in leak["connections"]["users"]["nodes"]]
        assert users == [user["identity"] for user in corp.connected(leak["id"], Kind.USER)]


async def test_the_lists_of_many_leaks_are_each_leaks_own(gateway: Gateway) -> None:
    query = """{ leaks(first: 100) { nodes { id connections { endpoints(first: 1) { totalCount nodes { id } pageInfo { hasNextPage } }
                 resources(last: 1) { totalCount edges { node { id } } pageInfo { hasPreviousPage } } } } } }"""
    corp = gateway.world.corp
    for leak in (await gateway.ask(query))["leaks"]["nodes"]:
        endpoints = [node["id"] for node in corp.connected(leak["id"], Kind.ENDPOINT)]
        resources = [node["id"] for node in corp.connected(leak["id"], Kind.RESOURCE)]
        assert leak["connections"] == {
            "endpoints": {
                "totalCount": len(endpoints),
                "nodes": [{"id": id_} for id_ in endpoints[:1]],
                "pageInfo": {"hasNextPage": len(endpoints) > 1},
            },
            "resources": {
                "totalCount": len(resources),
                "edges": [{"node": {"id": id_}} for id_ in resources[-1:]],
                "pageInfo": {"hasPreviousPage": len(resources) > 1},
            },
        }


async def test_no_list_below_a_leak_is_longer_than_a_page(gateway: Gateway) -> None:
    query = """query ($id: ID!) { leak(id: $id) { connections { users { nodes { id } totalCount } resources(first: 100) { nodes { id } } } } }"""
    connections = (await gateway.ask(query, {"id": LARGE_ID}))["leak"]["connections"]
    assert (len(connections["users"]["nodes"]), connections["users"]["totalCount"]) == (20, 130)
    assert len(connections["resources"]["nodes"]) == 100


async def test_an_archived_leak_is_told_with_its_domain_where_that_is_named(gateway: Gateway) -> None:
    query = "query ($id: ID!, $in: [ID!]) { leak(id: $id, domainIds: $in) { domain { name archivedAt } } }"
    data = await gateway.ask(query, {"id": ARCHIVED_LEAK_ID, "in": [gateway.world.domain_id("old.example.com")]})
    assert data == {"leak": {"domain": {"name": "old.example.com", "archivedAt": ARCHIVED_AT}}}


async def test_every_type_that_introspection_meets_can_be_asked_all_about_itself(gateway: Gateway) -> None:
    answer = await gateway.ask('{ __type(name: "Leak") { isOneOf fields { type { isOneOf ofType { isOneOf } } } } }')
    assert answer["__type"]["isOneOf"] is False
    assert {"isOneOf": None, "ofType": {"isOneOf": False}} in [field["type"] for field in answer["__type"]["fields"]]
