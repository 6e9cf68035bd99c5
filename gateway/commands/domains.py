"""domains: add, archive, restore and list the domains of an organization."""

from typing import Annotated

import typer

from gateway.commands.database import DatabaseOption, read_settings, run_on_database
from gateway.commands.examples import examples
from gateway.commands.organizations import OrganizationOption
from gateway.commands.terminal import show
from gateway.storage import domains as stored
from gateway.storage.engine import Engine
from gateway.storage.organizations import find_organization
from schema.instants import now
from schema.records import Domain

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
DomainArgument = Annotated[str, typer.Argument(metavar="D", help="The domain's name or id.")]

domains = typer.Typer(no_args_is_help=True, help="Domains: the parts of an organization that leaks belong to.")


@domains.command("add", epilog=examples('domains add example.com --organization "Example Corp"'))
def add_domain(name: NameArgument, organization: OrganizationOption, database_url: DatabaseOption = None) -> None:
    """Add a domain to an organization. Its id is printed."""

    async def work(engine: Engine) -> Domain:
        return await stored.add_domain(engine, await find_organization(engine, organization), name)

    typer.echo(run_on_database(read_settings(database_url), work).id)


@domains.command("archive", epilog=examples('domains archive old.example.com --organization "Example Corp"'))
def archive_domain(
    domain: DomainArgument, organization: OrganizationOption, database_url: DatabaseOption = None
) -> None:
    """Archive a domain.

    Its leaks are shown only where it is named.
    """

    async def work(engine: Engine) -> None:
        await stored.archive_domain(engine, await find_organization(engine, organization), domain, now())

    run_on_database(read_settings(database_url), work)


@domains.command("restore", epilog=examples('domains restore old.example.com --organization "Example Corp"'))
def restore_domain(
    domain: DomainArgument, organization: OrganizationOption, database_url: DatabaseOption = None
) -> None:
    """Take a domain out of the archive."""

    async def work(engine: Engine) -> None:
        await stored.restore_domain(engine, await find_organization(engine, organization), domain)

    run_on_database(read_settings(database_url), work)


@domains.command("list")
def list_domains(organization: OrganizationOption, database_url: DatabaseOption = None) -> None:
    """List an organization's domains.

    Id, name, and since when each is archived.
    """

    async def work(engine: Engine) -> list[Domain]:
        return await stored.list_domains(engine, await find_organization(engine, organization))

    listed = run_on_database(read_settings(database_url), work)
    show(("id", "name", "archived"), ((one.id, one.name, one.archived_at) for one in listed))
