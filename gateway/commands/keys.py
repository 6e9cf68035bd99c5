"""keys: create, rotate, list and revoke API keys."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from gateway.commands.database import DatabaseOption, read_settings, run_on_database
from gateway.commands.examples import examples
from gateway.commands.organizations import OrganizationOption
from gateway.commands.terminal import hint, show
from gateway.commands.times import parse_expiry, parse_overlap
from gateway.keys import generate, hash_key
from gateway.settings import Settings
from gateway.storage import keys as stored
from gateway.storage.domains import find_domain
from gateway.storage.engine import Engine
from gateway.storage.organizations import find_organization
from schema.instants import now, write_instant
from schema.records import Organization
from schema.scope import KeyScope

KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")]

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

    async def work(engine: Engine) -> str:
        owner = await find_organization(engine, organization)
        return await issue_key(engine, settings, owner, name, scope or [KeyScope.LEAKS_READ], domain, expires_at)

    typer.echo(run_on_database(settings, work))
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
    """Create a key, store its hash and return the key.

    Raises:
        NotFound: the organization has no such domain.
    """
    found = [await find_domain(engine, organization, one) for one in domain_names or ()]
    key_id, key = generate()
    await stored.add_key(
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


@keys.command(
    "rotate",
    epilog=examples(
        "keys rotate f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "keys rotate f47ac10b-58cc-4372-a567-0e02b2c3d479 --overlap 7d --expires 90d",
    ),
)
def rotate_key(
    key_id: KeyArgument,
    overlap: Annotated[
        str, typer.Option(metavar="SPAN", help="How long the old key still works: 24h, 7d or 2w; 0h ends it now.")
    ] = "24h",
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="As in `keys create`; else after as long as the old one was made for."),
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Give a key a successor with its name, scopes and domains.

    It is printed once, alone on standard output, and kept nowhere. The old key expires after the overlap, or when it
    would have, if that is sooner.
    """
    settings = read_settings(database_url)
    at = datetime.now(UTC)
    ends_at = parse_overlap(overlap, at)
    expires_at = None if expires is None else parse_expiry(expires, at)

    async def work(engine: Engine) -> tuple[str, str]:
        old = await stored.find_listed_key(engine, key_id)
        lasts_until = expires_at or _as_long_as(old, at)
        key = await issue_successor(engine, settings, old, at, lasts_until, ends_at)
        old_ends_at = min(old.expires_at or ends_at, ends_at)
        return key, f"It expires: {lasts_until or 'never'}. The one that it succeeds: {old_ends_at}."

    key, words = run_on_database(settings, work)
    typer.echo(key)
    hint(f"Keep it now: it is shown this once. {words}")


async def issue_successor(
    engine: Engine,
    settings: Settings,
    old: stored.ListedKey,
    at: datetime,
    expires_at: str | None,
    ends_at: str,
) -> str:
    """Create a successor of a key, store its hash and return the new key.

    Raises:
        BadUserInput: the old key is revoked or expired.
    """
    key_id, key = generate()
    await stored.rotate_key(
        engine,
        old.id,
        successor_id=key_id,
        hash_=hash_key(key, settings.secrets.key),
        at=write_instant(at),
        expires_at=expires_at,
        ends_at=ends_at,
    )
    return key


def _as_long_as(old: stored.ListedKey, at: datetime) -> str | None:
    """When a successor expires if it has the same lifetime as the old key."""
    if old.expires_at is None:
        return None
    return write_instant(at + (datetime.fromisoformat(old.expires_at) - datetime.fromisoformat(old.created_at)))


@keys.command("list", epilog=examples("keys list", 'keys list --organization "Example Corp"'))
def list_keys(
    organization: Annotated[
        str | None, typer.Option("--organization", "-o", metavar="O", help="Only this organization's; its name or id.")
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """List keys.

    Id, organization, name, scopes, number of domains, and when each was created, last used, expires and was revoked.
    """

    async def work(engine: Engine) -> list[stored.ListedKey]:
        owner = None if organization is None else await find_organization(engine, organization)
        return await stored.list_keys(engine, owner)

    columns = ("id", "organization", "name", "scopes", "domains", "created", "last used", "expires", "revoked")
    show(columns, map(_listed, run_on_database(read_settings(database_url), work)))


def _listed(key: stored.ListedKey) -> tuple[object, ...]:
    seen = "all" if key.domains is None else key.domains
    instants = (key.created_at, key.last_used_at, key.expires_at, key.revoked_at)
    return (key.id, key.organization, key.name, key.scopes, seen, *instants)


@keys.command("revoke", epilog=examples("keys revoke f47ac10b-58cc-4372-a567-0e02b2c3d479"))
def revoke_key(key_id: KeyArgument, database_url: DatabaseOption = None) -> None:
    """Revoke a key by its id, for good."""
    run_on_database(read_settings(database_url), partial(stored.revoke_key, key_id=key_id, at=now()))
