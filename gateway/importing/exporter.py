"""An export: an organization's leaks as lines that an import takes, every password a mask."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from gateway.storage.domains import find_domain, list_domains
from gateway.storage.engine import Engine, Rows
from gateway.storage.exports import FIRST_ID, export_statements
from schema.records import CONNECTED, RECORDS, Domain, Endpoint, Kind, Leak, Organization, Resource, User

BATCH_SIZE = 1_000

Connections: TypeAlias = dict[Kind, list[Any]]


async def export_leaks(
    engine: Engine, organization: Organization, domains: Sequence[str] | None = None, *, batch_size: int = BATCH_SIZE
) -> AsyncIterator[bytes]:
    """The leaks of an organization by id, as JSON Lines: several whole lines at a time, each with its line feed.

    It is no snapshot: what is written meanwhile may be in it or not.

    Args:
        engine: The database, at the newest version.
        organization: Whose leaks.
        domains: Names or ids of the domains whose leaks are wanted; None stands for all that are not archived.
        batch_size: How many leaks are read at once.

    Raises:
        NotFound: the organization has no such domain.
        Unavailable: the database does not answer just now.
    """
    names = {domain.number: domain.name for domain in await _wanted(engine, organization, domains)}
    statements = export_statements(engine.dialect)
    from_id: str | None = FIRST_ID
    while from_id is not None:
        rows, connected = await engine.run(
            statements.batch(organization.number, sorted(names), from_id, batch_size + 1)
        )
        from_id = rows[batch_size][0] if len(rows) > batch_size else None
        if rows:
            yield b"".join(_lines(rows[:batch_size], connected, names))


async def _wanted(engine: Engine, organization: Organization, domains: Sequence[str] | None) -> list[Domain]:
    if domains is None:
        return [domain for domain in await list_domains(engine, organization) if domain.archived_at is None]
    return [await find_domain(engine, organization, name) for name in domains]


def _lines(rows: Rows, connected: Mapping[Kind, Rows], names: Mapping[int, str]) -> Iterable[bytes]:
    by_leak: dict[str, Connections] = defaultdict(_no_connections)
    for kind, found in connected.items():
        for leak_id, *values in found:
            by_leak[leak_id][kind].append(RECORDS[kind](*values))
    for row in rows:
        leak = Leak(*row)
        yield orjson.dumps(_line(leak, names[leak.domain_number], by_leak[leak.id]), option=orjson.OPT_APPEND_NEWLINE)


def _no_connections() -> Connections:
    return {kind: [] for kind in CONNECTED}


def _line(leak: Leak, domain: str, connections: Connections) -> dict[str, Any]:
    return {
        "id": leak.id,
        "domain": domain,
        "risk_level": leak.risk_level,
        "risk_level_name": leak.risk_level_name,
        "status": leak.status,
        "url": leak.url,
        "login": leak.login,
        "password": leak.password,
        "first_seen": leak.first_seen,
        "added_at": leak.added_at,
        "connections": {
            "resources": _in_order(_resource(each) for each in connections[Kind.RESOURCE]),
            "users": _in_order(_user(each) for each in connections[Kind.USER]),
            "endpoints": _in_order(_endpoint(each) for each in connections[Kind.ENDPOINT]),
        },
    }


def _in_order(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """By what they say, since ids differ from organization to organization; no two say the same first."""
    return sorted(entries, key=lambda entry: [value or "" for value in entry.values()])


def _resource(resource: Resource) -> dict[str, Any]:
    return {"resource": resource.resource, "type": resource.type}


def _user(user: User) -> dict[str, Any]:
    return {"identity": user.identity, "identity_type": user.identity_type}


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {"filename": endpoint.filename, "date": endpoint.date}
