"""Requests that there is no room for wait briefly and are refused before a task is made for them, at little cost.

Whose a request is, is known by its key if that has let somebody in before; nothing else of it is looked at. Room that
comes free goes round among the keys that wait. Where a key has plenty of room already, the connection of a refused
request is not read until `Retry-After` is over, so that asking again and again takes nobody's time.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol, TypeAlias, TypedDict

from starlette.types import Scope

from gateway.access import REQUEST_ID, log_access, request_id_of
from gateway.admission import Admission
from gateway.headers import Fields, fields_of
from gateway.pauses import Connection, KeyId, Pauses
from gateway.responses import Prepared
from gateway.routing import door_of

_TICK_SECONDS = 0.004
_FORWARDED = b"x-forwarded-for"

Refusal: TypeAlias = Callable[[int], Prepared]
"""From the seconds of `Retry-After` to a response, one of a few that are made once."""


class State(TypedDict):
    """What an application hands to its server."""

    gate: "Gate"


class Door(Protocol):
    """An endpoint."""

    def busy(self, fields: Fields) -> Refusal:
        """The response to a request that there is no room for."""


class Arrival(Protocol):
    """A request whose head is there."""

    @property
    def scope(self) -> Scope:
        """The request as ASGI has it."""

    @property
    def connection(self) -> Connection:
        """The connection that it came over."""

    @property
    def is_from_proxy(self) -> bool:
        """Whether that is a trusted proxy's, whose `X-Forwarded-For` counts."""

    def enter(self) -> None:
        """Let the application answer."""

    def refuse(self, head: bytes, body: bytes) -> None:
        """Answer in the application's place."""


class Held:
    """A request that waits for room.

    Attributes:
        arrival: The request.
        key_id: Whose it is.
        refusal: Its response if there is none in time.
        is_forwarded: Whether it came through a proxy, whose connection others share.
        came_at: When it came, by the event loop's clock.
        due_at: When it is refused.
        is_over: Whether it waits no longer: it was let in, or refused.
    """

    __slots__ = ("arrival", "came_at", "due_at", "is_forwarded", "is_over", "key_id", "refusal")

    def __init__(
        self,
        arrival: Arrival,
        key_id: KeyId,
        refusal: Refusal,
        came_at: float,
        due_at: float,
        *,
        is_forwarded: bool,
    ) -> None:
        self.arrival = arrival
        self.key_id = key_id
        self.refusal = refusal
        self.is_forwarded = is_forwarded
        self.came_at = came_at
        self.due_at = due_at
        self.is_over = False


class Gate:
    """Lets requests in, holds those that there is no room for, and refuses them when their time is over.

    Args:
        admission: Where there is room.
        known: From a request's header fields to the id of its key.
        doors: The endpoints whose requests may be refused here, by method and path (see `door_of`).
        wait_seconds: How long a request waits for room.
        is_shared: Whether pages of other origins may call: the application then adds CORS headers to their responses.

    Attributes:
        least: With fewer requests than this under way there is room for everybody.
    """

    def __init__(
        self,
        admission: Admission,
        known: Callable[[Fields], KeyId],
        doors: Mapping[tuple[str, str], Door],
        wait_seconds: float,
        *,
        is_shared: bool = False,
    ) -> None:
        self.least = admission.least
        self._admission = admission
        self._known = known
        self._doors = doors
        self._wait_seconds = wait_seconds
        self._is_shared = is_shared
        self._coming: Counter[KeyId] = Counter()
        """Requests let in by this turn of the loop, which the admission does not count yet."""
        self._held: dict[KeyId, OrderedDict[Held, None]] = {}
        """Waiting requests by key, the key that was let in last at the end."""
        self._queue: deque[Held] = deque()
        """The same by `due_at`, and some that wait no longer."""
        self._pauses = Pauses()
        self._is_looking = False
        admission.on_room = self._let_in

    def take(self, arrival: Arrival) -> None:
        """Let a request in, now or when there is room, or refuse it."""
        scope = arrival.scope
        door = door_of(self._doors, scope)
        fields = fields_of(scope)
        if door is None or (self._is_shared and b"origin" in fields):
            arrival.enter()
            return
        key_id = self._known(fields)
        if self._is_welcome(key_id):
            self._enter(arrival, key_id)
        else:
            is_forwarded = _FORWARDED in fields and arrival.is_from_proxy
            self._hold(arrival, key_id, door.busy(fields), is_forwarded=is_forwarded)

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        self._pauses.forget(connection)

    def _is_welcome(self, key_id: KeyId) -> bool:
        """Whether there is room for a key, and none of it waits for that."""
        return key_id not in self._held and self._has_room(key_id)

    def _has_room(self, key_id: KeyId) -> bool:
        coming = self._coming
        return self._admission.has_room(key_id, coming.total(), coming[key_id])

    def _enter(self, arrival: Arrival, key_id: KeyId) -> None:
        self._coming[key_id] += 1
        # Its task begins before this callback, and mostly gets to where it is counted without waiting.
        asyncio.get_running_loop().call_soon(self._arrive, key_id)
        arrival.enter()

    def _arrive(self, key_id: KeyId) -> None:
        self._coming[key_id] -= 1
        if not self._coming[key_id]:
            del self._coming[key_id]

    # --------------------------------------------------------------- waiting

    def _hold(self, arrival: Arrival, key_id: KeyId, refusal: Refusal, *, is_forwarded: bool) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        held = Held(arrival, key_id, refusal, now, now + self._wait_seconds, is_forwarded=is_forwarded)
        self._held.setdefault(key_id, OrderedDict())[held] = None
        self._queue.append(held)
        if not self._is_looking:
            self._is_looking = True
            loop.call_later(min(self._wait_seconds, _TICK_SECONDS), self._look)

    def _let_in(self) -> None:
        """Let in those that there is room for, and resume a paused connection where there is more."""
        while self._held and (held := self._next()) is not None:
            self._end(held)
            if held.key_id in self._held:
                self._held[held.key_id] = self._held.pop(held.key_id)
            self._enter(held.arrival, held.key_id)
        self._pauses.resume_one(self._is_welcome)

    def _next(self) -> Held | None:
        """The first request of the first key that there is room for; keys that have their share already come last."""
        able = [key_id for key_id in self._held if self._has_room(key_id)]
        return next(iter(self._held[min(able, key=self._has_its_share)])) if able else None

    def _has_its_share(self, key_id: KeyId) -> bool:
        return self._admission.taken(key_id) + self._coming[key_id] >= self._admission.share

    def _end(self, held: Held) -> None:
        """Hold a request no more."""
        held.is_over = True
        waiting = self._held[held.key_id]
        del waiting[held]
        if not waiting:
            del self._held[held.key_id]

    def _look(self) -> None:
        """Refuse requests whose time is over, and look again in a moment."""
        self._let_in()
        loop, queue = asyncio.get_running_loop(), self._queue
        now = loop.time()
        while queue and (queue[0].is_over or queue[0].due_at <= now):
            held = queue.popleft()
            if not held.is_over:
                self._end(held)
                self._refuse(held, now)
        self._is_looking = bool(queue)
        if self._is_looking:
            loop.call_later(_TICK_SECONDS, self._look)

    def _refuse(self, held: Held, now: float) -> None:
        scope, seconds = held.arrival.scope, self._pauses.retry_after_seconds(held.key_id)
        request_id = request_id_of(scope)
        token = REQUEST_ID.set(request_id)
        response = held.refusal(seconds)
        held.arrival.refuse(b"%bx-request-id: %b\r\n" % (response.head, request_id.encode()), response.body)
        log_access(scope, HTTPStatus.SERVICE_UNAVAILABLE, now - held.came_at)
        REQUEST_ID.reset(token)
        # A key with plenty of room asks for more in vain. Behind a proxy's connection there may be other keys.
        if not held.is_forwarded and self._admission.has_plenty(held.key_id):
            self._pauses.begin(held.arrival.connection, held.key_id, seconds)
