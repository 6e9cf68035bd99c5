"""The rows of a page: which leaks a parent has, or which nodes a leak has, in order and up to the limit.

A parent is a row of a list of parents, or a row that the page is read for in passing; it makes no difference here.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Integer, Select, Subquery, bindparam, func, select, true
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import (
    LISTED_FILTERS,
    NODE_FILTERS,
    as_shown,
    in_scope,
    matches,
    of_leak,
    of_organization,
    ordering,
    parts,
    within,
)
from gateway.storage.statements import SQLITE, each, unindexed
from gateway.storage.tables import leaks, links, nodes
from schema.pages import Order, PageRequest
from schema.records import Kind
from schema.store import Counts, Pages


@dataclass(frozen=True, slots=True)
class PageShape:
    """What decides the text of a page's statement; sizes, places and what a filter looks for are values.

    Attributes:
        restricted: Whether the scope is that of a caller who is limited to some domains.
        by: How the scope's own leaks are found, where not in order from the index of all: `domains`, or the part of the
            filter that names what they are connected to.
    """

    kind: Kind
    via: Kind | None
    order: Order
    page: PageRequest
    filter: tuple[str, ...]
    restricted: bool
    by: str | None = None

    @classmethod
    def of(cls, read: Pages, *, restricted: bool, is_narrow: bool = False) -> "PageShape":
        """The shape of a read; in a narrow scope the scope's own leaks are found by domain."""
        page = read.page
        bounds = PageRequest(
            None if page.limit is None else 0, page.backward, page.after and ("", ""), page.before and ("", "")
        )
        wanted = parts(read.filter)
        is_of_scope = read.kind is Kind.LEAK and read.via is None and page.limit is not None
        by = _by(wanted, is_narrow=is_narrow) if is_of_scope else None
        return cls(read.kind, read.via, read.order, bounds, wanted, restricted, by)

    def without_limit(self) -> "PageShape":
        """The same, of any length."""
        return replace(self, page=replace(self.page, limit=None))


def rows_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """The rows of one parent's page, all columns, in the direction that it is read in."""
    if shape.by is not None:
        return _leaks_by(shape, shape.by, dialect, at)
    if shape.kind is Kind.LEAK:
        return _leaks_of_page(shape, parent, dialect, at)
    return _nodes_of_page(shape, parent, dialect, at)


def ids_of_page(shape: PageShape, parent: ColumnElement[Any], dialect: Dialect, at: str = "") -> Select[Any]:
    """The ids of one parent's page of leaks, from the one index that has them in order."""
    source = Source.of(shape.kind, shape.via, at)
    value = source.rows.c[shape.order.column]
    found = select(source.leak_id).where(source.is_of(parent), in_scope(source.rows, dialect))
    if shape.filter:
        # What the index holds tells without the leak.
        is_listed = source.are_leaks or LISTED_FILTERS.issuperset(shape.filter)
        leak = source.rows if is_listed else leaks.alias(f"{at}filtered")
        found = found if is_listed else found.join_from(source.rows, leak, source.is_leak(leak))
        found = found.where(*matches(leak, shape.filter, dialect, at, listed=source.rows))
    return _bounded(found, shape, value, source.leak_id, at)


def count_of(read: Counts, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """How many rows one parent's list has."""
    source = Source.of(read.kind, read.via, f"{at}counted_")
    counted: Select[Any] = select(func.count()).select_from(source.rows)
    wanted = parts(read.filter)
    if wanted and not source.are_leaks:
        leak = leaks.alias(f"{at}counted_leak")
        counted = counted.join(leak, source.is_leak(leak)).where(
            *matches(leak, wanted, dialect, at, listed=source.rows)
        )
    elif wanted:
        counted = counted.where(*matches(source.rows, wanted, dialect, at))
    return counted.where(source.is_of(parent), in_scope(source.rows, dialect))


def _by(wanted: tuple[str, ...], *, is_narrow: bool) -> str | None:
    """How to find the scope's own leaks without walking past those of others."""
    named = [part for part in ("filename", "identity", "resource") if part in wanted]
    return named[0] if named else "domains" if is_narrow else None


def _leaks_by(shape: PageShape, by: str, dialect: Dialect, at: str) -> Select[Any]:
    """The scope's own leaks: as many as the page can take of each domain, or of each thing of a name; then the page."""
    leak = leaks.alias(f"{at}leak")
    candidates = _candidates_by(shape, by, dialect, at)
    found = select(*leak.c).where(in_scope(leak, dialect), leak.c.id.in_(candidates))
    return _bounded(found, shape, leak.c[shape.order.column], leak.c.id, at)


def _candidates_by(shape: PageShape, by: str, dialect: Dialect, at: str) -> Select[Any]:
    drivers: FromClause
    is_wanted: ColumnElement[bool]
    if by == "domains":
        drivers = each(dialect, "domains", Integer())
        key, via, is_wanted = drivers.c.value, Kind.DOMAIN, true()
    else:
        via, column = NODE_FILTERS[by]
        drivers = nodes[via].alias(f"{at}named")
        key, is_wanted = drivers.c.id, of_organization(drivers) & (drivers.c[column] == bindparam(at + by))
    rest = tuple(part for part in shape.filter if part != by)
    ids = ids_of_page(replace(shape, via=via, filter=rest, by=None), key, dialect, at)
    if dialect is SQLITE:
        source = Source.of(Kind.LEAK, via, f"{at}of_")
        is_candidate = of_organization(source.rows) & source.leak_id.in_(ids.correlate(drivers))
        if not source.are_leaks:
            is_candidate &= source.is_of(key)
        # An outer join, for SQLite goes through its left side first; whatever has no page has a null that is no id.
        return select(source.leak_id).select_from(drivers.outerjoin(source.rows, is_candidate)).where(is_wanted)
    page = ids.lateral(f"{at}ids")
    return select(page.c[0]).select_from(drivers.join(page, true())).where(is_wanted)


def _leaks_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str) -> Select[Any]:
    source = Source.of(shape.kind, shape.via, at)
    leak = source.rows if source.are_leaks else leaks.alias(f"{at}leak")
    value = source.rows.c[shape.order.column]
    found: Select[Any] = select(*leak.c).where(source.is_of(parent), in_scope(source.rows, dialect))
    if not source.are_leaks:
        found = found.join_from(source.rows, leak, source.is_leak(leak))
    wanted = matches(leak, shape.filter, dialect, at, listed=source.rows)
    return _bounded(found.where(*wanted), shape, value, source.leak_id, at)


def nodes_of_leak(shape: PageShape, leak: FromClause, dialect: Dialect, at: str = "") -> Select[Any]:
    """The rows of one page of what a leak is connected to, where the leak is a row that lies in the scope."""
    source = Source.of(shape.kind, shape.via, at)
    return _linked_nodes(shape, source.rows, of_leak(source.rows, leak), dialect, at)


def _nodes_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str) -> Select[Any]:
    source = Source.of(shape.kind, shape.via, at)
    return _linked_nodes(shape, source.rows, source.is_of(parent) & in_scope(source.rows, dialect), dialect, at)


def _linked_nodes(
    shape: PageShape, link: FromClause, is_linked: ColumnElement[bool], dialect: Dialect, at: str
) -> Select[Any]:
    node = as_shown(nodes[shape.kind].alias(f"{at}node"), shape.kind, dialect, restricted=shape.restricted)
    is_node = of_organization(node) & (node.c.id == link.c.node_id)
    found = select(*node.c).join_from(link, node, is_node).where(is_linked)
    # The nodes of a leak are few: they are sorted, never read in order through all nodes of the organization. What is
    # worked out has no index; sorted by as it is shown, it is worked out once.
    shown, row_id = node.c[shape.order.column], unindexed(node.c.id, dialect)
    value = shown if isinstance(node, Subquery) else unindexed(shown, dialect)
    return _bounded(found, shape, value, row_id, at)


def _bounded(
    found: Select[Any], shape: PageShape, value: ColumnElement[Any], row_id: ColumnElement[Any], at: str = ""
) -> Select[Any]:
    bounded = found.where(*within(shape.page, shape.order, value, row_id, at))
    ordered = bounded.order_by(*ordering(shape.page, shape.order, value, row_id))
    return ordered if shape.page.limit is None else ordered.limit(bindparam(f"{at}limit", type_=BigInteger()))


@dataclass(frozen=True, slots=True)
class Source:
    """The rows that tell what belongs to a parent: links, or the leaks themselves."""

    rows: FromClause
    parent: ColumnElement[Any] | None
    leak_id: ColumnElement[Any]
    are_leaks: bool = False

    @classmethod
    def of(cls, kind: Kind, via: Kind | None, at: str = "") -> "Source":
        """The rows that tell which records of a kind belong to a parent; their name begins with `at`."""
        if via is None or via is Kind.DOMAIN:
            rows = leaks.alias(f"{at}leak") if at else leaks
            return cls(rows, None if via is None else rows.c.domain_number, rows.c.id, are_leaks=True)
        link = links[kind if via is Kind.LEAK else via]
        rows = link.alias(f"{at}link") if at else link
        return cls(rows, rows.c.leak_id if via is Kind.LEAK else rows.c.node_id, rows.c.leak_id)

    def is_of(self, parent: ColumnElement[Any] | None) -> ColumnElement[bool]:
        """Whether a row belongs to the parent; all do where there is none."""
        if self.parent is None or parent is None:
            return true()
        return self.parent == parent

    def is_leak(self, leak: FromClause) -> ColumnElement[bool]:
        """Whether a row is about this leak."""
        return of_organization(leak) & (leak.c.id == self.leak_id)
