"""A database of the benchmark's own, with the records of the tests."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory

from gateway.storage.migrations import migrate
from tests.conftest import new_postgres
from tests.records import World, fill


@contextmanager
def new_world(*, is_postgresql: bool) -> Iterator[World]:
    """A SQLite file or a PostgreSQL server, filled, and gone in the end."""
    with ExitStack() as stack:
        if is_postgresql:
            server = stack.enter_context(new_postgres())
            server.psql("CREATE DATABASE leaks;")
            url = server.get_uri("leaks")
        else:
            url = f"sqlite:///{stack.enter_context(TemporaryDirectory())}/leaks.db"
        asyncio.run(migrate(url))
        yield asyncio.run(fill(url))
