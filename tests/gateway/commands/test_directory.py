"""organizations, domains and keys, from the command line."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from gateway.commands.times import parse_expiry, parse_overlap
from gateway.keys import PATTERN
from tests.gateway.commands.conftest import Run

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_key_is_printed_once_and_alone(ready: Run, tmp_path: Path) -> None:
    done = ready("keys", "create", "-o", "Acme", "--name", "dashboard", "--expires", "90d")
    assert done.returncode == 0
    assert PATTERN.fullmatch(done.stdout.strip())
    assert done.stdout.count("\n") == 1
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data" / "leaks-gateway").iterdir())
    assert done.stdout.strip().encode() not in stored
    listed = ready("keys", "list").stdout.strip().split("\t")
    assert listed[1:5] == ["Acme", "dashboard", "leaks:read", "all"]


def test_a_key_can_be_revoked_by_its_id(ready: Run) -> None:
    ready("keys", "create", "-o", "Acme", "--domain", "acme.example", "--scope", "leaks:write")
    key_id, *_, domains, _, _, _, revoked = ready("keys", "list", "-o", "Acme").stdout.strip().split("\t")
    assert (domains, revoked) == ("1", "-")
    assert ready("keys", "revoke", key_id).returncode == 0
    assert ready("keys", "list").stdout.strip().split("\t")[-1] != "-"


def test_a_key_is_rotated(ready: Run) -> None:
    created = ready("keys", "create", "-o", "Acme", "--name", "dashboard", "--domain", "acme.example").stdout
    (old,) = _listed(ready)
    done = ready("keys", "rotate", old["id"], "--overlap", "7d", "--expires", "2998-01-01T00:00:00Z")
    assert done.returncode == 0
    assert PATTERN.fullmatch(done.stdout.strip())
    assert done.stdout not in ("", created)
    assert done.stdout.count("\n") == 1
    ending, successor = _listed(ready)
    assert ending == old | {"expires": ending["expires"]}
    in_a_week = datetime.now(UTC) + timedelta(days=7)
    assert abs(datetime.fromisoformat(ending["expires"]) - in_a_week) < timedelta(minutes=5)
    assert successor["expires"] == "2998-01-01T00:00:00.000Z"
    same = ("organization", "name", "scopes", "domains", "last used", "revoked")
    assert {column: successor[column] for column in same} == {column: old[column] for column in same}
    for said in (f"It expires: {successor['expires']}.", f"The one that it succeeds: {ending['expires']}."):
        assert said in done.stderr


def test_a_successor_lasts_as_long_as_the_old_key_was_made_for(ready: Run) -> None:
    ready("keys", "create", "-o", "Acme", "--expires", "90d")
    (old,) = _listed(ready)
    ready("keys", "rotate", old["id"])
    _, successor = _listed(ready)
    assert successor["created"] > old["created"]
    lasts = [
        datetime.fromisoformat(key["expires"]) - datetime.fromisoformat(key["created"]) for key in (old, successor)
    ]
    assert abs(lasts[1] - lasts[0]) < timedelta(seconds=1)


def test_a_key_that_never_expires_has_a_successor_that_never_does(ready: Run) -> None:
    ready("keys", "create", "-o", "Acme")
    (old,) = _listed(ready)
    assert "It expires: never." in ready("keys", "rotate", old["id"], "--overlap", "0h").stderr
    ended, successor = _listed(ready)
    assert ended["expires"] == successor["created"]
    assert successor["expires"] == "-"


def test_a_key_that_is_revoked_or_expired_is_not_rotated(ready: Run) -> None:
    for _ in range(2):
        ready("keys", "create", "-o", "Acme")
    first, second = _listed(ready)
    ready("keys", "revoke", first["id"])
    ready("keys", "rotate", second["id"], "--overlap", "0h")
    before = _listed(ready)
    for key in (first, second):
        done = ready("keys", "rotate", key["id"])
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f'error: The key "{key["id"]}" is revoked or expired')
        assert done.stderr.count("\n") == 1
    assert _listed(ready) == before


def _listed(run: Run) -> list[dict[str, str]]:
    columns = ("id", "organization", "name", "scopes", "domains", "created", "last used", "expires", "revoked")
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in run("keys", "list").stdout.splitlines()]


def test_a_domain_is_archived_and_restored(ready: Run) -> None:
    assert ready("domains", "archive", "ACME.example", "-o", "Acme").returncode == 0
    assert not ready("domains", "list", "-o", "Acme").stdout.strip().endswith("\t-")
    assert ready("domains", "restore", "acme.example", "-o", "Acme").returncode == 0
    assert ready("domains", "list", "-o", "Acme").stdout.strip().endswith("\t-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("organizations", "add", "Acme"), 'There is an organization "Acme" already.'),
        (("keys", "create", "-o", "Nobody"), 'There is no organization "Nobody". See: organizations list.'),
        (("keys", "create", "-o", "Acme", "--domain", "x"), 'Acme has no domain "x". See: domains list.'),
        (("keys", "revoke", "x"), 'There is no key "x". See: keys list.'),
        (("keys", "rotate", "x"), 'There is no key "x". See: keys list.'),
        (("organizations", "list", "--database-url", "mysql://secret@x/y"), "The database URL cannot be read."),
    ],
)
def test_an_error_is_one_line(ready: Run, arguments: tuple[str, ...], message: str) -> None:
    done = ready(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_a_database_that_is_not_there_yet_is_refused_and_not_made(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "leaks.db"
    expected = f"error: There is no database at {path} yet. Run: python -m gateway migrate\n"
    assert run("organizations", "list", LEAKS_DATABASE_URL=f"sqlite:///{path}").stderr == expected
    assert not path.exists()
    path.touch()
    assert run("serve", "--database-url", f"sqlite:///{path}").stderr == expected


def test_a_command_says_how_to_migrate(run: Run, tmp_path: Path) -> None:
    run("migrate")
    with sqlite3.connect(tmp_path / "data" / "leaks-gateway" / "leaks.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()
    for command in (("organizations", "list"), ("serve", "--port", "0")):
        done = run(*command)
        assert done.returncode == 1
        assert done.stderr == "error: The database is not at the newest version. Run: python -m gateway migrate\n"


def test_a_file_of_something_else_is_left_as_it_is(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    connection.close()
    before = path.read_bytes()
    for command in ("migrate", "serve"):
        done = run(command, "--database-url", f"sqlite:///{path}")
        assert done.returncode == 1
        assert done.stderr.endswith("is a database of something else; it is left as it is.\n")
    assert path.read_bytes() == before


def test_a_wrong_use_is_told_from_an_error(run: Run) -> None:
    assert run("nonsense").returncode == 2
    assert run("keys", "create").returncode == 2
    assert run("serve", "--port", "x").returncode == 2


def test_a_setting_that_cannot_be_read_is_named(run: Run) -> None:
    done = run("migrate", LEAKS_PORT="many")
    assert done.stderr == "error: Invalid LEAKS_PORT. Valid: a whole number from 0 to 65535.\n"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("12h", "2026-01-02T00:00:00.000Z"),
        ("90d", "2026-04-01T12:00:00.000Z"),
        ("2w", "2026-01-15T12:00:00.000Z"),
        ("2026-02-01T00:00:00+01:00", "2026-01-31T23:00:00.000Z"),
    ],
)
def test_an_expiry_is_a_span_or_an_instant(text: str, instant: str) -> None:
    assert parse_expiry(text, NOON) == instant


@pytest.mark.parametrize("text", ["", "5", "5m", "-1d", "99999w99", "0d", "2025-12-31T00:00:00Z", "tomorrow"])
def test_an_expiry_that_is_neither_or_past_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_expiry(text, NOON)


def test_an_overlap_is_a_span() -> None:
    assert parse_overlap("0h", NOON) == "2026-01-01T12:00:00.000Z"
    assert parse_overlap("2w", NOON) == "2026-01-15T12:00:00.000Z"


@pytest.mark.parametrize("text", ["", "5", "5m", "-1d", "99999w99", "2999-01-01T00:00:00Z"])
def test_an_overlap_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--overlap"):
        parse_overlap(text, NOON)
