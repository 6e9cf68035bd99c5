"""What an operation leaves behind in memory: nothing, in whichever way it ran."""

import gc

import pytest

from gateway.app import create_app
from schema.batches import Request
from tests.records import EXAMPLE_ID, World, fill
from tests.serving import Gateway, running

OPERATIONS = (
    f'{{ leak(id: "{EXAMPLE_ID}") {{ login }} }}',
    "{ leaks(first: 2) { edges { cursor } } }",
    "{ viewer { name } }",
    "{ __schema { queryType { name } } }",
    "{ leaks(first: 0) { totalCount } }",
)


@pytest.fixture
async def small_world(sqlite_url: str) -> World:
    return await fill(sqlite_url)


@pytest.mark.parametrize("query", OPERATIONS)
async def test_an_operation_is_forgotten_when_it_is_answered(small_world: World, query: str) -> None:
    async with running(create_app(small_world.settings)) as client:
        gateway = Gateway(client, small_world)
        for _ in range(20):
            await gateway.answer(query)
        gc.collect()
        assert sum(isinstance(found, Request) for found in gc.get_objects()) <= 1
