"""serve: a server over a database, until a signal ends it."""

import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer
import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from gateway.app import create_app
from gateway.commands.database import DatabaseOption, open_database, read_settings
from gateway.commands.interruption import wait_for
from gateway.commands.listening import bind, listen, origin
from gateway.commands.terminal import hint
from gateway.deadlines import Deadlines
from gateway.explorer.build import ExplorerBuildError, ensure_build
from gateway.logs import configure
from gateway.protocol import GatedProtocol
from gateway.settings import Settings

GRACE_SECONDS = 30
_BACKLOG = 2048
_SILENT_SECONDS = 30
"""A worker that says nothing for so long is replaced; on a busy machine it takes a while to start."""

_STARTUP_FAILED = 3
"""How a worker of uvicorn ends that could not start."""

logger = logging.getLogger(__name__)


def serve(
    host: Annotated[str | None, typer.Option(help="The address to serve on; else LEAKS_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(help="The port to serve on; else LEAKS_PORT; 0 takes a free one.", min=0, max=65535)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve together; else LEAKS_WORKERS.", min=1, max=64)
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Serve a database to clients.

    It must be at the newest version: see migrate. SIGINT and SIGTERM let requests end, and then end the server.
    """
    settings = read_settings(database_url)
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        workers=settings.workers if workers is None else workers,
    )
    wait_for(_check(settings))
    _allow_sockets()
    with bind(settings.host, settings.port) as bound:
        build_explorer()
        configure(settings.log_level)
        if settings.workers == 1:
            run_server(create_app(settings), settings, bound)
        else:
            run_workers(settings, bound)


def _allow_sockets() -> None:
    """Let this process and its workers have as many sockets open as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _check(settings: Settings) -> None:
    """Find out now, and not in a worker, what is missing."""
    async with open_database(settings, serving=True):
        _ = settings.secrets
    if settings.trusted_documents is not None:
        create_app(settings)


def build_explorer() -> None:
    """Build GraphiQL if need be; where that cannot be done, serve without."""
    try:
        ensure_build()
    except ExplorerBuildError as error:
        hint(f"warning: {error} GraphiQL is left out.")


class _Server(uvicorn.Server):
    """Says where it serves, once it does: uvicorn says so only of a socket of its own."""

    def __init__(self, config: uvicorn.Config, at: str) -> None:
        super().__init__(config)
        self._at = at

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        logger.info("Serving on %s", self._at)


def run_server(app: Starlette, settings: Settings, bound: socket.socket) -> None:
    """Serve until a signal ends it: that is a good end, and the exit code says so."""
    listen(bound, _BACKLOG)
    for ending in (signal.SIGINT, signal.SIGTERM):
        # The server raises it again when it is done.
        signal.signal(ending, lambda *_: None)
    try:
        _Server(configuration(app, settings), origin(settings.host, bound)).run(sockets=[bound])
    except SystemExit:
        # It could not start; the log says why.
        sys.exit(1)


def run_workers(settings: Settings, bound: socket.socket) -> None:
    """Serve in several processes until a signal ends them."""
    # They read the environment for themselves.
    os.environ |= {
        "LEAKS_DATABASE_URL": settings.database_url,
        "LEAKS_HOST": settings.host,
        "LEAKS_PORT": str(settings.port),
    }
    # Whoever calls before one of them is up, waits.
    listen(bound, _BACKLOG)
    bound.set_inheritable(True)
    logger.info("Serving on %s", origin(settings.host, bound))
    workers = Multiprocess(configuration("gateway.worker:create_worker", settings), sockets=[bound])
    workers.run()
    if any(worker.exitcode == _STARTUP_FAILED for worker in workers.processes):
        sys.exit(1)


def configuration(app: Starlette | str, settings: Settings) -> uvicorn.Config:
    """How an application is served."""
    deadlines = Deadlines(settings.header_timeout_seconds, settings.body_timeout_seconds, settings.max_header_bytes)
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        loop="uvloop",
        # Not a class, but called like one; workers are sent it as it is.
        http=partial(GatedProtocol, deadlines=deadlines),  # type: ignore[arg-type]
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        backlog=_BACKLOG,
        timeout_keep_alive=settings.header_timeout_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=_SILENT_SECONDS,
    )
