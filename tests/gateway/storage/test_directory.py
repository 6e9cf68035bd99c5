"""Organizations, domains and keys, on each engine."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

import pytest

from gateway.storage.directory import (
    StoredKey,
    add_domain,
    add_key,
    add_organization,
    archive_domain,
    find_domain,
    find_key,
    find_organization,
    list_domains,
    list_keys,
    list_organizations,
    record_uses,
    restore_domain,
    revoke_key,
    rotate_key,
)
from gateway.storage.engine import Engine
from schema.errors import BadUserInput, NotFound
from schema.instants import now
from schema.records import Domain, Organization
from schema.scope import KeyScope
from tests.operations import CountingEngine
from tests.records import FAR_AWAY

KEY = "11111111-1111-4111-8111-111111111111"
OTHER_KEY = "22222222-2222-4222-8222-222222222222"
UNKNOWN = "99999999-9999-4999-8999-999999999999"
CREATED = "2026-01-01T00:00:00.000Z"
LATER = "2026-01-02T03:04:05.678Z"
LATEST = "2026-03-01T00:00:00.000Z"
SOON = "2998-01-01T00:00:00.000Z"
READ = frozenset({KeyScope.LEAKS_READ})


@pytest.fixture
async def acme(engine: Engine) -> Organization:
    return await add_organization(engine, "Acme")


async def _keep_key(
    engine: Engine,
    organization: Organization,
    key_id: str = KEY,
    *,
    scopes: Collection[KeyScope] = READ,
    domains: Collection[Domain] | None = None,
    expires_at: str | None = None,
) -> None:
    numbers = None if domains is None else [domain.number for domain in domains]
    await add_key(
        engine,
        organization,
        key_id=key_id,
        name="dashboard",
        hash_="plainly-fake",
        scopes=scopes,
        domain_numbers=numbers,
        created_at=CREATED,
        expires_at=expires_at,
    )


async def _stored(engine: Engine, key_id: str = KEY) -> StoredKey:
    stored = await find_key(engine, key_id)
    assert stored is not None
    return stored


# ---------------------------------------------------- organizations and domains


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


async def test_values_are_never_sql(engine: Engine, acme: Organization) -> None:
    name = '\'; DROP TABLE "organizations"; -- %s ? $1 {}'
    added = await add_organization(engine, name)
    assert await list_organizations(engine) == [added, acme]


# ------------------------------------------------------------------------ keys


async def test_a_key_brings_its_organization_and_every_domain_in_one_statement(
    engine: Engine, acme: Organization
) -> None:
    other = await add_organization(engine, "Other")
    await add_domain(engine, other, "other.example")
    later = await add_domain(engine, acme, "z.example")
    await add_domain(engine, acme, "old.example")
    old = await archive_domain(engine, acme, "old.example", LATER)
    await _keep_key(engine, acme, scopes=list(KeyScope), expires_at=FAR_AWAY)
    counting = CountingEngine(engine)
    stored = await _stored(counting)
    assert len(counting.commands) == 1
    assert (stored.hash, stored.revoked_at, stored.expires_at) == ("plainly-fake", None, FAR_AWAY)
    caller = stored.caller
    assert (caller.key_id, caller.key_name, caller.key_scopes) == (KEY, "dashboard", frozenset(KeyScope))
    assert (caller.expires_at, caller.restricted, caller.organization) == (FAR_AWAY, False, acme)
    assert caller.domains == (old, later)


async def test_a_domain_that_comes_later_is_seen_too(engine: Engine, acme: Organization) -> None:
    await _keep_key(engine, acme)
    assert (await _stored(engine)).caller.domains == ()
    domain = await add_domain(engine, acme, "a.example")
    assert (await _stored(engine)).caller.domains == (domain,)


async def test_a_restricted_key_sees_its_own_domains_only(engine: Engine, acme: Organization) -> None:
    first, second = [await add_domain(engine, acme, name) for name in ("a.example", "b.example")]
    await _keep_key(engine, acme, domains=[first])
    await _keep_key(engine, acme, OTHER_KEY, domains=[second])
    for key_id, domain in ((KEY, first), (OTHER_KEY, second)):
        caller = (await _stored(engine, key_id)).caller
        assert (caller.restricted, caller.domains) == (True, (domain,))


async def test_a_key_restricted_to_nothing_sees_nothing(engine: Engine, acme: Organization) -> None:
    await add_domain(engine, acme, "a.example")
    await _keep_key(engine, acme, domains=[])
    caller = (await _stored(engine)).caller
    assert (caller.restricted, caller.domains) == (True, ())


async def test_a_key_never_sees_a_domain_of_another_organization(engine: Engine, acme: Organization) -> None:
    theirs = await add_domain(engine, await add_organization(engine, "Other"), "theirs.example")
    await _keep_key(engine, acme, domains=[theirs])
    assert (await _stored(engine)).caller.domains == ()


async def test_names_travel_as_they_are(engine: Engine) -> None:
    title, name = 'Äcme "& Søns" \\ 株式会社', 'bücher"\\.example'
    organization = await add_organization(engine, title)
    domain = await add_domain(engine, organization, name)
    await _keep_key(engine, organization)
    caller = (await _stored(engine)).caller
    assert (caller.organization, caller.domains) == (organization, (domain,))


async def test_an_unknown_key_is_not_there(engine: Engine, acme: Organization) -> None:
    await _keep_key(engine, acme)
    assert await find_key(engine, UNKNOWN) is None


async def test_a_key_that_is_revoked_or_expired_brings_no_domains(engine: Engine, acme: Organization) -> None:
    await add_domain(engine, acme, "a.example")
    await _keep_key(engine, acme)
    await _keep_key(engine, acme, OTHER_KEY, expires_at=LATEST)
    await revoke_key(engine, KEY, LATER)
    for key_id in (KEY, OTHER_KEY):
        assert (await _stored(engine, key_id)).caller.domains == ()


async def test_a_revoked_key_stays_so_since_when_it_was(engine: Engine, acme: Organization) -> None:
    await _keep_key(engine, acme)
    await _keep_key(engine, acme, OTHER_KEY)
    await revoke_key(engine, KEY.upper(), LATER)
    await revoke_key(engine, KEY, LATEST)
    assert (await _stored(engine)).revoked_at == LATER
    assert (await _stored(engine, OTHER_KEY)).revoked_at is None


async def test_keys_are_listed_without_what_would_open_them(engine: Engine, acme: Organization) -> None:
    other = await add_organization(engine, "Other")
    domain = await add_domain(engine, acme, "a.example")
    await _keep_key(engine, acme, scopes=list(KeyScope), domains=[domain], expires_at=LATEST)
    await _keep_key(engine, other, OTHER_KEY)
    first, second = await list_keys(engine)
    assert (first.id, first.organization, first.name) == (KEY, "Acme", "dashboard")
    assert (first.scopes, first.domains) == ("leaks:explain leaks:read leaks:write", 1)
    assert (first.created_at, first.expires_at, first.revoked_at) == (CREATED, LATEST, None)
    assert (second.organization, second.domains) == ("Other", None)
    assert await list_keys(engine, other) == [second]
    assert "plainly-fake" not in repr(first)


async def test_a_key_that_cannot_be_kept_whole_is_not_kept(engine: Engine, acme: Organization) -> None:
    nowhere = Domain(4711, UNKNOWN, "nowhere.example", None)
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await _keep_key(engine, acme, domains=[nowhere])
    assert await find_key(engine, KEY) is None


# --------------------------------------------------------------- rotation and use


async def _rotate(engine: Engine, *, expires_at: str | None = None, ends_at: str = FAR_AWAY) -> None:
    await rotate_key(
        engine, KEY, successor_id=OTHER_KEY, hash_="also-fake", at=now(), expires_at=expires_at, ends_at=ends_at
    )


async def test_a_successor_has_the_name_scopes_and_domains_and_a_hash_of_its_own(
    engine: Engine, acme: Organization
) -> None:
    domain, _ = [await add_domain(engine, acme, name) for name in ("a.example", "b.example")]
    await _keep_key(engine, acme, scopes=list(KeyScope), domains=[domain])
    await _rotate(engine, expires_at=FAR_AWAY)
    old, new = await _stored(engine), await _stored(engine, OTHER_KEY)
    assert (new.hash, new.expires_at, new.revoked_at) == ("also-fake", FAR_AWAY, None)
    assert new.caller == replace(old.caller, key_id=OTHER_KEY)
    assert new.caller.domains == (domain,)
    first, second = await list_keys(engine)
    assert (first.id, second.id) == (KEY, OTHER_KEY)
    assert second.created_at > first.created_at
    assert second.last_used_at is None


@pytest.mark.parametrize("domains", [None, []], ids=["every domain", "no domain"])
async def test_a_successor_sees_what_the_old_key_sees(
    engine: Engine, acme: Organization, domains: list[Domain] | None
) -> None:
    await add_domain(engine, acme, "a.example")
    await _keep_key(engine, acme, domains=domains)
    await _rotate(engine)
    new = (await _stored(engine, OTHER_KEY)).caller
    assert (new.restricted, len(new.domains)) == ((True, 0) if domains == [] else (False, 1))


@pytest.mark.parametrize(
    ("expires_at", "ends_at", "expected"),
    [(None, SOON, SOON), (FAR_AWAY, SOON, SOON), (SOON, FAR_AWAY, SOON)],
)
async def test_the_old_key_expires_after_the_overlap_or_sooner(
    engine: Engine, acme: Organization, expires_at: str | None, ends_at: str, expected: str
) -> None:
    await _keep_key(engine, acme, expires_at=expires_at)
    await _rotate(engine, ends_at=ends_at)
    assert (await _stored(engine)).expires_at == expected
    assert (await _stored(engine, OTHER_KEY)).expires_at is None


@pytest.mark.parametrize("is_revoked", [True, False])
async def test_nothing_succeeds_a_key_that_is_revoked_or_expired(
    engine: Engine, acme: Organization, is_revoked: bool
) -> None:
    await _keep_key(engine, acme, expires_at=None if is_revoked else LATEST)
    if is_revoked:
        await revoke_key(engine, KEY, LATER)
    before = await list_keys(engine)
    with pytest.raises(BadUserInput, match="is revoked or expired"):
        await _rotate(engine)
    assert await list_keys(engine) == before


async def test_the_latest_use_of_a_key_is_kept(engine: Engine, acme: Organization) -> None:
    await _keep_key(engine, acme)
    await _keep_key(engine, acme, OTHER_KEY)
    for uses in ({KEY: LATER, UNKNOWN: LATER}, {KEY: LATEST}, {KEY: LATER}):
        await record_uses(engine, uses)
    assert [key.last_used_at for key in await list_keys(engine)] == [LATEST, None]
