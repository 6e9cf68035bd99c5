"""Requests wait for room, and then for their turns, before a task is made for them; without room they are refused.

Whose a request is, is known by its key if that has let somebody in before; nothing else of it is looked at. Room that
comes free goes round among the keys that wait. Where a key has plenty of room already, the connection of a refused
request is not read until `Retry-After` is over, so that asking again and again takes nobody's time.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from math import inf
from time import perf_counter
from typing import Protocol, TypeAlias, TypedDict

from starlette.types import Scope

from gateway.access import CAME_AT, REQUEST_ID, log_access, request_id_of
from gateway.admission import TURNS, Admission, Turns
from gateway.cors import shared_headers
from gateway.headers import Fields, fields_of
from gateway.pauses import Connection, KeyId, Pauses
from gateway.responses import Prepared, lines
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
    """A request that waits for room, and then for its turn.

    Attributes:
        arrival: The request.
        key_id: Whose it is.
        door: What refuses it if there is none in time.
        came_at: When it came, by `perf_counter`.
        due_at: When it is refused, by the same clock; set once it waits.
        queue: Where it waits.
    """

    __slots__ = ("arrival", "came_at", "door", "due_at", "key_id", "queue")

    def __init__(self, arrival: Arrival, key_id: KeyId, door: Door) -> None:
        self.arrival = arrival
        self.key_id = key_id
        self.door = door
        self.came_at = arrival.scope[CAME_AT] = perf_counter()

    def wait(self, queue: "Queue", seconds: float) -> None:
        """Wait for so long, as the last of a queue."""
        self.due_at = perf_counter() + seconds
        self.queue = queue
        queue[self] = None

    def begin(self, turns: Turns) -> None:
        """Enter with a turn."""
        del self.queue[self]
        _enter(self.arrival, turns)


Queue: TypeAlias = OrderedDict[Held, None]
"""Requests by `due_at`."""


class Gate:
    """Lets requests in, holds those that there is no room or no turn for, and refuses them when their time is over.

    Args:
        admission: Where there is room.
        known: From a request's header fields to the id of its key.
        doors: The endpoints whose requests may wait here, by method and path (see `door_of`).
        origins: Those whose pages may call, and read why they were refused.
    """

    def __init__(
        self,
        admission: Admission,
        known: Callable[[Fields], KeyId],
        doors: Mapping[tuple[str, str], Door],
        *,
        origins: tuple[str, ...] = (),
    ) -> None:
        self._admission = admission
        self._known = known
        self._doors = doors
        self._origins = origins
        self._coming = 0
        """Requests let in by this turn of the loop, which the admission does not count yet."""
        self._for_room: Queue = OrderedDict()
        """Those that wait for room."""
        self._by_key: dict[KeyId, deque[Held]] = {}
        """The same by their keys, the key that was let in last at the end."""
        self._for_turns: Queue = OrderedDict()
        """Those that wait for turns."""
        self._pauses = Pauses()
        self._is_looking = False
        admission.on_room = self._let_in

    def is_open(self, tasks: int) -> bool:
        """Whether requests may pass without a look, while so many have a task."""
        return tasks + len(self._for_room) + len(self._for_turns) < self._admission.least

    def take(self, arrival: Arrival) -> None:
        """Let a request in, now or when there is room, or refuse it."""
        scope = arrival.scope
        door = door_of(self._doors, scope)
        fields = fields_of(scope)
        if door is None:
            arrival.enter()
            return
        key_id = self._known(fields)
        if not self._is_welcome(key_id):
            self._wait_for_room(Held(arrival, key_id, door))
        elif key_id is None or b"expect" in fields:
            self._enter_without_turn(arrival)
        elif (turns := self._admission.turn(key_id)) is not None:
            _enter(arrival, turns)
        else:
            self._wait_for_turn(Held(arrival, key_id, door), key_id)

    def close(self) -> None:
        """Refuse all that wait, since the process ends."""
        self._refuse_due(inf)

    def forget(self, connection: Connection) -> None:
        """A connection is closed."""
        self._pauses.forget(connection)

    def _is_welcome(self, key_id: KeyId) -> bool:
        """Whether there is room for a key, and none of it waits for that."""
        return key_id not in self._by_key and self._has_room(key_id)

    def _has_room(self, key_id: KeyId) -> bool:
        return self._admission.has_room(key_id, self._coming)

    def _enter_without_turn(self, arrival: Arrival) -> None:
        """Let in a request that gets its turn inside: its key is not known yet, or its body is still to come."""
        self._coming += 1
        arrival.enter()
        # By then its task has begun, and mostly got to where it is counted without waiting.
        asyncio.get_running_loop().call_soon(self._arrive)

    def _arrive(self) -> None:
        self._coming -= 1

    # --------------------------------------------------------------- waiting

    def _wait_for_room(self, held: Held) -> None:
        held.wait(self._for_room, self._admission.wait_seconds)
        self._by_key.setdefault(held.key_id, deque()).append(held)
        self._look_in(min(self._admission.wait_seconds, _TICK_SECONDS))

    def _wait_for_turn(self, held: Held, key_id: str) -> None:
        held.wait(self._for_turns, self._admission.most_seconds)
        self._admission.queue(key_id, held.begin)
        self._look_in(_TICK_SECONDS)

    def _let_in(self) -> None:
        """Let in those that there is room for, and resume a paused connection where there is more."""
        while self._by_key and (held := self._next()) is not None:
            del self._for_room[held]
            self._forget_first(held.key_id)
            if held.key_id in self._by_key:
                self._by_key[held.key_id] = self._by_key.pop(held.key_id)
            if held.key_id is None or b"expect" in fields_of(held.arrival.scope):
                self._enter_without_turn(held.arrival)
            else:
                self._wait_for_turn(held, held.key_id)
        self._pauses.resume_one(self._is_welcome)

    def _next(self) -> Held | None:
        """The first request of the first key that there is room for; keys that have their share already come last."""
        able = [key_id for key_id in self._by_key if self._has_room(key_id)]
        return self._by_key[min(able, key=self._has_its_share)][0] if able else None

    def _has_its_share(self, key_id: KeyId) -> bool:
        return self._admission.taken(key_id) >= self._admission.share

    def _forget_first(self, key_id: KeyId) -> None:
        waiting = self._by_key[key_id]
        waiting.popleft()
        if not waiting:
            del self._by_key[key_id]

    def _look_in(self, seconds: float) -> None:
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Refuse requests whose time is over, and look again in a moment."""
        self._is_looking = False
        self._let_in()
        self._refuse_due(perf_counter())
        if self._for_room or self._for_turns:
            self._look_in(_TICK_SECONDS)

    def _refuse_due(self, now: float) -> None:
        for held in _taken_due(self._for_room, now):
            self._forget_first(held.key_id)
            self._refuse(held)
        for held in _taken_due(self._for_turns, now):
            self._admission.abandon(held.key_id, held.begin)
            self._refuse(held)

    def _refuse(self, held: Held) -> None:
        scope, fields = held.arrival.scope, fields_of(held.arrival.scope)
        seconds = self._pauses.retry_after_seconds(held.key_id)
        request_id = request_id_of(scope)
        token = REQUEST_ID.set(request_id)
        response = held.door.busy(fields)(seconds)
        own = lines([*shared_headers(self._origins, fields), (b"x-request-id", request_id.encode())])
        held.arrival.refuse(response.head + own, response.body)
        log_access(scope, HTTPStatus.SERVICE_UNAVAILABLE, perf_counter() - held.came_at)
        REQUEST_ID.reset(token)
        # A key with plenty of room asks for more in vain. Behind a proxy's connection there may be other keys.
        is_forwarded = _FORWARDED in fields and held.arrival.is_from_proxy
        if not is_forwarded and self._admission.has_plenty(held.key_id):
            self._pauses.begin(held.arrival.connection, held.key_id, seconds)


def _taken_due(queue: Queue, now: float) -> Iterator[Held]:
    """Those whose time is over, taken out of a queue."""
    while queue and (first := next(iter(queue))).due_at <= now:
        del queue[first]
        yield first


def _enter(arrival: Arrival, turns: Turns) -> None:
    """Let a request in with a turn, and take that back if its task, when it has begun, did not."""
    scope = arrival.scope
    scope[TURNS] = turns
    arrival.enter()
    asyncio.get_running_loop().call_soon(_withdraw, scope)


def _withdraw(scope: Scope) -> None:
    turns: Turns | None = scope.pop(TURNS, None)
    if turns is not None:
        turns.leave()
