"""The maximum cost of an operation, calculated before anything is read, in one walk that visits each fragment once.

The weights are those that the schema publishes as `@cost`; the cost below a list is multiplied by the maximum length of
the list. Fields excluded by `@include` and `@skip` count too.
"""

from collections.abc import Mapping
from functools import lru_cache
from math import ceil
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_object_type,
)

from schema.budget import Cost
from schema.pages import PageLimits
from schema.types.directives import Cost as CostDirective
from schema.types.directives import find_directive

OPERATION = Cost(work=1)
"""The base cost of every operation."""

INTROSPECTION = 100
"""The minimum for `__schema` and `__type`: they read nothing, but return a lot."""

_CHARACTERS_A_POINT = 20
"""Characters of a document per point: parsing and validating the largest documents takes 50 to 100 ms, in which other
operations return thousands of objects."""

_WRAPPED = 0.5
"""The average number of types wrapped in a type."""

INTERPRETED = 50
"""The factor for objects of an interpreted operation, which take that much longer."""

_NOTHING = Cost()
_VALUE = Cost(values=1)
_DEFINITION = "strawberry-definition"


def reading_cost(text: str, most: int) -> Cost:
    """The cost of parsing and validating a document, at most so many points; a refused document costs nothing else."""
    return Cost(work=min(1 + len(text) // _CHARACTERS_A_POINT, most))


def cost_of(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, Any],
    pages: PageLimits,
) -> Cost:
    """The maximum cost of a valid operation."""
    root = schema.get_root_type(operation.operation)
    return OPERATION.plus(_Walk(schema, fragments, variables, pages).measure(operation.selection_set, root, 1))


def interpreted(cost: Cost) -> Cost:
    """The maximum cost of an operation if it is interpreted, from its cost if planned."""
    return cost._replace(objects=cost.objects * INTERPRETED)


def weighted_inputs(schema: GraphQLSchema) -> frozenset[str]:
    """The names of input fields that have a weight, and of the arguments that can contain one."""
    types = [type_ for type_ in schema.type_map.values() if isinstance(type_, GraphQLInputObjectType)]
    weighed = {name for type_ in types for name, field in type_.fields.items() if _weight(field, 0)}
    holders = {type_.name for type_ in types if weighed.intersection(type_.fields)}
    fields = (field for type_ in schema.type_map.values() for field in getattr(type_, "fields", {}).values())
    arguments = (item for field in fields for item in getattr(field, "args", {}).items())
    return frozenset(weighed | {name for name, argument in arguments if get_named_type(argument.type).name in holders})


class _Walk:
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
        self._measured: dict[tuple[str, int], Cost] = {}
        self._introspected_fragments: dict[str, float] = {}

    def measure(self, selection_set: SelectionSetNode | None, parent: GraphQLNamedType | None, page: int) -> Cost:
        """The cost below one object of type `parent`; `page` is its page size if it is a connection."""
        cost = _NOTHING
        for selection in selection_set.selections if selection_set else ():
            cost = cost.plus(self._selection(selection, parent, page))
        return cost

    def _selection(self, selection: Any, parent: GraphQLNamedType | None, page: int) -> Cost:
        match selection:
            case FieldNode():
                return self._field(selection, parent, page)
            case InlineFragmentNode():
                condition = selection.type_condition
                type_ = self._schema.get_type(condition.name.value) if condition else parent
                return self.measure(selection.selection_set, type_, page)
            case FragmentSpreadNode():
                return self._fragment(selection.name.value, page)
        raise AssertionError(selection)

    def _fragment(self, name: str, page: int) -> Cost:
        key = name, page
        if key not in self._measured:
            fragment = self._fragments[name]
            type_ = self._schema.get_type(fragment.type_condition.name.value)
            self._measured[key] = self.measure(fragment.selection_set, type_, page)
        return self._measured[key]

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None, page: int) -> Cost:
        if node.name.value in {"__schema", "__type"}:
            return Cost(work=max(INTROSPECTION, ceil(self._introspected(node.selection_set))))
        field = (
            parent.fields.get(node.name.value)
            if isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType))
            else None
        )
        if field is None:
            return _VALUE  # __typename
        work = Cost(work=_weight(field, 0) + self._arguments(node, field))
        type_ = get_named_type(field.type)
        return work.plus(self._objects(node, field, type_, page) if is_composite_type(type_) else _VALUE)

    def _objects(self, node: FieldNode, field: GraphQLField, type_: GraphQLNamedType, page: int) -> Cost:
        times = self._length(node, page) if _is_list(field.type) else 1
        weight = _weight(type_, 1)
        own = Cost(nodes=int(_is_node(type_)), objects=weight, sought=weight if _is_by_ids(node) else 0)
        return own.plus(self.measure(node.selection_set, type_, self._page_size(node))).times(times)

    def _introspected(self, selection_set: SelectionSetNode | None) -> float:
        """How many objects introspection returns below one of its objects, assuming lists of average length."""
        return sum(map(self._introspected_by, selection_set.selections)) if selection_set else 0.0

    def _introspected_by(self, selection: Any) -> float:
        match selection:
            case FieldNode(selection_set=None):
                return 0.0
            case FieldNode():
                length = _introspection_lengths(self._schema).get(selection.name.value, 1.0)
                return length * (1 + self._introspected(selection.selection_set))
            case FragmentSpreadNode():
                name = selection.name.value
                if name not in self._introspected_fragments:
                    found = self._introspected(self._fragments[name].selection_set)
                    self._introspected_fragments[name] = found
                return self._introspected_fragments[name]
        return self._introspected(selection.selection_set)

    # --------------------------------------------------------------- arguments

    def _arguments(self, node: FieldNode, field: GraphQLField) -> int:
        return sum(self._value(a.value, field.args[a.name.value].type) for a in node.arguments or ())

    def _value(self, value: ValueNode, type_: GraphQLInputType) -> int:
        """The total weight of the input fields in a value; a null field counts as omitted."""
        named = get_named_type(type_)
        if not isinstance(named, GraphQLInputObjectType):
            return 0
        if isinstance(value, VariableNode):
            value_given = self._variables.get(value.name.value) or {}
            given = {name for name, inner in value_given.items() if inner is not None}
        else:
            given = {one.name.value for one in getattr(value, "fields", ()) if not self._is_null(one.value)}
        return sum(_weight(named.fields[name], 0) for name in given)

    def _is_null(self, value: ValueNode) -> bool:
        if isinstance(value, VariableNode):
            return self._variables.get(value.name.value) is None
        return isinstance(value, NullValueNode)

    def _length(self, node: FieldNode, page: int) -> int:
        """The maximum length of a list: the number of its ids, or the page size of its connection."""
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


def _weight(defined: Any, default: int) -> int:
    """The weight of a type, a field or an input field, from its directive."""
    definition = defined.extensions.get(_DEFINITION)
    directive = find_directive(getattr(definition, "directives", None) or (), CostDirective)
    return int(directive.weight) if directive is not None else default


@lru_cache
def _introspection_lengths(schema: GraphQLSchema) -> Mapping[str, float]:
    """The average lengths of introspection lists, by field name."""
    types = schema.type_map.values()
    inputs = [field for type_ in types if is_input_object_type(type_) for field in type_.fields]
    objects = [type_ for type_ in types if is_object_type(type_) or is_interface_type(type_)]
    fields = [field for type_ in objects for field in type_.fields.values()]
    lists = {
        "fields": len(fields),
        "inputFields": len(inputs),
        "enumValues": sum(len(type_.values) for type_ in types if is_enum_type(type_)),
        "interfaces": sum(len(type_.interfaces) for type_ in objects),
        "possibleTypes": sum(len(schema.get_possible_types(type_)) for type_ in types if is_abstract_type(type_)),
    }
    return {
        **{name: length / len(types) for name, length in lists.items()},
        "types": len(types),
        "directives": len(schema.directives),
        "args": sum(len(field.args) for field in fields) / len(fields),
        "ofType": _WRAPPED,
    }


def _is_by_ids(node: FieldNode) -> bool:
    """Whether a field returns one item per requested id, null for those that do not exist."""
    return any(argument.name.value == "ids" for argument in node.arguments or ())


def _is_list(type_: GraphQLOutputType) -> bool:
    return isinstance(get_nullable_type(type_), GraphQLList)


def _is_node(type_: GraphQLNamedType) -> bool:
    return type_.name == "Node" or any(i.name == "Node" for i in getattr(type_, "interfaces", ()))
