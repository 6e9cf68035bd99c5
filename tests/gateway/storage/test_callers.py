"""What a request learns of its key, on each engine."""

from gateway.storage.callers import find_key
from gateway.storage.domains import add_domain, archive_domain
from gateway.storage.engine import Engine
from gateway.storage.keys import revoke_key
from gateway.storage.organizations import add_organization
from schema.records import Organization
from schema.scope import KeyScope
from tests.gateway.storage.conftest import KEY, LATER, LATEST, OTHER_KEY, UNKNOWN, keep_key, stored_key
from tests.operations import CountingEngine
from tests.records import FAR_AWAY


async def test_a_key_brings_its_organization_and_every_domain_in_one_statement(
    engine: Engine, acme: Organization
) -> None:
    other = await add_organization(engine, "Other")
    await add_domain(engine, other, "other.example")
    later = await add_domain(engine, acme, "z.example")
    await add_domain(engine, acme, "old.example")
    old = await archive_domain(engine, acme, "old.example", LATER)
    await keep_key(engine, acme, scopes=list(KeyScope), expires_at=FAR_AWAY)
    counting = CountingEngine(engine)
    stored = await stored_key(counting)
    assert len(counting.commands) == 1
    assert (stored.hash, stored.revoked_at, stored.expires_at) == ("plainly-fake", None, FAR_AWAY)
    caller = stored.caller
    assert (caller.key_id, caller.key_name, caller.key_scopes) == (KEY, "dashboard", frozenset(KeyScope))
    assert (caller.expires_at, caller.restricted, caller.organization) == (FAR_AWAY, False, acme)
    assert caller.domains == (old, later)


async def test_a_domain_that_comes_later_is_seen_too(engine: Engine, acme: Organization) -> None:
    await keep_key(engine, acme)
    assert (await stored_key(engine)).caller.domains == ()
    domain = await add_domain(engine, acme, "a.example")
    assert (await stored_key(engine)).caller.domains == (domain,)


async def test_a_restricted_key_sees_its_own_domains_only(engine: Engine, acme: Organization) -> None:
    first, second = [await add_domain(engine, acme, name) for name in ("a.example", "b.example")]
    await keep_key(engine, acme, domains=[first])
    await keep_key(engine, acme, OTHER_KEY, domains=[second])
    for key_id, domain in ((KEY, first), (OTHER_KEY, second)):
        caller = (await stored_key(engine, key_id)).caller
        assert (caller.restricted, caller.domains) == (True, (domain,))


async def test_a_key_restricted_to_nothing_sees_nothing(engine: Engine, acme: Organization) -> None:
    await add_domain(engine, acme, "a.example")
    await keep_key(engine, acme, domains=[])
    caller = (await stored_key(engine)).caller
    assert (caller.restricted, caller.domains) == (True, ())


async def test_a_key_never_sees_a_domain_of_another_organization(engine: Engine, acme: Organization) -> None:
    theirs = await add_domain(engine, await add_organization(engine, "Other"), "theirs.example")
    await keep_key(engine, acme, domains=[theirs])
    assert (await stored_key(engine)).caller.domains == ()


async def test_names_travel_as_they_are(engine: Engine) -> None:
    title, name = 'Äcme "& Søns" \\ 株式会社', 'bücher"\\.example'
    organization = await add_organization(engine, title)
    domain = await add_domain(engine, organization, name)
    await keep_key(engine, organization)
    caller = (await stored_key(engine)).caller
    assert (caller.organization, caller.domains) == (organization, (domain,))


async def test_an_unknown_key_is_not_there(engine: Engine, acme: Organization) -> None:
    await keep_key(engine, acme)
    assert await find_key(engine, UNKNOWN) is None


async def test_a_key_that_is_revoked_or_expired_brings_no_domains(engine: Engine, acme: Organization) -> None:
    await add_domain(engine, acme, "a.example")
    await keep_key(engine, acme)
    await keep_key(engine, acme, OTHER_KEY, expires_at=LATEST)
    await revoke_key(engine, KEY, LATER)
    for key_id in (KEY, OTHER_KEY):
        assert (await stored_key(engine, key_id)).caller.domains == ()
