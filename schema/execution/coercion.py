"""Coercion of an operation's variables to their types (GraphQL, section 6.1.2).

Most values are built-in scalars that need no coercion, and are used unchanged. Everything else is left to graphql-core,
which coerces it or reports what is wrong.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLInputType, GraphQLList, GraphQLNonNull, GraphQLSchema, OperationDefinitionNode
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.type import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT

from schema.errors import Code
from schema.execution.refusal import MAX_ERRORS, RequestError

Fits = Callable[[Any], bool]


class Coercion:
    """Coerces the variables of one operation, request by request."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._definitions = operation.variable_definitions or ()
        signatures = [get_variable_signature(schema, definition) for definition in self._definitions]
        # The document is valid, so there are no errors among the signatures.
        self._expected = [(one, _fits(one.type)) for one in signatures if isinstance(one, GraphQLVariableSignature)]

    def coerce(self, values: Mapping[str, Any]) -> VariableValues:
        """The coerced variables of a request.

        Raises:
            RequestError: a value does not match its type.
        """
        sources, coerced = {}, {}
        for signature, fits in self._expected:
            name = signature.name
            if name not in values or not fits(values[name]):
                return self._ask(values)
            coerced[name] = values[name]
            sources[name] = VariableValueSource(signature, values[name])
        return VariableValues(sources, coerced)

    def _ask(self, values: Mapping[str, Any]) -> VariableValues:
        found = get_variable_values(
            self._schema, self._definitions, dict(values), max_errors=MAX_ERRORS, hide_suggestions=True
        )
        if isinstance(found, list):
            raise RequestError(Code.BAD_USER_INPUT, found)
        return found


def _fits(type_: GraphQLInputType) -> Fits:
    """A test of whether a value needs no coercion to a type; it always fails for types that are not built in."""
    if isinstance(type_, GraphQLNonNull):
        return _fits_nullable(type_.of_type)
    fits = _fits_nullable(type_)
    return lambda value: value is None or fits(value)


def _fits_nullable(type_: GraphQLInputType) -> Fits:
    if isinstance(type_, GraphQLList):
        fits = _fits(type_.of_type)
        return lambda value: isinstance(value, list) and all(map(fits, value))
    return _FITS.get(str(type_), _never)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return type(value) is int and GRAPHQL_MIN_INT <= value <= GRAPHQL_MAX_INT


def _never(_value: Any) -> bool:
    return False


_FITS: Mapping[str, Fits] = {"ID": _is_text, "String": _is_text, "Boolean": _is_truth, "Int": _is_integer}
