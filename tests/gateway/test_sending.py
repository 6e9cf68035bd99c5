"""How a response goes out: whole in one piece from a server of ours, and in the two of ASGI anywhere else."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.app import create_app
from gateway.responses import WHOLE, Head, Prepared
from gateway.sending import sending
from tests.gateway.test_deadlines import connected
from tests.records import EXAMPLE_ID, World
from tests.serving import served

PAGE = "https://dashboard.example"
HEAD = Head(200, [(b"content-type", b"text/plain")])


@pytest.fixture(scope="module", params=[(), (PAGE,)], ids=["without CORS", "with CORS"])
def origins(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The origins whose pages may call."""
    allowed: tuple[str, ...] = request.param
    return allowed


@pytest.fixture(scope="module")
def server(sqlite_world: World, origins: tuple[str, ...]) -> Iterator[str]:
    settings = replace(sqlite_world.settings, cors_origins=origins)
    with served(create_app(settings), settings) as address:
        yield address


async def _sent(response: Prepared, **scope: Any) -> list[Message]:
    messages: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nobody asks")

    async def send(message: Message) -> None:
        messages.append(message)

    await response({"type": "http", "method": "GET", **scope}, receive, send)
    return messages


async def test_a_response_is_one_message_where_the_server_takes_that_and_else_says_the_same_in_two() -> None:
    (whole,) = await _sent(Prepared(b"body", HEAD, [(b"etag", b'"1"')]), extensions={WHOLE: {}})
    start, body = await _sent(Prepared(b"body", HEAD, [(b"etag", b'"1"')]))
    assert whole["type"] == WHOLE
    assert whole["status"] == start["status"] == 200
    assert whole["body"] == body["body"] == b"body"
    said = b"".join(b"%b: %b\r\n" % header for header in start["headers"])
    assert whole["head"] == b"HTTP/1.1 200 OK\r\n" + said
    assert (b"content-length", b"4") in start["headers"]


def test_a_header_that_would_be_read_as_another_is_none() -> None:
    for header in ((b"a", b"b\r\nc: d"), (b"a\r\n", b"b"), (b"a b", b"c")):
        with pytest.raises(ValueError, match="header"):
            Head(200, [header])


async def test_every_kind_of_response_has_its_length_and_leaves_the_connection_for_the_next(
    server: str, sqlite_world: World
) -> None:
    key = {"X-API-Key": sqlite_world.keys["read"]}
    path = f"/leaks/{EXAMPLE_ID}"
    async with httpx.AsyncClient(base_url=server, headers=key, limits=httpx.Limits(max_connections=1)) as client:
        found = await client.get(path)
        empty = await client.head(path)
        known = await client.get(path, headers={"If-None-Match": found.headers["etag"]})
        wrong = await client.get(path, headers={"X-API-Key": "lgk_wrong"})
        asked = await client.post("/graphql", json={"query": "{ viewer { id } }"})
    assert [one.status_code for one in (found, empty, known, wrong, asked)] == [200, 200, 304, 401, 200]
    assert [len(one.content) for one in (empty, known)] == [0, 0]
    assert empty.headers["content-length"] == str(len(found.content))
    for one in (found, empty, known, wrong, asked):
        assert one.headers["x-request-id"]
        assert len(one.headers.get_list("date")) == 1
        assert one.headers.get_list("x-frame-options") == ["DENY"]
        assert len(one.headers.get_list("content-length")) == (one is not known)


async def test_pages_of_other_origins_are_told_that_they_may_read(
    server: str, sqlite_world: World, origins: tuple[str, ...]
) -> None:
    async with httpx.AsyncClient(base_url=server, headers={"X-API-Key": sqlite_world.keys["read"]}) as client:
        response = await client.get(f"/leaks/{EXAMPLE_ID}", headers={"Origin": PAGE})
    assert response.headers.get_list("access-control-allow-origin") == [*origins]


@pytest.mark.parametrize("ending", [b"GET %b HTTP/1.0\r\n", b"GET %b HTTP/1.1\r\nConnection: close\r\n"])
async def test_a_connection_ends_where_its_client_says_so(server: str, sqlite_world: World, ending: bytes) -> None:
    async with connected(server) as (reader, writer):
        head = ending % f"/leaks/{EXAMPLE_ID}".encode()
        writer.write(head + b"Host: gateway\r\nX-API-Key: %b\r\n\r\n" % sqlite_world.keys["read"].encode())
        said = await asyncio.wait_for(reader.read(), 30)
    assert said.startswith(b"HTTP/1.1 200")
    assert said.lower().count(b"\r\nconnection: close\r\n") == 1


async def test_whoever_waits_to_send_the_body_and_is_refused_before_is_not_waited_for(server: str) -> None:
    async with connected(server) as (reader, writer):
        writer.write(
            b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"
        )
        said = await asyncio.wait_for(reader.read(), 30)
    assert said.startswith(b"HTTP/1.1 401")
    assert b"100 Continue" not in said


class Unread:
    """A connection whose client does not read."""

    def __init__(self) -> None:
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted


@pytest.mark.parametrize("extensions", [{WHOLE: {}}, {}], ids=["in-one-piece", "in-two"])
async def test_whoever_does_not_read_is_not_waited_for_when_the_process_ends(
    caplog: pytest.LogCaptureFixture, extensions: dict[str, Any]
) -> None:
    transport: Any = Unread()
    flow = FlowControl(transport)
    flow.pause_writing()
    log = logging.getLogger("uvicorn.error")
    scope: Any = {"type": "http", "method": "GET"}
    cycle = RequestResponseCycle(
        scope, transport, flow, log, log, False, [], asyncio.Event(), False, True, lambda: None
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"] = extensions
        await Prepared(b"body", HEAD)(scope, receive, send)

    task = asyncio.create_task(cycle.run_asgi(sending(app, cycle)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait_for(task, 1)
    assert transport.is_aborted
    assert not caplog.records
