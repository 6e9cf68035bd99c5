"""A database that does not hold together any more: what is told, and that nothing makes it worse."""

import sqlite3
from pathlib import Path

import asyncpg
import pytest

from gateway.app import create_app
from gateway.storage.backup import back_up
from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine
from gateway.storage.engine import Damaged, DatabaseError
from gateway.storage.migrations import is_at_head
from tests.faults.conftest import path_of
from tests.gateway.commands.conftest import Run
from tests.records import EXAMPLE_ID, World
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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_server_that_meets_damage_is_no_longer_ready_and_leaves_the_file_as_it_is(fresh_world: World) -> None:
    path = path_of(fresh_world.url)
    damage(path, "leaks")
    before = path.read_bytes()
    async with running(create_app(fresh_world.settings)) as client:
        gateway = Gateway(client, fresh_world)
        assert (await gateway.get("/readyz")).status_code == 200
        response = await gateway.respond("{ leaks { nodes { url } } }")
        assert response.json()["errors"][0]["message"] == "An internal error occurred."
        ready = await gateway.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["detail"] == "The database is damaged. Run: python -m gateway check"
        # What does not touch the damage is answered as before.
        assert (await gateway.ask("{ viewer { name } }"))["viewer"] == {"name": "read"}
    assert path.read_bytes() == before


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
    assert not (tmp_path / "backup.db").exists()
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
