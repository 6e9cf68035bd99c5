"""What an operation may be at most, measured in one walk in which every fragment is walked once."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
)

from schema.errors import OperationTooCostly
from schema.pages import PageLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """The ceilings.

    Attributes:
        tokens: Lexical tokens of a document.
        depth: Fields inside fields.
        aliases: Aliases of an operation, a fragment's as often as it is spread.
        nodes: Nodes that an operation can return, by the sizes of its pages.
    """

    tokens: int = 2000
    depth: int = 15
    aliases: int = 30
    nodes: int = 100_000


UNLIMITED = Limits(*[sys.maxsize] * len(fields(Limits)))
"""For operations of our own."""


def check_shape(
    operations: Iterable[OperationDefinitionNode], fragments: Mapping[str, FragmentDefinitionNode], limits: Limits
) -> None:
    """Refuse a document that is too deep or has too many aliases; it need not be valid yet.

    Raises:
        OperationTooCostly: it is; the message says how much and how much would be taken.
    """
    walk = _ShapeWalk(fragments)
    for operation in operations:
        depth, aliases = walk.measure(operation.selection_set)
        _check("deep", depth, limits.depth)
        _check("aliases", aliases, limits.aliases)


def count_nodes(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
    pages: PageLimits,
) -> int:
    """The nodes that a valid operation can return."""
    root = schema.get_root_type(operation.operation)
    return _NodeWalk(schema, fragments, variables, pages).count(operation.selection_set, root, 1)


def check_nodes(nodes: int, limits: Limits) -> None:
    """Refuse an operation that can return too many nodes.

    Raises:
        OperationTooCostly: it can; the message says how many and how many would be taken.
    """
    _check("nodes", nodes, limits.nodes)


_WORDS = {
    "deep": "The operation is {found} fields deep; at most {ceiling} are taken.",
    "aliases": "The operation has {found} aliases; at most {ceiling} are taken.",
    "nodes": "The operation can return {found} nodes; at most {ceiling} are taken. Ask for smaller pages.",
}


def _check(what: str, found: int, ceiling: int) -> None:
    if found > ceiling:
        raise OperationTooCostly(_WORDS[what].format(found=found, ceiling=ceiling))


class _ShapeWalk:
    """Depth and aliases of selection sets; unknown and circular fragments count as empty: validation refuses them."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._measured: dict[str, tuple[int, int]] = {}

    def measure(self, selection_set: SelectionSetNode | None) -> tuple[int, int]:
        depth = aliases = 0
        for selection in selection_set.selections if selection_set else ():
            below, more = self._measure_selection(selection)
            depth, aliases = max(depth, below), aliases + more
        return depth, aliases

    def _measure_selection(self, selection: Any) -> tuple[int, int]:
        match selection:
            case FieldNode():
                depth, aliases = self.measure(selection.selection_set)
                return depth + 1, aliases + (selection.alias is not None)
            case InlineFragmentNode():
                return self.measure(selection.selection_set)
            case FragmentSpreadNode():
                return self._measure_fragment(selection.name.value)
        raise AssertionError(selection)

    def _measure_fragment(self, name: str) -> tuple[int, int]:
        if name not in self._measured:
            self._measured[name] = (0, 0)
            fragment = self._fragments.get(name)
            self._measured[name] = self.measure(fragment.selection_set if fragment else None)
        return self._measured[name]


class _NodeWalk:
    """Counts nodes: what stands below a list counts as often as the list can be long."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
        pages: PageLimits,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._variables = variables
        self._pages = pages
        self._counted: dict[tuple[str, int], int] = {}

    def count(self, selection_set: SelectionSetNode | None, parent: GraphQLNamedType | None, page: int) -> int:
        """The nodes below one object of the parent's type; `page` is its size where it is a connection."""
        selections = selection_set.selections if selection_set else ()
        return sum(self._count_selection(selection, parent, page) for selection in selections)

    def _count_selection(self, selection: Any, parent: GraphQLNamedType | None, page: int) -> int:
        match selection:
            case FieldNode():
                return self._count_field(selection, parent, page)
            case InlineFragmentNode():
                condition = selection.type_condition
                type_ = self._schema.get_type(condition.name.value) if condition else parent
                return self.count(selection.selection_set, type_, page)
            case FragmentSpreadNode():
                return self._count_fragment(selection.name.value, page)
        raise AssertionError(selection)

    def _count_fragment(self, name: str, page: int) -> int:
        key = name, page
        if key not in self._counted:
            fragment = self._fragments[name]
            type_ = self._schema.get_type(fragment.type_condition.name.value)
            self._counted[key] = self.count(fragment.selection_set, type_, page)
        return self._counted[key]

    def _count_field(self, node: FieldNode, parent: GraphQLNamedType | None, page: int) -> int:
        field = (
            parent.fields.get(node.name.value)
            if isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType))
            else None
        )
        if field is None or not is_composite_type(type_ := get_named_type(field.type)):
            return 0
        times = self._length(node, page) if _is_list(field.type) else 1
        below = self.count(node.selection_set, type_, self._page_size(node))
        return times * (_is_node(type_) + below)

    def _length(self, node: FieldNode, page: int) -> int:
        """How long a list can be: as its ids, or as the page it is part of."""
        for argument in node.arguments or ():
            if argument.name.value == "ids":
                return self._list_length(argument.value)
        return page

    def _list_length(self, value: ValueNode) -> int:
        if isinstance(value, VariableNode):
            given = self._variables.get(value.name.value)
            return len(given) if isinstance(given, list) else 1
        return len(value.values) if isinstance(value, ListValueNode) else 1

    def _page_size(self, node: FieldNode) -> int:
        sizes = [self._integer(a.value) for a in node.arguments or () if a.name.value in {"first", "last"}]
        asked = next((size for size in sizes if size is not None), self._pages.default)
        bounds = [size for size in (asked, self._pages.maximum) if size is not None]
        return max(0, min(bounds, default=1))

    def _integer(self, value: ValueNode) -> int | None:
        if isinstance(value, VariableNode):
            return self._variables.get(value.name.value)
        return int(value.value) if isinstance(value, IntValueNode) else None


def _is_list(type_: GraphQLOutputType) -> bool:
    return isinstance(get_nullable_type(type_), GraphQLList)


def _is_node(type_: GraphQLNamedType) -> bool:
    return type_.name == "Node" or any(i.name == "Node" for i in getattr(type_, "interfaces", ()))
