"""Execution of an operation, from its text to its result: planned if possible, otherwise interpreted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import isawaitable
from typing import Any, NamedTuple

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, execute
from graphql.execution.values import VariableValues

from schema.batches import Request
from schema.budget import Budget, Cost
from schema.build import build_schema
from schema.errors import GatewayError, OperationTooCostly, TimedOut, Unavailable
from schema.execution.binding import bind
from schema.execution.coroutines import Coroutines, Interpreter
from schema.execution.cost import cost_of, interpreted
from schema.execution.documents import Documents, PreparedOperation
from schema.execution.limits import UNLIMITED, Limits, check_cost, check_interpreted, check_variables
from schema.execution.plan import Plan
from schema.execution.planning import Declined, Planner
from schema.execution.refusal import RequestError
from schema.execution.running import run
from schema.execution.variables import size_of


class Operation(NamedTuple):
    """What a client sends (GraphQL over HTTP, section 5)."""

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None = None


class Result(NamedTuple):
    """The result of an operation that was executed.

    Attributes:
        data: The data, or None if an error propagated to the root. Parts of it may be `orjson.Fragment`s.
        errors: The field errors, each with its path.
        is_planned: Whether it was run by a plan rather than by the interpreter.
    """

    data: dict[str, Any] | None
    errors: Sequence[GraphQLError]
    is_planned: bool


class NotAQuery(Exception):
    """The operation is not a query, but only queries are accepted."""


class Executor:
    """Runs operations of the schema.

    Attributes:
        counts: The numbers of operations that were `planned` and `interpreted`.
    """

    def __init__(self, limits: Limits, *, introspection: bool = True, planned: bool = True) -> None:
        strawberry_schema = build_schema()
        self._schema: GraphQLSchema = strawberry_schema._schema  # noqa: SLF001 - published under no other name
        self._documents = Documents(self._schema, limits, introspection=introspection)
        self._planner = Planner(strawberry_schema, self._schema) if planned else None
        self.counts: Counter[str] = Counter()

    def prepare(self, query: str, budget: Budget | None = None) -> None:
        """Parse, check and cache a document that will be executed later; a budget, if given, pays for that.

        Raises:
            RequestError: it is not valid.
            OperationTooCostly: it is over a limit.
            RateLimited: the budget has not so much left.
        """
        self._documents.get(query, budget)

    async def execute(self, operation: Operation, request: Request, *, only_queries: bool = False) -> Result:
        """Run an operation.

        Raises:
            RequestError: it is refused before it runs.
            OperationTooCostly: it is over a limit.
            RateLimited: the caller's budget does not have enough left.
            NotAQuery: it is not a query, and only queries are accepted.
            Unavailable: the store does not answer just now.
            TimedOut: it was stopped.
        """
        prepared = self._documents.get(operation.query, request.budget).operation(operation.operation_name)
        if only_queries and not prepared.is_query:
            raise NotAQuery
        check_variables(operation.variables, prepared.limits)
        return await self.run(prepared, operation.variables, request)

    def stored(self, query: str) -> PreparedOperation:
        """Prepare one of the gateway's own operations: it has no limits, and is planned now."""
        prepared = Documents(self._schema, UNLIMITED).get(query).operation(None)
        with suppress(Declined):
            self._plan(prepared, VariableValues({}, {}))
        return prepared

    async def run(self, prepared: PreparedOperation, values: Mapping[str, Any], request: Request) -> Result:
        """Run a prepared operation with the variable values of a request.

        Raises:
            RequestError: a value does not match its type, or an argument is invalid.
            OperationTooCostly: it is over a limit.
            RateLimited: the caller's budget does not have enough left.
            Unavailable: the store does not answer just now.
        """
        variables = prepared.coercion.coerce(values)
        cost = self._cost(prepared, variables, request)
        check_cost(cost, prepared.limits)
        request.budget.take(cost)
        try:
            bound = bind(self._plan(prepared, variables), request, variables)
        except (Declined, GatewayError) as reason:
            if self._planner is not None:
                _take_to_interpret(cost, reason, prepared.limits, request.budget)
            request.branches.clear()
            self.counts["interpreted"] += 1
            return await self._interpret(prepared, values, request)
        self.counts["planned"] += 1
        return Result(await request.run(run(bound)), (), is_planned=True)

    def _cost(self, prepared: PreparedOperation, variables: VariableValues, request: Request) -> Cost:
        values, limits = variables.coerced, request.page_limits

        def measure() -> Cost:
            return cost_of(self._schema, prepared.node, prepared.fragments, values, limits)

        sizes = [size_of(values.get(name)) for name in prepared.sizing] if prepared.sizing else ()
        return prepared.costs.get((limits, *sizes), measure)

    def _plan(self, prepared: PreparedOperation, variables: VariableValues) -> Plan:
        if self._planner is None:
            raise Declined
        planner = self._planner
        key = tuple([variables.coerced.get(name) for name in prepared.steering])
        plan = prepared.plans.get(key, lambda: planner.plan_or_decline(prepared.node, prepared.fragments, variables))
        if isinstance(plan, Declined):
            # Not the cached exception: it would keep the frames of every request that it was raised in.
            raise Declined
        return plan

    async def _interpret(self, prepared: PreparedOperation, values: Mapping[str, Any], request: Request) -> Result:
        coroutines = Coroutines()
        outcome = execute(
            self._schema,
            prepared.document,
            context_value=request,
            variable_values=dict(values),
            operation_name=prepared.node.name.value if prepared.node.name else None,
            executor_class=Interpreter,
            hide_suggestions=True,
            is_awaitable=coroutines.is_awaitable,
        )
        try:
            result: ExecutionResult = await outcome if isawaitable(outcome) else outcome
        finally:
            coroutines.close()
        errors = result.errors or ()
        for error in errors:
            # As with a plan: if the store fails, there is no response, rather than a partial one.
            if isinstance(error.original_error, (Unavailable, TimedOut)):
                raise error.original_error
        return Result(result.data, errors, is_planned=False)


def _take_to_interpret(cost: Cost, reason: Declined | GatewayError, limits: Limits, budget: Budget) -> None:
    """Charge for an operation that is interpreted, which costs more than a planned one.

    The interpreter reports an argument's error in its place; if that would cost too much, it is reported by itself.

    Raises:
        RequestError: an argument is invalid.
        OperationTooCostly: it is over the limit.
        RateLimited: the caller's budget does not have enough left.
    """
    whole = interpreted(cost)
    try:
        check_interpreted(whole, limits)
    except OperationTooCostly:
        if isinstance(reason, GatewayError):
            raise RequestError(reason.code, [GraphQLError(reason.message)]) from None
        raise
    budget.take(whole)
