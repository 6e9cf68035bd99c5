"""Whose turn it is: how many requests are taken in, and that no key takes the others' turns.

A few requests run abreast, as many as keep the process busy, and a key has no more of these turns than its share among
the keys that are here. Whoever comes then waits, and the next turn goes to the key that has the fewest. Beyond the
limits a request waits only briefly, and is then told to come again.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType

from schema.errors import Unavailable

ABREAST = 16


@dataclass(slots=True)
class _Key:
    running: int = 0
    waiting: "deque[asyncio.Future[bool]]" = field(default_factory=deque)


class Turn:
    """A context in which a request of a key runs."""

    __slots__ = ("_admission", "_key_id")

    def __init__(self, admission: "Admission", key_id: str) -> None:
        self._admission = admission
        self._key_id = key_id

    async def __aenter__(self) -> None:
        await self._admission.enter(self._key_id)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._admission.leave(self._key_id)


class Admission:
    """Lets requests in.

    Args:
        most: How many a process takes in, running and waiting together.
        most_a_key: How many of them may be one key's.
        wait_seconds: How long a request beyond these waits all the same.
        abreast: How many run at a time.
    """

    def __init__(self, most: int, most_a_key: int, wait_seconds: float, abreast: int = ABREAST) -> None:
        self._most = most
        self._most_a_key = most_a_key
        self._wait_seconds = wait_seconds
        self._abreast = min(abreast, most)
        self._running = 0
        self._waiting = 0
        self._keys: dict[str, _Key] = {}
        """By id; where there is a queue, in the order in which their last turns ended."""

    def turn(self, key_id: str) -> Turn:
        """A turn of a key.

        Raises:
            Unavailable: on entering, where none comes free in time.
        """
        return Turn(self, key_id)

    async def enter(self, key_id: str) -> None:
        """Wait for a turn.

        Raises:
            Unavailable: none comes free in time.
        """
        key = self._keys.get(key_id)
        if key is None:
            key = self._keys[key_id] = _Key()
        if self._running < self._abreast and not self._waiting and key.running < self._share:
            self._running += 1
            key.running += 1
        else:
            await self._wait(key_id, key)

    def leave(self, key_id: str) -> None:
        """Give a turn back."""
        key = self._keys[key_id]
        self._running -= 1
        key.running -= 1
        if self._waiting:
            self._keys[key_id] = self._keys.pop(key_id)
        self._forget(key_id, key)
        if self._waiting:
            self._give_turns()

    # ----------------------------------------------------------------- waiting

    async def _wait(self, key_id: str, key: _Key) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        timer = None if self._has_room(key) else loop.call_later(self._wait_seconds, _give_up, turn)
        key.waiting.append(turn)
        self._waiting += 1
        self._give_turns()
        try:
            has_turn = await turn
        except asyncio.CancelledError:
            self._abandon(key_id, key, turn)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if not has_turn:
            self._abandon(key_id, key, turn)
            raise Unavailable("The gateway is busy. Try again shortly.")

    @property
    def _share(self) -> int:
        """How many turns a key may have at a time: an equal share among those that are here."""
        return min(self._most_a_key, max(1, self._abreast // len(self._keys)))

    def _has_room(self, key: _Key) -> bool:
        return self._running + self._waiting < self._most and key.running + len(key.waiting) < self._most_a_key

    def _give_turns(self) -> None:
        while self._running < self._abreast and (key_id := self._next()) is not None:
            key = self._keys[key_id]
            turn = key.waiting.popleft()
            self._waiting -= 1
            if not turn.done():
                self._running += 1
                key.running += 1
                turn.set_result(True)

    def _next(self) -> str | None:
        """The key whose turn it is: one that has the fewest, and of such the one whose last ended first."""
        share = self._share
        able = (id_ for id_, key in self._keys.items() if key.waiting and key.running < share)
        return min(able, key=lambda id_: self._keys[id_].running, default=None)

    def _abandon(self, key_id: str, key: _Key, turn: "asyncio.Future[bool]") -> None:
        """Whoever goes without his turn passes it on; or leaves the queue, unless it has passed over him already."""
        if turn.done() and not turn.cancelled() and turn.result():
            self.leave(key_id)
            return
        if turn in key.waiting:
            key.waiting.remove(turn)
            self._waiting -= 1
        self._forget(key_id, key)

    def _forget(self, key_id: str, key: _Key) -> None:
        if not key.running and not key.waiting and self._keys.get(key_id) is key:
            del self._keys[key_id]


def _give_up(turn: "asyncio.Future[bool]") -> None:
    if not turn.done():
        turn.set_result(False)
