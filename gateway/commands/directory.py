"""organizations, domains, keys: who there is, and what each may see."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from gateway.commands.database import DatabaseOption, open_database, read_settings, wait_for
from gateway.commands.tables import hint, show
from gateway.keys import generate, hash_key
from gateway.settings import Settings
from gateway.storage import directory
from gateway.storage.engine import Engine
from schema.instants import parse_instant
from schema.records import Domain, Organization
from schema.scope import KeyScope

organizations = typer.Typer(no_args_is_help=True, help="Organizations: whose records there are.")
domains = typer.Typer(no_args_is_help=True, help="Domains: the parts of an organization that leaks belong to.")
keys = typer.Typer(no_args_is_help=True, help="API keys: who may ask, and for what.")

OrganizationOption = Annotated[str, typer.Option("--organization", "-o", metavar="O", help="Its name or id.")]

_SPAN = re.compile(r"([0-9]{1,5})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def now() -> str:
    """This instant."""
    return _instant(datetime.now(UTC))


@organizations.command("add")
def add_organization(name: str, database_url: DatabaseOption = None) -> None:
    """Add an organization. Its id is printed."""

    async def work() -> Organization:
        async with open_database(read_settings(database_url)) as engine:
            return await directory.add_organization(engine, name)

    typer.echo(wait_for(work()).id)


@organizations.command("list")
def list_organizations(database_url: DatabaseOption = None) -> None:
    """List the organizations: id and name."""

    async def work() -> list[Organization]:
        async with open_database(read_settings(database_url)) as engine:
            return await directory.list_organizations(engine)

    show(("id", "name"), ((one.id, one.name) for one in wait_for(work())))


@domains.command("add")
def add_domain(name: str, organization: OrganizationOption, database_url: DatabaseOption = None) -> None:
    """Add a domain to an organization. Its id is printed."""

    async def work() -> Domain:
        async with open_database(read_settings(database_url)) as engine:
            owner = await directory.find_organization(engine, organization)
            return await directory.add_domain(engine, owner, name)

    typer.echo(wait_for(work()).id)


@domains.command("archive")
def archive_domain(name: str, organization: OrganizationOption, database_url: DatabaseOption = None) -> None:
    """Archive a domain: its leaks are shown only where it is named."""

    async def work() -> None:
        async with open_database(read_settings(database_url)) as engine:
            owner = await directory.find_organization(engine, organization)
            await directory.archive_domain(engine, owner, name, now())

    wait_for(work())


@domains.command("restore")
def restore_domain(name: str, organization: OrganizationOption, database_url: DatabaseOption = None) -> None:
    """Take a domain out of the archive."""

    async def work() -> None:
        async with open_database(read_settings(database_url)) as engine:
            owner = await directory.find_organization(engine, organization)
            await directory.restore_domain(engine, owner, name)

    wait_for(work())


@domains.command("list")
def list_domains(organization: OrganizationOption, database_url: DatabaseOption = None) -> None:
    """List an organization's domains: id, name and since when each is archived."""

    async def work() -> list[Domain]:
        async with open_database(read_settings(database_url)) as engine:
            return await directory.list_domains(engine, await directory.find_organization(engine, organization))

    show(("id", "name", "archived"), ((one.id, one.name, one.archived_at) for one in wait_for(work())))


@keys.command("create")
def create_key(
    organization: OrganizationOption,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    scope: Annotated[list[KeyScope] | None, typer.Option(help="May be repeated; leaks:read where left out.")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="A domain it sees; may be repeated; else all.")] = None,
    expires: Annotated[str | None, typer.Option(help="When: 12h, 90d, 2w from now, or an instant in ISO 8601.")] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Create a key. It is printed once, alone on standard output, and kept nowhere."""
    settings = read_settings(database_url)
    expires_at = None if expires is None else parse_expiry(expires, datetime.now(UTC))

    async def work() -> str:
        async with open_database(settings) as engine:
            owner = await directory.find_organization(engine, organization)
            return await issue_key(engine, settings, owner, name, scope or [KeyScope.LEAKS_READ], domain, expires_at)

    typer.echo(wait_for(work()))
    hint("Keep it now: it is shown this once.")


async def issue_key(
    engine: Engine,
    settings: Settings,
    organization: Organization,
    name: str,
    scopes: list[KeyScope],
    domain_names: list[str] | None = None,
    expires_at: str | None = None,
) -> str:
    """Make a key, keep its hash and return its text.

    Raises:
        NotFound: the organization has no such domain.
    """
    found = [await directory.find_domain(engine, organization, one) for one in domain_names or ()]
    key_id, key = generate()
    await directory.add_key(
        engine,
        organization,
        key_id=key_id,
        name=name,
        hash_=hash_key(key, settings.secrets.key),
        scopes=set(scopes),
        domain_numbers={one.number for one in found} if found else None,
        created_at=now(),
        expires_at=expires_at,
    )
    return key


@keys.command("list")
def list_keys(
    organization: Annotated[str | None, typer.Option("--organization", "-o", metavar="O", help="Its own only.")] = None,
    database_url: DatabaseOption = None,
) -> None:
    """List keys: id, organization, name, scopes, number of domains, and when each begins and ends."""

    async def work() -> list[directory.ListedKey]:
        async with open_database(read_settings(database_url)) as engine:
            owner = None if organization is None else await directory.find_organization(engine, organization)
            return await directory.list_keys(engine, owner)

    columns = ("id", "organization", "name", "scopes", "domains", "created", "expires", "revoked")
    show(columns, (_listed(key) for key in wait_for(work())))


def _listed(key: directory.ListedKey) -> tuple[object, ...]:
    seen = "all" if key.domains is None else key.domains
    return (key.id, key.organization, key.name, key.scopes, seen, key.created_at, key.expires_at, key.revoked_at)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(metavar="ID")], database_url: DatabaseOption = None) -> None:
    """Revoke a key by its id, for good."""

    async def work() -> None:
        async with open_database(read_settings(database_url)) as engine:
            await directory.revoke_key(engine, key_id, now())

    wait_for(work())


def parse_expiry(text: str, at: datetime) -> str:
    """The instant that `12h`, `90d`, `2w` or an instant stands for.

    Raises:
        typer.BadParameter: it is neither, or lies in the past.
    """
    try:
        if span := _SPAN.fullmatch(text):
            return _instant(at + int(span[1]) * _UNITS[span[2]])
        instant = parse_instant(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--expires {text}. Valid: 12h, 90d, 2w or an instant in ISO 8601.") from None
    if instant <= _instant(at):
        raise typer.BadParameter(f"--expires {text} lies in the past.")
    return instant


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
