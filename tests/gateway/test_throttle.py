"""Who has to wait, and who not."""

import asyncio

import pytest

from gateway.throttle import ADDRESSES_KEPT, Throttle, network_of
from schema.errors import RateLimited, Unavailable
from tests.gateway.test_admission import settle

HERE, THERE = "192.0.2.1", "192.0.2.2"


async def _fail(throttle: Throttle, address: str, times: int) -> None:
    for _ in range(times):
        async with throttle.attempt(address):
            throttle.count(address)


async def test_whoever_fails_too_often_waits_and_nobody_else() -> None:
    throttle = Throttle(3)
    await _fail(throttle, HERE, 3)
    with pytest.raises(RateLimited) as limited:
        await _fail(throttle, HERE, 1)
    assert 55 <= limited.value.retry_after_seconds <= 60
    await _fail(throttle, THERE, 3)


async def test_the_wait_ends_however_often_somebody_asks_in_it() -> None:
    time = 0.0
    throttle = Throttle(2, clock=lambda: time)
    await _fail(throttle, HERE, 2)
    for passed, seconds in ((0.0, 60), (30.0, 30), (59.5, 1)):
        time = passed
        with pytest.raises(RateLimited) as limited:
            await _fail(throttle, HERE, 1)
        assert limited.value.retry_after_seconds == seconds
    time = 60.0
    await _fail(throttle, HERE, 2)


async def test_it_can_be_turned_off() -> None:
    await _fail(Throttle(0), HERE, 1000)


async def test_it_forgets_who_failed_first_when_there_are_too_many() -> None:
    throttle = Throttle(1)
    await _fail(throttle, HERE, 1)
    for number in range(ADDRESSES_KEPT - 1):
        throttle.count(str(number))
    with pytest.raises(RateLimited):
        await _fail(throttle, HERE, 1)
    throttle.count("one too many")
    await _fail(throttle, HERE, 1)


class Trying:
    """Keys of an address that are being looked up until it is told what becomes of them."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.begun = 0

    async def come(self, times: int, address: str = HERE) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self._try(address)) for _ in range(times)]
        await settle()
        return tasks

    async def _try(self, address: str) -> None:
        async with self._throttle.attempt(address):
            self.begun += 1
            if not await asyncio.shield(self._outcome):
                self._throttle.count(address)

    def turn_out(self, *, good: bool) -> None:
        self._outcome.set_result(good)


async def test_so_many_are_tried_at_once_as_may_fail_and_where_they_do_the_rest_is_refused() -> None:
    throttle = Throttle(3)
    trying = Trying(throttle)
    await _fail(throttle, HERE, 1)
    tasks = await trying.come(10)
    assert trying.begun == 2
    await trying.come(1, THERE)
    assert trying.begun == 3
    trying.turn_out(good=False)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 2 + [RateLimited] * 8


async def test_where_those_that_are_tried_are_good_whoever_waited_goes_on() -> None:
    trying = Trying(Throttle(3))
    tasks = await trying.come(10)
    assert trying.begun == 3
    trying.turn_out(good=True)
    await asyncio.gather(*tasks)
    assert trying.begun == 10


async def test_whoever_goes_away_leaves_his_place_to_others() -> None:
    trying = Trying(Throttle(1))
    first, second, third = await trying.come(3)
    second.cancel()
    first.cancel()
    await settle()
    assert trying.begun == 2
    trying.turn_out(good=True)
    await third


async def test_what_does_not_turn_out_is_waited_for_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.throttle.ANSWER_SECONDS", 0.05)
    trying = Trying(Throttle(1))
    first, second = await trying.come(2)
    with pytest.raises(Unavailable):
        await second
    trying.turn_out(good=True)
    await first


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", "unknown"),
        ("x" * 10_000, "x" * 64),
        ("", ""),
    ],
)
def test_an_address_stands_for_whoever_has_it(client: str, network: str) -> None:
    assert network_of(client) == network
