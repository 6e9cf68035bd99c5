"""import, export: an organization's leaks from files and to them."""

import gzip
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, BinaryIO, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.commands.database import DatabaseOption, open_database, read_settings, wait_for
from gateway.commands.directory import OrganizationOption
from gateway.commands.tables import hint
from gateway.importing.exporter import export_leaks
from gateway.importing.files import STANDARD_INPUT, file_bytes, open_lines
from gateway.importing.importer import Summary, import_leaks
from gateway.storage.directory import find_organization


def import_(
    file: Annotated[list[str], typer.Argument(metavar="FILE…", help="JSON Lines; .gz is unpacked; - is stdin.")],
    organization: OrganizationOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line, and undo its batch.")] = False,
    create_domains: Annotated[bool, typer.Option("--create-domains", help="Add the domains that are unknown.")] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Import leaks. A bad line is reported and passed over; the exit code is then 1.

    The same file twice changes nothing, and one that was interrupted may simply be run again.
    """
    settings = read_settings(database_url)

    async def work() -> Summary:
        total = Summary()
        async with open_database(settings) as engine:
            owner = await find_organization(engine, organization)
            for name in file:
                with _progress(name) as report, open_lines(name, report) as lines:
                    summary = await import_leaks(
                        engine,
                        owner,
                        lines,
                        secret=settings.secrets.fingerprint,
                        dry_run=dry_run,
                        strict=strict,
                        create_domains=create_domains,
                        report_bad_line=lambda number, reason, name=name: hint(f"{name}:{number}: {reason}"),  # type: ignore[misc]
                    )
                total = _sum(total, summary)
                if summary.stopped_at is not None:
                    break
        return total

    total = wait_for(work())
    hint(f"new {total.new}, updated {total.updated}, unchanged {total.unchanged}, bad {total.bad}")
    if total.bad:
        sys.exit(1)


def export(
    organization: OrganizationOption,
    domain: Annotated[list[str] | None, typer.Option(help="Only this domain; may be repeated.")] = None,
    output: Annotated[str, typer.Option(metavar="FILE", help="Where to; .gz is packed; - is standard output.")] = "-",
    database_url: DatabaseOption = None,
) -> None:
    """Export leaks as JSON Lines that `import` takes; passwords are masked. A file is there whole, or not at all."""

    async def work() -> None:
        async with open_database(read_settings(database_url)) as engine:
            owner = await find_organization(engine, organization)
            with _output(output) as file:
                await _write(file, export_leaks(engine, owner, domain))

    wait_for(work())


async def _write(file: BinaryIO, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        file.write(chunk)


@contextmanager
def _output(name: str) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole."""
    if name == STANDARD_INPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    with NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}-", delete=False) as draft:
        try:
            if name.endswith(".gz"):
                with gzip.open(draft, "wb") as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield cast("BinaryIO", draft)
            draft.flush()
            os.fsync(draft.fileno())
            os.replace(draft.name, path)  # noqa: PTH105 - in one step, over what is there
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


@contextmanager
def _progress(name: str) -> "Iterator[Reporter]":
    """Tells how much of a file has been read: a bar on a terminal, a line now and then elsewhere."""
    size = file_bytes(name)
    if not sys.stderr.isatty():
        yield Reporter(name, size)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=size)
        yield Reporter(name, size, lambda position: bar.update(task, completed=position))


_LINE_EVERY_BYTES = 100_000_000


class Reporter:
    """Takes how many bytes of a file have been read."""

    def __init__(self, name: str, size: int | None, show: Callable[[int], None] | None = None) -> None:
        self._name = name
        self._size = size
        self._show = show or self._tell
        self._told = 0

    def __call__(self, position: int) -> None:
        """Show how far it is."""
        self._show(position)

    def _tell(self, position: int) -> None:
        if position - self._told >= _LINE_EVERY_BYTES:
            self._told = position
            of = "" if self._size is None else f" of {self._size}"
            hint(f"{self._name}: {position}{of} bytes read")


def _sum(total: Summary, one: Summary) -> Summary:
    return Summary(
        total.new + one.new, total.updated + one.updated, total.unchanged + one.unchanged, total.bad + one.bad
    )
