"""Domains: which parts of an organization's records there are."""

from uuid import uuid4

from sqlalchemy import bindparam, select, update

from gateway.storage.engine import Engine
from gateway.storage.names import by_name_or_id, checked_name
from gateway.storage.rows import add_row, read_rows, write_rows
from gateway.storage.tables import domains
from schema.errors import BadUserInput, NotFound
from schema.records import Domain, Organization
from schema.scope import canonical_uuid


async def add_domain(engine: Engine, organization: Organization, name: str) -> Domain:
    """Add a domain to an organization; its name is kept in lower case.

    Raises:
        BadUserInput: the name cannot be taken, or is taken.
    """
    # Checked in lower case: a letter may become two.
    id_, name = str(uuid4()), checked_name(name.lower(), "domain")
    values = {"organization_number": organization.number, "id": id_, "name": name, "archived_at": None}
    number = await add_row(engine, domains, ["organization_number", "name"], values)
    if number is None:
        raise BadUserInput(f'There is a domain "{name}" already.')
    return Domain(number, id_, name, None)


async def list_domains(engine: Engine, organization: Organization) -> list[Domain]:
    """The domains of an organization by name, archived ones included."""
    found = (
        select(domains.c.number, domains.c.id, domains.c.name, domains.c.archived_at)
        .where(domains.c.organization_number == bindparam("organization"))
        .order_by(domains.c.name)
    )
    return [Domain(*row) for row in await read_rows(engine, found, organization=organization.number)]


async def find_domain(engine: Engine, organization: Organization, name_or_id: str) -> Domain:
    """The domain of an organization by its name or id.

    Raises:
        NotFound: there is none.
    """
    known = await list_domains(engine, organization)
    found = by_name_or_id(known, name_or_id.strip().lower(), canonical_uuid(name_or_id))
    if found is None:
        raise NotFound(f'{organization.name} has no domain "{name_or_id}". See: domains list.')
    return found


async def archive_domain(engine: Engine, organization: Organization, name_or_id: str, at: str) -> Domain:
    """Archive a domain: its leaks are in scope only where it is named.

    Raises:
        NotFound: there is none.
    """
    return await _set_archived_at(engine, organization, name_or_id, at)


async def restore_domain(engine: Engine, organization: Organization, name_or_id: str) -> Domain:
    """Undo the archiving of a domain.

    Raises:
        NotFound: there is none.
    """
    return await _set_archived_at(engine, organization, name_or_id, None)


async def _set_archived_at(engine: Engine, organization: Organization, name_or_id: str, at: str | None) -> Domain:
    domain = await find_domain(engine, organization, name_or_id)
    change = update(domains).where(domains.c.number == bindparam("domain")).values(archived_at=bindparam("at"))
    await write_rows(engine, change, domain=domain.number, at=at)
    return await find_domain(engine, organization, domain.id)
