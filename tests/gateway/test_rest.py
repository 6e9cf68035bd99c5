"""GET /leaks/{leak_id}, line by line of its contract."""

import re
import string
import zlib
from typing import Any

import httpx
import orjson
import pytest

from gateway.keys import parse
from schema.records import Kind
from tests.records import (
    ARCHIVED_LEAK_ID,
    BARE_ID,
    EXAMPLE_ID,
    LARGE_ID,
    MANY,
    OLDER_ARCHIVED_LEAK_ID,
    OTHER_DOMAIN_LEAK_ID,
    OTHER_ORGANIZATION_LEAK_ID,
    UNKNOWN_ID,
    level_id,
)
from tests.serving import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = {
    "data": {
        "id": EXAMPLE_ID,
        "risk_level": 5,
        "risk_level_name": "medium",
        "status": "new",
        "url": "https://example.com/login",
        "login": "user@example.com",
        "password": "***",
        "first_seen": "2025-12-05T00:00:00.000Z",
        "added_at": "2025-12-05T01:09:22.879Z",
        "connections": {
            "resources": [
                {"resource": "192.0.2.7", "type": "ip"},
                {"resource": "api.example.com", "type": "domain"},
                {"resource": "com.example.wallet", "type": "apk"},
                {"resource": "vpn.example.com", "type": "domain"},
            ],
            "users": [{"identity_type": "username"}, {"identity_type": "email"}],
            "endpoints": [
                {"filename": "[FR]198.51.100.5.rar", "date": "2025-12-06T14:30:00.000Z"},
                {"filename": "[US]192.0.2.1.rar", "date": "2025-12-04T14:30:00.000Z"},
                {"filename": "[DE]198.51.100.4.rar", "date": None},
            ],
        },
    }
}
BARE = {
    "data": {
        "id": BARE_ID,
        "risk_level": 0,
        "risk_level_name": "none",
        "status": "false_positive",
        "url": None,
        "login": "nobody",
        "password": "***",
        "first_seen": None,
        "added_at": None,
        "connections": {"resources": [], "users": [], "endpoints": []},
    }
}


async def leak(gateway: Gateway, leak_id: str, key: str = "read", **domain_id: Any) -> httpx.Response:
    return await gateway.get(f"/leaks/{leak_id}", key, params=domain_id)


def assert_is_error(response: httpx.Response, status: int, type_: str) -> str:
    """An error in the contract's one shape; gives its detail."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["type", "status", "detail"]
    assert (body["type"], body["status"]) == (type_, status)
    assert body["detail"]
    return str(body["detail"])


# ---------------------------------------------------------------------- 200


async def test_a_leak_is_told_with_exactly_these_keys_in_this_order(gateway: Gateway) -> None:
    response = await leak(gateway, EXAMPLE_ID)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    # To the byte: the keys and the arrays are in order.
    assert response.content == orjson.dumps(EXAMPLE)


async def test_what_is_not_known_is_null_and_the_three_arrays_are_there_all_the_same(gateway: Gateway) -> None:
    assert (await leak(gateway, BARE_ID)).content == orjson.dumps(BARE)


@pytest.mark.parametrize("level", range(11))
async def test_a_risk_level_is_an_integer_and_has_its_name_in_lower_case(gateway: Gateway, level: int) -> None:
    data = (await leak(gateway, level_id(level))).json()["data"]
    assert data["risk_level"] == level
    assert data["risk_level_name"] == ["none", *["low"] * 3, *["medium"] * 3, *["high"] * 4][level]


async def test_every_status_is_told_in_lower_case(gateway: Gateway) -> None:
    filters = {status.lower(): status for status in ("NEW", "INVESTIGATING", "RESOLVED", "FALSE_POSITIVE")}
    for told, status in filters.items():
        query = "query ($s: LeakStatus!) { leaks(first: 1, filter: {status: [$s]}) { nodes { id } } }"
        (node,) = (await gateway.ask(query, {"s": status}))["leaks"]["nodes"]
        assert (await leak(gateway, node["id"])).json()["data"]["status"] == told


async def test_the_arrays_are_whole_however_long(gateway: Gateway) -> None:
    connections = (await leak(gateway, LARGE_ID)).json()["data"]["connections"]
    assert connections["resources"] == [{"resource": f"host-{n:03}.example.net", "type": "domain"} for n in range(MANY)]
    assert connections["users"] == [{"identity_type": "username"}] * MANY
    endpoints = gateway.world.corp.connected(LARGE_ID, Kind.ENDPOINT)
    assert connections["endpoints"] == [{"filename": e["filename"], "date": e["date"]} for e in endpoints]
    assert len(connections["endpoints"]) == MANY


async def test_every_imported_leak_in_scope_has_the_arrays_of_the_record_in_order(gateway: Gateway) -> None:
    corp = gateway.world.corp
    for leak_id in corp.leaks()[:20]:
        connections = (await leak(gateway, leak_id)).json()["data"]["connections"]
        assert connections == {
            "resources": [
                {"resource": node["resource"], "type": node["type"]} for node in corp.connected(leak_id, Kind.RESOURCE)
            ],
            "users": [{"identity_type": node["identity_type"]} for node in corp.connected(leak_id, Kind.USER)],
            "endpoints": [
                {"filename": node["filename"], "date": node["date"]} for node in corp.connected(leak_id, Kind.ENDPOINT)
            ],
        }


async def test_the_text_of_a_url_and_a_login_comes_back_as_it_went_in(gateway: Gateway) -> None:
    data = (await leak(gateway, OTHER_DOMAIN_LEAK_ID)).json()["data"]
    assert (data["login"], data["url"]) == ("Straße@Example.NET", "https://EXAMPLE.net/Ünter/100%_off")


async def test_no_answer_holds_a_password_or_its_fingerprint(gateway: Gateway) -> None:
    text = (await leak(gateway, EXAMPLE_ID)).text
    assert "not-a-password" not in text
    assert "fingerprint" not in text


async def test_an_id_may_be_in_upper_case_and_is_told_in_lower(gateway: Gateway) -> None:
    assert (await leak(gateway, EXAMPLE_ID.upper())).content == orjson.dumps(EXAMPLE)


# ---------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "{key}"},
        {"x-api-key": " {key} "},
        {"Authorization": "{key}"},
        {"Authorization": "Bearer {key}"},
        {"Authorization": "bearer   {key}"},
        {"X-API-Key": "{key}", "Authorization": "{key}"},
        {"X-API-Key": "{key}", "Authorization": "Bearer {key}"},
    ],
)
async def test_a_key_is_taken_in_either_header(gateway: Gateway, headers: dict[str, str]) -> None:
    sent = {name: value.format(key=gateway.world.keys["read"]) for name, value in headers.items()}
    assert (await gateway.get(f"/leaks/{EXAMPLE_ID}", None, headers=sent)).status_code == 200


def guessed(key: str) -> str:
    """A key that looks as it should, with the id of a real one and another secret."""
    body = key[: len("lgk_") + 22] + "0" * 43
    digits, rest = string.digits + string.ascii_uppercase + string.ascii_lowercase, zlib.crc32(body.encode())
    checksum = "".join(digits[rest // 62**place % 62] for place in reversed(range(6)))
    assert parse(body + checksum) == parse(key)
    return body + checksum


def refused_keys(keys: dict[str, str]) -> list[dict[str, str]]:
    good, other = keys["read"], keys["read and write"]
    unknown = "lgk_" + "0" * 65
    swapped = other[:26] + good[26:]
    return [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "nonsense"},
        {"X-API-Key": unknown},
        {"X-API-Key": good[:-1]},
        {"X-API-Key": good + "0"},
        {"X-API-Key": good.swapcase()},
        {"X-API-Key": swapped},
        {"X-API-Key": guessed(good)},
        {"X-API-Key": "lgk_" + "z" * 71},
        {"X-API-Key": keys["expired"]},
        {"X-API-Key": keys["revoked"]},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {good}"},
        {"Authorization": f"Bearer {good} {good}"},
        {"X-API-Key": good, "Authorization": other},
        {"X-API-Key": good, "Authorization": f"Bearer {other}"},
        {"X-API-Key": good, "Authorization": "Bearer nonsense"},
    ]


async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(gateway: Gateway) -> None:
    answers = set()
    for headers in refused_keys(dict(gateway.world.keys)):
        response = await gateway.get(f"/leaks/{EXAMPLE_ID}", None, headers=headers)
        assert_is_error(response, 401, "unauthorized")
        assert response.headers["www-authenticate"]
        answers.add(response.content)
    assert len(answers) == 1


async def test_a_key_that_is_sent_twice_and_differs_is_refused(gateway: Gateway) -> None:
    keys = gateway.world.keys
    url = f"http://gateway.test/leaks/{EXAMPLE_ID}"
    for name in ("X-API-Key", "Authorization"):
        for values, status in ((("read", "read and write"), 401), (("read", "read"), 200)):
            headers = [(name, keys[value]) for value in values]
            assert (await gateway.client.get(url, headers=headers)).status_code == status


async def test_a_key_in_the_address_is_none(gateway: Gateway) -> None:
    for name in ("api_key", "X-API-Key", "key", "token"):
        response = await gateway.get(f"/leaks/{EXAMPLE_ID}", None, params={name: gateway.world.keys["read"]})
        assert_is_error(response, 401, "unauthorized")


async def test_a_key_without_leaks_read_is_a_403(gateway: Gateway) -> None:
    detail = assert_is_error(await leak(gateway, EXAMPLE_ID, "write"), 403, "forbidden")
    assert "leaks:read" in detail


async def test_a_key_may_do_more_than_read(gateway: Gateway) -> None:
    assert (await leak(gateway, EXAMPLE_ID, "read and write")).status_code == 200


# ----------------------------------------------------------------- domain_id


async def test_without_domain_id_all_domains_that_are_not_archived_are_in_scope(gateway: Gateway) -> None:
    assert (await leak(gateway, EXAMPLE_ID)).status_code == 200
    assert (await leak(gateway, OTHER_DOMAIN_LEAK_ID)).status_code == 200
    assert (await leak(gateway, ARCHIVED_LEAK_ID)).status_code == 404


async def test_domain_id_scopes_the_request(gateway: Gateway) -> None:
    com, net = (gateway.world.domain_id(name) for name in ("example.com", "example.net"))
    for domain_id, leak_id, status in (
        (com, EXAMPLE_ID, 200),
        (com, OTHER_DOMAIN_LEAK_ID, 404),
        (net, OTHER_DOMAIN_LEAK_ID, 200),
        (net, EXAMPLE_ID, 404),
        (com.upper(), EXAMPLE_ID, 200),
        (f"{com},{net}", EXAMPLE_ID, 200),
        (f"{net},{com}", OTHER_DOMAIN_LEAK_ID, 200),
        (f" {com} , {net} ", OTHER_DOMAIN_LEAK_ID, 200),
        (f"{com},{com}", EXAMPLE_ID, 200),
        ([com, net], EXAMPLE_ID, 200),
        ([com, net], OTHER_DOMAIN_LEAK_ID, 200),
        ([f"{com},{com}", net], OTHER_DOMAIN_LEAK_ID, 200),
    ):
        assert (await leak(gateway, leak_id, domain_id=domain_id)).status_code == status, (domain_id, leak_id)


async def test_an_archived_domain_is_in_scope_only_when_named(gateway: Gateway) -> None:
    com, old = (gateway.world.domain_id(name) for name in ("example.com", "old.example.com"))
    assert (await leak(gateway, ARCHIVED_LEAK_ID, domain_id=old)).status_code == 200
    assert (await leak(gateway, ARCHIVED_LEAK_ID, domain_id=f"{com},{old}")).status_code == 200
    assert (await leak(gateway, ARCHIVED_LEAK_ID, domain_id=com)).status_code == 404
    assert (await leak(gateway, EXAMPLE_ID, domain_id=old)).status_code == 404
    assert (await leak(gateway, OLDER_ARCHIVED_LEAK_ID, domain_id=old)).status_code == 404


async def test_a_domain_without_leaks_has_none(gateway: Gateway) -> None:
    quiet = gateway.world.domain_id("quiet.example.com")
    assert_is_error(await leak(gateway, EXAMPLE_ID, domain_id=quiet), 404, "not_found")


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "foo",
        "example.com",
        "{com},",
        ",{com}",
        "{com},,{com}",
        "{com},foo",
        "{bare}",
        "{{{com}}}",
        "urn:uuid:{com}",
    ],
)
async def test_a_domain_id_that_is_no_uuid_is_a_400_that_says_so(gateway: Gateway, value: str) -> None:
    com = gateway.world.domain_id("example.com")
    response = await leak(gateway, EXAMPLE_ID, domain_id=value.format(com=com, bare=com.replace("-", "")))
    detail = assert_is_error(response, 400, "validation_error")
    assert re.fullmatch(r'Invalid domain_id: ".*"\. Valid: .+\.', detail)


async def test_the_detail_of_a_400_repeats_little_of_what_was_sent(gateway: Gateway) -> None:
    response = await leak(gateway, EXAMPLE_ID, domain_id="x" * 8000)
    assert len(assert_is_error(response, 400, "validation_error")) < 200


async def test_at_most_a_hundred_domain_ids_are_taken(gateway: Gateway) -> None:
    com = gateway.world.domain_id("example.com")
    for ids, status in (([com] * 100, 200), ([com] * 101, 400)):
        assert (await leak(gateway, EXAMPLE_ID, domain_id=",".join(ids))).status_code == status
        assert (await leak(gateway, EXAMPLE_ID, domain_id=ids)).status_code == status
    assert_is_error(await leak(gateway, EXAMPLE_ID, domain_id=[com] * 101), 400, "validation_error")


async def test_a_domain_that_is_not_the_keys_is_a_403_whosever_it_is(gateway: Gateway) -> None:
    world = gateway.world
    com, labs = world.domain_id("example.com"), world.domain_id("example.com", "labs")
    answers = {
        (await leak(gateway, leak_id, domain_id=domain_id)).content
        for leak_id in (EXAMPLE_ID, OTHER_ORGANIZATION_LEAK_ID, UNKNOWN_ID, "foo")
        for domain_id in (labs, UNKNOWN_ID, f"{com},{labs}", f"{com},{UNKNOWN_ID}", world.organizations["corp"].id)
    }
    assert len(answers) == 1
    assert_is_error(await leak(gateway, EXAMPLE_ID, domain_id=labs), 403, "forbidden")


async def test_a_restricted_key_sees_its_domains_only(gateway: Gateway) -> None:
    com, net, old = (gateway.world.domain_id(name) for name in ("example.com", "example.net", "old.example.com"))
    for key, leak_id, domain_id, status in (
        ("restricted", OTHER_DOMAIN_LEAK_ID, None, 200),
        ("restricted", OTHER_DOMAIN_LEAK_ID, net, 200),
        ("restricted", EXAMPLE_ID, None, 404),
        ("restricted", EXAMPLE_ID, com, 403),
        ("restricted", ARCHIVED_LEAK_ID, old, 403),
        ("restricted to the archived", ARCHIVED_LEAK_ID, None, 404),
        ("restricted to the archived", ARCHIVED_LEAK_ID, old, 200),
        ("restricted to nothing", EXAMPLE_ID, None, 404),
        ("restricted to nothing", EXAMPLE_ID, com, 403),
        ("nobody", EXAMPLE_ID, None, 404),
        ("nobody", EXAMPLE_ID, com, 403),
    ):
        asked = {} if domain_id is None else {"domain_id": domain_id}
        assert (await leak(gateway, leak_id, key, **asked)).status_code == status, (key, leak_id)


# ----------------------------------------------------------------------- 404


async def test_a_leak_that_is_not_visible_is_a_404_that_tells_nothing_to_the_byte(gateway: Gateway) -> None:
    net = gateway.world.domain_id("example.net")
    responses = [
        await leak(gateway, UNKNOWN_ID),
        await leak(gateway, OTHER_ORGANIZATION_LEAK_ID),
        await leak(gateway, ARCHIVED_LEAK_ID),
        await leak(gateway, EXAMPLE_ID, "restricted"),
        await leak(gateway, EXAMPLE_ID, domain_id=net),
        await leak(gateway, "foo"),
        await leak(gateway, EXAMPLE_ID.replace("-", "")),
        await leak(gateway, "{" + EXAMPLE_ID + "}"),
        await leak(gateway, "urn:uuid:" + EXAMPLE_ID),
        await leak(gateway, EXAMPLE_ID + "%00"),
        await leak(gateway, "%F0%9F%94%91"),
        await leak(gateway, "%FF"),
        await leak(gateway, gateway.world.organizations["corp"].id),
        await leak(gateway, gateway.world.domain_id("example.com")),
        await leak(gateway, gateway.world.machine_id),
    ]
    assert_is_error(responses[0], 404, "not_found")
    assert len({response.content for response in responses}) == 1
    own = {"x-request-id", "ratelimit"}  # the key's own budget goes down with each
    told = [{k: v for k, v in response.headers.items() if k not in own} for response in responses]
    assert all(headers == told[0] for headers in told)


async def test_two_organizations_may_have_the_same_leak_id_and_each_sees_its_own(gateway: Gateway) -> None:
    assert (await leak(gateway, EXAMPLE_ID, "read")).json()["data"]["login"] == "user@example.com"
    assert (await leak(gateway, EXAMPLE_ID, "labs")).json()["data"]["login"] == "other@example.org"
    assert (await leak(gateway, OTHER_ORGANIZATION_LEAK_ID, "labs")).status_code == 200


# --------------------------------------------------------- the rest of HTTP


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_another_method_is_a_405_that_names_those_allowed(gateway: Gateway, method: str) -> None:
    response = await gateway.client.request(method, f"/leaks/{EXAMPLE_ID}", headers=gateway.headers("read"))
    assert_is_error(response, 405, "method_not_allowed")
    assert {name.strip() for name in response.headers["allow"].split(",")} == {"GET", "HEAD"}


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("*/*", 200),
        ("application/*;q=0.1", 200),
        ("text/html, application/json;q=0.1", 200),
        ("text/html;q=0.9, */*;q=0.8", 200),
        ("", 200),
        ("text/html", 406),
        ("application/graphql-response+json", 406),
        ("application/json;q=0", 406),
        ("*/*, application/json;q=0", 406),
        ("application/json;q=nonsense", 406),
        ("text/html," * 50, 406),
        ("text/html," * 100, 200),
    ],
)
async def test_json_is_all_there_is_to_accept(gateway: Gateway, accept: str, status: int) -> None:
    response = await gateway.get(f"/leaks/{EXAMPLE_ID}", headers={"Accept": accept})
    assert response.status_code == status
    if status == 406:
        assert "application/json" in assert_is_error(response, 406, "not_acceptable")


async def test_an_address_that_is_too_long_is_a_414(gateway: Gateway) -> None:
    for path in (f"/leaks/{'x' * 20_000}", f"/leaks/{EXAMPLE_ID}?domain_id={'x' * 20_000}", "/" + "y" * 20_000):
        assert_is_error(await gateway.get(path), 414, "uri_too_long")


@pytest.mark.parametrize("path", ["/", "/leaks", "/leaks/", f"/leaks/{EXAMPLE_ID}/more", "/v1/leaks", "/../leaks"])
async def test_what_is_not_there_is_a_404_in_the_same_shape(gateway: Gateway, path: str) -> None:
    assert_is_error(await gateway.get(path), 404, "not_found")


async def test_a_client_that_has_the_leak_already_is_told_so(gateway: Gateway) -> None:
    first = await leak(gateway, EXAMPLE_ID)
    etag = first.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]+"', etag)
    for known in (etag, f"W/{etag}", "*", f'"other", {etag}', f'W/"other",W/{etag}', f"  {etag}  "):
        response = await gateway.get(f"/leaks/{EXAMPLE_ID}", headers={"If-None-Match": known})
        assert (response.status_code, response.content) == (304, b""), known
        assert response.headers["etag"] == etag
        for name in ("cache-control", "vary"):
            assert response.headers[name] == first.headers[name]
    for unknown in ('"other"', etag.strip('"'), 'W/"other"', "", f'"{etag}"'):
        response = await gateway.get(f"/leaks/{EXAMPLE_ID}", headers={"If-None-Match": unknown})
        assert response.status_code == 200, unknown


async def test_an_etag_is_that_of_the_content(gateway: Gateway) -> None:
    tags = [(await leak(gateway, id_)).headers["etag"] for id_ in (EXAMPLE_ID, EXAMPLE_ID.upper(), BARE_ID)]
    assert tags[0] == tags[1] != tags[2]
    assert (await leak(gateway, EXAMPLE_ID, "labs")).headers["etag"] != tags[0]


async def test_if_none_match_tells_nothing_of_a_leak_that_is_not_visible(gateway: Gateway) -> None:
    for key, leak_id in (("read", OTHER_ORGANIZATION_LEAK_ID), ("restricted", EXAMPLE_ID)):
        response = await gateway.get(f"/leaks/{leak_id}", key, headers={"If-None-Match": "*"})
        assert_is_error(response, 404, "not_found")


async def test_a_leak_is_not_kept_by_caches(gateway: Gateway) -> None:
    headers = (await leak(gateway, EXAMPLE_ID)).headers
    assert headers["cache-control"] == "no-store"
    assert {"Authorization", "X-API-Key"} <= {name.strip() for name in headers["vary"].split(",")}


async def test_an_error_is_not_kept_by_caches(gateway: Gateway) -> None:
    for key, path in (("read", f"/leaks/{UNKNOWN_ID}"), ("expired", f"/leaks/{EXAMPLE_ID}"), ("read", "/nothing")):
        assert (await gateway.get(path, key)).headers["cache-control"] == "no-store"


async def test_head_answers_as_get_but_for_the_body(live_gateway: str, gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=live_gateway, headers=gateway.headers("read")) as client:
        for path in (f"/leaks/{EXAMPLE_ID}", f"/leaks/{UNKNOWN_ID}"):
            got, head = await client.get(path), await client.head(path)
            assert head.content == b""
            assert head.status_code == got.status_code
            for name in ("content-type", "content-length", "etag"):
                assert head.headers.get(name) == got.headers.get(name)


async def test_a_body_is_passed_over(gateway: Gateway) -> None:
    response = await gateway.client.request(
        "GET", f"/leaks/{EXAMPLE_ID}", content=b"{" * 1000, headers=gateway.headers("read")
    )
    assert response.status_code == 200
