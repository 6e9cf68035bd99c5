"""A server under traffic whose processes are killed, that is told to end, and that runs for long."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from tests.faults.conftest import path_of, slow_down
from tests.faults.server import Server, serving
from tests.faults.test_timeouts import halted
from tests.faults.traffic import PAGE, Question, Traffic, answered, connected, get, post, questions
from tests.records import EXAMPLE_ID, World

REQUESTS = 100_000
RECONNECTS = 1_000
OPENED_LATER = 12
"""Files of connections that are opened when the first asks for what they are for."""
PARTS = 4
MAX_GROWTH_BYTES = 2_000_000
"""In the part in which a worker grew the least but one: 160 bytes for each of its requests."""
SLOW_SECONDS = 5
"""Longer than any request is held, though equal ones are read for at once."""


def own_bytes(worker: psutil.Process) -> int:
    """The memory that a process holds; pages of the database's file, which the system lends it, are not its own."""
    memory = worker.memory_info()
    return int(memory.rss - memory.shared)


def until_up(server: Server) -> None:
    """Wait until it answers."""
    traffic = Traffic(server.port, [Question(get("/healthz", ""))])
    asyncio.run(asyncio.wait_for(traffic.ask(1), 60))


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    began = monotonic()
    while not is_so():
        assert monotonic() - began < 60
        sleep(0.05)


@pytest.fixture(scope="module")
def server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two workers over the database that is filled once, on each engine in turn."""
    with serving(world, tmp_path_factory.mktemp("server"), "--workers", "2", LEAKS_POOL_SIZE="6") as started:
        until_up(started)
        yield started
        assert "Traceback" not in started.log.read_text()


@pytest.mark.timeout(600)
async def test_handles_and_memory_stay_flat_over_many_requests_and_connections(server: Server, world: World) -> None:
    asked = await answered(server.port, questions(world))
    # So many connections that each worker has some.
    await asyncio.gather(*(Traffic(server.port, asked).ask(400) for _ in range(60)))
    workers, traffic = server.workers, Traffic(server.port, asked)
    before = [(worker.num_fds(), worker.num_threads()) for worker in workers]
    sizes = [[own_bytes(worker)] for worker in workers]
    for part in range(PARTS):
        await asyncio.gather(*(traffic.ask(REQUESTS * (part + 1) // PARTS) for _ in range(4)))
        for worker, size in zip(workers, sizes, strict=True):
            size.append(own_bytes(worker))
    for _ in range(RECONNECTS):
        async with connected(server.port) as connection:
            traffic.note(asked[0], await connection.ask(asked[0].request))
    assert (traffic.wrong, traffic.dropped) == ([], 0)
    for worker, (handles, threads), size in zip(workers, before, sizes, strict=True):
        assert worker.num_fds() <= handles + OPENED_LATER
        assert worker.num_threads() <= threads + 4
        # What is lost is lost in all parts but one, where there may be free memory still; what is first needed late is
        # taken once.
        assert sorted(later - sooner for sooner, later in pairwise(size))[1] <= MAX_GROWTH_BYTES


async def test_a_worker_that_is_killed_is_replaced_and_no_answer_is_wrong(server: Server, world: World) -> None:
    asked = await answered(server.port, questions(world))
    async with Traffic(server.port, asked).flowing(8) as traffic:
        await asyncio.sleep(0.5)
        before = {worker.pid for worker in server.workers}
        server.workers[0].kill()
        began = monotonic()
        while len({worker.pid for worker in server.workers} - before) != 1:
            assert monotonic() - began < 30
            await asyncio.sleep(0.05)
        await traffic.until_answered(500)
    assert traffic.wrong == []
    # At most what it was asked just then is lost.
    assert traffic.dropped <= 8


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_is_killed_while_the_database_is_away_is_replaced_once_it_is_back(
    fresh_world: World, tmp_path: Path
) -> None:
    path = path_of(fresh_world.url)
    with serving(fresh_world, tmp_path, "--workers", "2") as server:
        until(lambda: server.log.read_text().count("Application startup complete") == 2)
        path.rename(away := path.with_name("away.db"))
        server.workers[0].kill()
        until(lambda: server.log.read_text().count("Another worker tries again.") > 1)
        assert server.process.poll() is None
        away.rename(path)
        until(lambda: server.log.read_text().count("Application startup complete") == 3)
        assert server.end() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_workers_end_with_whoever_began_them(fresh_world: World, tmp_path: Path) -> None:
    with serving(fresh_world, tmp_path, "--workers", "2") as server:
        until_up(server)
        workers = server.workers
        server.process.kill()
        _, alive = psutil.wait_procs(workers, 20)
        assert alive == []


@pytest.fixture
def hasty(fresh_world: World, tmp_path: Path) -> Iterator[Server]:
    """A server with two workers that has little patience with them."""
    with serving(fresh_world, tmp_path, "--workers", "2", module="tests.faults.hasty") as started:
        until_up(started)
        yield started


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seconds", [0, 1.5], ids=["at-once", "once-it-was-asked"])
def test_a_worker_that_hangs_does_not_keep_the_server_from_ending(hasty: Server, seconds: float) -> None:
    workers = hasty.workers
    workers[0].suspend()
    # By then the supervisor has asked it whether it lives.
    sleep(seconds)
    assert hasty.end() == 0
    assert not any(worker.is_running() for worker in workers)
    assert f"Worker {workers[0].pid} did not end in time and is killed." in hasty.log.read_text()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_hangs_is_replaced(hasty: Server) -> None:
    before = {worker.pid for worker in hasty.workers}
    hung = hasty.workers[0]
    hung.suspend()
    until(lambda: hung.pid not in {worker.pid for worker in hasty.workers} and len(hasty.workers) == 2)
    # The other one has responded all the while.
    assert len(before & {worker.pid for worker in hasty.workers}) == 1
    assert hasty.end() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_hangs_does_not_keep_the_others_from_being_restarted(hasty: Server) -> None:
    before = hasty.workers
    before[0].suspend()
    hasty.process.send_signal(signal.SIGHUP)
    until(lambda: not any(worker.is_running() for worker in before) and len(hasty.workers) == 2)
    until_up(hasty)
    assert hasty.end() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_ends_slowly_delays_no_signal(fresh_world: World, tmp_path: Path) -> None:
    with serving(fresh_world, tmp_path, "--workers", "2") as server:
        until_up(server)
        before = {worker.pid for worker in server.workers}
        # The one that was started last is the first to go.
        hung = max(server.workers, key=lambda worker: worker.pid)
        hung.suspend()
        server.process.send_signal(signal.SIGTTOU)
        until(lambda: f"Terminated child process [{hung.pid}]" in server.log.read_text())
        server.process.send_signal(signal.SIGTTIN)
        until(lambda: bool({worker.pid for worker in server.workers} - before))
        assert hung.is_running()
        hung.resume()
        assert server.end() == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_workers_that_are_being_restarted_do_not_keep_the_server_from_ending(hasty: Server) -> None:
    hasty.process.send_signal(signal.SIGHUP)
    until(lambda: "Received SIGHUP" in hasty.log.read_text())
    assert hasty.end() == 0
    # Those that began, and none that was to replace them.
    assert hasty.log.read_text().count("Terminated child process") == 2


async def test_all_requests_in_flight_are_answered_when_the_server_is_told_to_end(
    fresh_world: World, tmp_path: Path
) -> None:
    with serving(fresh_world, tmp_path, "--workers", "2") as server:
        await asyncio.to_thread(until_up, server)
        (question,) = await answered(server.port, [post(PAGE, fresh_world.keys["read"])])
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(connected(server.port)) for _ in range(50)]
            # So that each is known to a worker, and not to the system alone.
            for connection in connections:
                assert await connection.ask(question.request) == question.expected
            clients = [asyncio.create_task(connection.ask(question.request)) for connection in connections]
            # Each has sent by now.
            await asyncio.sleep(0)
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.gather(*clients) == [question.expected] * 50
        assert await asyncio.to_thread(server.process.wait, 60) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_requests_that_nobody_has_read_yet_are_answered_when_the_server_is_told_to_end(
    fresh_world: World, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(serving(fresh_world, tmp_path))
        connections = [await stack.enter_async_context(connected(server.port)) for _ in range(50)]
        request = get(f"/leaks/{EXAMPLE_ID}", fresh_world.keys["read"])
        expected = [await connection.ask(request) for connection in connections]
        with halted([server.process.pid]):
            clients = [asyncio.create_task(connection.ask(request)) for connection in connections]
            await asyncio.sleep(0)
            server.process.send_signal(signal.SIGTERM)
        assert await asyncio.gather(*clients) == expected
        assert await asyncio.to_thread(server.process.wait, 60) == 0


async def test_requests_that_run_that_wait_and_that_are_held_are_answered_when_the_server_is_told_to_end(
    fresh_world: World, tmp_path: Path
) -> None:
    request = get(f"/leaks/{EXAMPLE_ID}", fresh_world.keys["read"])
    # Sixteen run, four wait for a turn, and the others are held where there is no room for them, and refused.
    settings = {"LEAKS_MAX_CONCURRENCY": "20", "LEAKS_QUEUE_MILLISECONDS": "1000"}
    settings["LEAKS_OPERATION_TIMEOUT_SECONDS"] = "60"
    async with AsyncExitStack() as stack:
        server = stack.enter_context(serving(fresh_world, tmp_path, **settings))
        connections = [await stack.enter_async_context(connected(server.port)) for _ in range(51)]
        expected, *_ = [await connection.ask(request) for connection in connections]
        await asyncio.to_thread(slow_down, fresh_world.url, SLOW_SECONDS)
        clients = [asyncio.create_task(connection.ask(request)) for connection in connections[1:]]
        await asyncio.sleep(0)
        # What was sent before is known to the server by the time that this is answered.
        assert (await connections[0].ask(get("/healthz", ""))).status == 200
        assert not any(client.done() for client in clients)
        server.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*clients)
        assert await asyncio.to_thread(server.process.wait, 60) == 0
    refused = [answer for answer in answers if answer != expected]
    assert 0 < len(refused) <= 50 - 20
    assert all(answer.status == 503 and b"\r\nretry-after: " in answer.head for answer in refused)
    assert all(b"\r\nconnection: close\r\n" in answer.head for answer in answers)
    assert "Traceback" not in server.log.read_text()
