"""Which rows a read may see, and which of those it asks for.

`in_scope` is the one place where a scope becomes SQL.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, bindparam, exists, func, select, tuple_
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.selectable import NamedFromClause

from gateway.storage.statements import SQLITE, is_in, unindexed
from gateway.storage.tables import endpoint_dates, links, nodes
from schema.pages import Order, PageRequest
from schema.records import Kind
from schema.scope import Scope
from schema.store import Filter

Condition = ColumnElement[bool]


def in_scope(rows: FromClause, dialect: Dialect) -> Condition:
    """Whether a row that carries an organization and a domain lies in the scope.

    The domains tell which rows may be seen, never which index to read: that is for what was asked.
    """
    return of_organization(rows) & is_in(dialect, unindexed(rows.c.domain_number, dialect), "domains")


def scope_values(scope: Scope) -> dict[str, Any]:
    """What `in_scope` binds."""
    return {"organization": scope.organization, "domains": scope.domains}


def of_leak(link: FromClause, leak: FromClause) -> Condition:
    """Whether a link is one of a leak that lies in the scope, whose domain it repeats."""
    return of_organization(link) & (link.c.leak_id == leak.c.id) & (link.c.domain_number == leak.c.domain_number)


def of_organization(rows: FromClause) -> Condition:
    """Whether a row belongs to the scope's organization: for tables that are reached through rows in scope only."""
    return rows.c.organization_number == bindparam("organization")


def visible_node(node: FromClause, kind: Kind, dialect: Dialect) -> Condition:
    """Whether a resource, user or endpoint is connected to a leak in the scope."""
    link = links[kind].alias("visible")
    connected = exists().where(in_scope(link, dialect), link.c.node_id == node.c.id)
    return of_organization(node) & connected


def as_shown(node: NamedFromClause, kind: Kind, dialect: Dialect, *, restricted: bool) -> FromClause:
    """The rows of resources, users or endpoints with what a scope is shown of them.

    Whoever is limited to some domains is shown the newest date that a leak of those gave an endpoint; all others the
    organization's, which stands in the row.
    """
    if not restricted or kind is not Kind.ENDPOINT:
        return node
    shown = (_date_in_scope(node, dialect) if column.name == "date" else column for column in node.c)
    return select(*shown).subquery(f"{node.name}_shown")


def _date_in_scope(endpoint: FromClause, dialect: Dialect) -> ColumnElement[Any]:
    date = endpoint_dates.alias("dated")
    newest = select(func.max(date.c.date)).where(in_scope(date, dialect), date.c.node_id == endpoint.c.id)
    no_date = bindparam("no_date", None, type_=date.c.date.type)
    return func.coalesce(newest.scalar_subquery(), no_date).label("date")


# ----------------------------------------------------------------- filters

NODE_FILTERS: Final = {
    "resource": (Kind.RESOURCE, "resource"),
    "identity": (Kind.USER, "identity"),
    "filename": (Kind.ENDPOINT, "filename"),
}

_LEAK_FILTERS: Final[dict[str, Callable[[FromClause, str, Dialect], Condition]]] = {
    "status": lambda leak, name, dialect: is_in(dialect, leak.c.status, name),
    "risk_level_name": lambda leak, name, dialect: is_in(dialect, leak.c.risk_level_name, name),
    "risk_level_min": lambda leak, name, _: leak.c.risk_level >= bindparam(name),
    "risk_level_max": lambda leak, name, _: leak.c.risk_level <= bindparam(name),
    "first_seen_since": lambda leak, name, _: leak.c.first_seen >= bindparam(name),
    "first_seen_until": lambda leak, name, _: _is_before(leak.c.first_seen, name),
    "added_at_since": lambda leak, name, _: leak.c.added_at >= bindparam(name),
    "added_at_until": lambda leak, name, _: _is_before(leak.c.added_at, name),
    "login": lambda leak, name, _: leak.c.login_folded == bindparam(name),
    "url_contains": lambda leak, name, dialect: _contains(leak.c.url, name, dialect),
}


LISTED_FILTERS: Final = frozenset(
    f"{column}_{end}"
    for column, ends in (
        ("risk_level", ("min", "max")),
        ("first_seen", ("since", "until")),
        ("added_at", ("since", "until")),
    )
    for end in ends
)


def parts(wanted: Filter) -> tuple[str, ...]:
    """The parts of a filter that are set: with them a statement's text is known."""
    return tuple(name for name in Filter.__slots__ if getattr(wanted, name) is not None)


def filter_values(wanted: Filter, at: str = "") -> dict[str, Any]:
    """What the conditions of a filter bind; `at` tells the values of one read of a statement from another's."""
    return {at + name: getattr(wanted, name) for name in parts(wanted)}


def matches(
    leak: FromClause, wanted: tuple[str, ...], dialect: Dialect, at: str = "", *, listed: FromClause | None = None
) -> list[Condition]:
    """The conditions of a filter on a row of leaks.

    What leaks are listed by is looked for in `listed`, where that has it as well: its index tells without the leak.
    """
    rows = leak if listed is None else listed
    return [
        _connected_to(leak, *NODE_FILTERS[part], at + part)
        if part in NODE_FILTERS
        else _LEAK_FILTERS[part](rows if part in LISTED_FILTERS else leak, at + part, dialect)
        for part in wanted
    ]


def _connected_to(leak: FromClause, kind: Kind, column: str, name: str) -> Condition:
    node, link = nodes[kind].alias(f"{name}_node"), links[kind].alias(f"{name}_link")
    connected: Select[Any] = (
        select(link.c.leak_id)
        .join(node, (node.c.organization_number == link.c.organization_number) & (node.c.id == link.c.node_id))
        .where(of_organization(node), node.c[column] == bindparam(name), of_organization(link))
    )
    return leak.c.id.in_(connected)


def _is_before(column: ColumnElement[Any], name: str) -> Condition:
    # No date counts as older than any, and still lies in no range.
    return (column < bindparam(name)) & (column > bindparam("no_date", None, type_=column.type))


def _contains(column: ColumnElement[Any], name: str, dialect: Dialect) -> Condition:
    """Whether a text holds another, upper and lower case of ASCII being one."""
    if dialect is SQLITE:
        return func.instr(func.lower(column), bindparam(name)) > 0
    return func.strpos(func.lower(column.collate("C")), bindparam(name)) > 0


# ------------------------------------------------------------------- pages


def within(
    page: PageRequest, order: Order, value: ColumnElement[Any], row_id: ColumnElement[Any], at: str = ""
) -> list[Condition]:
    """The conditions that keep a read between a page's two places (keyset)."""
    place = tuple_(value, row_id)
    after, before = (
        tuple_(bindparam(f"{at}{end}_value", type_=value.type), bindparam(f"{at}{end}_id", type_=row_id.type))
        for end in ("after", "before")
    )
    conditions = []
    if page.after is not None:
        conditions.append(place < after if order.descending else place > after)
    if page.before is not None:
        conditions.append(place > before if order.descending else place < before)
    return conditions


def page_values(page: PageRequest, at: str = "") -> dict[str, Any]:
    """What a page's places bind."""
    values = {}
    for end in ("after", "before"):
        if (key := getattr(page, end)) is not None:
            values[f"{at}{end}_value"], values[f"{at}{end}_id"] = key
    return values


def ordering(page: PageRequest, order: Order, *columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """The direction in which rows are read: the page's own, so that its limit cuts the right end."""
    return [column.desc() if order.descending != page.backward else column.asc() for column in columns]
