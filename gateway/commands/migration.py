"""migrate: bring a database to the newest version."""

from gateway.commands.database import DatabaseOption, read_settings
from gateway.commands.interruption import wait_for
from gateway.commands.terminal import hint
from gateway.storage import migrations


def migrate(database_url: DatabaseOption = None) -> None:
    """Bring the database to the newest version.

    A SQLite file that is not there is made; one of something else is left as it is.
    """
    settings = read_settings(database_url)
    wait_for(migrations.migrate(settings.database_url, settings.serving_role))
    hint(f"{settings.shown_database_url} is at the newest version.")
