"""check: find damage and inconsistencies in the database."""

import sys

import typer

from gateway.commands.database import DatabaseOption, read_settings
from gateway.commands.interruption import wait_for
from gateway.commands.terminal import hint
from gateway.storage.checks import find_troubles
from gateway.storage.database import open_engine


def check(database_url: DatabaseOption = None) -> None:
    """Check that the database is whole.

    It reads all of it, which takes its time, and writes nothing. What is wrong is printed, a line each; the exit code
    is then 1.
    """
    settings = read_settings(database_url)

    async def work() -> list[str]:
        async with open_engine(settings.database_url) as engine:
            return await find_troubles(engine)

    troubles = wait_for(work())
    for trouble in troubles:
        typer.echo(trouble)
    if troubles:
        sys.exit(1)
    hint(f"{settings.shown_database_url} is whole.")
