"""The rows of a page: which leaks a parent has, or which nodes a leak has, in order and up to the limit.

A parent is a row of a list of parents, or a row that the page is read for in passing; it makes no difference here.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Select, bindparam, func, select, true
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import in_scope, matches, of_organization, ordering, parts, within
from gateway.storage.statements import unindexed
from gateway.storage.tables import leaks, links, nodes
from schema.pages import Order, PageRequest
from schema.records import Kind
from schema.store import Counts, Pages


@dataclass(frozen=True, slots=True)
class PageShape:
    """What decides the text of a page's statement; sizes, places and what a filter looks for are values."""

    kind: Kind
    via: Kind | None
    order: Order
    page: PageRequest
    filter: tuple[str, ...]

    @classmethod
    def of(cls, read: Pages) -> "PageShape":
        """The shape of a read."""
        page = read.page
        bounds = PageRequest(
            None if page.limit is None else 0, page.backward, page.after and ("", ""), page.before and ("", "")
        )
        return cls(read.kind, read.via, read.order, bounds, parts(read.filter))

    def without_limit(self) -> "PageShape":
        """The same, of any length."""
        return replace(self, page=replace(self.page, limit=None))


def rows_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """The rows of one parent's page, all columns, in the direction that it is read in."""
    if shape.kind is Kind.LEAK:
        return _leaks_of_page(shape, parent, dialect, at)
    return _nodes_of_page(shape, parent, dialect, at)


def ids_of_page(shape: PageShape, parent: ColumnElement[Any], dialect: Dialect) -> Select[Any]:
    """The ids of one parent's page of leaks, from the one index that has them in order."""
    source = Source.of(shape.kind, shape.via)
    value = source.rows.c[shape.order.column]
    found = select(source.leak_id).where(source.is_of(parent), in_scope(source.rows, dialect))
    if shape.filter:
        leak = leaks.alias("filtered")
        found = found.join_from(source.rows, leak, source.is_leak(leak)).where(*matches(leak, shape.filter, dialect))
    return _bounded(found, shape, value, source.leak_id)


def count_of(read: Counts, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """How many rows one parent's list has."""
    source = Source.of(read.kind, read.via, f"{at}counted_")
    counted: Select[Any] = select(func.count()).select_from(source.rows)
    wanted = parts(read.filter)
    if wanted and not source.are_leaks:
        leak = leaks.alias(f"{at}counted_leak")
        counted = counted.join(leak, source.is_leak(leak)).where(*matches(leak, wanted, dialect, at))
    elif wanted:
        counted = counted.where(*matches(source.rows, wanted, dialect, at))
    return counted.where(source.is_of(parent), in_scope(source.rows, dialect))


def _leaks_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str) -> Select[Any]:
    source = Source.of(shape.kind, shape.via, at)
    leak = source.rows if source.are_leaks else leaks.alias(f"{at}leak")
    value = source.rows.c[shape.order.column]
    found: Select[Any] = select(*leak.c).where(source.is_of(parent), in_scope(source.rows, dialect))
    if not source.are_leaks:
        found = found.join_from(source.rows, leak, source.is_leak(leak))
    return _bounded(found.where(*matches(leak, shape.filter, dialect, at)), shape, value, source.leak_id, at)


def _nodes_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str) -> Select[Any]:
    source = Source.of(shape.kind, shape.via, at)
    node = nodes[shape.kind].alias(f"{at}node")
    found = (
        select(*node.c)
        .join_from(source.rows, node, of_organization(node) & (node.c.id == source.rows.c.node_id))
        .where(source.is_of(parent), in_scope(source.rows, dialect))
    )
    # The nodes of a leak are few: they are sorted, never read in order through all nodes of the organization.
    value, row_id = (unindexed(column, dialect) for column in (node.c[shape.order.column], node.c.id))
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
