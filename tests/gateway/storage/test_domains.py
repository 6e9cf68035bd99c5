"""Domains, on each engine."""

import pytest

from gateway.storage.domains import add_domain, archive_domain, find_domain, list_domains, restore_domain
from gateway.storage.engine import Engine
from gateway.storage.organizations import add_organization
from schema.errors import NotFound
from schema.records import Organization
from tests.gateway.storage.conftest import LATER


async def test_a_domain_is_kept_in_lower_case_and_found_in_any(engine: Engine, acme: Organization) -> None:
    domain = await add_domain(engine, acme, " Mail.ACME.example ")
    assert (domain.name, domain.archived_at) == ("mail.acme.example", None)
    for name_or_id in ("MAIL.acme.example", domain.id):
        assert await find_domain(engine, acme, name_or_id) == domain


async def test_two_organizations_may_have_domains_of_one_name(engine: Engine, acme: Organization) -> None:
    other = await add_organization(engine, "Other")
    first, second = await add_domain(engine, acme, "a.example"), await add_domain(engine, other, "a.example")
    assert first.id != second.id
    assert await list_domains(engine, acme) == [first]
    with pytest.raises(NotFound):
        await find_domain(engine, acme, second.id)


async def test_a_domain_is_archived_at_an_instant_and_restored(engine: Engine, acme: Organization) -> None:
    domain = await add_domain(engine, acme, "a.example")
    await add_domain(engine, acme, "b.example")
    assert (await archive_domain(engine, acme, "A.example", LATER)).archived_at == LATER
    assert [one.archived_at for one in await list_domains(engine, acme)] == [LATER, None]
    assert await restore_domain(engine, acme, domain.id) == domain
