"""Whose turn it is, counted: who runs, who waits, and who is sent away."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from random import Random

import httpx
import pytest

from gateway.admission import Admission
from gateway.app import create_app
from schema.errors import Unavailable
from tests.records import EXAMPLE_ID, World
from tests.serving import Gateway, running


class House:
    """Requests that run until they are told to end."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.entered: list[str] = []
        self._ending: dict[str, list[asyncio.Event]] = {}

    async def call(self, key: str) -> None:
        turns = self.admission.turn(key) or await self.admission.wait(key)
        self.entered.append(key)
        ending = asyncio.Event()
        self._ending.setdefault(key, []).append(ending)
        try:
            await ending.wait()
        finally:
            turns.leave()

    async def come(self, key: str, times: int = 1) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self.call(key)) for _ in range(times)]
        await settle()
        return tasks

    def let_end(self, key: str) -> None:
        self._ending[key].pop(0).set()

    async def end(self, key: str) -> None:
        self.let_end(key)
        await settle()

    async def end_all(self) -> None:
        while any(self._ending.values()):
            await self.end(next(key for key, events in self._ending.items() if events))


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_as_many_run_abreast_as_may_and_the_rest_waits_for_turns() -> None:
    house = House(Admission(most=10, most_a_key=10, wait_seconds=60, abreast=2))
    tasks = await house.come("a", 5)
    assert house.entered == ["a"] * 2
    await house.end("a")
    assert house.entered == ["a"] * 3
    await house.end_all()
    await asyncio.gather(*tasks)
    assert house.entered == ["a"] * 5


async def test_a_greedy_key_leaves_the_others_their_turns() -> None:
    house = House(Admission(most=100, most_a_key=100, wait_seconds=60, abreast=4))
    tasks = await house.come("greedy", 20)
    for key in ("b", "c", "d"):
        tasks += await house.come(key, 3)
    assert house.entered == ["greedy"] * 4
    # Each turn that comes free goes to a key that has none, in the order in which they came.
    for _ in range(3):
        await house.end("greedy")
    assert house.entered[4:] == ["b", "c", "d"]
    # From then on everybody has one, and whoever gives his back is the one with the fewest.
    for key in ("b", "c", "d", "greedy"):
        await house.end(key)
        assert house.entered[-1] == key
    await house.end_all()
    await asyncio.gather(*tasks)


async def test_a_greedy_key_leaves_the_next_turn_to_whoever_comes_at_that_moment() -> None:
    house = House(Admission(most=100, most_a_key=100, wait_seconds=60, abreast=4))
    tasks = [*await house.come("b"), *await house.come("greedy", 20)]
    house.let_end("greedy")
    house.let_end("greedy")
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(house.call("b")))
    await settle()
    assert house.entered == ["b", "greedy", "greedy", "greedy", "b", "greedy"]
    await house.end_all()
    await asyncio.gather(*tasks)


async def test_a_key_has_all_turns_while_it_is_alone_and_its_share_while_it_is_not() -> None:
    house = House(Admission(most=100, most_a_key=100, wait_seconds=60, abreast=4))
    tasks = await house.come("greedy", 20)
    tasks += await house.come("b", 1)
    for _ in range(2):
        await house.end("greedy")
    assert house.entered == ["greedy"] * 4 + ["b"], "two of four are its share"
    await house.end("b")
    assert house.entered == ["greedy"] * 4 + ["b"] + ["greedy"] * 2
    await house.end_all()
    await asyncio.gather(*tasks)


async def test_the_last_of_many_turns_are_for_keys_that_have_none() -> None:
    house = House(Admission(most=100, most_a_key=100, wait_seconds=60, abreast=8))
    tasks = await house.come("a", 9)
    assert house.entered == ["a"] * 7
    tasks += await house.come("b", 2)
    assert house.entered == ["a"] * 7 + ["b"]
    await house.end("a")
    assert len(house.entered) == 8, "kept for whoever comes next"
    tasks += await house.come("c")
    assert house.entered[8:] == ["c"]
    await house.end_all()
    await asyncio.gather(*tasks)


async def test_turns_that_cannot_be_shared_evenly_are_given_all_the_same() -> None:
    house = House(Admission(most=100, most_a_key=100, wait_seconds=60, abreast=4))
    tasks = await house.come("a", 4)
    tasks += await house.come("b", 4)
    tasks += await house.come("c", 4)
    for _ in range(3):
        await house.end("a")
    assert sorted(house.entered[4:]) == ["b", "b", "c"]
    await house.end_all()
    await asyncio.gather(*tasks)


async def test_of_keys_with_as_few_turns_the_one_is_next_whose_last_ended_first() -> None:
    house = House(Admission(most=100, most_a_key=100, wait_seconds=60, abreast=1))
    tasks = await house.come("a", 3)
    tasks += await house.come("b", 3)
    tasks += await house.come("c", 1)
    await house.end_all()
    await asyncio.gather(*tasks)
    assert house.entered == ["a", "b", "c", "a", "b", "a", "b"]


async def test_a_key_that_has_all_it_may_leaves_turns_free_for_others() -> None:
    house = House(Admission(most=10, most_a_key=2, wait_seconds=60, abreast=4))
    tasks = await house.come("a", 5)
    assert house.entered == ["a", "a"]
    tasks += await house.come("b", 2)
    assert house.entered == ["a", "a", "b", "b"]
    await house.end_all()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(("most", "most_a_key"), [(3, 10), (10, 3)])
async def test_beyond_the_limits_a_request_is_sent_away_though_nothing_ends(most: int, most_a_key: int) -> None:
    house = House(Admission(most, most_a_key, wait_seconds=0, abreast=1))
    tasks = await house.come("a", 5)
    done = [task for task in tasks if task.done()]
    assert len(done) == 2
    for task in done:
        with pytest.raises(Unavailable, match="busy"):
            await task
    await house.end_all()
    await asyncio.gather(*(task for task in tasks if task not in done))
    assert house.entered == ["a"] * 3


async def test_a_request_that_is_taken_in_waits_for_its_turn_as_long_as_an_operation_may_take() -> None:
    house = House(Admission(most=10, most_a_key=10, wait_seconds=60, most_seconds=0.01, abreast=1))
    _, second = await house.come("a", 2)
    with pytest.raises(Unavailable, match="busy"):
        await second
    await house.end_all()
    assert house.entered == ["a"]


async def test_beyond_the_limits_a_request_runs_where_a_turn_comes_free_in_time() -> None:
    house = House(Admission(most=1, most_a_key=1, wait_seconds=60))
    tasks = await house.come("a", 2)
    assert house.entered == ["a"]
    await house.end("a")
    assert house.entered == ["a"] * 2
    await house.end_all()
    await asyncio.gather(*tasks)


async def test_whoever_goes_away_while_he_waits_leaves_no_gap() -> None:
    house = House(Admission(most=10, most_a_key=10, wait_seconds=60, abreast=1))
    _, second, third = await house.come("a", 3)
    second.cancel()
    await settle()
    await house.end("a")
    assert house.entered == ["a"] * 2
    await house.end_all()
    await third


async def test_whoever_goes_away_as_he_is_given_a_turn_passes_it_on() -> None:
    house = House(Admission(most=10, most_a_key=10, wait_seconds=60, abreast=1))
    _, second, third = await house.come("a", 3)
    house._ending["a"].pop(0).set()  # noqa: SLF001 - so that both happen before anybody runs on
    await asyncio.sleep(0)
    second.cancel()
    await settle()
    assert second.cancelled()
    assert house.entered == ["a"] * 2
    await house.end_all()
    await third


async def test_whatever_comes_and_goes_no_limit_is_passed_and_nobody_is_forgotten() -> None:
    random = Random(4)  # noqa: S311 - made-up traffic
    admission = Admission(most=12, most_a_key=5, wait_seconds=0.001, abreast=6)
    now: dict[str, int] = {}
    most, most_a_key, ran, refused, cancelled = 0, 0, 0, 0, 0

    async def visit(key: str) -> None:
        nonlocal most, most_a_key, ran
        turns = admission.turn(key) or await admission.wait(key)
        now[key] = now.get(key, 0) + 1
        most, most_a_key = max(most, sum(now.values())), max(most_a_key, now[key])
        ran += 1
        try:
            await asyncio.sleep(random.choice((0, 0, 0.001)))
        finally:
            now[key] -= 1
            turns.leave()

    tasks = []
    for _ in range(1000):
        tasks.append(asyncio.create_task(visit(random.choice("aaaabcd"))))
        if random.random() < 0.1:
            random.choice(tasks[-3:]).cancel()
        if random.random() < 0.2:
            await asyncio.sleep(0)
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        refused += isinstance(outcome, Unavailable)
        cancelled += isinstance(outcome, asyncio.CancelledError)
    assert 4 < most <= 6
    assert most_a_key <= 5
    assert min(ran, refused, cancelled) > 10
    house = House(admission)
    tasks = await house.come("a", 5)
    assert house.entered == ["a"] * 5, "every turn was given back"
    await house.end_all()
    await asyncio.gather(*tasks)


async def test_a_busy_gateway_says_so_in_each_doors_shape(world: World) -> None:
    settings = dataclasses.replace(world.settings, max_concurrency=1, queue_milliseconds=0)
    message = "The gateway is busy. Try again shortly."
    async with running(create_app(settings)) as client:
        gateway = Gateway(client, world)
        rest = await sent_away(lambda: gateway.get(f"/leaks/{EXAMPLE_ID}"))
        assert rest.json() == {"type": "service_unavailable", "status": 503, "detail": message}
        graphql = await sent_away(lambda: gateway.respond("{ leaks(first: 100) { nodes { id } } }"))
        assert graphql.json() == {"errors": [{"message": message, "extensions": {"code": "UNAVAILABLE"}}]}
        for response in (rest, graphql):
            assert response.headers["retry-after"] == "1"
        assert (await gateway.get(f"/leaks/{EXAMPLE_ID}")).status_code == 200


async def sent_away(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """A response that was sent away, of eight requests at once where one at a time is taken in."""
    for _ in range(20):
        responses = await asyncio.gather(*(ask() for _ in range(8)))
        assert {response.status_code for response in responses} <= {200, 503}
        if busy := [response for response in responses if response.status_code == 503]:
            return busy[0]
    raise AssertionError("Nobody was sent away.")
