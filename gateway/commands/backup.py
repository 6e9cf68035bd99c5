"""backup: a copy of the database, while it is in use."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.database import DatabaseOption, read_settings, refuse_unmade
from gateway.commands.terminal import hint
from gateway.storage.backup import back_up
from gateway.storage.database import parse_url, sqlite_path
from schema.errors import BadUserInput


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not be there yet.")],
    database_url: DatabaseOption = None,
) -> None:
    """Copy a SQLite database as of this moment, while others read and write it.

    The copy is whole or not there. To restore it, stop the server and put the file in the database's place. PostgreSQL
    has a tool of its own: pg_dump.
    """
    settings = read_settings(database_url)
    url = parse_url(settings.database_url)
    if url.get_backend_name() != "sqlite":
        raise BadUserInput("PostgreSQL is backed up by pg_dump, and restored by pg_restore.")
    refuse_unmade(settings)
    back_up(sqlite_path(url), file)
    hint(f"{file} is a copy of {settings.shown_database_url}. Keep the secret with it.")
