"""The way to a page of leaks in the order of one date that asks for a range of the other, or for statuses.

Leaks that were first seen long ago were added long ago as a rule, and are resolved: the order has them far behind. So
there is an index that has the list in its order for each month of the other date and each status, and the page is put
together of a page of each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import CTE, ColumnElement, FromClause, Select, Text, bindparam, literal_column, select, true, union_all

from gateway.storage.scope import Condition, in_scope
from gateway.storage.shapes import PageShape, Source, bounded
from gateway.storage.statements import ForEach, each, rows_for_each
from gateway.storage.tables import OTHER_DATE
from gateway.storage.types import Instant, month_before, month_of
from gateway.storage.ways import RANGES, Way
from schema.records import Kind, LeakStatus

_ONE: Final[ColumnElement[int]] = literal_column("1")


def may_be_far_away(shape: PageShape) -> bool:
    """Whether a page may be found so, and better than by walking its order."""
    other = OTHER_DATE.get(shape.order.column)
    if other is None or shape.page.limit is None or shape.is_narrow or shape.via is Kind.DOMAIN:
        return False
    # Where the rest of a filter is rare, every month would be walked for it.
    own, others = RANGES[shape.order.column], {"status", *RANGES[other]}
    return not others.isdisjoint(shape.filter) and others.issuperset(set(shape.filter).difference(own))


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
            month_of(self._other(listed.rows)) == months.c.month,
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
        first = self._first_month(self._since, turn).subquery(f"{self.listed.at}first_month")
        months = select(first.c.month).cte(f"{self.listed.at}months", recursive=True, nesting=True)
        behind = self._first_month(lambda month: month > months.c.month).correlate(months).scalar_subquery()
        return months.union_all(select(behind).where(months.c.month.is_not(None)))

    def _first_month(
        self, begins: Callable[[ColumnElement[str]], Condition], turn: Condition | None = None
    ) -> Select[Any]:
        listed = self.listed
        source = Source.of(listed.shape.kind, listed.shape.via, f"{listed.at}month_")
        month = month_of(self._other(source.rows))
        found = select(month.label("month")).where(
            source.is_in_list(listed.parent, turn), begins(month), self._until(month)
        )
        return listed.beside_parent(found.order_by(month).limit(_ONE))

    def _since(self, month: ColumnElement[str]) -> Condition:
        since, until = RANGES[OTHER_DATE[self.listed.shape.order.column]]
        if since in self.listed.shape.filter:
            return month >= month_of(self._bound(since))
        if until in self.listed.shape.filter:
            # What has no date stands before all months, and lies in no range.
            return month > month_of(bindparam("no_date", None, type_=Instant()))
        return true()

    def _until(self, month: ColumnElement[str]) -> Condition:
        _, until = RANGES[OTHER_DATE[self.listed.shape.order.column]]
        return month <= month_before(self._bound(until)) if until in self.listed.shape.filter else true()

    def _bound(self, part: str) -> ColumnElement[str]:
        return bindparam(self.listed.at + part, type_=Instant())

    def _other(self, rows: FromClause) -> ColumnElement[str]:
        return rows.c[OTHER_DATE[self.listed.shape.order.column]]
