"""The coroutines of an operation that is interpreted: those that never begin end with it.

Where a field fails that may not be null, graphql-core cancels its siblings. A sibling that has not begun by then will
never await the coroutines that it was given, and Python warns of each.
"""

from collections.abc import Awaitable, Callable
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any, TypeGuard

from graphql.pyutils import is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.execution.order import Errors, Siblings


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
    """Strawberry's own, where the items of lists pass by as well, and which error is told is no matter of time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.collected_errors = Errors()
        self._siblings = Siblings()

    def execute_fields(self, *place: Any) -> Any:
        """Execute the fields of an object side by side."""
        return self._side_by_side(super().execute_fields, *place)

    def complete_list_value(self, *place: Any) -> Any:
        """Complete the items of a list side by side."""
        return self._side_by_side(super().complete_list_value, *place)

    def _side_by_side(self, complete: Callable[..., Any], *place: Any) -> Any:
        around, self._siblings = self._siblings, Siblings()
        try:
            return complete(*place)
        finally:
            self._siblings = around

    def execute_field(self, *place: Any) -> Any:
        """Execute a field, as the next of its object."""
        siblings, value = self._siblings, super().execute_field(*place)
        return siblings.join(value) if self.is_awaitable(value) else value

    def complete_list_item_value(self, item: Any, complete_results: list[Any], *place: Any) -> bool:
        """Add an item to a list, as the next of it, and tell whether it can be awaited."""
        if not super().complete_list_item_value(item, complete_results, *place):
            return False
        value = complete_results[-1]
        complete_results[-1] = joined = self._siblings.join(value)
        return self.is_awaitable(value) and self.is_awaitable(joined)
