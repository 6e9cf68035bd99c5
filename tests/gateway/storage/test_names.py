"""What organizations and domains may be called, and what is told where a name is not right, on each engine."""

import asyncio

import pytest

from gateway.storage.domains import add_domain, archive_domain, find_domain, restore_domain
from gateway.storage.engine import Engine
from gateway.storage.keys import revoke_key
from gateway.storage.organizations import add_organization, find_organization
from schema.errors import BadUserInput, NotFound
from schema.records import Domain, Organization
from tests.gateway.storage.conftest import LATER, UNKNOWN


async def test_what_is_not_there_is_told(engine: Engine, acme: Organization) -> None:
    for missing in (
        find_organization(engine, "Nobody"),
        find_organization(engine, UNKNOWN),
        find_domain(engine, acme, "nowhere.example"),
        archive_domain(engine, acme, "nowhere.example", LATER),
        restore_domain(engine, acme, UNKNOWN),
        revoke_key(engine, UNKNOWN, LATER),
        revoke_key(engine, "no id", LATER),
    ):
        with pytest.raises(NotFound, match="See: "):
            await missing


async def test_a_name_that_is_taken_is_told(engine: Engine, acme: Organization) -> None:
    await add_domain(engine, acme, "a.example")
    with pytest.raises(BadUserInput, match=r'^There is an organization "Acme" already\.$'):
        await add_organization(engine, " Acme ")
    with pytest.raises(BadUserInput, match=r'^There is a domain "a\.example" already\.$'):
        await add_domain(engine, acme, "A.EXAMPLE")


async def test_of_all_who_add_a_name_at_once_one_does(engine: Engine, acme: Organization) -> None:
    for adding in (
        [add_organization(engine, "Other") for _ in range(5)],
        [add_domain(engine, acme, "a.example") for _ in range(5)],
    ):
        outcomes = await asyncio.gather(*adding, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes)[:4] == ["BadUserInput"] * 4
        assert sum(isinstance(outcome, Organization | Domain) for outcome in outcomes) == 1


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x00b", "a\x1b[31mb", "a\tb", "\ud800", "a" * 256])
async def test_a_name_that_cannot_be_shown_is_refused(engine: Engine, acme: Organization, name: str) -> None:
    for adding in (add_organization(engine, name), add_domain(engine, acme, name)):
        with pytest.raises(BadUserInput, match=r"^Invalid \w+ name\. Valid: 1 to 255 characters"):
            await adding


async def test_a_name_may_be_as_long_as_that(engine: Engine, acme: Organization) -> None:
    assert (await add_domain(engine, acme, "a" * 255)).name == "a" * 255
    with pytest.raises(BadUserInput):
        await add_domain(engine, acme, "İ" * 255)
