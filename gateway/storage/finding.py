"""The ids of a page of leaks: in the list's order, or gathered through an index of the filter where that finds few.

In order, a page costs what stands ahead of its last row; through an index, it costs all that the index finds. Neither
is good for all values. So a statement tries the order first, no further than to a bound: where what is wanted is
frequent, that meets enough of it. Else it counts what an index would find, up to the same bound, and takes the first
that stays below it. Where none does, the page is put together by months, if it can be, and else the order is walked.
PostgreSQL chooses by its statistics, but for names, of which those do not tell how many leaks have one, and for months.

The newest leaks with a level, for SQLite and abridged:

    WITH chosen AS (SELECT CASE WHEN $ends_soon THEN 0 WHEN $is_few THEN 1 ELSE 0 END AS way)
    SELECT leak_id FROM (
      SELECT leak_id, place FROM (
        SELECT id AS leak_id, added_at AS place FROM leaks
        WHERE organization_number = CASE WHEN (SELECT way FROM chosen) = 0 THEN :organization END AND $in_scope
          AND +risk_level >= :risk_level_min
        ORDER BY place DESC, leak_id DESC LIMIT :limit)
      UNION ALL
      SELECT leak_id, place FROM (
        SELECT id AS leak_id, added_at AS place FROM leaks
        WHERE organization_number = CASE WHEN (SELECT way FROM chosen) = 1 THEN :organization END AND $in_scope
          AND risk_level >= :risk_level_min LIMIT -1 OFFSET 0
      ) ORDER BY place DESC, leak_id DESC LIMIT :limit
    ) ORDER BY place DESC, leak_id DESC LIMIT :limit

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
from gateway.storage.ways import RANGES, ByColumn, ByLogin, ByName, ByValues, InOrder, LeakList, NextToName, Way
from schema.records import Kind


def ids_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """The ids of one parent's page of leaks, from indexes that have all that a list hangs on."""
    listed = LeakList(shape, parent, dialect, at)
    may_choose = shape.page.limit is not None and not shape.in_order
    if may_choose and dialect is SQLITE and "login" in shape.filter and parent is None and shape.is_narrow:
        # In order, it would be all the organization's leaks that are passed over.
        return _ids(ByLogin(listed).page())
    ways = [*_ways(listed)] if may_choose else [InOrder.of(listed)]
    if len(ways) == 1:
        return _ids(ways[0].page())
    chosen = _chosen(listed, ways)
    turn = select(chosen.c.way).scalar_subquery()
    pages = (way.page(turn == literal_column(f"{number}")) for number, way in enumerate(ways))
    found = union_all(*(select(*listed.beside_parent(page).subquery().c) for page in pages)).subquery(f"{at}found")
    return _ids(listed.page(found)).add_cte(chosen, nest_here=True)


def _ids(page: Select[Any]) -> Select[Any]:
    return page.with_only_columns(page.selected_columns.leak_id)


def _ways(listed: LeakList) -> Iterator[Way]:
    """The ways to a list, those first that tend to look at less."""
    by_name = [*_by_name(listed)]
    yield from by_name
    yield InOrder.of(listed, looked_at=NAMED if by_name else ())
    if listed.dialect is SQLITE:
        yield from _gathering(listed)
    if may_be_far_away(listed.shape):
        yield ByMonths(listed)


def _by_name(listed: LeakList) -> Iterator[Way]:
    named = [part for part in NAMED if part in listed.shape.filter]
    if listed.dialect is SQLITE:
        for part in named:
            yield ByLogin(listed) if part == "login" and listed.source.are_leaks else ByName(listed, part)
    elif not listed.shape.is_narrow:
        # In a narrow one row-level security would pass over nearly all that is counted.
        yield from (NextToName(listed, part) for part in named)


def _gathering(listed: LeakList) -> Iterator[Way]:
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


def _chosen(listed: LeakList, ways: Sequence[Way]) -> CTE:
    """The number of the way to take: the first that finds few, or else the order."""
    few: list[tuple[Condition, ColumnElement[int]]] = [
        (way.finds_few(), literal_column(f"{number}")) for number, way in enumerate(ways)
    ]
    (order,) = (number for number, way in enumerate(ways) if isinstance(way, InOrder))
    number = case(*few, else_=literal_column(f"{order}"))
    return listed.beside_parent(select(number.label("way"))).cte(f"{listed.at}chosen")
