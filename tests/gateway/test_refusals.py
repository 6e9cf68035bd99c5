"""What a refusal is where there is no room, at a real server."""

import asyncio
import logging
import re
from time import monotonic

import httpx
import orjson
import pytest
from psutil import Process

from gateway.admission import Admission, Turns
from gateway.headers import SECURITY_HEADERS
from gateway.pauses import Pauses
from tests.gateway.busy import GRAPHQL, LATE, REST, answer, ask, busy, line_of
from tests.gateway.test_access import Lines, lines
from tests.gateway.test_deadlines import connected
from tests.gateway.test_gate import until
from tests.records import EXAMPLE_ID, World
from tests.serving import ORIGIN

__all__ = ["lines"]


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
            line = await line_of(lines, request_id)
            assert re.fullmatch(r"(GET /leaks/\S+|POST /graphql) 503 [\d.]+ ms 127\.0\.0\.1", line)
        assert len(server.engine.commands) == statements


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/graphql?query={leaks{totalCount}}", f"/leaks/{EXAMPLE_ID}"])
async def test_whichever_method_a_request_has_it_is_refused_before_it_has_a_task(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    async def wait(*_: object) -> Turns:
        raise AssertionError("It has a task.")

    monkeypatch.setattr(Admission, "wait", wait)
    async with busy(sqlite_world, "read") as server, connected(server.address) as (reader, writer):
        key = sqlite_world.keys["explain"].encode()
        writer.write(
            b"%b %b HTTP/1.1\r\nHost: gateway\r\nX-API-Key: %b\r\n\r\n" % (method.encode(), path.encode(), key)
        )
        async with asyncio.timeout(LATE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
            if method == "GET":
                assert b"busy" in await reader.read(200)
        # Nothing but the head answers a HEAD.
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert (await answer(reader))[2] == b"ok\n"


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


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (BROKEN["no HTTP"], r"- - 400 [\d.]+ ms 127\.0\.0\.1"),
        (BROKEN["a head that is too long"], r"- - 431 .*"),
        (BROKEN["no host"], "GET /healthz 400 .*"),
        (BROKEN["no host"] + HEALTHY, "GET /healthz 400 .*"),
        (BROKEN["a body that is broken"], "POST /graphql 400 .*"),
    ],
)
async def test_what_no_application_sees_is_in_the_log_by_its_id(
    sqlite_world: World, lines: Lines, sent: bytes, line: str
) -> None:
    async with busy(sqlite_world, "read", max_concurrency=9) as server, connected(server.address) as (reader, writer):
        writer.write(sent)
        _, headers, _ = await answer(reader)
        request_id = headers["x-request-id"]
        await line_of(lines, request_id)
    of_it = [record for known, record in lines.records if known == request_id and record.name == "gateway.access"]
    (told,) = (record.getMessage() for record in of_it)
    assert re.fullmatch(line, told)


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
        await server.ask("explain")
        assert (await ask(greedy, server.get("read")))[0] == 503
        await server.go_on()
        assert (await ask(greedy, server.get("read")))[0] == 200


async def test_a_key_that_asks_for_too_much_and_again_at_once_is_heard_when_its_time_is_over(
    sqlite_world: World,
) -> None:
    async with (
        busy(sqlite_world, "read", max_concurrency=10) as server,
        connected(server.address) as greedy,
        connected(server.address) as forwarded,
    ):
        began = monotonic()
        assert (await ask(greedy, server.get()))[0] == 503
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
        began = monotonic()
        for _ in range(2):
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


async def test_where_there_is_no_room_at_all_every_key_is_refused_alike(sqlite_world: World) -> None:
    async with busy(sqlite_world, "read") as server, connected(server.address) as connection:
        told = [await ask(connection, server.get(key)) for key in ("read", "explain", "revoked", "nonsense")]
        assert {(status, body) for status, _, body in told} == {(503, orjson.dumps(REST))}
        assert len({frozenset({*headers} - {"x-request-id"}) for _, headers, _ in told}) == 1
        await server.go_on()
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


async def test_a_page_of_another_origin_is_told_that_it_may_read_its_refusal(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(*_: object) -> Turns:
        raise AssertionError("It is refused before it has a task, like all others.")

    monkeypatch.setattr(Admission, "wait", wait)
    async with (
        busy(sqlite_world, "read", cors_origins=(ORIGIN,)) as server,
        connected(server.address) as connection,
    ):
        status, headers, body = await ask(connection, server.post(more=b"Origin: %b\r\n" % ORIGIN.encode()))
        assert (status, orjson.loads(body)) == (503, GRAPHQL)
        assert headers["access-control-allow-origin"] == ORIGIN
        assert "Retry-After" in headers["access-control-expose-headers"]
        _, headers, _ = await ask(connection, server.post(more=b"Origin: https://other.example\r\n"))
        assert "access-control-allow-origin" not in headers
