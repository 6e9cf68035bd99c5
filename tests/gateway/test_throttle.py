"""Who has to wait, and who not."""

import asyncio

import pytest

from gateway.throttle import ADDRESSES_KEPT, Throttle, network_of
from schema.errors import RateLimited

HERE, THERE = "192.0.2.1", "192.0.2.2"


def _fail(throttle: Throttle, address: str, times: int) -> None:
    for _ in range(times):
        throttle.check(address)
        throttle.count(address)


def test_whoever_fails_too_often_waits_and_nobody_else() -> None:
    throttle = Throttle(3)
    _fail(throttle, HERE, 3)
    with pytest.raises(RateLimited) as limited:
        throttle.check(HERE)
    assert 55 <= limited.value.retry_after_seconds <= 60
    _fail(throttle, THERE, 3)


async def test_the_wait_ends_however_often_somebody_asks_in_it() -> None:
    throttle = Throttle(2, window_seconds=1.5)
    _fail(throttle, HERE, 2)
    for _ in range(5):
        with pytest.raises(RateLimited) as limited:
            throttle.check(HERE)
        assert limited.value.retry_after_seconds in {1, 2}
    await asyncio.sleep(1.6)
    _fail(throttle, HERE, 2)


def test_it_can_be_turned_off() -> None:
    _fail(Throttle(0), HERE, 1000)


def test_it_forgets_who_failed_first_when_there_are_too_many() -> None:
    throttle = Throttle(1)
    _fail(throttle, HERE, 1)
    for number in range(ADDRESSES_KEPT - 1):
        throttle.count(str(number))
    with pytest.raises(RateLimited):
        throttle.check(HERE)
    throttle.count("one too many")
    throttle.check(HERE)


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
