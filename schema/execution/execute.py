"""One operation, from its text to its result: planned where it can be, interpreted where it cannot."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, OperationDefinitionNode, execute
from graphql.execution.values import VariableValues

from schema.batches import Request
from schema.budget import Cost
from schema.build import build_schema
from schema.errors import GatewayError, Unavailable
from schema.execution.binding import bind
from schema.execution.cost import cost_of
from schema.execution.documents import Document, Documents, coerce_variables, is_query
from schema.execution.limits import Limits, check_cost
from schema.execution.plan import Plan
from schema.execution.planning import Declined, Planner
from schema.execution.running import run
from schema.execution.variables import size_of


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client sends (GraphQL over HTTP, section 5)."""

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an operation that ran.

    Attributes:
        data: The data, null where an error went all the way up. Parts of it may be `orjson.Fragment`s.
        errors: What failed, each with its path.
        is_planned: Whether a plan was run, and not the interpreter.
    """

    data: dict[str, Any] | None
    errors: Sequence[GraphQLError]
    is_planned: bool


class NotAQuery(Exception):
    """An operation that writes came by a way that only reads."""


class Executor:
    """Runs operations of the schema.

    Attributes:
        counts: How many operations were `planned`, and how many `interpreted`.
    """

    def __init__(self, limits: Limits, *, introspection: bool = True, planned: bool = True) -> None:
        strawberry_schema = build_schema()
        self._schema: GraphQLSchema = strawberry_schema._schema  # noqa: SLF001 - published under no other name
        self._interpreter = strawberry_schema.execution_context_class
        self._limits = limits
        self._documents = Documents(self._schema, limits, introspection=introspection)
        self._planner = Planner(strawberry_schema, self._schema) if planned else None
        self.counts: Counter[str] = Counter()

    async def execute(self, operation: Operation, request: Request, *, only_queries: bool = False) -> Result:
        """Run an operation.

        Raises:
            RequestError: it is refused before it runs.
            OperationTooCostly: it is over a limit.
            RateLimited: the caller's budget has not so much left.
            NotAQuery: it is none, and only queries are taken.
            Unavailable: the store does not answer just now.
        """
        document = self._documents.get(operation.query)
        node = document.operation(operation.operation_name)
        if only_queries and not is_query(node):
            raise NotAQuery
        variables = coerce_variables(self._schema, node, dict(operation.variables))
        cost = self._cost(document, node, variables, request)
        check_cost(cost, self._limits)
        request.budget.take(cost)
        try:
            bound = bind(self._plan(document, node, variables), request, variables)
        except (Declined, GatewayError):
            # What an argument's error is told of, and where, the interpreter knows.
            request.branches.clear()
            self.counts["interpreted"] += 1
            return await self._interpret(document, operation, request)
        self.counts["planned"] += 1
        return Result(await request.run(run(bound)), (), is_planned=True)

    def _cost(
        self, document: Document, node: OperationDefinitionNode, variables: VariableValues, request: Request
    ) -> Cost:
        name = node.name.value if node.name else None
        sizes = (size_of(variables.coerced.get(variable)) for variable in document.sizing[name])

        def measure() -> Cost:
            return cost_of(self._schema, node, document.fragments, variables.coerced, request.page_limits)

        return document.costs.get((name, request.page_limits, *sizes), measure)

    def _plan(self, document: Document, node: OperationDefinitionNode, variables: VariableValues) -> Plan:
        if self._planner is None:
            raise Declined
        planner = self._planner
        steering = document.steering[node.name.value if node.name else None]
        key = (node.name.value if node.name else None, *(variables.coerced.get(name) for name in steering))
        plan = document.plans.get(key, lambda: planner.plan_or_decline(node, document.fragments, variables))
        if isinstance(plan, Declined):
            raise plan
        return plan

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
        errors = result.errors or ()
        for error in errors:
            # As a plan has it: without the store there is no answer, not one with holes.
            if isinstance(error.original_error, Unavailable):
                raise error.original_error
        return Result(result.data, errors, is_planned=False)
