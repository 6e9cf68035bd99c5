"""Applications as they are served: in process, with their lifespan, and by a real server on a free port."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.types import Message

from gateway.commands.serving import configuration
from gateway.settings import Settings
from tests.records import World

Answer = dict[str, Any]
ORIGIN = "http://gateway.test"


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application whose lifespan runs in a task of its own, as a server has it."""
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    outgoing: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    lifespan = asyncio.create_task(app(scope, incoming.get, outgoing.put))
    await incoming.put({"type": "lifespan.startup"})
    started = await outgoing.get()
    if started["type"] != "lifespan.startup.complete":
        await lifespan
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.99", 4321))
    try:
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            yield client
    finally:
        await incoming.put({"type": "lifespan.shutdown"})
        stopped = await outgoing.get()
        await lifespan
    assert stopped["type"] == "lifespan.shutdown.complete"


@dataclass(frozen=True)
class Gateway:
    """An application that runs, and what it was filled with."""

    client: httpx.AsyncClient
    world: World

    async def get(self, path: str, key: str | None = "read", **options: Any) -> httpx.Response:
        """Get a path with one of the world's keys."""
        return await self.client.get(path, headers=self.headers(key) | options.pop("headers", {}), **options)

    async def post(self, body: bytes, key: str | None = "read", **headers: str) -> httpx.Response:
        """Post a body to /graphql as JSON, or as what the headers say."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Content-Type": "application/json"} | self.headers(key) | named
        return await self.client.post("/graphql", content=body, headers=sent)

    async def respond(
        self, query: str, variables: Answer | None = None, key: str | None = "read", **headers: str
    ) -> httpx.Response:
        """The response to an operation."""
        return await self.post(orjson.dumps({"query": query, "variables": variables}), key, **headers)

    async def answer(self, query: str, variables: Answer | None = None, key: str | None = "read") -> Answer:
        """The whole answer to an operation, data and errors."""
        answer: Answer = (await self.respond(query, variables, key)).json()
        return answer

    async def ask(self, query: str, variables: Answer | None = None, key: str | None = "read") -> Answer:
        """The data of an operation that succeeds."""
        answer = await self.answer(query, variables, key)
        assert "errors" not in answer, answer
        data: Answer = answer["data"]
        return data

    async def codes(self, query: str, variables: Answer | None = None, key: str | None = "read") -> list[str]:
        """The codes of an operation that fails."""
        return [error["extensions"]["code"] for error in (await self.answer(query, variables, key))["errors"]]

    def headers(self, key: str | None) -> dict[str, str]:
        return {} if key is None else {"X-API-Key": self.world.keys[key]}


@contextmanager
def served(app: Starlette, settings: Settings) -> Iterator[str]:
    """The address of a real server with this application."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = configuration(app, settings)
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        for _ in range(1000):
            if server.started or not thread.is_alive():
                break
            time.sleep(0.01)
        assert server.started
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
