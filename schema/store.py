"""The port to the store: the kinds of batch read, and the protocol that answers them.

A read is a value. It names every parent at once, so the number of reads that an operation makes depends on its shape
and never on the number of rows. There is no read without a scope.

A read that selects nothing is answered with records. One that selects columns is answered with rows of these columns,
and one that selects a JSON object with its text, written by the store.
"""

from collections.abc import Awaitable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from schema.pages import Order, PageRequest
from schema.records import Kind, LeakStatus, RiskLevelName
from schema.scope import Scope


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on a leak: every part that is not None must hold. An empty tuple matches nothing.

    Ranges of numbers include both ends; ranges of instants include the start (`since`) and not the end (`until`). No
    tuple holds a value twice.
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
class Column:
    """A stored column; an enum's value by its published name where `as_name` is set."""

    name: str
    as_name: bool = False


@dataclass(frozen=True, slots=True)
class Literal:
    """A text that is the same for every row."""

    text: str


@dataclass(frozen=True, slots=True)
class JsonList:
    """What a record is connected to, as a JSON object of the parts that are asked for.

    Attributes:
        pages: Which page; its parent is the record, so it names none.
        parts: The object's members: `nodes`, `edges` or `total` with its key, or a text that is always the same.
    """

    pages: "Pages"
    parts: "tuple[tuple[str, JsonListPart], ...]"


@dataclass(frozen=True, slots=True)
class JsonNodes:
    """The records of a page as a JSON array, each wrapped in an object if it stands in an edge."""

    node: "JsonObject"
    edge: "tuple[tuple[str, Literal | None], ...] | None" = None


@dataclass(frozen=True, slots=True)
class JsonTotal:
    """How many records the whole list has."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A record as a JSON object: its members in order, each with its key."""

    members: "tuple[tuple[str, Column | Literal | JsonObject | JsonList], ...]"


JsonListPart: TypeAlias = JsonNodes | JsonTotal | Literal
Selected: TypeAlias = Column | Literal | JsonObject | JsonList


class Lookup(NamedTuple):
    """Records of a kind by id. Answer: one record for each id, in the order asked, None where none is visible."""

    kind: Kind
    ids: tuple[str, ...]
    select: tuple[Selected, ...] | None = None


@dataclass(frozen=True, slots=True)
class Pages:
    """A page of connected records for each parent. Answer: one page for each parent, in the order asked.

    Attributes:
        kind: What the pages hold.
        via: The kind of the parents; None for the whole scope, which is then the one parent.
        parents: The ids of the parents, or their numbers if they are domains.
    """

    kind: Kind
    via: Kind | None
    parents: Parents
    page: PageRequest
    order: Order
    filter: Filter = Filter()
    select: tuple[Selected, ...] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records `Pages` would find without a page's bounds. Answer: one number for each parent."""

    kind: Kind
    via: Kind | None
    parents: Parents
    filter: Filter = Filter()


@dataclass(frozen=True, slots=True)
class Written:
    """A list of the leaks of the whole scope as a JSON object. Answer: one text."""

    list: JsonList


Read: TypeAlias = Lookup | Pages | Counts | Written
Answer: TypeAlias = Sequence[Any]
"""Records or None, pages, or numbers, as the read says."""


T = TypeVar("T")
Asked: TypeAlias = tuple[Scope, Read]

Program: TypeAlias = Generator[Sequence[Asked], Sequence[Answer], T]
"""A generator that yields the reads of a level, is sent their answers, and returns its result.

It awaits nothing, so the store runs it where that is cheapest: next to the data.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """What one read cost.

    Attributes:
        statement: The store's statement, without values.
        rows: How many rows it returned.
        microseconds: How long it took in the store.
    """

    statement: str
    rows: int
    microseconds: int


Level: TypeAlias = Sequence[Step]
"""What the reads of one level cost."""


class Store(Protocol):
    """Answers batch reads, each within a scope."""

    def run(self, program: Program[T], levels: list[Level] | None = None) -> Awaitable[T]:
        """Run a program of reads.

        Args:
            program: The reads.
            levels: A list to which the cost of each level is appended, if that is wanted.

        Raises:
            Unavailable: the store does not answer just now.
        """
        ...


def ask(scope: Scope, reads: Sequence[Read]) -> Program[Sequence[Answer]]:
    """A program of one level: the answers to some reads."""
    return (yield [(scope, read) for read in reads])
