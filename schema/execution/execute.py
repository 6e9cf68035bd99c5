"""One operation, from its text to its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, execute

from schema.batches import Request
from schema.build import build_schema
from schema.execution.documents import Document, Documents, coerce_variables, is_query
from schema.execution.limits import Limits, check_nodes


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client sends (GraphQL over HTTP, section 5)."""

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an operation that ran: its data, null where an error went all the way up, and its errors."""

    data: dict[str, Any] | None
    errors: Sequence[GraphQLError]


class Executor:
    """Runs operations of the schema."""

    def __init__(self, limits: Limits, *, introspection: bool = True) -> None:
        strawberry_schema = build_schema()
        self._schema: GraphQLSchema = strawberry_schema._schema  # noqa: SLF001 - published under no other name
        self._interpreter = strawberry_schema.execution_context_class
        self._limits = limits
        self._documents = Documents(self._schema, limits, introspection=introspection)

    def document(self, text: str) -> Document:
        """The document of a text, valid and within the limits.

        Raises:
            RequestError: it is not.
            OperationTooCostly: it is over a limit.
        """
        return self._documents.get(text)

    async def execute(self, operation: Operation, request: Request, *, only_queries: bool = False) -> Result:
        """Run an operation.

        Raises:
            RequestError: it is refused before it runs.
            OperationTooCostly: it is over a limit.
        """
        document = self.document(operation.query)
        node = document.operation(operation.operation_name)
        if only_queries and not is_query(node):
            raise NotAQuery
        variables = coerce_variables(self._schema, node, dict(operation.variables))
        check_nodes(self._schema, node, document.fragments, variables.coerced, self._limits, request.page_limits)
        return await self._interpret(document, operation, request)

    async def _interpret(self, document: Document, operation: Operation, request: Request) -> Result:
        outcome = execute(
            self._schema,
            document.node,
            context_value=request,
            variable_values=dict(operation.variables),
            operation_name=operation.operation_name,
            executor_class=self._interpreter,
            hide_suggestions=True,
        )
        result: ExecutionResult = await outcome if isawaitable(outcome) else outcome
        return Result(result.data, result.errors or ())


class NotAQuery(Exception):
    """An operation that writes came by a way that only reads."""
