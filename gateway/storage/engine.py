"""The protocol of both engines: they run programs of statements, and open transactions that write."""

from collections.abc import Generator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.statements import Command
from schema.errors import Unavailable

T = TypeVar("T")
Rows: TypeAlias = Sequence[Sequence[Any]]

Program: TypeAlias = Generator[Sequence[Command], Sequence[Rows], T]
"""A generator that yields the statements of one step, is sent their rows, and returns its result.

A step without statements is a pause: the program has worked for long, and others may go first.

It knows nothing of connections and awaits nothing, so each engine runs it where that is cheapest.
"""


class DatabaseError(Exception):
    """The database cannot be used as it is; the message is one line for a person."""


class Damaged(DatabaseError):
    """The database is corrupt."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The database is damaged: {reason}. Run: python -m gateway check")


class OtherTables(Unavailable):
    """The tables are not those that this program reads: a migration is at work, or their owner took the right away."""


class Transaction(Protocol):
    """An open transaction."""

    async def run(self, program: Program[T]) -> T:
        """Run a program within the transaction."""
        ...


class Engine(Protocol):
    """A database, opened by `open`.

    Attributes:
        dialect: The SQL that it takes.
        is_damaged: Whether a statement has found it damaged since it was opened.
    """

    dialect: Dialect
    is_damaged: bool

    async def open(self) -> None:
        """Open the connections.

        Raises:
            DatabaseError: the database cannot be used; the message says why.
        """
        ...

    async def run(self, program: Program[T]) -> T:
        """Run a program that reads.

        Raises:
            Unavailable: the database does not answer.
            Damaged: what it reads is corrupt.
        """
        ...

    async def glance(self, program: Program[T]) -> T:
        """Run a program that reads little, without waiting for what operations read.

        Raises:
            Unavailable: the database does not answer.
            Damaged: what it reads is corrupt.
        """
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction that writes; it is committed at the end, or rolled back if an error ends it.

        Raises:
            Unavailable: the database does not answer, or cannot be written to.
            Damaged: it is corrupt, so it is not written to.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


def fetch(*commands: Command) -> Program[Sequence[Rows]]:
    """A program of one step: the rows of each command."""
    return (yield commands)
