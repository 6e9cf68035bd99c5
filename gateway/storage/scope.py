"""Which rows a read may see: the one place where a scope becomes SQL."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, bindparam, exists, func, literal, literal_column, select
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.dialects import SQLITE, for_each, is_in, unindexed
from gateway.storage.tables import EVERY_VALUE, endpoint_dates, links
from schema.records import Kind
from schema.scope import Scope

Condition = ColumnElement[bool]


def in_scope(rows: FromClause, dialect: Dialect, *, by_organization: bool = True, by_domain: bool = False) -> Condition:
    """Whether a row with an organization and a domain lies in the scope.

    SQLite may choose an index by the organization unless `by_organization` is false, and by the domains only if
    `by_domain` is true: the index is to be chosen by what is asked for.
    """
    organization, domain = rows.c.organization_number, rows.c.domain_number
    is_of_organization = (organization if by_organization else unindexed(organization, dialect)) == bindparam(
        "organization"
    )
    return is_of_organization & is_in(dialect, domain if by_domain else unindexed(domain, dialect), "domains")


def scope_values(scope: Scope) -> dict[str, Any]:
    """The values that `in_scope` binds."""
    return {"organization": scope.organization, "domains": scope.domains}


def of_leak(link: FromClause, leak: FromClause) -> Condition:
    """Whether a link belongs to a leak that is known to lie in the scope, and whose domain it repeats."""
    return of_organization(link) & (link.c.leak_id == leak.c.id) & (link.c.domain_number == leak.c.domain_number)


def of_organization(rows: FromClause) -> Condition:
    """Whether a row belongs to the scope's organization: only for tables that are reached through rows in scope."""
    return rows.c.organization_number == bindparam("organization")


def visible_node(node: FromClause, kind: Kind, dialect: Dialect, *, by_domain: bool) -> Condition:
    """Whether a resource, user or endpoint is connected to a leak in the scope."""
    link = links[kind].alias()
    is_visible = in_scope(link, dialect, by_domain=by_domain) & (link.c.node_id == node.c.id)
    # It selects no column, so that the index covers the query.
    found = exists(literal_column("1")).select_from(_looked_through(link, dialect, by_domain=by_domain))
    return of_organization(node) & found.where(is_visible)


def _looked_through(link: FromClause, dialect: Dialect, *, by_domain: bool) -> FromClause:
    """The links of a node; to search them by domain, SQLite needs values for the columns before it in the index."""
    return for_each(link, EVERY_VALUE) if by_domain and dialect is SQLITE else link


def as_shown(node: FromClause, kind: Kind, dialect: Dialect, *, restricted: bool) -> FromClause:
    """The rows of resources, users or endpoints as a scope sees them.

    A caller who is limited to some domains sees an endpoint's newest date in those; all others see the organization's
    newest date, which is stored in the row.
    """
    if not restricted or kind is not Kind.ENDPOINT:
        return node
    shown = (_date_in_scope(node, dialect) if column.name == "date" else column for column in node.c)
    return select(*shown).subquery()


def _date_in_scope(endpoint: FromClause, dialect: Dialect) -> ColumnElement[Any]:
    dated = endpoint_dates.alias()
    newest = select(func.max(dated.c.date)).where(in_scope(dated, dialect), dated.c.node_id == endpoint.c.id)
    return func.coalesce(newest.scalar_subquery(), literal(None, dated.c.date.type)).label("date")
