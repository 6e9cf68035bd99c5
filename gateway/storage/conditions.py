"""Filters, cursors and orders as SQL: which of the rows in scope a read asks for."""

from collections.abc import Callable, Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, bindparam, func, literal_column, select, tuple_
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.dialects import SQLITE, is_in, only_if, unindexed
from gateway.storage.scope import Condition, of_organization
from gateway.storage.tables import LISTED_BY, leaks, links, nodes
from schema.pages import Order, PageRequest
from schema.records import Kind
from schema.store import Filter

# ----------------------------------------------------------------- filters

NODE_FILTERS: Final = {
    "filename": (Kind.ENDPOINT, "filename"),
    "identity": (Kind.USER, "identity"),
    "resource": (Kind.RESOURCE, "resource"),
}
"""The parts that name what leaks are connected to, the ones that tend to leave fewer leaks first."""


def _is_before(column: ColumnElement[Any], name: str) -> Condition:
    # A missing date is stored as one before all others, and still lies in no range.
    return (column < bindparam(name)) & (column > bindparam("no_date", None, type_=column.type))


def _contains(column: ColumnElement[Any], name: str, dialect: Dialect) -> Condition:
    """Whether a text contains another, ignoring case in ASCII."""
    if dialect is SQLITE:
        return func.instr(func.lower(column), bindparam(name)) > 0
    return func.strpos(func.lower(column.collate("C")), bindparam(name)) > 0


_COLUMN_FILTERS: Final[dict[str, tuple[str, Callable[[ColumnElement[Any], str, Dialect], Condition]]]] = {
    "status": ("status", lambda column, name, dialect: is_in(dialect, column, name)),
    "risk_level_name": ("risk_level_name", lambda column, name, dialect: is_in(dialect, column, name)),
    "risk_level_min": ("risk_level", lambda column, name, _: column >= bindparam(name)),
    "risk_level_max": ("risk_level", lambda column, name, _: column <= bindparam(name)),
    "first_seen_since": ("first_seen", lambda column, name, _: column >= bindparam(name)),
    "first_seen_until": ("first_seen", lambda column, name, _: _is_before(column, name)),
    "added_at_since": ("added_at", lambda column, name, _: column >= bindparam(name)),
    "added_at_until": ("added_at", lambda column, name, _: _is_before(column, name)),
    "login": ("login_folded", lambda column, name, _: column == bindparam(name)),
    "url_contains": ("url", _contains),
}

NAMED: Final = (*NODE_FILTERS, "login")
"""The parts of a filter that name one thing, by which the ids of its leaks can be found."""

FILTERED: Final = {part: column for part, (column, _) in _COLUMN_FILTERS.items()}
"""The column that each part of a filter compares, for the parts that compare one."""


def parts(wanted: Filter) -> tuple[str, ...]:
    """The parts of a filter that are set; they decide its SQL."""
    return tuple(name for name in Filter.__slots__ if getattr(wanted, name) is not None)


def filter_values(wanted: Filter, at: str = "") -> dict[str, Any]:
    """The values that the conditions of a filter bind, their names prefixed with `at`."""
    return {at + name: getattr(wanted, name) for name in parts(wanted)}


def matches(
    leak: FromClause,
    wanted: Collection[str],
    dialect: Dialect,
    at: str = "",
    *,
    listed: FromClause | None = None,
    unindexed_parts: Collection[str] = (),
) -> list[Condition]:
    """The conditions of a filter on a row of leaks.

    Args:
        leak: The row.
        wanted: The parts of the filter.
        dialect: The engine's.
        at: A prefix of the names of bound values, to tell one read of a statement from another.
        listed: A link to the leak. What it repeats of the leak is compared there, so that its index is enough.
        unindexed_parts: The parts by which no index may be chosen.
    """
    rows = leak if listed is None else listed
    return [_holds(part, rows, leak, dialect, at + part, is_unindexed=part in unindexed_parts) for part in wanted]


def is_listed(part: str) -> bool:
    """Whether a part of a filter can be compared without the row of the leak."""
    return part in NAMED or FILTERED[part] in LISTED_BY


def _holds(
    part: str, rows: FromClause, leak: FromClause, dialect: Dialect, name: str, *, is_unindexed: bool
) -> Condition:
    if part in NODE_FILTERS or (part in NAMED and "id" not in rows.c):
        return _is_among(rows, leaks_of(part, name), dialect, is_probed=is_unindexed)
    column_name, holds = _COLUMN_FILTERS[part]
    column = (rows if is_listed(part) else leak).c[column_name]
    return holds(unindexed(column, dialect) if is_unindexed else column, name, dialect)


def _is_among(rows: FromClause, ids: Select[Any], dialect: Dialect, *, is_probed: bool) -> Condition:
    leak_id = rows.c.id if "id" in rows.c else rows.c.leak_id
    if not is_probed:
        return leak_id.in_(ids)
    probe = ids.where(ids.selected_columns[0] == leak_id)
    # Without an OFFSET PostgreSQL turns it into a join and reads all rows.
    return (probe if dialect is SQLITE else probe.offset(literal_column("0"))).exists()


def leaks_of(part: str, name: str, is_chosen: Condition | None = None) -> Select[Any]:
    """The ids of the leaks that have what a part of a filter names; none unless `is_chosen` holds."""
    if part == "login":
        leak = leaks.alias(f"{name}_leak")
        organization = only_if(is_chosen, bindparam("organization"))
        return select(leak.c.id).where(
            leak.c.organization_number == organization, leak.c.login_folded == bindparam(name)
        )
    kind, column = NODE_FILTERS[part]
    node, link = nodes[kind].alias(f"{name}_node"), links[kind].alias(f"{name}_link")
    return (
        select(link.c.leak_id)
        .join(node, (node.c.organization_number == link.c.organization_number) & (node.c.id == link.c.node_id))
        .where(
            node.c.organization_number == only_if(is_chosen, bindparam("organization")),
            node.c[column] == bindparam(name),
            of_organization(link),
        )
    )


# ------------------------------------------------------------------- pages


def within(
    page: PageRequest, order: Order, value: ColumnElement[Any], row_id: ColumnElement[Any], at: str = ""
) -> list[Condition]:
    """The conditions that keep a read between a page's two cursors (keyset pagination)."""
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
    """The values that the cursors of a page bind."""
    values = {}
    for end in ("after", "before"):
        if (key := getattr(page, end)) is not None:
            values[f"{at}{end}_value"], values[f"{at}{end}_id"] = key
    return values


def ordering(page: PageRequest, order: Order, *columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """The ORDER BY of a page: a page from the end is read backward, so that its limit cuts the right end."""
    return [column.desc() if order.descending != page.backward else column.asc() for column in columns]
