"""What an administrator changes about a key takes effect under a running gateway."""

import asyncio

from gateway.app import create_app
from gateway.auth import KEPT_SECONDS
from gateway.storage.database import open_engine
from gateway.storage.directory import archive_domain, revoke_key
from tests.records import EXAMPLE_ID, LONG_AGO, OTHER_DOMAIN_LEAK_ID, fill
from tests.serving import Gateway, running


async def test_a_revoked_key_and_an_archived_domain_are_noticed_within_seconds(sqlite_url: str) -> None:
    world = await fill(sqlite_url)
    async with running(create_app(world.settings)) as client:
        gateway = Gateway(client, world)

        async def statuses() -> list[int]:
            asked = (
                ("read", EXAMPLE_ID),
                ("read and write", OTHER_DOMAIN_LEAK_ID),
                ("restricted", OTHER_DOMAIN_LEAK_ID),
            )
            return [(await gateway.get(f"/leaks/{leak_id}", key)).status_code for key, leak_id in asked]

        assert await statuses() == [200, 200, 200]
        async with open_engine(sqlite_url) as engine:
            await revoke_key(engine, world.key_ids["read"], LONG_AGO)
            await archive_domain(engine, world.organizations["corp"], "example.net", LONG_AGO)
        await asyncio.sleep(KEPT_SECONDS + 0.1)
        assert await statuses() == [401, 404, 404]
    assert KEPT_SECONDS <= 5
