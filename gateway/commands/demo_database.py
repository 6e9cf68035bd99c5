"""The demo's database: created, or completed, by the same import as any other."""

from dataclasses import dataclass

from gateway.commands.database import open_database
from gateway.commands.keys import issue_key
from gateway.commands.progress import progress
from gateway.commands.terminal import hint
from gateway.importing.demo import ORGANIZATIONS, DemoOrganization, demo_lines
from gateway.importing.importer import import_leaks
from gateway.settings import Settings
from gateway.storage.domains import archive_domain, list_domains
from gateway.storage.engine import Engine
from gateway.storage.keys import list_keys, revoke_key
from gateway.storage.migrations import migrate
from gateway.storage.organizations import add_organization, find_organization, list_organizations
from gateway.storage.reads import SQLStore
from schema.errors import BadUserInput, NotFound
from schema.instants import now
from schema.pages import Order, PageRequest
from schema.records import Domain, Kind, Organization
from schema.scope import KeyScope, Scope
from schema.store import Counts, Pages, ask

KEY_NAME = "demo"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What the demo prints: two keys, and the id of a leak to query."""

    read_key: str
    write_key: str
    leak_id: str


async def prepare(settings: Settings, leaks: int, seed: int) -> Demonstration:
    """Create or complete the demo's database, and replace its keys by new ones.

    Raises:
        DatabaseError: the database cannot be used.
        BadUserInput: it contains other records than the demo's.
    """
    await migrate(settings.database_url, settings.serving_role)
    async with open_database(settings) as engine:
        await _refuse_real_records(engine)
        for made_up in ORGANIZATIONS:
            await _fill(engine, settings, made_up, leaks, seed)
        organization = await find_organization(engine, ORGANIZATIONS[0].name)
        await _revoke_keys(engine, organization)
        read = [KeyScope.LEAKS_READ, KeyScope.LEAKS_EXPLAIN]
        write = [*read, KeyScope.LEAKS_WRITE]
        return Demonstration(
            await issue_key(engine, settings, organization, KEY_NAME, read),
            await issue_key(engine, settings, organization, KEY_NAME, write),
            await _a_leak(engine, organization),
        )


async def _refuse_real_records(engine: Engine) -> None:
    made_up = {one.name for one in ORGANIZATIONS}
    for organization in await list_organizations(engine):
        if organization.name not in made_up:
            raise BadUserInput(f'The database holds records of "{organization.name}"; the demo needs one of its own.')


async def _fill(engine: Engine, settings: Settings, made_up: DemoOrganization, leaks: int, seed: int) -> None:
    try:
        organization = await find_organization(engine, made_up.name)
    except NotFound:
        organization = await add_organization(engine, made_up.name)
    if await _count(engine, organization) < leaks:
        hint(f"Making {leaks} leaks of {made_up.name} …")
        with progress(made_up.name, leaks, "leaks") as report:
            await import_leaks(
                engine,
                organization,
                demo_lines(made_up, leaks, seed),
                secret=settings.secrets.fingerprint,
                create_domains=True,
                report=lambda done: report(done.lines),
            )
    for domain in await list_domains(engine, organization):
        if domain.name in made_up.archived_domains and domain.archived_at is None:
            await archive_domain(engine, organization, domain.name, now())


async def _revoke_keys(engine: Engine, organization: Organization) -> None:
    for key in await list_keys(engine, organization):
        if key.name == KEY_NAME and key.revoked_at is None:
            await revoke_key(engine, key.id, now())


async def _count(engine: Engine, organization: Organization) -> int:
    scope = _scope(organization, await list_domains(engine, organization))
    ((count,),) = await SQLStore(engine).run(ask(scope, [Counts(Kind.LEAK, None, (0,))]))
    return int(count)


async def _a_leak(engine: Engine, organization: Organization) -> str:
    """The newest leak with a known machine: it has the most connections to show."""
    store = SQLStore(engine)
    scope = _scope(organization, [one for one in await list_domains(engine, organization) if one.archived_at is None])
    newest = Pages(Kind.LEAK, None, (0,), PageRequest(100), Order("added_at", descending=True))
    ((page,),) = await store.run(ask(scope, [newest]))
    ids = tuple(leak.id for leak in page.rows)
    machines = Pages(Kind.ENDPOINT, Kind.LEAK, ids, PageRequest(1), Order("date", descending=True))
    (pages,) = await store.run(ask(scope, [machines]))
    return str(next((id_ for id_, found in zip(ids, pages, strict=True) if found.rows), ids[0]))


def _scope(organization: Organization, domains: list[Domain]) -> Scope:
    return Scope(organization.number, tuple(sorted(domain.number for domain in domains)), restricted=False)
