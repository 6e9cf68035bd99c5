"""What a refusal is where there is no room, at a real server."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar

import httpx
import orjson
import pytest
from psutil import Process

from gateway.admission import ABREAST, SPARED, Admission, Turns
from gateway.app import create_app
from gateway.headers import SECURITY_HEADERS
from gateway.pauses import Pauses
from gateway.storage.database import make_engine
from gateway.storage.engine import Program
from tests.conftest import fresh_database
from tests.gateway.test_access import Lines, lines
from tests.gateway.test_deadlines import Connection, connected
from tests.gateway.test_gate import until
from tests.operations import CountingEngine
from tests.records import EXAMPLE_ID, World, fill
from tests.serving import ORIGIN, served

__all__ = ["lines"]

T = TypeVar("T")
LATE = 30
LONG = 20_000
"""Milliseconds that no test waits for."""
BUSY = "The gateway is busy. Try again shortly."
REST = {"type": "service_unavailable", "status": 503, "detail": BUSY}
GRAPHQL = {"errors": [{"message": BUSY, "extensions": {"code": "UNAVAILABLE"}}]}


class StoppedEngine(CountingEngine):
    """An engine that answers for keys, and for leaks only once it is told to go on."""

    def __init__(self, world: World) -> None:
        super().__init__(make_engine(world.settings.database_url))
        self.going = threading.Event()
        self.reading = 0

    async def run(self, program: Program[T]) -> T:
        try:
            commands = next(program)
            while not commands:
                commands = program.send(())
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome
        if any("FROM leaks" in command.sql for command in commands):
            self.reading += 1
            while not self.going.is_set():  # noqa: ASYNC110 - the test runs in another thread
                await asyncio.sleep(0.005)
        return await super().run(_resumed(commands, program))


def _resumed(commands: Any, program: Program[T]) -> Program[T]:
    try:
        while True:
            commands = program.send((yield commands))
    except StopIteration as stop:
        outcome: T = stop.value
        return outcome


@pytest.fixture(scope="module")
def sqlite_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return asyncio.run(fill(fresh_database(request, tmp_path_factory.mktemp("gate"), "sqlite")))


class Busy:
    """A server that has as many requests as it takes in, which wait for the store."""

    def __init__(self, client: httpx.AsyncClient, address: str, world: World, engine: StoppedEngine) -> None:
        self.address = address
        self.engine = engine
        self.asked = 0
        self._world = world
        self._client = client

    def get(self, key: str = "read", more: bytes = b"") -> bytes:
        """A request for a leak."""
        return b"GET /leaks/%b HTTP/1.1\r\n%b%b\r\n" % (EXAMPLE_ID.encode(), self._headers(key), more)

    def post(
        self, key: str = "read", more: bytes = b"", body: bytes = b'{"query": "{ leaks { totalCount } }"}'
    ) -> bytes:
        """An operation."""
        more += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        return b"POST /graphql HTTP/1.1\r\n%b%b\r\n%b" % (self._headers(key), more, body)

    def _headers(self, key: str) -> bytes:
        return b"Host: gateway\r\nX-API-Key: %b\r\n" % self._world.keys.get(key, key).encode()

    async def ask(self, key: str = "read") -> "asyncio.Task[httpx.Response]":
        """A request that is let in, and waits for the store."""
        reading = self.engine.reading
        self.asked += 1
        headers = {"X-API-Key": self._world.keys[key]}
        task = asyncio.create_task(self._client.get(f"/leaks/{EXAMPLE_ID}", headers=headers))
        await until(lambda: self.engine.reading > reading)
        return task

    async def know(self, *keys: str) -> None:
        """Let keys in once, so that they are known from now on."""
        for key in keys:
            response = await self._client.post(
                "/graphql", json={"query": "{ viewer { name } }"}, headers={"X-API-Key": self._world.keys[key]}
            )
            assert response.status_code == 200


@asynccontextmanager
async def busy(world: World, *keys: str, **settings: Any) -> AsyncIterator[Busy]:
    """A server with one request of each key, and room for no more unless it is set."""
    limits = {"max_concurrency": len(keys), "max_concurrency_per_key": 1, "queue_milliseconds": 20} | settings
    changed = replace(world.settings, **limits)
    engine = StoppedEngine(world)
    with served(create_app(changed, engine=engine), changed) as address:
        async with httpx.AsyncClient(base_url=address, timeout=LATE) as client:
            server = Busy(client, address, world, engine)
            await server.know(*keys, "explain")
            asked = [await server.ask(key) for key in keys]
            try:
                yield server
            finally:
                engine.going.set()
                assert [(await task).status_code for task in asked] == [200] * len(asked)


@asynccontextmanager
async def crowded(world: World) -> AsyncIterator[Busy]:
    """A server that has room, but no turn for a key: all but the reserved ones are taken by its requests."""
    turns = ABREAST - ABREAST // SPARED
    async with busy(world, *["read"] * turns, max_concurrency=100, max_concurrency_per_key=100) as server:
        yield server


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next answer on a connection."""
    async with asyncio.timeout(LATE):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.splitlines()[1:-1]
        headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
    return int(head.split()[1]), headers, body


async def ask(connection: Connection, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """The answer to a request."""
    reader, writer = connection
    writer.write(request)
    return await answer(reader)


async def test_a_refusal_has_the_shape_of_its_door_and_all_that_every_response_has(
    sqlite_world: World, lines: Lines
) -> None:
    async with busy(sqlite_world, "read") as server, connected(server.address) as connection:
        statements = len(server.engine.commands)
        preferring = b"Accept: application/graphql-response+json\r\n"
        for request, content_type, shape in (
            (server.get(), "application/json", REST),
            (server.post(), "application/json; charset=utf-8", GRAPHQL),
            (server.post(more=preferring), "application/graphql-response+json; charset=utf-8", GRAPHQL),
        ):
            status, headers, body = await ask(connection, request)
            assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", content_type)
            assert headers["cache-control"] == "no-store"
            assert orjson.loads(body) == shape
            assert {(name.encode(), value.encode()) for name, value in headers.items()} >= {*SECURITY_HEADERS}
            assert not {"ratelimit", "ratelimit-policy", "x-leaks-cost", "connection"} & {*headers}
            request_id = headers["x-request-id"]
            assert re.fullmatch("[0-9a-f]{32}", request_id)
            line = await _line(lines, request_id)
            assert re.fullmatch(r"(GET /leaks/\S+|POST /graphql) 503 [\d.]+ ms 127\.0\.0\.1", line)
        assert len(server.engine.commands) == statements


async def _line(lines: Lines, request_id: str) -> str:
    """What the log says of a request, once it does."""
    await until(lambda: request_id in dict(lines.records))
    return dict(lines.records)[request_id].getMessage()


async def test_a_refusal_comes_within_fifty_milliseconds(sqlite_world: World) -> None:
    usual, seconds = sqlite_world.settings.queue_milliseconds, []
    async with busy(sqlite_world, "read", queue_milliseconds=usual) as server:
        for _ in range(20):
            async with connected(server.address) as connection:
                began = monotonic()
                assert (await ask(connection, server.get("explain")))[0] == 503
                seconds.append(monotonic() - began)
    # Others may be at work on this machine: not all that time is the gateway's.
    assert min(seconds) < 0.05


async def test_a_refusal_bears_the_name_that_its_client_gave_the_request(sqlite_world: World) -> None:
    async with busy(sqlite_world, "read") as server, connected(server.address) as connection:
        for more, expected in ((b"X-Request-ID: my-own\r\n", True), (b"X-Request-ID: a b\r\n", False)):
            _, headers, _ = await ask(connection, server.get(more=more))
            assert (headers["x-request-id"] == "my-own") == expected


async def test_a_connection_goes_on_after_a_refusal_though_the_body_still_comes(sqlite_world: World) -> None:
    async with busy(sqlite_world, "read") as server, connected(server.address) as (reader, writer):
        head, _, body = server.post(body=b'{"query": "%b"}' % (b" " * 3000)).partition(b"\r\n\r\n")
        for _ in range(2):
            status, _, _ = await ask((reader, writer), head + b"\r\n\r\n" + body[:10])
            assert status == 503
            for at in range(10, len(body), 1000):
                writer.write(body[at : at + 1000])
                await asyncio.sleep(0.01)
            assert (await ask((reader, writer), b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"))[2] == b"ok\n"


async def test_requests_that_come_at_once_are_answered_in_their_order(sqlite_world: World) -> None:
    healthy = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"
    async with busy(sqlite_world, "read") as server, connected(server.address) as (reader, writer):
        writer.write(server.get() + healthy + server.post() + server.post() + healthy)
        told = [await answer(reader) for _ in range(5)]
        assert [status for status, _, _ in told] == [503, 200, 503, 503, 200]
        assert [orjson.loads(told[at][2]) for at in (0, 2, 3)] == [REST, GRAPHQL, GRAPHQL]


BROKEN = {
    "a head that is too long": b"GET / HTTP/1.1\r\nHost: gateway\r\nX-Long: " + b"x" * 37_000,
    "no HTTP": b"nonsense\r\n\r\n",
    "a body that is broken": b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
}
HEALTHY = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("last", [b"", HEALTHY], ids=["under way", "waiting behind it"])
async def test_what_is_refused_is_told_so_behind_the_answers_to_what_came_before(
    sqlite_world: World, broken: bytes, last: bytes
) -> None:
    async with busy(sqlite_world, "read", max_concurrency=9) as server, connected(server.address) as (reader, writer):
        writer.write(HEALTHY + server.get("explain") + last + broken)
        assert (await answer(reader))[2] == b"ok\n"
        await until(lambda: server.engine.reading == 2)
        writer.write(HEALTHY)
        await asyncio.sleep(0.05)
        server.engine.going.set()
        assert (await answer(reader))[0] == 200
        if last:
            assert (await answer(reader))[2] == b"ok\n"
        status, headers, _ = await answer(reader)
        assert (status, headers["connection"]) in {(400, "close"), (431, "close")}
        assert await reader.read() == b""


async def test_whoever_goes_away_before_he_is_told_that_he_is_refused_leaves_nothing_behind(
    sqlite_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with busy(sqlite_world, "read", max_concurrency=9) as server:
        before = len(Process().net_connections())
        for broken in BROKEN.values():
            async with connected(server.address) as (_, writer):
                writer.write(server.get("explain") + HEALTHY + broken)
                await asyncio.sleep(0.05)
        server.engine.going.set()
        await until(lambda: len(Process().net_connections()) <= before)
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


async def test_a_modest_key_is_let_in_while_a_greedy_one_is_refused(sqlite_world: World) -> None:
    async with busy(sqlite_world, "read", max_concurrency=10) as server, connected(server.address) as greedy:
        modest = await server.ask("explain")
        assert (await ask(greedy, server.get("read")))[0] == 503
        server.engine.going.set()
        assert (await modest).status_code == 200
        assert (await ask(greedy, server.get("read")))[0] == 200


async def test_a_key_that_asks_for_too_much_and_again_at_once_is_heard_when_its_time_is_over(
    sqlite_world: World,
) -> None:
    async with (
        busy(sqlite_world, "read", max_concurrency=10) as server,
        connected(server.address) as greedy,
        connected(server.address) as forwarded,
    ):
        assert (await ask(greedy, server.get()))[0] == 503
        began = monotonic()
        greedy[1].write(server.get())
        for _ in range(3):
            assert (await ask(forwarded, server.get(more=b"X-Forwarded-For: 192.0.2.1\r\n")))[0] == 503
        assert (await answer(greedy[0]))[0] == 503
        assert monotonic() - began >= 1


async def test_whoever_says_that_he_is_a_proxy_and_is_not_believed_is_heard_no_earlier(sqlite_world: World) -> None:
    async with (
        busy(sqlite_world, "read", max_concurrency=10, trusted_proxies="192.0.2.1") as server,
        connected(server.address) as connection,
    ):
        forwarded = server.get(more=b"X-Forwarded-For: 192.0.2.1\r\n")
        assert (await ask(connection, forwarded))[0] == 503
        began = monotonic()
        assert (await ask(connection, forwarded))[0] == 503
        assert monotonic() - began >= 1


async def test_whoever_goes_away_while_nobody_hears_is_no_failure_of_ours(
    sqlite_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with busy(sqlite_world, "read", max_concurrency=10, header_timeout_seconds=1) as server:
        for _ in range(3):
            async with connected(server.address) as connection:
                assert (await ask(connection, server.get()))[0] == 503
        async with connected(server.address) as (reader, writer):
            assert (await ask((reader, writer), server.get()))[0] == 503
            # It idles, and is ended while it is not heard or right after.
            async with asyncio.timeout(LATE):
                assert await reader.read() == b""
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


async def test_what_is_sent_while_nobody_hears_is_answered_though_the_connection_seems_to_idle(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pauses, "retry_after_seconds", lambda *_: 3)
    async with (
        busy(sqlite_world, "read", max_concurrency=10, header_timeout_seconds=1) as server,
        connected(server.address) as connection,
    ):
        answers = [await ask(connection, server.get()) for _ in range(2)]
        assert [(status, headers["retry-after"]) for status, headers, _ in answers] == [(503, "3")] * 2


async def test_whoever_waits_is_answered_once_there_is_room(sqlite_world: World) -> None:
    async with busy(sqlite_world, "read", queue_milliseconds=LONG) as server, connected(server.address) as connection:
        reader, writer = connection
        writer.write(server.get() + server.post("explain"))
        await asyncio.sleep(0.05)
        server.engine.going.set()
        assert [(await answer(reader))[0] for _ in range(2)] == [200, 200]


async def test_where_there_is_no_room_at_all_every_key_is_refused_alike(sqlite_world: World) -> None:
    async with busy(sqlite_world, "read") as server, connected(server.address) as connection:
        told = [await ask(connection, server.get(key)) for key in ("read", "explain", "revoked", "nonsense")]
        assert {(status, body) for status, _, body in told} == {(503, orjson.dumps(REST))}
        assert len({frozenset({*headers} - {"x-request-id"}) for _, headers, _ in told}) == 1
        server.engine.going.set()
        statuses = [(await ask(connection, server.get(key)))[0] for key in ("read", "explain", "revoked", "nonsense")]
        assert statuses == [200, 200, 401, 401]


async def test_what_costs_nothing_is_answered_where_there_is_no_room(sqlite_world: World) -> None:
    async with busy(sqlite_world, "read") as server, httpx.AsyncClient(base_url=server.address, timeout=LATE) as client:
        for path in ("/healthz", "/readyz", "/graphiql"):
            assert (await client.get(path)).status_code in {200, 404}, "404 where it was not built"
        assert (await client.get("/nowhere")).status_code == 404


@pytest.mark.parametrize("more", [b"Connection: close\r\n", b"Expect: 100-continue\r\n"])
async def test_a_connection_that_cannot_go_on_ends_with_the_refusal(sqlite_world: World, more: bytes) -> None:
    async with busy(sqlite_world, "read") as server, connected(server.address) as (reader, writer):
        head, _, _ = server.post(more=more).partition(b"\r\n\r\n")
        status, headers, _ = await ask((reader, writer), head + b"\r\n\r\n")
        assert (status, headers["connection"]) == (503, "close")
        async with asyncio.timeout(LATE):
            assert await reader.read() == b""


async def test_a_request_that_waits_for_its_turn_is_answered_and_its_line_tells_how_long_that_took(
    sqlite_world: World, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.2

    async def wait(*_: object) -> Turns:
        raise AssertionError("It has its turn when it gets its task.")

    monkeypatch.setattr(Admission, "wait", wait)
    async with crowded(sqlite_world) as server, connected(server.address) as connection:
        reader, writer = connection
        writer.write(server.get(more=b"X-Request-ID: patient\r\n") + server.post())
        await asyncio.sleep(seconds)
        assert server.engine.reading == server.asked
        server.engine.going.set()
        assert [(await answer(reader))[0] for _ in range(2)] == [200, 200]
        milliseconds = re.search(r" 200 ([\d.]+) ms", await _line(lines, "patient"))
        assert milliseconds is not None
        assert float(milliseconds[1]) >= seconds * 500


@pytest.mark.parametrize("has_room", [True, False], ids=["for-its-turn", "for-room"])
async def test_a_client_that_goes_away_while_it_waits_is_forgotten(
    sqlite_world: World, caplog: pytest.LogCaptureFixture, *, has_room: bool
) -> None:
    waiting = crowded(sqlite_world) if has_room else busy(sqlite_world, "read", queue_milliseconds=LONG)
    async with waiting as server:
        async with connected(server.address) as (_, writer):
            writer.write(server.get())
            await asyncio.sleep(0.05)
        server.engine.going.set()
        async with connected(server.address) as connection:
            assert (await ask(connection, server.get()))[0] == 200
        # Whoever was away was not read for.
        await until(lambda: server.engine.reading == server.asked + 1)
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


async def test_whoever_still_waits_when_the_time_to_end_is_over_is_told_so(sqlite_world: World) -> None:
    turns = ABREAST - ABREAST // SPARED
    settings = replace(sqlite_world.settings, max_concurrency=100, max_concurrency_per_key=100)
    engine = StoppedEngine(sqlite_world)
    async with AsyncExitStack() as stack:
        with served(create_app(settings, engine=engine), settings) as address:
            async with httpx.AsyncClient(base_url=address, timeout=LATE) as client:
                server = Busy(client, address, sqlite_world, engine)
                await server.know("read")
            connections = [await stack.enter_async_context(connected(address)) for _ in range(3 * turns)]
            for _, writer in connections:
                writer.write(server.get())
            await until(lambda: engine.reading == turns)
        answers = [await answer(reader) for reader, _ in connections]
    # Those that ran were cancelled, and so are some that got their turns by that.
    assert {status for status, _, _ in answers} == {500, 503}


async def test_a_client_that_waits_to_be_told_to_go_on_waits_for_one_turn(sqlite_world: World) -> None:
    async with crowded(sqlite_world) as server, connected(server.address) as (reader, writer):
        head, _, body = server.post(more=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        async with asyncio.timeout(LATE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        await asyncio.sleep(0.05)
        server.engine.going.set()
        assert (await answer(reader))[0] == 200


async def test_a_page_of_another_origin_is_told_that_it_may_read_its_refusal(sqlite_world: World) -> None:
    async with (
        busy(sqlite_world, "read", cors_origins=(ORIGIN,)) as server,
        connected(server.address) as connection,
    ):
        status, headers, body = await ask(connection, server.post(more=b"Origin: %b\r\n" % ORIGIN.encode()))
        assert (status, orjson.loads(body)) == (503, GRAPHQL)
        assert headers["access-control-allow-origin"] == ORIGIN
