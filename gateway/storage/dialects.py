"""SQL that SQLite and PostgreSQL write in different ways."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    FromClause,
    Join,
    Select,
    Table,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import Text, TypeEngine

SQLITE: Dialect = SQLiteDialect_pysqlite(paramstyle="qmark")
POSTGRESQL: Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


def insert_into(table: Table, dialect: Dialect) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what happens on a conflict."""
    return sqlite.insert(table) if dialect is SQLITE else postgresql.insert(table)


class JSONArray(Text):
    """The type of a list in SQLite."""


def bound_list(values: Sequence[Any], dialect: Dialect) -> Any:
    """A list as it is bound. What many statements bind is converted once, by the caller."""
    return orjson.dumps(values).decode() if dialect is SQLITE else list(values)


def each(dialect: Dialect, name: str, type_: TypeEngine[Any]) -> TableValuedAlias:
    """The values of a bound list as rows: `value`, and `key`, its position: from 0 in SQLite, from 1 in PostgreSQL."""
    if dialect is SQLITE:
        listed = func.json_each(bindparam(name, type_=JSONArray()))
        return listed.table_valued("key", "value", name=name)
    listed = func.unnest(bindparam(name, type_=ARRAY(type_)))
    return listed.table_valued("value", with_ordinality="key", name=name, joins_implicitly=True).render_derived()


def is_in(dialect: Dialect, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether a column holds one of a bound list's values."""
    if dialect is SQLITE:
        from_list = func.json_each(bindparam(name, type_=JSONArray())).table_valued("value")
        return column.in_(from_list.select())
    listed: BindParameter[Any] = bindparam(name, type_=ARRAY(column.type))
    return column == func.any(listed)


def unindexed(column: ColumnElement[Any], dialect: Dialect) -> ColumnElement[Any]:
    """A column by which SQLite chooses no index (https://www.sqlite.org/optoverview.html, 6.1: unary plus)."""
    if dialect is SQLITE:
        return UnaryExpression(column, operator=custom_op("+"), type_=column.type)
    return column


def only_if(condition: ColumnElement[bool] | None, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A value to search an index for, or null where a condition does not hold, which must not depend on the row.

    With a null SQLite reads no row, while a condition by itself would be tried row by row.
    """
    return value if condition is None else case((condition, value))


def for_each(rows: FromClause, values: Mapping[str, ColumnElement[Any]]) -> FromClause:
    """The rows that have one of the values in the JSON list of each column, as index searches of every combination.

    By itself SQLite would search an index for the first list at most. For SQLite only.
    """
    looked_for: FromClause | None = None
    conditions: list[ColumnElement[bool]] = []
    for column, listed in values.items():
        one = func.json_each(listed).table_valued("value", name=f"each_{column}")
        looked_for = one if looked_for is None else ForEach(looked_for, one, true())
        conditions.append(rows.c[column] == one.c.value)
    return rows if looked_for is None else ForEach(looked_for, rows, and_(*conditions))


def rows_for_each(drivers: FromClause, found: Select[Any], dialect: Dialect, at: str) -> Select[Any]:
    """The rows of a correlated query for each row of the drivers: a LATERAL join.

    SQLite has no LATERAL: there each query's rows are packed into one JSON value and unpacked again.
    """
    if dialect is not SQLITE:
        row = found.lateral(f"{at}of_each")
        return select(*row.c).select_from(drivers.join(row, true()))
    one = found.subquery(f"{at}of_each")
    packed = select(func.json_group_array(func.json_array(*one.c))).scalar_subquery()
    value = (unpacked := func.json_each(packed).table_valued("value", name=f"{at}packed")).c.value
    columns = (
        type_coerce(func.json_extract(value, literal_column(f"'$[{place}]'")), column.type).label(column.name)
        for place, column in enumerate(one.c)
    )
    return select(*columns).select_from(ForEach(drivers, unpacked, true()))


class ForEach(Join):
    """A join whose right side is searched once for each row of its left side.

    In SQLite it also fixes the order of the loops (https://www.sqlite.org/optoverview.html, 8.1.4: CROSS JOIN).
    """

    inherit_cache = True

    onclause: ColumnElement[bool]

    def __init__(self, left: FromClause, right: FromClause, onclause: ColumnElement[bool]) -> None:
        super().__init__(left, right, onclause)


@compiles(ForEach, "sqlite")
def _nest(join: ForEach, compiler: SQLCompiler, *, asfrom: bool = False, **options: Any) -> str:  # noqa: ARG001
    left, right = (compiler.process(side, asfrom=True, **options) for side in (join.left, join.right))
    return f"{left} CROSS JOIN {right} ON {compiler.process(join.onclause, **options)}"
