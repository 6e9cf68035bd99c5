"""The ids of a page of leaks, found in the list's order or by what leaves few.

Each way is a query of its own, and looks at nothing unless its turn has come. PostgreSQL chooses by its statistics.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import is_listed, leaks_of, matches
from gateway.storage.scope import Condition, of_organization
from gateway.storage.shapes import PageShape, Source, bounded
from gateway.storage.statements import SQLITE, JSONArray, for_each
from gateway.storage.tables import leaks
from gateway.storage.ways import EVERY_VALUE, LISTS, Way, in_order

_ONE: Final[ColumnElement[int]] = literal_column("1")
_FEW: Final[ColumnElement[int]] = bindparam("few", type_=BigInteger())
_NONE: Final[ColumnElement[int]] = literal_column("0")


def ids_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """The ids of one parent's page of leaks, from indexes that have all that a list hangs on."""
    return _Finding(shape, parent, dialect, at).ids()


def beside(found: Select[Any], parent: ColumnElement[Any] | None) -> Select[Any]:
    """What is found, next to the parent's own row."""
    return found if parent is None else found.correlate(parent.table)


@dataclass(frozen=True, slots=True)
class _Finding:
    shape: PageShape
    parent: ColumnElement[Any] | None
    dialect: Dialect
    at: str

    def ids(self) -> Select[Any]:
        ways = self.shape.ways if self.dialect is SQLITE else ()
        if not ways:
            return _only_ids(self._in_order())
        if ways[0].is_few:
            return _only_ids(self._gathered(ways[0]))
        found = union_all(*(select(*branch.subquery().c) for branch in self._branches())).subquery(f"{self.at}found")
        return bounded(select(found.c.leak_id), self.shape, found.c.place, found.c.leak_id, self.at)

    def _branches(self) -> Iterator[Select[Any]]:
        """The page by each way, of which all but one find nothing."""
        is_long = self._is_long()
        passed: Condition = true()
        for way in self.shape.ways:
            is_few = self._is_few(way)
            yield beside(self._gathered(way, and_(is_long, passed, is_few)), self.parent)
            passed = and_(passed, not_(is_few))
        yield beside(self._in_order(or_(not_(is_long), passed)), self.parent)

    # ------------------------------------------------------------------ the ways

    def _in_order(self, where: Condition | None = None) -> Select[Any]:
        """The page from the index that has the list in its order; PostgreSQL may think of a better one."""
        source, way = self._source(), in_order(self.shape.filter, self.shape.order)
        found = self._listed(source, way if self.dialect is SQLITE else Way(self.shape.filter), where)
        return bounded(found, self.shape, source.rows.c[self.shape.order.column], source.leak_id, self.at)

    def _gathered(self, way: Way, where: Condition | None = None) -> Select[Any]:
        """The page of all that an index finds."""
        found = beside(self._listed(self._source(), way, where).offset(_NONE), self.parent).subquery(f"{self.at}few")
        return bounded(select(*found.c), self.shape, found.c.place, found.c.leak_id, self.at)

    def _listed(self, source: Source, way: Way, where: Condition | None) -> Select[Any]:
        """The rows of the list that the filter holds for, as a way finds them."""
        place = source.rows.c[self.shape.order.column].label("place")
        rows, known = self._by_lists(source, way, where) if way.lists else (source.rows, ())
        found = select(source.leak_id.label("leak_id"), place).select_from(rows)
        leak = source.rows
        if not source.are_leaks and not all(map(is_listed, self.shape.filter)):
            leak = leaks.alias(f"{self.at}filtered")
            found = found.join(leak, source.is_leak(leak))
        if way.is_named:
            found, known, where = found.where(source.leak_id.in_(self._named(way, where))), way.parts, None
        if way.lists:
            where = None
        return found.where(
            source.is_in_scope(self.dialect, where, by_organization=bool(way.lists)),
            self._is_of(source, where),
            *self._matches(source, leak, [part for part in self.shape.filter if part not in known], way),
        )

    def _by_lists(self, source: Source, way: Way, where: Condition | None) -> tuple[FromClause, Collection[str]]:
        """The rows for each value of each list that their index is asked for, and the parts that this sees to."""
        values = {LISTS[part]: self._values(part) for part in way.lists}
        if where is not None:
            first = LISTS[way.lists[0]]
            values[first] = case((where, values[first]), else_="[]")
        return for_each(source.rows, values), way.parts

    def _values(self, part: str) -> ColumnElement[str]:
        """A list of values, or of all that there are."""
        if part in EVERY_VALUE and part not in self.shape.filter:
            return EVERY_VALUE[part]
        values: ColumnElement[str] = bindparam(part if part == "domains" else self.at + part, type_=JSONArray())
        return values

    # ------------------------------------------------------------- whose turn it is

    def _is_long(self) -> Condition:
        """Whether a parent's list has more than a few leaks; the organization's is taken to have."""
        if self.parent is None:
            return true()
        source = self._source()
        return not_(self._are_few(source, select(_ONE).select_from(source.rows)))

    def _is_few(self, way: Way) -> Condition:
        """Whether a way finds few."""
        if way.is_named:
            return _is_below_few(self._named(way).with_only_columns(_ONE))
        source = self._source()
        rows, known = self._by_lists(source, way, None) if way.lists else (source.rows, ())
        found = select(_ONE).select_from(rows)
        parts = [part for part in way.parts if part not in known]
        if way.lists or self.parent is None:
            found = found.where(of_organization(source.rows))
        return self._are_few(source, found.where(*self._matches(source, source.rows, parts, way)))

    def _are_few(self, source: Source, found: Select[Any]) -> Condition:
        if not source.are_leaks:
            found = found.where(of_organization(source.rows))
        return _is_below_few(beside(found.where(self._is_of(source)), self.parent))

    # ------------------------------------------------------------------ its parts

    def _source(self) -> Source:
        return Source.of(self.shape.kind, self.shape.via, f"{self.at}listed_")

    def _named(self, way: Way, where: Condition | None = None) -> Select[Any]:
        """The leaks of what a part of the filter names, as far as they are few."""
        (part,) = way.parts
        found = leaks_of(part, self.at + part, self.dialect, where).limit(_FEW)
        return found if where is None else beside(found, self.parent)

    def _is_of(self, source: Source, where: Condition | None = None) -> Condition:
        return source.is_of(self.parent, self.dialect, where)

    def _matches(self, source: Source, leak: FromClause, wanted: Collection[str], way: Way) -> list[Condition]:
        looked_at = [part for part in wanted if part not in way.parts]
        return matches(leak, wanted, self.dialect, self.at, listed=source.rows, looked_at=looked_at)


def _is_below_few(found: Select[Any]) -> Condition:
    counted = found.limit(_FEW).subquery("counted")
    return select(func.count()).select_from(counted).scalar_subquery() < _FEW


def _only_ids(found: Select[Any]) -> Select[Any]:
    return found.with_only_columns(found.selected_columns.leak_id)
