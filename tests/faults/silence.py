"""A way to PostgreSQL on which connections go silent: what is sent on them is lost, and nobody is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import make_url

from tests.records import World


class Way:
    """Passes on what PostgreSQL is sent and answers, but for connections that have gone silent.

    Attributes:
        url: Where PostgreSQL is for whoever takes this way.
    """

    def __init__(self, world: World) -> None:
        url = make_url(world.settings.database_url)
        self.url = ""
        self._direct = url.set(query={})
        self._socket = f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"
        self._age = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def silence(self) -> None:
        """Let all connections that there are go silent; new ones are as they should be."""
        self._age += 1

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Way"]:
        """Let it be taken for a while."""
        server = await asyncio.start_server(self._accept, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        self.url = self._direct.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
        for one, other in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass_on(one, other, self._age))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, age: int) -> None:
        with suppress(OSError):
            while sent := await reader.read(65536):
                if age == self._age:
                    writer.write(sent)
        writer.close()
