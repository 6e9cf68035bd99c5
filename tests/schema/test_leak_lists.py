"""Lists of leaks: filters, orders and pages, against the same list made in plain Python."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.app import create_app
from gateway.importing.importer import import_leaks
from gateway.storage.database import open_engine
from schema.records import Kind
from tests.operations import Asking, asking
from tests.records import CORP_LEAKS, HOST, LARGE_ID, MACHINE, PERSON, Record, World, has, instant
from tests.serving import Gateway, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIST = """query ($filter: LeakFilter, $order: LeakOrder, $first: Int, $last: Int, $after: String, $before: String, $in: [ID!]) {
  leaks(filter: $filter, orderBy: $order, first: $first, last: $last, after: $after, before: $before, domainIds: $in) {
    totalCount nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
FIELDS = {"ADDED_AT": "addedAt", "FIRST_SEEN": "firstSeen", "RISK_LEVEL": "riskLevel"}
IN_USE = ("example.com", "example.net", "quiet.example.com")
EARLIEST, SOME, LATER = "2000-01-01T00:00:00.000Z", instant(20), instant(40)


def ids_of(data: Any) -> list[str]:
    return [node["id"] for node in data["leaks"]["nodes"]]


def is_wanted(wanted: dict[str, Any] | None) -> Callable[[Record], bool]:
    """What a filter means."""
    given = {name: value for name, value in (wanted or {}).items() if value is not None}

    def holds(leak: Record) -> bool:
        return all(_MEANINGS[name](leak, value) for name, value in given.items())

    return holds


def _is_in_instants(column: str) -> Callable[[Record, Any], bool]:
    def holds(leak: Record, range_: Any) -> bool:
        since, until = range_.get("since"), range_.get("until")
        if since is None and until is None:
            return True
        at = leak[column]
        return at is not None and (since is None or at >= since) and (until is None or at < until)

    return holds


def _is_in_levels(leak: Record, range_: Any) -> bool:
    low, high = range_.get("min"), range_.get("max")
    return (low is None or leak["risk_level"] >= low) and (high is None or leak["risk_level"] <= high)


_MEANINGS: dict[str, Callable[[Record, Any], bool]] = {
    "status": lambda leak, value: leak["status"].upper() in value,
    "riskLevelName": lambda leak, value: leak["risk_level_name"].upper() in value,
    "riskLevel": _is_in_levels,
    "firstSeen": _is_in_instants("first_seen"),
    "addedAt": _is_in_instants("added_at"),
    "login": lambda leak, value: leak["login"].casefold() == value.casefold(),
    "resource": lambda leak, value: has(Kind.RESOURCE, value)(leak),
    "identity": lambda leak, value: has(Kind.USER, value)(leak),
    "filename": lambda leak, value: has(Kind.ENDPOINT, value)(leak),
    "urlContains": lambda leak, value: leak["url"] is not None and value.lower() in leak["url"].lower(),
}


# ------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        {},
        {"status": None, "riskLevel": None, "login": None, "firstSeen": None, "urlContains": None, "resource": None},
        {"status": ["NEW"]},
        {"status": ["NEW", "RESOLVED", "NEW"]},
        {"status": ["NEW", "INVESTIGATING", "RESOLVED", "FALSE_POSITIVE"]},
        {"status": []},
        {"riskLevelName": ["NONE"]},
        {"riskLevelName": ["HIGH", "LOW"]},
        {"riskLevelName": []},
        {"riskLevel": {}},
        {"riskLevel": {"min": None, "max": None}},
        {"riskLevel": {"min": 5}},
        {"riskLevel": {"max": 0}},
        {"riskLevel": {"min": 3, "max": 3}},
        {"riskLevel": {"min": 7, "max": 3}},
        {"riskLevel": {"min": -(2**31), "max": 2**31 - 1}},
        {"riskLevel": {"min": 11}},
        {"riskLevel": {"max": -1}},
        {"firstSeen": {}},
        {"firstSeen": {"since": None, "until": None}},
        {"firstSeen": {"since": SOME}},
        {"firstSeen": {"until": SOME}},
        {"firstSeen": {"since": SOME, "until": LATER}},
        {"firstSeen": {"since": LATER, "until": SOME}},
        {"firstSeen": {"since": SOME, "until": SOME}},
        {"firstSeen": {"since": "0001-01-01T00:00:00.000Z"}},
        {"firstSeen": {"until": "9999-12-31T23:59:59.999Z"}},
        {"addedAt": {"since": EARLIEST}},
        {"addedAt": {"until": LATER}},
        {"addedAt": {"since": SOME, "until": LATER}},
        {"login": "user1@example.com"},
        {"login": "USER1@EXAMPLE.COM"},
        {"login": "STRASSE@example.net"},
        {"login": "user1@example"},
        {"login": ""},
        {"login": "%"},
        {"resource": HOST},
        {"resource": HOST.upper()},
        {"resource": "vpn"},
        {"resource": ""},
        {"identity": PERSON},
        {"identity": "nobody at all"},
        {"filename": MACHINE},
        {"filename": "[US]192.0.2.%"},
        {"urlContains": "mail"},
        {"urlContains": "MAIL.Example"},
        {"urlContains": "%"},
        {"urlContains": "_"},
        {"urlContains": "100%_OFF"},
        {"urlContains": "Ünter"},
        {"urlContains": "\\"},
        {"urlContains": "'"},
        {"urlContains": "nowhere"},
        {"urlContains": ""},
        {"status": ["NEW"], "riskLevel": {"min": 4}, "resource": HOST, "filename": MACHINE, "identity": PERSON},
        {"status": ["NEW"], "riskLevelName": []},
        {"resource": "host-001.example.net", "firstSeen": {"until": LATER}, "urlContains": "example"},
        {"login": "user0@example.com", "addedAt": {"since": SOME}, "riskLevelName": ["LOW", "HIGH"]},
    ],
)  # fmt: skip
async def test_a_filter_holds_what_it_says(gateway: Gateway, wanted: dict[str, Any] | None) -> None:
    expected = gateway.world.corp.leaks(IN_USE, is_wanted(wanted))
    data = await gateway.ask(LIST, {"filter": wanted, "first": 100})
    assert ids_of(data) == expected[:100]
    assert data["leaks"]["totalCount"] == len(expected)


async def test_the_filters_above_find_something_and_not_everything(gateway: Gateway) -> None:
    corp = gateway.world.corp
    everything = len(corp.leaks(IN_USE))
    for wanted in (
        {"resource": HOST},
        {"filename": MACHINE},
        {"urlContains": "mail"},
        {"login": "STRASSE@example.net"},
    ):
        assert 0 < len(corp.leaks(IN_USE, is_wanted(wanted))) < everything


async def test_letters_beyond_ascii_keep_their_case_in_a_url(gateway: Gateway) -> None:
    for text, count in (("Ünter", 1), ("ünter", 0), ("ÜNTER", 1)):
        data = await gateway.ask(LIST, {"filter": {"urlContains": text}})
        assert data["leaks"]["totalCount"] == count


@pytest.mark.parametrize("name", ["login", "resource", "identity", "filename", "urlContains"])
@pytest.mark.parametrize("text", ["a\x00b", "x" * 8193])
async def test_a_text_that_no_record_can_hold_is_refused(gateway: Gateway, name: str, text: str) -> None:
    assert await gateway.codes(LIST, {"filter": {name: text}}) == ["BAD_USER_INPUT"]


async def test_a_long_text_is_taken(gateway: Gateway) -> None:
    assert ids_of(await gateway.ask(LIST, {"filter": {"urlContains": "🔑" * 8192}})) == []


async def test_an_instant_may_come_with_any_offset(gateway: Gateway) -> None:
    at = instant(21)
    same = at.replace("T", "t").replace(".", ",").replace("Z", "+00:00")
    expected = gateway.world.corp.leaks(IN_USE, is_wanted({"addedAt": {"since": at}}))
    assert ids_of(await gateway.ask(LIST, {"filter": {"addedAt": {"since": same}}, "first": 100})) == expected


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00", "now", "", "1767225600", "2026-13-01T00:00:00Z"])
async def test_what_is_no_instant_is_refused(gateway: Gateway, text: str) -> None:
    assert await gateway.codes(LIST, {"filter": {"addedAt": {"since": text}}}) == ["BAD_USER_INPUT"]


# -------------------------------------------------------------------- orders


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_every_order_is_total_and_no_date_is_older_than_any(gateway: Gateway, field: str, direction: str) -> None:
    expected = gateway.world.corp.leaks(IN_USE, field=FIELDS[field], descending=direction == "DESC")
    data = await gateway.ask(LIST, {"order": {"field": field, "direction": direction}, "first": 100})
    assert ids_of(data) == expected


async def test_the_newest_come_first_unless_it_is_said_otherwise(gateway: Gateway) -> None:
    newest = gateway.world.corp.leaks(IN_USE)
    for order in (None, {"field": "ADDED_AT"}):
        assert ids_of(await gateway.ask(LIST, {"order": order, "first": 100})) == newest
    assert ids_of(await gateway.ask("{ leaks(first: 100) { nodes { id } } }")) == newest
    query = "query ($id: ID!) { domain(id: $id) { leaks(first: 100) { nodes { id } } } }"
    data = await gateway.ask(query, {"id": gateway.world.domain_id("example.com")})
    assert ids_of(data["domain"]) == gateway.world.corp.leaks(["example.com"])


async def test_an_order_needs_a_field_and_a_direction_that_is_not_null(gateway: Gateway) -> None:
    for order in ({}, {"direction": "ASC"}, {"field": "ADDED_AT", "direction": None}, {"field": "LOGIN"}):
        assert await gateway.codes(LIST, {"order": order}) == ["BAD_USER_INPUT"]


# --------------------------------------------------------------------- pages


@pytest.mark.parametrize("size", [7, 20, 100])
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_from_page_to_page_every_leak_is_met_once(
    gateway: Gateway, size: int, field: str, direction: str
) -> None:
    order = {"field": field, "direction": direction}
    expected = gateway.world.corp.leaks(IN_USE, field=FIELDS[field], descending=direction == "DESC")
    for forward in (True, False):
        met: list[str] = []
        cursor = None
        while len(met) < len(expected):
            wanted = {"first": size, "after": cursor} if forward else {"last": size, "before": cursor}
            page = (await gateway.ask(LIST, {"order": order, **wanted}))["leaks"]
            ids = [node["id"] for node in page["nodes"]]
            assert ids == [edge["node"]["id"] for edge in page["edges"]]
            info = page["pageInfo"]
            assert (info["startCursor"], info["endCursor"]) == (page["edges"][0]["cursor"], page["edges"][-1]["cursor"])
            met = met + ids if forward else ids + met
            goes_on, is_bounded = len(met) < len(expected), cursor is not None
            told = (info["hasNextPage"], info["hasPreviousPage"])
            assert told == ((goes_on, is_bounded) if forward else (is_bounded, goes_on))
            cursor = info["endCursor"] if forward else info["startCursor"]
        assert met == expected


async def test_a_page_may_lie_between_two_cursors(gateway: Gateway) -> None:
    expected = gateway.world.corp.leaks(IN_USE)
    edges = (await gateway.ask(LIST, {"first": 30}))["leaks"]["edges"]
    after, before = edges[4]["cursor"], edges[15]["cursor"]
    for more, ids in (
        ({}, expected[5:15]),
        ({"first": 3}, expected[5:8]),
        ({"last": 3}, expected[12:15]),
        ({"first": 10}, expected[5:15]),
        ({"last": 10}, expected[5:15]),
    ):
        data = await gateway.ask(LIST, {"after": after, "before": before, **more})
        assert ids_of(data) == ids
        assert data["leaks"]["totalCount"] == len(expected)
    for turned in ({"after": before, "before": after}, {"after": after, "before": after}):
        page = (await gateway.ask(LIST, turned))["leaks"]
        assert page["nodes"] == []
        assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == (None, None)


async def test_an_empty_list_has_no_cursors_and_goes_nowhere(gateway: Gateway) -> None:
    nowhere = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}
    for size in ({}, {"first": 5}, {"last": 5}):
        page = (await gateway.ask(LIST, {"filter": {"status": []}, **size}))["leaks"]
        assert page == {"totalCount": 0, "nodes": [], "edges": [], "pageInfo": nowhere}


@pytest.mark.parametrize("size", [0, -1, 101, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("name", ["first", "last"])
async def test_a_page_has_one_to_a_hundred_leaks(gateway: Gateway, name: str, size: int) -> None:
    answer = await gateway.answer(LIST, {name: size})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
    assert answer["errors"][0]["message"] == f"Invalid {name}: {size}. Valid: 1 to 100."


async def test_a_page_has_twenty_unless_it_is_said_otherwise_and_never_two_sizes(gateway: Gateway) -> None:
    expected = gateway.world.corp.leaks(IN_USE)
    for nulls in ({}, {"first": None}, {"last": None}, {"first": None, "last": None}):
        assert ids_of(await gateway.ask(LIST, nulls)) == expected[:20]
    assert ids_of(await gateway.ask(LIST, {"first": 100})) == expected[:100]
    assert ids_of(await gateway.ask(LIST, {"last": 100})) == expected[-100:]
    for size in (1, 101):
        assert await gateway.codes(LIST, {"first": 1, "last": size}) == ["BAD_USER_INPUT"]


async def test_what_is_added_between_two_pages_moves_nothing(fresh_world: World) -> None:
    async with asking(fresh_world, planned=True) as operations:
        first = (await operations.ask(LIST, {"first": 10}))["leaks"]
        new = [
            CORP_LEAKS[0] | {"id": f"{n:08x}-2222-4222-8222-000000000000", "added_at": f"2027-01-0{n}T00:00:00.000Z"}
            for n in range(1, 6)
        ]
        organization = fresh_world.organizations["corp"]
        async with open_engine(fresh_world.url) as engine:
            await import_leaks(engine, organization, map(orjson.dumps, new), secret=b"plainly-fake")
        cursor = first["pageInfo"]["endCursor"]
        second = await operations.ask(LIST, {"first": 10, "after": cursor})
        before = await operations.ask(LIST, {"last": 10, "before": first["pageInfo"]["startCursor"]})
    expected = fresh_world.corp.leaks(IN_USE)
    assert [node["id"] for node in first["nodes"]] == expected[:10]
    assert ids_of(second) == expected[10:20]
    assert ids_of(before) == [leak["id"] for leak in new[::-1]]


# ------------------------------------------------------------------- cursors


async def refused(gateway: Gateway, query: str, variables: dict[str, Any], key: str = "read") -> bool:
    answer = await gateway.answer(query, variables, key)
    errors = answer.get("errors", [])
    return bool(errors) and all(
        error["extensions"]["code"] == "BAD_USER_INPUT" and error["message"].startswith("Invalid cursor")
        for error in errors
    )


async def test_a_cursor_is_refused_when_a_letter_of_it_is_changed(gateway: Gateway) -> None:
    cursor = (await gateway.ask(LIST, {"first": 1}))["leaks"]["edges"][0]["cursor"]
    assert not await refused(gateway, LIST, {"after": cursor})
    for place in range(len(cursor)):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        assert await refused(gateway, LIST, {"after": changed}), place
    made_up = ["", "=", "a", "AAAA", "A" * 100, cursor + "=", cursor + "A", cursor[:-1], " " + cursor, cursor + "\n", "é", "\x00",
               "🔑", cursor.replace("-", "+"), cursor * 2, "-" * 5000]  # fmt: skip
    for text in made_up:
        if text != cursor:
            assert await refused(gateway, LIST, {"after": text}), text
            assert await refused(gateway, LIST, {"before": text}), text


async def test_a_cursor_is_refused_in_another_list(gateway: Gateway) -> None:
    world = gateway.world
    cursor = (await gateway.ask(LIST, {"first": 1}))["leaks"]["edges"][0]["cursor"]
    elsewhere: Iterable[tuple[dict[str, Any], str]] = (
        ({"order": {"field": "ADDED_AT", "direction": "ASC"}}, "read"),
        ({"order": {"field": "FIRST_SEEN"}}, "read"),
        ({"order": {"field": "RISK_LEVEL"}}, "read"),
        ({"filter": {"status": ["NEW"]}}, "read"),
        ({"filter": {"status": []}}, "read"),
        ({"filter": {"riskLevel": {"min": 0}}}, "read"),
        ({"in": [world.domain_id("example.com")]}, "read"),
        ({"in": [world.domain_id(name) for name in IN_USE]}, "read"),
        ({}, "labs"),
    )
    for more, key in elsewhere:
        assert await refused(gateway, LIST, {"after": cursor, **more}, key), more
    for other in (
        "query ($c: String) { organization { domains(after: $c) { totalCount } } }",
        "query ($c: String) { domain(id: %s) { leaks(after: $c) { totalCount } } }"
        % _quoted(world.domain_id("example.com")),
        "query ($c: String) { node(id: %s) { ... on Endpoint { leaks(after: $c) { totalCount } } } }"
        % _quoted(world.machine_id),
        "query ($c: String) { leaks { nodes { connections { users(before: $c) { totalCount } } } } }",
    ):
        assert await refused(gateway, other, {"c": cursor}), other
    equal: Iterable[dict[str, Any]] = (
        {"filter": {}},
        {"filter": {"status": None}},
        {"order": {"field": "ADDED_AT"}},
        {"first": 7},
        {"last": 7},
    )
    for same in equal:
        assert not await refused(gateway, LIST, {"after": cursor, **same}), same


async def test_a_cursor_of_one_connected_kind_is_refused_in_another(gateway: Gateway) -> None:
    query = (
        """query ($c: String) { leaks(first: 1) { nodes { connections { users(after: $c) { edges { cursor } } } } } }"""
    )
    given = await gateway.ask(
        "{ leaks(first: 1) { nodes { connections { users { edges { cursor } } resources { edges { cursor } } } } } }"
    )
    connections = given["leaks"]["nodes"][0]["connections"]
    assert not await refused(gateway, query, {"c": connections["users"]["edges"][0]["cursor"]})
    assert await refused(gateway, query, {"c": connections["resources"]["edges"][0]["cursor"]})


def _quoted(text: str) -> str:
    return f'"{text}"'


async def test_a_cursor_holds_after_a_restart(world: World, gateway: Gateway) -> None:
    cursor = (await gateway.ask(LIST, {"first": 5}))["leaks"]["pageInfo"]["endCursor"]
    async with running(create_app(world.settings)) as client:
        data = await Gateway(client, world).ask(LIST, {"first": 5, "after": cursor})
    assert ids_of(data) == world.corp.leaks(IN_USE)[5:10]


@pytest.mark.parametrize(
    ("part", "kind"), [("resources", Kind.RESOURCE), ("users", Kind.USER), ("endpoints", Kind.ENDPOINT)]
)
async def test_what_a_leak_is_connected_to_is_met_once_from_page_to_page(
    gateway: Gateway, part: str, kind: Kind
) -> None:
    query = (
        """query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { leak(id: $id) { connections {
        part: %s(first: $first, after: $after, last: $last, before: $before) { totalCount nodes { id }
               pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }"""
        % part
    )
    expected = [node["id"] for node in gateway.world.corp.connected(LARGE_ID, kind)]
    for forward in (True, False):
        met: list[str] = []
        cursor, goes_on = None, True
        while goes_on:
            wanted = {"first": 37, "after": cursor} if forward else {"last": 37, "before": cursor}
            page = (await gateway.ask(query, {"id": LARGE_ID, **wanted}))["leak"]["connections"]["part"]
            ids = [node["id"] for node in page["nodes"]]
            met = met + ids if forward else ids + met
            assert page["totalCount"] == len(expected)
            info = page["pageInfo"]
            assert info["hasPreviousPage" if forward else "hasNextPage"] == (cursor is not None)
            goes_on = info["hasNextPage" if forward else "hasPreviousPage"]
            cursor = info["endCursor" if forward else "startCursor"]
        assert met == expected


async def test_domains_are_met_once_from_page_to_page(gateway: Gateway) -> None:
    query = """query ($first: Int, $after: String, $last: Int, $before: String) { organization { domains(includeArchived: true,
      first: $first, after: $after, last: $last, before: $before) { totalCount nodes { name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
    expected = ["example.com", "example.net", "old.example.com", "older.example.com", "quiet.example.com"]
    for forward in (True, False):
        met: list[str] = []
        cursor, goes_on = None, True
        while goes_on:
            wanted = {"first": 3, "after": cursor} if forward else {"last": 3, "before": cursor}
            page = (await gateway.ask(query, wanted))["organization"]["domains"]
            names = [node["name"] for node in page["nodes"]]
            met = met + names if forward else names + met
            assert page["totalCount"] == len(expected)
            goes_on = page["pageInfo"]["hasNextPage" if forward else "hasPreviousPage"]
            cursor = page["pageInfo"]["endCursor" if forward else "startCursor"]
        assert met == expected


# ---------------------------------------------- any filter, order and page


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["planned", "interpreted"])
async def operations(world: World, request: pytest.FixtureRequest) -> AsyncIterator[Asking]:
    async with asking(world, planned=request.param == "planned") as asked:
        yield asked


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


_statuses = st.lists(st.sampled_from(["NEW", "INVESTIGATING", "RESOLVED", "FALSE_POSITIVE"]), max_size=3)
_names = st.lists(st.sampled_from(["NONE", "LOW", "MEDIUM", "HIGH"]), max_size=3)
_levels = st.fixed_dictionaries({}, optional={"min": _maybe(st.integers(-1, 11)), "max": _maybe(st.integers(-1, 11))})
_instants = st.integers(0, 60).map(instant)
_ranges = st.fixed_dictionaries({}, optional={"since": _maybe(_instants), "until": _maybe(_instants)})
_filters = st.fixed_dictionaries(
    {},
    optional={
        "status": _maybe(_statuses),
        "riskLevelName": _maybe(_names),
        "riskLevel": _maybe(_levels),
        "firstSeen": _maybe(_ranges),
        "addedAt": _maybe(_ranges),
        "login": _maybe(st.sampled_from(["user1@example.com", "USER2@example.com", "nobody"])),
        "resource": _maybe(st.sampled_from([HOST, "host-001.example.net", "host-002.example.net"])),
        "identity": _maybe(st.sampled_from([PERSON, "user-001", "user-002"])),
        "filename": _maybe(st.sampled_from([MACHINE, "[PL]203.0.113.3.rar"])),
        "urlContains": _maybe(st.sampled_from(["mail", "VPN", "/1", "example"])),
    },
)
_orders = st.fixed_dictionaries({"field": st.sampled_from(list(FIELDS)), "direction": st.sampled_from(["ASC", "DESC"])})
_domains = _maybe(st.lists(st.sampled_from([*IN_USE, "old.example.com", "older.example.com"]), min_size=1, max_size=3))
_LEAKS_VIA = {
    None: "leaks({arguments}, domainIds: $in)",
    Kind.DOMAIN: "domain(id: $via) {{ leaks({arguments})",
    Kind.RESOURCE: "node(id: $via) {{ ... on Resource {{ leaks({arguments})",
    Kind.USER: "node(id: $via) {{ ... on User {{ leaks({arguments})",
    Kind.ENDPOINT: "node(id: $via) {{ ... on Endpoint {{ leaks({arguments})",
}


def _query(via: Kind | None) -> str:
    arguments = "filter: $filter, orderBy: $order, first: $first, last: $last, after: $after, before: $before"
    opened = _LEAKS_VIA[via].format(arguments=arguments)
    scope = "$in: [ID!]" if via is None else "$via: ID!"
    return (
        "query ($filter: LeakFilter, $order: LeakOrder, $first: Int, $last: Int, $after: String, $before: String, "
        f"{scope}) {{ {opened} {{ totalCount nodes {{ id }} edges {{ cursor }} "
        f"pageInfo {{ hasNextPage hasPreviousPage }} }} {'}' * opened.count('{')} }}"
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=_filters,
    order=_orders,
    names=_domains,
    via=st.sampled_from(list(_LEAKS_VIA)),
    size=st.integers(1, 9),
    start=st.integers(0, 40),
    end=st.integers(0, 40),
    backward=st.booleans(),
)
async def test_any_list_is_what_it_would_be_in_plain_python(
    operations: Asking,
    world: World,
    wanted: dict[str, Any],
    order: dict[str, str],
    names: list[str] | None,
    via: Kind | None,
    size: int,
    start: int,
    end: int,
    backward: bool,
) -> None:
    holds, expected_of = is_wanted(wanted), world.corp.leaks
    values: dict[str, Any] = {"filter": wanted, "order": order}
    domains: Iterable[str] = names or IN_USE
    if via is None:
        values["in"] = None if names is None else [world.domain_id(name) for name in names]
        is_of: Callable[[Record], bool] = lambda _: True  # noqa: E731
    elif via is Kind.DOMAIN:
        name = (names or ["example.net"])[0]
        values["via"], domains, is_of = world.domain_id(name), (name,), lambda _: True
    else:
        name = {Kind.RESOURCE: HOST, Kind.USER: PERSON, Kind.ENDPOINT: MACHINE}[via]
        values["via"] = {Kind.RESOURCE: world.host_id, Kind.USER: world.person_id, Kind.ENDPOINT: world.machine_id}[via]
        domains, is_of = IN_USE, has(via, name)
        if via is Kind.USER:
            is_of = lambda leak: {"identity": PERSON, "identity_type": "email"} in leak["connections"]["users"]  # noqa: E731
    descending = order["direction"] == "DESC"
    expected = expected_of(
        domains, lambda leak: is_of(leak) and holds(leak), FIELDS[order["field"]], descending=descending
    )

    async def ask(**page: Any) -> Any:
        data = await operations.ask(_query(via), values | page)
        return data["leaks"] if via is None else data["domain" if via is Kind.DOMAIN else "node"]["leaks"]

    whole = await ask(first=100)
    assert [node["id"] for node in whole["nodes"]] == expected[:100]
    assert whole["totalCount"] == len(expected)
    if not expected:
        return
    cursors = [edge["cursor"] for edge in whole["edges"]]
    after, before = start % len(cursors), end % len(cursors)
    between = expected[after + 1 : before]
    page = await ask(after=cursors[after], before=cursors[before], **{"last" if backward else "first": size})
    assert [node["id"] for node in page["nodes"]] == (between[-size:] if backward else between[:size])
    goes_on = len(between) > size
    told = (page["pageInfo"]["hasNextPage"], page["pageInfo"]["hasPreviousPage"])
    assert told == ((True, goes_on) if backward else (goes_on, True))
