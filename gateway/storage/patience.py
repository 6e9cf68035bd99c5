"""What stands before every answer, and before the end, is waited for briefly: a database may hang."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from schema.errors import Unavailable

T = TypeVar("T")

ANSWER_SECONDS = 3.0

logger = logging.getLogger(__name__)


async def promptly(read: Awaitable[T], seconds: float = ANSWER_SECONDS) -> T:
    """The outcome of a read that is over in time; another one is given up.

    Raises:
        Unavailable: it is not.
    """
    # A task of its own: where the database hangs, giving up takes as long as that does, and nobody waits for it.
    reading = asyncio.ensure_future(read)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(reading)
    except TimeoutError as error:
        raise Unavailable from error
    finally:
        reading.cancel()


async def finish(work: Awaitable[None], untold: str) -> None:
    """Wait for work that a process ends with; where the database hangs, the log says what it is not told."""
    try:
        await promptly(work)
    except Unavailable:
        logger.warning("The database does not answer, so it is not told %s", untold)
