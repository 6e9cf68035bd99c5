"""Whose turn it is, counted: who runs, who waits, and who is sent away."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from random import Random
from time import sleep

import httpx
import pytest

from gateway.admission import Admission
from gateway.app import create_app
from schema.errors import Unavailable
from tests.records import EXAMPLE_ID, World
from tests.serving import Gateway, running


class Requests:
    """Requests that run until they are told to end."""

    def __init__(
        self,
        *,
        most: int = 100,
        most_a_key: int = 100,
        abreast: int = 4,
        wait_seconds: float = 60,
        turn_seconds: float = 10,
    ) -> None:
        self.admission = Admission(most, most_a_key, wait_seconds, turn_seconds, abreast)
        self.entered: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
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

    def begin(self, key: str) -> "asyncio.Task[None]":
        self._tasks.append(asyncio.create_task(self.call(key)))
        return self._tasks[-1]

    async def come(self, key: str, times: int = 1) -> list["asyncio.Task[None]"]:
        tasks = [self.begin(key) for _ in range(times)]
        await settle()
        return tasks

    def let_end(self, key: str) -> None:
        self._ending[key].pop(0).set()

    async def end(self, key: str) -> None:
        self.let_end(key)
        await settle()

    async def end_all(self) -> None:
        """Let all end that run or wait; each that was not refused or cancelled before ends well."""
        left = [task for task in self._tasks if not task.done()]
        while any(self._ending.values()):
            await self.end(next(key for key, events in self._ending.items() if events))
        await asyncio.gather(*left)


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_as_many_run_abreast_as_may_and_the_rest_waits_for_turns() -> None:
    requests = Requests(most=10, most_a_key=10, abreast=2)
    await requests.come("a", 5)
    assert requests.entered == ["a"] * 2
    await requests.end("a")
    assert requests.entered == ["a"] * 3
    await requests.end_all()
    assert requests.entered == ["a"] * 5


async def test_a_greedy_key_leaves_the_others_their_turns() -> None:
    requests = Requests()
    await requests.come("greedy", 20)
    for key in ("b", "c", "d"):
        await requests.come(key, 3)
    assert requests.entered == ["greedy"] * 4
    # Each turn that comes free goes to a key that has none, in the order in which they came.
    for _ in range(3):
        await requests.end("greedy")
    assert requests.entered[4:] == ["b", "c", "d"]
    # From then on everybody has one, and whoever gives his back is the one with the fewest.
    for key in ("b", "c", "d", "greedy"):
        await requests.end(key)
        assert requests.entered[-1] == key
    await requests.end_all()


async def test_a_greedy_key_leaves_the_next_turn_to_whoever_comes_at_that_moment() -> None:
    requests = Requests()
    await requests.come("b")
    await requests.come("greedy", 20)
    requests.let_end("greedy")
    requests.let_end("greedy")
    await asyncio.sleep(0)
    requests.begin("b")
    await settle()
    assert requests.entered == ["b", "greedy", "greedy", "greedy", "b", "greedy"]
    await requests.end_all()


async def test_a_key_has_all_turns_while_it_is_alone_and_its_share_while_it_is_not() -> None:
    requests = Requests()
    await requests.come("greedy", 20)
    await requests.come("b", 1)
    for _ in range(2):
        await requests.end("greedy")
    assert requests.entered == ["greedy"] * 4 + ["b"], "two of four are its share"
    await requests.end("b")
    assert requests.entered == ["greedy"] * 4 + ["b"] + ["greedy"] * 2
    await requests.end_all()


async def test_the_last_of_many_turns_are_for_keys_that_have_none() -> None:
    requests = Requests(abreast=8)
    await requests.come("a", 9)
    assert requests.entered == ["a"] * 7
    await requests.come("b", 2)
    assert requests.entered == ["a"] * 7 + ["b"]
    await requests.end("a")
    assert len(requests.entered) == 8, "kept for whoever comes next"
    await requests.come("c")
    assert requests.entered[8:] == ["c"]
    await requests.end_all()


async def test_turns_that_cannot_be_shared_evenly_are_given_all_the_same() -> None:
    requests = Requests()
    await requests.come("a", 4)
    await requests.come("b", 4)
    await requests.come("c", 4)
    for _ in range(3):
        await requests.end("a")
    assert sorted(requests.entered[4:]) == ["b", "b", "c"]
    await requests.end_all()


async def test_of_keys_with_as_few_turns_the_one_is_next_whose_last_ended_first() -> None:
    requests = Requests(abreast=1)
    await requests.come("a", 3)
    await requests.come("b", 3)
    await requests.come("c", 1)
    await requests.end_all()
    assert requests.entered == ["a", "b", "c", "a", "b", "a", "b"]


async def test_a_key_that_has_all_it_may_leaves_turns_free_for_others() -> None:
    requests = Requests(most=10, most_a_key=2)
    await requests.come("a", 5)
    assert requests.entered == ["a", "a"]
    await requests.come("b", 2)
    assert requests.entered == ["a", "a", "b", "b"]
    await requests.end_all()


@pytest.mark.parametrize(("most", "most_a_key"), [(3, 10), (10, 3)])
async def test_beyond_the_limits_a_request_is_sent_away_though_nothing_ends(most: int, most_a_key: int) -> None:
    requests = Requests(most=most, most_a_key=most_a_key, wait_seconds=0, abreast=1)
    refused = [task for task in await requests.come("a", 5) if task.done()]
    assert len(refused) == 2
    for task in refused:
        with pytest.raises(Unavailable, match="busy"):
            await task
    await requests.end_all()
    assert requests.entered == ["a"] * 3


async def test_a_request_that_is_taken_in_waits_for_its_turn_as_long_as_an_operation_may_take() -> None:
    requests = Requests(most=10, most_a_key=10, turn_seconds=0.01, abreast=1)
    _, second = await requests.come("a", 2)
    with pytest.raises(Unavailable, match="busy"):
        await second
    await requests.end_all()
    assert requests.entered == ["a"]


async def test_beyond_the_limits_a_request_runs_where_a_turn_comes_free_in_time() -> None:
    requests = Requests(most=1, most_a_key=1)
    await requests.come("a", 2)
    assert requests.entered == ["a"]
    await requests.end("a")
    assert requests.entered == ["a"] * 2
    await requests.end_all()


async def test_beyond_the_limits_a_request_runs_that_is_given_a_turn_as_its_time_is_over() -> None:
    requests = Requests(most=1, most_a_key=1, wait_seconds=0.05)
    turns = requests.admission.turn("a")
    assert turns is not None
    (second,) = await requests.come("a")
    # A round of the loop takes longer than it may wait; in the next one, it is given a turn and its time is over.
    loop = asyncio.get_running_loop()
    loop.call_soon(sleep, 0.1)
    loop.call_soon(loop.call_soon, turns.leave)
    await asyncio.sleep(0.2)
    assert requests.entered == ["a"]
    await requests.end_all()
    await second
    assert requests.admission.taken("a") == 0


async def test_whoever_goes_away_while_he_waits_leaves_no_gap() -> None:
    requests = Requests(most=10, most_a_key=10, abreast=1)
    _, second, third = await requests.come("a", 3)
    second.cancel()
    await settle()
    await requests.end("a")
    assert requests.entered == ["a"] * 2
    await requests.end_all()
    assert third.done()


async def test_whoever_goes_away_as_he_is_given_a_turn_passes_it_on() -> None:
    requests = Requests(most=10, most_a_key=10, abreast=1)
    _, second, third = await requests.come("a", 3)
    # Both happen before anybody runs on.
    requests.let_end("a")
    await asyncio.sleep(0)
    second.cancel()
    await settle()
    assert second.cancelled()
    assert requests.entered == ["a"] * 2
    await requests.end_all()
    assert third.done()


async def test_whoever_goes_away_and_is_then_given_a_turn_passes_it_on() -> None:
    requests = Requests(most=10, most_a_key=10, abreast=1)
    turns = requests.admission.turn("a")
    assert turns is not None
    second, third = await requests.come("a", 2)
    second.cancel()
    turns.leave()
    await settle()
    assert requests.entered == ["a"]
    await requests.end_all()
    assert (second.cancelled(), third.done()) == (True, True)


async def test_a_greedy_key_may_go_away_while_it_rests() -> None:
    requests = Requests(abreast=2)
    modest, greedy = requests.admission.turn("b"), requests.admission.turn("a")
    assert modest is not None
    assert greedy is not None
    waiting = await requests.come("a", 4)
    greedy.leave()
    for one in waiting:
        one.cancel()
    modest.leave()
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    await settle()
    assert not failures
    assert requests.admission.turn("a") is not None


async def test_whatever_comes_and_goes_no_limit_is_passed_and_nobody_is_forgotten() -> None:
    random = Random(4)  # noqa: S311 - made-up traffic
    requests = Requests(most=12, most_a_key=5, wait_seconds=0.001, abreast=6)
    admission = requests.admission
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
    await requests.come("a", 5)
    assert requests.entered == ["a"] * 5, "every turn was given back"
    await requests.end_all()


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
