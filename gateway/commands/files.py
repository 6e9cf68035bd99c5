"""import, export: read an organization's leaks from files and write them to files."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.database import DatabaseOption, read_settings, run_on_database
from gateway.commands.interruption import interruptible
from gateway.commands.organizations import OrganizationOption
from gateway.commands.output import open_output
from gateway.commands.progress import progress
from gateway.commands.terminal import hint
from gateway.importing.exporter import export_leaks
from gateway.importing.files import STANDARD_INPUT, UnreadableFile, file_bytes, open_lines
from gateway.importing.importer import Summary, import_leaks
from gateway.storage.engine import Engine
from gateway.storage.organizations import find_organization
from schema.records import Organization


def import_(
    file: Annotated[list[str], typer.Argument(metavar="FILE…", help="JSON Lines; .gz is unpacked; - is stdin.")],
    organization: OrganizationOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line, and undo its batch.")] = False,
    create_domains: Annotated[bool, typer.Option("--create-domains", help="Add the domains that are unknown.")] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Import leaks from JSON Lines.

    A bad line is reported as FILE:LINE and passed over; the exit code is then 1. The same file twice changes nothing,
    and one that was interrupted may simply be run again.
    """
    settings = read_settings(database_url)
    _refuse_missing(file)

    async def take(engine: Engine, owner: Organization, name: str) -> Summary:
        def report_bad_line(number: int, reason: str) -> None:
            hint(f"{name}:{number}: {reason}")

        with progress(name, file_bytes(name)) as report, open_lines(name, report) as lines:
            return await import_leaks(
                engine,
                owner,
                interruptible(lines) if name == STANDARD_INPUT else lines,
                secret=settings.secrets.fingerprint,
                dry_run=dry_run,
                strict=strict,
                create_domains=create_domains,
                report_bad_line=report_bad_line,
            )

    async def work(engine: Engine) -> Summary:
        owner, total = await find_organization(engine, organization), Summary()
        for name in file:
            total = total.plus(await take(engine, owner, name))
            if total.stopped_at is not None:
                break
        return total

    total = run_on_database(settings, work)
    hint(f"new {total.new}, updated {total.updated}, unchanged {total.unchanged}, bad {total.bad}")
    if total.bad:
        sys.exit(1)


def _refuse_missing(names: list[str]) -> None:
    """Refuse all files if one is missing, before anything is written."""
    for name in names:
        if name != STANDARD_INPUT and not Path(name).exists():
            raise UnreadableFile(f"{name} cannot be read: No such file or directory.")


def export(
    organization: OrganizationOption,
    domain: Annotated[
        list[str] | None,
        typer.Option(metavar="D", help="Only this domain; may be repeated. Else all that are not archived."),
    ] = None,
    output: Annotated[str, typer.Option(metavar="FILE", help="Where to; .gz is packed; - is standard output.")] = "-",
    database_url: DatabaseOption = None,
) -> None:
    """Export leaks as JSON Lines.

    `import` takes them. Passwords are masked. A file is there whole, or not at all, and for its owner only.
    """

    async def work(engine: Engine) -> None:
        owner = await find_organization(engine, organization)
        with open_output(output) as file:
            async for lines in export_leaks(engine, owner, domain or None):
                file.write(lines)

    run_on_database(read_settings(database_url), work)
