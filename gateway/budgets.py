"""What a key may spend: a leaky bucket of cost points, right over workers and hosts to a stated tolerance.

A process counts for itself and tells the database what a key spent whenever that makes a twentieth of its limit; it is
told in turn what all have spent. So a key writes twenty times for a full budget, never once a request, and a process is
ahead of the shared count by a twentieth at most, and by the operations that run meanwhile. No request waits for the
database: while that cannot be written to, each process goes on by its own count.
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
"""Where in a request's scope its spending stands, for whoever writes headers."""

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
        limit: How much it holds; so much drains in a minute.
        points_a_second: How fast that is.
        level: How full it was when it was last looked at; what runs just now counts in full.
        running: What was taken for operations that still run.
        untold: What this process spent and has not told the database.
        worth_telling: As much of it as the other processes should know.
        is_telling: Whether it is being told.
        tell_after: When it may be told again.
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
        """Whether what is untold is so much that the other processes should know."""
        return self.untold >= self.worth_telling and not self.is_telling and self._clock() >= self.tell_after

    def drain(self) -> float:
        """How full it is now."""
        now = self._clock()
        level = self.level - (now - self._at) * self.points_a_second
        self.level = level = level if level > 0 else 0.0
        self._at = now
        return level

    def take(self, points: int) -> None:
        """Pour points in.

        Raises:
            RateLimited: it does not hold them just now.
        """
        over = self.drain() + points - self.limit
        if over > 0:
            seconds = ceil(over / self.points_a_second)
            raise RateLimited(
                f"The key's budget is spent: the request can cost {points} points, of {self.limit} a minute"
                f" {max(0, int(self.limit - self.level))} are left. Try again in {seconds} s.",
                seconds,
            )
        self.level += points
        self.running += points

    def settle(self, taken: int, used: int) -> None:
        """Give back what was taken and not used."""
        level = self.level - taken + used
        self.level = level if level > 0 else 0.0
        self.running -= taken
        self.untold += used

    def correct(self, level: float) -> None:
        """Take over how full it is by the shared count, which knows neither what runs here nor what is untold."""
        self.drain()
        self.level = level + self.untold + self.running


class Budgets:
    """The buckets of the keys.

    Args:
        engine: Where they are shared.
        points_a_minute: The limit of each key; 0 sets none.
        clock: What the process's own counts drain by, in seconds.
    """

    def __init__(self, engine: Engine, points_a_minute: int, clock: Clock = monotonic) -> None:
        self._engine = engine
        self._limit = points_a_minute
        self._clock = clock
        self._policy = f'"default";q={points_a_minute};w={WINDOW_SECONDS}'.encode()
        self._buckets: dict[str, Bucket] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        """One writes at a time: however many keys wait for a table that is locked, they keep one connection."""
        self._is_shared = True

    def spending(self, key_id: str, scope: Scope) -> "Spending | Unmetered":
        """What one request spends; it is noted in the request's scope, for its headers."""
        spending = Spending(self, key_id, self._bucket(key_id), self._policy) if self._limit else Unmetered()
        scope[SPENDING] = spending
        return spending

    def tell(self, key_id: str, bucket: Bucket) -> None:
        """Tell the database what was spent, while requests go on."""
        bucket.is_telling = True
        task = asyncio.create_task(self._tell(key_id, bucket))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Wait for what is being told."""
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
            # So much was spent meanwhile.
            self.tell(key_id, bucket)

    def _note(self, error: Exception | None) -> None:
        """Say once that budgets are not shared, and once that they are again."""
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
    """What one request takes from its key's bucket, and spends at its end."""

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
        """End the request: what failed may have worked long for it, and is not given back."""
        if self._used is None and self.cost is not None:
            self._settle(self._taken)

    def take(self, cost: Cost) -> None:
        """Take the most that an operation can cost, or what of it is not taken yet.

        Raises:
            RateLimited: there is not so much left.
        """
        points = cost.points
        self._bucket.take(points - self._taken)
        self.cost, self._taken = cost, points

    def settle(self, answer: bytes | memoryview) -> None:
        """Give back what was not used: whatever objects the answer could have held, and does not hold."""
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
        """What is told of the budget (draft-ietf-httpapi-ratelimit-headers-10), and of the cost."""
        bucket = self._bucket
        # What was taken from just now need not be looked at again.
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
    """What one request spends where there is no limit: nothing is counted."""

    def close(self) -> None:
        """There is nothing to spend."""

    def settle(self, answer: bytes | memoryview) -> None:
        """There is nothing to give back."""

    def headers(self) -> Headers:
        """What is told of the cost."""
        return [] if self.cost is None else [(b"x-leaks-cost", str(self.cost.points).encode())]
