"""demo: the gateway with made-up records, for the user of this machine."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from gateway.app import create_app
from gateway.commands.database import read_settings
from gateway.commands.demo_database import Demonstration, prepare
from gateway.commands.interruption import wait_for
from gateway.commands.listening import bind, is_loopback, origin
from gateway.commands.serving import build_explorer, run_server
from gateway.logs import configure
from gateway.settings import data_folder
from schema.errors import BadUserInput


def demo(
    host: Annotated[str, typer.Option(help="An address of this machine's own: loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to serve on; 0 takes a free one.", min=0, max=65535)] = 8000,
    leaks: Annotated[int, typer.Option(help="How many leaks each organization has.", min=1, max=100_000_000)] = 10_000,
    seed: Annotated[int, typer.Option(help="Another number makes other leaks.")] = 1,
    database_url: Annotated[
        str | None, typer.Option("--database-url", metavar="URL", help="Another place for the demo's own database.")
    ] = None,
) -> None:
    """Show the gateway with made-up records.

    It makes a database, prints two keys and three requests to copy, and serves them with GraphiQL. The database is kept
    in your data directory and used again; LEAKS_DATABASE_URL is left alone.
    """
    if not is_loopback(host):
        raise BadUserInput(f"demo shows its key to whoever opens it, so it serves loopback only, not {host}.")
    settings = read_settings(database_url or f"sqlite:///{data_folder() / f'demo-{leaks}-{seed}.db'}")
    settings = replace(settings, host=host, port=port, workers=1)
    with bind(host, port) as bound:
        build_explorer()
        demonstration = wait_for(prepare(settings, leaks, seed))
        sys.stdout.write(_introduction(demonstration, origin(host, bound)))
        sys.stdout.flush()
        configure(settings.log_level)
        run_server(create_app(settings, demo_key=demonstration.read_key), settings, bound)


def _introduction(demonstration: Demonstration, at: str) -> str:
    key = demonstration.read_key
    curl = f"curl -s {at}/graphql -H 'X-API-Key: {key}' -H 'Content-Type: application/json' --data-binary"
    page = "{ leaks(first: 3) { totalCount nodes { id login riskLevelName status } } }"
    pivot = (
        f'{{ leak(id: \\"{demonstration.leak_id}\\") {{ login connections {{ endpoints {{ nodes {{ filename '
        "leaks(first: 5) { nodes { login connections { users { nodes { identity } } } } } } } } } }"
    )
    return f"""
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
