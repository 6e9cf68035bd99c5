"""What stands before every answer is waited for briefly: a database that hangs is one that is not available."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from schema.errors import Unavailable

T = TypeVar("T")

ANSWER_SECONDS = 3.0


async def promptly(read: Coroutine[Any, Any, T], seconds: float = ANSWER_SECONDS) -> T:
    """The outcome of a read that is over in time; another one is given up.

    Raises:
        Unavailable: it is not.
    """
    # A task of its own: where the database hangs, giving up takes as long as that does, and nobody waits for it.
    reading = asyncio.create_task(read)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(reading)
    except TimeoutError as error:
        raise Unavailable from error
    finally:
        reading.cancel()
