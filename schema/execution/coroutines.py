"""The coroutines of an interpreted operation: those that never started are closed when it ends.

When a non-null field fails, graphql-core cancels its siblings. A sibling that has not started by then never awaits the
coroutines that it was given, and Python would warn about each.
"""

from collections.abc import Awaitable, Callable
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any, TypeGuard

from graphql.pyutils import is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.execution.order import Errors, Siblings


class Coroutines:
    """Records what graphql-core finds awaitable: it checks every coroutine here before awaiting it."""

    def __init__(self) -> None:
        self._noted: list[CoroutineType[Any, Any, Any]] = []

    def is_awaitable(self, value: Any) -> TypeGuard[Awaitable[Any]]:
        """Whether a value can be awaited."""
        if isinstance(value, CoroutineType):
            self._noted.append(value)
            return True
        return is_awaitable(value)

    def close(self) -> None:
        """Close the coroutines that have not started."""
        for coroutine in self._noted:
            if getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()


class Interpreter(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's executor, with list items recorded too, and with reported errors that do not depend on timing."""

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
        """Execute the next field of an object."""
        siblings, value = self._siblings, super().execute_field(*place)
        return siblings.join(value) if self.is_awaitable(value) else value

    def complete_list_item_value(self, item: Any, complete_results: list[Any], *place: Any) -> bool:
        """Complete the next item of a list, and return whether it is awaitable."""
        if not super().complete_list_item_value(item, complete_results, *place):
            return False
        value = complete_results[-1]
        complete_results[-1] = joined = self._siblings.join(value)
        return self.is_awaitable(value) and self.is_awaitable(joined)
