"""organizations: whose records there are."""

from typing import Annotated

import typer

from gateway.commands.database import DatabaseOption, open_database, read_settings
from gateway.commands.examples import examples
from gateway.commands.interruption import wait_for
from gateway.commands.tables import show
from gateway.storage import organizations as stored
from schema.records import Organization

OrganizationOption = Annotated[
    str, typer.Option("--organization", "-o", metavar="O", help="The organization's name or id.")
]

organizations = typer.Typer(no_args_is_help=True, help="Organizations: whose records there are.")


@organizations.command("add", epilog=examples('organizations add "Example Corp"'))
def add_organization(name: str, database_url: DatabaseOption = None) -> None:
    """Add an organization. Its id is printed."""

    async def work() -> Organization:
        async with open_database(read_settings(database_url)) as engine:
            return await stored.add_organization(engine, name)

    typer.echo(wait_for(work()).id)


@organizations.command("list")
def list_organizations(database_url: DatabaseOption = None) -> None:
    """List the organizations: id and name."""

    async def work() -> list[Organization]:
        async with open_database(read_settings(database_url)) as engine:
            return await stored.list_organizations(engine)

    show(("id", "name"), ((one.id, one.name) for one in wait_for(work())))
