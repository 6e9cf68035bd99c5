"""A lock for the one process that writes to a SQLite file, or checkpoints it.

SQLite lets one process write while another checkpoints. Before version 3.51.3 that can, very rarely, damage the file
(https://www.sqlite.org/wal.html#walresetbug). It is a lock on a file, so it ends with its process.
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
        path: The database. The lock is on a file beside it: closing the database's own would end SQLite's locks on it.
        seconds: How long to wait for another process that holds it, unless `held` says otherwise.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._database = path
        self._path = path.with_name(f"{path.name}-writer")
        self._seconds = seconds
        self._is_kept = False

    def keep(self) -> None:
        """Keep the lock until the process ends: a thread that was dropped may still write."""
        self._is_kept = True

    @asynccontextmanager
    async def held(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Hold the lock.

        Raises:
            Unavailable: another process holds it for too long, or the file cannot be opened.
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
            # Give it to the database's owner, as SQLite does with its own files, so that they can write after root.
            owner = self._database.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor


async def _take(descriptor: int, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            # No event says that another process has released it.
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
