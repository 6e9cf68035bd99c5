"""Clients that are slow, silent or endless, at a real server: each is ended in time, and told why where it asked."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic

import orjson
import pytest

from gateway.app import create_app
from tests.records import World
from tests.serving import served

SECONDS = 2
LATE = 30
"""Nothing here may take as long, however busy the machine is."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def server(sqlite_world: World) -> Iterator[str]:
    """The address of a server that is in a hurry."""
    settings = replace(sqlite_world.settings, header_timeout_seconds=SECONDS, body_timeout_seconds=SECONDS)
    with served(create_app(settings), settings) as address:
        yield address


@pytest.fixture(scope="module")
def patient_server(sqlite_world: World) -> Iterator[str]:
    """The address of a server that no deadline helps."""
    settings = replace(sqlite_world.settings, header_timeout_seconds=LATE * 2, body_timeout_seconds=LATE * 2)
    with served(create_app(settings), settings) as address:
        yield address


@pytest.fixture
def post(sqlite_world: World) -> bytes:
    """The head of a request with ten bytes of body."""
    key = sqlite_world.keys["read"].encode()
    lines = (b"POST /graphql HTTP/1.1", b"Host: gateway", b"Content-Type: application/json", b"X-API-Key: " + key)
    return b"\r\n".join(lines) + b"\r\n"


@asynccontextmanager
async def connected(server: str, held_bytes: int | None = None) -> AsyncIterator[Connection]:
    """A connection, whose system holds so much that was not read."""
    host, port = server.removeprefix("http://").split(":")
    client = socket.socket()
    if held_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, held_bytes)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ended(server: str, first: bytes, again: bytes = b"") -> bytes:
    """All that the server says to a client that sends one thing, and then another over and over, until it hangs up."""

    async def drip() -> None:
        while again:
            writer.write(again)
            await asyncio.sleep(0.1)

    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        writer.write(first)
        dripping = asyncio.create_task(drip())
        try:
            return await _all(reader)
        finally:
            dripping.cancel()


async def _all(reader: asyncio.StreamReader) -> bytes:
    said = bytearray()
    try:
        while data := await reader.read(65536):
            said += data
    except ConnectionResetError:
        pass
    return bytes(said)


async def _next(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].split()[0])
    return int(head.split()[1]), await reader.readexactly(length)


def status_of(said: bytes) -> int | None:
    """The status of an error in the contract's shape, with all that every response has; None where nothing was said."""
    if not said:
        return None
    head, _, body = said.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert orjson.loads(body)["status"] == status
    assert set(orjson.loads(body)) == {"type", "status", "detail"}
    for header in (b"x-request-id: ", b"x-content-type-options: nosniff", b"connection: close", b"content-length: "):
        assert header in head
    return status


HALF = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nX-Half: "


async def test_a_head_that_does_not_come_is_waited_for_as_long_as_is_set(server: str) -> None:
    clients = {
        (b"", b""): None,
        (b"\r\n", b"\r\n"): None,
        (b"G", b""): 408,
        (HALF, b""): 408,
        (HALF, b"x"): 408,
        (HALF, b"\r\nX-More: x"): 408,
        (b"POST /graphql HTTP/1.1\r\nContent-Le", b""): 408,
    }
    started = monotonic()
    said = await asyncio.gather(*(ended(server, *sent) for sent in clients))
    assert [status_of(each) for each in said] == list(clients.values())
    assert monotonic() - started > SECONDS * 0.9


async def test_a_body_that_does_not_come_is_waited_for_as_long_as_is_set(
    server: str, post: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [
        (b"Content-Length: 1000\r\n\r\n", b""),
        (b"Content-Length: 1000\r\n\r\n{", b""),
        (b"Content-Length: 1000\r\n\r\n{", b" "),
        (b"Transfer-Encoding: chunked\r\n\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n", b"X-Trailer: x\r\n"),
    ]
    caplog.set_level(logging.INFO)
    started = monotonic()
    said = await asyncio.gather(*(ended(server, post + first, again) for first, again in clients))
    assert [status_of(each) for each in said] == [408] * len(clients)
    assert monotonic() - started > SECONDS * 0.9
    await _logged(caplog, "POST /graphql 408")
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_head_and_a_body_have_a_deadline_each(sqlite_world: World, post: bytes, part: str) -> None:
    head, body = (SECONDS, LATE * 2) if part == "head" else (LATE * 2, SECONDS)
    settings = replace(sqlite_world.settings, header_timeout_seconds=head, body_timeout_seconds=body)
    with served(create_app(settings), settings) as address:
        said = await ended(address, HALF if part == "head" else post + b"Content-Length: 10\r\n\r\n")
    assert status_of(said) == 408


async def test_a_client_that_goes_away_in_the_middle_is_no_failure_of_ours(
    server: str, post: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connected(server) as (_, writer):
        writer.write(post + b"Content-Length: 1000\r\n\r\n{")
    await _logged(caplog, "POST /graphql 408")
    assert not [record for record in caplog.records if record.exc_info]


async def _logged(caplog: pytest.LogCaptureFixture, line: str) -> None:
    for _ in range(LATE * 50):
        if line in caplog.text:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(caplog.text)


async def test_a_body_that_nobody_waits_for_is_not_taken_for_ever(server: str) -> None:
    said = await ended(server, b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n\r\n", b" ")
    assert said.startswith(b"HTTP/1.1 401 ")
    assert said.count(b"HTTP/1.1") == 1


async def test_whoever_is_slow_but_in_time_is_answered(server: str, post: bytes) -> None:
    body = b'{"query": "{ viewer { name } }"}'
    parts = (post[:10], post[10:], b"Content-Length: %d\r\n\r\n" % len(body), body[:9], body[9:])
    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        for _ in range(3):
            for part in parts:
                writer.write(part)
                await asyncio.sleep(SECONDS / 20)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readuntil(b"}}}") == b'{"data":{"viewer":{"name":"read"}}}'


@pytest.mark.parametrize("again", [b"", b"x"], ids=["stops", "drips"])
async def test_a_later_head_is_waited_for_no_longer_than_the_first(server: str, again: bytes) -> None:
    said = await ended(server, b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n" + HALF, again)
    first, _, second = said.partition(b"ok\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert status_of(second) == 408


async def test_a_connection_may_idle_between_requests_as_long_as_is_set(server: str) -> None:
    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
            assert b" 200 OK" in await reader.readuntil(b"ok\n")
            await asyncio.sleep(SECONDS / 4)
        assert await reader.read() == b""


# ----------------------------------------------------------------------- size


def _with_header(size: int) -> bytes:
    return b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nX-Long: " + b"x" * size


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (_with_header(32_000) + b"\r\n\r\n", 200),
        (_with_header(37_000) + b"\r\n\r\n", 431),
        (_with_header(600_000), 431),
        (_with_header(2_000_000) + b"\r\n\r\n", 431),
        (_with_header(1) + b"\r\nX: y" * 9000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: gateway\r\n\r\n", 414),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: gateway\r\n\r\n", 431),
        (b"GET /" + b"x" * 2_000_000, 431),
    ],
)
async def test_a_head_is_taken_up_to_a_size(server: str, sent: bytes, status: int) -> None:
    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        writer.write(sent)
        said = await reader.readuntil(b"\r\n\r\n")
        assert int(said.split()[1]) == status
        if status == 431:
            assert status_of(said + await _all(reader)) == 431


async def test_the_longest_head_is_a_setting(sqlite_world: World) -> None:
    settings = replace(sqlite_world.settings, max_header_bytes=1024)
    with served(create_app(settings), settings) as address:
        for size, status in ((500, 200), (8000, 431)):
            async with connected(address) as (reader, writer), asyncio.timeout(LATE):
                writer.write(_with_header(size) + b"\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                assert int(head.split()[1]) == status
                assert b"\r\nserver:" not in head.lower()


async def test_headers_behind_a_body_have_an_end(server: str, post: bytes) -> None:
    trailers = b"".join(b"X-%d: y\r\n" % number for number in range(2000))
    said = await ended(server, post + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n" + trailers)
    assert status_of(said) == 431


ENDLESS = {
    "the value of a trailer": b"1\r\n{\r\n0\r\nX-A: " + b"x" * 100_000,
    "the name of a trailer": b"1\r\n{\r\n0\r\n" + b"x" * 100_000,
    "trailers": b"1\r\n{\r\n0\r\n" + (b"X-A: " + b"y" * 10_000 + b"\r\n") * 10,
    "a chunk extension": b"1\r\n{\r\n1;a=" + b"x" * 100_000,
    "the first chunk extension": b"1;a=" + b"x" * 100_000,
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
async def test_trailers_and_chunk_extensions_have_an_end(patient_server: str, post: bytes, endless: bytes) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    assert status_of(await ended(patient_server, post + chunked + endless)) == 431
    async with connected(patient_server) as (reader, writer), asyncio.timeout(LATE):
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: gateway\r\n" + chunked)
        assert b" 405 " in await reader.readuntil(b"}")
        writer.write(endless)
        assert await _all(reader) == b""


async def test_trailers_are_no_headers(server: str, sqlite_world: World) -> None:
    body = b'{"query": "{ viewer { name } }"}'
    trailers = (
        b"X-API-Key: " + sqlite_world.keys["read"].encode(), b"X-Request-ID: trailer", b"X-Forwarded-For: 192.0.2.7",
        b"Host: another", b"Connection: Upgrade", b"Upgrade: h2c",
    )  # fmt: skip
    request = (
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(body), body, b"\r\n".join(trailers))
    )
    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        writer.write(request * 2)
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 ")
            assert b"x-request-id: trailer" not in head
            await reader.readuntil(b"}]}")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert b" 200 OK" in await reader.readuntil(b"ok\n")


async def test_a_long_body_is_no_long_head(server: str, post: bytes) -> None:
    body = b'{"query": "{ viewer { name } }"' + b" " * 100_000 + b"}"
    request = post + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        for _ in range(3):
            writer.write(request)
            assert b" 200 OK" in await reader.readuntil(b"}}}")
            writer.write(b"GET /healthz HTTP/1.1\r\n")
            await asyncio.sleep(0.05)
            writer.write(b"Host: gateway\r\n\r\n")
            assert b" 200 OK" in await reader.readuntil(b"ok\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\nA b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: gateway\r\nX: a\x00b\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Length: -1\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_http_or_could_be_read_in_two_ways_is_a_400(server: str, sent: bytes) -> None:
    assert status_of(await ended(server, sent)) == 400


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1\r\n", 400), (b"HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400), (b"HTTP/1.0\r\nHost: a\r\nHost: b\r\n", 400),
        *((b"HTTP/1.1\r\nHost: %b\r\n" % host, 400) for host in (b"a b", b"a, b", b"a/b", b"a@b", b"a:b", b"::1", b"[::1", b"a%2", b"\xff")),
        (b"HTTP/2.0\r\nHost: a\r\n", 505), (b"HTTP/0.9\r\nHost: a\r\n", 505),
    ],
)  # fmt: skip
async def test_a_request_without_one_host_and_a_version_that_is_spoken_is_refused_and_nothing_behind_it_is_read(
    server: str, head: bytes, status: int
) -> None:
    healthy = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"
    assert status_of(await ended(server, b"GET /healthz " + head + b"\r\n" + healthy)) == status
    said = await ended(server, healthy + b"GET /healthz " + head + b"\r\n" + healthy)
    first, _, second = said.partition(b"ok\n")
    assert (first[:15], status_of(second)) == (b"HTTP/1.1 200 OK", status)


@pytest.mark.parametrize("host", [b"", b"gateway", b"a_b.example:", b"192.0.2.1:8000", b"[2001:db8::1]:8000", b"a%20b"])
async def test_a_host_may_be_a_name_or_an_address(server: str, host: bytes) -> None:
    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nhOST: %b\r\n\r\n" % host)
            assert b" 200 OK" in await reader.readuntil(b"ok\n")


async def test_http_1_0_needs_no_host(server: str) -> None:
    assert (await ended(server, b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


# ------------------------------------------------------------------- upgrades

INNER = b"GET /healthz HTTP/1.1\r\nHost: inner\r\n\r\n"


@pytest.mark.parametrize("pause", [0, 0.05])
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"foo"])
async def test_an_upgrade_is_ignored_and_the_body_is_read(
    server: str, post: bytes, protocol: bytes, is_chunked: bool, pause: float
) -> None:
    async def send(body: bytes) -> tuple[int, bytes]:
        writer.write(head + (b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)))
        writer.write(b"\r\n\r\n")
        await asyncio.sleep(pause)
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if is_chunked else body)
        return await _next(reader)

    head = post + b"Upgrade: %b\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n" % protocol
    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        for _ in range(2):
            assert await send(b'{"query": "{ __typename }"}') == (200, b'{"data":{"__typename":"Query"}}')
            assert (await send(INNER))[0] == 400
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
        assert (await _all(reader)).count(b"HTTP/1.1") == 1


async def test_many_upgrades_at_once_are_ignored(server: str) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost:x\r\nUpgrade:x\r\nConnection:upgrade\r\n\r\n"
    last = request.replace(b"upgrade", b"upgrade, close") + b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (await ended(server, request * 60 + last)).count(b"ok\n") == 61


@pytest.mark.parametrize("target", [b"/healthz", b"gateway:443"])
async def test_connect_is_refused_and_nothing_behind_it_is_read(server: str, target: bytes) -> None:
    head = b"CONNECT %b HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n" % (target, len(INNER))
    assert status_of(await ended(server, head + INNER)) == 501
    assert status_of(await ended(server, head, INNER)) == 501


# -------------------------------------------------------------------- reading


LARGE = " ".join(
    f"a{n}: leaks(first: 100) {{ nodes {{ id url login connections {{ users {{ nodes {{ identity }} }} }} }} }}"
    for n in range(10)
)


async def test_a_client_that_does_not_read_its_answers_is_let_go(
    server: str, post: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    body = orjson.dumps({"query": f"{{ {LARGE} }}"})
    request = post + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with connected(server, 4096) as (reader, writer), asyncio.timeout(LATE):
        started = monotonic()
        # More than all systems between hold.
        for _ in range(40):
            writer.write(request)
            await asyncio.sleep(0.01)
        with pytest.raises(ConnectionError):
            await _write_on(writer)
        assert monotonic() - started > SECONDS * 0.9
        assert (await _all(reader)).count(b"HTTP/1.1 200 OK") < 40
    assert not [record for record in caplog.records if record.exc_info]


async def _write_on(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.1)


async def test_a_client_that_reads_slowly_has_its_answers(server: str, post: bytes) -> None:
    body = orjson.dumps({"query": f"{{ {LARGE} }}"})
    request = post + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with connected(server, 4096) as (reader, writer), asyncio.timeout(LATE):
        started = monotonic()
        writer.write(request * 40)
        for _ in range(40):
            assert (await _next(reader))[1].startswith(b'{"data":')
            await asyncio.sleep(SECONDS / 20)
        assert monotonic() - started > SECONDS * 1.5


async def test_requests_without_end_that_nobody_waits_for_are_not_kept(
    server: str, post: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"query": "{ viewer { name } }"}'
    request = post + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with connected(server) as (reader, writer), asyncio.timeout(LATE):
        writer.write(request * 50)
        for _ in range(50):
            assert b" 200 OK" in await reader.readuntil(b"}}}")
        writer.write(request * 20_000)
        assert (await _all(reader)).count(b"HTTP/1.1 200 OK") < 20_000
    assert not [record for record in caplog.records if record.exc_info]
