"""Organizations: whose records there are."""

from uuid import uuid4

from sqlalchemy import select

from gateway.storage.engine import Engine
from gateway.storage.names import by_name_or_id, checked_name
from gateway.storage.rows import add_row, read_rows
from gateway.storage.tables import organizations
from schema.errors import BadUserInput, NotFound
from schema.records import Organization
from schema.scope import canonical_uuid


async def add_organization(engine: Engine, name: str) -> Organization:
    """Add an organization.

    Raises:
        BadUserInput: the name cannot be taken, or is taken.
    """
    id_, name = str(uuid4()), checked_name(name, "organization")
    number = await add_row(engine, organizations, ["name"], {"id": id_, "name": name})
    if number is None:
        raise BadUserInput(f'There is an organization "{name}" already.')
    return Organization(number, id_, name)


async def list_organizations(engine: Engine) -> list[Organization]:
    """All organizations, by name."""
    found = select(organizations.c.number, organizations.c.id, organizations.c.name).order_by(organizations.c.name)
    return [Organization(*row) for row in await read_rows(engine, found)]


async def find_organization(engine: Engine, name_or_id: str) -> Organization:
    """The organization by its name or id.

    Raises:
        NotFound: there is none.
    """
    known = await list_organizations(engine)
    found = by_name_or_id(known, name_or_id.strip(), canonical_uuid(name_or_id))
    if found is None:
        raise NotFound(f'There is no organization "{name_or_id}". See: organizations list.')
    return found
