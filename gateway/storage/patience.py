"""Short waits for the database, which may hang: before a request is let in, for readiness, and as a process ends."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from schema.errors import Unavailable

T = TypeVar("T")

ANSWER_SECONDS = 3.0

logger = logging.getLogger(__name__)


async def promptly(read: Awaitable[T], seconds: float = ANSWER_SECONDS) -> T:
    """The outcome of a read, which is given up when its time is over.

    Raises:
        Unavailable: it did not end in time.
    """
    # Shielded: while the database hangs, cancelling takes as long as it hangs, and nobody should wait for that.
    reading = asyncio.ensure_future(read)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(reading)
    except TimeoutError as error:
        raise Unavailable from error
    finally:
        reading.cancel()


async def finish(work: Awaitable[None], untold: str) -> None:
    """Wait for the last work of a process; if the database hangs, the log says what was not written (`untold`)."""
    try:
        await promptly(work)
    except Unavailable:
        logger.warning("The database does not answer, so it is not told %s", untold)
