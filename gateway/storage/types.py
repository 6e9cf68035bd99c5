"""Column types that the engines store in different ways: ids and instants; and the months of instants.

In Python both are text. PostgreSQL stores them natively, SQLite stores the text.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Text, Uuid
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine


class Id(TypeDecorator[str]):
    """A UUID in lower case."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that the engine stores."""
        native = Uuid(as_uuid=False) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(native)


class Instant(TypeDecorator[str]):
    """An instant in UTC, ISO 8601 with milliseconds and `Z`, or None.

    The column itself is never null: None is stored as a date before all others. So every order is a plain index, and
    the rows after a cursor are found by one comparison.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that the engine stores."""
        native = TIMESTAMP(timezone=True, precision=3) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(native)

    def bind_expression(self, bindparam: Any) -> ColumnElement[str]:
        """Convert a value as it is stored."""
        return _stored_instant(bindparam, type_=Text())

    def column_expression(self, column: Any) -> ColumnElement[str]:
        """Convert a value as it is read."""
        return _read_instant(column, type_=Text())


NO_MONTH: Final = 0
"""The month of None, before all others."""


def month_of(instant: str | None) -> int:
    """The month that an instant lies in, counted from the year 0: 12 * year + month."""
    return NO_MONTH if instant is None else 12 * int(instant[:4]) + int(instant[5:7])


class _stored_instant(GenericFunction[str]):  # noqa: N801 - it is named as SQL names a function
    inherit_cache = True


class _read_instant(GenericFunction[str]):  # noqa: N801
    inherit_cache = True


@compiles(_stored_instant, "sqlite")
def _store_in_sqlite(element: _stored_instant, compiler: SQLCompiler, **options: Any) -> str:
    return f"coalesce({compiler.process(element.clauses, **options)}, '')"


@compiles(_stored_instant, "postgresql")
def _store_in_postgresql(element: _stored_instant, compiler: SQLCompiler, **options: Any) -> str:
    value = compiler.process(element.clauses, **options)
    return f"coalesce({value}, '-infinity'::timestamptz)"


@compiles(_read_instant, "sqlite")
def _read_in_sqlite(element: _read_instant, compiler: SQLCompiler, **options: Any) -> str:
    return f"nullif({compiler.process(element.clauses, **options)}, '')"


@compiles(_read_instant, "postgresql")
def _read_in_postgresql(element: _read_instant, compiler: SQLCompiler, **options: Any) -> str:
    value = compiler.process(element.clauses, **options)
    known = f"nullif({value}, '-infinity'::timestamptz) AT TIME ZONE 'UTC'"
    return f"""to_char({known}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
