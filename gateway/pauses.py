"""Connections that are not read until `Retry-After` is over, since a request of theirs was refused.

Refusing costs a good part of what answering does. So it is not left to clients whether they heed `Retry-After`: what
they send before stays in the socket. Where there is room earlier, a connection is resumed earlier. The more connections
of a key are paused, the longer the next one is.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeAlias

RETURNS_A_SECOND = 200
"""Connections that may return in a second, shared evenly by the keys: to refuse so many takes 2 % of a processor."""

_MOST_SECONDS = 30

KeyId: TypeAlias = str | None
"""A key that has let somebody in before; None for all others together."""


class Connection(Protocol):
    """A connection that may be left unread for a while."""

    def pause(self) -> bool:
        """Stop reading from it. False if it is closed."""

    def resume(self) -> None:
        """Read from it again."""


class Pauses:
    """The paused connections by key, the key that was resumed from last at the end."""

    def __init__(self) -> None:
        self._paused: OrderedDict[KeyId, OrderedDict[Connection, asyncio.TimerHandle]] = OrderedDict()
        self._keys: dict[Connection, KeyId] = {}

    def retry_after_seconds(self, key_id: KeyId) -> int:
        """When one more connection of a key may come again."""
        paused = len(self._paused.get(key_id, ()))
        return min(_MOST_SECONDS, 1 + paused * len(self._paused) // RETURNS_A_SECOND)

    def begin(self, connection: Connection, key_id: KeyId, seconds: float) -> None:
        """Pause a connection for so long from now, even if it is paused already."""
        self.forget(connection)
        if not connection.pause():
            return
        timer = asyncio.get_running_loop().call_later(seconds, self._end, connection)
        self._paused.setdefault(key_id, OrderedDict())[connection] = timer
        self._keys[connection] = key_id

    def resume_one(self, is_welcome: Callable[[KeyId], bool]) -> None:
        """Resume the connection of the next key that was paused first, if that key is welcome."""
        if not self._paused:
            return
        key_id = next(iter(self._paused))
        self._paused.move_to_end(key_id)
        if is_welcome(key_id):
            self._end(next(iter(self._paused[key_id])))

    def forget(self, connection: Connection) -> None:
        """Count a connection as paused no longer, without resuming it."""
        if connection not in self._keys:
            return
        key_id = self._keys.pop(connection)
        paused = self._paused[key_id]
        paused.pop(connection).cancel()
        if not paused:
            del self._paused[key_id]

    def _end(self, connection: Connection) -> None:
        self.forget(connection)
        connection.resume()
