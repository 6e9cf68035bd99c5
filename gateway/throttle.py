"""Whoever presents too many wrong keys has to wait out the minute."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from time import monotonic

from schema.errors import RateLimited

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

    def check(self, address: str) -> None:
        """Let an address pass.

        Raises:
            RateLimited: it has failed too often.
        """
        ends_at, failures = self._windows.get(address, (0.0, 0))
        left_seconds = ends_at - self._clock()
        if 0 < self._limit <= failures and left_seconds > 0:
            raise RateLimited("Too many requests with a key that is not valid.", ceil(left_seconds))

    def count(self, address: str) -> None:
        """Count a failure of an address."""
        ends_at, failures = self._windows.get(address, (0.0, 0))
        if ends_at > self._clock():
            self._windows[address] = ends_at, failures + 1
        else:
            self._begin(address)

    def _begin(self, address: str) -> None:
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
