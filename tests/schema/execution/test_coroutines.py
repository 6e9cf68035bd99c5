"""An operation that is interpreted ends with all that it began."""

import asyncio
import gc
import warnings
from typing import Any, TypeVar

import pytest

from schema.batches import Request
from schema.execution.execute import Operation
from schema.store import Level, Program, Store
from tests.operations import Asking, asking
from tests.records import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

T = TypeVar("T")

SIBLINGS = "{ leaks(last: 3) { nodes { domain { id } } } organization { domains(first: %s) { totalCount } } }"


class Again:
    """A store that answers as it has before, after so many turns of the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: list[Any] = []
        self._asked = 0
        self._turns = 0

    def begin(self, turns: int) -> None:
        self._asked, self._turns = 0, turns

    async def run(self, program: Program[T], levels: list[Level] | None = None) -> T:
        place, self._asked = self._asked, self._asked + 1
        if place == len(self._answers):
            self._answers.append(await self._store.run(program, levels))
        for _ in range(self._turns):
            await asyncio.sleep(0)
        answer: T = self._answers[place]
        return answer


async def failures(asked: Asking, store: Again, first: int) -> int:
    request = Request(await asked.caller("read"), store, b"plainly-fake-cursor-secret")
    result = await asked.executor.execute(Operation(SIBLINGS % first, {}), request)
    return len(result.errors)


async def test_where_a_field_fails_none_is_left_that_has_not_begun(world: World) -> None:
    async with asking(world, planned=False) as asked:
        store = Again(asked.store)
        assert await failures(asked, store, 1) == 0
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for turns in range(12):
                store.begin(turns)
                assert await failures(asked, store, 0) == 1
                gc.collect()
    assert [str(warning.message) for warning in told] == []
