"""Requests that wait for room, or for their turns, at a real server."""

import asyncio
import logging
import re
from contextlib import AsyncExitStack
from dataclasses import replace

import httpx
import orjson
import pytest
from psutil import Process

from gateway.admission import ABREAST, SPARED, Admission, Turns
from gateway.app import create_app
from gateway.gate import Held, Queue
from tests.gateway.busy import GRAPHQL, LATE, LONG, REST, Busy, StoppedEngine, answer, ask, busy, crowded, line_of
from tests.gateway.test_access import Lines, lines
from tests.gateway.test_deadlines import connected
from tests.gateway.test_gate import until
from tests.records import World
from tests.serving import ORIGIN, served

__all__ = ["lines"]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[Held]:
    """The requests that have come to wait."""
    requests: list[Held] = []
    wait = Held.wait

    def note(request: Held, queue: Queue, seconds: float) -> None:
        wait(request, queue, seconds)
        requests.append(request)

    monkeypatch.setattr(Held, "wait", note)
    return requests


async def test_whoever_waits_is_answered_once_there_is_room(sqlite_world: World, held: list[Held]) -> None:
    async with busy(sqlite_world, "read", queue_milliseconds=LONG) as server, connected(server.address) as connection:
        reader, writer = connection
        writer.write(server.get() + server.post("explain"))
        await until(lambda: bool(held))
        server.engine.going.set()
        assert [(await answer(reader))[0] for _ in range(2)] == [200, 200]


async def test_a_request_that_waits_for_its_turn_is_answered_and_its_line_tells_how_long_that_took(
    sqlite_world: World, lines: Lines, held: list[Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.2

    async def wait(*_: object) -> Turns:
        raise AssertionError("It has its turn when it gets its task.")

    monkeypatch.setattr(Admission, "wait", wait)
    async with crowded(sqlite_world) as server, connected(server.address) as connection:
        reader, writer = connection
        writer.write(server.get(more=b"X-Request-ID: patient\r\n") + server.post())
        await until(lambda: bool(held))
        await asyncio.sleep(seconds)
        assert server.engine.reading == server.asked
        server.engine.going.set()
        assert [(await answer(reader))[0] for _ in range(2)] == [200, 200]
        milliseconds = re.search(r" 200 ([\d.]+) ms", await line_of(lines, "patient"))
        assert milliseconds is not None
        assert float(milliseconds[1]) >= seconds * 500


@pytest.mark.parametrize("has_room", [True, False], ids=["for-its-turn", "for-room"])
async def test_a_client_that_goes_away_while_it_waits_is_forgotten(
    sqlite_world: World, held: list[Held], caplog: pytest.LogCaptureFixture, *, has_room: bool
) -> None:
    waiting = crowded(sqlite_world) if has_room else busy(sqlite_world, "read", queue_milliseconds=LONG)
    async with waiting as server:
        before = len(Process().net_connections())
        async with connected(server.address) as (_, writer):
            writer.write(server.get())
            await until(lambda: bool(held))
        # The server has noticed that it is gone.
        await until(lambda: len(Process().net_connections()) <= before)
        server.engine.going.set()
        async with connected(server.address) as connection:
            assert (await ask(connection, server.get()))[0] == 200
        # Whoever was away was not read for.
        await until(lambda: server.engine.reading == server.asked + 1)
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


@pytest.mark.parametrize(("door", "origins"), [("rest", ()), ("graphql", ()), ("rest", (ORIGIN,))])
async def test_whoever_has_no_answer_when_the_time_to_end_is_over_is_told_to_try_again(
    sqlite_world: World, caplog: pytest.LogCaptureFixture, door: str, origins: tuple[str, ...]
) -> None:
    turns = ABREAST - ABREAST // SPARED
    settings = replace(sqlite_world.settings, max_concurrency=100, max_concurrency_per_key=100, cors_origins=origins)
    engine = StoppedEngine(sqlite_world)
    async with AsyncExitStack() as stack:
        with served(create_app(settings, engine=engine), settings) as address:
            async with httpx.AsyncClient(base_url=address, timeout=LATE) as client:
                server = Busy(client, address, sqlite_world, engine)
                await server.know("read")
            connections = [await stack.enter_async_context(connected(address)) for _ in range(3 * turns)]
            for _, writer in connections:
                # The second one is behind the first.
                writer.write((server.get() if door == "rest" else server.post()) + server.get())
            await until(lambda: engine.reading == turns)
        answers = [await answer(reader) for reader, _ in connections]
    expected = REST if door == "rest" else GRAPHQL
    assert [(status, orjson.loads(body)) for status, _, body in answers] == [(503, expected)] * len(connections)
    assert {headers["retry-after"] for _, headers, _ in answers} == {"1"}
    assert [headers.get("connection") for _, headers, _ in answers].count("close") >= turns, "those that were cut off"
    assert engine.reading == turns, "nobody began as the store was closed"
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_client_that_waits_to_be_told_to_go_on_waits_for_one_turn(sqlite_world: World) -> None:
    async with crowded(sqlite_world) as server, connected(server.address) as (reader, writer):
        head, _, body = server.post(more=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        async with asyncio.timeout(LATE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        await asyncio.sleep(0.05)
        server.engine.going.set()
        assert (await answer(reader))[0] == 200
