"""Organizations, their domains and their keys: what administrators change, and what each request asks for first."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar
from uuid import uuid4

import orjson
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Table,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.base import Executable

from gateway.storage.bounds import KeyIds
from gateway.storage.engine import Engine, Rows, fetch
from gateway.storage.statements import SQLITE, Statement
from gateway.storage.tables import domains, key_domains, keys, organizations
from gateway.storage.types import Instant
from schema.errors import BadUserInput, NotFound
from schema.instants import now
from schema.records import Domain, Organization
from schema.scope import Caller, KeyScope, canonical_uuid

MAX_NAME = 255

Named = TypeVar("Named", Organization, Domain)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as a request needs it: what it must match, and the caller that it makes.

    The caller of a key that is revoked or expired sees no domain.
    """

    hash: str
    revoked_at: str | None
    expires_at: str | None
    caller: Caller


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


# ---------------------------------------------------------- what requests ask


async def find_key(engine: Engine, key_id: str, at: str | None = None) -> StoredKey | None:
    """The key with an id, its organization and the domains it may see at an instant, or now, in one statement."""
    command = _key_statement(engine.dialect).bind(KeyIds((key_id,)), key_id=key_id, at=at or now())
    (rows,) = await engine.run(fetch(command))
    return _stored_key(rows[0]) if rows else None


@lru_cache
def _key_statement(dialect: Dialect) -> Statement:
    # Correlated by name: two subqueries below `keys`, SQLAlchemy would read that table anew and take any key's domains.
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
    # Whoever is not let in costs what an unknown key costs, however many domains there are.
    seen_if_let_in = case((_is_in_force(), seen))
    found = (
        select(*columns, organizations.c.number, organizations.c.id, organizations.c.name, seen_if_let_in)
        .join(organizations, organizations.c.number == keys.c.organization_number)
        .where(keys.c.id == bindparam("key_id", type_=keys.c.id.type))
    )
    return Statement(found, dialect)


def _is_in_force() -> ColumnElement[bool]:
    """Whether a key is neither revoked nor expired `at` an instant."""
    never = bindparam("never", None, type_=Instant())
    at = bindparam("at", type_=Instant())
    return and_(keys.c.revoked_at == never, or_(keys.c.expires_at == never, keys.c.expires_at > at))


def _rows_as_json(dialect: Dialect, table: FromClause) -> Any:
    """The domains as one JSON text: an array of number, id, name and when it was archived, each."""
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


# ------------------------------------------------------------- organizations


async def add_organization(engine: Engine, name: str) -> Organization:
    """Add an organization.

    Raises:
        BadUserInput: the name cannot be taken, or is taken.
    """
    id_, name = _new_id(), checked_name(name, "organization")
    number = await _add(engine, organizations, ["name"], {"id": id_, "name": name})
    if number is None:
        raise BadUserInput(f'There is an organization "{name}" already.')
    return Organization(number, id_, name)


async def list_organizations(engine: Engine) -> list[Organization]:
    """All organizations, by name."""
    found = select(organizations.c.number, organizations.c.id, organizations.c.name).order_by(organizations.c.name)
    return [Organization(*row) for row in await _rows(engine, found)]


async def find_organization(engine: Engine, name_or_id: str) -> Organization:
    """The organization by its name or id.

    Raises:
        NotFound: there is none.
    """
    known = await list_organizations(engine)
    found = _by_name_or_id(known, name_or_id.strip(), canonical_uuid(name_or_id))
    if found is None:
        raise NotFound(f'There is no organization "{name_or_id}". See: organizations list.')
    return found


# -------------------------------------------------------------------- domains


async def add_domain(engine: Engine, organization: Organization, name: str) -> Domain:
    """Add a domain to an organization; its name is kept in lower case.

    Raises:
        BadUserInput: the name cannot be taken, or is taken.
    """
    # Checked in lower case: a letter may become two.
    id_, name = _new_id(), checked_name(name.lower(), "domain")
    values = {"organization_number": organization.number, "id": id_, "name": name, "archived_at": None}
    number = await _add(engine, domains, ["organization_number", "name"], values)
    if number is None:
        raise BadUserInput(f'There is a domain "{name}" already.')
    return Domain(number, id_, name, None)


async def list_domains(engine: Engine, organization: Organization) -> list[Domain]:
    """The domains of an organization by name, archived ones included."""
    found = (
        select(domains.c.number, domains.c.id, domains.c.name, domains.c.archived_at)
        .where(domains.c.organization_number == bindparam("organization"))
        .order_by(domains.c.name)
    )
    return [Domain(*row) for row in await _rows(engine, found, organization=organization.number)]


async def find_domain(engine: Engine, organization: Organization, name_or_id: str) -> Domain:
    """The domain of an organization by its name or id.

    Raises:
        NotFound: there is none.
    """
    known = await list_domains(engine, organization)
    found = _by_name_or_id(known, name_or_id.strip().lower(), canonical_uuid(name_or_id))
    if found is None:
        raise NotFound(f'{organization.name} has no domain "{name_or_id}". See: domains list.')
    return found


async def archive_domain(engine: Engine, organization: Organization, name_or_id: str, at: str) -> Domain:
    """Archive a domain: its leaks are in scope only where it is named.

    Raises:
        NotFound: there is none.
    """
    return await _set_archived_at(engine, organization, name_or_id, at)


async def restore_domain(engine: Engine, organization: Organization, name_or_id: str) -> Domain:
    """Undo the archiving of a domain.

    Raises:
        NotFound: there is none.
    """
    return await _set_archived_at(engine, organization, name_or_id, None)


async def _set_archived_at(engine: Engine, organization: Organization, name_or_id: str, at: str | None) -> Domain:
    domain = await find_domain(engine, organization, name_or_id)
    change = update(domains).where(domains.c.number == bindparam("domain")).values(archived_at=bindparam("at"))
    await _write(engine, change, domain=domain.number, at=at)
    return await find_domain(engine, organization, domain.id)


# ----------------------------------------------------------------------- keys


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
    """Keep a new key; `domain_numbers` of None lets it see every domain."""
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
        for id_, title, name, scopes, restricted, count, *instants in await _rows(engine, found, **values)
    ]


async def find_listed_key(engine: Engine, key_id: str) -> ListedKey:
    """The key with an id, as administrators see it.

    Raises:
        NotFound: there is none.
    """
    canonical = canonical_uuid(key_id)
    found = next((key for key in await list_keys(engine) if key.id == canonical), None)
    if found is None:
        raise NotFound(f'There is no key "{key_id}". See: keys list.')
    return found


async def revoke_key(engine: Engine, key_id: str, at: str) -> None:
    """Revoke a key; one that is revoked already stays so since when it was.

    Raises:
        NotFound: there is none with this id.
    """
    key = await find_listed_key(engine, key_id)
    if key.revoked_at is None:
        change = update(keys).where(keys.c.id == bindparam("key")).values(revoked_at=bindparam("at"))
        await _write(engine, change, key=key.id, at=at)


async def rotate_key(
    engine: Engine, key_id: str, *, successor_id: str, hash_: str, at: str, expires_at: str | None, ends_at: str
) -> None:
    """Keep a successor with a key's name, scopes and domains, and let the key itself expire at `ends_at` at the latest.

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
    old = select(*new.values()).where(key.id == bindparam("key_id", type_=key.id.type), _is_in_force())
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
    """Keep when each key was last used, by its id; what is known to be later stays."""
    at = bindparam("at", type_=Instant())
    change = update(keys).where(keys.c.id == bindparam("key_id"), keys.c.last_used_at < at).values(last_used_at=at)
    # In one order, so that two processes wait for each other at one row and not at two.
    rows = [{"key_id": key_id, "at": last_used_at[key_id]} for key_id in sorted(last_used_at)]
    async with engine.transaction() as transaction:
        await transaction.run(fetch(Statement(change, engine.dialect).bind_many(rows, KeyIds(tuple(last_used_at)))))


# --------------------------------------------------------------------- shared


def checked_name(name: str, what: str) -> str:
    """A name without white space around it.

    Raises:
        BadUserInput: it is empty, too long, or holds a control character.
    """
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= MAX_NAME or any(unicodedata.category(c) in {"Cc", "Cs"} for c in trimmed):
        raise BadUserInput(f"Invalid {what} name. Valid: 1 to {MAX_NAME} characters, none of them a control character.")
    return trimmed


def _by_name_or_id(known: Sequence[Named], name: str, id_: str | None) -> Named | None:
    """The one with an id, else with a name: whoever names something after another's id does not get in its way."""
    return next((one for one in known if one.id == id_), None) or next((one for one in known if one.name == name), None)


def _new_id() -> str:
    return str(uuid4())


async def _rows(engine: Engine, statement: Executable, **values: Any) -> Rows:
    (rows,) = await engine.run(fetch(Statement(statement, engine.dialect).bind(**values)))
    return rows


async def _add(engine: Engine, table: Table, unique: list[str], values: dict[str, Any]) -> int | None:
    """Add a row and return its number, or None where its name is taken, be it by somebody who adds it just now."""
    insert_ = sqlite.insert if engine.dialect is SQLITE else postgresql.insert
    adding = insert_(table).values({column: bindparam(column) for column in values})
    rows = await _write(
        engine, adding.on_conflict_do_nothing(index_elements=unique).returning(table.c.number), **values
    )
    return rows[0][0] if rows else None


async def _write(engine: Engine, statement: Executable, **values: Any) -> Rows:
    async with engine.transaction() as transaction:
        (rows,) = await transaction.run(fetch(Statement(statement, engine.dialect).bind(**values)))
    return rows
