"""Which access path a page of leaks is found by: in the list's order, or gathered through an index of the filter.

In order, a page costs all rows ahead of its last one; through an index of the filter, all rows that the index finds.
Neither is good for all values. So a statement counts first, up to a bound: the leaks of what the filter names, whether
the first rows in order hold enough of what is wanted, what other indexes of the filter would find. It takes the first
path that stays below the bound. Where none does, the page is put together by months if it can be, or else read in
order. PostgreSQL chooses by its own statistics, except for names, whose number of leaks these do not tell, and for rows
that may be far away in the order.

The newest leaks with a level, for SQLite and abridged:

    WITH chosen AS (SELECT CASE WHEN $ends_soon THEN 0 WHEN $is_few THEN 1 ELSE 0 END AS path),
    path_0 AS (
      SELECT id AS leak_id, added_at AS place FROM leaks
      WHERE organization_number = CASE WHEN (SELECT path FROM chosen) = 0 THEN :organization END AND $in_scope
        AND +risk_level >= :risk_level_min
      ORDER BY place DESC, leak_id DESC LIMIT :limit),
    path_1 AS (
      SELECT leak_id, place FROM (
        SELECT id AS leak_id, added_at AS place FROM leaks
        WHERE organization_number = CASE WHEN (SELECT path FROM chosen) = 1 THEN :organization END AND $in_scope
          AND risk_level >= :risk_level_min LIMIT -1 OFFSET 0)
      ORDER BY place DESC, leak_id DESC LIMIT :limit)
    SELECT leak_id FROM (SELECT * FROM path_0 UNION ALL SELECT * FROM path_1)
    ORDER BY place DESC, leak_id DESC LIMIT :limit

where `$is_few` is

    (SELECT count(*) FROM (
      SELECT 1 FROM leaks WHERE organization_number = :organization AND risk_level >= :risk_level_min LIMIT :few
    )) < :few

The unary plus keeps SQLite from choosing an index by that column.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, case, literal_column, select, union_all
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.access_paths import (
    RANGES,
    AccessPath,
    ByColumn,
    ByLogin,
    ByName,
    ByNameLateral,
    ByValues,
    CountedPath,
    InOrder,
    LeakList,
)
from gateway.storage.conditions import NAMED
from gateway.storage.dialects import SQLITE
from gateway.storage.months import ByMonths, may_be_far_away
from gateway.storage.scope import Condition
from gateway.storage.shapes import PageShape
from schema.records import Kind


def ids_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """The ids of one parent's page of leaks, from indexes that cover all that the list is filtered and ordered by."""
    listed = LeakList(shape, parent, dialect, at)
    may_choose = shape.page.limit is not None and not shape.in_order
    if may_choose and dialect is SQLITE and "login" in shape.filter and parent is None and shape.is_narrow:
        # In order, it would pass over all leaks of the organization.
        return _ids(ByLogin(listed).page())
    if not may_choose:
        return _ids(InOrder.of(listed).page())
    paths, otherwise = _paths(listed)
    if len(paths) == 1:
        return _ids(otherwise.page())
    chosen = _chosen(listed, paths, otherwise)
    pages = []
    for number, path in enumerate(paths):
        is_chosen = select(chosen.c.path == literal_column(f"{number}")).scalar_subquery()
        pages.append(listed.correlated(path.page(is_chosen)).cte(f"{at}path_{number}"))
    found = union_all(*(select(*page.c) for page in pages)).subquery(f"{at}found")
    return _ids(listed.page(found)).add_cte(chosen, *pages, nest_here=True)


def _ids(page: Select[Any]) -> Select[Any]:
    return page.with_only_columns(page.selected_columns.leak_id)


def _paths(listed: LeakList) -> tuple[Sequence[AccessPath], AccessPath]:
    """The paths to a list, the ones that tend to read less first, and the one to take where none finds few."""
    by_name = [*_by_name(listed)]
    order = InOrder.of(listed, unindexed_parts=NAMED if by_name else ())
    paths: list[AccessPath] = [*by_name, order, *_gathering(listed)]
    if not may_be_far_away(listed.shape):
        return paths, order
    months = ByMonths(listed)
    return [*paths, months], months


def _by_name(listed: LeakList) -> Iterator[CountedPath]:
    named = [part for part in NAMED if part in listed.shape.filter]
    if listed.dialect is SQLITE:
        for part in named:
            yield ByLogin(listed) if part == "login" and listed.source.are_leaks else ByName(listed, part)
    elif not listed.shape.is_narrow:
        # In a narrow scope row-level security would hide nearly all rows that are counted.
        yield from (ByNameLateral(listed, part) for part in named)


def _gathering(listed: LeakList) -> Iterator[CountedPath]:
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
    """The first columns of the index of statuses to search by, up to the last one that leaves out some rows."""
    shape = listed.shape
    if shape.is_narrow and not listed.source.are_leaks:
        return ("status", "risk_level_name", "domain_number")
    # The domain comes third in the index: to search by it takes the levels as well.
    if "risk_level_name" in shape.filter or ("status" in shape.filter and shape.via is Kind.DOMAIN):
        return ("status", "risk_level_name")
    return ("status",) if "status" in shape.filter else ()


def _chosen(listed: LeakList, paths: Sequence[AccessPath], otherwise: AccessPath) -> CTE:
    """The number of the path to take, as a query of one row."""
    few: list[tuple[Condition, ColumnElement[int]]] = [
        (path.finds_few(), literal_column(f"{number}"))
        for number, path in enumerate(paths)
        if isinstance(path, CountedPath)
    ]
    number = case(*few, else_=literal_column(f"{paths.index(otherwise)}"))
    return listed.correlated(select(number.label("path"))).cte(f"{listed.at}chosen")
