"""Which of several errors is reported: the first in the document, regardless of timing.

If several non-null sibling fields fail, one error is reported (GraphQL, 6.4.4). graphql-core reports the one that
occurs first, and cancels the other fields. Here, a field that fails waits for those before it to finish.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

from graphql import GraphQLError
from graphql.execution.executor import CollectedErrors
from graphql.pyutils import Path


class Siblings:
    """Values that are awaited concurrently: the fields of an object, or the items of a list."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: list[asyncio.Future[None]] = []

    def join(self, value: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
        """Wrap an awaitable value as the next sibling."""
        end = asyncio.get_running_loop().create_future()
        self._ends.append(end)
        return self._settle(value, end, len(self._ends) - 1)

    async def _settle(self, value: Awaitable[Any], end: "asyncio.Future[None]", place: int) -> Any:
        try:
            return await value
        except Exception:
            if place:
                await asyncio.wait(self._ends[:place])
            raise
        finally:
            end.set_result(None)


class Errors(CollectedErrors):
    """The errors of an operation in document order, without those below a position that another error made null."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        super().__init__()
        self._places: list[Path | None] = []

    def add(self, error: GraphQLError, path: Path | None) -> None:
        """Add an error and the position that it makes null."""
        known = len(self._errors)
        super().add(error, path)
        if len(self._errors) > known:
            self._places.append(path)

    @property
    def errors(self) -> list[GraphQLError]:
        """The errors to report."""
        found = zip(self._errors, self._places, strict=True)
        told = [error for error, place in found if place is None or not self.has_nulled_position(place.prev)]
        return sorted(told, key=_place_in_document)


def _place_in_document(error: GraphQLError) -> tuple[list[int], list[str | int]]:
    return list(error.positions or ()), error.path or []
