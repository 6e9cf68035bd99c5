"""One statement by itself, and its rows."""

from typing import Any

from sqlalchemy import Table, bindparam
from sqlalchemy.sql.base import Executable

from gateway.storage.dialects import insert_into
from gateway.storage.engine import Engine, Rows, fetch
from gateway.storage.statements import Statement


async def read_rows(engine: Engine, statement: Executable, **values: Any) -> Rows:
    """The rows of a statement that reads."""
    (rows,) = await engine.run(fetch(Statement(statement, engine.dialect).bind(**values)))
    return rows


async def write_rows(engine: Engine, statement: Executable, **values: Any) -> Rows:
    """The rows of a statement that writes, in a transaction of its own."""
    async with engine.transaction() as transaction:
        (rows,) = await transaction.run(fetch(Statement(statement, engine.dialect).bind(**values)))
    return rows


async def add_row(engine: Engine, table: Table, unique: list[str], values: dict[str, Any]) -> int | None:
    """Add a row and return its number, or None if a row like it in `unique` is there, or is being added by another."""
    adding = insert_into(table, engine.dialect).values({column: bindparam(column) for column in values})
    rows = await write_rows(
        engine, adding.on_conflict_do_nothing(index_elements=unique).returning(table.c.number), **values
    )
    return rows[0][0] if rows else None
