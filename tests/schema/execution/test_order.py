"""Which errors are told depends on the document, and not on which field fails first."""

import asyncio
from inspect import isawaitable
from itertools import permutations
from typing import Any

import pytest
import strawberry
from graphql import execute, parse

from schema.execution.coroutines import Coroutines, Interpreter

NAMES = ("first", "second", "third")


async def fail(info: strawberry.Info, name: str) -> int:
    """Fail when the turn of a name has come."""
    await info.context[name].wait()
    raise ValueError(name)


@strawberry.type
class Item:
    number: strawberry.Private[int]

    @strawberry.field
    async def needed(self, info: strawberry.Info) -> int:
        return await fail(info, NAMES[self.number])

    @strawberry.field
    async def spared(self, info: strawberry.Info) -> int | None:
        return await fail(info, NAMES[self.number])


@strawberry.type
class Query:
    @strawberry.field
    async def first(self, info: strawberry.Info) -> int:
        return await fail(info, "first")

    @strawberry.field
    async def second(self, info: strawberry.Info) -> int:
        return await fail(info, "second")

    @strawberry.field
    def items(self) -> list[Item]:
        return [Item(number=number) for number in range(3)]

    @strawberry.field
    def maybe_items(self) -> list[Item | None]:
        return [Item(number=number) for number in range(3)]


SCHEMA = strawberry.Schema(Query, types=[Item])._schema  # noqa: SLF001


async def answer(document: str, order: tuple[str, ...]) -> Any:
    """The data and the paths of the errors where fields fail in an order."""
    turns = {name: asyncio.Event() for name in NAMES}
    coroutines = Coroutines()
    outcome = execute(
        SCHEMA,
        parse(document),
        context_value=turns,
        executor_class=Interpreter,
        is_awaitable=coroutines.is_awaitable,
    )
    assert isawaitable(outcome)
    running = asyncio.ensure_future(outcome)
    for name in order:
        for _ in range(10):
            await asyncio.sleep(0)
        turns[name].set()
    result = await asyncio.wait_for(running, 10)
    coroutines.close()
    return result.data, [error.path for error in result.errors or ()]


@pytest.mark.parametrize("order", list(permutations(NAMES)))
@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ second first }", (None, [["second"]])),
        ("{ items { needed } }", (None, [["items", 0, "needed"]])),
        ("{ items { spared } first }", (None, [["first"]])),
        ("{ maybeItems { needed } }", ({"maybeItems": [None] * 3}, [["maybeItems", n, "needed"] for n in range(3)])),
        (
            "{ maybeItems { b: spared a: spared } }",
            (
                {"maybeItems": [{"b": None, "a": None}] * 3},
                [["maybeItems", n, key] for key in ("b", "a") for n in range(3)],
            ),
        ),
    ],
)
async def test_the_same_errors_are_told_in_whatever_order_fields_fail(
    document: str, expected: Any, order: tuple[str, ...]
) -> None:
    assert await answer(document, order) == expected
