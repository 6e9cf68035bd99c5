"""The port to the store: three kinds of batch read, and the protocol that answers them.

A read is a value. It names every parent at once, so the number of reads that an operation makes depends on its shape
and never on the number of rows. There is no read without a scope.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from schema.pages import Order, PageRequest
from schema.records import Kind, LeakStatus, RiskLevelName
from schema.scope import Scope


@dataclass(frozen=True, slots=True)
class Filter:
    """What a leak must be like: every part that is not None holds. An empty tuple matches nothing.

    Ranges of numbers include both ends; ranges of instants include the start (`since`) and not the end (`until`).
    """

    status: tuple[LeakStatus, ...] | None = None
    risk_level_name: tuple[RiskLevelName, ...] | None = None
    risk_level_min: int | None = None
    risk_level_max: int | None = None
    first_seen_since: str | None = None
    first_seen_until: str | None = None
    added_at_since: str | None = None
    added_at_until: str | None = None
    login: str | None = None
    resource: str | None = None
    identity: str | None = None
    filename: str | None = None
    url_contains: str | None = None


Parents: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Records of a kind by id. Answer: one record for each id, in the order asked, None where none is visible."""

    kind: Kind
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pages:
    """A page of connected records for each parent. Answer: one page for each parent, in the order asked.

    Attributes:
        kind: What the pages hold.
        via: What the parents are; None stands for the scope itself, which is then the one parent.
        parents: What the store knows the parents by: their ids, or the numbers of domains.
    """

    kind: Kind
    via: Kind | None
    parents: Parents
    page: PageRequest
    order: Order
    filter: Filter = Filter()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records `Pages` would find without a page's bounds. Answer: one number for each parent."""

    kind: Kind
    via: Kind | None
    parents: Parents
    filter: Filter = Filter()


Read: TypeAlias = Lookup | Pages | Counts
Answer: TypeAlias = Sequence[Any]
"""Records or None, pages, or numbers, as the read says."""


class Store(Protocol):
    """Answers batch reads within a scope."""

    async def read(self, scope: Scope, reads: Sequence[Read]) -> Sequence[Answer]:
        """One answer for each read, in order.

        Raises:
            Unavailable: the store does not answer just now.
        """
        ...
