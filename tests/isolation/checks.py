"""What must hold of every answer, and of what each key is told in all."""

import re
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterable, Sequence
from http import HTTPStatus

import httpx
import orjson

from gateway.app import create_app
from gateway.storage.bounds import Bounds, KeyIds, settings_of
from schema.scope import MAX_DOMAIN_IDS, Scope
from tests.isolation.tenants import SHARED_NODE_ID, Tenants, tokens
from tests.records import HOST, MACHINE, PERSON, UNKNOWN_ID
from tests.serving import Answer, Gateway, running

_CURSOR = re.compile(r"[0-9A-Za-z_-]{60,}")
_LEAKS = "leaks(first: 100) { totalCount nodes { id } edges { cursor } }"
_NODE = f"""id ... on Resource {{ resource {_LEAKS} }} ... on User {{ identity {_LEAKS} }}
    ... on Endpoint {{ filename date {_LEAKS} }}"""

_DATED = "connections { endpoints { nodes { filename date } } }"
_ONE_DATED = "first: connections { endpoints(first: 1) { edges { cursor node { date } } } }"


# ---------------------------------------------------------- of a single answer


def told(text: str) -> set[str]:
    """Every token of a text, those inside of cursors included."""
    cursors = (urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)) for cursor in _CURSOR.findall(text))
    return tokens(text).union(*(tokens(cursor.decode("latin-1")) for cursor in cursors))


def assert_tells_nothing_else(response: httpx.Response, allowed: set[str], sent: str) -> None:
    """Assert that only what is allowed stands in a response; an error may repeat what the client sent."""
    body = response.json()
    errors = body.pop("errors", []) if "errors" in body or "data" in body else [body]
    found = told(orjson.dumps(body).decode()) if "data" in body else set()
    found |= told(str(response.headers))
    assert found <= allowed, (found - allowed, sent)
    repeated = told(orjson.dumps(errors).decode())
    assert repeated <= allowed | tokens(sent), (repeated - allowed, sent)


# ------------------------------------------------------- of all that a key sees


async def assert_sees_its_own(gateway: Gateway, tenants: Tenants, key: str) -> None:
    """Assert that a key is told of all its records, and of no other, whatever way it takes."""
    if not tenants.keys[key].works:
        await assert_is_refused(gateway, tenants, key)
        return
    await _assert_lists_its_own(gateway, tenants, key)
    await _assert_names_its_own(gateway, tenants, key)
    await _assert_reaches_its_own(gateway, tenants, key)
    await _assert_finds_its_own(gateway, tenants, key)
    await _assert_dates_its_own(gateway, tenants, key)


async def assert_is_refused(gateway: Gateway, tenants: Tenants, key: str) -> None:
    """Assert that a key opens no door."""
    status = tenants.keys[key].status
    for response in (
        await gateway.respond(f"{{ {_LEAKS} }}", key=key),
        *[await gateway.get(f"/leaks/{id_}", key) for _, id_ in list(tenants.records)[:3]],
    ):
        assert response.status_code == status
        assert told(response.text) == set()
        assert status != HTTPStatus.FORBIDDEN or "The key lacks the scope leaks:read." in response.text


async def _assert_lists_its_own(gateway: Gateway, tenants: Tenants, key: str) -> None:
    query = f"""{{ {_LEAKS} viewer {{ name domainIds }} organization {{ name domains(first: 100) {{ totalCount }}
        all: domains(first: 100, includeArchived: true) {{ totalCount nodes {{ id name {_LEAKS} }} }} }} }}"""
    data = await gateway.ask(query, key=key)
    _assert_holds(data["leaks"], tenants.visible(key))
    assert data["viewer"]["name"] == key
    organization, names = tenants.keys[key].organization, tenants.domains_of(key)
    in_use = [name for name in names if (organization, name) not in tenants.archived]
    assert data["organization"]["domains"]["totalCount"] == len(in_use)
    assert [domain["name"] for domain in data["organization"]["all"]["nodes"]] == names
    for domain in data["organization"]["all"]["nodes"]:
        _assert_holds(domain["leaks"], [r for r in tenants.visible(key) if r["domain"] == domain["name"]])


async def _assert_names_its_own(gateway: Gateway, tenants: Tenants, key: str) -> None:
    """Its organization's domains and one of each other's, named in every way: all but its own are one refusal."""
    query = f"query ($in: [ID!]) {{ {_LEAKS.replace('(', '(domainIds: $in, ')} }}"
    own = tenants.domain_ids_of(key)
    refusal = (await gateway.answer(query, {"in": [UNKNOWN_ID]}, key))["errors"]
    assert refusal[0]["extensions"] == {"code": "FORBIDDEN"}
    for id_ in _domains_to_name(tenants, tenants.keys[key].organization):
        for named in ([id_], [id_.upper(), *own]):
            answer = await gateway.answer(query, {"in": named}, key)
            if id_ in own:
                named_ids = {one.lower() for one in named}
                _assert_holds(answer["data"]["leaks"], tenants.visible(key, named_ids, only_named=True))
            else:
                assert answer == {"errors": refusal, "data": None}
        node = (
            "query ($id: ID!) { domain(id: $id) { ...D } node(id: $id) { ...D } } fragment D on Domain { name %s }"
            % _LEAKS
        )
        found = await gateway.ask(node, {"id": id_.upper()}, key)
        assert (found["domain"] is not None, found["node"] is not None) == (id_ in own, id_ in own)
        for domain in found.values():
            if domain is not None:
                of_domain = [r for r in tenants.visible(key, [id_]) if r["domain"] == domain["name"]]
                _assert_holds(domain["leaks"], of_domain)
    for id_ in own:
        await _assert_opens_no_other(gateway, tenants, key, id_)


async def _assert_opens_no_other(gateway: Gateway, tenants: Tenants, key: str, domain_id: str) -> None:
    """Naming a domain among nodes brings its own leaks into the scope, to those that are there anyway."""
    organization = tenants.keys[key].organization
    leak_ids = [id_ for owner, id_ in tenants.records if owner == organization]
    for some in _hundreds(leak_ids, 99):
        nodes = (
            await gateway.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [domain_id, *some]}, key)
        )["nodes"]
        visible = {record["id"] for record in tenants.visible(key, [domain_id])}
        assert [node["id"] for node in nodes if node is not None] == [
            domain_id,
            *(id_ for id_ in some if id_ in visible),
        ]


async def _assert_reaches_its_own(gateway: Gateway, tenants: Tenants, key: str) -> None:
    """Through what all share, and by every id of every organization, only what is visible is reached."""
    visible, organization = tenants.visible(key), tenants.keys[key].organization
    allowed = tenants.allowed(key)
    for owner in tenants.organizations:
        for some in _hundreds([*tenants.ids_of(owner), SHARED_NODE_ID]):
            query = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {_NODE} }} }}"
            # Whoever names an archived domain sees it: those are asked for one by one above.
            ids = [id_ for id_ in some if id_ not in _archived_ids(tenants)]
            response = await gateway.respond(query, {"ids": ids}, key)
            assert_tells_nothing_else(response, allowed, "")
            nodes = response.json()["data"]["nodes"]
            # What a key is called by is no node.
            expected = allowed - {tenants.key_ids[key]}
            assert [node is not None for node in nodes] == [id_ in expected for id_ in ids]
            for node in (node for node in nodes if node is not None and "leaks" in node):
                connected = [r for r in visible if node["id"] in tenants.tokens_of(organization, r)]
                _assert_holds(node["leaks"], connected)
                assert "date" not in node or node["date"] == tenants.date(key, node["filename"])


async def _assert_finds_its_own(gateway: Gateway, tenants: Tenants, key: str) -> None:
    visible = tenants.visible(key)
    query = "query ($f: LeakFilter) { leaks(first: 100, filter: $f) { totalCount nodes { id } edges { cursor } } }"
    for wanted in ({"resource": HOST}, {"identity": PERSON}, {"filename": MACHINE}, {"urlContains": "canary"}):
        _assert_holds((await gateway.ask(query, {"f": wanted}, key))["leaks"], visible)
    await _assert_finds_by_name(gateway, tenants, key)
    ids = {record["id"] for record in visible}
    owners = Counter(id_ for _, id_ in tenants.records)
    for id_ in sorted(id_ for id_, count in owners.items() if count > 1):
        response = await gateway.get(f"/leaks/{id_}", key)
        assert response.status_code == (200 if id_ in ids else 404)
        assert_tells_nothing_else(response, tenants.allowed(key), "")


async def _assert_dates_its_own(gateway: Gateway, tenants: Tenants, key: str) -> None:
    """Machines have the newest date that a visible domain gave them; where all are the key's, that of all; newest first."""
    query = f"query ($in: [ID!]) {{ leaks(domainIds: $in, first: 100) {{ nodes {{ id {_DATED} {_ONE_DATED} }} }} }}"
    for named in (None, *([id_] for id_ in tenants.domain_ids_of(key))):
        for leak in (await gateway.ask(query, {"in": named}, key))["leaks"]["nodes"]:
            record = tenants.records[tenants.keys[key].organization, leak["id"]]
            names = [one["filename"] for one in record["connections"]["endpoints"]]
            dates = {name: tenants.date(key, name, named or (), only_named=named is not None) for name in names}
            newest_first = sorted(dates.values(), key=lambda date: date or "", reverse=True)
            found = leak["connections"]["endpoints"]["nodes"]
            assert {machine["filename"]: machine["date"] for machine in found} == dates
            assert [machine["date"] for machine in found] == newest_first
            (one,) = leak["first"]["endpoints"]["edges"]
            assert one["node"]["date"] == newest_first[0]


async def _assert_finds_by_name(gateway: Gateway, tenants: Tenants, key: str) -> None:
    """By the names of what belongs to one leak alone, that leak is found where it is visible; all are found by page."""
    newest_first = sorted(tenants.visible(key), key=lambda record: record["added_at"], reverse=True)
    query = "query ($f: LeakFilter) { leaks(first: 2, filter: $f) { nodes { id } } }"
    for wanted, lowest in ((None, 0), ({"resource": HOST}, 0), ({"identity": PERSON, "riskLevel": {"min": 6}}, 6)):
        found = (await gateway.ask(query, {"f": wanted}, key))["leaks"]["nodes"]
        assert found == [{"id": record["id"]} for record in newest_first if record["risk_level"] >= lowest][:2]
    for (_, id_), record in list(tenants.records.items())[::5]:
        own = record["connections"]
        names = {"resource": own["resources"][1]["resource"], "filename": own["endpoints"][1]["filename"]}
        for name, value in names.items():
            found = (await gateway.ask(query, {"f": {name: value}}, key))["leaks"]["nodes"]
            assert found == ([{"id": id_}] if record in newest_first else [])
        found = (await gateway.ask(query, {"f": {"login": record["login"]}}, key))["leaks"]["nodes"]
        assert found == [{"id": one["id"]} for one in newest_first if one["login"] == record["login"]][:2]


def assert_bounds_are_told() -> None:
    """Assert that a statement's bounds are what PostgreSQL is told, and that no text of anybody's can become a part."""
    numbers = "SET LOCAL leaks.organization = '7'; SET LOCAL leaks.domains = '{3,5}'; SET LOCAL leaks.keys = ''"
    assert settings_of(Scope(7, (3, 5), named=(UNKNOWN_ID,))) == numbers
    ids = f"SET LOCAL leaks.organization = ''; SET LOCAL leaks.domains = ''; SET LOCAL leaks.keys = '{{{UNKNOWN_ID}}}'"
    assert settings_of(KeyIds((UNKNOWN_ID.upper(),))) == ids
    nothing = "SET LOCAL leaks.organization = ''; SET LOCAL leaks.domains = ''; SET LOCAL leaks.keys = ''"
    assert settings_of(None) == nothing
    for bounds in (KeyIds(("'",)), Scope("7", ()), Scope(7, ("'",))):  # type: ignore[arg-type]
        assert _is_refused(bounds)


def _is_refused(bounds: Bounds) -> bool:
    try:
        settings_of(bounds)
    except ValueError:
        return True
    return False


def _assert_holds(listed: Answer, records: Sequence[Answer]) -> None:
    expected = sorted(record["id"] for record in records)
    assert sorted(node["id"] for node in listed["nodes"]) == expected
    assert (listed["totalCount"], len(listed["edges"])) == (len(expected), len(expected))


def _domains_to_name(tenants: Tenants, organization: str) -> list[str]:
    own = [domain.id for (owner, _), domain in tenants.domains.items() if owner == organization]
    others = {owner: domain.id for (owner, _), domain in tenants.domains.items() if owner != organization}
    return [*own, *others.values()]


def _archived_ids(tenants: Tenants) -> set[str]:
    return {tenants.domains[place].id for place in tenants.archived}


def _hundreds(ids: Sequence[str], size: int = 100) -> Iterable[Sequence[str]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))


# ------------------------------------------------------------------ of refusals


async def assert_refuses(gateway: Gateway, key: str, own: str) -> None:
    """Assert that what is no list of the key's domains is told as such, by GraphQL and by REST."""
    query = "query ($in: [ID!]) { leaks(domainIds: $in) { totalCount } }"
    most = MAX_DOMAIN_IDS
    assert most == 100
    for ids, code, status in (
        ([own] * most, None, 404), ([own] * (most + 1), "BAD_USER_INPUT", 400), ([], "BAD_USER_INPUT", 400),
        ([own, "foo"], "BAD_USER_INPUT", 400), ([own, UNKNOWN_ID], "FORBIDDEN", 403),
    ):  # fmt: skip
        answer = await gateway.answer(query, {"in": ids}, key)
        assert [error["extensions"]["code"] for error in answer.get("errors", [])] == ([code] if code else [])
        response = await gateway.get(f"/leaks/{UNKNOWN_ID}?domain_id={','.join(ids)}", key)
        assert response.status_code == status
        assert response.json()["detail"].startswith("Invalid domain_id") == (status == 400)
    message = (await gateway.answer(query, {"in": ["foo"]}, key))["errors"][0]["message"]
    assert message == 'Invalid domainIds: "foo". Valid: UUIDs.'


async def cursors_of(gateway: Gateway, key: str, archived: str) -> list[str]:
    """Cursors that a key was handed out: of lists of its leaks, in one scope and another, and of its domains."""
    edges = "first: 2) { edges { cursor } }"
    query = f"""query ($in: [ID!]) {{ a: leaks({edges} b: leaks(domainIds: $in, {edges}
        c: leaks(orderBy: {{field: RISK_LEVEL}}, {edges} organization {{ domains(includeArchived: true, {edges} }}
        d: leaks(first: 1) {{ nodes {{ connections {{ users({edges} resources({edges} endpoints({edges} }} }} }} }}"""
    text = orjson.dumps(await gateway.ask(query, {"in": [archived]}, key)).decode()
    return re.findall(r'"cursor":"([^"]+)"', text)


async def assert_a_cursor_is_its_scopes_own(gateway: Gateway, tenants: Tenants, key: str, archived: str) -> None:
    """Assert that a list goes on by the cursors of its own scope, and by no other's."""
    query = "query ($in: [ID!], $after: String) { leaks(first: 1, domainIds: $in, after: $after) { edges { cursor } } }"
    scopes = (None, tenants.domain_ids_of(key), [archived])
    handed_out = [(await gateway.ask(query, {"in": scope}, key))["leaks"]["edges"][0]["cursor"] for scope in scopes]
    for place, scope in enumerate(scopes):
        for origin, cursor in enumerate(handed_out):
            answer = await gateway.answer(query, {"in": scope, "after": cursor}, key)
            assert ("errors" not in answer) == (place == origin)
    await _assert_a_cursor_is_its_domains_own(gateway, tenants, key, archived)


async def _assert_a_cursor_is_its_domains_own(gateway: Gateway, tenants: Tenants, key: str, archived: str) -> None:
    """The leaks of a domain go on wherever it is reached, unless it was named to bring it into the scope."""
    by_id = "query ($id: ID!) { domain(id: $id) { leaks(first: 1) { edges { cursor } } } }"
    listed = "query ($after: String) { organization { domains { nodes { leaks(first: 1, after: $after) { nodes { id } } } } } }"
    in_use = next(id_ for id_ in tenants.domain_ids_of(key) if id_ not in _archived_ids(tenants))
    for id_ in (in_use, archived):
        cursor = (await gateway.ask(by_id, {"id": id_}, key))["domain"]["leaks"]["edges"][0]["cursor"]
        answer = await gateway.answer(listed, {"after": cursor}, key)
        assert ("errors" not in answer) == (id_ == in_use)
    by_place = by_id.replace("$id: ID!", "$id: ID!, $after: String").replace("first: 1", "first: 1, after: $after")
    cursor = (await gateway.ask(by_id, {"id": archived}, key))["domain"]["leaks"]["edges"][0]["cursor"]
    for id_ in _archived_ids(tenants).intersection(tenants.domain_ids_of(key)):
        answer = await gateway.answer(by_place, {"id": id_, "after": cursor}, key)
        assert ("errors" not in answer) == (id_ == archived)


# ------------------------------------------------------------------ of everything


async def assert_isolates(tenants: Tenants) -> None:
    """Assert all of the above, for every key over a database that was just filled."""
    assert_bounds_are_told()
    async with running(create_app(tenants.world.settings)) as client:
        gateway = Gateway(client, tenants.world)
        for (number, name), key in ((place, f"canary-key-{place[0]}-all") for place in sorted(tenants.archived)):
            domain_id = tenants.domains[number, name].id
            await assert_refuses(gateway, key, domain_id)
            await assert_a_cursor_is_its_scopes_own(gateway, tenants, key, domain_id)
        for key in tenants.keys:
            await assert_sees_its_own(gateway, tenants, key)
