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
    """Whether a row that carries an organization and a domain lies in the scope.

    The domains tell which rows may be seen, never which index to read, unless it is said: that is for what was asked.
    """
    organization, domain = rows.c.organization_number, rows.c.domain_number
    is_of_organization = (organization if by_organization else unindexed(organization, dialect)) == bindparam(
        "organization"
    )
    return is_of_organization & is_in(dialect, domain if by_domain else unindexed(domain, dialect), "domains")


def scope_values(scope: Scope) -> dict[str, Any]:
    """What `in_scope` binds."""
    return {"organization": scope.organization, "domains": scope.domains}


def of_leak(link: FromClause, leak: FromClause) -> Condition:
    """Whether a link is one of a leak that lies in the scope, whose domain it repeats."""
    return of_organization(link) & (link.c.leak_id == leak.c.id) & (link.c.domain_number == leak.c.domain_number)


def of_organization(rows: FromClause) -> Condition:
    """Whether a row belongs to the scope's organization: for tables that are reached through rows in scope only."""
    return rows.c.organization_number == bindparam("organization")


def visible_node(node: FromClause, kind: Kind, dialect: Dialect, *, by_domain: bool) -> Condition:
    """Whether a resource, user or endpoint is connected to a leak in the scope."""
    link = links[kind].alias()
    is_visible = in_scope(link, dialect, by_domain=by_domain) & (link.c.node_id == node.c.id)
    # No column is named, so that an index has all that is.
    found = exists(literal_column("1")).select_from(_looked_through(link, dialect, by_domain=by_domain))
    return of_organization(node) & found.where(is_visible)


def _looked_through(link: FromClause, dialect: Dialect, *, by_domain: bool) -> FromClause:
    """Links of a node; by domain where the other columns are given that the index has in front of it."""
    return for_each(link, EVERY_VALUE) if by_domain and dialect is SQLITE else link


def as_shown(node: FromClause, kind: Kind, dialect: Dialect, *, restricted: bool) -> FromClause:
    """The rows of resources, users or endpoints with what a scope is shown of them.

    Whoever is limited to some domains is shown the newest date that a leak of those gave an endpoint; all others the
    organization's, which stands in the row.
    """
    if not restricted or kind is not Kind.ENDPOINT:
        return node
    shown = (_date_in_scope(node, dialect) if column.name == "date" else column for column in node.c)
    return select(*shown).subquery()


def _date_in_scope(endpoint: FromClause, dialect: Dialect) -> ColumnElement[Any]:
    dated = endpoint_dates.alias()
    newest = select(func.max(dated.c.date)).where(in_scope(dated, dialect), dated.c.node_id == endpoint.c.id)
    return func.coalesce(newest.scalar_subquery(), literal(None, dated.c.date.type)).label("date")
