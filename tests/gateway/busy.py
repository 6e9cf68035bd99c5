"""A server that has as many requests as it takes in, and what it answers."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from gateway.admission import ABREAST, SPARED
from gateway.app import create_app
from gateway.storage.database import make_engine
from gateway.storage.engine import Program
from tests.gateway.test_access import Lines
from tests.gateway.test_deadlines import Connection
from tests.gateway.test_gate import until
from tests.operations import CountingEngine
from tests.records import EXAMPLE_ID, World
from tests.serving import served

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


class Busy:
    """A server that has as many requests as it takes in, which wait for the store."""

    def __init__(self, client: httpx.AsyncClient, address: str, world: World, engine: StoppedEngine) -> None:
        self.address = address
        self.engine = engine
        self._asked: list[asyncio.Task[httpx.Response]] = []
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

    async def ask(self, key: str = "read") -> None:
        """Ask for a leak, be let in, and wait for the store."""
        reading = self.engine.reading
        headers = {"X-API-Key": self._world.keys[key]}
        self._asked.append(asyncio.create_task(self._client.get(f"/leaks/{EXAMPLE_ID}", headers=headers)))
        await until(lambda: self.engine.reading > reading)

    @property
    def asked(self) -> int:
        """How many were let in like this."""
        return len(self._asked)

    async def go_on(self) -> None:
        """Let the store answer, and wait until all of these are answered."""
        self.engine.going.set()
        assert {(await task).status_code for task in self._asked} == {200}

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
            for key in keys:
                await server.ask(key)
            try:
                yield server
            finally:
                await server.go_on()


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


async def line_of(lines: Lines, request_id: str) -> str:
    """What the log says of a request, once it does."""
    await until(lambda: request_id in dict(lines.records))
    return dict(lines.records)[request_id].getMessage()
