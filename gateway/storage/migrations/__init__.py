"""The database's versions: which one it is at, and the way to the newest."""

import asyncio
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Select, column, select, table
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.storage.database import parse_url, sqlite_path
from gateway.storage.engine import DatabaseError, Engine, OtherTables, Program
from gateway.storage.roles import SERVING_ROLE
from gateway.storage.sqlite import APPLICATION_ID
from gateway.storage.statements import Command, Statement
from gateway.storage.write_lock import WriteLock
from schema.errors import Unavailable

SECONDS_TO_WAIT = 600.0
"""For another migration of the same SQLite file."""

_TRIES = 10

VERSION: Final[Select[Any]] = select(column("version_num")).select_from(table("alembic_version"))
"""The statement that tells which version a database is at."""

_HAS_VERSION = {
    "sqlite": "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'",
    "postgresql": "SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL",
}
"""The statements that tell whether a database was migrated before."""

_FOLDER = Path(__file__).parent
_CLAIMED = "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id"


def _configuration(url: URL | None = None) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(_FOLDER))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["url"] = url
    return configuration


@cache
def head() -> str:
    """The newest version."""
    return str(ScriptDirectory.from_config(_configuration()).get_current_head())


async def migrate(text: str, serving_role: str = SERVING_ROLE) -> None:
    """Bring the database at a URL to the newest version; a SQLite file that is not there is made.

    PostgreSQL's role that serves is made, or given its rights.

    Raises:
        DatabaseError: it cannot be opened, or is not ours.
    """
    url = parse_url(text)
    if url.get_backend_name() != "sqlite":
        await _upgrade(url, serving_role)
        return
    path = sqlite_path(url)
    _make(path)
    try:
        async with WriteLock(path, SECONDS_TO_WAIT).held():
            _claim(path)
            await _upgrade(url, serving_role)
    except Unavailable as error:
        raise DatabaseError(error.message) from error


async def _upgrade(url: URL, serving_role: str) -> None:
    configuration = _configuration(url)
    configuration.attributes["serving_role"] = serving_role
    for tries_left in reversed(range(_TRIES)):
        try:
            await asyncio.to_thread(command.upgrade, configuration, "head")
        except (SQLAlchemyError, OSError) as error:
            if not (_is_deadlock(error) and tries_left):
                raise DatabaseError(f"The database cannot be migrated: {str(error).splitlines()[0]}") from error
        else:
            return


def _is_deadlock(error: Exception) -> bool:
    """Whether PostgreSQL let others, who hold a table and wait for one of ours, go first."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == "40P01"


async def is_at_head(engine: Engine) -> bool:
    """Whether an open database is at the newest version.

    Raises:
        Unavailable: it does not answer just now.
        Damaged: that cannot be read any more.
    """
    try:
        versions = await engine.glance(_versions(engine.dialect))
    except OtherTables:
        return False
    return versions == [head()]


def _versions(dialect: Dialect) -> Program[list[str]]:
    (found,) = yield [Command(_HAS_VERSION[dialect.name])]
    (rows,) = (yield [Statement(VERSION, dialect).bind()]) if found else ((),)
    return [row[0] for row in rows]


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)  # logins lie in it: a new one is its owner's
    except OSError as error:
        raise DatabaseError(f"{path} cannot be opened as a database: {error}.") from error


def _claim(path: Path) -> None:
    """Mark a new SQLite file as ours, and refuse one that is not."""
    try:
        connection = sqlite3.connect(path, SECONDS_TO_WAIT)
        try:
            application_id, tables = connection.execute(_CLAIMED).fetchone()
            if application_id != APPLICATION_ID and tables:
                raise DatabaseError(f"{path} is a database of something else; it is left as it is.")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseError(f"{path} cannot be opened as a database: {error}.") from error
