"""The coroutines of an operation that is interpreted: those that never begin end with it.

Where a field fails that may not be null, graphql-core cancels its siblings. A sibling that has not begun by then will
never await the coroutines that it was given, and Python warns of each.
"""

from collections.abc import Awaitable
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any, TypeGuard

from graphql.pyutils import is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class Coroutines:
    """Notes what graphql-core finds awaitable: a coroutine passes by here before anybody awaits it."""

    def __init__(self) -> None:
        self._noted: list[CoroutineType[Any, Any, Any]] = []

    def is_awaitable(self, value: Any) -> TypeGuard[Awaitable[Any]]:
        """Whether a value can be awaited."""
        if isinstance(value, CoroutineType):
            self._noted.append(value)
            return True
        return is_awaitable(value)

    def close(self) -> None:
        """Close those that have not begun."""
        for coroutine in self._noted:
            if getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()


class Interpreter(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's own, where the items of lists pass by as well."""

    def complete_list_item_value(self, item: Any, complete_results: list[Any], *place: Any) -> bool:
        """Add an item to a list, and tell whether it can be awaited."""
        return super().complete_list_item_value(item, complete_results, *place) and self.is_awaitable(
            complete_results[-1]
        )
