"""Organizations to import into, and all that a database holds."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from sqlalchemy import bindparam, insert, select

from gateway.importing.ids import domain_id
from gateway.importing.importer import Summary, import_leaks
from gateway.storage.engine import Engine, fetch
from gateway.storage.statements import Statement
from gateway.storage.tables import domains, metadata, organizations
from schema.records import Organization

SECRET = b"plainly-fake-fingerprint-secret"
CORP = Organization(1, "11111111-1111-4111-8111-111111111111", "Example Corp")
LABS = Organization(2, "22222222-2222-4222-8222-222222222222", "Example Labs")
EXAMPLE_COM = "aaaaaaaa-0000-4000-8000-000000000001"
EXAMPLE_NET = "aaaaaaaa-0000-4000-8000-000000000002"
ARCHIVED = "aaaaaaaa-0000-4000-8000-000000000003"
LEAK_ID = "f47ac10b-58cc-4372-a567-0e02b2c3d479"

Rows = list[dict[str, Any]]


@pytest.fixture
async def corp(engine: Engine) -> Organization:
    await add_organizations(engine)
    return CORP


async def add_organizations(engine: Engine, *more_domains: str) -> None:
    """Two organizations; the first has two domains, an archived one and more, the second one of the same name."""
    for organization in (CORP, LABS):
        await _insert(engine, organizations, id=organization.id, name=organization.name)
    for organization, id_, name, archived_at in (
        (CORP, EXAMPLE_COM, "example.com", None),
        (CORP, EXAMPLE_NET, "example.net", None),
        (CORP, ARCHIVED, "old.example.com", "2026-01-01T00:00:00.000Z"),
        (LABS, EXAMPLE_COM, "example.com", None),
        *((CORP, domain_id(CORP, name), name, None) for name in more_domains),
    ):
        number = organization.number
        await _insert(engine, domains, organization_number=number, id=id_, name=name, archived_at=archived_at)


async def _insert(engine: Engine, table: Any, **values: Any) -> None:
    # The engine gives out the numbers, from 1.
    named = {name: bindparam(name, type_=table.c[name].type) for name in values}
    async with engine.transaction() as transaction:
        await transaction.run(fetch(Statement(insert(table).values(named).inline(), engine.dialect).bind(**values)))


async def rows(engine: Engine, table: str) -> Rows:
    """All rows of a table, in the order of its key."""
    columns = metadata.tables[table].c
    statement = Statement(select(*columns).order_by(*metadata.tables[table].primary_key), engine.dialect)
    (found,) = await engine.run(fetch(statement.bind()))
    return [dict(zip(columns.keys(), row, strict=True)) for row in found]


async def dump(engine: Engine) -> dict[str, Rows]:
    """All rows of all tables."""
    return {name: await rows(engine, name) for name in sorted(metadata.tables)}


def line(**values: Any) -> bytes:
    """A line like that of the documentation, but for some values; None leaves one out."""
    record = {
        "id": LEAK_ID,
        "domain": "example.com",
        "risk_level": 5,
        "url": "https://example.com/login",
        "login": "user@example.com",
        "password": "not-a-password",
        "first_seen": "2025-12-05T00:00:00.000Z",
        "added_at": "2025-12-05T01:09:22.879Z",
        "connections": {
            "resources": [{"resource": "api.example.com", "type": "domain"}],
            "users": [{"identity": "user@example.com", "identity_type": "email"}],
            "endpoints": [{"filename": "[US]192.0.2.33.rar", "date": "2025-12-04T14:30:00.000Z"}],
        },
    } | values
    return orjson.dumps({name: value for name, value in record.items() if value is not None})


async def take(engine: Engine, *lines: bytes, organization: Organization = CORP, **options: Any) -> Summary:
    """Import some lines."""
    return await import_leaks(engine, organization, lines, secret=SECRET, **options)


def numbered_lines(count: int) -> Sequence[bytes]:
    """Lines of as many leaks, without ids of their own, which share what they are connected to."""
    return [
        line(
            id=None,
            login=f"user{number}@example.com",
            connections={
                "resources": [{"resource": f"host{number % 7}.example.com", "type": "domain"}],
                "users": [{"identity": f"user{number // 2}@example.com", "identity_type": "email"}],
                "endpoints": [{"filename": f"[US]192.0.2.{number % 9}.rar", "date": None}],
            },
        )
        for number in range(count)
    ]
