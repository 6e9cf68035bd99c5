"""keys: who may ask, and for what."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.commands.clock import now, parse_expiry
from gateway.commands.database import DatabaseOption, open_database, read_settings
from gateway.commands.examples import examples
from gateway.commands.interruption import wait_for
from gateway.commands.organizations import OrganizationOption
from gateway.commands.tables import hint, show
from gateway.keys import generate, hash_key
from gateway.settings import Settings
from gateway.storage import directory
from gateway.storage.engine import Engine
from schema.records import Organization
from schema.scope import KeyScope

keys = typer.Typer(no_args_is_help=True, help="API keys: who may ask, and for what.")


@keys.command(
    "create",
    epilog=examples(
        'keys create --organization "Example Corp" --name dashboard --expires 90d',
        'keys create -o "Example Corp" --domain example.com --scope leaks:read --scope leaks:write',
    ),
)
def create_key(
    organization: OrganizationOption,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    scope: Annotated[list[KeyScope] | None, typer.Option(help="May be repeated; leaks:read where left out.")] = None,
    domain: Annotated[
        list[str] | None, typer.Option(metavar="D", help="A domain it sees; may be repeated; else all.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="12h, 90d or 2w from now, or an instant in ISO 8601; else never.")
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Create a key.

    It is printed once, alone on standard output, and kept nowhere.
    """
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


@keys.command("list", epilog=examples("keys list", 'keys list --organization "Example Corp"'))
def list_keys(
    organization: Annotated[
        str | None, typer.Option("--organization", "-o", metavar="O", help="Only this organization's; its name or id.")
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """List keys.

    Id, organization, name, scopes, number of domains, and when each was created, expires and was revoked.
    """

    async def work() -> list[directory.ListedKey]:
        async with open_database(read_settings(database_url)) as engine:
            owner = None if organization is None else await directory.find_organization(engine, organization)
            return await directory.list_keys(engine, owner)

    columns = ("id", "organization", "name", "scopes", "domains", "created", "expires", "revoked")
    show(columns, (_listed(key) for key in wait_for(work())))


def _listed(key: directory.ListedKey) -> tuple[object, ...]:
    seen = "all" if key.domains is None else key.domains
    return (key.id, key.organization, key.name, key.scopes, seen, key.created_at, key.expires_at, key.revoked_at)


@keys.command("revoke", epilog=examples("keys revoke f47ac10b-58cc-4372-a567-0e02b2c3d479"))
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    database_url: DatabaseOption = None,
) -> None:
    """Revoke a key by its id, for good."""

    async def work() -> None:
        async with open_database(read_settings(database_url)) as engine:
            await directory.revoke_key(engine, key_id, now())

    wait_for(work())
