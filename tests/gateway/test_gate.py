"""Who is let in where there is no room, who waits and who is refused; and what a refusal is, at a real server."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar

import httpx
import orjson
import pytest
from psutil import Process
from starlette.types import Scope

from gateway.admission import Admission
from gateway.app import create_app
from gateway.gate import Gate, Refusal
from gateway.headers import SECURITY_HEADERS, Fields
from gateway.pauses import RETURNS_A_SECOND, Pauses
from gateway.responses import Head, Prepared
from gateway.storage.database import make_engine
from gateway.storage.engine import Program
from tests.conftest import fresh_database
from tests.gateway.test_access import Lines, lines
from tests.gateway.test_deadlines import Connection, connected
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

# -------------------------------------------------------------------- the gate


class Door:
    """What is told where there is no room."""

    def busy(self, _fields: Fields) -> Refusal:
        return lambda seconds: Prepared(b"in %d s" % seconds, Head(503, []))


class Line:
    """A connection that is heard, or not."""

    def __init__(self) -> None:
        self.is_paused = False
        self.is_lost = False

    def pause(self) -> bool:
        self.is_paused = not self.is_lost
        return self.is_paused

    def resume(self) -> None:
        self.is_paused = False


class Arrival:
    """A request that notes how it fares."""

    def __init__(
        self, key: str, fates: list[tuple[str, str]], *more: tuple[bytes, bytes], is_from_proxy: bool = True
    ) -> None:
        self.scope: Scope = {"method": "GET", "path": "/leaks/1", "headers": [(b"x-api-key", key.encode()), *more]}
        self.told = b""
        self.connection = Line()
        self.is_from_proxy = is_from_proxy
        self._key = key
        self._fates = fates

    def enter(self) -> None:
        self._fates.append((self._key, "in"))

    def refuse(self, head: bytes, body: bytes) -> None:
        assert head.startswith(b"HTTP/1.1 503 ")
        self.told = body
        self._fates.append((self._key, "refused"))


class Crowd:
    """A gate before which requests come, by the names of their keys."""

    def __init__(self, most: int, most_a_key: int, wait_seconds: float = 60) -> None:
        self.admission = Admission(most, most_a_key, wait_seconds)
        self.fates: list[tuple[str, str]] = []
        self._gate = Gate(self.admission, _key_of, {("GET", "/leaks/"): Door()}, wait_seconds)

    def come(self, keys: str) -> None:
        for key in keys:
            self.meet(Arrival(key, self.fates))

    def meet(self, arrival: Arrival) -> Arrival:
        self._gate.take(arrival)
        return arrival

    async def fate_of(self, number: int) -> list[tuple[str, str]]:
        """How the first so many fared."""
        await _until(lambda: len(self.fates) >= number)
        return self.fates


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LATE):
        while not is_so():  # noqa: ASYNC110 - what it waits for happens in another thread
            await asyncio.sleep(0.002)


def _key_of(fields: Fields) -> str:
    return fields[b"x-api-key"].decode()


async def test_of_those_that_come_at_once_as_many_are_let_in_as_there_is_room_for() -> None:
    crowd = Crowd(most=3, most_a_key=2)
    crowd.come("aaab")
    assert crowd.fates == [("a", "in"), ("a", "in"), ("b", "in")]
    crowd.come("c")
    assert len(crowd.fates) == 3


async def test_room_that_comes_free_goes_round_among_the_keys_that_wait() -> None:
    crowd = Crowd(most=1, most_a_key=1)
    turns = crowd.admission.turn("z")
    assert turns is not None
    crowd.come("aaabc")
    assert not crowd.fates
    turns.leave()
    assert await crowd.fate_of(5) == [(key, "in") for key in "abcaa"]


async def test_room_goes_first_to_those_that_have_not_their_share_of_it() -> None:
    crowd = Crowd(most=4, most_a_key=4)
    (first, *_) = turns = [crowd.admission.turn(key) for key in "aaab"]
    assert first is not None
    assert all(turns)
    crowd.come("ab")
    first.leave()
    assert crowd.fates == [("b", "in")]


async def test_a_key_that_has_all_it_may_does_not_keep_others_out() -> None:
    crowd = Crowd(most=10, most_a_key=1)
    assert crowd.admission.turn("greedy") is not None
    crowd.meet(Arrival("greedy", crowd.fates))
    crowd.come("b")
    assert crowd.fates == [("b", "in")]


async def test_whoever_waits_in_vain_is_refused_in_the_order_in_which_all_came() -> None:
    crowd = Crowd(most=1, most_a_key=1, wait_seconds=0.01)
    assert crowd.admission.turn("z") is not None
    crowd.come("abacb")
    assert await crowd.fate_of(5) == [(key, "refused") for key in "abacb"]


async def test_whoever_asks_beyond_the_limit_of_his_key_is_not_heard_for_as_long_as_he_is_told_to_wait() -> None:
    crowd = Crowd(most=2, most_a_key=1, wait_seconds=0.01)
    assert all(crowd.admission.turn(key) is not None for key in ("greedy", "other"))
    greedy, modest = (crowd.meet(Arrival(key, crowd.fates)) for key in ("greedy", "modest"))
    forwarded, pretended = (
        crowd.meet(Arrival("greedy", crowd.fates, (b"x-forwarded-for", b"192.0.2.1"), is_from_proxy=is_from_proxy))
        for is_from_proxy in (True, False)
    )
    await crowd.fate_of(4)
    arrivals = (greedy, modest, forwarded, pretended)
    assert [one.connection.is_paused for one in arrivals] == [True, False, False, True]
    began = monotonic()
    await _until(lambda: not greedy.connection.is_paused)
    assert monotonic() - began > 0.5
    assert {one.told for one in arrivals} == {b"in 1 s"}


async def test_where_all_is_full_a_key_that_has_much_of_its_share_is_not_heard_for_a_while() -> None:
    crowd = Crowd(most=16, most_a_key=16, wait_seconds=0.01)
    assert all(crowd.admission.turn(key) is not None for key in "gggggggm")
    waiting = [asyncio.ensure_future(crowd.admission.wait(key)) for key in "ggggggmm"]
    await asyncio.sleep(0)
    greedy, modest = (crowd.meet(Arrival(key, crowd.fates)) for key in "gm")
    await crowd.fate_of(2)
    assert [one.connection.is_paused for one in (greedy, modest)] == [True, False]
    for one in waiting:
        one.cancel()


async def test_whoever_is_not_heard_is_heard_again_where_room_comes_free_and_nobody_waits() -> None:
    crowd = Crowd(most=2, most_a_key=1, wait_seconds=0.01)
    turns = crowd.admission.turn("greedy")
    assert turns is not None
    first, second = (crowd.meet(Arrival("greedy", crowd.fates)) for _ in range(2))
    await crowd.fate_of(2)
    turns.leave()
    assert [one.connection.is_paused for one in (first, second)] == [False, True]


async def test_the_more_of_a_key_are_away_the_later_one_more_of_it_is_to_come_again() -> None:
    crowd = Crowd(most=9, most_a_key=1, wait_seconds=0)
    assert all(crowd.admission.turn(key) is not None for key in ("greedy", "other"))
    away = RETURNS_A_SECOND * 2
    for _ in range(away):
        crowd.meet(Arrival("greedy", crowd.fates))
    await crowd.fate_of(away)
    late, other = (crowd.meet(Arrival(key, crowd.fates)) for key in ("greedy", "other"))
    await crowd.fate_of(away + 2)
    assert [late.told, other.told] == [b"in 3 s", b"in 1 s"]
    # Two keys share the returns.
    last = crowd.meet(Arrival("greedy", crowd.fates))
    await crowd.fate_of(away + 3)
    assert last.told == b"in 5 s"


async def test_a_connection_counts_once_however_many_of_its_requests_were_refused_and_not_when_it_is_lost() -> None:
    pauses = Pauses()
    lines = [Line() for _ in range(RETURNS_A_SECOND)]
    for seconds in (0.01, 60):
        for line in lines:
            pauses.begin(line, "greedy", seconds)
    assert pauses.retry_after_seconds("greedy") == 2
    # The time that was over first, was another's.
    await asyncio.sleep(0.05)
    assert all(line.is_paused for line in lines)
    lines[0].is_lost = True
    pauses.forget(lines[0])
    pauses.begin(lines[0], "greedy", 60)
    assert pauses.retry_after_seconds("greedy") == 1
    for _ in lines:
        pauses.resume_one(lambda _: True)
    assert not any(line.is_paused for line in lines)


# ------------------------------------------------------------------ at a server


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
        headers = {"X-API-Key": self._world.keys[key]}
        task = asyncio.create_task(self._client.get(f"/leaks/{EXAMPLE_ID}", headers=headers))
        await _until(lambda: self.engine.reading > reading)
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
    await _until(lambda: request_id in dict(lines.records))
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
        await _until(lambda: server.engine.reading == 2)
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
        await _until(lambda: len(Process().net_connections()) <= before)
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


async def test_a_page_of_another_origin_is_told_that_it_may_read_its_refusal(sqlite_world: World) -> None:
    async with (
        busy(sqlite_world, "read", cors_origins=(ORIGIN,)) as server,
        connected(server.address) as connection,
    ):
        status, headers, body = await ask(connection, server.post(more=b"Origin: %b\r\n" % ORIGIN.encode()))
        assert (status, orjson.loads(body)) == (503, GRAPHQL)
        assert headers["access-control-allow-origin"] == ORIGIN


async def test_a_client_that_goes_away_while_it_waits_is_forgotten(
    sqlite_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with busy(sqlite_world, "read", queue_milliseconds=LONG) as server:
        async with connected(server.address) as (_, writer):
            writer.write(server.get())
            await asyncio.sleep(0.05)
        server.engine.going.set()
        async with connected(server.address) as connection:
            assert (await ask(connection, server.get()))[0] == 200
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
