"""The access path by months: for a page in the order of one date, filtered by a range of the other or by statuses.

As a rule, leaks that were first seen long ago were added long ago as well and are resolved, so that they stand far back
in the order. An index therefore has the list in its order for each month of the other date and each status, and the
page is put together from a page of each.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    bindparam,
    literal_column,
    select,
    true,
    union_all,
)

from gateway.storage.access_paths import RANGES, AccessPath
from gateway.storage.dialects import ForEach, each, rows_for_each
from gateway.storage.scope import Condition, in_scope
from gateway.storage.shapes import PageShape, Source, bounded
from gateway.storage.tables import MONTH, OTHER_DATE
from gateway.storage.types import NO_MONTH, month_of
from schema.records import Kind, LeakStatus
from schema.store import Pages

_LAST_MONTH: Final = month_of("9999-12-31T23:59:59.999Z")
_BEGIN_OF_A_MONTH: Final = "-01T00:00:00.000Z"

_ONE: Final[ColumnElement[int]] = literal_column("1", Integer())


def may_be_far_away(shape: PageShape) -> bool:
    """Whether a page can be put together by months, and may be far cheaper so than in order."""
    other = OTHER_DATE.get(shape.order.column)
    if other is None or shape.page.limit is None or shape.is_narrow or shape.via is Kind.DOMAIN:
        return False
    # If the rest of the filter is rare, every month would be read through for it.
    own, others = RANGES[shape.order.column], {"status", *RANGES[other]}
    return not others.isdisjoint(shape.filter) and others.issuperset(set(shape.filter).difference(own))


def month_values(read: Pages, at: str = "") -> dict[str, int]:
    """The values of a page's months: the first and the last that the other date may lie in."""
    other = OTHER_DATE.get(read.order.column)
    if other is None:
        return {}
    since, until = (getattr(read.filter, part) for part in RANGES[other])
    # A leak without the date lies in no range of it.
    first = NO_MONTH if since is None and until is None else max(month_of(since), NO_MONTH + 1)
    last = _LAST_MONTH if until is None else month_of(until) - until.endswith(_BEGIN_OF_A_MONTH)
    return {f"{at}first_month": first, f"{at}last_month": last}


@dataclass(frozen=True, slots=True)
class ByMonths(AccessPath):
    """The index in the list's order for each month of the other date and each status."""

    def page(self, is_chosen: Condition | None = None) -> Select[Any]:
        """The page, put together from a page of each month and status."""
        listed, source = self.listed, self.listed.source
        months, statuses = self._months(is_chosen), self._statuses()
        of_month = listed.found(listed.rows).where(
            in_scope(listed.rows, listed.dialect),
            source.is_of(listed.parent),
            _month(listed.rows, listed.shape) == months.c.month,
            listed.rows.c.status == statuses.c.value,
            *listed.rest(["status"]),
        )
        page = bounded(of_month, listed.shape, listed.place, source.leak_id, listed.at)
        every = ForEach(months, statuses, true())
        found = rows_for_each(every, listed.correlated(page.correlate(months, statuses)), listed.dialect, listed.at)
        return listed.page(listed.correlated(found).subquery(f"{listed.at}of_months"))

    def _statuses(self) -> FromClause:
        listed = self.listed
        name = f"{listed.at}status"
        if "status" in listed.shape.filter:
            return each(listed.dialect, name, Text())
        return union_all(*(select(literal_column(f"'{one}'").label("value")) for one in LeakStatus)).subquery(name)

    def _months(self, is_chosen: Condition | None) -> CTE:
        """The months of the range in which the parent has leaks, each found by a search after the one before."""
        at = self.listed.at
        first = self._next_month(bindparam(f"{at}first_month", type_=Integer()), is_chosen).subquery(f"{at}first")
        months = select(first.c.month).cte(f"{at}months", recursive=True, nesting=True)
        behind = self._next_month(months.c.month + _ONE).correlate(months).scalar_subquery()
        return months.union_all(select(behind).where(months.c.month.is_not(None)))

    def _next_month(self, begin: ColumnElement[int], is_chosen: Condition | None = None) -> Select[Any]:
        listed = self.listed
        source = Source.of(listed.shape.kind, listed.shape.via, f"{listed.at}month_")
        month = _month(source.rows, listed.shape)
        last: ColumnElement[int] = bindparam(f"{listed.at}last_month", type_=Integer())
        in_range = source.is_in_list(listed.parent, is_chosen), month >= begin, month <= last
        return listed.correlated(select(month.label("month")).where(*in_range).order_by(month).limit(_ONE))


def _month(rows: FromClause, shape: PageShape) -> ColumnElement[int]:
    return rows.c[MONTH[OTHER_DATE[shape.order.column]]]
