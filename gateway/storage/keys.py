"""Keys as administrators list and change them, and when each was last used."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, insert, or_, select, update
from sqlalchemy.engine.interfaces import Dialect

from gateway.keys import masked
from gateway.storage.bounds import KeyIds
from gateway.storage.engine import Engine, fetch
from gateway.storage.names import checked_name
from gateway.storage.rows import read_rows, write_rows
from gateway.storage.statements import Statement
from gateway.storage.tables import key_domains, keys, organizations
from gateway.storage.types import Instant
from schema.errors import BadUserInput, NotFound
from schema.records import Organization
from schema.scope import KeyScope, canonical_uuid


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as administrators see it."""

    id: str
    organization: str
    name: str
    scopes: str
    domains: int | None
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


async def add_key(
    engine: Engine,
    organization: Organization,
    *,
    key_id: str,
    name: str,
    hash_: str,
    scopes: Collection[KeyScope],
    domain_numbers: Collection[int] | None,
    created_at: str,
    expires_at: str | None,
) -> None:
    """Add a key; it sees every domain if `domain_numbers` is None."""
    values = {
        "id": key_id,
        "organization_number": organization.number,
        "name": checked_name(name, "key"),
        "hash": hash_,
        "scopes": " ".join(sorted(scopes)),
        "restricted": domain_numbers is not None,
        "created_at": created_at,
        "expires_at": expires_at,
        "revoked_at": None,
        "last_used_at": None,
    }
    rows = [{"key_id": key_id, "domain_number": number} for number in sorted(domain_numbers or ())]
    adding = Statement(insert(keys).values({column: bindparam(column) for column in values}), engine.dialect)
    limiting = Statement(insert(key_domains), engine.dialect)
    async with engine.transaction() as transaction:
        await transaction.run(fetch(adding.bind(**values)))
        if rows:
            await transaction.run(fetch(limiting.bind_many(rows)))


async def list_keys(engine: Engine, organization: Organization | None = None) -> list[ListedKey]:
    """The keys of one organization or of all, oldest first."""
    limited = (
        select(func.count()).where(key_domains.c.key_id == keys.c.id).correlate(keys).scalar_subquery().label("limited")
    )
    found = (
        select(
            keys.c.id,
            organizations.c.name,
            keys.c.name,
            keys.c.scopes,
            keys.c.restricted,
            limited,
            keys.c.created_at,
            keys.c.last_used_at,
            keys.c.expires_at,
            keys.c.revoked_at,
        )
        .join(organizations, organizations.c.number == keys.c.organization_number)
        .order_by(keys.c.created_at, keys.c.id)
    )
    values: dict[str, Any] = {}
    if organization is not None:
        found = found.where(keys.c.organization_number == bindparam("organization"))
        values["organization"] = organization.number
    return [
        ListedKey(id_, title, name, scopes, count if restricted else None, *instants)
        for id_, title, name, scopes, restricted, count, *instants in await read_rows(engine, found, **values)
    ]


async def find_listed_key(engine: Engine, key_id: str) -> ListedKey:
    """The key with an id, as administrators see it.

    Raises:
        NotFound: there is none.
    """
    canonical = canonical_uuid(key_id)
    found = next((key for key in await list_keys(engine) if key.id == canonical), None)
    if found is None:
        raise NotFound(f'There is no key "{masked(key_id)}". See: keys list.')
    return found


async def revoke_key(engine: Engine, key_id: str, at: str) -> None:
    """Revoke a key; one that is revoked already keeps its time.

    Raises:
        NotFound: there is none with this id.
    """
    key = await find_listed_key(engine, key_id)
    if key.revoked_at is None:
        change = update(keys).where(keys.c.id == bindparam("key")).values(revoked_at=bindparam("at"))
        await write_rows(engine, change, key=key.id, at=at)


async def rotate_key(
    engine: Engine, key_id: str, *, successor_id: str, hash_: str, at: str, expires_at: str | None, ends_at: str
) -> None:
    """Add a successor with a key's name, scopes and domains, and let the key itself expire at `ends_at` at the latest.

    Raises:
        BadUserInput: the key is revoked or expired.
    """
    values = {"key_id": key_id, "successor": successor_id, "at": at}
    async with engine.transaction() as transaction:
        adding = _successor(engine.dialect).bind(**values, hash=hash_, expires_at=expires_at)
        (added,) = await transaction.run(fetch(adding))
        if not added:
            raise BadUserInput(f'The key "{key_id}" is revoked or expired, so nothing succeeds it. See: keys create.')
        limiting = _successor_domains(engine.dialect).bind(key_id=key_id, successor=successor_id)
        ending = _ending(engine.dialect).bind(key_id=key_id, ends_at=ends_at)
        await transaction.run(fetch(limiting, ending))


def _successor(dialect: Dialect) -> Statement:
    key = keys.c
    new = {
        "id": bindparam("successor", type_=key.id.type),
        "organization_number": key.organization_number,
        "name": key.name,
        "hash": bindparam("hash", type_=key.hash.type),
        "scopes": key.scopes,
        "restricted": key.restricted,
        "created_at": bindparam("at", type_=Instant()),
        "expires_at": bindparam("expires_at", type_=Instant()),
        "revoked_at": bindparam("never", None, type_=Instant()),
        "last_used_at": bindparam("never", None, type_=Instant()),
    }
    old = select(*new.values()).where(key.id == bindparam("key_id", type_=key.id.type), is_in_force())
    return Statement(insert(keys).from_select(list(new), old).returning(key.id), dialect)


def _successor_domains(dialect: Dialect) -> Statement:
    successor = bindparam("successor", type_=keys.c.id.type)
    old = select(successor, key_domains.c.domain_number).where(key_domains.c.key_id == bindparam("key_id"))
    return Statement(insert(key_domains).from_select(["key_id", "domain_number"], old), dialect)


def _ending(dialect: Dialect) -> Statement:
    never = bindparam("never", None, type_=Instant())
    ends_at = bindparam("ends_at", type_=Instant())
    lasts = or_(keys.c.expires_at == never, keys.c.expires_at > ends_at)
    return Statement(update(keys).where(keys.c.id == bindparam("key_id"), lasts).values(expires_at=ends_at), dialect)


async def record_uses(engine: Engine, last_used_at: Mapping[str, str]) -> None:
    """Write when each key was last used, by its id; a later time that is stored stays."""
    at = bindparam("at", type_=Instant())
    change = update(keys).where(keys.c.id == bindparam("key_id"), keys.c.last_used_at < at).values(last_used_at=at)
    # In a fixed order, so that two processes cannot deadlock.
    rows = [{"key_id": key_id, "at": last_used_at[key_id]} for key_id in sorted(last_used_at)]
    async with engine.transaction() as transaction:
        await transaction.run(fetch(Statement(change, engine.dialect).bind_many(rows, KeyIds(tuple(last_used_at)))))


def is_in_force() -> ColumnElement[bool]:
    """Whether a key is neither revoked nor expired `at` an instant."""
    never = bindparam("never", None, type_=Instant())
    at = bindparam("at", type_=Instant())
    return and_(keys.c.revoked_at == never, or_(keys.c.expires_at == never, keys.c.expires_at > at))
