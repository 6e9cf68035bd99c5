"""Keys, their rotation and their last use, on each engine."""

from dataclasses import replace

import pytest

from gateway.storage.callers import find_key
from gateway.storage.domains import add_domain
from gateway.storage.engine import Engine
from gateway.storage.keys import list_keys, record_uses, revoke_key, rotate_key
from gateway.storage.organizations import add_organization
from schema.errors import BadUserInput
from schema.instants import now
from schema.records import Domain, Organization
from schema.scope import KeyScope
from tests.gateway.storage.conftest import CREATED, KEY, LATER, LATEST, OTHER_KEY, UNKNOWN, keep_key, stored_key
from tests.records import FAR_AWAY

SOON = "2998-01-01T00:00:00.000Z"


async def test_a_revoked_key_stays_so_since_when_it_was(engine: Engine, acme: Organization) -> None:
    await keep_key(engine, acme)
    await keep_key(engine, acme, OTHER_KEY)
    await revoke_key(engine, KEY.upper(), LATER)
    await revoke_key(engine, KEY, LATEST)
    assert (await stored_key(engine)).revoked_at == LATER
    assert (await stored_key(engine, OTHER_KEY)).revoked_at is None


async def test_keys_are_listed_without_what_would_open_them(engine: Engine, acme: Organization) -> None:
    other = await add_organization(engine, "Other")
    domain = await add_domain(engine, acme, "a.example")
    await keep_key(engine, acme, scopes=list(KeyScope), domains=[domain], expires_at=LATEST)
    await keep_key(engine, other, OTHER_KEY)
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
        await keep_key(engine, acme, domains=[nowhere])
    assert await find_key(engine, KEY) is None


async def _rotate(engine: Engine, *, expires_at: str | None = None, ends_at: str = FAR_AWAY) -> None:
    await rotate_key(
        engine, KEY, successor_id=OTHER_KEY, hash_="also-fake", at=now(), expires_at=expires_at, ends_at=ends_at
    )


async def test_a_successor_has_the_name_scopes_and_domains_and_a_hash_of_its_own(
    engine: Engine, acme: Organization
) -> None:
    domain, _ = [await add_domain(engine, acme, name) for name in ("a.example", "b.example")]
    await keep_key(engine, acme, scopes=list(KeyScope), domains=[domain])
    await _rotate(engine, expires_at=FAR_AWAY)
    old, new = await stored_key(engine), await stored_key(engine, OTHER_KEY)
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
    await keep_key(engine, acme, domains=domains)
    await _rotate(engine)
    new = (await stored_key(engine, OTHER_KEY)).caller
    assert (new.restricted, len(new.domains)) == ((True, 0) if domains == [] else (False, 1))


@pytest.mark.parametrize(
    ("expires_at", "ends_at", "expected"),
    [(None, SOON, SOON), (FAR_AWAY, SOON, SOON), (SOON, FAR_AWAY, SOON)],
)
async def test_the_old_key_expires_after_the_overlap_or_sooner(
    engine: Engine, acme: Organization, expires_at: str | None, ends_at: str, expected: str
) -> None:
    await keep_key(engine, acme, expires_at=expires_at)
    await _rotate(engine, ends_at=ends_at)
    assert (await stored_key(engine)).expires_at == expected
    assert (await stored_key(engine, OTHER_KEY)).expires_at is None


@pytest.mark.parametrize("is_revoked", [True, False])
async def test_nothing_succeeds_a_key_that_is_revoked_or_expired(
    engine: Engine, acme: Organization, is_revoked: bool
) -> None:
    await keep_key(engine, acme, expires_at=None if is_revoked else LATEST)
    if is_revoked:
        await revoke_key(engine, KEY, LATER)
    before = await list_keys(engine)
    with pytest.raises(BadUserInput, match="is revoked or expired"):
        await _rotate(engine)
    assert await list_keys(engine) == before


async def test_the_latest_use_of_a_key_is_kept(engine: Engine, acme: Organization) -> None:
    await keep_key(engine, acme)
    await keep_key(engine, acme, OTHER_KEY)
    for uses in ({KEY: LATER, UNKNOWN: LATER}, {KEY: LATEST}, {KEY: LATER}):
        await record_uses(engine, uses)
    assert [key.last_used_at for key in await list_keys(engine)] == [LATEST, None]
