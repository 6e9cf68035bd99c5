"""Statements of SQLAlchemy Core, compiled once for an engine and bound each time they run; and SQL for both engines."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    FromClause,
    Join,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import Text, TypeEngine

from gateway.storage.bounds import Bounds

SQLITE: Dialect = SQLiteDialect_pysqlite(paramstyle="qmark")
POSTGRESQL: Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


class Command(NamedTuple):
    """SQL with its values in the engine's order, and the bounds that row-level security holds it to.

    With `many`, the values are a sequence of rows, and the SQL runs once for each.
    """

    sql: str
    values: Sequence[Any] = ()
    many: bool = False
    bounds: Bounds = None
    sharing: "Sharing | None" = None


class Sharing(NamedTuple):
    """The point query that a command is, and its id: commands of one query with other ids may run together with it."""

    query: "PointQuery"
    id: str


class PointQuery:
    """A query of one row by its id, with all values bound but the id.

    Args:
        command: The query, with any id.
        at: The index of the id among the values.
        together: Makes the command that reads several ids at once; each of its rows begins with its id.
    """

    def __init__(self, command: Command, at: int, together: Callable[[Sequence[str]], Command]) -> None:
        self.together = together
        self._sql, values, _, self._bounds, _ = command
        self._before, self._behind = tuple(values[:at]), tuple(values[at + 1 :])

    def by(self, id_: str) -> Command:
        """The command that reads the row of an id."""
        return Command(self._sql, (*self._before, id_, *self._behind), False, self._bounds, Sharing(self, id_))


class Statement:
    """A compiled statement.

    Lists are bound as one value each (a JSON array in SQLite, an array in PostgreSQL), so that one text serves any
    number of ids.
    """

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        self.sql = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._constants: dict[str, Any] = dict(compiled.params)
        self._lists = [name for name, one in compiled.binds.items() if isinstance(one.type, (ARRAY, JSONArray))]
        self._dialect = dialect

    def bind(self, bounds: Bounds = None, /, **values: Any) -> Command:
        """The statement with its values."""
        return Command(self.sql, self._row(values), False, bounds)

    def point_query(self, bounds: Bounds, together: Callable[[Sequence[str]], Command], /, **values: Any) -> PointQuery:
        """The statement with all its values bound but `id`, which it has once."""
        return PointQuery(self.bind(bounds, id="", **values), self._names.index("id"), together)

    def bind_many(self, rows: Sequence[Mapping[str, Any]], bounds: Bounds = None) -> Command:
        """The statement once for each row of values."""
        return Command(self.sql, [self._row(values) for values in rows], many=True, bounds=bounds)

    def _row(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        known = {**self._constants, **values}
        for name in self._lists:
            if not isinstance(known[name], str):
                known[name] = bound_list(known[name], self._dialect)
        return tuple(map(known.__getitem__, self._names))


class JSONArray(Text):
    """The type of a list in SQLite."""


def bound_list(values: Sequence[Any], dialect: Dialect) -> Any:
    """A list as it is bound. What many statements bind is converted once, by the caller."""
    return orjson.dumps(values).decode() if dialect is SQLITE else list(values)


def is_too_deep(sql: str) -> bool:
    """Whether a statement is nested too deep for SQLite's parser, whose stack usually holds a hundred symbols.

    An empty database can tell: that it has no such tables is found out only after parsing.
    """
    with closing(sqlite3.connect(":memory:")) as nothing, suppress(sqlite3.ProgrammingError):
        try:
            nothing.execute(sql)
        except sqlite3.OperationalError as error:
            return "stack overflow" in str(error)
    return False


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
