"""Whoever presents too many wrong keys has to wait out the minute.

A key that is being looked up counts as a wrong one until it turns out not to be: so many at once are looked up from an
address as may still be wrong, and whoever comes beyond waits for one of them.
"""

import asyncio
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil, inf
from time import monotonic

from gateway.storage.patience import ANSWER_SECONDS
from schema.errors import RateLimited, Unavailable

ADDRESSES_KEPT = 4096
_HOST_BITS_IPV6 = 64
"""One network is one customer's, who has all of its addresses (RFC 6177)."""


class Throttle:
    """Counts failures by address, a minute at a time, in this process.

    Args:
        limit: How many a minute may have; 0 for no end.
        window_seconds: How long a minute is.
        clock: Seconds that only ever pass.
    """

    def __init__(self, limit: int, window_seconds: float = 60.0, clock: Callable[[], float] = monotonic) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._trying: Counter[str] = Counter()
        """How many keys of an address are being looked up."""
        self._turned_out: dict[str, asyncio.Event] = {}
        """What others of an address wait for: that one of these has turned out."""

    @asynccontextmanager
    async def attempt(self, address: str) -> AsyncIterator[None]:
        """Let an address try a key, once it may; where that is wrong, it is counted before this ends.

        Raises:
            RateLimited: it has failed too often.
            Unavailable: what it tries already does not turn out in time.
        """
        await self._wait(address)
        self._trying[address] += 1
        try:
            yield
        finally:
            self._turn_out(address)

    def count(self, address: str) -> None:
        """Count a failure of an address."""
        ends_at, failures = self._windows.get(address, (0.0, 0))
        if ends_at > self._clock():
            self._windows[address] = ends_at, failures + 1
        else:
            self._begin_minute(address)

    async def _wait(self, address: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._trying[address] >= self._left(address):
                    await self._turned_out.setdefault(address, asyncio.Event()).wait()
        except TimeoutError as error:
            raise Unavailable from error

    def _turn_out(self, address: str) -> None:
        self._trying[address] -= 1
        if not self._trying[address]:
            del self._trying[address]
        if address in self._turned_out:
            self._turned_out.pop(address).set()

    def _left(self, address: str) -> float:
        """How many more failures an address may have.

        Raises:
            RateLimited: none.
        """
        if not self._limit:
            return inf
        ends_at, failures = self._windows.get(address, (0.0, 0))
        left_seconds = ends_at - self._clock()
        if left_seconds <= 0:
            return self._limit
        if failures >= self._limit:
            raise RateLimited("Too many requests with a key that is not valid.", ceil(left_seconds))
        return self._limit - failures

    def _begin_minute(self, address: str) -> None:
        self._windows[address] = self._clock() + self._window_seconds, 1
        self._windows.move_to_end(address)
        if len(self._windows) > ADDRESSES_KEPT:
            # The one that ends first.
            self._windows.popitem(last=False)


def network_of(host: str) -> str:
    """Where a client is: an IPv4 address, or an IPv6 network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 128 - _HOST_BITS_IPV6), strict=False))
