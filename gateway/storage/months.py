"""The way to a page of leaks in the order of one date that asks for a range of the other, or for statuses.

Leaks that were first seen long ago were added long ago as a rule, and are resolved: the order has them far behind. So
there is an index that has the list in its order for each month of the other date and each status, and the page is put
together of a page of each.
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

from gateway.storage.scope import Condition, in_scope
from gateway.storage.shapes import PageShape, Source, bounded
from gateway.storage.statements import ForEach, each, rows_for_each
from gateway.storage.tables import MONTH, OTHER_DATE
from gateway.storage.types import NO_MONTH, month_of
from gateway.storage.ways import RANGES, Way
from schema.records import Kind, LeakStatus
from schema.store import Pages

_LAST_MONTH: Final = month_of("9999-12-31T23:59:59.999Z")
_BEGIN_OF_A_MONTH: Final = "-01T00:00:00.000Z"

_ONE: Final[ColumnElement[int]] = literal_column("1", Integer())


def may_be_far_away(shape: PageShape) -> bool:
    """Whether a page may be found so, and better than by walking its order."""
    other = OTHER_DATE.get(shape.order.column)
    if other is None or shape.page.limit is None or shape.is_narrow or shape.via is Kind.DOMAIN:
        return False
    # Where the rest of a filter is rare, every month would be walked for it.
    own, others = RANGES[shape.order.column], {"status", *RANGES[other]}
    return not others.isdisjoint(shape.filter) and others.issuperset(set(shape.filter).difference(own))


def month_values(read: Pages, at: str = "") -> dict[str, int]:
    """What the months of a page bind: the first and the last that the other date may lie in."""
    other = OTHER_DATE.get(read.order.column)
    if other is None:
        return {}
    since, until = (getattr(read.filter, part) for part in RANGES[other])
    # What has no date lies in no range.
    first = NO_MONTH if since is None and until is None else max(month_of(since), NO_MONTH + 1)
    last = _LAST_MONTH if until is None else month_of(until) - until.endswith(_BEGIN_OF_A_MONTH)
    return {f"{at}first_month": first, f"{at}last_month": last}


@dataclass(frozen=True, slots=True)
class ByMonths(Way):
    """The index that has the list in its order for each month of the other date and each status."""

    def page(self, turn: Condition | None = None) -> Select[Any]:
        """The page, of a page of each month and status."""
        listed, source = self.listed, self.listed.source
        months, statuses = self._months(turn), self._statuses()
        of_month = listed.found(listed.rows).where(
            in_scope(listed.rows, listed.dialect),
            source.is_of(listed.parent),
            _month(listed.rows, listed.shape) == months.c.month,
            listed.rows.c.status == statuses.c.value,
            *listed.rest(["status"]),
        )
        page = bounded(of_month, listed.shape, listed.place, source.leak_id, listed.at)
        every = ForEach(months, statuses, true())
        found = rows_for_each(every, listed.beside_parent(page.correlate(months, statuses)), listed.dialect, listed.at)
        return listed.page(listed.beside_parent(found).subquery(f"{listed.at}of_months"))

    def _statuses(self) -> FromClause:
        listed = self.listed
        name = f"{listed.at}status"
        if "status" in listed.shape.filter:
            return each(listed.dialect, name, Text())
        return union_all(*(select(literal_column(f"'{one}'").label("value")) for one in LeakStatus)).subquery(name)

    def _months(self, turn: Condition | None) -> CTE:
        """The months of the range that the parent has leaks of, each looked for behind the last."""
        at = self.listed.at
        first = self._next_month(bindparam(f"{at}first_month", type_=Integer()), turn).subquery(f"{at}first")
        months = select(first.c.month).cte(f"{at}months", recursive=True, nesting=True)
        behind = self._next_month(months.c.month + _ONE).correlate(months).scalar_subquery()
        return months.union_all(select(behind).where(months.c.month.is_not(None)))

    def _next_month(self, begin: ColumnElement[int], turn: Condition | None = None) -> Select[Any]:
        listed = self.listed
        source = Source.of(listed.shape.kind, listed.shape.via, f"{listed.at}month_")
        month = _month(source.rows, listed.shape)
        last: ColumnElement[int] = bindparam(f"{listed.at}last_month", type_=Integer())
        in_range = source.is_in_list(listed.parent, turn), month >= begin, month <= last
        return listed.beside_parent(select(month.label("month")).where(*in_range).order_by(month).limit(_ONE))


def _month(rows: FromClause, shape: PageShape) -> ColumnElement[int]:
    return rows.c[MONTH[OTHER_DATE[shape.order.column]]]
