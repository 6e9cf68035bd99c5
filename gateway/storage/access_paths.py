"""The access paths to a page of leaks, a class for each kind of index that finds its rows.

A statement may hold several paths and choose one as it runs. The condition that a path is chosen is part of the first
value that its index is searched for, so that a path that is not chosen reads nothing.
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
from gateway.storage.dialects import SQLITE, JSONArray, for_each, only_if
from gateway.storage.scope import Condition, in_scope, of_organization
from gateway.storage.shapes import PageShape, Source, bounded
from gateway.storage.tables import EVERY_VALUE, leaks

FEW: Final = 4096
"""The most rows that are gathered, which takes some milliseconds. Of a million rows, that is one in 244."""

RANGES: Final = {
    "risk_level": ("risk_level_min", "risk_level_max"),
    "first_seen": ("first_seen_since", "first_seen_until"),
    "added_at": ("added_at_since", "added_at_until"),
}
"""The parts of a filter that make a range of each column."""

_FEW: Final[ColumnElement[int]] = bindparam("few", type_=BigInteger())
_LOGINS_TO_A_LEAK: Final[ColumnElement[int]] = literal_column("8", BigInteger())
"""Leaks of a login come from one index: so many cost as much as one that has to be looked up."""

_ONE: Final[ColumnElement[int]] = literal_column("1")
_NONE: Final[ColumnElement[int]] = literal_column("0")


class LeakList:
    """A list of leaks, a parent's or the whole scope's, in terms of SQL."""

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
        """The ids and sort values of rows, joined with their leaks where the filter needs more than the rows repeat."""
        found = select(self.source.leak_id.label("leak_id"), self.place.label("place")).select_from(rows)
        if self.source.are_leaks or all(map(is_listed, self.shape.filter)):
            return found
        return found.join(self._leak, self.source.is_leak(self._leak))

    def holds(self, wanted: Collection[str], found_by: Collection[str] = ()) -> list[Condition]:
        """The conditions of parts of the filter. Only those in `found_by` may choose an index."""
        others = [part for part in wanted if part not in found_by]
        return matches(self._leak, wanted, self.dialect, self.at, listed=self.rows, unindexed_parts=others)

    def rest(self, known: Collection[str]) -> list[Condition]:
        """The conditions of the other parts of the filter; none may choose an index."""
        return self.holds([part for part in self.shape.filter if part not in known])

    def range(self) -> list[str]:
        """The parts of the filter that make a range of the column that the list is ordered by."""
        return [part for part in RANGES[self.shape.order.column] if part in self.shape.filter]

    def has_few(self, rows: FromClause, *conditions: Condition) -> Condition:
        """Whether fewer than `FEW` of the parent's rows meet some conditions; it counts no further."""
        found = select(_ONE).select_from(rows).where(self.source.is_in_list(self.parent), *conditions)
        return self.count(found.limit(_FEW)) < _FEW

    def is_rare(self, part: str) -> Condition:
        """Whether few leaks have what a part of the filter names, and the parent has about as many leaks at least."""
        number = self.count(leaks_of(part, self.at + part).with_only_columns(_ONE).limit(_most(part)))
        is_small = number < _most(part)
        if self.parent is None:
            return is_small
        as_much = number // _LOGINS_TO_A_LEAK if part == "login" else number
        of_parent = select(_ONE).select_from(self.rows).where(self.source.is_in_list(self.parent))
        return is_small & (self.count(of_parent.limit(as_much)) >= as_much)

    def page(self, found: FromClause) -> Select[Any]:
        """The page of the rows that were found, in the list's order."""
        return bounded(select(*found.c), self.shape, found.c.place, found.c.leak_id, self.at)

    def count(self, found: Select[Any]) -> ColumnElement[int]:
        """The number of rows of a query, as a scalar."""
        return select(func.count()).select_from(self.correlated(found).subquery("counted")).scalar_subquery()

    def correlated(self, found: Select[Any]) -> Select[Any]:
        """A subquery, correlated with the row of the parent if there is one."""
        return found if self.parent is None else found.correlate(self.parent.table)


@dataclass(frozen=True, slots=True)
class AccessPath(ABC):
    """One way to find the rows of a list, by one kind of index."""

    listed: LeakList

    @abstractmethod
    def page(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The ids and sort values of the page; nothing where the path is not chosen."""


class CountedPath(AccessPath):
    """A path that is good where it finds few rows, which can be counted before it is taken."""

    @abstractmethod
    def finds_few(self) -> Condition:
        """Whether the index alone finds few rows, before anything else is filtered."""


class GatheredPath(CountedPath):
    """A path whose rows are all gathered, and then sorted."""

    @abstractmethod
    def rows(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The ids and sort values of the rows that the whole filter holds for, found through the index."""

    def page(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The page of what was gathered."""
        # An OFFSET keeps SQLite from flattening the subquery and walking the order instead.
        gathered = self.listed.correlated(self.rows(is_chosen).offset(_NONE))
        return self.listed.page(gathered.subquery(f"{self.listed.at}few"))


@dataclass(frozen=True, slots=True)
class ByColumn(GatheredPath):
    """The index of the parent and a column that leaks can be ordered by, searched for a range of it."""

    parts: Sequence[str]

    def rows(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The rows of the parent in the range."""
        listed, source = self.listed, self.listed.source
        return listed.found(listed.rows).where(
            source.is_in_scope(listed.dialect, is_chosen),
            source.is_of(listed.parent, is_chosen),
            *listed.holds(listed.shape.filter, found_by=self.parts),
        )

    def finds_few(self) -> Condition:
        """Whether few of the parent's rows lie in the range."""
        listed = self.listed
        return listed.has_few(listed.rows, *listed.holds(self.parts, found_by=self.parts))


class InOrder(ByColumn):
    """The index in the list's own order, which finds a range of that column as well."""

    @classmethod
    def of(cls, listed: LeakList, unindexed_parts: Collection[str] = ()) -> "InOrder":
        """The path of a list; PostgreSQL may take an index of any part of the filter but of `unindexed_parts`."""
        if listed.dialect is SQLITE:
            return cls(listed, listed.range())
        return cls(listed, [part for part in listed.shape.filter if part not in unindexed_parts])

    def finds_few(self) -> Condition:
        """Whether the first `FEW` rows in order fill the page, or are all that there are."""
        listed, shape = self.listed, self.listed.shape
        if any(part in NAMED or not is_listed(part) for part in shape.filter):
            # Only other tables tell whether a row is wanted: of such lists, just short ones are known to be cheap.
            return false() if listed.parent is None else listed.has_few(listed.rows)
        told_by = sorted({"organization_number", "domain_number", *map(FILTERED.__getitem__, shape.filter)})
        in_range = listed.source.is_in_list(listed.parent), *listed.holds(listed.range(), found_by=listed.range())
        all_ = select(*map(listed.rows.c.__getitem__, told_by)).where(*in_range)
        in_order = bounded(all_, shape, listed.place, listed.source.leak_id, listed.at)
        first = in_order.limit(_FEW)
        seen = listed.correlated(first).subquery(f"{listed.at}first")
        is_wanted = in_scope(seen, listed.dialect), *matches(seen, shape.filter, listed.dialect, listed.at)
        limit: ColumnElement[int] = bindparam(f"{listed.at}limit", type_=BigInteger())
        wanted = select(_ONE).select_from(seen).where(*is_wanted).limit(limit)
        return or_(listed.count(wanted) >= limit, listed.count(first) < _FEW)

    def page(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The page: rows are read in order until it is full."""
        listed = self.listed
        return bounded(self.rows(is_chosen), listed.shape, listed.place, listed.source.leak_id, listed.at)


class ByLogin(GatheredPath):
    """The index of logins, for a list whose rows are leaks."""

    def rows(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The rows of the login's leaks."""
        listed, rows = self.listed, self.listed.rows
        return listed.found(rows).where(
            rows.c.organization_number == only_if(is_chosen, bindparam("organization")),
            listed.source.is_found_by_leak(listed.parent, listed.dialect),
            *listed.holds(listed.shape.filter, found_by=["login"]),
        )

    def finds_few(self) -> Condition:
        """Whether few leaks have the login, whoever's they are."""
        return self.listed.is_rare("login")


@dataclass(frozen=True, slots=True)
class ByName(GatheredPath):
    """The leaks of the resource, user, endpoint or login that a part of the filter names."""

    part: str

    def rows(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The rows of the leaks that have what is named."""
        listed, source = self.listed, self.listed.source
        return listed.found(listed.rows).where(
            source.leak_id.in_(listed.correlated(self._named(is_chosen).limit(_most(self.part)))),
            source.is_found_by_leak(listed.parent, listed.dialect),
            *listed.rest([self.part]),
        )

    def finds_few(self) -> Condition:
        """Whether few leaks have what is named, whoever's they are."""
        return self.listed.is_rare(self.part)

    def _named(self, is_chosen: Condition | None = None) -> Select[Any]:
        return leaks_of(self.part, self.listed.at + self.part, is_chosen)


class ByNameLateral(ByName):
    """The same for PostgreSQL, which cannot estimate how many rows a parent has: each leak is looked up by itself."""

    def rows(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The rows of the leaks that have what is named."""
        listed, source = self.listed, self.listed.source
        few = self._named(is_chosen).distinct().limit(_most(self.part))
        named = listed.correlated(few).subquery(f"{listed.at}named")
        # An OFFSET keeps the lateral query apart: its row is found by the leak, not by the parent, which may have many.
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
class ByValues(GatheredPath):
    """The index of statuses, levels and domains, searched for each combination of values of its first columns."""

    columns: Sequence[str]

    def rows(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The rows of each combination."""
        listed = self.listed
        return listed.found(self._each(is_chosen)).where(
            in_scope(listed.rows, listed.dialect),
            listed.source.is_of(listed.parent),
            *listed.rest(self.columns),
        )

    def finds_few(self) -> Condition:
        """Whether all combinations together have few of the parent's rows."""
        return self.listed.has_few(self._each(), of_organization(self.listed.rows))

    def _each(self, is_chosen: Condition | None = None) -> FromClause:
        values = {column: self._values(column) for column in self.columns}
        if is_chosen is not None:
            first = self.columns[0]
            values[first] = case((is_chosen, values[first]), else_="[]")
        return for_each(self.listed.rows, values)

    def _values(self, column: str) -> ColumnElement[str]:
        """The values to search a column for: those of the filter or the scope, or else all that it can hold."""
        if column in EVERY_VALUE and column not in self.listed.shape.filter:
            return EVERY_VALUE[column]
        name = "domains" if column == "domain_number" else self.listed.at + column
        return bindparam(name, type_=JSONArray())


def _most(part: str) -> ColumnElement[int]:
    return _FEW * _LOGINS_TO_A_LEAK if part == "login" else _FEW
