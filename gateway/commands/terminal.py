"""The output of commands: lists on standard output, hints on standard error."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows to standard output: a table on a terminal, otherwise tab-separated lines; None is printed as `-`."""
    texts = [["-" if value is None else str(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(row) + "\n" for row in texts)
        return
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in texts:
        # As text: a name may look like markup.
        table.add_row(*map(Text, row))
    Console().print(table)


def hint(message: str) -> None:
    """Print a message for the user to standard error."""
    sys.stderr.write(message + "\n")
