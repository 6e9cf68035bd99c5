"""serve: run a server on a database until a signal ends it."""

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

from gateway.app import create_app
from gateway.commands.database import DatabaseOption, open_database, read_settings
from gateway.commands.interruption import wait_for
from gateway.commands.listening import bind, listen, origin
from gateway.commands.terminal import hint
from gateway.commands.workers import supervise_workers
from gateway.deadlines import Deadlines
from gateway.explorer.build import ExplorerBuildError, ensure_build
from gateway.logs import configure
from gateway.protocol import GatedProtocol
from gateway.settings import Settings

GRACE_SECONDS = 30
_BACKLOG = 2048
_SILENT_SECONDS = 30
"""A worker that does not respond for this long is replaced; on a busy machine, starting takes a while."""

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
    """Allow this process and its workers as many open sockets as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _check(settings: Settings) -> None:
    """Detect missing prerequisites here rather than in a worker."""
    async with open_database(settings, serving=True):
        _ = settings.secrets
    if settings.trusted_documents is not None:
        create_app(settings)


def build_explorer() -> None:
    """Build GraphiQL if necessary; if that fails, warn and serve without it."""
    try:
        ensure_build()
    except ExplorerBuildError as error:
        hint(f"warning: {error} GraphiQL is left out.")


class _Server(uvicorn.Server):
    """Logs the address once it serves: uvicorn does so only for sockets that it binds itself."""

    def __init__(self, config: uvicorn.Config, at: str) -> None:
        super().__init__(config)
        self._at = at

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        logger.info("Serving on %s", self._at)


def run_server(app: Starlette, settings: Settings, bound: socket.socket) -> None:
    """Serve until a signal ends it, which counts as success in the exit code."""
    listen(bound, _BACKLOG)
    server = _Server(configuration(app, settings), origin(settings.host, bound))
    for ending in (signal.SIGINT, signal.SIGTERM):
        # A signal may come before the server listens to signals, and the server raises it again when it is done.
        signal.signal(ending, server.handle_exit)
    try:
        server.run(sockets=[bound])
    except SystemExit:
        # Startup failed; the log says why.
        sys.exit(1)


def run_workers(settings: Settings, bound: socket.socket) -> None:
    """Serve in several processes until a signal ends them."""
    # Workers read the environment themselves.
    os.environ |= {
        "LEAKS_DATABASE_URL": settings.database_url,
        "LEAKS_HOST": settings.host,
        "LEAKS_PORT": str(settings.port),
    }
    # Connections made before a worker is up have to wait.
    listen(bound, _BACKLOG)
    bound.set_inheritable(True)
    logger.info("Serving on %s", origin(settings.host, bound))
    if not supervise_workers(configuration("gateway.worker:create_worker", settings), bound):
        sys.exit(1)


def configuration(app: Starlette | str, settings: Settings) -> uvicorn.Config:
    """The uvicorn configuration of an application."""
    deadlines = Deadlines(settings.header_timeout_seconds, settings.body_timeout_seconds, settings.max_header_bytes)
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        loop="uvloop",
        # Not a class, but called like one; it is pickled for the workers.
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
