"""The rows of a page: the leaks of a parent, or the nodes of a leak, in order and up to the limit.

The parent is a column of an enclosing query, or None for the leaks of the whole scope.
"""

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Integer, Select, Subquery, bindparam, func, select, true
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import NAMED, NODE_FILTERS, is_listed, matches, parts
from gateway.storage.dialects import SQLITE, each, unindexed
from gateway.storage.months import may_be_far_away
from gateway.storage.path_choice import ids_of_page
from gateway.storage.scope import as_shown, in_scope, of_leak, of_organization
from gateway.storage.shapes import PageShape, Source, bounded
from gateway.storage.tables import leaks, nodes
from schema.records import Kind
from schema.store import Counts


def rows_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "") -> Select[Any]:
    """The rows of one parent's page with all columns, in the direction that the page is read in."""
    if shape.by is not None and (dialect is SQLITE or shape.by != "filter" or may_be_far_away(shape)):
        return _leaks_by(shape, shape.by, dialect, at)
    if shape.kind is Kind.LEAK:
        return _leaks_of_page(shape, parent, dialect, at)
    return _nodes_of_page(shape, parent, dialect, at)


def count_of(
    read: Counts, parent: ColumnElement[Any] | None, dialect: Dialect, at: str = "", *, is_narrow: bool
) -> Select[Any]:
    """How many rows one parent's list has; the leaks of a whole narrow scope are counted by domain."""
    source = Source.of(read.kind, read.via, f"{at}counted_")
    counted: Select[Any] = select(func.count()).select_from(source.rows)
    wanted, leak = parts(read.filter), source.rows
    if not source.are_leaks and not all(map(is_listed, wanted)):
        leak = leaks.alias(f"{at}counted_leak")
        counted = counted.join(leak, source.is_leak(leak))
    counted = counted.where(*matches(leak, wanted, dialect, at, listed=source.rows))
    if is_narrow and read.via is None and not wanted:
        return counted.where(in_scope(source.rows, dialect, by_organization=False, by_domain=True))
    if not set(NAMED).isdisjoint(wanted):
        return counted.where(source.is_found_by_leak(parent, dialect))
    return counted.where(source.is_of(parent), source.is_in_scope(dialect))


def _leaks_by(shape: PageShape, by: str, dialect: Dialect, at: str) -> Select[Any]:
    """A page of the whole scope, from a page of each domain or of each thing that a name stands for."""
    leak = leaks.alias(f"{at}leak")
    candidates = _candidates_by(shape, by, dialect, at)
    found = select(*leak.c).where(in_scope(leak, dialect), leak.c.id.in_(candidates))
    return bounded(found, shape, leak.c[shape.order.column], leak.c.id, at)


def _candidates_by(shape: PageShape, by: str, dialect: Dialect, at: str) -> Select[Any]:
    drivers: FromClause
    is_wanted: ColumnElement[bool]
    if by == "filter":
        return ids_of_page(replace(shape, by=None), None, dialect, at)
    if by == "domains":
        drivers = each(dialect, "domains", Integer())
        key, via, is_wanted = drivers.c.value, Kind.DOMAIN, true()
    else:
        via, column = NODE_FILTERS[by]
        drivers = nodes[via].alias(f"{at}named")
        key, is_wanted = drivers.c.id, of_organization(drivers) & (drivers.c[column] == bindparam(at + by))
    rest = tuple(part for part in shape.filter if part != by)
    ids = ids_of_page(shape.of_each(via, rest), key, dialect, at)
    if dialect is SQLITE:
        source = Source.of(Kind.LEAK, via, f"{at}of_")
        is_candidate = of_organization(source.rows) & source.leak_id.in_(ids.correlate(drivers))
        if not source.are_leaks:
            is_candidate &= source.is_of(key)
        # An outer join makes SQLite loop over its left side first; one without a page gives a null, which is no id.
        return select(source.leak_id).select_from(drivers.outerjoin(source.rows, is_candidate)).where(is_wanted)
    page = ids.lateral(f"{at}ids")
    return select(page.c[0]).select_from(drivers.join(page, true())).where(is_wanted)


def _leaks_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str) -> Select[Any]:
    source = Source.of(shape.kind, shape.via, at)
    leak = source.rows if source.are_leaks else leaks.alias(f"{at}leak")
    value = source.rows.c[shape.order.column]
    found: Select[Any] = select(*leak.c).where(source.is_of(parent), source.is_in_scope(dialect))
    if not source.are_leaks:
        found = found.join_from(source.rows, leak, source.is_leak(leak))
    wanted = matches(leak, shape.filter, dialect, at, listed=source.rows)
    return bounded(found.where(*wanted), shape, value, source.leak_id, at)


def nodes_of_leak(shape: PageShape, leak: FromClause, dialect: Dialect, at: str = "") -> Select[Any]:
    """The rows of one page of what a leak is connected to; the leak is a row that is known to lie in the scope."""
    source = Source.of(shape.kind, shape.via, at)
    return _linked_nodes(shape, source.rows, of_leak(source.rows, leak), dialect, at)


def _nodes_of_page(shape: PageShape, parent: ColumnElement[Any] | None, dialect: Dialect, at: str) -> Select[Any]:
    source = Source.of(shape.kind, shape.via, at)
    return _linked_nodes(shape, source.rows, source.is_of(parent) & source.is_in_scope(dialect), dialect, at)


def _linked_nodes(
    shape: PageShape, link: FromClause, is_linked: ColumnElement[bool], dialect: Dialect, at: str
) -> Select[Any]:
    node = as_shown(nodes[shape.kind].alias(f"{at}node"), shape.kind, dialect, restricted=shape.restricted)
    is_node = of_organization(node) & (node.c.id == link.c.node_id)
    found = select(*node.c).join_from(link, node, is_node).where(is_linked)
    # The nodes of a leak are few: they are sorted, never read in order through all nodes of the organization.
    # A computed column has no index anyway, and is computed once if sorted by as it is.
    shown, row_id = node.c[shape.order.column], unindexed(node.c.id, dialect)
    value = shown if isinstance(node, Subquery) else unindexed(shown, dialect)
    return bounded(found, shape, value, row_id, at)
