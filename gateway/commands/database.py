"""The database that a command works on."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import typer

from gateway.settings import Settings
from gateway.storage.database import open_engine
from gateway.storage.engine import DatabaseError, Engine
from gateway.storage.migrations import is_at_head

T = TypeVar("T")

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="sqlite:///PATH or postgresql://…; else LEAKS_DATABASE_URL, else a file in your data directory.",
    ),
]


def read_settings(database_url: str | None = None) -> Settings:
    """The settings of the environment, with the options that were given.

    Raises:
        SettingsError: one of them cannot be read.
    """
    settings = Settings.from_environment(os.environ)
    return settings if database_url is None else replace(settings, database_url=database_url)


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Engine]:
    """The database, open and at the newest version.

    Raises:
        DatabaseError: it is not; the message says which command to run.
    """
    async with open_engine(settings.database_url) as engine:
        if not await is_at_head(engine):
            raise DatabaseError("The database is not at the newest version. Run: python -m gateway migrate")
        yield engine


class Interrupted(Exception):
    """The person at the keyboard ended the command; what was half done has been taken back."""


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run what a command does to its end.

    Raises:
        Interrupted: it was ended before.
    """
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise Interrupted from None
