"""/graphql, as HTTP: what is taken, what is refused, and how each error is told."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from graphql import build_schema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope

from gateway.graphql import GraphQLEndpoint, graphql_routes
from gateway.responses import Head, Prepared
from schema.execution.documents import Documents, PreparedOperation
from schema.execution.limits import Limits
from tests.records import EXAMPLE_ID, UNKNOWN_ID
from tests.serving import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
NAME = "{ organization { name } }"
CORP = {"data": {"organization": {"name": "Example Corp"}}}


def assert_refused(response: httpx.Response, status: int, code: str, media_type: str = JSON) -> list[str]:
    """Errors without data, of one code; gives the messages."""
    assert response.status_code == status
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    body = response.json()
    assert list(body) == ["errors"]
    assert {error["extensions"]["code"] for error in body["errors"]} == {code}
    return [error["message"] for error in body["errors"]]


async def test_an_operation_is_taken_by_post(gateway: Gateway) -> None:
    response = await gateway.respond(NAME)
    assert (response.status_code, response.json()) == (200, CORP)
    assert response.headers["cache-control"] == "no-store"
    assert {"Accept", "Authorization", "X-API-Key"} <= {v.strip() for v in response.headers["vary"].split(",")}


async def test_a_query_is_taken_by_get(gateway: Gateway) -> None:
    query = "query One($id: ID!) { leak(id: $id) { id } } query Other { viewer { name } }"
    variables = orjson.dumps({"id": EXAMPLE_ID}).decode()
    for name, data in (("One", {"leak": {"id": EXAMPLE_ID}}), ("Other", {"viewer": {"name": "read"}})):
        asked = {"query": query, "operationName": name, "variables": variables, "extensions": "{}"}
        response = await gateway.get("/graphql", params=asked)
        assert (response.status_code, response.json()) == (200, {"data": data})


async def test_every_member_but_query_may_be_null_or_left_out_or_unknown(gateway: Gateway) -> None:
    for more in (
        {},
        {"variables": None, "operationName": None, "extensions": None},
        {"foo": 1, "id": "x"},
        {"operationName": ""},
    ):
        response = await gateway.post(orjson.dumps({"query": NAME, **more}))
        assert (response.status_code, response.json()) == (200, CORP)


# -------------------------------------------------------------------- bodies

_QUERY = orjson.dumps({"query": NAME})


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"5", b'"x"', b"null", b"true", b"[]", b"{}", b"[" * 60_000, b'{"a":' * 20_000, b"{", b"nonsense",
        b"[" + _QUERY + b"]", b"[" + _QUERY + b"," + _QUERY + b"]",
        b'{"query": "{ organization { name } }"\xff}', b'{"query": "\xff"}', b'{"query": "\\ud800"}', b'{"query": NaN}',
        b"\xef\xbb\xbf" + _QUERY, _QUERY.decode().encode("utf-16"), _QUERY.decode().encode("utf-16-le"),
        _QUERY.decode().encode("utf-32"), _QUERY.decode().encode("utf-7").replace(b"{", b"+AHs-"),
        b"1" * 5_000, b"-", b'{"query": ' + b"9" * 5_000 + b"}",
        b'{"query": null}', b'{"query": 5}', b'{"query": ["{ organization { name } }"]}', b'{"query": {}}',
        b'{"query": "{ organization { name } }", "variables": 5}',
        b'{"query": "{ organization { name } }", "variables": []}',
        b'{"query": "{ organization { name } }", "variables": "{}"}',
        b'{"query": "{ organization { name } }", "variables": false}',
        b'{"query": "{ organization { name } }", "operationName": 5}',
        b'{"query": "{ organization { name } }", "operationName": {}}',
        b'{"query": "{ organization { name } }", "operationName": false}',
        b'{"query": "{ organization { name } }", "extensions": 5}',
        b'{"query": "{ organization { name } }", "extensions": "x"}',
        b'{"query": "{ organization { name } }", "extensions": []}',
    ],
)  # fmt: skip
async def test_a_body_that_describes_no_operation_is_a_400(gateway: Gateway, body: bytes) -> None:
    (message,) = assert_refused(await gateway.post(body), 400, "BAD_USER_INPUT")
    assert "Invalid" in message
    (message,) = assert_refused(await gateway.post(body, Accept=RESPONSE), 400, "BAD_USER_INPUT", RESPONSE)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8", "application/json;charset=UTF-8", 'application/json; charset="utf-8"',
        "Application/JSON", "application/json;", "application/json ; charset=utf8",
        'application/json ; charset = "UTF8" ; ', "application/json ;", "application/json; charset=utf-8;",
    ],
)  # fmt: skip
async def test_json_in_utf_8_is_taken(gateway: Gateway, content_type: str) -> None:
    assert (await gateway.post(_QUERY, Content_Type=content_type)).json() == CORP


@pytest.mark.parametrize(
    "content_type",
    [
        "", "text/plain", "application/graphql", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/json; charset=utf-16", "application/json; charset=utf-7", "application/json; charset=latin-1",
        'application/json; charset="utf-16"', "application/json, text/plain", "application/jsonp",
        "application/json; charset=utf-8; charset=utf-16", "application/graphql+json", "text/json",
    ],
)  # fmt: skip
async def test_a_body_that_is_declared_as_anything_else_is_a_415(gateway: Gateway, content_type: str) -> None:
    assert_refused(await gateway.post(_QUERY, Content_Type=content_type), 415, "BAD_USER_INPUT")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity", "x"])
async def test_a_body_in_a_coding_is_a_415(gateway: Gateway, coding: str) -> None:
    assert_refused(await gateway.post(_QUERY, Content_Encoding=coding), 415, "BAD_USER_INPUT")


async def test_a_body_without_a_type_is_a_415(gateway: Gateway) -> None:
    headers = gateway.headers("read")
    response = await gateway.client.post("/graphql", content=_QUERY, headers=headers)
    assert_refused(response, 415, "BAD_USER_INPUT")


async def test_a_body_that_is_too_long_is_a_413_whether_its_length_is_declared_or_not(gateway: Gateway) -> None:
    padded = orjson.dumps({"query": NAME + " " * 200_000})
    long = b" " * 10_000_000

    async def in_chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 10_000

    assert_refused(await gateway.post(padded), 413, "BAD_USER_INPUT")
    assert_refused(await gateway.post(long), 413, "BAD_USER_INPUT")
    headers = {"Content-Type": JSON} | gateway.headers("read")
    response = await gateway.client.post("/graphql", content=in_chunks(), headers=headers)
    assert_refused(response, 413, "BAD_USER_INPUT")


async def test_the_longest_body_is_taken_to_the_byte(gateway: Gateway) -> None:
    longest = 131_072
    for size, status in ((longest, 200), (longest + 1, 413)):
        body = _QUERY + b" " * (size - len(_QUERY))
        assert (await gateway.post(body)).status_code == status


async def test_a_real_server_refuses_ten_megabytes_and_goes_on(live_gateway: str, gateway: Gateway) -> None:
    headers = {"Content-Type": JSON} | gateway.headers("read")
    async with httpx.AsyncClient(base_url=live_gateway, headers=headers) as client:
        assert (await client.post("/graphql", content=b" " * 10_000_000)).status_code == 413
        assert (await client.post("/graphql", content=_QUERY)).json() == CORP


# ------------------------------------------------------------------- methods


@pytest.mark.parametrize("by_get", [{}, {"query": ""}, {"foo": "bar"}])
async def test_a_get_without_a_query_is_refused(gateway: Gateway, by_get: dict[str, str]) -> None:
    response = await gateway.get("/graphql", params=by_get, headers={"Accept": RESPONSE})
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] in {"BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED"}


@pytest.mark.parametrize(
    "more", [{"variables": "{"}, {"variables": "5"}, {"variables": "[]"}, {"extensions": "x"}, {"extensions": "[]"}]
)
async def test_the_objects_of_a_get_are_json(gateway: Gateway, more: dict[str, str]) -> None:
    assert_refused(await gateway.get("/graphql", params={"query": NAME, **more}), 400, "BAD_USER_INPUT")


async def test_only_what_the_schema_has_can_be_asked_to_be_done(gateway: Gateway) -> None:
    for operation in ("mutation { a }", "subscription { a }"):
        for accept, status in ((JSON, 200), (RESPONSE, 400)):
            response = await gateway.get("/graphql", params={"query": operation}, headers={"Accept": accept})
            assert response.status_code in {status, 405}
            assert "data" not in response.json()
        assert "data" not in await gateway.answer(operation)


async def test_what_is_no_query_is_taken_by_post_alone(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    # The schema has no mutation yet.
    monkeypatch.setattr(PreparedOperation, "is_query", False)
    for accept in (JSON, RESPONSE):
        response = await gateway.get("/graphql", params={"query": NAME}, headers={"Accept": accept})
        assert_refused(response, 405, "BAD_USER_INPUT", accept)
        assert response.headers["allow"] == "POST"
    asked = gateway.client.head("/graphql", params={"query": NAME}, headers=gateway.headers("read"))
    assert (await asked).status_code == 405
    assert (await gateway.respond(NAME)).json() == CORP


async def test_a_mutation_and_a_subscription_are_no_queries() -> None:
    schema = build_schema("type Query { a: Int } type Mutation { a: Int } type Subscription { a: Int }")
    document = Documents(schema, Limits()).get("query Q { a } mutation M { a } subscription S { a }")
    assert [document.operation(name).is_query for name in "QMS"] == [True, False, False]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"])
async def test_another_method_is_a_405(gateway: Gateway, method: str) -> None:
    response = await gateway.client.request(method, "/graphql", content=_QUERY, headers=gateway.headers("read"))
    assert response.status_code == 405
    assert {name.strip() for name in response.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}


# ---------------------------------------------------------------- operations


async def test_of_several_operations_the_one_that_is_named_runs(gateway: Gateway) -> None:
    query = "query A { organization { name } } query B { viewer { name } }"
    for name, data in (("A", CORP["data"]), ("B", {"viewer": {"name": "read"}})):
        response = await gateway.post(orjson.dumps({"query": query, "operationName": name}))
        assert response.json() == {"data": data}


@pytest.mark.parametrize("name", [None, "", "C", "a", "A "])
async def test_several_operations_without_the_name_of_one_are_refused(gateway: Gateway, name: str | None) -> None:
    body = orjson.dumps({"query": f"query A {NAME} query B {NAME}", "operationName": name})
    assert_refused(await gateway.post(body, Accept=RESPONSE), 400, "BAD_USER_INPUT", RESPONSE)
    assert_refused(await gateway.post(body, Accept=JSON), 200, "BAD_USER_INPUT")


async def test_a_document_without_an_operation_is_refused(gateway: Gateway) -> None:
    for query in ("fragment F on Query { organization { name } }", "type Foo { a: Int }", "# nothing", ""):
        response = await gateway.respond(query, Accept=RESPONSE)
        assert response.status_code == 400
        assert "data" not in response.json()


# -------------------------------------------------------------------- accept


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (f"{JSON}; charset=utf-8", JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}; charset=utf-8", RESPONSE),
        (RESPONSE.upper(), RESPONSE),
        (f"{RESPONSE}, {JSON}", RESPONSE),
        (f"{JSON}, {RESPONSE}", RESPONSE),
        (f"{RESPONSE};q=0.9, {JSON}", JSON),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE),
        (f"{RESPONSE}, */*;q=0.1", RESPONSE),
        (f"{JSON};q=0, */*", RESPONSE),
        (f"text/html, {RESPONSE};q=0.5", RESPONSE),
        ("text/event-stream, application/json", JSON),
        (f"{RESPONSE}, text/html{';a=b' * 100}", RESPONSE),
        (f"{RESPONSE}, text/html{';a=b' * 200}", JSON),
    ],
)
async def test_the_answer_has_the_type_that_is_liked_best(
    gateway: Gateway, accept: str | None, media_type: str
) -> None:
    headers = {"Content-Type": JSON} | gateway.headers("read")
    request = gateway.client.build_request("POST", "/graphql", content=_QUERY, headers=headers)
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    response = await gateway.client.send(request)
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.json() == CORP


@pytest.mark.parametrize("accept", ["text/html", "image/*", "application/xml", f"{JSON};q=0, {RESPONSE};q=0"])
async def test_who_takes_neither_type_gets_a_406(gateway: Gateway, accept: str) -> None:
    (message,) = assert_refused(await gateway.respond(NAME, Accept=accept), 406, "BAD_USER_INPUT")
    assert RESPONSE in message


# --------------------------------------------------------------------- codes

DEEP = "{ a " * 20 + "}" * 20


@pytest.mark.parametrize(
    ("code", "query", "variables"),
    [
        ("GRAPHQL_PARSE_FAILED", "{", None),
        ("GRAPHQL_PARSE_FAILED", "", None),
        ("GRAPHQL_PARSE_FAILED", '{ leak(id: "\\ud800") { id } }', None),
        ("GRAPHQL_PARSE_FAILED", "{a" * 900, None),
        ("GRAPHQL_VALIDATION_FAILED", "{ foo }", None),
        ("GRAPHQL_VALIDATION_FAILED", "{ organization }", None),
        ("GRAPHQL_VALIDATION_FAILED", "{ leak(id: 5.5) { id } }", None),
        ("GRAPHQL_VALIDATION_FAILED", "{ leaks(first: 99999999999) { totalCount } }", None),
        ("GRAPHQL_VALIDATION_FAILED", '{ leaks(filter: {addedAt: {since: "yesterday"}}) { totalCount } }', None),
        ("GRAPHQL_VALIDATION_FAILED", "{ ...Nowhere }", None),
        ("GRAPHQL_VALIDATION_FAILED", "{ leaks(filter: {status: [new]}) { totalCount } }", None),
        ("BAD_USER_INPUT", "query ($id: ID!) { leak(id: $id) { id } }", None),
        ("BAD_USER_INPUT", "query ($id: ID!) { leak(id: $id) { id } }", {"id": None}),
        ("BAD_USER_INPUT", "query ($id: ID!) { leak(id: $id) { id } }", {"id": []}),
        ("BAD_USER_INPUT", "query ($n: Int) { leaks(first: $n) { totalCount } }", {"n": 1.5}),
        ("BAD_USER_INPUT", "query ($n: Int) { leaks(first: $n) { totalCount } }", {"n": "5"}),
        ("BAD_USER_INPUT", "query ($n: Int) { leaks(first: $n) { totalCount } }", {"n": 2**31}),
        ("BAD_USER_INPUT", "query ($n: Int) { leaks(first: $n) { totalCount } }", {"n": True}),
        ("BAD_USER_INPUT", "query ($t: DateTime) { leaks(filter: {addedAt: {since: $t}}) { totalCount } }", {"t": "x"}),
        ("BAD_USER_INPUT", "query ($t: DateTime) { leaks(filter: {addedAt: {since: $t}}) { totalCount } }", {"t": 5}),
        ("BAD_USER_INPUT", "query ($f: LeakFilter) { leaks(filter: $f) { totalCount } }", {"f": {"foo": 1}}),
        ("OPERATION_TOO_COSTLY", DEEP, None),
    ],
)  # fmt: skip
async def test_an_operation_that_is_refused_before_it_runs_is_a_400_or_for_legacy_clients_a_200(
    gateway: Gateway, code: str, query: str, variables: dict[str, Any] | None
) -> None:
    assert_refused(await gateway.respond(query, variables, Accept=RESPONSE), 400, code, RESPONSE)
    legacy = 400 if code == "OPERATION_TOO_COSTLY" else 200
    assert_refused(await gateway.respond(query, variables, Accept=JSON), legacy, code)


@pytest.mark.parametrize("accept", [JSON, RESPONSE])
async def test_an_error_of_a_field_stands_beside_the_data(gateway: Gateway, accept: str) -> None:
    query = '{ organization { name } leak(id: %r, domainIds: ["%s"]) { id } }' % (UNKNOWN_ID, UNKNOWN_ID)
    response = await gateway.respond(query.replace("'", '"'), Accept=accept)
    assert response.status_code == 200
    body = response.json()
    assert body["data"] == {"organization": {"name": "Example Corp"}, "leak": None}
    (error,) = body["errors"]
    assert error["path"] == ["leak"]
    assert error["locations"]
    assert error["extensions"] == {"code": "FORBIDDEN"}


async def test_an_argument_that_cannot_be_taken_is_bad_user_input_at_its_place(gateway: Gateway) -> None:
    answer = await gateway.answer("{ organization { name } page: leaks(first: 0) { totalCount } }")
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]) == (["page"], {"code": "BAD_USER_INPUT"})
    assert error["message"] == "Invalid first: 0. Valid: 1 to 100."


async def test_at_most_a_few_errors_are_told(gateway: Gateway) -> None:
    answer = await gateway.answer("{ " + " ".join(f"foo{n}" for n in range(100)) + " }")
    assert len(answer["errors"]) <= 5
    query = "query ($s: [LeakStatus!]) { leaks(filter: {status: $s}) { totalCount } }"
    assert len((await gateway.answer(query, {"s": ["wrong"] * 100}))["errors"]) <= 6, "and that there are more"


@pytest.mark.parametrize(
    "query", ["{ organisation { name } }", "{ leaks { node { id } } }", "query ($f: LeakFiltr) { leaks(filter: $f) { totalCount } }",
              "{ leaks(filtr: {}) { totalCount } }", "{ leaks(filter: {statuss: []}) { totalCount } }",
              "{ leaks(filter: {status: [NEWW]}) { totalCount } }"],
)  # fmt: skip
async def test_an_error_suggests_no_names(gateway: Gateway, query: str) -> None:
    assert "did you mean" not in orjson.dumps(await gateway.answer(query)).decode().lower()


@pytest.mark.parametrize("given", [{"statuss": []}, {"status": ["NEWW"]}, {"addedAt": {"sinc": None}}])
async def test_an_error_of_a_variable_suggests_no_names(gateway: Gateway, given: dict[str, Any]) -> None:
    query = "query ($f: LeakFilter) { leaks(filter: $f) { totalCount } }"
    answer = await gateway.answer(query, {"f": given})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
    assert "did you mean" not in orjson.dumps(answer).decode().lower()


# ----------------------------------------------------------------------- keys


async def test_without_a_key_nothing_is_told(gateway: Gateway) -> None:
    for accept in (JSON, RESPONSE):
        for query in (NAME, "{ __typename }", "{ __schema { types { name } } }", "{", DEEP):
            response = await gateway.respond(query, key=None, Accept=accept)
            assert_refused(response, 401, "UNAUTHENTICATED", accept)
            assert response.headers["www-authenticate"]
    assert_refused(await gateway.post(b" " * 10_000_000, None), 401, "UNAUTHENTICATED")
    for key in ("expired", "revoked"):
        assert_refused(await gateway.respond(NAME, key=key), 401, "UNAUTHENTICATED")


async def test_a_key_without_leaks_read_is_forbidden(gateway: Gateway) -> None:
    for query in (NAME, "{ __typename }", "{"):
        (message,) = assert_refused(await gateway.respond(query, key="write"), 403, "FORBIDDEN")
        assert "leaks:read" in message


async def test_a_key_is_taken_bare_or_as_bearer(gateway: Gateway) -> None:
    for form in ("{}", "Bearer {}"):
        authorization = form.format(gateway.world.keys["labs"])
        response = await gateway.respond(NAME, key=None, Authorization=authorization)
        assert response.json() == {"data": {"organization": {"name": "Example Labs"}}}


# ------------------------------------------------------------------- browsers

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.fixture
def with_page() -> httpx.AsyncClient:
    """A client of the routes alone, with a page."""

    async def page(_request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>GraphiQL</title>")

    class Refusing(GraphQLEndpoint):
        def __init__(self) -> None:
            pass

        async def respond(self, _scope: Scope, _receive: Receive) -> Prepared:
            return Prepared(b"an operation", Head(400, []))

    app = Starlette(routes=graphql_routes(Refusing(), page))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test")


@pytest.mark.parametrize(
    ("accept", "query", "is_page"),
    [
        (BROWSER, None, True),
        ("text/html", None, True),
        (BROWSER, NAME, False),
        ("*/*", None, False),
        ("", None, False),
        (JSON, None, False),
        (f"{JSON}, text/html;q=0.9", None, False),
        ("text/html;q=0, */*", None, False),
    ],
)
async def test_html_is_for_browsers_only(
    with_page: httpx.AsyncClient, accept: str, query: str | None, is_page: bool
) -> None:
    params = {} if query is None else {"query": query}
    response = await with_page.get("/graphql", params=params, headers={"Accept": accept})
    assert response.headers.get("content-type", "").startswith("text/html") == is_page
    assert (response.status_code == 200) == is_page


async def test_a_post_is_never_answered_with_a_page(with_page: httpx.AsyncClient) -> None:
    response = await with_page.post("/graphql", content=_QUERY, headers={"Accept": BROWSER})
    assert response.status_code == 400
