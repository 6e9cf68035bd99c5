"""Documents, parsed and validated once and cached, and the selection of the operation in a request."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)
from graphql.validation import (
    ASTValidationRule,
    NoSchemaIntrospectionCustomRule,
    OverlappingFieldsCanBeMergedRule,
    recommended_rules,
    specified_rules,
)

from schema.budget import Budget, Cost
from schema.cache import Cache, Share
from schema.errors import Code
from schema.execution.coercion import Coercion
from schema.execution.cost import reading_cost, weighted_inputs
from schema.execution.limits import Limits, check_merging, check_shape
from schema.execution.plan import Plan
from schema.execution.planning import Declined
from schema.execution.refusal import MAX_ERRORS, RequestError
from schema.execution.variables import sizing_variables, steering_variables

_COSTS_KEPT = 16
_CHARACTERS_KEPT = 262_144
"""A parsed document takes up to two hundred times the memory of its text. Each plan counts as another document."""
_MERGING = OverlappingFieldsCanBeMergedRule
_RULES = tuple(rule for rule in (*specified_rules, *recommended_rules) if rule is not _MERGING)


@dataclass(frozen=True, slots=True)
class PreparedOperation:
    """An operation that is valid and within the limits, with everything that is the same for all requests.

    Attributes:
        document: The document that contains it.
        node: The operation.
        fragments: The document's fragments, by name.
        limits: The limits that it is within.
        coercion: Coerces its variables.
        steering: The variables that `@include` and `@skip` depend on.
        sizing: The variables that the cost depends on.
        plans: Its plans, by the values of the steering variables.
        costs: Its maximum costs, by page limits and the sizes of the sizing variables.
    """

    document: DocumentNode
    node: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    limits: Limits
    coercion: Coercion
    steering: tuple[str, ...]
    sizing: tuple[str, ...]
    plans: Share[Plan | Declined]
    costs: Cache[Any, Cost] = field(default_factory=lambda: Cache(_COSTS_KEPT))

    @property
    def is_query(self) -> bool:
        """Whether it is a query, which only reads."""
        return self.node.operation is OperationType.QUERY


class Document:
    """The operations of a document.

    Attributes:
        characters: The length of its text.
    """

    def __init__(self, characters: int, operations: Mapping[str | None, PreparedOperation]) -> None:
        self.characters = characters
        self._operations = operations
        self._only = next(iter(operations.values())) if len(operations) == 1 else None

    def operation(self, name: str | None) -> PreparedOperation:
        """The operation with this name, or the only one if there is no name.

        Raises:
            RequestError: there is no such operation, or the choice is ambiguous.
        """
        found = self._only if name is None else self._operations.get(name)
        if found is None:
            message = (
                "The document has several operations: say which in operationName."
                if name is None and self._operations
                else "The document has no operation by this name."
            )
            raise RequestError(Code.BAD_USER_INPUT, [GraphQLError(message)])
        return found


class Documents:
    """The documents of a schema; the most recently used are cached, by a hash of their text."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, introspection: bool = True) -> None:
        self._schema = schema
        self._limits = limits
        self._rules = _RULES if introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
        self._weighted = weighted_inputs(schema)
        self._documents: Cache[bytes, Document] = Cache(_CHARACTERS_KEPT, lambda document: document.characters)
        self._plans: Cache[Any, tuple[int, Plan | Declined]] = Cache(_CHARACTERS_KEPT, lambda weighed: weighed[0])

    def get(self, text: str, budget: Budget | None = None) -> Document:
        """The document of a text; if it is not cached, the cost of reading it is taken from the budget.

        Raises:
            RequestError: it cannot be parsed, is not valid, or is over a limit.
            RateLimited: the budget does not have enough left.
        """
        return self._documents.get(hashlib.sha256(text.encode()).digest(), lambda: self._prepare(text, budget))

    def _prepare(self, text: str, budget: Budget | None) -> Document:
        if budget is not None:
            # At the most what a budget can hold: its operation may cost little.
            budget.take(reading_cost(text, self._limits.points))
        try:
            node = parse(text, max_tokens=self._limits.tokens, allow_empty_selection_sets=False)
        except GraphQLSyntaxError as error:
            raise RequestError(Code.GRAPHQL_PARSE_FAILED, [error]) from error
        operations = {
            d.name.value if d.name else None: d for d in node.definitions if isinstance(d, OperationDefinitionNode)
        }
        fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
        check_shape(operations.values(), fragments, self._limits)
        self._validate(node, self._rules)
        check_merging(operations.values(), fragments, self._limits)
        self._validate(node, [_MERGING])
        return Document(
            len(text),
            {
                name: PreparedOperation(
                    node,
                    operation,
                    fragments,
                    self._limits,
                    Coercion(self._schema, operation),
                    steering_variables(operation, fragments),
                    sizing_variables(operation, fragments, self._weighted),
                    Share(self._plans, len(text)),
                )
                for name, operation in operations.items()
            },
        )

    def _validate(self, node: DocumentNode, rules: Collection[type[ASTValidationRule]]) -> None:
        errors = validate(self._schema, node, rules, max_errors=MAX_ERRORS, hide_suggestions=True)
        if errors:
            raise RequestError(Code.GRAPHQL_VALIDATION_FAILED, errors[:MAX_ERRORS])
