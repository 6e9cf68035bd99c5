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
    """Whether a field's read can differ between requests; a cursor counts, since it is verified for each request."""
    return has_variables(node) or any(a.name.value in _CURSORS for a in node.arguments or ())


def has_variables(node: Any) -> bool:
    """Whether a field's arguments, or a value, contain a variable."""
    if isinstance(node, VariableNode):
        return True
    if isinstance(node, FieldNode):
        return any(has_variables(argument.value) for argument in node.arguments or ())
    inner = [field.value for field in getattr(node, "fields", None) or ()] + list(getattr(node, "values", None) or ())
    return any(has_variables(value) for value in inner)


def steering_variables(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> tuple[str, ...]:
    """The variables used in `@include` and `@skip`: their values determine the plan."""
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
    """The variables that the cost depends on: the `size_of` of their values determines it.

    Args:
        operation: The operation.
        fragments: The fragments of its document.
        weighted: The names of arguments and input fields that have a weight if they are given.
    """
    found: set[str] = set()
    for definition in (operation, *fragments.values()):
        _find_sizing(definition.selection_set, _SIZES.union(weighted), found)
    return tuple(sorted(found))


def size_of(value: Any) -> Any:
    """The part of a variable's value that the cost depends on: a number, a length, or the names of the given fields."""
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
    """Add the variables in an argument or input field, if its name affects the cost."""
    if given.name.value not in names:
        return
    if isinstance(given.value, VariableNode):
        found.add(given.value.name.value)
    for field in getattr(given.value, "fields", None) or ():
        _find_sizes(field, names, found)
