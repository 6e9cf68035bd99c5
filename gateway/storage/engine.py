"""What both engines can do: run a program of statements, and open a transaction to write."""

from collections.abc import Generator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.statements import Command
from schema.errors import Unavailable

T = TypeVar("T")
Rows: TypeAlias = Sequence[Sequence[Any]]

Program: TypeAlias = Generator[Sequence[Command], Sequence[Rows], T]
"""Yields the statements of one step, is sent their rows, and returns what it made of them.

A step without statements is a pause: the program has worked for long, and others may go first.

It knows nothing of connections or waiting, so each engine runs it where that is cheapest.
"""


class DatabaseError(Exception):
    """The database cannot be used as it is; the message is one line for a person."""


class Damaged(DatabaseError):
    """The database does not hold together any more."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The database is damaged: {reason}. Run: python -m gateway check")


class OtherTables(Unavailable):
    """The tables are not those that this program reads: a migration is at work, or their owner took the right away."""


class Transaction(Protocol):
    """A transaction that is open."""

    async def run(self, program: Program[T]) -> T:
        """Run a program within the transaction."""
        ...


class Engine(Protocol):
    """A database that is open.

    Attributes:
        dialect: How SQL is written for it.
        is_damaged: Whether a statement has met damage since it was opened.
    """

    dialect: Dialect
    is_damaged: bool

    async def open(self) -> None:
        """Open the connections.

        Raises:
            DatabaseError: the database cannot be used as it is.
        """
        ...

    async def run(self, program: Program[T]) -> T:
        """Run a program that reads.

        Raises:
            Unavailable: the database does not answer just now.
            Damaged: what it reads does not hold together.
        """
        ...

    async def glance(self, program: Program[T]) -> T:
        """Run a program that reads little, and waits for nothing that operations read.

        Raises:
            Unavailable: the database does not answer just now.
            Damaged: what it reads does not hold together.
        """
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction that writes; it is committed at the end, or rolled back where an error ends it.

        Raises:
            Unavailable: the database does not answer just now.
            Damaged: it does not hold together, so it is not written to.
        """
        ...

    async def close(self) -> None:
        """Give every connection back."""
        ...


def fetch(*commands: Command) -> Program[Sequence[Rows]]:
    """A program of one step: the rows of each command."""
    return (yield commands)
