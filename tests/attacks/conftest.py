"""The gateway under attack: the application as it is served, with every statement that reaches a database noted."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import pytest_asyncio

from gateway.app import create_app
from gateway.storage.database import make_engine
from tests.operations import CountingEngine
from tests.records import World
from tests.serving import Gateway, running


@dataclass(frozen=True)
class Target(Gateway):
    """A gateway, and what it asks of its database."""

    engine: CountingEngine

    async def attack(self, method: str, path: str, key: str | None = "read", **sent: object) -> httpx.Response:
        """Send a request; what it makes the gateway read is noted from then on."""
        await self.get("/graphql", key, params={"query": "{ __typename }"})  # the key is known, and looked up no more
        self.engine.commands.clear()
        headers = self.headers(key) | dict(sent.pop("headers", {}))  # type: ignore[call-overload]
        return await self.client.request(method, path, headers=headers, **sent)  # type: ignore[arg-type]

    @property
    def reads(self) -> list[str]:
        """The statements since then, but for the look-up of a key."""
        return [command.sql for command in self.engine.commands if "FROM keys" not in command.sql]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def target(world: World) -> AsyncIterator[Target]:
    engine = CountingEngine(make_engine(world.settings.database_url, serving_role=world.settings.serving_role))
    # What fails is charged in full, and here nearly everything does.
    async with running(create_app(replace(world.settings, rate_limit=0), engine=engine)) as client:
        yield Target(client, world, engine)
