"""An organization, and keys that are kept as quickly as tests need them."""

from collections.abc import Collection

import pytest

from gateway.storage.callers import StoredKey, find_key
from gateway.storage.engine import Engine
from gateway.storage.keys import add_key
from gateway.storage.organizations import add_organization
from schema.records import Domain, Organization
from schema.scope import KeyScope

KEY = "11111111-1111-4111-8111-111111111111"
OTHER_KEY = "22222222-2222-4222-8222-222222222222"
UNKNOWN = "99999999-9999-4999-8999-999999999999"
CREATED = "2026-01-01T00:00:00.000Z"
LATER = "2026-01-02T03:04:05.678Z"
LATEST = "2026-03-01T00:00:00.000Z"
READ = frozenset({KeyScope.LEAKS_READ})


@pytest.fixture
async def acme(engine: Engine) -> Organization:
    """An organization without domains or keys."""
    return await add_organization(engine, "Acme")


async def keep_key(
    engine: Engine,
    organization: Organization,
    key_id: str = KEY,
    *,
    scopes: Collection[KeyScope] = READ,
    domains: Collection[Domain] | None = None,
    expires_at: str | None = None,
) -> None:
    """Keep a key."""
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


async def stored_key(engine: Engine, key_id: str = KEY) -> StoredKey:
    """A key that is there."""
    stored = await find_key(engine, key_id)
    assert stored is not None
    return stored
