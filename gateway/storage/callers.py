"""From a key's id to its caller: the first thing a request reads, in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import FromClause, Text, bindparam, case, exists, func, or_, select
from sqlalchemy.engine.interfaces import Dialect

from gateway.storage.bounds import KeyIds
from gateway.storage.dialects import SQLITE
from gateway.storage.engine import Engine, fetch
from gateway.storage.keys import is_in_force
from gateway.storage.statements import Statement
from gateway.storage.tables import domains, key_domains, keys, organizations
from gateway.storage.types import Instant
from schema.instants import now
from schema.records import Domain, Organization
from schema.scope import Caller, KeyScope


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as authentication needs it: the hash to match, and the caller.

    The caller of a key that is revoked or expired sees no domains.
    """

    hash: str
    revoked_at: str | None
    expires_at: str | None
    caller: Caller


async def find_key(engine: Engine, key_id: str, at: str | None = None) -> StoredKey | None:
    """The key with an id, its organization, and the domains that it may see at an instant, now unless given."""
    command = _key_statement(engine.dialect).bind(KeyIds((key_id,)), key_id=key_id, at=at or now())
    (rows,) = await engine.glance(fetch(command))
    return _stored_key(rows[0]) if rows else None


@lru_cache
def _key_statement(dialect: Dialect) -> Statement:
    # Correlated explicitly: two subqueries deep, SQLAlchemy would add `keys` to FROM again and take any key's domains.
    may_see = (
        exists()
        .where(key_domains.c.key_id == keys.c.id, key_domains.c.domain_number == domains.c.number)
        .correlate(keys, domains)
    )
    seen = (
        select(_rows_as_json(dialect, domains))
        .where(domains.c.organization_number == keys.c.organization_number, or_(~keys.c.restricted, may_see))
        .correlate(keys)
        .scalar_subquery()
    )
    key = keys.c
    columns = (key.id, key.name, key.scopes, key.restricted, key.hash, key.revoked_at, key.expires_at)
    # A key that is refused costs as much as an unknown one, however many domains there are.
    seen_if_let_in = case((is_in_force(), seen))
    found = (
        select(*columns, organizations.c.number, organizations.c.id, organizations.c.name, seen_if_let_in)
        .join(organizations, organizations.c.number == keys.c.organization_number)
        .where(keys.c.id == bindparam("key_id", type_=keys.c.id.type))
    )
    return Statement(found, dialect)


def _rows_as_json(dialect: Dialect, table: FromClause) -> Any:
    """The domains as one JSON text: an array of [number, id, name, archived at]."""
    archived_at = Instant().column_expression(table.c.archived_at)
    parts = (table.c.number, table.c.id, table.c.name, archived_at)
    if dialect is SQLITE:
        return func.json_group_array(func.json_array(*parts))
    return func.json_agg(func.json_build_array(*parts)).cast(Text)


def _stored_key(row: Sequence[Any]) -> StoredKey:
    key_id, name, scopes, restricted, hash_, revoked_at, expires_at, number, organization_id, title, seen = row
    caller = Caller(
        key_id=key_id,
        key_name=name,
        key_scopes=frozenset(KeyScope(scope) for scope in scopes.split()),
        expires_at=expires_at,
        restricted=bool(restricted),
        organization=Organization(number, organization_id, title),
        domains=tuple(sorted((Domain(*parts) for parts in orjson.loads(seen or "[]")), key=lambda d: d.name)),
    )
    return StoredKey(hash_, revoked_at, expires_at, caller)
