"""What decides the SQL of a page, and the rows from which it is read."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, FromClause, Select, bindparam, true
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.conditions import NODE_FILTERS, ordering, parts, within
from gateway.storage.dialects import only_if, unindexed
from gateway.storage.scope import Condition, in_scope, of_organization
from gateway.storage.tables import leaks, links
from schema.pages import Order, PageRequest
from schema.records import Kind
from schema.scope import Scope
from schema.store import Pages

_MOST_DOMAINS_OF_A_NARROW_SCOPE = 8
"""A page of so few domains is put together from a page of each: the organization's index holds all others as well."""


class Reach(NamedTuple):
    """What of a scope decides the SQL of a statement.

    Attributes:
        is_narrow: Whether it has few domains: pages are then put together from a page of each.
        restricted: Whether the caller is limited to some domains.
    """

    is_narrow: bool
    restricted: bool

    @classmethod
    def of(cls, scope: Scope) -> "Reach":
        """The reach of a scope."""
        return cls(len(scope.domains) <= _MOST_DOMAINS_OF_A_NARROW_SCOPE, scope.restricted)


@dataclass(frozen=True, slots=True)
class PageShape:
    """What decides the SQL of a page; sizes, cursors and the values of a filter are bound.

    Attributes:
        is_narrow: Whether the scope has few domains.
        restricted: Whether the caller is limited to some domains.
        by: How the leaks of the whole scope are found: by `domains`, by the part of the filter that names what they are
            connected to, by another part (`filter`), or None for the organization's index in order.
        in_order: Whether the leaks are read in order, with no choice of access paths: so they are inside other lists,
            where the choice would be nested too deep for SQLite's parser.
    """

    kind: Kind
    via: Kind | None
    order: Order
    page: PageRequest
    filter: tuple[str, ...]
    is_narrow: bool = False
    restricted: bool = True
    by: str | None = None
    in_order: bool = False

    @classmethod
    def of(cls, read: Pages, reach: Reach) -> "PageShape":
        """The shape of a read."""
        page = read.page
        bounds = PageRequest(
            None if page.limit is None else 0, page.backward, page.after and ("", ""), page.before and ("", "")
        )
        wanted = parts(read.filter)
        are_leaks = read.kind is Kind.LEAK and page.limit is not None
        by = _by(wanted, is_narrow=reach.is_narrow) if are_leaks and read.via is None else None
        is_narrow = are_leaks and reach.is_narrow
        return cls(read.kind, read.via, read.order, bounds, wanted, is_narrow, reach.restricted, by)

    def found(self, *, in_order: bool) -> "PageShape":
        """The same, read in order or by the best access path."""
        return replace(self, in_order=in_order)

    def of_each(self, via: Kind, wanted: tuple[str, ...]) -> "PageShape":
        """The shape of the page of one parent among several; where more is filtered, it is read in order."""
        return replace(self, via=via, filter=wanted, by=None, in_order=self.in_order or bool(wanted))

    def without_limit(self) -> "PageShape":
        """The same without a limit."""
        return replace(self, page=replace(self.page, limit=None))


@dataclass(frozen=True, slots=True)
class Source:
    """The rows from which a list is read: the links of its parents, or the leaks themselves."""

    rows: FromClause
    parent: ColumnElement[Any] | None
    leak_id: ColumnElement[Any]
    are_leaks: bool = False

    @classmethod
    def of(cls, kind: Kind, via: Kind | None, at: str = "") -> "Source":
        """The rows that relate records of a kind to their parents, under an alias that begins with `at`."""
        if via is None or via is Kind.DOMAIN:
            rows = leaks.alias(f"{at}leak") if at else leaks
            return cls(rows, None if via is None else rows.c.domain_number, rows.c.id, are_leaks=True)
        link = links[kind if via is Kind.LEAK else via]
        rows = link.alias(f"{at}link") if at else link
        return cls(rows, rows.c.leak_id if via is Kind.LEAK else rows.c.node_id, rows.c.leak_id)

    def is_of(self, parent: ColumnElement[Any] | None, is_chosen: Condition | None = None) -> Condition:
        """Whether a row belongs to the parent, and the path is chosen; true for all rows where neither is given."""
        if self.parent is not None and parent is not None:
            return self.parent == only_if(is_chosen, parent)
        if is_chosen is not None:
            return self.rows.c.organization_number == only_if(is_chosen, bindparam("organization"))
        return true()

    def is_in_list(self, parent: ColumnElement[Any] | None, is_chosen: Condition | None = None) -> Condition:
        """Whether a row belongs to the parent, or else to the organization, in scope or not."""
        by_parent = self.is_of(parent, is_chosen)
        is_found = self.are_leaks and (parent is not None or is_chosen is not None)
        return by_parent if is_found else of_organization(self.rows) & by_parent

    def is_in_scope(self, dialect: Dialect, is_chosen: Condition | None = None) -> Condition:
        """Whether a row lies in the scope; for use together with `is_of`, which chooses the index."""
        is_found = self.are_leaks and (self.parent is not None or is_chosen is not None)
        return in_scope(self.rows, dialect, by_organization=not is_found)

    def is_found_by_leak(self, parent: ColumnElement[Any] | None, dialect: Dialect) -> Condition:
        """Whether a row belongs to the parent and lies in the scope, without choosing an index by that."""
        if self.are_leaks and self.parent is not None:
            return in_scope(self.rows, dialect) & (unindexed(self.parent, dialect) == parent)
        return self.is_in_scope(dialect) & self.is_of(parent)

    def is_leak(self, leak: FromClause) -> ColumnElement[bool]:
        """Whether a row belongs to this leak."""
        return of_organization(leak) & (leak.c.id == self.leak_id)


def bounded(
    found: Select[Any], shape: PageShape, value: ColumnElement[Any], row_id: ColumnElement[Any], at: str = ""
) -> Select[Any]:
    """The rows between a page's cursors, in the direction that it is read in, up to its limit."""
    within_places = found.where(*within(shape.page, shape.order, value, row_id, at))
    ordered = within_places.order_by(*ordering(shape.page, shape.order, value, row_id))
    return ordered if shape.page.limit is None else ordered.limit(bindparam(f"{at}limit", type_=BigInteger()))


def _by(wanted: tuple[str, ...], *, is_narrow: bool) -> str | None:
    """How to find the leaks of the whole scope without passing over many others (see `PageShape.by`)."""
    named = [part for part in NODE_FILTERS if part in wanted]
    if "login" in wanted:
        return "filter"
    return named[0] if named else "domains" if is_narrow else "filter" if wanted else None
