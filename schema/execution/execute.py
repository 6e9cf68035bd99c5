"""One operation, from its text to its result: planned where it can be, interpreted where it cannot."""

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
        self._documents = Documents(self._schema, limits, introspection=introspection)
        self._planner = Planner(strawberry_schema, self._schema) if planned else None
        self.counts: Counter[str] = Counter()

    def prepare(self, query: str, budget: Budget | None = None) -> None:
        """Parse, check and keep a document that is to run later; what that takes is taken from a budget, if any.

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
            RateLimited: the caller's budget has not so much left.
            NotAQuery: it is none, and only queries are taken.
            Unavailable: the store does not answer just now.
            TimedOut: it was stopped.
        """
        prepared = self._documents.get(operation.query, request.budget).operation(operation.operation_name)
        if only_queries and not prepared.is_query:
            raise NotAQuery
        check_variables(operation.variables, prepared.limits)
        return await self.run(prepared, operation.variables, request)

    def stored(self, query: str) -> PreparedOperation:
        """An operation of the gateway's own: no client's limit holds for it, and it is planned now."""
        prepared = Documents(self._schema, UNLIMITED).get(query).operation(None)
        with suppress(Declined):
            self._plan(prepared, VariableValues({}, {}))
        return prepared

    async def run(self, prepared: PreparedOperation, values: Mapping[str, Any], request: Request) -> Result:
        """Run an operation that is ready, with the values that a request has for its variables.

        Raises:
            RequestError: one of the values does not fit, or an argument cannot be taken.
            OperationTooCostly: it is over a limit.
            RateLimited: the caller's budget has not so much left.
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
            # Not the kept one: it would hold on to the frames of every request that it was ever raised in.
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
            # As a plan has it: without the store there is no answer, not one with holes.
            if isinstance(error.original_error, (Unavailable, TimedOut)):
                raise error.original_error
        return Result(result.data, errors, is_planned=False)


def _take_to_interpret(cost: Cost, reason: Declined | GatewayError, limits: Limits, budget: Budget) -> None:
    """Take what an operation costs that is not planned: more than a plan.

    What an argument's error is told of, and where, the interpreter knows; where that costs too much, it is told alone.

    Raises:
        RequestError: one of the arguments cannot be taken.
        OperationTooCostly: it is over the limit.
        RateLimited: the caller's budget has not so much left.
    """
    whole = interpreted(cost)
    try:
        check_interpreted(whole, limits)
    except OperationTooCostly:
        if isinstance(reason, GatewayError):
            raise RequestError(reason.code, [GraphQLError(reason.message)]) from None
        raise
    budget.take(whole)
