"""However much of what takes long one key has under way, nobody else is kept out."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import TypeVar

import pytest

from gateway.app import create_app
from gateway.storage.budgets import spend
from gateway.storage.database import make_engine
from gateway.storage.engine import Engine
from gateway.storage.keys import record_uses
from schema.instants import now
from tests.faults.conftest import path_of
from tests.records import World
from tests.serving import Gateway, running

T = TypeVar("T")

COUNTS = " ".join(f"a{number}: leaks(first: 1) {{ totalCount }}" for number in range(29))
SLOW = {"planned": f"{{ {COUNTS} }}", "interpreted": f"{{ __schema {{ queryType {{ name }} }} {COUNTS} }}"}
AT_ONCE = 2.0
"""Seconds: long for an answer, and short beside the minutes that the slow statements take."""

_MANY_DOMAINS = """
    INSERT INTO domains (organization_number, id, name, archived_at)
    WITH RECURSIVE step(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM step LIMIT 5000)
    SELECT number, format('00000000-0000-4000-8000-%012d', n), n || '.example', '' FROM step CROSS JOIN organizations
"""


@pytest.fixture
def world_of_many_domains(slow_world: World) -> World:
    """A slow world whose keys SQLite does not look up in the event loop: PostgreSQL never does."""
    if slow_world.url.startswith("sqlite"):
        with closing(sqlite3.connect(path_of(slow_world.url))) as connection, connection:
            connection.execute(_MANY_DOMAINS)
    return slow_world


@asynccontextmanager
async def busy(world: World, query: str) -> AsyncIterator[tuple[Gateway, Engine]]:
    """A gateway where a key has as many slow operations under way as one may have."""
    settings = replace(world.settings, operation_timeout_seconds=600)
    engine = make_engine(settings.database_url, pool_size=settings.pool_size, serving_role=settings.serving_role)
    async with running(create_app(settings, engine=engine)) as client:
        gateway = Gateway(client, world)
        # The key is known from now on: what is slow is what it asks.
        assert (await gateway.respond("{ viewer { name } }")).status_code == 200
        tasks = [asyncio.create_task(gateway.respond(query)) for _ in range(settings.max_concurrency_per_key)]
        await asyncio.sleep(1)
        try:
            yield gateway, engine
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def at_once(work: Awaitable[T]) -> T:
    """What comes of something that does not wait."""
    return await asyncio.wait_for(work, AT_ONCE)


@pytest.mark.parametrize("query", SLOW.values(), ids=SLOW)
async def test_beside_a_keys_slow_operations_others_are_let_in_and_written_of(
    world_of_many_domains: World, query: str
) -> None:
    world = world_of_many_domains
    async with busy(world, query) as (gateway, engine):
        for key in ("read and write", "restricted", "labs"):
            response = await at_once(gateway.respond("{ viewer { name } }", key=key))
            assert response.status_code == 200
        assert (await at_once(gateway.get("/readyz"))).status_code == 200
        assert await at_once(spend(engine, world.key_ids["labs"], 1, 600)) == 1
        await at_once(record_uses(engine, {world.key_ids["labs"]: now()}))


@pytest.mark.parametrize("query", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_with_postgresql_whoever_comes_later_has_a_connection_at_once(slow_world: World, query: str) -> None:
    of_other_tables = f'{{ node(id: "{slow_world.host_id}") {{ id }} }}'
    async with busy(slow_world, query) as (gateway, _):
        for _ in range(3):
            data = await at_once(gateway.ask(of_other_tables, key="read and write"))
            assert data == {"node": {"id": slow_world.host_id}}
