"""organizations: add and list organizations."""

from functools import partial
from typing import Annotated

import typer

from gateway.commands.database import DatabaseOption, read_settings, run_on_database
from gateway.commands.examples import examples
from gateway.commands.terminal import show
from gateway.storage import organizations as stored

OrganizationOption = Annotated[
    str, typer.Option("--organization", "-o", metavar="O", help="The organization's name or id.")
]

organizations = typer.Typer(no_args_is_help=True, help="Organizations: whose records there are.")


@organizations.command("add", epilog=examples('organizations add "Example Corp"'))
def add_organization(name: str, database_url: DatabaseOption = None) -> None:
    """Add an organization. Its id is printed."""
    added = run_on_database(read_settings(database_url), partial(stored.add_organization, name=name))
    typer.echo(added.id)


@organizations.command("list")
def list_organizations(database_url: DatabaseOption = None) -> None:
    """List the organizations: id and name."""
    listed = run_on_database(read_settings(database_url), stored.list_organizations)
    show(("id", "name"), ((one.id, one.name) for one in listed))
