"""What depends on an operation's variables: which fields are included, and how much they can return."""

from collections.abc import Collection, Mapping
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    FragmentDefinitionNode,
    ObjectFieldNode,
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
    """The variables that `@include` and `@skip` depend on: with their values a plan is known."""
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
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    weighted: Collection[str] = (),
) -> tuple[str, ...]:
    """The variables that the cost depends on: with what `size_of` makes of their values, it is known.

    Args:
        operation: The operation.
        fragments: The fragments of its document.
        weighted: The names of arguments, and of fields of inputs, that weigh something where they are given.
    """
    found: set[str] = set()
    for definition in (operation, *fragments.values()):
        _find_sizing(definition.selection_set, _SIZES.union(weighted), found)
    return tuple(sorted(found))


def size_of(value: Any) -> Any:
    """What of a variable's value the cost depends on: a number, a length, or what is given at all."""
    match value:
        case list():
            return len(value)
        case dict():
            return tuple(sorted(name for name, inner in value.items() if inner is not None))
        case str():
            return True
    return value


def _find_sizing(selection_set: SelectionSetNode | None, names: Collection[str], found: set[str]) -> None:
    for selection in selection_set.selections if selection_set else ():
        for argument in getattr(selection, "arguments", None) or ():
            _find_sizes(argument, names, found)
        _find_sizing(getattr(selection, "selection_set", None), names, found)


def _find_sizes(given: ArgumentNode | ObjectFieldNode, names: Collection[str], found: set[str]) -> None:
    """The variables in an argument, or in a field of an input, by whose name the cost is known."""
    if given.name.value not in names:
        return
    if isinstance(given.value, VariableNode):
        found.add(given.value.name.value)
    for field in getattr(given.value, "fields", None) or ():
        _find_sizes(field, names, found)
