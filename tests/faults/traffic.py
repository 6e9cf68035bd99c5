"""Requests to a real server, many and cheap, each with the answer that it must have."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import httpx
import orjson

from tests.faults.server import Server, serving
from tests.records import EXAMPLE_ID, LARGE_ID, UNKNOWN_ID, World
from tests.serving import Gateway

PAGE = "{ leaks(first: 50) { totalCount nodes { id login connections { endpoints { nodes { filename } } } } } }"
CURSORS = "{ leaks(first: 5) { pageInfo { endCursor } edges { cursor node { url } } } }"

GONE = (ConnectionError, asyncio.IncompleteReadError)
"""What a client sees of a server that ends in the middle."""


@dataclass(frozen=True)
class Answer:
    """What came back; its head, in small letters, differs from time to time."""

    status: int
    body: bytes
    head: bytes = field(default=b"", compare=False)


@dataclass(frozen=True)
class Question:
    """A request, with the answer it must have where that is known."""

    request: bytes
    expected: Answer | None = None


def get(path: str, key: str) -> bytes:
    """A request for a path."""
    return f"GET {path} HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\n\r\n".encode()


def post(query: str, key: str) -> bytes:
    """A request for an operation."""
    body = orjson.dumps({"query": query})
    head = f"POST /graphql HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def questions(world: World) -> list[bytes]:
    """A bit of everything: planned and interpreted, found and not found, refused and not understood."""
    key = world.keys["read"]
    return [
        get(f"/leaks/{EXAMPLE_ID}", key),
        post(PAGE, key),
        get(f"/leaks/{UNKNOWN_ID}", key),
        post(f'{{ leak(id: "{LARGE_ID}") {{ connections {{ users {{ nodes {{ id }} }} }} }} }}', key),
        post("{ viewer { name } }", key),
        post("{ __schema { queryType { name } } }", key),
        post(CURSORS, key),
        get(f"/leaks/{EXAMPLE_ID}", world.keys["expired"]),
        post("{ nothing }", key),
    ]


class Connection:
    """A connection that is kept alive; less work for the client than for the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> Answer:
        """The answer to a request."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        _, _, length = head.partition(b"content-length: ")
        body = await self._reader.readexactly(int(length.split(b"\r\n", 1)[0])) if length else b""
        return Answer(int(head.split(b" ", 2)[1]), body, head)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """A connection to a server of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


@dataclass
class Traffic:
    """Clients that ask one thing after the other, and what became of it.

    Attributes:
        statuses: How often each status was answered.
        dropped: How many requests were not answered, since the connection went away.
        wrong: Answers that should have been others.
        excused: Statuses that are not wrong for whatever is asked just now.
    """

    port: int
    questions: Sequence[Question]
    statuses: Counter[int] = field(default_factory=Counter)
    dropped: int = 0
    wrong: list[tuple[Question, Answer]] = field(default_factory=list)
    excused: set[int] = field(default_factory=set)
    _is_over: bool = False

    async def ask(self, number: int | None = None) -> None:
        """Ask on one connection, which is made anew where it goes away, until told to end or for a number of times."""
        questions = cycle(self.questions)
        while not self._is_done(number):
            try:
                async with connected(self.port) as connection:
                    while not self._is_done(number):
                        question, excused = next(questions), {*self.excused}
                        self.note(question, await connection.ask(question.request), excused)
            except GONE:
                self.dropped += 1
                await asyncio.sleep(0.02)

    def _is_done(self, number: int | None) -> bool:
        return self._is_over or (number is not None and self.answered >= number)

    @property
    def answered(self) -> int:
        return self.statuses.total()

    def note(self, question: Question, answer: Answer, excused: Container[int] = ()) -> None:
        """Count an answer, and keep it where it is wrong."""
        self.statuses[answer.status] += 1
        if question.expected not in (None, answer) and answer.status not in excused:
            self.wrong.append((question, answer))

    async def until_answered(self, number: int) -> None:
        """Wait until so many more were answered; it must flow."""
        enough = self.answered + number
        while self.answered < enough:  # noqa: ASYNC110 - it goes on by itself
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def flowing(self, connections: int = 4) -> AsyncIterator["Traffic"]:
        """Let it flow for as long as this is open."""
        clients = [asyncio.create_task(self.ask()) for _ in range(connections)]
        try:
            yield self
        finally:
            self._is_over = True
            await asyncio.gather(*clients)


async def everywhere(port: int, *requests: bytes, connections: int = 20) -> set[int]:
    """The statuses that the last of some requests has over new connections, of which each of two workers gets some."""
    statuses = set()
    for _ in range(connections):
        async with connected(port) as connection:
            *_, last = [await connection.ask(request) for request in requests]
            statuses.add(last.status)
    return statuses


async def answered(port: int, requests: Sequence[bytes]) -> list[Question]:
    """Questions whose answers must be what they are now."""
    async with connected(port) as connection:
        return [Question(request, await connection.ask(request)) for request in requests]


@dataclass(frozen=True)
class Busy:
    """A server that others ask all the while, and a client of it."""

    server: Server
    traffic: Traffic
    gateway: Gateway


@asynccontextmanager
async def busy(
    world: World, folder: Path, connections: int = 2, *, module: str = "gateway", **settings: str
) -> AsyncIterator[Busy]:
    """Serve a world with two workers to clients of whom none has a wrong answer, before, meanwhile or after."""
    settings = {"LEAKS_POOL_SIZE": "4"} | settings
    with serving(world, folder, "--workers", "2", module=module, **settings) as server:
        traffic = Traffic(server.port, await answered(server.port, questions(world)))
        address = f"http://127.0.0.1:{server.port}"
        async with traffic.flowing(connections), httpx.AsyncClient(base_url=address, timeout=60) as client:
            yield Busy(server, traffic, Gateway(client, world))
            await traffic.until_answered(100)
        assert not traffic.wrong, [(question.request, answer) for question, answer in traffic.wrong[:3]]
        assert "Traceback" not in server.log.read_text()
