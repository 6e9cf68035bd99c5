"""The ids of a page of leaks: in the list's order, or gathered through an index of the filter where that finds few.

In order, a page costs what stands ahead of its last row; through an index, it costs all that the index finds. Neither
is good for all values. So a statement counts what an index would find, no further than to a bound, and takes the first
that stays below it. Where none does, what is wanted is frequent, and the order soon meets enough of it. The list of a
parent that has few leaks is walked whatever is wanted. PostgreSQL chooses by its statistics, but for names, of which
those do not tell how many leaks have one.

The newest leaks with a status, for SQLite and abridged:

    SELECT leak_id FROM (
      SELECT leak_id, place FROM (
        SELECT id AS leak_id, added_at AS place
        FROM json_each(CASE WHEN $is_few THEN :status ELSE '[]' END) AS each_status
        CROSS JOIN leaks ON status = each_status.value
        WHERE organization_number = :organization AND $in_scope LIMIT -1 OFFSET 0
      ) ORDER BY place DESC, leak_id DESC LIMIT :limit
      UNION ALL
      SELECT id AS leak_id, added_at AS place FROM leaks
      WHERE organization_number = CASE WHEN NOT $is_few THEN :organization END AND $in_scope
        AND +status IN (SELECT value FROM json_each(:status))
      ORDER BY place DESC, leak_id DESC LIMIT :limit
    ) ORDER BY place DESC, leak_id DESC LIMIT :limit

where `$is_few` is

    (SELECT count(*) FROM (
      SELECT 1 FROM json_each(:status) AS each_status CROSS JOIN leaks ON status = each_status.value
      WHERE organization_number = :organization LIMIT :few
    )) < :few

The plus keeps SQLite from choosing an index by that column.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, case, literal_column, select, union_all
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import NAMED, NODE_FILTERS
from gateway.storage.months import ByMonths, may_be_far_away
from gateway.storage.scope import Condition
from gateway.storage.shapes import PageShape
from gateway.storage.statements import SQLITE
from gateway.storage.ways import RANGES, ByColumn, ByName, ByValues, InOrder, LeakList, NextToName, Way
from schema.records import Kind


def ids_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """The ids of one parent's page of leaks, from indexes that have all that a list hangs on."""
    listed = LeakList(shape, parent, dialect, at)
    may_choose = shape.page.limit is not None and not shape.in_order
    if may_choose and dialect is SQLITE and "login" in shape.filter:
        return _ids(ByColumn(listed, ["login"]).page())
    ways = [*_ways(listed)] if may_choose else []
    if not ways:
        return _ids(InOrder.of(listed).page())
    chosen = _chosen(listed, ways)
    turns = (select(chosen.c.way).scalar_subquery() == literal_column(f"{number}") for number in range(len(ways) + 1))
    pages = (way.page(turn) for way, turn in zip([InOrder.of(listed, looked_at=NAMED), *ways], turns, strict=True))
    found = union_all(*(select(*listed.beside_parent(page).subquery().c) for page in pages)).subquery(f"{at}found")
    return _ids(listed.page(found)).add_cte(chosen, nest_here=True)


def _ids(page: Select[Any]) -> Select[Any]:
    return page.with_only_columns(page.selected_columns.leak_id)


def _ways(listed: LeakList) -> Iterator[Way]:
    """The ways to a list other than in its order, those first that tend to find less."""
    shape, wanted = listed.shape, listed.shape.filter
    if listed.dialect is not SQLITE:
        # In a narrow scope row-level security would pass over nearly all that is counted.
        yield from (NextToName(listed, part) for part in NAMED if part in wanted and not shape.is_narrow)
    else:
        yield from _gathering(listed)
    if may_be_far_away(shape):
        yield ByMonths(listed)


def _gathering(listed: LeakList) -> Iterator[Way]:
    wanted = listed.shape.filter
    yield from (ByName(listed, part) for part in NODE_FILTERS if part in wanted)
    if columns := _columns(listed):
        yield ByValues(listed, columns)
    for column, ends in RANGES.items():
        parts = [part for part in ends if part in wanted]
        if parts and column != listed.shape.order.column:
            yield ByColumn(listed, parts)


def _columns(listed: LeakList) -> Sequence[str]:
    """What the index of statuses is to be asked for: its columns down to the last that leaves out some rows."""
    shape = listed.shape
    if shape.is_narrow and not listed.source.are_leaks:
        return ("status", "risk_level_name", "domain_number")
    # The index goes on with the domain: to be asked for one, it has to be asked for levels as well.
    if "risk_level_name" in shape.filter or ("status" in shape.filter and shape.via is Kind.DOMAIN):
        return ("status", "risk_level_name")
    return ("status",) if "status" in shape.filter else ()


def _chosen(listed: LeakList, ways: Sequence[Way]) -> CTE:
    """The number of the way to take: 0 is the order."""
    few: list[tuple[Condition, ColumnElement[int]]] = [
        (way.finds_few(), literal_column(f"{number}")) for number, way in enumerate(ways, 1)
    ]
    number = case((listed.ends_soon(), literal_column("0")), *few, else_=literal_column("0"))
    return listed.beside_parent(select(number.label("way"))).cte(f"{listed.at}chosen")
