"""A statement of SQLAlchemy Core, compiled once for an engine and bound each time it runs."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple

from sqlalchemy import ARRAY
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.base import Executable

from gateway.storage.bounds import Bounds
from gateway.storage.dialects import JSONArray, bound_list


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
