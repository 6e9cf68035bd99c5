"""What hangs on the variables: whether fields are there, how much they can return, what they are asked with.

Most variables are scalars of GraphQL's own and fit as they come. Those are taken as they are; whatever else comes goes
the way of graphql-core, which coerces it or tells what is wrong.
"""

from collections.abc import Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

_SIZES = {"first", "last", "ids"}
_CURSORS = {"after", "before"}


def varies(node: FieldNode) -> bool:
    """Whether a request can change what a field reads; a cursor is checked for each anew."""
    return has_variables(node) or any(a.name.value in _CURSORS for a in node.arguments or ())


def has_variables(node: Any) -> bool:
    """Whether a field's arguments, or a value, have a variable in them."""
    if isinstance(node, VariableNode):
        return True
    if isinstance(node, FieldNode):
        return any(has_variables(argument.value) for argument in node.arguments or ())
    inner = [field.value for field in getattr(node, "fields", None) or ()] + list(getattr(node, "values", None) or ())
    return any(has_variables(value) for value in inner)


def steering_variables(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> tuple[str, ...]:
    """The variables that `@include` and `@skip` hang on: with their values a plan is known."""
    found: set[str] = set()
    for definition in (operation, *fragments.values()):
        _find_steering(definition.selection_set, found)
    return tuple(sorted(found))


def _find_steering(selection_set: SelectionSetNode | None, found: set[str]) -> None:
    for selection in selection_set.selections if selection_set else ():
        for directive in selection.directives or ():
            if directive.name.value in {"include", "skip"}:
                found.update(a.value.name.value for a in directive.arguments or () if isinstance(a.value, VariableNode))
        _find_steering(getattr(selection, "selection_set", None), found)


def sizing_variables(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> tuple[str, ...]:
    """The variables that the number of nodes hangs on: with their values, or their lengths, it is known."""
    found: set[str] = set()
    for definition in (operation, *fragments.values()):
        _find_sizing(definition.selection_set, found)
    return tuple(sorted(found))


def size_of(value: Any) -> Any:
    """What of a variable's value the number of nodes hangs on."""
    return len(value) if isinstance(value, list) else value


def _find_sizing(selection_set: SelectionSetNode | None, found: set[str]) -> None:
    for selection in selection_set.selections if selection_set else ():
        for argument in getattr(selection, "arguments", None) or ():
            if argument.name.value in _SIZES and isinstance(argument.value, VariableNode):
                found.add(argument.value.name.value)
        _find_sizing(getattr(selection, "selection_set", None), found)
