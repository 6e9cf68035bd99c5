"""Who was refused and is not heard until it is time to come again: the more of a key there are, the later that is.

Refusing costs a good part of what answering does. So it is not left to clients whether they heed `Retry-After`: what
they send before waits in their connection. Where there is room earlier, they are heard earlier.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeAlias

RETURNS_A_SECOND = 200
"""How many come again in a second, of each key as many: to refuse so many takes a fiftieth of a processor."""

_MOST_SECONDS = 30

KeyId: TypeAlias = str | None
"""A key that has let somebody in before; None for all others together."""


class Connection(Protocol):
    """A connection that may be left unread for a while."""

    def pause(self) -> bool:
        """Read nothing of it, if it is still there."""

    def resume(self) -> None:
        """Read it again."""


class Absences:
    """The connections that are not heard, by key; the key that was called back last is the last."""

    def __init__(self) -> None:
        self._absent: OrderedDict[KeyId, OrderedDict[Connection, asyncio.TimerHandle]] = OrderedDict()
        self._keys: dict[Connection, KeyId] = {}

    def seconds(self, key_id: KeyId) -> int:
        """When one more of a key may come again."""
        absent = len(self._absent.get(key_id, ()))
        return min(_MOST_SECONDS, 1 + absent * len(self._absent) // RETURNS_A_SECOND)

    def begin(self, connection: Connection, key_id: KeyId, seconds: float) -> None:
        """Hear a connection of a key no more for so long, whatever was said of it before."""
        self.forget(connection)
        if not connection.pause():
            return
        timer = asyncio.get_running_loop().call_later(seconds, self._end, connection)
        self._absent.setdefault(key_id, OrderedDict())[connection] = timer
        self._keys[connection] = key_id

    def call_back(self, is_welcome: Callable[[KeyId], bool]) -> None:
        """Hear one of the next key again, if that is welcome: the one that has been away for longest."""
        if not self._absent:
            return
        key_id = next(iter(self._absent))
        self._absent.move_to_end(key_id)
        if is_welcome(key_id):
            self._end(next(iter(self._absent[key_id])))

    def forget(self, connection: Connection) -> None:
        """Count a connection no more: it is lost, or heard again."""
        if connection not in self._keys:
            return
        key_id = self._keys.pop(connection)
        absent = self._absent[key_id]
        absent.pop(connection).cancel()
        if not absent:
            del self._absent[key_id]

    def _end(self, connection: Connection) -> None:
        self.forget(connection)
        connection.resume()
