"""Budgets: a leaky bucket of cost points for each key, shared by all workers and hosts within a stated tolerance.

A process counts for itself. Whenever a key has spent a twentieth of its limit, the process adds that to the count in
the database, and reads there what all processes have spent. So a full budget takes twenty writes, not one a request,
and a process is ahead of the shared count by a twentieth at most, and by the operations that run meanwhile. No request
waits for the database: while it cannot be written to, each process goes on by its own count.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import ceil
from random import random
from time import monotonic
from typing import TypeAlias

from starlette.types import Scope

from gateway.storage.budgets import spend
from gateway.storage.engine import Engine
from schema.budget import Cost, RateLimit, Unlimited
from schema.errors import RateLimited, Unavailable

logger = logging.getLogger(__name__)

SPENDING = "leaks.spending"
"""The key of a request's spending in its ASGI scope, for the middleware that writes headers."""

WINDOW_SECONDS = 60
TOLD_SHARE = 1 / 20
_RETRY_SECONDS = 1.0
_MOST_BUCKETS = 4096
_SAMPLES, _SAMPLE_BYTES = 8, 1024
_ENVELOPE = 2
"""The objects around every answer: the response and its data."""

Clock: TypeAlias = Callable[[], float]
Headers: TypeAlias = list[tuple[bytes, bytes]]


class Bucket:
    """The points that a key has spent and that have not drained yet, as this process knows it.

    Attributes:
        limit: How many points it holds, and how many drain in a minute.
        points_a_second: The same rate by the second.
        level: How full it was when last drained; running operations count in full.
        running: Points taken for operations that still run.
        untold: Points that this process spent and has not added to the count in the database.
        worth_telling: How many of these are worth a write.
        is_telling: Whether a write is under way.
        tell_after: When the next write may begin.
    """

    __slots__ = (
        "_at", "_clock", "is_telling", "level", "limit", "points_a_second", "running", "tell_after", "untold",
        "worth_telling",
    )  # fmt: skip

    def __init__(self, limit: int, clock: Clock = monotonic) -> None:
        self.limit = limit
        self.points_a_second = limit / WINDOW_SECONDS
        self.level = 0.0
        self._clock = clock
        self._at = clock()
        self.running = 0
        self.untold = 0
        self.worth_telling = limit * TOLD_SHARE
        self.is_telling = False
        self.tell_after = 0.0

    @property
    def is_worth_telling(self) -> bool:
        """Whether a write of the untold points should begin."""
        return self.untold >= self.worth_telling and not self.is_telling and self._clock() >= self.tell_after

    def drain(self) -> float:
        """Let points drain until now, and return how full it is."""
        now = self._clock()
        level = self.level - (now - self._at) * self.points_a_second
        self.level = level = level if level > 0 else 0.0
        self._at = now
        return level

    def take(self, points: int, in_place_of: int = 0) -> None:
        """Add points, in place of those that the operation took before.

        Raises:
            RateLimited: they do not fit now.
        """
        more = points - in_place_of
        if self.drain() + more > self.limit:
            # What it took before is spent, and is not drained yet when it comes again.
            seconds = ceil((self.level + points - self.limit) / self.points_a_second)
            raise RateLimited(
                f"The key's budget is spent: the request can cost {points} points, of {self.limit} a minute"
                f" {max(0, int(self.limit - self.level))} are left. Try again in {seconds} s.",
                seconds,
            )
        self.level += more
        self.running += more

    def settle(self, taken: int, used: int) -> None:
        """End an operation: give back the points that were taken and not used."""
        level = self.level - taken + used
        self.level = level if level > 0 else 0.0
        self.running -= taken
        self.untold += used

    def correct(self, level: float) -> None:
        """Take over the level of the shared count, which includes neither running operations nor untold points."""
        self.drain()
        self.level = level + self.untold + self.running


class Budgets:
    """The buckets of the keys.

    Args:
        engine: The database with the shared count.
        points_a_minute: The limit of each key; 0 for none.
        clock: The monotonic clock, in seconds, that the process's own counts drain by.
    """

    def __init__(self, engine: Engine, points_a_minute: int, clock: Clock = monotonic) -> None:
        self._engine = engine
        self._limit = points_a_minute
        self._clock = clock
        self._policy = f'"default";q={points_a_minute};w={WINDOW_SECONDS}'.encode()
        self._buckets: dict[str, Bucket] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        """One write at a time: however many keys wait for a locked table, they hold one connection."""
        self._is_shared = True

    def spending(self, key_id: str, scope: Scope) -> "Spending | Unmetered":
        """The spending of one request, which is also put into its scope for the headers."""
        spending = Spending(self, key_id, self._bucket(key_id), self._policy) if self._limit else Unmetered()
        scope[SPENDING] = spending
        return spending

    def tell(self, key_id: str, bucket: Bucket) -> None:
        """Add what a key spent to the count in the database, in the background."""
        bucket.is_telling = True
        task = asyncio.create_task(self._tell(key_id, bucket))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Wait for the writes that are under way."""
        await asyncio.gather(*self._telling)

    def _bucket(self, key_id: str) -> Bucket:
        bucket = self._buckets.get(key_id)
        if bucket is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._drop_empty()
            bucket = self._buckets[key_id] = Bucket(self._limit, self._clock)
        return bucket

    def _drop_empty(self) -> None:
        self._buckets = {id_: one for id_, one in self._buckets.items() if one.running or one.drain()}

    async def _tell(self, key_id: str, bucket: Bucket) -> None:
        told = bucket.untold
        try:
            async with self._writing:
                level = await spend(self._engine, key_id, told, bucket.limit)
        except Exception as error:  # noqa: BLE001 - whatever it is, requests go on by this process's own count
            bucket.tell_after = self._clock() + _RETRY_SECONDS
            self._note(error)
        else:
            bucket.untold -= told
            bucket.correct(level)
            self._note(None)
        finally:
            bucket.is_telling = False
        if bucket.is_worth_telling:
            # Enough was spent meanwhile.
            self.tell(key_id, bucket)

    def _note(self, error: Exception | None) -> None:
        """Log once that budgets are not shared, and once that they are again."""
        is_shared = error is None
        if is_shared != self._is_shared:
            self._is_shared = is_shared
            text = (
                "Budgets are shared again"
                if is_shared
                else "Budgets are not shared just now; each process counts for itself"
            )
            logger.warning(text, exc_info=None if isinstance(error, Unavailable) else error)


class Spending:
    """What one request takes from its key's bucket, and what it has spent at its end."""

    __slots__ = ("_bucket", "_budgets", "_key_id", "_policy", "_taken", "_used", "cost")

    def __init__(self, budgets: Budgets, key_id: str, bucket: Bucket, policy: bytes) -> None:
        self._budgets = budgets
        self._key_id = key_id
        self._bucket = bucket
        self._policy = policy
        self._taken = 0
        self._used: int | None = None
        self.cost: Cost | None = None

    def close(self) -> None:
        """End the request; one that failed may have worked for long, so nothing is given back."""
        if self._used is None and self.cost is not None:
            self._settle(self._taken)

    def take(self, cost: Cost) -> None:
        """Take the most that an operation can cost, or the part of it that is not taken yet.

        Raises:
            RateLimited: less is left.
        """
        points = cost.points
        self._bucket.take(points, in_place_of=self._taken)
        self.cost, self._taken = cost, points

    def settle(self, answer: bytes | memoryview) -> None:
        """Give back what was not used: the objects that the answer could have had, and has not."""
        if self.cost is not None:
            objects = count_objects(bytes(answer)) - _ENVELOPE
            self._settle(min(self._taken, self.cost.work + max(objects, self.cost.sought)))

    def _settle(self, used: int) -> None:
        self._used = used
        bucket = self._bucket
        bucket.settle(self._taken, used)
        if bucket.is_worth_telling:
            self._budgets.tell(self._key_id, bucket)

    @property
    def rate_limit(self) -> RateLimit:
        """What was taken, and what is left."""
        level = self._bucket.drain()
        reset_at = datetime.now(UTC) + timedelta(seconds=level / self._bucket.points_a_second)
        return RateLimit(
            limit=self._bucket.limit,
            cost=self._taken,
            remaining=self._remaining(level),
            reset_at=reset_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )

    def headers(self) -> Headers:
        """The headers of the budget (draft-ietf-httpapi-ratelimit-headers-10) and of the cost."""
        bucket = self._bucket
        # A bucket that was just taken from has been drained just now.
        level = bucket.drain() if self.cost is None else bucket.level
        left = b'"default";r=%d;t=%d' % (self._remaining(level), ceil(level / bucket.points_a_second))
        headers = [(b"ratelimit-policy", self._policy), (b"ratelimit", left)]
        if self._used is not None:
            headers.append((b"x-leaks-cost", b"%d;used=%d" % (self._taken, self._used)))
        return headers

    def _remaining(self, level: float) -> int:
        left = int(self._bucket.limit - level)
        return max(0, left)


def count_objects(text: bytes) -> int:
    """How many objects a JSON text has, by their braces; those of a long text by samples from all over it.

    A brace within a string counts as well: nobody is charged for more than was taken. Where in its part of the text a
    sample lies, nobody knows: else long names of fields would be put there.
    """
    if len(text) <= _SAMPLES * _SAMPLE_BYTES:
        return text.count(b"{")
    step = len(text) // _SAMPLES
    room = step - _SAMPLE_BYTES + 1
    places = [part * step + int(random() * room) for part in range(_SAMPLES)]  # noqa: S311 - it guards no secret
    found = sum(text.count(b"{", at, at + _SAMPLE_BYTES) for at in places)
    return found * len(text) // (_SAMPLES * _SAMPLE_BYTES)


class Unmetered(Unlimited):
    """The spending of one request where there is no limit: only its cost is known."""

    def close(self) -> None:
        """There is nothing to spend."""

    def settle(self, answer: bytes | memoryview) -> None:
        """There is nothing to give back."""

    def headers(self) -> Headers:
        """The header of the cost."""
        return [] if self.cost is None else [(b"x-leaks-cost", str(self.cost.points).encode())]
