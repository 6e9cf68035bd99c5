"""What the command line can do; every expected error is one line on stderr."""

import sys

import typer

from gateway.commands.database import Interrupted
from gateway.commands.directory import domains, keys, organizations
from gateway.commands.files import export, import_
from gateway.commands.schema import schema
from gateway.commands.serving import demo, migrate, serve
from gateway.importing.files import UnreadableFile
from gateway.settings import SettingsError
from gateway.storage.engine import DatabaseError
from schema.errors import GatewayError

INTERRUPTED = 130

EXPECTED = (GatewayError, DatabaseError, SettingsError, UnreadableFile, OSError)

app = typer.Typer(
    name="python -m gateway",
    help="""Serve an organization's own exposed credentials over GraphQL and REST.

    To look around:    python -m gateway demo

    For production:    migrate, organizations add, keys create, import, serve
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(demo)
app.command()(serve)
app.command()(migrate)
app.add_typer(organizations, name="organizations")
app.add_typer(domains, name="domains")
app.add_typer(keys, name="keys")
app.command("import")(import_)
app.command()(export)
app.command()(schema)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 an error, 2 a wrong use, 130 interrupted."""
    try:
        app(arguments)
    except Interrupted:
        sys.exit(_tell("interrupted", INTERRUPTED))
    except EXPECTED as error:
        sys.exit(_tell(f"error: {_one_line(error)}", 1))


def _tell(message: str, code: int) -> int:
    sys.stderr.write(message + "\n")
    return code


def _one_line(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    place = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
    return " ".join(f"{text}{place}".split())
