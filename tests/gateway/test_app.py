"""What holds for every response, whatever it answers."""

import dataclasses
import gc

import httpx
import psutil
import pytest
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.settings import Settings
from gateway.storage.database import open_engine
from gateway.storage.engine import DatabaseError, fetch
from gateway.storage.statements import Command
from tests.records import EXAMPLE_ID, SECRET, UNKNOWN_ID, World
from tests.serving import Gateway, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORIGIN = {"Origin": "https://dashboard.example"}
PREFLIGHT = ORIGIN | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}


async def responses(gateway: Gateway) -> list[httpx.Response]:
    """One of each sort."""
    body = b'{"query": "{ viewer { name } }"}'
    return [
        await gateway.get("/healthz"),
        await gateway.get("/readyz"),
        await gateway.get("/nowhere"),
        await gateway.get("/graphql"),
        await gateway.get("/graphiql"),
        await gateway.get("/" + "x" * 20_000),
        await gateway.get(f"/leaks/{EXAMPLE_ID}"),
        await gateway.get(f"/leaks/{EXAMPLE_ID}", None),
        await gateway.get(f"/leaks/{EXAMPLE_ID}", headers={"If-None-Match": "*"}),
        await gateway.get(f"/leaks/{UNKNOWN_ID}"),
        await gateway.get(f"/leaks/{UNKNOWN_ID}", headers={"Accept": "text/html"}),
        await gateway.client.post(f"/leaks/{UNKNOWN_ID}"),
        await gateway.post(body),
        await gateway.post(body, Content_Type="text/plain"),
        await gateway.post(b" " * 200_000),
        await gateway.client.options("/graphql", headers=PREFLIGHT),
    ]


async def test_every_response_has_the_security_headers(gateway: Gateway) -> None:
    for response in await responses(gateway):
        headers = response.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers
        assert "set-cookie" not in headers
        assert "json" not in headers.get("content-type", "") or headers["cache-control"] == "no-store"


async def test_no_origin_may_call_unless_it_is_set(gateway: Gateway) -> None:
    for response in await responses(gateway):
        assert not [name for name in response.headers if name.startswith("access-control-")]
    response = await gateway.get("/healthz", headers=ORIGIN)
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.asyncio
async def test_an_origin_that_is_set_may_call_and_no_other(world: World) -> None:
    settings = dataclasses.replace(world.settings, cors_origins=("https://dashboard.example",))
    async with running(create_app(settings)) as client:
        for origin, allowed in (("https://dashboard.example", True), ("https://other.example", False)):
            preflight = await client.options("/graphql", headers=PREFLIGHT | {"Origin": origin})
            response = await client.get(f"/leaks/{EXAMPLE_ID}", headers={"Origin": origin})
            assert (preflight.status_code == 200) == allowed
            for answered in (preflight, response):
                assert answered.headers.get("access-control-allow-origin") == (origin if allowed else None)
                assert "access-control-allow-credentials" not in answered.headers
                assert answered.headers["x-content-type-options"] == "nosniff"


async def test_alive_is_told_without_a_key(gateway: Gateway) -> None:
    response = await gateway.get("/healthz", None)
    assert (response.status_code, response.text) == (200, "ok\n")


async def test_ready_is_told_without_a_key(gateway: Gateway) -> None:
    response = await gateway.get("/readyz", None)
    assert (response.status_code, response.text) == (200, "ready\n")


@pytest.mark.asyncio
async def test_a_database_that_is_not_at_head_is_not_ready(fresh_world: World) -> None:
    async with open_engine(fresh_world.url) as engine, engine.transaction() as transaction:
        await transaction.run(fetch(Command("UPDATE alembic_version SET version_num = '0000'")))
    async with running(create_app(fresh_world.settings)) as client:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert response.json() == {
            "type": "service_unavailable",
            "status": 503,
            "detail": "The migrations are not at head.",
        }
        assert response.headers["retry-after"]
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.asyncio
async def test_a_database_that_is_not_there_ends_the_start(tmp_path: object) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/nowhere.db", secret=SECRET))
    with pytest.raises(DatabaseError, match="There is no database"):
        async with running(app):
            pass


@pytest.mark.asyncio
async def test_opening_and_closing_leaves_nothing_open(world: World) -> None:
    async def once() -> None:
        app: Starlette = create_app(world.settings)
        async with running(app) as client:
            headers = {"X-API-Key": world.keys["read"]}
            assert (await client.get(f"/leaks/{EXAMPLE_ID}", headers=headers)).status_code == 200

    process = psutil.Process()
    await once()
    before = process.num_fds(), process.num_threads()
    for _ in range(5):
        await once()
    gc.collect()
    assert (process.num_fds(), process.num_threads()) <= before


async def test_the_settings_show_no_secret() -> None:
    settings = Settings(database_url="postgresql://me:plainly-fake-password@db/leaks", secret=SECRET)
    shown = f"{settings!r} {settings} {settings.shown_database_url}"
    assert SECRET not in shown
    assert "plainly-fake-password" not in shown
