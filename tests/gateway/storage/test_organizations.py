"""Organizations, on each engine."""

from uuid import UUID

from gateway.storage.engine import Engine
from gateway.storage.organizations import add_organization, find_organization, list_organizations
from schema.records import Organization


async def test_an_organization_is_found_by_its_name_and_by_its_id(engine: Engine, acme: Organization) -> None:
    assert UUID(acme.id).version == 4
    for name_or_id in ("Acme", "  Acme ", acme.id, acme.id.upper()):
        assert await find_organization(engine, name_or_id) == acme


async def test_organizations_are_listed_by_name(engine: Engine) -> None:
    added = [await add_organization(engine, name) for name in ("Zeta", "Acme", "Émile")]
    assert await list_organizations(engine) == [added[1], added[0], added[2]]


async def test_a_name_that_is_the_id_of_another_does_not_get_in_its_way(engine: Engine, acme: Organization) -> None:
    named = await add_organization(engine, acme.id)
    assert await find_organization(engine, acme.id) == acme
    assert await find_organization(engine, named.id) == named


async def test_values_are_never_sql(engine: Engine, acme: Organization) -> None:
    name = '\'; DROP TABLE "organizations"; -- %s ? $1 {}'
    added = await add_organization(engine, name)
    assert await list_organizations(engine) == [added, acme]
