"""What an export promises, on each engine."""

from typing import Any

import orjson
import pytest
from sqlalchemy import delete

from gateway.importing.demo import ORGANIZATIONS, demo_lines
from gateway.importing.exporter import export_leaks
from gateway.importing.importer import Summary
from gateway.storage.engine import Engine, fetch
from gateway.storage.statements import Statement
from gateway.storage.tables import endpoint_dates, leaks, links, nodes
from schema.errors import NotFound
from schema.records import Organization
from tests.gateway.importing.conftest import ARCHIVED, CORP, LABS, LEAK_ID, line, rows, take

pytestmark = pytest.mark.usefixtures("corp")


async def export(engine: Engine, organization: Organization = CORP, **options: Any) -> bytes:
    return b"".join([chunk async for chunk in export_leaks(engine, organization, **options)])


async def logins(engine: Engine, *domains: str) -> list[str]:
    exported = await export(engine, domains=domains or None)
    return [orjson.loads(text)["login"] for text in exported.splitlines()]


async def forget_leaks(engine: Engine) -> None:
    tables = [*links.values(), leaks, endpoint_dates, *nodes.values()]
    async with engine.transaction() as transaction:
        for table in tables:
            await transaction.run(fetch(Statement(delete(table), engine.dialect).bind()))


async def test_an_exported_line_is_that_of_the_documentation(engine: Engine) -> None:
    await take(engine, line(status="investigating"))
    exported = await export(engine)
    assert exported.endswith(b"\n")
    assert list(orjson.loads(exported).items()) == list(
        {
            "id": LEAK_ID,
            "domain": "example.com",
            "risk_level": 5,
            "risk_level_name": "medium",
            "status": "investigating",
            "url": "https://example.com/login",
            "login": "user@example.com",
            "password": "***",
            "first_seen": "2025-12-05T00:00:00.000Z",
            "added_at": "2025-12-05T01:09:22.879Z",
            "connections": {
                "resources": [{"resource": "api.example.com", "type": "domain"}],
                "users": [{"identity": "user@example.com", "identity_type": "email"}],
                "endpoints": [{"filename": "[US]192.0.2.33.rar", "date": "2025-12-04T14:30:00.000Z"}],
            },
        }.items()
    )


async def test_an_export_can_be_imported_and_is_then_the_same(engine: Engine) -> None:
    made_up = list(demo_lines(ORGANIZATIONS[0], 300))
    await take(engine, *made_up, create_domains=True)
    exported = await export(engine, batch_size=37)
    assert len(exported.splitlines()) == 300
    summary = await take(engine, *exported.splitlines(), organization=LABS, create_domains=True)
    assert summary == Summary(new=300)
    assert await export(engine, LABS) == exported


async def test_an_export_of_an_emptied_organization_brings_it_back(engine: Engine) -> None:
    await take(engine, *demo_lines(ORGANIZATIONS[0], 50), create_domains=True)
    exported = await export(engine)
    await forget_leaks(engine)
    assert await export(engine) == b""
    await take(engine, *exported.splitlines())
    assert await export(engine) == exported


async def test_importing_an_export_again_loses_no_fingerprint(engine: Engine) -> None:
    await take(engine, line(), line(id=None, password="***"))
    before = [leak["fingerprint"] for leak in await rows(engine, "leaks")]
    exported = await export(engine)
    assert await take(engine, *exported.splitlines()) == Summary(updated=1, unchanged=1)
    assert await export(engine) == exported
    assert [leak["fingerprint"] for leak in await rows(engine, "leaks")] == before


async def test_no_password_and_no_fingerprint_is_exported(engine: Engine) -> None:
    await take(engine, line(password="not-a-password"))
    (leak,) = await rows(engine, "leaks")
    exported = (await export(engine)).decode()
    assert "not-a-password" not in exported
    assert leak["fingerprint"] not in exported


async def test_another_organizations_leaks_are_not_exported(engine: Engine) -> None:
    await take(engine, line(login="theirs"), organization=LABS)
    assert await export(engine) == b""
    await take(engine, line(login="ours"))
    assert await logins(engine) == ["ours"]


async def test_domains_that_are_archived_are_exported_only_where_named(engine: Engine) -> None:
    for number, domain in enumerate(("example.com", "example.net", "old.example.com")):
        await take(engine, line(id=f"{number}0000000-0000-4000-8000-000000000000", domain=domain, login=domain))
    assert await logins(engine) == ["example.com", "example.net"]
    assert await logins(engine, "example.net") == ["example.net"]
    assert await logins(engine, "old.example.com", "example.com") == ["example.com", "old.example.com"]
    assert await logins(engine, ARCHIVED) == ["old.example.com"]


async def test_a_domain_that_the_organization_lacks_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound):
        await export(engine, domains=["nowhere.example"])
    with pytest.raises(NotFound):
        await export(engine, LABS, domains=["example.net"])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 100])
async def test_the_size_of_batches_makes_no_difference(engine: Engine, batch_size: int) -> None:
    ids = ["00000000-0000-0000-0000-000000000000", LEAK_ID, "ffffffff-ffff-ffff-ffff-ffffffffffff"]
    await take(engine, *(line(id=id_) for id_ in reversed(ids)))
    exported = await export(engine, batch_size=batch_size)
    assert [orjson.loads(text)["id"] for text in exported.splitlines()] == ids


async def test_an_organization_without_leaks_exports_nothing(engine: Engine) -> None:
    assert await export(engine) == b""
