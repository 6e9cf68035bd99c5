"""Who is let in, what it costs to be refused, and what an administrator changes under a running gateway."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.auth import KEPT_SECONDS, Authenticator
from gateway.keys import generate, hash_key
from gateway.storage.callers import StoredKey, find_key
from gateway.storage.database import open_engine
from gateway.storage.domains import archive_domain
from gateway.storage.keys import add_key, revoke_key
from gateway.storage.organizations import find_organization
from gateway.throttle import Throttle
from gateway.uses import Uses
from schema.errors import RateLimited, Unauthenticated, Unavailable
from schema.instants import now, write_instant
from schema.scope import KeyScope
from tests.operations import CountingEngine
from tests.records import EXAMPLE_ID, LONG_AGO, OTHER_DOMAIN_LEAK_ID, World, fill
from tests.serving import Gateway, running, served

HERE, THERE = "192.0.2.1", "192.0.2.2"
QUERY = b'{"query": "{ viewer { name } }"}'
LOOKED_UP, AT_ONCE = 1, 0


class Door:
    """An authenticator over a world's database, whose statements are counted."""

    def __init__(self, engine: CountingEngine, world: World, authenticator: Authenticator) -> None:
        self.engine = engine
        self._keys = world.keys
        self._authenticator = authenticator

    async def knock(self, key: str, address: str = HERE) -> tuple[str, int]:
        """How a key fares, and how many statements that takes."""
        self.engine.commands.clear()
        return await self._try(key, address), len(self.engine.commands)

    async def knock_at_once(self, keys: Sequence[str]) -> tuple[Counter[str], int]:
        """How keys of one address fare that come at once, and how many statements that takes."""
        self.engine.commands.clear()
        outcomes = await asyncio.gather(*(self._try(key, HERE) for key in keys))
        return Counter(outcomes), len(self.engine.commands)

    async def _try(self, key: str, address: str) -> str:
        fields = {b"x-api-key": self._keys.get(key, key).encode()}
        try:
            await self._authenticator.caller({"type": "http", "client": (address, 4321)}, fields)
        except (RateLimited, Unauthenticated, Unavailable) as error:
            return error.code.value
        return "in"


@asynccontextmanager
async def opened(
    world: World,
    *,
    limit: int = 0,
    kept_seconds: float = KEPT_SECONDS,
    secret: bytes | None = None,
    clock: Callable[[], float] = monotonic,
) -> AsyncIterator[Door]:
    async with world.serving() as engine:
        counting = CountingEngine(engine)
        secret = secret or world.settings.secrets.key
        authenticator = Authenticator(counting, secret, Throttle(limit), Uses(engine), kept_seconds, steady_clock=clock)
        yield Door(counting, world, authenticator)


# ------------------------------------------------------------------- refusals


async def test_unknown_expired_and_revoked_keys_take_the_same_statement_each_time(world: World) -> None:
    async with opened(world) as door:
        assert await door.knock("read") == ("in", LOOKED_UP)
        (command,) = door.engine.commands
        for key in (generate()[1], "expired", "revoked"):
            for _ in range(3):
                assert await door.knock(key) == ("UNAUTHENTICATED", LOOKED_UP)
                assert [one.sql for one in door.engine.commands] == [command.sql]
        assert await door.knock("read") == ("in", AT_ONCE)


async def test_a_key_with_a_known_id_and_another_secret_is_an_unknown_one(world: World) -> None:
    async with opened(world, secret=b"plainly-fake") as door:
        for _ in range(2):
            assert await door.knock("read") == ("UNAUTHENTICATED", LOOKED_UP)


async def test_a_typing_error_is_told_without_a_look_up(world: World) -> None:
    key = world.keys["read"]
    async with opened(world) as door:
        for mistyped in (key[:-1], key[:30] + ("a" if key[30] != "a" else "b") + key[31:], "lgk_" + "z" * 71, "x"):
            assert await door.knock(mistyped) == ("UNAUTHENTICATED", AT_ONCE)


def _told(response: httpx.Response) -> tuple[int, Mapping[str, str], bytes]:
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    return response.status_code, headers, response.content


@pytest.mark.asyncio(loop_scope="session")
async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same_to_the_byte(gateway: Gateway) -> None:
    keys = (gateway.world.keys["expired"], gateway.world.keys["revoked"], generate()[1], "nonsense")
    for accept in ("application/json", "application/graphql-response+json"):
        told = [_told(await gateway.post(QUERY, None, X_API_Key=key, Accept=accept)) for key in keys]
        assert [one == told[0] for one in told] == [True] * 4
        assert told[0][0] == 401
    told = [_told(await gateway.get(f"/leaks/{EXAMPLE_ID}", None, headers={"X-API-Key": key})) for key in keys]
    assert [one == told[0] for one in told] == [True] * 4
    assert told[0][0] == 401


async def _add_key(world: World, expires_at: str) -> str:
    async with open_engine(world.url) as engine:
        key_id, key = generate()
        await add_key(
            engine,
            await find_organization(engine, "Example Corp"),
            key_id=key_id,
            name="short-lived",
            hash_=hash_key(key, world.settings.secrets.key),
            scopes={KeyScope.LEAKS_READ},
            domain_numbers=None,
            created_at=now(),
            expires_at=expires_at,
        )
        return key


async def test_a_key_that_expires_while_it_is_kept_is_refused_like_any_other(sqlite_url: str) -> None:
    world = await fill(sqlite_url)
    expires_at = datetime.now(UTC) + timedelta(seconds=3)
    key = await _add_key(world, write_instant(expires_at))
    async with opened(world, kept_seconds=600) as door:
        assert await door.knock(key) == ("in", LOOKED_UP)
        await asyncio.sleep((expires_at - datetime.now(UTC)).total_seconds() + 0.01)
        for _ in range(2):
            assert await door.knock(key) == ("UNAUTHENTICATED", LOOKED_UP)


# ------------------------------------------------------------------- throttling


async def test_too_many_wrong_keys_from_one_address_are_refused_without_a_look_up(world: World) -> None:
    async with opened(world, limit=3) as door:
        for key in (generate()[1], "revoked", "nonsense"):
            assert (await door.knock(key))[0] == "UNAUTHENTICATED"
        for key in (generate()[1], "revoked", "expired", "nonsense", "read"):
            assert await door.knock(key) == ("RATE_LIMITED", AT_ONCE)
        assert await door.knock("revoked", THERE) == ("UNAUTHENTICATED", LOOKED_UP)
        assert await door.knock("read", THERE) == ("in", LOOKED_UP)


async def test_wrong_keys_from_all_over_a_network_of_ipv6_are_counted_together(world: World) -> None:
    async with opened(world, limit=3) as door:
        for number in range(3):
            assert await door.knock("revoked", f"2001:db8::{number}") == ("UNAUTHENTICATED", LOOKED_UP)
        assert await door.knock("revoked", "2001:db8::3") == ("RATE_LIMITED", AT_ONCE)
        assert await door.knock("revoked", "2001:db8:0:1::3") == ("UNAUTHENTICATED", LOOKED_UP)


async def test_so_many_wrong_keys_at_once_are_looked_up_as_one_after_the_other(world: World) -> None:
    async with opened(world, limit=20) as door:
        for keys in ([generate()[1] for _ in range(400)], ["revoked"] * 10):
            fared, looked_up = await door.knock_at_once(keys)
            assert looked_up == fared["UNAUTHENTICATED"]
            assert fared["RATE_LIMITED"] == len(keys) - looked_up
        assert looked_up == 0
    async with opened(world, limit=20) as door:
        assert await door.knock_at_once(["revoked"] * 400) == ({"UNAUTHENTICATED": 20, "RATE_LIMITED": 380}, 20)


async def test_good_keys_are_let_in_however_many_come_at_once_from_one_address(world: World) -> None:
    good = ["read", "restricted", "labs"]
    async with opened(world, limit=2) as door:
        fared, looked_up = await door.knock_at_once(good * 50)
        assert fared == {"in": 150}
        assert looked_up <= 2 * len(good)


async def test_a_key_that_was_let_in_before_is_looked_up_once_for_all_that_come_at_once(world: World) -> None:
    async with opened(world, kept_seconds=-1) as door:
        assert await door.knock("read") == ("in", LOOKED_UP)
        assert await door.knock_at_once(["read"] * 9 + ["explain"]) == (Counter({"in": 10}), 2 * LOOKED_UP)


async def test_a_key_that_was_let_in_before_goes_on_beside_one_who_guesses(world: World) -> None:
    async with opened(world, limit=3, kept_seconds=-1) as door:
        assert await door.knock("read") == ("in", LOOKED_UP)
        for _ in range(3):
            await door.knock("revoked")
        assert await door.knock("revoked") == ("RATE_LIMITED", AT_ONCE)
        for _ in range(3):
            assert await door.knock("read") == ("in", LOOKED_UP)


async def test_a_key_that_was_let_in_before_and_is_revoked_is_a_wrong_one(sqlite_url: str) -> None:
    world = await fill(sqlite_url)
    async with opened(world, limit=3, kept_seconds=-1) as door:
        assert await door.knock("read") == ("in", LOOKED_UP)
        async with open_engine(sqlite_url) as engine:
            await revoke_key(engine, world.key_ids["read"], now())
        for _ in range(3):
            assert await door.knock("read") == ("UNAUTHENTICATED", LOOKED_UP)
        assert await door.knock("read") == ("RATE_LIMITED", AT_ONCE)


async def test_whoever_has_to_wait_is_told_how_long_in_the_shape_of_the_door(world: World) -> None:
    settings = replace(world.settings, max_failed_keys=2)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        for _ in range(2):
            assert (await gateway.get(f"/leaks/{EXAMPLE_ID}", "revoked")).status_code == 401
        response = await gateway.get(f"/leaks/{EXAMPLE_ID}", "revoked")
        assert response.status_code == 429
        assert 1 <= int(response.headers["retry-after"]) <= 60
        detail = "Too many requests with a key that is not valid."
        assert response.json() == {"type": "too_many_requests", "status": 429, "detail": detail}
        response = await gateway.post(QUERY, "revoked")
        assert response.status_code == 429
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert response.json() == {"errors": [{"message": detail, "extensions": {"code": "RATE_LIMITED"}}]}
        assert (await gateway.get(f"/leaks/{EXAMPLE_ID}", None)).status_code == 401, "no key is no guess"


async def test_a_good_key_in_between_makes_up_for_no_wrong_ones(world: World) -> None:
    async with opened(world, limit=3) as door:
        for key in ("revoked", "revoked", "read", "revoked"):
            await door.knock(key)
        assert await door.knock("revoked") == ("RATE_LIMITED", AT_ONCE)


@pytest.mark.parametrize(("proxies", "last"), [("127.0.0.1", 401), ("192.0.2.1", 429)])
async def test_whose_wrong_keys_they_are_is_for_a_trusted_proxy_alone_to_say(
    sqlite_world: World, proxies: str, last: int
) -> None:
    settings = replace(sqlite_world.settings, trusted_proxies=proxies, max_failed_keys=2)
    key = sqlite_world.keys["revoked"]
    with served(create_app(settings), settings) as address:
        async with httpx.AsyncClient(base_url=address) as client:
            statuses = [
                (await client.get("/leaks/x", headers={"X-API-Key": key, "X-Forwarded-For": sender})).status_code
                for sender in ("198.51.100.1", "198.51.100.2", "198.51.100.3")
            ]
    assert statuses == [401, 401, last]


# ------------------------------------------------------ what an administrator changes


async def test_a_key_that_is_used_all_the_time_is_looked_up_as_often_as_any_other(world: World) -> None:
    seconds = iter(range(100))
    async with opened(world, kept_seconds=4, clock=lambda: next(seconds)) as door:
        looked_up = [(await door.knock("read"))[1] for _ in range(10)]
    assert looked_up == [LOOKED_UP, *[AT_ONCE] * 4] * 2


async def test_the_time_that_a_look_up_takes_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = 0.0

    async def find_slowly(*asked: Any) -> StoredKey | None:
        nonlocal at
        found = await find_key(*asked)
        at += 3
        return found

    monkeypatch.setattr("gateway.auth.find_key", find_slowly)
    async with opened(world, clock=lambda: at) as door:
        assert await door.knock("read") == ("in", LOOKED_UP)
        at = 5
        assert await door.knock("read") == ("in", LOOKED_UP)


async def test_a_key_that_was_let_in_before_is_not_where_it_cannot_be_looked_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise Unavailable

    async with opened(world, kept_seconds=-1) as door:
        assert await door.knock("read") == ("in", LOOKED_UP)
        monkeypatch.setattr("gateway.auth.find_key", fail)
        assert await door.knock("read") == ("UNAVAILABLE", AT_ONCE)


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
