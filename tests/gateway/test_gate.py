"""Who is let in where there is no room, who waits and who is refused."""

import asyncio
from collections.abc import Callable
from time import monotonic

from starlette.types import Scope

from gateway.admission import TURNS, Admission, Turns
from gateway.gate import Gate, Refusal
from gateway.headers import Fields
from gateway.pauses import RETURNS_A_SECOND, Pauses
from gateway.responses import Head, Prepared

LATE = 30


class Door:
    """What is told where there is no room."""

    def busy(self, _fields: Fields) -> Refusal:
        return lambda seconds: Prepared(b"in %d s" % seconds, Head(503, []))


class Line:
    """A connection that is heard, or not."""

    def __init__(self) -> None:
        self.is_paused = False
        self.is_lost = False

    def pause(self) -> bool:
        self.is_paused = not self.is_lost
        return self.is_paused

    def resume(self) -> None:
        self.is_paused = False


class Arrival:
    """A request that notes how it fares."""

    def __init__(
        self, key: str, fates: list[tuple[str, str]], *more: tuple[bytes, bytes], is_from_proxy: bool = True
    ) -> None:
        self.scope: Scope = {"method": "GET", "path": "/leaks/1", "headers": [(b"x-api-key", key.encode()), *more]}
        self.told = b""
        self.connection = Line()
        self.is_from_proxy = is_from_proxy
        self._key = key
        self._fates = fates

    def enter(self) -> None:
        self._fates.append((self._key, "in"))

    def refuse(self, head: bytes, body: bytes) -> None:
        assert head.startswith(b"HTTP/1.1 503 ")
        self.told = body
        self._fates.append((self._key, "refused"))


class Staying(Arrival):
    """A request that keeps its turn until it ends."""

    turns: Turns

    def enter(self) -> None:
        self.turns = self.scope.pop(TURNS)
        super().enter()


class Crowd:
    """A gate before which requests come, by the names of their keys."""

    def __init__(
        self, most: int, most_a_key: int, wait_seconds: float = 60, turn_seconds: float = 60, abreast: int = 18
    ) -> None:
        self.admission = Admission(most, most_a_key, wait_seconds, turn_seconds, abreast)
        self.fates: list[tuple[str, str]] = []
        self.gate = Gate(self.admission, _key_of, {("GET", "/leaks/"): Door()})

    def come(self, keys: str) -> None:
        for key in keys:
            self.meet(Arrival(key, self.fates))

    def stay(self, keys: str) -> list[Staying]:
        arrivals = [Staying(key, self.fates) for key in keys]
        for arrival in arrivals:
            self.meet(arrival)
        return arrivals

    def meet(self, arrival: Arrival) -> Arrival:
        self.gate.take(arrival)
        return arrival

    async def fate_of(self, number: int) -> list[tuple[str, str]]:
        """How the first so many fared."""
        await until(lambda: len(self.fates) >= number)
        return self.fates


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LATE):
        while not is_so():  # noqa: ASYNC110 - what it waits for happens in another thread
            await asyncio.sleep(0.002)


def _key_of(fields: Fields) -> str | None:
    return None if fields[b"x-api-key"] == b"?" else fields[b"x-api-key"].decode()


async def test_of_those_that_come_at_once_as_many_are_let_in_as_there_is_room_for() -> None:
    crowd = Crowd(most=3, most_a_key=2)
    crowd.come("aaab")
    assert crowd.fates == [("a", "in"), ("a", "in"), ("b", "in")]
    crowd.come("c")
    assert len(crowd.fates) == 3


async def test_of_those_of_unknown_keys_no_more_come_in_at_a_time_than_there_is_room_for() -> None:
    crowd = Crowd(most=2, most_a_key=2)
    crowd.come("??????")
    assert crowd.fates == [("?", "in")] * 2
    # None of them turned out to be let in: there is room again.
    assert await crowd.fate_of(6) == [("?", "in")] * 6


async def test_room_that_comes_free_goes_round_among_the_keys_that_wait() -> None:
    crowd = Crowd(most=1, most_a_key=1)
    turns = crowd.admission.turn("z")
    assert turns is not None
    crowd.come("aaabc")
    assert not crowd.fates
    turns.leave()
    assert await crowd.fate_of(5) == [(key, "in") for key in "abcaa"]


async def test_room_goes_first_to_those_that_have_not_their_share_of_it() -> None:
    crowd = Crowd(most=4, most_a_key=4)
    (first, *_) = turns = [crowd.admission.turn(key) for key in "aaab"]
    assert first is not None
    assert all(turns)
    crowd.come("ab")
    first.leave()
    assert crowd.fates == [("b", "in")]


async def test_a_key_that_has_all_it_may_does_not_keep_others_out() -> None:
    crowd = Crowd(most=10, most_a_key=1)
    assert crowd.admission.turn("greedy") is not None
    crowd.meet(Arrival("greedy", crowd.fates))
    crowd.come("b")
    assert crowd.fates == [("b", "in")]


async def test_whoever_waits_in_vain_is_refused_in_the_order_in_which_all_came() -> None:
    crowd = Crowd(most=1, most_a_key=1, wait_seconds=0.01)
    assert crowd.admission.turn("z") is not None
    crowd.come("abacb")
    assert await crowd.fate_of(5) == [(key, "refused") for key in "abacb"]


async def test_whoever_there_is_room_for_comes_in_with_its_turn() -> None:
    crowd = Crowd(most=10, most_a_key=10, abreast=2)
    first, *_ = crowd.stay("aaa")
    assert crowd.fates == [("a", "in")] * 2
    first.turns.leave()
    assert crowd.fates == [("a", "in")] * 3


async def test_turns_are_given_alike_to_those_with_a_task_and_without() -> None:
    crowd = Crowd(most=10, most_a_key=10, abreast=2)
    first, second, _ = crowd.stay("aaa")
    waiting = asyncio.create_task(crowd.admission.wait("b"))
    await asyncio.sleep(0)
    first.turns.leave()
    turns = await waiting
    assert len(crowd.fates) == 2
    second.turns.leave()
    assert len(crowd.fates) == 3
    turns.leave()


async def test_room_is_what_runs_and_waits_for_turns_together() -> None:
    crowd = Crowd(most=3, most_a_key=3, abreast=1, wait_seconds=0.01)
    first, *_ = crowd.stay("aaaa")
    assert await crowd.fate_of(2) == [("a", "in"), ("a", "refused")]
    first.turns.leave()
    assert crowd.fates[2:] == [("a", "in")]


async def test_whoever_gets_no_turn_in_time_is_refused_and_leaves_room() -> None:
    crowd = Crowd(most=10, most_a_key=10, abreast=1, turn_seconds=0.01)
    first, second = crowd.stay("aa")
    assert await crowd.fate_of(2) == [("a", "in"), ("a", "refused")]
    assert second.told == b"in 1 s"
    assert crowd.admission.taken("a") == 1
    first.turns.leave()
    assert len(crowd.fates) == 2


async def test_whoever_waits_takes_up_room_as_those_with_a_task_do() -> None:
    crowd = Crowd(most=10, most_a_key=10, abreast=8)
    assert [tasks for tasks in range(20) if crowd.gate.is_open(tasks)] == [*range(7)]
    # Seven run, three wait for turns, and one waits for room.
    crowd.stay("a" * 11)
    assert [tasks for tasks in range(20) if crowd.gate.is_open(tasks)] == [*range(7 - 4)]


async def test_all_that_wait_are_refused_as_the_process_ends() -> None:
    crowd = Crowd(most=2, most_a_key=2, abreast=1)
    first, *_ = crowd.stay("aaa")
    crowd.gate.close()
    assert crowd.fates == [("a", "in"), ("a", "refused"), ("a", "refused")]
    first.turns.leave()
    assert crowd.admission.taken("a") == 0


async def test_whoever_comes_in_and_does_not_take_its_turn_leaves_it_to_the_next() -> None:
    crowd = Crowd(most=10, most_a_key=10, abreast=1)
    crowd.come("a")
    crowd.stay("b")
    assert crowd.fates == [("a", "in")]
    await asyncio.sleep(0)
    assert crowd.fates == [("a", "in"), ("b", "in")]
    assert [crowd.admission.taken(key) for key in "ab"] == [0, 1]


async def test_whoever_waits_to_be_told_to_go_on_is_held_to_the_limit_of_his_key() -> None:
    crowd = Crowd(most=9, most_a_key=1, wait_seconds=0.01)
    assert crowd.admission.turn("greedy") is not None
    greedy, modest = (crowd.meet(Arrival(key, crowd.fates, (b"expect", b"100-continue"))) for key in ("greedy", "b"))
    assert await crowd.fate_of(2) == [("b", "in"), ("greedy", "refused")]
    assert (greedy.connection.is_paused, TURNS in modest.scope) == (True, False)


async def test_whoever_asks_beyond_the_limit_of_his_key_is_not_heard_for_as_long_as_he_is_told_to_wait() -> None:
    crowd = Crowd(most=2, most_a_key=1, wait_seconds=0.01)
    assert all(crowd.admission.turn(key) is not None for key in ("greedy", "other"))
    began = monotonic()
    greedy, modest = (crowd.meet(Arrival(key, crowd.fates)) for key in ("greedy", "modest"))
    forwarded, pretended = (
        crowd.meet(Arrival("greedy", crowd.fates, (b"x-forwarded-for", b"192.0.2.1"), is_from_proxy=is_from_proxy))
        for is_from_proxy in (True, False)
    )
    await crowd.fate_of(4)
    arrivals = (greedy, modest, forwarded, pretended)
    assert [one.connection.is_paused for one in arrivals] == [True, False, False, True]
    await until(lambda: not greedy.connection.is_paused)
    assert monotonic() - began >= 1
    assert {one.told for one in arrivals} == {b"in 1 s"}


async def test_where_all_is_full_a_key_that_has_much_of_its_share_is_not_heard_for_a_while() -> None:
    crowd = Crowd(most=16, most_a_key=16, wait_seconds=0.01)
    assert all(crowd.admission.turn(key) is not None for key in "gggggggm")
    waiting = [asyncio.ensure_future(crowd.admission.wait(key)) for key in "ggggggmm"]
    await asyncio.sleep(0)
    greedy, modest = (crowd.meet(Arrival(key, crowd.fates)) for key in "gm")
    await crowd.fate_of(2)
    assert [one.connection.is_paused for one in (greedy, modest)] == [True, False]
    for one in waiting:
        one.cancel()


async def test_whoever_is_not_heard_is_heard_again_where_room_comes_free_and_nobody_waits() -> None:
    crowd = Crowd(most=2, most_a_key=1, wait_seconds=0.01)
    turns = crowd.admission.turn("greedy")
    assert turns is not None
    first, second = (crowd.meet(Arrival("greedy", crowd.fates)) for _ in range(2))
    await crowd.fate_of(2)
    turns.leave()
    assert [one.connection.is_paused for one in (first, second)] == [False, True]


async def test_the_more_of_a_key_are_away_the_later_one_more_of_it_is_to_come_again() -> None:
    crowd = Crowd(most=9, most_a_key=1, wait_seconds=0)
    assert all(crowd.admission.turn(key) is not None for key in ("greedy", "other"))
    away = RETURNS_A_SECOND * 2
    for _ in range(away):
        crowd.meet(Arrival("greedy", crowd.fates))
    await crowd.fate_of(away)
    late, other = (crowd.meet(Arrival(key, crowd.fates)) for key in ("greedy", "other"))
    await crowd.fate_of(away + 2)
    assert [late.told, other.told] == [b"in 3 s", b"in 1 s"]
    # Two keys share the returns.
    last = crowd.meet(Arrival("greedy", crowd.fates))
    await crowd.fate_of(away + 3)
    assert last.told == b"in 5 s"


async def test_a_connection_counts_once_however_many_of_its_requests_were_refused_and_not_when_it_is_lost() -> None:
    pauses = Pauses()
    lines = [Line() for _ in range(RETURNS_A_SECOND)]
    for seconds in (0.01, 60):
        for line in lines:
            pauses.begin(line, "greedy", seconds)
    assert pauses.retry_after_seconds("greedy") == 2
    # The time that was over first, was another's.
    await asyncio.sleep(0.05)
    assert all(line.is_paused for line in lines)
    lines[0].is_lost = True
    pauses.forget(lines[0])
    pauses.begin(lines[0], "greedy", 60)
    assert pauses.retry_after_seconds("greedy") == 1
    for _ in lines:
        pauses.resume_one(lambda _: True)
    assert not any(line.is_paused for line in lines)
