"""A document, parsed and validated once and kept; and the operation in it that a request means."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
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
from graphql.execution.values import VariableValues, get_variable_values
from graphql.validation import NoSchemaIntrospectionCustomRule, recommended_rules, specified_rules

from schema.budget import Cost
from schema.errors import Code
from schema.execution.cost import weighted_inputs
from schema.execution.limits import Limits, check_shape
from schema.execution.plan import Plan
from schema.execution.planning import Declined
from schema.execution.variables import sizing_variables, steering_variables
from schema.kept import Kept

_MAX_ERRORS = 5
_PLANS_KEPT = 16
_RULES = (*specified_rules, *recommended_rules)


class RequestError(Exception):
    """A request that is refused before it runs (GraphQL, section 7.1.2: a request error result).

    Attributes:
        code: One code for all of the errors.
        errors: What is wrong, each with its places in the document.
    """

    def __init__(self, code: Code, errors: Collection[GraphQLError]) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Document:
    """A document that is valid and within the limits.

    Attributes:
        node: The document.
        operations: Its operations, by name.
        fragments: Its fragments, by name.
        steering: The variables that `@include` and `@skip` hang on, by operation.
        plans: The plans of its operations, by the operation's name and the values of its steering variables.
        sizing: The variables that the cost hangs on, by operation.
        costs: What its operations can cost, by the operation's name and the sizes that these give.
    """

    node: DocumentNode
    operations: dict[str | None, OperationDefinitionNode]
    fragments: dict[str, FragmentDefinitionNode]
    steering: dict[str | None, tuple[str, ...]]
    plans: Kept[Any, Plan | Declined]
    sizing: dict[str | None, tuple[str, ...]]
    costs: Kept[Any, Cost]

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation by this name, or the only one there is.

        Raises:
            RequestError: there is none, or it is not clear which is meant.
        """
        if name is not None:
            found = self.operations.get(name)
        else:
            found = next(iter(self.operations.values())) if len(self.operations) == 1 else None
        if found is None:
            message = (
                "The document has several operations: say which in operationName."
                if name is None and self.operations
                else "The document has no operation by this name."
            )
            raise RequestError(Code.BAD_USER_INPUT, [GraphQLError(message)])
        return found


class Documents:
    """The documents of a schema; the ones used last are kept, by a hash of their text."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, introspection: bool = True, kept: int = 1024) -> None:
        self._schema = schema
        self._limits = limits
        self._rules = _RULES if introspection else (*_RULES, NoSchemaIntrospectionCustomRule)
        self._weighted = weighted_inputs(schema)
        self._documents: Kept[bytes, Document] = Kept(kept)

    def get(self, text: str) -> Document:
        """The document of a text.

        Raises:
            RequestError: it cannot be parsed, is not valid, or is over a limit.
        """
        return self._documents.get(hashlib.sha256(text.encode()).digest(), lambda: self._prepare(text))

    def _prepare(self, text: str) -> Document:
        try:
            node = parse(text, max_tokens=self._limits.tokens, allow_empty_selection_sets=False)
        except GraphQLSyntaxError as error:
            raise RequestError(Code.GRAPHQL_PARSE_FAILED, [error]) from error
        operations = {
            d.name.value if d.name else None: d for d in node.definitions if isinstance(d, OperationDefinitionNode)
        }
        fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
        check_shape(operations.values(), fragments, self._limits)
        errors = validate(self._schema, node, self._rules, max_errors=_MAX_ERRORS, hide_suggestions=True)
        if errors:
            raise RequestError(Code.GRAPHQL_VALIDATION_FAILED, errors[:_MAX_ERRORS])
        steering = {name: steering_variables(operation, fragments) for name, operation in operations.items()}
        sizing = {
            name: sizing_variables(operation, fragments, self._weighted) for name, operation in operations.items()
        }
        return Document(node, operations, fragments, steering, Kept(_PLANS_KEPT), sizing, Kept(_PLANS_KEPT))


def coerce_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: dict[str, Any]
) -> VariableValues:
    """The variables of an operation as its types have them.

    Raises:
        RequestError: one of them does not fit.
    """
    values = get_variable_values(
        schema, operation.variable_definitions or (), variables, max_errors=_MAX_ERRORS, hide_suggestions=True
    )
    if isinstance(values, list):
        raise RequestError(Code.BAD_USER_INPUT, values)
    return values


def is_query(operation: OperationDefinitionNode) -> bool:
    """Whether an operation only reads."""
    return operation.operation is OperationType.QUERY
