"""The database's versions."""

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.storage.database import open_engine
from gateway.storage.engine import DatabaseError, Engine
from gateway.storage.keys import add_key, list_keys
from gateway.storage.migrations import is_at_head, migrate
from gateway.storage.organizations import add_organization
from gateway.storage.tables import metadata
from tests.records import LONG_AGO, UNKNOWN_ID


async def test_a_migrated_database_is_at_head(engine: Engine) -> None:
    assert await is_at_head(engine)


async def test_the_migrations_make_the_tables(database_url: str) -> None:
    url = make_url(database_url)
    driver = "sqlite+aiosqlite" if url.get_backend_name() == "sqlite" else "postgresql+asyncpg"
    engine = create_async_engine(url.set(drivername=driver))

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_migrating_twice_changes_nothing(database_url: str) -> None:
    await migrate(database_url)
    await migrate(database_url)


async def test_of_a_key_that_was_there_before_nobody_knows_when_it_was_used(database_url: str) -> None:
    async with open_engine(database_url) as engine:
        organization = await add_organization(engine, "Acme")
        kept: dict[str, Any] = {
            "name": "old",
            "hash_": "plainly-fake",
            "scopes": (),
            "domain_numbers": None,
            "expires_at": None,
        }
        await add_key(engine, organization, key_id=UNKNOWN_ID, created_at=LONG_AGO, **kept)
    configuration = Config()
    configuration.set_main_option("script_location", str(files("gateway.storage.migrations")))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["url"] = make_url(database_url)
    await asyncio.to_thread(command.downgrade, configuration, "0001")
    await migrate(database_url)
    async with open_engine(database_url) as engine:
        (key,) = await list_keys(engine)
    assert (key.id, key.last_used_at) == (UNKNOWN_ID, None)


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like something" * 100)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="cannot be opened"):
        await migrate(f"sqlite:///{path}")
    assert path.read_bytes() == before
