"""A worker: the application of one of several processes that serve together."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

from starlette.applications import Starlette
from starlette.types import Lifespan

from gateway.app import create_app
from gateway.logs import configure, flush
from gateway.settings import Settings
from gateway.storage.engine import DatabaseError

_SECONDS_BETWEEN_TRIES = 1.0
"""How long a worker that finds no database waits before it exits and is replaced."""

logger = logging.getLogger(__name__)


def create_worker() -> Starlette:
    """The application of a worker, which has a log of its own and ends with its parent process."""
    settings = Settings.from_environment(os.environ)
    configure(settings.log_level)
    if (parent := parent_process()) is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    app = create_app(settings)
    app.router.lifespan_context = partial(_retried, app.router.lifespan_context)
    return app


def _end_with(parent: BaseProcess) -> None:
    """Stop this process once its parent has ended."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def _retried(lifespan: Lifespan[Starlette], app: Starlette) -> AsyncIterator[Any]:
    """Exit like a worker that was killed where there is no database: uvicorn then starts another in its place.

    A worker that merely fails to start makes uvicorn stop all of them.
    """
    try:
        async with lifespan(app) as state:
            yield state
    except DatabaseError as error:
        logger.error("%s Another worker tries again.", error)  # noqa: TRY400 - one line for a person
        flush()
        await asyncio.sleep(_SECONDS_BETWEEN_TRIES)
        os._exit(1)
