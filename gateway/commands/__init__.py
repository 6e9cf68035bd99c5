"""The command line; every expected error is one line on stderr."""

import sys

import typer

from gateway.commands import interruption
from gateway.commands.backup import backup
from gateway.commands.check import check
from gateway.commands.demo import demo
from gateway.commands.domains import domains
from gateway.commands.examples import examples
from gateway.commands.files import export, import_
from gateway.commands.keys import keys
from gateway.commands.migration import migrate
from gateway.commands.organizations import organizations
from gateway.commands.schema import schema
from gateway.commands.serving import serve
from gateway.importing.files import UnreadableFile
from gateway.settings import SettingsError
from gateway.storage.engine import DatabaseError
from schema.errors import GatewayError

EXPECTED = (GatewayError, DatabaseError, SettingsError, UnreadableFile, OSError)

app = typer.Typer(
    name="python -m gateway",
    help="""Serve an organization's own exposed credentials over GraphQL and REST.

    To look around, run demo. With records of your own, run what stands below in this order.

    Exit codes: 0 done, 1 an error, told in one line; 2 a wrong use; 130 interrupted.
    """,
    epilog=examples(
        "demo",
        "migrate",
        'organizations add "Example Corp"',
        'import leaks.jsonl.gz --organization "Example Corp" --create-domains',
        'keys create --organization "Example Corp" --expires 90d',
        "serve --workers 2",
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(epilog=examples("demo", "demo --leaks 1000000 --port 8080"))(demo)
app.command(epilog=examples("serve", "serve --host 0.0.0.0 --port 8080 --workers 4"))(serve)
app.command(epilog=examples("migrate", "migrate --database-url sqlite:///leaks.db"))(migrate)
app.add_typer(organizations, name="organizations")
app.add_typer(domains, name="domains")
app.add_typer(keys, name="keys")
app.command(
    "import",
    epilog=examples(
        'import leaks.jsonl more.jsonl.gz --organization "Example Corp" --create-domains',
        'import leaks.jsonl -o "Example Corp" --dry-run',
        'import - -o "Example Corp" --strict < leaks.jsonl',
    ),
)(import_)
app.command(
    epilog=examples(
        'export --organization "Example Corp" --output leaks.jsonl.gz',
        'export -o "Example Corp" --domain example.com | jq .login',
    )
)(export)
app.command(epilog=examples("check"))(check)
app.command(epilog=examples("backup leaks-backup.db"))(backup)
app.command(epilog=examples("schema", "schema --check"))(schema)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 on success, 1 on an error, 2 on incorrect usage, 130 when interrupted."""
    try:
        app(arguments)
    except interruption.Interrupted:
        sys.exit(_tell(interruption.MESSAGE, interruption.CODE))
    except EXPECTED as error:
        sys.exit(_tell(f"error: {_one_line(error)}\n", 1))


def _tell(message: str, code: int) -> int:
    sys.stderr.write(message)
    return code


def _one_line(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    place = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
    return " ".join(f"{text}{place}".split())
