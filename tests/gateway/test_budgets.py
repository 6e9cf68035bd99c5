"""What a key may spend, what it is told of it, and that all processes count together."""

import asyncio
import dataclasses
import hashlib
import logging
import re
import sqlite3
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import orjson
import pytest

from gateway.app import create_app
from gateway.budgets import TOLD_SHARE, Bucket, Budgets, Spending, count_objects
from gateway.storage.budgets import spend
from gateway.storage.database import open_engine
from gateway.storage.engine import Engine, fetch
from gateway.storage.statements import Command
from schema.budget import LARGEST_INT, Cost
from schema.errors import RateLimited
from tests.records import EXAMPLE_ID, UNKNOWN_ID, World, fill
from tests.serving import Gateway, running

COUNTS = "{ " + " ".join(f"a{n}: leaks(first: 1) {{ totalCount }}" for n in range(30)) + " }"
COUNTS_COST = 1 + 30 * (1 + 10)
REST_COST = 8


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(clock: Clock) -> Bucket:
    """A bucket of 600 points, of which 10 come back in a second."""
    return Bucket(600, clock)


# --------------------------------------------------------------------- buckets


def test_a_bucket_holds_its_limit_and_not_a_point_more(bucket: Bucket) -> None:
    bucket.take(500)
    bucket.take(100)
    with pytest.raises(RateLimited, match=r"can cost 1 points, of 600 a minute 0 are left\. Try again in 1 s\."):
        bucket.take(1)


def test_what_was_taken_before_is_spent_until_the_request_comes_again(bucket: Bucket, clock: Clock) -> None:
    bucket.take(550)
    bucket.take(40)
    with pytest.raises(RateLimited, match=r"can cost 60 points, of 600 a minute 10 are left\. Try again in 5 s\."):
        bucket.take(60, in_place_of=40)
    bucket.settle(40, 40)
    clock.now += 5
    bucket.take(60)
    bucket.take(20, in_place_of=60)
    assert (bucket.level, bucket.running) == (560, 570)


def test_it_drains_steadily_and_says_when_there_is_room(bucket: Bucket, clock: Clock) -> None:
    bucket.take(600)
    with pytest.raises(RateLimited) as refused:
        bucket.take(101)
    assert refused.value.retry_after_seconds == 11
    clock.now += 10.05
    with pytest.raises(RateLimited):
        bucket.take(101)
    clock.now += 0.1
    bucket.take(101)
    clock.now += 10**6
    assert bucket.drain() == 0


def test_what_was_not_used_is_given_back_and_never_more(bucket: Bucket, clock: Clock) -> None:
    bucket.take(600)
    bucket.settle(600, 40)
    assert bucket.drain() == 40
    bucket.take(560)
    clock.now += 59
    bucket.settle(560, 1)
    assert bucket.drain() == 0
    bucket.take(600)


def test_a_twentieth_is_worth_telling_and_less_is_not(bucket: Bucket) -> None:
    bucket.take(100)
    assert not bucket.is_worth_telling, "what runs is not yet spent"
    bucket.settle(100, 29)
    assert not bucket.is_worth_telling
    bucket.take(1)
    bucket.settle(1, 1)
    assert bucket.is_worth_telling


def test_the_shared_count_lacks_what_runs_and_what_was_not_told_yet(bucket: Bucket) -> None:
    bucket.take(100)
    bucket.settle(100, 20)
    bucket.take(300)
    bucket.correct(50)
    assert bucket.level == 50 + 20 + 300


def test_however_many_keys_there_are_none_gets_its_budget_anew(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("gateway.budgets._MOST_BUCKETS", 2)
    nothing: Any = None
    budgets = Budgets(nothing, 600, clock)
    for key in ("one", "two", "three", "four"):
        paying(budgets, key, 20)
    for key in ("one", "two", "three", "four"):
        with pytest.raises(RateLimited):
            paying(budgets, key, 581)


@pytest.mark.parametrize("objects", [1, 2, 30, 100, 1000, 20_000])
def test_the_objects_of_an_answer_are_counted_and_of_a_long_one_as_good_as(objects: int) -> None:
    leaks = [{"id": UNKNOWN_ID, "login": f"user{number}@example.com", "url": "x" * 40} for number in range(objects)]
    counted = count_objects(orjson.dumps(leaks))
    assert counted == objects if objects <= 30 else abs(counted - objects) < objects / 10


def test_long_names_of_fields_hide_no_objects() -> None:
    objects = [{"id": UNKNOWN_ID}] * 250
    answer = orjson.dumps({str(part) * 1100: objects for part in range(8)})
    assert count_objects(answer) > 8 * len(objects) / 2


# ------------------------------------------------------------------ the store


def about(points: float) -> Any:
    """So many points, but for what drains at 10 a second while a test runs."""
    return pytest.approx(points - 20, abs=20.01)


async def test_the_shared_count_adds_up_and_drains_by_the_databases_clock(fresh_world: World) -> None:
    key, other = fresh_world.key_ids["read"], fresh_world.key_ids["restricted"]
    async with open_engine(fresh_world.url) as engine:
        assert await spend(engine, key, 100, 600) == about(100)
        assert await spend(engine, key, 50, 600) == about(150)
        assert await spend(engine, other, 7, 600) == 7
        await _move_back(engine, key, seconds=5)
        assert await spend(engine, key, 0, 600) == about(100)
        await _move_back(engine, key, seconds=10**6)
        assert await spend(engine, key, 3, 600) == 3


async def test_a_clock_that_was_set_back_drains_nothing_and_locks_nobody_out(fresh_world: World) -> None:
    key = fresh_world.key_ids["read"]
    async with open_engine(fresh_world.url) as engine:
        await spend(engine, key, 1000, 600)
        await _move_back(engine, key, seconds=-86_400)
        assert await spend(engine, key, 0, 600) == about(1000)
        await _move_back(engine, key, seconds=10)
        assert await spend(engine, key, 0, 600) == about(900)


async def test_under_another_limit_as_much_of_it_is_left_as_was_of_the_one_before(fresh_world: World) -> None:
    key = fresh_world.key_ids["read"]
    async with open_engine(fresh_world.url) as engine:
        await spend(engine, key, 600_000, 600_000)
        assert await spend(engine, key, 0, 600) == about(600)
        assert await spend(engine, key, 0, 6000) == pytest.approx(6000, abs=400)


async def test_a_minute_after_a_limit_was_lowered_all_of_it_is_there_however_much_was_spent(fresh_world: World) -> None:
    key = fresh_world.key_ids["read"]
    async with open_engine(fresh_world.url) as engine:
        for limit, points in ((600_000, 600_000), (600, 30)):
            budgets = Budgets(engine, limit, Clock())
            paying(budgets, key, points)
            await budgets.close()
        with pytest.raises(RateLimited, match=r"of 600 a minute 0 are left\. Try again in [1-4] s\."):
            paying(budgets, key, 1)
        await _move_back(engine, key, seconds=63)
        assert await spend(engine, key, 0, 600) == 0


async def test_a_bucket_is_never_so_full_that_it_takes_longer_than_two_minutes_to_drain(fresh_world: World) -> None:
    key = fresh_world.key_ids["read"]
    async with open_engine(fresh_world.url) as engine:
        await spend(engine, key, 10**9, 600)
        assert await spend(engine, key, 0, 600) == about(1200)


async def _move_back(engine: Engine, key_id: str, seconds: int) -> None:
    moving = Command(f"UPDATE budgets SET at = at - {seconds * 1000} WHERE key_id = '{key_id}'")
    async with engine.transaction() as transaction:
        await transaction.run(fetch(moving))


# ------------------------------------------------------------------- processes


def paying(budgets: Budgets, key_id: str, points: int) -> None:
    """Spend as a request does that uses all that it takes."""
    spending = budgets.spending(key_id, {})
    assert isinstance(spending, Spending)
    spending.take(Cost(work=points))
    spending.close()


async def test_what_one_process_let_through_another_knows_of(fresh_world: World) -> None:
    key, limit = fresh_world.key_ids["read"], 100_000
    step = int(limit * TOLD_SHARE)
    async with open_engine(fresh_world.url) as here, open_engine(fresh_world.url) as there:
        one, other = Budgets(here, limit, Clock()), Budgets(there, limit, Clock())
        for _ in range(20):
            paying(one, key, step)
            await one.close()
        with pytest.raises(RateLimited):
            paying(one, key, step)
        # The other knows only its own count, until a twentieth of the limit makes it ask.
        paying(other, key, step)
        await other.close()
        with pytest.raises(RateLimited):
            paying(other, key, 4 * step)
        paying(other, fresh_world.key_ids["restricted"], 4 * step)
        await other.close()


async def test_requests_write_to_the_database_a_few_times_a_budget(fresh_world: World) -> None:
    key, limit = fresh_world.key_ids["read"], 100_000
    async with open_engine(fresh_world.url) as engine:
        budgets = Budgets(engine, limit, Clock())
        for _ in range(int(limit * TOLD_SHARE) - 1):
            paying(budgets, key, 1)
        await budgets.close()
        assert await _told(engine) == 0
        paying(budgets, key, 1)
        await budgets.close()
        assert await _told(engine) == 1


async def _told(engine: Engine) -> int:
    (rows,) = await engine.run(fetch(Command("SELECT count(*) FROM budgets")))
    count: int = rows[0][0]
    return count


async def test_no_request_waits_while_somebody_else_writes(sqlite_url: str) -> None:
    key, limit = (await fill(sqlite_url)).key_ids["read"], 100_000
    lock = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    async with open_engine(sqlite_url) as engine:
        budgets = Budgets(engine, limit, Clock())
        lock.execute("BEGIN IMMEDIATE")
        for _ in range(10):
            paying(budgets, key, 10_000)
            await asyncio.sleep(0)
        with pytest.raises(RateLimited):
            paying(budgets, key, 1)
        assert lock.execute("SELECT count(*) FROM budgets").fetchone() == (0,)
        lock.execute("COMMIT")
        lock.close()
        await budgets.close()
        assert await _told(engine) == 1


async def test_without_its_table_each_process_counts_for_itself_and_says_so_once(
    fresh_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    key, limit = fresh_world.key_ids["read"], 100_000
    async with open_engine(fresh_world.url) as engine:
        async with engine.transaction() as transaction:
            await transaction.run(fetch(Command("DROP TABLE budgets")))
        clock = Clock()
        budgets = Budgets(engine, limit, clock)
        with caplog.at_level(logging.WARNING, "gateway.budgets"):
            for _ in range(3):
                paying(budgets, key, 25_000)
                await budgets.close()
                clock.now += 2
        assert [record.message for record in caplog.records] == [
            "Budgets are not shared just now; each process counts for itself"
        ]
        with pytest.raises(RateLimited):
            paying(budgets, key, 40_000)


async def test_once_its_table_is_back_what_was_spent_meanwhile_is_shared(
    fresh_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    key, limit = fresh_world.key_ids["read"], 100_000
    async with open_engine(fresh_world.url) as engine:
        clock = Clock()
        budgets = Budgets(engine, limit, clock)
        with caplog.at_level(logging.WARNING, "gateway.budgets"):
            for table, other, points in (("budgets", "gone", 25_000), ("gone", "budgets", 5_000)):
                async with engine.transaction() as transaction:
                    await transaction.run(fetch(Command(f"ALTER TABLE {table} RENAME TO {other}")))
                paying(budgets, key, points)
                await budgets.close()
                clock.now += 2
        assert [record.message for record in caplog.records] == [
            "Budgets are not shared just now; each process counts for itself",
            "Budgets are shared again",
        ]
        assert await spend(engine, key, 0, limit) == pytest.approx(30_000, rel=0.2)


# ----------------------------------------------------------------------- doors


@pytest.fixture
async def metered(fresh_world: World) -> AsyncIterator[Gateway]:
    """A gateway where a key may spend ten times what `COUNTS` costs."""
    settings = dataclasses.replace(fresh_world.settings, rate_limit=10 * COUNTS_COST)
    async with running(create_app(settings)) as client:
        yield Gateway(client, fresh_world)


async def test_every_answer_to_a_key_tells_what_is_left(metered: Gateway) -> None:
    limit, left = 10 * COUNTS_COST, []
    for response in (
        await metered.get(f"/leaks/{EXAMPLE_ID}"),
        await metered.get(f"/leaks/{UNKNOWN_ID}"),
        await metered.get(f"/leaks/{EXAMPLE_ID}", headers={"If-None-Match": "*"}),
        await metered.respond("{ leaks(first: 5) { nodes { id } } }"),
        await metered.respond("{ nothing }"),
        await metered.respond("{ leaks(first: 0) { nodes { id } } }"),
    ):
        assert response.headers["ratelimit-policy"] == f'"default";q={limit};w=60'
        told = re.fullmatch(r'"default";r=(\d+);t=(\d+)', response.headers["ratelimit"])
        assert told
        left.append(int(told[1]))
        assert 0 <= int(told[2]) <= 60
    assert limit - REST_COST <= left[0] < limit
    for response in (await metered.get("/healthz"), await metered.get(f"/leaks/{EXAMPLE_ID}", None)):
        assert "ratelimit" not in response.headers


async def test_what_an_operation_costs_and_what_it_used_is_told(metered: Gateway) -> None:
    for query, cost, used in (
        # Five leaks are a point each, as is what they stand in: the data and the list.
        ("{ leaks(first: 5) { nodes { id } } }", 7, 7),
        ('{ leaks(first: 100, filter: {login: "nowhere"}) { nodes { id } } }', 102, 2),
        # What is looked for by id is looked for whether it is there or not.
        (f'{{ nodes(ids: ["{UNKNOWN_ID}", "{UNKNOWN_ID}", "no-id"]) {{ ... on Leak {{ domain {{ id }} }} }} }}', 7, 4),
        # Counts and searches are made whatever they find.
        ('{ leaks(first: 100, filter: {urlContains: "nowhere"}) { nodes { id } } }', 202, 102),
        (COUNTS, COUNTS_COST, COUNTS_COST),
        ("{ viewer { id } }", 2, 2),
        # What fails may have worked long for it, and is not planned.
        ("{ leaks(first: 0) { nodes { id } } organization { domains(first: 7) { nodes { id } } } }", 501, 501),
    ):
        response = await metered.respond(query)
        assert response.headers["x-leaks-cost"] == f"{cost};used={used}", query
    response = await metered.get(f"/leaks/{EXAMPLE_ID}")
    assert response.headers["x-leaks-cost"] == f"{REST_COST};used={REST_COST}"


async def test_a_document_that_is_refused_costs_what_it_took_to_read(metered: Gateway) -> None:
    valid = await metered.respond("{ viewer { id } }".ljust(2000))
    assert valid.headers["x-leaks-cost"] == "2;used=2", "it costs what its operation does"
    for query in ("{ nothing }".ljust(2000), "{".ljust(2000), "{ nothing }".ljust(2000)):
        response = await metered.respond(query)
        assert response.headers["x-leaks-cost"] == "101;used=101"
    while response.status_code != 429:
        response = await metered.respond("{".ljust(20_000))
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["RATE_LIMITED"]


async def test_a_document_that_is_refused_costs_as_much_with_its_hash(metered: Gateway) -> None:
    for query, costs in (("{ nothing }", "101;used=101"), ("{ viewer { id } }", "2;used=2")):
        text = query.ljust(2000)
        hashed = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(text.encode()).hexdigest()}}
        response = await metered.post(orjson.dumps({"query": text, "extensions": hashed}))
        assert response.headers["x-leaks-cost"] == costs


async def test_a_budget_that_is_whole_is_enough_to_read_any_document(metered: Gateway) -> None:
    response = await metered.respond("{ viewer { id } }".ljust(100_000))
    assert (response.status_code, response.headers["x-leaks-cost"]) == (200, "2;used=2")


async def test_the_schema_tells_the_same(metered: Gateway) -> None:
    asked = "{ rateLimit { limit cost remaining resetAt } leaks(first: 98) { nodes { id } } }"
    data = await metered.ask(asked)
    limit = data["rateLimit"]
    whole = 10 * COUNTS_COST
    assert (limit["limit"], limit["cost"]) == (whole, 100)
    assert whole - 100 <= limit["remaining"] < whole, "some of it drains while a test runs"
    assert datetime.fromisoformat(limit["resetAt"]).tzinfo is not None


async def test_a_key_that_has_spent_its_budget_is_told_when_to_come_again(metered: Gateway) -> None:
    for _ in range(20):
        refused = await metered.respond(COUNTS)
        if refused.status_code == 429:
            break
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["extensions"]) == (429, {"code": "RATE_LIMITED"})
    seconds = int(refused.headers["retry-after"])
    assert 1 <= seconds <= 60
    assert re.fullmatch(rf"The key's budget is spent: .* Try again in {seconds} s\.", error["message"])
    assert re.fullmatch(r'"default";r=\d+;t=\d+', refused.headers["ratelimit"])
    assert (await metered.respond(COUNTS, key="restricted")).status_code == 200


async def test_rest_is_refused_in_its_own_shape(fresh_world: World) -> None:
    settings = dataclasses.replace(fresh_world.settings, rate_limit=REST_COST)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, fresh_world)
        assert (await gateway.get(f"/leaks/{EXAMPLE_ID}")).status_code == 200
        refused = await gateway.get(f"/leaks/{EXAMPLE_ID}")
        body = refused.json()
        assert (refused.status_code, body["type"], body["status"]) == (429, "too_many_requests", 429)
        assert body["detail"].startswith("The key's budget is spent")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit-policy"] == f'"default";q={REST_COST};w=60'


async def test_two_gateways_over_one_database_hold_one_budget(fresh_world: World) -> None:
    settings = dataclasses.replace(fresh_world.settings, rate_limit=10 * COUNTS_COST)
    async with running(create_app(settings)) as one, running(create_app(settings)) as other:
        here, there = Gateway(one, fresh_world), Gateway(other, fresh_world)
        spent = [(await here.respond(COUNTS)).status_code for _ in range(12)]
        assert 429 in spent
        assert (await there.respond(COUNTS)).status_code == 200, "it has not heard yet"
        # It hears in a moment. Alone, it would let all of these through.
        for _ in range(100):
            status = (await there.get(f"/leaks/{UNKNOWN_ID}")).status_code
            if status == 429:
                break
            await asyncio.sleep(0.02)
        assert status == 429


async def test_where_there_is_no_limit_nothing_is_counted(fresh_world: World) -> None:
    settings = dataclasses.replace(fresh_world.settings, rate_limit=0)
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, fresh_world)
        for _ in range(30):
            response = await gateway.respond(COUNTS)
            assert response.status_code == 200
        assert response.headers["x-leaks-cost"] == str(COUNTS_COST)
        assert not [name for name in response.headers if name.startswith("ratelimit")]
        data = await gateway.ask("{ rateLimit { limit cost remaining resetAt } }")
        assert data["rateLimit"] == {
            "limit": LARGEST_INT,
            "cost": 1,
            "remaining": LARGEST_INT,
            "resetAt": "1970-01-01T00:00:00.000Z",
        }
