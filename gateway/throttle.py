"""An address that presents too many wrong keys has to wait until the minute is over.

A key counts as wrong while it is looked up. So an address has no more look-ups at a time than it has failures left, and
further ones wait for one of these to end.
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
"""A /64 network belongs to one customer, who has all of its addresses (RFC 6177)."""


class Throttle:
    """Counts the failures of each address in this process, a minute at a time.

    Args:
        limit: Failures that an address may have in a minute; 0 for any number.
        window_seconds: How long a minute is.
        clock: Seconds that only ever pass.
    """

    def __init__(self, limit: int, window_seconds: float = 60.0, clock: Callable[[], float] = monotonic) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._trying: Counter[str] = Counter()
        """How many keys of each address are being looked up."""
        self._ended: dict[str, asyncio.Event] = {}
        """Set when one of these look-ups has ended."""

    @asynccontextmanager
    async def attempt(self, address: str) -> AsyncIterator[None]:
        """Wait until an address may look up a key; a wrong one is to be counted before the context ends.

        Raises:
            RateLimited: it has failed too often.
            Unavailable: its other look-ups do not end in time.
        """
        await self._wait(address)
        self._trying[address] += 1
        try:
            yield
        finally:
            self._end(address)

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
                    await self._ended.setdefault(address, asyncio.Event()).wait()
        except TimeoutError as error:
            raise Unavailable from error

    def _end(self, address: str) -> None:
        self._trying[address] -= 1
        if not self._trying[address]:
            del self._trying[address]
        if address in self._ended:
            self._ended.pop(address).set()

    def _left(self, address: str) -> float:
        """How many more failures an address may have in this minute.

        Raises:
            RateLimited: it may have none.
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
            # The one whose minute ends first.
            self._windows.popitem(last=False)


def network_of(host: str) -> str:
    """What a client is counted by: its IPv4 address, or its IPv6 network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 128 - _HOST_BITS_IPV6), strict=False))
