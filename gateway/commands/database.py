"""The database that a command works on."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, TypeVar

import typer

from gateway.commands.interruption import wait_for
from gateway.settings import Settings
from gateway.storage.database import open_engine, parse_url, sqlite_path
from gateway.storage.engine import DatabaseError, Engine
from gateway.storage.migrations import is_at_head

T = TypeVar("T")

_MIGRATE = "Run: python -m gateway migrate"

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="sqlite:///PATH or postgresql://…; else LEAKS_DATABASE_URL, else a file in your data directory.",
    ),
]


def read_settings(database_url: str | None = None) -> Settings:
    """The settings from the environment, overridden by the given options.

    Raises:
        SettingsError: a setting is invalid.
    """
    settings = Settings.from_environment(os.environ)
    return settings if database_url is None else replace(settings, database_url=database_url)


@asynccontextmanager
async def open_database(settings: Settings, *, serving: bool = False) -> AsyncIterator[Engine]:
    """Open the database at the newest version, for administration or for serving.

    Raises:
        DatabaseError: it cannot be opened, or is not at that version; the message says which command to run.
    """
    refuse_unmade(settings)
    async with open_engine(settings.database_url, settings.serving_role if serving else None) as engine:
        if not await is_at_head(engine):
            raise DatabaseError(f"The database is not at the newest version. {_MIGRATE}")
        yield engine


def run_on_database(settings: Settings, work: Callable[[Engine], Awaitable[T]]) -> T:
    """Open the database for administration, run the work of a command on it, and close it.

    Raises:
        DatabaseError: it cannot be opened; the message says which command to run.
        Interrupted: Ctrl-C ended the command.
    """

    async def run() -> T:
        async with open_database(settings) as engine:
            return await work(engine)

    return wait_for(run())


def refuse_unmade(settings: Settings) -> None:
    """Refuse a SQLite file that is missing or empty.

    Raises:
        DatabaseError: it is; the message says which command to run.
    """
    url = parse_url(settings.database_url)
    if url.get_backend_name() != "sqlite":
        return
    path = sqlite_path(url)
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        raise DatabaseError(f"There is no database at {path} yet. {_MIGRATE}")
