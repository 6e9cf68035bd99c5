"""The ways to a page of a list of leaks, a class for each kind of index that finds its rows.

A way may have to wait for its turn, a condition. That stands in what the index is asked for first, so that nothing is
looked at where it does not hold.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    case,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import FILTERED, NAMED, is_listed, leaks_of, matches
from gateway.storage.scope import Condition, in_scope, of_organization
from gateway.storage.shapes import PageShape, Source, bounded
from gateway.storage.statements import SQLITE, JSONArray, for_each, only_if
from gateway.storage.tables import EVERY_VALUE, leaks

FEW: Final = 4096
"""The most that is gathered: some milliseconds. What is more frequent, stands once in 244 rows of a million."""

RANGES: Final = {
    "risk_level": ("risk_level_min", "risk_level_max"),
    "first_seen": ("first_seen_since", "first_seen_until"),
    "added_at": ("added_at_since", "added_at_until"),
}
"""The parts of a filter that are a range of a column."""

_FEW: Final[ColumnElement[int]] = bindparam("few", type_=BigInteger())
_LOGINS_TO_A_LEAK: Final[ColumnElement[int]] = literal_column("8", BigInteger())
"""One index tells all leaks of a login: so many are as much work as one leak that has to be looked up."""

_ONE: Final[ColumnElement[int]] = literal_column("1")
_NONE: Final[ColumnElement[int]] = literal_column("0")


class LeakList:
    """The leaks of a parent, or of the scope itself, in terms of SQL."""

    def __init__(self, shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str) -> None:
        self.shape = shape
        self.parent = parent
        self.dialect = dialect
        self.at = at
        self.source = Source.of(shape.kind, shape.via, f"{at}listed_")
        self.rows = self.source.rows
        self.place = self.rows.c[shape.order.column]
        self._leak = self.rows if self.source.are_leaks else leaks.alias(f"{at}filtered")

    def found(self, rows: FromClause) -> Select[Any]:
        """The ids and places of rows, next to their leaks where these tell more of what the filter asks."""
        found = select(self.source.leak_id.label("leak_id"), self.place.label("place")).select_from(rows)
        if self.source.are_leaks or all(map(is_listed, self.shape.filter)):
            return found
        return found.join(self._leak, self.source.is_leak(self._leak))

    def holds(self, wanted: Collection[str], found_by: Collection[str] = ()) -> list[Condition]:
        """Whether parts of the filter hold; but for those that rows are found by, no index is chosen for them."""
        looked_at = [part for part in wanted if part not in found_by]
        return matches(self._leak, wanted, self.dialect, self.at, listed=self.rows, looked_at=looked_at)

    def rest(self, known: Collection[str]) -> list[Condition]:
        """Whether the rest of the filter holds."""
        return self.holds([part for part in self.shape.filter if part not in known])

    def range(self) -> list[str]:
        """The parts of the filter that are a range of the list's order."""
        return [part for part in RANGES[self.shape.order.column] if part in self.shape.filter]

    def has_few(self, rows: FromClause, *conditions: Condition) -> Condition:
        """Whether few of the parent's rows meet some conditions; counting ends where there are more."""
        found = select(_ONE).select_from(rows).where(self.source.is_in_list(self.parent), *conditions)
        return self.count(found.limit(_FEW)) < _FEW

    def is_rare(self, part: str) -> Condition:
        """Whether few leaks have what a part of the filter names, and the parent does not have much fewer."""
        number = self.count(leaks_of(part, self.at + part).with_only_columns(_ONE).limit(_most(part)))
        is_small = number < _most(part)
        if self.parent is None:
            return is_small
        as_much = number // _LOGINS_TO_A_LEAK if part == "login" else number
        of_parent = select(_ONE).select_from(self.rows).where(self.source.is_in_list(self.parent))
        return is_small & (self.count(of_parent.limit(as_much)) >= as_much)

    def page(self, found: FromClause) -> Select[Any]:
        """The page of what was found, in the list's order."""
        return bounded(select(*found.c), self.shape, found.c.place, found.c.leak_id, self.at)

    def count(self, found: Select[Any]) -> ColumnElement[int]:
        """How many rows a query finds."""
        return select(func.count()).select_from(self.beside_parent(found).subquery("counted")).scalar_subquery()

    def beside_parent(self, found: Select[Any]) -> Select[Any]:
        """A query that stands where the parent's row is at hand."""
        return found if self.parent is None else found.correlate(self.parent.table)


@dataclass(frozen=True, slots=True)
class Way(ABC):
    """An index that finds some of a list's rows."""

    listed: LeakList

    @abstractmethod
    def page(self, turn: Condition | None = None) -> Select[Any]:
        """The ids and places of the page, if it is its turn."""


class Counted(Way):
    """A way that is good where few rows are found by it, and that can be told before."""

    @abstractmethod
    def finds_few(self) -> Condition:
        """Whether the index finds few rows, before all else is looked at."""


class Gathering(Counted):
    """An index whose rows are all gathered, and then put in order."""

    @abstractmethod
    def rows(self, turn: Condition | None = None) -> Select[Any]:
        """The ids and places of the rows that the whole filter holds for, found through the index."""

    def page(self, turn: Condition | None = None) -> Select[Any]:
        """The page of what was gathered."""
        # Behind an OFFSET SQLite keeps the query as it is, and does not walk the order instead.
        gathered = self.listed.beside_parent(self.rows(turn).offset(_NONE))
        return self.listed.page(gathered.subquery(f"{self.listed.at}few"))


@dataclass(frozen=True, slots=True)
class ByColumn(Gathering):
    """The index that begins with the parent and a column that leaks are ordered by, asked for a range of it."""

    parts: Sequence[str]

    def rows(self, turn: Condition | None = None) -> Select[Any]:
        """The rows of the parent, if it is their turn."""
        listed, source = self.listed, self.listed.source
        return listed.found(listed.rows).where(
            source.is_in_scope(listed.dialect, turn),
            source.is_of(listed.parent, turn),
            *listed.holds(listed.shape.filter, found_by=self.parts),
        )

    def finds_few(self) -> Condition:
        """Whether few of the parent's rows lie in the range."""
        listed = self.listed
        return listed.has_few(listed.rows, *listed.holds(self.parts, found_by=self.parts))


class InOrder(ByColumn):
    """The index that has the list in its order, and finds a range of that column as well."""

    @classmethod
    def of(cls, listed: LeakList, looked_at: Collection[str] = ()) -> "InOrder":
        """The way for a list; PostgreSQL may find by any index that it thinks better, but for what is looked at."""
        if listed.dialect is SQLITE:
            return cls(listed, listed.range())
        return cls(listed, [part for part in listed.shape.filter if part not in looked_at])

    def finds_few(self) -> Condition:
        """Whether few rows are enough for the page, or are all that there is."""
        listed, shape = self.listed, self.listed.shape
        if any(part in NAMED or not is_listed(part) for part in shape.filter):
            # To tell whether a row is wanted, another has to be looked at: only short lists are known to end.
            return false() if listed.parent is None else listed.has_few(listed.rows)
        told_by = sorted({"organization_number", "domain_number", *map(FILTERED.__getitem__, shape.filter)})
        in_range = listed.source.is_in_list(listed.parent), *listed.holds(listed.range(), found_by=listed.range())
        all_ = select(*map(listed.rows.c.__getitem__, told_by)).where(*in_range)
        in_order = bounded(all_, shape, listed.place, listed.source.leak_id, listed.at)
        first = in_order.limit(_FEW)
        seen = listed.beside_parent(first).subquery(f"{listed.at}first")
        is_wanted = in_scope(seen, listed.dialect), *matches(seen, shape.filter, listed.dialect, listed.at)
        limit: ColumnElement[int] = bindparam(f"{listed.at}limit", type_=BigInteger())
        wanted = select(_ONE).select_from(seen).where(*is_wanted).limit(limit)
        return or_(listed.count(wanted) >= limit, listed.count(first) < _FEW)

    def page(self, turn: Condition | None = None) -> Select[Any]:
        """The page: the rows are walked until it is full."""
        listed = self.listed
        return bounded(self.rows(turn), listed.shape, listed.place, listed.source.leak_id, listed.at)


class ByLogin(Gathering):
    """The index of logins, in a list whose rows are leaks."""

    def rows(self, turn: Condition | None = None) -> Select[Any]:
        """The rows of the login's leaks, if it is their turn."""
        listed, rows = self.listed, self.listed.rows
        return listed.found(rows).where(
            rows.c.organization_number == only_if(turn, bindparam("organization")),
            listed.source.is_found_by_leak(listed.parent, listed.dialect),
            *listed.holds(listed.shape.filter, found_by=["login"]),
        )

    def finds_few(self) -> Condition:
        """Whether few leaks have the login, the parent's or not."""
        return self.listed.is_rare("login")


@dataclass(frozen=True, slots=True)
class ByName(Gathering):
    """The leaks of what a part of the filter names: a resource, a user or an endpoint, or a login."""

    part: str

    def rows(self, turn: Condition | None = None) -> Select[Any]:
        """The rows of the named thing's leaks, if it is their turn."""
        listed, source = self.listed, self.listed.source
        return listed.found(listed.rows).where(
            source.leak_id.in_(listed.beside_parent(self._named(turn).limit(_most(self.part)))),
            source.is_found_by_leak(listed.parent, listed.dialect),
            *listed.rest([self.part]),
        )

    def finds_few(self) -> Condition:
        """Whether few leaks have what is named, the parent's or not."""
        return self.listed.is_rare(self.part)

    def _named(self, turn: Condition | None = None) -> Select[Any]:
        return leaks_of(self.part, self.listed.at + self.part, turn)


class NextToName(ByName):
    """The same in PostgreSQL: each leak of the name by itself, for it has no idea of how many the parent has."""

    def rows(self, turn: Condition | None = None) -> Select[Any]:
        """The rows of the named thing's leaks, if it is their turn."""
        listed, source = self.listed, self.listed.source
        named = listed.beside_parent(self._named(turn).distinct().limit(_most(self.part))).subquery(f"{listed.at}named")
        # A query that has an OFFSET stays where it is: by the leak, and not by the parent, which may have many.
        row = listed.found(listed.rows).where(
            source.leak_id == named.c[0], source.is_in_scope(listed.dialect), *listed.rest([self.part])
        )
        if source.parent is None:
            one = row.correlate(named).offset(_NONE).lateral(f"{listed.at}of_name")
            return select(*one.c).select_from(named.join(one, true()))
        row = row.add_columns(source.parent.label("parent"))
        one = row.correlate(named).offset(_NONE).lateral(f"{listed.at}of_name")
        return select(one.c.leak_id, one.c.place).select_from(named.join(one, one.c.parent == listed.parent))


@dataclass(frozen=True, slots=True)
class ByValues(Gathering):
    """The index of statuses, levels and domains, asked for each combination of values of its first columns."""

    columns: Sequence[str]

    def rows(self, turn: Condition | None = None) -> Select[Any]:
        """The rows of each combination, if it is their turn."""
        listed = self.listed
        return listed.found(self._each(turn)).where(
            in_scope(listed.rows, listed.dialect),
            listed.source.is_of(listed.parent),
            *listed.rest(self.columns),
        )

    def finds_few(self) -> Condition:
        """Whether all combinations together have few of the parent's rows."""
        return self.listed.has_few(self._each(), of_organization(self.listed.rows))

    def _each(self, turn: Condition | None = None) -> FromClause:
        values = {column: self._values(column) for column in self.columns}
        if turn is not None:
            first = self.columns[0]
            values[first] = case((turn, values[first]), else_="[]")
        return for_each(self.listed.rows, values)

    def _values(self, column: str) -> ColumnElement[str]:
        """What a column may hold: what the filter or the scope says, or any value that there is."""
        if column in EVERY_VALUE and column not in self.listed.shape.filter:
            return EVERY_VALUE[column]
        name = "domains" if column == "domain_number" else self.listed.at + column
        return bindparam(name, type_=JSONArray())


def _most(part: str) -> ColumnElement[int]:
    return _FEW * _LOGINS_TO_A_LEAK if part == "login" else _FEW
