"""demo, serve, migrate: from a database to a server."""

import ipaddress
import os
import signal
import socket
import sys
from contextlib import closing
from dataclasses import replace
from typing import Annotated

import typer
import uvicorn
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.commands.database import DatabaseOption, open_database, read_settings, wait_for
from gateway.commands.demonstration import Demonstration, prepare
from gateway.commands.tables import hint
from gateway.explorer.build import ExplorerBuildError, ensure_build
from gateway.logs import configure
from gateway.settings import Settings, data_folder
from gateway.storage.migrations import migrate as migrate_database
from schema.errors import BadUserInput

GRACE_SECONDS = 30

HostOption = Annotated[str | None, typer.Option(help="The address to serve on; else LEAKS_HOST.")]
PortOption = Annotated[int | None, typer.Option(help="The port to serve on; else LEAKS_PORT.", min=0, max=65535)]


def migrate(database_url: DatabaseOption = None) -> None:
    """Bring the database to the newest version; a SQLite file that is not there is made."""
    settings = read_settings(database_url)
    wait_for(migrate_database(settings.database_url))
    hint(f"{settings.shown_database_url} is at the newest version.")


def serve(
    host: HostOption = None,
    port: PortOption = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve together.", min=1, max=64)] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Serve a database to clients; it must be at the newest version."""
    settings = _with_options(read_settings(database_url), host, port)
    settings = settings if workers is None else replace(settings, workers=workers)
    wait_for(_check(settings))
    _check_port(settings)
    _build_explorer()
    configure(settings.log_level)
    if settings.workers == 1:
        _run(create_app(settings), settings)
    else:
        # The workers read the environment for themselves.
        os.environ |= {
            "LEAKS_DATABASE_URL": settings.database_url,
            "LEAKS_HOST": settings.host,
            "LEAKS_PORT": str(settings.port),
        }
        _run("gateway.app:create_worker", settings)


def demo(
    host: Annotated[str, typer.Option(help="An address of this machine's own: loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to serve on.", min=0, max=65535)] = 8000,
    leaks: Annotated[int, typer.Option(help="How many leaks each organization has.", min=1, max=100_000_000)] = 10_000,
    seed: Annotated[int, typer.Option(help="Another number makes other leaks.")] = 1,
    database_url: DatabaseOption = None,
) -> None:
    """Show the gateway with made-up records: a database, two keys, three requests to copy, and GraphiQL."""
    _check_loopback(host)
    settings = _with_options(read_settings(database_url or _demo_url(leaks, seed)), host, port)
    _check_port(settings)
    _build_explorer()
    demonstration = wait_for(prepare(settings, leaks, seed))
    _introduce(demonstration, settings)
    configure(settings.log_level)
    _run(create_app(settings, demo_key=demonstration.read_key), settings)


def _demo_url(leaks: int, seed: int) -> str:
    return f"sqlite:///{data_folder() / f'demo-{leaks}-{seed}.db'}"


def _with_options(settings: Settings, host: str | None, port: int | None) -> Settings:
    return replace(settings, host=host or settings.host, port=settings.port if port is None else port)


async def _check(settings: Settings) -> None:
    async with open_database(settings):
        pass


def _check_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise BadUserInput(f"demo shows its key to whoever opens it, so it serves loopback only, not {host}.")


def _check_port(settings: Settings) -> None:
    """Find out now, and not after the start, whether the port is free."""
    family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    with closing(socket.socket(family, kind, protocol)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise BadUserInput(f"{settings.host}:{settings.port} cannot be served on: {error.strerror}.") from error


def _build_explorer() -> None:
    try:
        ensure_build()
    except ExplorerBuildError as error:
        hint(f"warning: {error} GraphiQL is left out.")


def _run(app: Starlette | str, settings: Settings) -> None:
    """Serve until a signal ends it: that is a good end, and the exit code says so."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # what the server raises again when it is done
    uvicorn.run(
        app,
        factory=isinstance(app, str),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _introduce(demonstration: Demonstration, settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    at = f"http://{host}:{settings.port}"
    key = demonstration.read_key
    curl = f"curl -s {at}/graphql -H 'X-API-Key: {key}' -H 'Content-Type: application/json' --data-binary"
    page = "{ leaks(first: 3) { totalCount nodes { id login riskLevelName status } } }"
    pivot = (
        f'{{ leak(id: \\"{demonstration.leak_id}\\") {{ login connections {{ endpoints {{ nodes {{ filename '
        "leaks(first: 5) { nodes { login connections { users { nodes { identity } } } } } } } } } }"
    )
    sys.stdout.write(
        f"""
GraphiQL   {at}/graphiql
GraphQL    {at}/graphql
REST       {at}/leaks/{{leak_id}}

Key that reads             {key}
Key that reads and writes  {demonstration.write_key}

One leak over REST:
  curl -s {at}/leaks/{demonstration.leak_id} -H 'X-API-Key: {key}'
A page over GraphQL:
  {curl} '{{"query": "{page}"}}'
From a leak over its machine to the users of other leaks:
  {curl} '{{"query": "{pivot}"}}'

Ctrl-C ends it.

"""
    )
    sys.stdout.flush()
