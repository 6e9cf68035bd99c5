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
from sqlalchemy import URL, Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine
from gateway.storage.engine import DatabaseError, Engine, fetch
from gateway.storage.keys import add_key, list_keys
from gateway.storage.migrations import is_at_head, migrate
from gateway.storage.organizations import add_organization
from gateway.storage.reads import Statements
from gateway.storage.statements import Command
from gateway.storage.tables import metadata
from schema.pages import Order, PageRequest
from schema.records import Kind
from schema.scope import Scope
from schema.store import Pages
from tests.gateway.storage.costs import looked_at
from tests.records import LONG_AGO, UNKNOWN_ID, World


async def test_a_migrated_database_is_at_head(engine: Engine) -> None:
    assert await is_at_head(engine)


async def test_a_database_that_was_never_migrated_is_not_and_the_log_is_silent(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.transaction() as transaction:
        await transaction.run(fetch(Command("DROP TABLE alembic_version")))
    assert not await is_at_head(engine)
    assert caplog.messages == []


async def test_the_migrations_make_the_tables(database_url: str) -> None:
    engine = create_async_engine(_with_driver(database_url))

    def differences(connection: Connection) -> list[object]:
        options = {"include_object": lambda _object, _name, type_, *_: type_ != "index"}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_the_migrations_make_the_indexes(database_url: str) -> None:
    engine = create_async_engine(_with_driver(database_url))
    listed = (
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index'"
        if engine.dialect.name == "sqlite"
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )

    def indexes(connection: Connection) -> dict[str, str]:
        found = connection.exec_driver_sql(listed).all()
        return {name: " ".join(sql.split()) for name, sql in found if name.startswith("ix_")}

    async with engine.begin() as connection:
        migrated = await connection.run_sync(indexes)
        ours = [index for table in metadata.tables.values() for index in table.indexes]
        for index in ours:
            await connection.run_sync(index.drop)
        assert await connection.run_sync(indexes) == {}
        for index in ours:
            await connection.run_sync(index.create)
        assert await connection.run_sync(indexes) == migrated != {}
    await engine.dispose()


def _with_driver(database_url: str) -> URL:
    url = make_url(database_url)
    return url.set(drivername="sqlite+aiosqlite" if url.get_backend_name() == "sqlite" else "postgresql+asyncpg")


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
    await go_back(database_url, "0001")
    await migrate(database_url)
    async with open_engine(database_url) as engine:
        (key,) = await list_keys(engine)
    assert (key.id, key.last_used_at) == (UNKNOWN_ID, None)


async def test_of_endpoints_that_were_there_before_each_domain_has_the_organizations_date(fresh_world: World) -> None:
    linked = """SELECT DISTINCT link.organization_number, link.node_id, link.domain_number
        FROM leak_endpoints link JOIN endpoints node
        ON node.organization_number = link.organization_number AND node.id = link.node_id"""
    is_dated = "EXISTS (SELECT 1 FROM endpoint_dates dated WHERE dated.node_id = node.id)"
    agree = """SELECT dated.organization_number, dated.node_id, dated.domain_number FROM endpoint_dates dated
        JOIN endpoints node ON node.organization_number = dated.organization_number AND node.id = dated.node_id
        AND node.date = dated.date"""
    async with open_engine(fresh_world.url) as engine:
        before = [await rows_of(engine, sql) for sql in (f"{linked} WHERE {is_dated}", agree)]
    assert before[0] > before[1]
    await go_back(fresh_world.url, "0004")
    await migrate(fresh_world.url)
    async with open_engine(fresh_world.url) as engine:
        dated = await rows_of(engine, "SELECT organization_number, node_id, domain_number FROM endpoint_dates")
        assert dated == await rows_of(engine, agree) == before[0]
        assert await find_troubles(engine) == []


async def test_lists_are_found_as_well_once_their_indexes_are_new(fresh_world: World) -> None:
    costs = [await _cost_of_a_page(fresh_world.url)]
    await go_back(fresh_world.url, "0006")
    await migrate(fresh_world.url)
    costs.append(await _cost_of_a_page(fresh_world.url))
    assert costs[1] <= costs[0] * 1.2


async def _cost_of_a_page(url: str) -> int:
    async with open_engine(url) as engine:
        ((number,),) = await rows_of(engine, "SELECT min(number) FROM organizations")
        page = Pages(Kind.LEAK, None, (0,), PageRequest(5), Order("added_at", descending=True))
        scope = Scope(number, tuple(range(50)), restricted=False)
        return await looked_at(engine, url, Statements(engine.dialect).command(scope, page))


async def go_back(url: str, version: str) -> None:
    """Take versions back."""
    configuration = Config()
    configuration.set_main_option("script_location", str(files("gateway.storage.migrations")))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["url"] = make_url(url)
    await asyncio.to_thread(command.downgrade, configuration, version)


async def rows_of(engine: Engine, sql: str) -> set[tuple[Any, ...]]:
    """What a statement finds."""
    (found,) = await engine.run(fetch(Command(sql)))
    return {tuple(row) for row in found}


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like something" * 100)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="cannot be opened"):
        await migrate(f"sqlite:///{path}")
    assert path.read_bytes() == before
