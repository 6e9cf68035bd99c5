"""One process at a time writes to a SQLite file, and checkpoints it.

SQLite sees to it that no two write at once, but lets one write while another checkpoints; before 3.51.3 that can,
once in a long while, damage the file (https://www.sqlite.org/wal.html#walresetbug). The lock is a file's, so it ends
with its process.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from schema.errors import Unavailable

_SECONDS_BETWEEN_TRIES = 0.01


class WriteLock:
    """The right to write to a SQLite file.

    Args:
        path: The database. The lock is on a file beside it: to close one of its own would end SQLite's locks on it.
        seconds: How long whoever else has it is waited for, where nothing else is said.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._database = path
        self._path = path.with_name(f"{path.name}-writer")
        self._seconds = seconds
        self._is_kept = False

    def keep(self) -> None:
        """Let whoever has it have it until the process ends: a thread that nobody waits for may still write."""
        self._is_kept = True

    @asynccontextmanager
    async def held(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Hold it; whoever else has it is waited for as long as is said.

        Raises:
            Unavailable: somebody else does, or it cannot be had.
        """
        try:
            descriptor = self._open()
        except OSError as error:
            raise Unavailable(f"The database cannot be written to: {error.strerror}.") from error
        try:
            await _take(descriptor, self._seconds if seconds is None else seconds)
            yield
        finally:
            if not self._is_kept:
                os.close(descriptor)

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0 and self._database.exists():
            # Like SQLite's own files beside it, it is the database's owner's, who is to write after root as well.
            owner = self._database.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor


async def _take(descriptor: int, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            # No event tells that another process has let go.
            while not _is_taken(descriptor):  # noqa: ASYNC110
                await asyncio.sleep(_SECONDS_BETWEEN_TRIES)
    except TimeoutError as error:
        raise Unavailable("The database cannot be written to: another process writes.") from error


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
