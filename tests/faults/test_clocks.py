"""A clock that jumps by a day, ahead or back: nobody is locked out by it, and nothing outlives what it says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path
from time import monotonic

import pytest

from gateway.auth import Authenticator
from gateway.budgets import Bucket, Budgets
from gateway.storage.budgets import spend
from gateway.storage.database import open_engine
from gateway.storage.engine import Engine, fetch
from gateway.storage.keys import find_listed_key, revoke_key
from gateway.storage.statements import Command
from gateway.throttle import Throttle
from gateway.uses import Uses
from schema.errors import RateLimited, Unauthenticated
from schema.instants import write_instant
from tests.faults.traffic import busy, everywhere, get
from tests.records import EXAMPLE_ID, World

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEPT_SECONDS = 4.0
MINUTE = 60.0
JUMPS = pytest.mark.parametrize("jump", [DAY, -DAY], ids=["ahead", "back"])


class Clocks:
    """A host's two clocks: one that tells the time and is set now and then, and one that only ever goes on."""

    def __init__(self) -> None:
        self.time = NOON
        self.seconds = 1000.0

    def now(self) -> str:
        return write_instant(self.time)

    def steady(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        """Let time go on."""
        self.time += timedelta(seconds=seconds)
        self.seconds += seconds


class Door:
    """A gateway's door, on a host whose clocks are in hand."""

    def __init__(self, engine: Engine, world: World) -> None:
        self.clocks = Clocks()
        self.uses = Uses(engine)
        self._world = world
        self._authenticator = Authenticator(
            engine,
            world.settings.secrets.key,
            Throttle(2, MINUTE, self.clocks.steady),
            self.uses,
            KEPT_SECONDS,
            self.clocks.now,
            self.clocks.steady,
        )

    async def knock(self, key: str) -> str:
        """How a key fares."""
        fields = {b"x-api-key": self._world.keys[key].encode()}
        try:
            await self._authenticator.caller({"type": "http", "client": None}, fields)
        except (RateLimited, Unauthenticated) as error:
            return error.code.value
        return "in"


@asynccontextmanager
async def opened(world: World) -> AsyncIterator[Door]:
    async with world.serving() as engine:
        yield Door(engine, world)


async def administer(world: World, sql: str) -> None:
    """Run what no command does."""
    async with open_engine(world.url) as engine, engine.transaction() as transaction:
        await transaction.run(fetch(Command(sql)))


async def expire(world: World, name: str, at: datetime) -> None:
    """Let a key expire at an instant."""
    key_id = world.key_ids[name]
    await administer(world, f"UPDATE keys SET expires_at = '{write_instant(at)}' WHERE id = '{key_id}'")


def test_seconds_are_counted_by_the_clock_that_only_ever_goes_on() -> None:
    counting = ((Authenticator, "steady_clock"), (Throttle, "clock"), (Budgets, "clock"), (Bucket, "clock"))
    assert {signature(one).parameters[clock].default for one, clock in counting} == {monotonic}


# ------------------------------------------------------------------------ keys


@JUMPS
async def test_a_key_is_let_in_before_and_after_a_jump(fresh_world: World, jump: timedelta) -> None:
    async with opened(fresh_world) as door:
        assert await door.knock("read") == "in"
        door.clocks.time += jump
        for _ in range(3):
            assert await door.knock("read") == "in"
            door.clocks.pass_(KEPT_SECONDS + 1)


async def test_a_key_expires_when_the_clock_says_so_whatever_it_said_before(fresh_world: World) -> None:
    await expire(fresh_world, "read", NOON + DAY / 2)
    async with opened(fresh_world) as door:
        assert await door.knock("read") == "in"
        door.clocks.time += DAY
        assert await door.knock("read") == "UNAUTHENTICATED", "one that is kept is asked as well"
        door.clocks.time -= DAY
        assert await door.knock("read") == "in", "nothing of the jump is left"
        door.clocks.time += DAY / 2
        assert await door.knock("read") == "UNAUTHENTICATED"


@JUMPS
async def test_what_is_revoked_after_a_jump_is_noticed_within_the_same_seconds(
    fresh_world: World, jump: timedelta
) -> None:
    async with opened(fresh_world) as door:
        assert await door.knock("read") == "in"
        door.clocks.time += jump
        async with open_engine(fresh_world.url) as engine:
            await revoke_key(engine, fresh_world.key_ids["read"], door.clocks.now())
        door.clocks.pass_(KEPT_SECONDS + 0.1)
        assert await door.knock("read") == "UNAUTHENTICATED"


@JUMPS
async def test_whoever_guesses_waits_for_a_minute_and_not_for_a_day(fresh_world: World, jump: timedelta) -> None:
    async with opened(fresh_world) as door:
        for _ in range(2):
            assert await door.knock("revoked") == "UNAUTHENTICATED"
        door.clocks.time += jump
        assert await door.knock("read") == "RATE_LIMITED"
        door.clocks.pass_(MINUTE)
        assert await door.knock("read") == "in"


# ------------------------------------------------------------------------ uses


async def last_used_at(world: World) -> str | None:
    async with open_engine(world.url) as engine:
        return (await find_listed_key(engine, world.key_ids["read"])).last_used_at


async def test_when_a_key_was_last_used_never_goes_back(fresh_world: World) -> None:
    async with opened(fresh_world) as door:
        async with door.uses.written():
            assert await door.knock("read") == "in"
            door.clocks.time -= DAY
            door.clocks.pass_(KEPT_SECONDS + 1)
            assert await door.knock("read") == "in"
        assert await last_used_at(fresh_world) == write_instant(NOON), "neither before it is written"
        async with door.uses.written():
            door.clocks.pass_(KEPT_SECONDS + 1)
            assert await door.knock("read") == "in"
        assert await last_used_at(fresh_world) == write_instant(NOON), "nor after"
        door.clocks.time += 2 * DAY
        async with door.uses.written():
            door.clocks.pass_(KEPT_SECONDS + 1)
            assert await door.knock("read") == "in"
        assert await last_used_at(fresh_world) == door.clocks.now()


# --------------------------------------------------------------------- budgets

A_DAY_IN_MILLISECONDS = 86_400_000
LIMIT = 6000
LEVEL = 3.0
"""Points that have drained after three hundredths of a second."""


async def test_a_budget_that_was_written_by_a_clock_ahead_drains_from_now_on(fresh_world: World) -> None:
    key = fresh_world.key_ids["read"]
    async with fresh_world.serving() as engine:
        await spend(engine, key, LEVEL, LIMIT)
        await administer(fresh_world, f"UPDATE budgets SET at = at + {A_DAY_IN_MILLISECONDS}")
        # No time has passed by this clock, so nothing is given back, and nothing is taken either.
        assert await spend(engine, key, 1, LIMIT) == pytest.approx(LEVEL + 1)
        await asyncio.sleep(0.05)
        assert await spend(engine, key, 1, LIMIT) == 1, "it does not wait for the day to come"


async def test_a_budget_that_was_written_by_a_clock_behind_is_whole_and_no_more(fresh_world: World) -> None:
    key = fresh_world.key_ids["read"]
    async with fresh_world.serving() as engine:
        await spend(engine, key, LEVEL, LIMIT)
        await administer(fresh_world, f"UPDATE budgets SET at = at - {A_DAY_IN_MILLISECONDS}")
        assert await spend(engine, key, 1, LIMIT) == 1


# ---------------------------------------------------------------------- a host


def set_clock(file: Path, ahead: timedelta) -> None:
    """Set the clock of a server; no request sees it half set."""
    written = file.with_suffix(".new")
    written.write_text(str(ahead.total_seconds()))
    written.replace(file)


async def test_a_host_whose_clock_jumps_answers_everybody_as_before(fresh_world: World, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    set_clock(clock, timedelta())
    today = datetime.now(UTC)
    await expire(fresh_world, "explain", today + DAY / 2)
    leak = get(f"/leaks/{EXAMPLE_ID}", fresh_world.keys["explain"])
    async with busy(fresh_world, tmp_path, module="tests.faults.jumping", CLOCK_FILE=str(clock)) as beside:
        for ahead in (timedelta(), DAY, timedelta(), -DAY, timedelta()):
            set_clock(clock, ahead)
            await beside.traffic.until_answered(300)
            assert await everywhere(beside.server.port, leak) == {401 if ahead == DAY else 200}
    days = {line[:10] for line in beside.server.log.read_text().splitlines() if " GET /leaks/" in line}
    assert {(today + ahead).date().isoformat() for ahead in (-DAY, DAY)} <= days
