"""From a URL to an engine, SQLite's or PostgreSQL's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.storage.engine import DatabaseError, Engine
from gateway.storage.postgresql import PostgreSQLEngine
from gateway.storage.sqlite import BUSY_TIMEOUT_SECONDS, TURN_SECONDS, SQLiteEngine


def parse_url(text: str) -> URL:
    """The parts of `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`.

    Raises:
        DatabaseError: it is neither. The message does not repeat it, since it may hold a password.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        url = None
    name = url.get_backend_name() if url is not None else None
    if url is None or name not in {"sqlite", "postgresql"} or not url.database:
        raise DatabaseError(
            "The database URL cannot be read. Valid: sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME."
        )
    return url


def sqlite_path(url: URL) -> Path:
    """The path of a SQLite URL's file."""
    return Path(str(url.database)).expanduser().absolute()


def make_engine(
    text: str,
    *,
    readers: int = 2,
    pool_size: int = 10,
    serving_role: str | None = None,
    statement_seconds: float | None = None,
) -> SQLiteEngine | PostgreSQLEngine:
    """The engine for the database at a URL, not open yet: to serve if a serving role is given, else to administer.

    PostgreSQL itself ends a statement after `statement_seconds`.

    Raises:
        DatabaseError: the URL cannot be read.
    """
    url = parse_url(text)
    if url.get_backend_name() == "sqlite":
        return SQLiteEngine(sqlite_path(url), readers, TURN_SECONDS if serving_role is None else BUSY_TIMEOUT_SECONDS)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return PostgreSQLEngine(plain, pool_size, serving_role, statement_seconds)


@asynccontextmanager
async def open_engine(text: str, serving_role: str | None = None) -> AsyncIterator[Engine]:
    """Open the database at a URL, to serve if a serving role is given, else to administer; and close it at the end.

    Raises:
        DatabaseError: the URL cannot be read, or what it names cannot be opened or is not ours.
    """
    engine = make_engine(text, serving_role=serving_role)
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()
