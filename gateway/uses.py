"""When each key was last used: noted in memory and written at most once a minute, so that no request waits for it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.storage.engine import Engine
from gateway.storage.keys import record_uses
from gateway.storage.patience import finish
from schema.errors import Unavailable

logger = logging.getLogger(__name__)

WRITTEN_EVERY_SECONDS = 60.0


class Uses:
    """Notes when keys were last used.

    Args:
        engine: The database that it is written to.
        every_seconds: The time between two writes.
    """

    def __init__(self, engine: Engine, every_seconds: float = WRITTEN_EVERY_SECONDS) -> None:
        self._engine = engine
        self._every_seconds = every_seconds
        self._last_used_at: dict[str, str] = {}

    def note(self, key_id: str, at: str) -> None:
        """Note that a key is used; a later time stays, should the clock have gone back."""
        self._last_used_at[key_id] = max(at, self._last_used_at.get(key_id, at))

    @asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Write from time to time while the context is open, and once more as it ends."""
        ended = asyncio.Event()
        writing = asyncio.create_task(self._write_until(ended))
        try:
            yield
        finally:
            ended.set()
            await finish(writing, "when keys were last used")

    async def _write_until(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds):
                    await ended.wait()
            await self._write()

    async def _write(self) -> None:
        noted, self._last_used_at = self._last_used_at, {}
        if not noted:
            return
        try:
            await record_uses(self._engine, noted)
        except Unavailable as error:
            # A read-only database is served all the same.
            logger.debug("Not written when keys were last used: %s", error)
            for key_id, at in noted.items():
                self.note(key_id, at)
        except Exception as error:  # noqa: BLE001 - whatever it is, requests go on
            logger.warning("Not written when keys were last used: %s", error)
