"""The ids of a page of leaks: in the list's order, or gathered through an index of the filter where that finds few.

In order, a page costs what stands ahead of its last row; through an index, it costs all that the index finds. Neither
is good for all values. So a statement counts first, no further than to a bound: the leaks of what a filter names;
whether the order soon meets enough of what is wanted; what other indexes of the filter would find. It takes the first
way that stays below the bound. Where none does, the page is put together by months, if it can be, or else the order is
walked. PostgreSQL chooses by its statistics, but for names, of which those do not tell how many leaks have one, and for
what may be far away.

The newest leaks with a level, for SQLite and abridged:

    WITH chosen AS (SELECT CASE WHEN $ends_soon THEN 0 WHEN $is_few THEN 1 ELSE 0 END AS way),
    way_0 AS (
      SELECT id AS leak_id, added_at AS place FROM leaks
      WHERE organization_number = CASE WHEN (SELECT way FROM chosen) = 0 THEN :organization END AND $in_scope
        AND +risk_level >= :risk_level_min
      ORDER BY place DESC, leak_id DESC LIMIT :limit),
    way_1 AS (
      SELECT leak_id, place FROM (
        SELECT id AS leak_id, added_at AS place FROM leaks
        WHERE organization_number = CASE WHEN (SELECT way FROM chosen) = 1 THEN :organization END AND $in_scope
          AND risk_level >= :risk_level_min LIMIT -1 OFFSET 0)
      ORDER BY place DESC, leak_id DESC LIMIT :limit)
    SELECT leak_id FROM (SELECT * FROM way_0 UNION ALL SELECT * FROM way_1)
    ORDER BY place DESC, leak_id DESC LIMIT :limit

where `$is_few` is

    (SELECT count(*) FROM (
      SELECT 1 FROM leaks WHERE organization_number = :organization AND risk_level >= :risk_level_min LIMIT :few
    )) < :few

The plus keeps SQLite from choosing an index by that column.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, case, literal_column, select, union_all
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import NAMED
from gateway.storage.months import ByMonths, may_be_far_away
from gateway.storage.scope import Condition
from gateway.storage.shapes import PageShape
from gateway.storage.statements import SQLITE
from gateway.storage.ways import (
    RANGES,
    ByColumn,
    ByLogin,
    ByName,
    ByValues,
    Counted,
    InOrder,
    LeakList,
    NextToName,
    Way,
)
from schema.records import Kind


def ids_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """The ids of one parent's page of leaks, from indexes that have all that a list hangs on."""
    listed = LeakList(shape, parent, dialect, at)
    may_choose = shape.page.limit is not None and not shape.in_order
    if may_choose and dialect is SQLITE and "login" in shape.filter and parent is None and shape.is_narrow:
        # In order, it would be all the organization's leaks that are passed over.
        return _ids(ByLogin(listed).page())
    if not may_choose:
        return _ids(InOrder.of(listed).page())
    ways, otherwise = _ways(listed)
    if len(ways) == 1:
        return _ids(otherwise.page())
    chosen = _chosen(listed, ways, otherwise)
    turns = (select(chosen.c.way == literal_column(f"{number}")).scalar_subquery() for number in range(len(ways)))
    pages = [
        listed.beside_parent(way.page(turn)).cte(f"{at}way_{number}")
        for number, (way, turn) in enumerate(zip(ways, turns, strict=True))
    ]
    found = union_all(*(select(*page.c) for page in pages)).subquery(f"{at}found")
    return _ids(listed.page(found)).add_cte(chosen, *pages, nest_here=True)


def _ids(page: Select[Any]) -> Select[Any]:
    return page.with_only_columns(page.selected_columns.leak_id)


def _ways(listed: LeakList) -> tuple[Sequence[Way], Way]:
    """The ways to a list, those first that tend to look at less; and which to take where none finds few."""
    by_name = [*_by_name(listed)]
    order = InOrder.of(listed, looked_at=NAMED if by_name else ())
    ways: list[Way] = [*by_name, order, *_gathering(listed)]
    if not may_be_far_away(listed.shape):
        return ways, order
    months = ByMonths(listed)
    return [*ways, months], months


def _by_name(listed: LeakList) -> Iterator[Counted]:
    named = [part for part in NAMED if part in listed.shape.filter]
    if listed.dialect is SQLITE:
        for part in named:
            yield ByLogin(listed) if part == "login" and listed.source.are_leaks else ByName(listed, part)
    elif not listed.shape.is_narrow:
        # In a narrow one row-level security would pass over nearly all that is counted.
        yield from (NextToName(listed, part) for part in named)


def _gathering(listed: LeakList) -> Iterator[Counted]:
    if listed.dialect is not SQLITE:
        return
    wanted = listed.shape.filter
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


def _chosen(listed: LeakList, ways: Sequence[Way], otherwise: Way) -> CTE:
    """The number of the way to take."""
    few: list[tuple[Condition, ColumnElement[int]]] = [
        (way.finds_few(), literal_column(f"{number}")) for number, way in enumerate(ways) if isinstance(way, Counted)
    ]
    number = case(*few, else_=literal_column(f"{ways.index(otherwise)}"))
    return listed.beside_parent(select(number.label("way"))).cte(f"{listed.at}chosen")
