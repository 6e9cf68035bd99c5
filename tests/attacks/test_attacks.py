"""Every known attack has a row: what is sent, how it is answered, and that nothing was read for it.

The rows of operations hold by POST and by GET alike. Clients that are slow, silent or endless are in
`tests/gateway/test_deadlines.py`, for they need a real server.
"""

import gzip
from time import perf_counter
from typing import Any, NamedTuple

import httpx
import orjson
import pytest
from graphql import get_introspection_query

from tests.attacks.conftest import Target
from tests.records import EXAMPLE_ID, UNKNOWN_ID

pytestmark = pytest.mark.asyncio(loop_scope="session")

JSON = {"Content-Type": "application/json"}
RESPONSE = {"Accept": "application/graphql-response+json"}
MAX_GET = 5_000

COSTLY, INVALID, UNPARSED, BAD = (
    "OPERATION_TOO_COSTLY",
    "GRAPHQL_VALIDATION_FAILED",
    "GRAPHQL_PARSE_FAILED",
    "BAD_USER_INPUT",
)


class Operation(NamedTuple):
    """An operation that is refused, and the code that says why."""

    attack: str
    code: str
    query: str
    variables: dict[str, Any] | None = None


def _chain(length: int, inside: str, leaf: str) -> str:
    fragments = " ".join(f"fragment F{n} on ApiKey {{ {inside.format(next=f'...F{n + 1}')} }}" for n in range(length))
    return f"{{ viewer {{ ...F0 }} }} {fragments} fragment F{length} on ApiKey {{ {leaf} }}"


def _nested(opening: str, inside: str, closing: str, times: int) -> str:
    return opening * times + inside + closing * times


LEAKS = "query ($f: LeakFilter) { leaks(filter: $f) { totalCount } }"
IDS = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"

OPERATIONS = (
    Operation("depth", COSTLY, "{ " + _nested("leaks { nodes { domain { ", "id", " } } }", 6) + " }"),
    Operation("depth by fragments", COSTLY, "{ leaks { nodes { ...F } } } fragment F on Leak { " + _nested("domain { leaks { nodes { ", "id", " } } }", 5) + " }"),
    Operation("depth without fields", COSTLY, "{ " + _nested("... { ", "__typename", " }", 110) + " }"),
    Operation("circular introspection", COSTLY, "{ __schema { types { " + _nested("fields { type { ", "name", " } }", 7) + " } } }"),
    Operation("width", COSTLY, "{ " + "".join(f"a{n}: viewer {{ {'id name ' * 17} }} " for n in range(29)) + "}"),
    Operation("width by fragments", COSTLY, _chain(10, "{next} {next}", "id")),
    Operation("the same field again and again", COSTLY, "{ leaks { " + "nodes { id } " * 400 + "} }"),
    Operation("the same field in fields that are the same", COSTLY, "{ " + ("viewer { " + "id " * 9 + "} ") * 9 + "}"),
    Operation("the same fragment again and again", COSTLY, "{ " + "...F " * 51 + "} fragment F on Query { __typename }"),
    Operation("fragments side by side", COSTLY, "{ " + " ".join(f"...F{n}" for n in range(51)) + " } " + " ".join(f"fragment F{n} on Query {{ __typename }}" for n in range(51))),
    Operation("root fields", COSTLY, "{ viewer { id } organization { id } " + " ".join(f"a{n}: __typename" for n in range(29)) + " }"),
    Operation("aliases", COSTLY, "{ " + " ".join(f"alias{n}: __typename" for n in range(101)) + " }"),
    Operation("aliases by fragments", COSTLY, "{ viewer { " + "...F " * 16 + "} } fragment F on ApiKey { a: id b: name }"),
    Operation("directives", COSTLY, "{ __typename " + "@include(if: true) " * 200 + "}"),
    Operation("unknown directives", COSTLY, "{ __typename " + "@aa" * 500 + " }"),
    Operation("directives by fragments", COSTLY, "{ viewer { " + "...F " * 26 + "} } fragment F on ApiKey @a @b { id }"),
    Operation("a directive twice", INVALID, "{ __typename @include(if: true) @include(if: true) }"),
    Operation("fragments that double", COSTLY, _chain(60, "{next} {next}", "id")),
    Operation("fragments that double around nothing", COSTLY, _chain(60, "{next} ... {{ {next} }}", "...Nowhere")),
    Operation("a long chain of fragments", COSTLY, _chain(150, "{next}", "id")),
    Operation("a circle of fragments", INVALID, "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"),
    Operation("a fragment in itself", INVALID, "{ viewer { ...A } } fragment A on ApiKey { id ...A }"),
    Operation("an unknown fragment", INVALID, "{ ...Nowhere }"),
    Operation("an unused fragment", INVALID, "{ __typename } fragment F on Query { __typename }"),
    Operation("tokens", UNPARSED, "{ leaks(filter: {status: [" + "NEW " * 2000 + "]}) { totalCount } }"),
    Operation("tokens of nothing", UNPARSED, "{" * 2001),
    Operation("a deep list", UNPARSED, "{ leaks(filter: " + "[" * 1990),
    Operation("a deep input object", INVALID, "{ leaks(filter: " + _nested("{firstSeen: ", "{}", "}", 50) + ") { totalCount } }"),
    Operation("a type without end", UNPARSED, "query ($a: " + "[" * 1990),
    Operation("nodes", COSTLY, "{ leaks(first: 100) { nodes { connections { users(first: 100) { nodes { leaks(first: 100) { totalCount nodes { id } } } } } } } }"),
    Operation("counts", COSTLY, "{ leaks(first: 100) { nodes { connections { endpoints(first: 100) { nodes { a: leaks { totalCount } b: leaks { totalCount } } } } } } }"),
    Operation("deep variables", COSTLY, LEAKS, {"f": orjson.loads(_nested('{"a":', "1", "}", 100))}),
    Operation("deep lists in variables", COSTLY, LEAKS, {"f": orjson.loads(_nested("[", "1", "]", 100))}),
    Operation("long variables", COSTLY, IDS, {"ids": ["x"] * 1001}),
    Operation("long variables that nobody asked for", COSTLY, "{ __typename }", {"a": {f"a{n}": n for n in range(1001)}}),
    Operation("an input object of other names", BAD, LEAKS, {"f": {"__proto__": {}, "constructor": {}}}),
    Operation("introspection of what is not there", INVALID, "{ _service { sdl } }"),
    Operation("a number out of range", INVALID, "{ leaks(first: 2147483648) { totalCount } }"),
    Operation("a number without end", INVALID, "{ leaks(first: " + "9" * 5000 + ") { totalCount } }"),
    Operation("a number out of range, in variables", BAD, "query ($n: Int) { leaks(first: $n) { totalCount } }", {"n": 2**63}),
    Operation("a fraction", BAD, "query ($n: Int) { leaks(first: $n) { totalCount } }", {"n": 1e-300}),
    Operation("a size out of range", BAD, "{ leaks(first: 101) { totalCount } }"),
    Operation("a size below nothing", BAD, "{ leaks(last: -1) { totalCount } }"),
    Operation("too many ids", BAD, IDS, {"ids": [EXAMPLE_ID] * 101}),
    Operation("too many domains", BAD, "query ($ids: [ID!]) { leaks(domainIds: $ids) { totalCount } }", {"ids": [UNKNOWN_ID] * 101}),
    Operation("another's domain", "FORBIDDEN", "query ($ids: [ID!]) { leaks(domainIds: $ids) { totalCount } }", {"ids": [UNKNOWN_ID]}),
    Operation("a forged cursor", BAD, "query ($c: String) { leaks(after: $c) { totalCount } }", {"c": "bm90IGEgY3Vyc29y"}),
    Operation("a lone surrogate", UNPARSED, '{ leak(id: "\\uD800") { id } }'),
    Operation("NUL in a document", UNPARSED, "{ __typename \x00 }"),
    Operation("NUL in a filter", BAD, LEAKS, {"f": {"login": "a\x00b"}}),
    Operation("a filter without end", BAD, LEAKS, {"f": {"urlContains": "x" * 8193}}),
    Operation("a mutation", INVALID, "mutation { updateLeakStatus(input: {ids: [], status: NEW}) { leaks { id } } }"),
    Operation("a mutation of introspection", INVALID, "mutation { __typename }"),
    Operation("a subscription", INVALID, "subscription { leakEvents { cursor } }"),
    Operation("a definition", INVALID, "type Query { a: Int } { __typename }"),
    Operation("several operations without a name", BAD, "query A { __typename } query B { __typename }"),
)  # fmt: skip


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.attack)
async def test_an_operation_that_attacks_is_refused_before_anything_is_read(target: Target, row: Operation) -> None:
    body = {"query": row.query, "variables": row.variables}
    posted = await target.attack("POST", "/graphql", content=orjson.dumps(body), headers=JSON | RESPONSE)
    assert_refused(target, posted, row.code)
    if len(row.query) + len(orjson.dumps(row.variables)) < MAX_GET:
        asked = {"query": row.query, "variables": orjson.dumps(row.variables).decode()}
        assert_refused(target, await target.attack("GET", "/graphql", params=asked, headers=RESPONSE), row.code)


def assert_refused(target: Target, response: httpx.Response, code: str) -> None:
    """Refused with this code, without data, a name that was not sent, or a statement."""
    answer = response.json()
    assert {error["extensions"]["code"] for error in answer["errors"]} == {code}
    assert not any((answer.get("data") or {}).values())
    assert response.status_code == (400 if "data" not in answer else 200)
    assert "did you mean" not in response.text.lower()
    assert target.reads == []


# -------------------------------------------------------------------- requests


class Sent(NamedTuple):
    """A request that is refused, with the status that says so."""

    attack: str
    status: int
    method: str = "POST"
    path: str = "/graphql"
    headers: dict[str, str] = JSON
    content: bytes | None = None
    key: str | None = "read"


QUERY = b'{"query":"{ viewer { name } }"}'
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BOUND = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n' + QUERY + b"\r\n--x--\r\n"
AS_URL = "/graphql?query=%7B__typename%7D"


def _json(**headers: str) -> dict[str, str]:
    return JSON | {name.replace("_", "-"): value for name, value in headers.items()}


REQUESTS = (
    Sent("a batch", 400, content=b"[" + QUERY + b"," + QUERY + b"]"),
    Sent("a batch of one", 400, content=b"[" + QUERY + b"]"),
    Sent("a batch of many", 400, content=b"[" + b",".join([QUERY] * 1000) + b"]"),
    Sent("a member twice", 400, content=b'{"query":"{ __typename }","query":"{ viewer { name } }"}'),
    Sent("a member twice, once in disguise", 400, content=b'{"query":"{ __typename }","qu\\u0065ry":"{ viewer { name } }"}'),
    Sent("a member twice, beside a colon in disguise", 400, content=b'{"query":"{ __typename }","query":"{ viewer { name } } #\\u003a"}'),
    Sent("a variable twice", 400, content=b'{"query":"query ($a: ID!) { leak(id: $a) { id } }","variables":{"a":"x","a":"y"}}'),
    Sent("a member twice, far inside", 400, content=b'{"query":"{ __typename }","extensions":{"a":[[{"b":1,"c":1,"b":1}]]}}'),
    Sent("deep JSON", 400, content=b'{"query":"{ __typename }","variables":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}"),
    Sent("deep JSON that could be read", 400, content=b'{"query":"{ __typename }","extensions":{"a":' + b"[" * 500 + b"]" * 500 + b"}}"),
    Sent("deep JSON without end", 400, content=b"[" * 100_000),
    Sent("a number that is none", 400, content=b'{"query":"{ __typename }","variables":{"a":NaN}}'),
    Sent("a key that is none", 400, content=b'{"query":"{ __typename }",a:1}'),
    Sent("surrogates", 400, content=b'{"query":"{ __typename }","operationName":"\\ud800"}'),
    Sent("surrogates in bytes", 400, content=b'{"query":"{ __typename } #\xed\xa0\x80"}'),
    Sent("bytes that are no UTF-8", 400, content=b'{"query":"{ __typename } #\xff"}'),
    Sent("a byte order mark", 400, content=b"\xef\xbb\xbf" + QUERY),
    Sent("UTF-16", 400, content=QUERY.decode().encode("utf-16")),
    Sent("UTF-7", 415, headers={"Content-Type": "application/json; charset=utf-7"}, content=QUERY),
    Sent("UTF-16, as it says", 415, headers={"Content-Type": "application/json; charset=utf-16"}, content=QUERY.decode().encode("utf-16")),
    Sent("two charsets", 415, headers={"Content-Type": "application/json; charset=utf-8; charset=utf-7"}, content=QUERY),
    Sent("too much", 413, content=b" " * 131_073),
    Sent("compressed", 415, headers=_json(Content_Encoding="gzip"), content=gzip.compress(QUERY)),
    Sent("compressed to almost nothing", 415, headers=_json(Content_Encoding="gzip"), content=gzip.compress(b" " * 10**7)),
    Sent("compressed, without a word", 400, content=gzip.compress(QUERY)),
    Sent("from another site, as text", 415, headers={"Content-Type": "text/plain"}, content=QUERY),
    Sent("from another site, as a form", 415, headers=FORM, content=b"query=%7B__typename%7D"),
    Sent("from another site, in parts", 415, headers={"Content-Type": BOUND}, content=PART),
    Sent("from another site, without a type", 415, headers={}, content=QUERY),
    Sent("from another site, in the address", 415, path=AS_URL, headers={}),
    Sent("from another site, with a cookie alone", 401, "GET", AS_URL, headers={"Cookie": "key=x"}, key=None),
    Sent("from another site, with a key in the address", 401, "GET", AS_URL + "&key=x&X-API-Key=x", key=None),
    Sent("a method in a header", 405, "PUT", headers=_json(X_HTTP_Method_Override="POST"), content=QUERY),
    Sent("a method that tells", 405, "TRACE"),
    Sent("a method that opens", 405, "CONNECT"),
    Sent("a method that is none", 405, "NONSENSE", content=QUERY),
    Sent("a parameter twice", 400, "GET", AS_URL + "&query=%7Bviewer%7Bname%7D%7D"),
    Sent("a variable twice, in the address", 400, "GET", AS_URL + "&variables=%7B%22a%22:1,%22a%22:2%7D"),
    Sent("an address without end", 414, "GET", AS_URL + "%20" * 6000),
    Sent("a path without end", 414, "GET", "/leaks/" + "x" * 17_000),
    Sent("an explanation", 403, headers=_json(X_Leaks_Explain="1"), content=QUERY),
    Sent("another's host", 401, "GET", AS_URL, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}, key=None),
    Sent("two keys", 401, "GET", AS_URL, headers={"Authorization": "Bearer lgk_other"}),
    Sent("no JSON to the REST route", 406, "GET", f"/leaks/{EXAMPLE_ID}", headers={"Accept": "text/html"}),
    Sent("writing by REST", 405, "POST", f"/leaks/{EXAMPLE_ID}", content=QUERY),
    Sent("deleting by REST", 405, "DELETE", f"/leaks/{EXAMPLE_ID}"),
    Sent("another's domain by REST", 403, "GET", f"/leaks/{EXAMPLE_ID}?domain_id={UNKNOWN_ID}"),
    Sent("a domain that is none by REST", 400, "GET", f"/leaks/{EXAMPLE_ID}?domain_id=%00"),
    Sent("no domain by REST", 400, "GET", f"/leaks/{EXAMPLE_ID}?domain_id="),
    Sent("too many domains by REST", 400, "GET", f"/leaks/{EXAMPLE_ID}?domain_id=" + ",".join([UNKNOWN_ID] * 101)),
    *(
        Sent(f"a path: {path}", 404, "GET", path)
        for path in (
            "/graphql/", "//graphql", "/graphql/..%2f", "/GraphQL", "/graphql%00", "/graphql;x=y", "/%67raphql/x", "/.git/config", "/.env",
            "/leaks", "/leaks/", f"/leaks/{EXAMPLE_ID}/", f"/leaks//{EXAMPLE_ID}", f"/LEAKS/{EXAMPLE_ID}", f"/leaks/x%2f..%2f{EXAMPLE_ID}",
            "/leaks/%2e%2e/%2e%2e/etc/passwd", "/leaks/..%2f..%2f..%2fetc%2fpasswd", "/leaks/..%5c..%5cwindows",
            "/graphiql/..%2f..%2f..%2fetc%2fpasswd", "/graphiql/%2e%2e/%2e%2e/pyproject.toml", "/graphiql/assets/..%2f..%2f..%2f..%2fREADME.md",
            "/graphiql/assets/%00", "/graphiql/assets//etc/passwd", "/static/x", "/docs", "/openapi.json", "/metrics", "/server-status",
        )
    ),
)  # fmt: skip


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: row.attack)
async def test_a_request_that_attacks_is_refused_before_anything_is_read(target: Target, row: Sent) -> None:
    response = await target.attack(row.method, row.path, row.key, content=row.content, headers=row.headers)
    assert response.status_code == row.status
    assert_is_an_error(response.json())
    assert target.reads == []
    for secret in ("root:", "[project]", "Leaks Gateway", "Traceback", "SELECT", 'File "'):
        assert secret not in response.text


def assert_is_an_error(answer: dict[str, Any]) -> None:
    """In the shape of its door, and nothing else."""
    if "errors" in answer:
        assert list(answer) == ["errors"]
        assert all(set(error) >= {"message", "extensions"} for error in answer["errors"])
    else:
        assert list(answer) == ["type", "status", "detail"]


SPACES = " " * 60_000


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (f"application/json{SPACES}", 200),
        (f"application/json{SPACES};{SPACES}charset{SPACES}={SPACES}utf-8{SPACES};{SPACES}", 200),
        (f"application/json{SPACES}x", 415),
        (f"application/json{SPACES};{SPACES}x", 415),
        (f"application/json;{SPACES}charset{SPACES}={SPACES}x", 415),
        (f"application/json; charset=utf-8{SPACES}x", 415),
        (f"application/json; charset=utf-8{SPACES};{SPACES}x", 415),
        (f"application/json{';' * 60_000}", 415),
    ],
)
async def test_a_long_content_type_is_read_in_no_time(target: Target, content_type: str, status: int) -> None:
    began = perf_counter()
    response = await target.attack("POST", "/graphql", content=QUERY, headers={"Content-Type": content_type})
    assert response.status_code == status
    assert perf_counter() - began < 2


# --------------------------------------------------------- what is on by default


async def test_introspection_is_on_and_reads_nothing(target: Target) -> None:
    body = orjson.dumps({"query": get_introspection_query()})
    response = await target.attack("POST", "/graphql", content=body, headers=JSON)
    assert response.json()["data"]["__schema"]["queryType"]["name"] == "Query"
    assert target.reads == []


@pytest.mark.parametrize("parameters", [{"debug": "1"}, {"tracing": "true"}, {"extensions": '{"tracing":true}'}])
async def test_nothing_is_told_of_how_an_operation_ran(target: Target, parameters: dict[str, str]) -> None:
    for headers in ({}, {"Apollo-Tracing": "1"}, {"X-Apollo-Tracing": "1"}, {"X-Debug": "1"}):
        asked = {"query": "{ __typename }", **parameters}
        response = await target.attack("GET", "/graphql", params=asked, headers=headers)
        assert response.json() == {"data": {"__typename": "Query"}}


async def test_a_browser_of_another_site_is_let_do_nothing(target: Target) -> None:
    headers = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key",
    }
    for path in ("/graphql", f"/leaks/{EXAMPLE_ID}"):
        response = await target.attack("OPTIONS", path, None, headers=headers)
        assert response.status_code == 405
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_no_attack_has_two_rows() -> None:
    named = [row.attack for row in OPERATIONS] + [row.attack for row in REQUESTS]
    assert len(named) == len(set(named))
