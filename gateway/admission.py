"""Turns: how many requests run and wait at a time, shared fairly among the keys.

A few requests run abreast, as many as keep the process busy. A key may have no more of these turns than its share among
the present keys, a greedy one rests after each of its turns, and the last few are for keys that have none. All others
wait, and the next turn goes to the key that has the fewest. Beyond the limits a request waits only briefly, and is then
refused with `Retry-After`. Most requests wait before they have a task (see gate.py), the others in theirs.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import ceil
from typing import TypeAlias

from schema.errors import Unavailable

ABREAST = 18
"""Sixteen keep the process busy, and two are for keys that come later."""

_LEAST_ROUNDS, _MOST_ROUNDS = 3, 11
"""Rounds of the event loop before a greedy key has its next turn: the most while others run, else the least.

A key is greedy that has more requests waiting than may run, where others have fewer. It is ready for every turn, while
the others' next requests are often still on their way. Three rounds are enough for a request that has come meanwhile to
get its turn; if none has, a round takes some microseconds.
"""

SPARED = 8
"""One in so many turns is reserved for keys that have none, so that newcomers need not wait for slow operations."""

_MUCH = 2
"""A key has plenty from the share divided by this on: room comes and goes, and no key has all of its share always."""

TURNS = "leaks.turns"
"""Where a request's scope has a turn that it was given before it had a task."""

BUSY = "The gateway is busy. Try again shortly."


class Turns:
    """The turns of one key.

    Attributes:
        key_id: The key.
        running: How many of its requests run.
        waiting: What begins those that wait.
        is_resting: Whether the key leaves the next turns to others.
    """

    __slots__ = ("_admission", "is_resting", "key_id", "running", "waiting")

    def __init__(self, admission: "Admission", key_id: str) -> None:
        self._admission = admission
        self.key_id = key_id
        self.running = 0
        self.is_resting = False
        self.waiting: deque[Begin] = deque()

    def leave(self) -> None:
        """Give one turn back."""
        self._admission.leave(self)


Begin: TypeAlias = Callable[[Turns], None]
"""Takes a turn for a request that waits for one."""


class Admission:
    """Lets requests in: `admission.turn(key_id) or await admission.wait(key_id)`, and `leave` afterwards.

    A request without a task has `queue` in place of `wait`.

    Args:
        most: How many a process takes in, running and waiting together.
        most_a_key: How many of them may be one key's.
        wait_seconds, most_seconds: See below.
        abreast: How many run at a time.

    Attributes:
        wait_seconds: How long a request beyond the limits waits all the same.
        most_seconds: How long a request that is taken in waits for its turn.
        on_room: What is called where there is room again.
    """

    def __init__(
        self, most: int, most_a_key: int, wait_seconds: float, most_seconds: float = 10.0, abreast: int = ABREAST
    ) -> None:
        self._most = most
        self._most_a_key = most_a_key
        self.wait_seconds = wait_seconds
        self.most_seconds = most_seconds
        self._abreast = min(abreast, most)
        self._running = 0
        self._waiting = 0
        self._keys: dict[str, Turns] = {}
        """By id; where there is a queue, in the order in which their last turns ended."""
        self.on_room: Callable[[], None] | None = None

    @property
    def least(self) -> int:
        """With fewer requests than this there is room for every key, and most have their turn at once."""
        return min(self._most, self._most_a_key, self._abreast - self._abreast // SPARED)

    def taken(self, key_id: str | None) -> int:
        """How many requests of a key are admitted, running and waiting."""
        key = None if key_id is None else self._keys.get(key_id)
        return 0 if key is None else key.running + len(key.waiting)

    def has_room(self, key_id: str | None, coming: int = 0) -> bool:
        """Whether one more request of a key, or of an unknown one, is within the limits, with those that are coming."""
        if self._running + self._waiting + coming >= self._most:
            return False
        return key_id is None or self.taken(key_id) < self._most_a_key

    @property
    def share(self) -> int:
        """How many requests each present key may have, if all have as many."""
        return max(1, min(self._most_a_key, self._most // max(1, len(self._keys))))

    def has_plenty(self, key_id: str | None) -> bool:
        """Whether a key has a good part of its share already."""
        return self.taken(key_id) >= max(1, self.share // _MUCH)

    def turn(self, key_id: str) -> Turns | None:
        """Take a turn for a key, or None where none is free for it."""
        key = self._key(key_id)
        if self._running < self._abreast and not self._waiting and key.running < self._turns_now:
            self._running += 1
            key.running += 1
            return key
        return None

    async def wait(self, key_id: str) -> Turns:
        """Wait until a key has a turn.

        Raises:
            Unavailable: it gets none in time.
        """
        seconds = self.most_seconds if self.has_room(key_id) else self.wait_seconds
        turn: asyncio.Future[Turns] = asyncio.get_running_loop().create_future()

        def begin(turns: Turns) -> None:
            if not turn.done():
                turn.set_result(turns)

        self.queue(key_id, begin)
        try:
            async with asyncio.timeout(seconds):
                return await turn
        except BaseException as error:
            has_turn = not self.abandon(key_id, begin)
            if isinstance(error, TimeoutError):
                if has_turn:
                    # It came in the same round of the loop, where rounds may take longer than a request waits.
                    return self._keys[key_id]
                raise Unavailable(BUSY) from None
            if has_turn:
                self.leave(self._keys[key_id])
            raise

    def queue(self, key_id: str, begin: Begin) -> None:
        """Begin a request when its key has a turn, perhaps now."""
        self._key(key_id).waiting.append(begin)
        self._waiting += 1
        self._give_turns()

    def abandon(self, key_id: str | None, begin: Begin) -> bool:
        """Wait for a turn no longer. False if it was given one already."""
        key = None if key_id is None else self._keys.get(key_id)
        if key is None or begin not in key.waiting:
            return False
        key.waiting.remove(begin)
        self._waiting -= 1
        self._forget(key)
        return True

    def leave(self, key: Turns) -> None:
        """Give a turn back."""
        self._running -= 1
        key.running -= 1
        if self._waiting:
            self._keys[key.key_id] = self._keys.pop(key.key_id)
        self._forget(key)
        if self._waiting:
            self._give_turns()
        if self.on_room is not None:
            self.on_room()

    def _key(self, key_id: str) -> Turns:
        key = self._keys.get(key_id)
        if key is None:
            key = self._keys[key_id] = Turns(self, key_id)
        return key

    @property
    def _turns_a_key(self) -> int:
        """How many turns a key may have at a time: an equal share among the present keys."""
        return min(self._most_a_key, ceil(self._abreast / len(self._keys)))

    @property
    def _turns_now(self) -> int:
        """The same, but one while only the reserved turns are free."""
        return 1 if self._running >= self._abreast - self._abreast // SPARED else self._turns_a_key

    def _give_turns(self) -> None:
        while self._waiting and self._running < self._abreast and (key := self._next()) is not None:
            if self._is_greedy(key):
                self._rest(key, _MOST_ROUNDS)
            begin = key.waiting.popleft()
            self._waiting -= 1
            self._running += 1
            key.running += 1
            begin(key)

    def _next(self) -> Turns | None:
        """The key to get the next turn: of those with the fewest, the one whose last turn ended first."""
        found, fewest = None, self._turns_now
        for key in self._keys.values():
            if key.waiting and key.running < fewest and not key.is_resting:
                found, fewest = key, key.running
        return found

    def _is_greedy(self, key: Turns) -> bool:
        """Whether more requests of a key wait than may run, while that is not so for all keys."""
        most = self._turns_a_key
        return len(key.waiting) > most and any(len(other.waiting) <= most for other in self._keys.values())

    def _rest(self, key: Turns, rounds: int) -> None:
        """Hold a key's next turn back for so many rounds of the loop, or fewer while no other key has one."""
        has_others = self._running > key.running
        key.is_resting = rounds > _MOST_ROUNDS - _LEAST_ROUNDS or (rounds > 0 and has_others)
        if key.is_resting:
            asyncio.get_running_loop().call_soon(self._rest, key, rounds - 1)
        else:
            self._give_turns()

    def _forget(self, key: Turns) -> None:
        if not key.running and not key.waiting and self._keys.get(key.key_id) is key:
            del self._keys[key.key_id]
