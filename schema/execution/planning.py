"""From a document to a plan, and the only place that decides what is not planned.

Declined are: operations other than queries; introspection; directives other than `@include` and `@skip`; and an edge's
node under two names. Declined operations are interpreted.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Undefined,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_specified_scalar_type,
)
from graphql.execution.values import VariableValues, get_argument_values, get_directive_values
from graphql.type import GraphQLIncludeDirective, GraphQLSkipDirective
from strawberry import Schema
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from schema.batches import BATCH, NEEDS, SAME
from schema.budget import RateLimit
from schema.execution.plan import (
    Arguments,
    Cursor,
    Edge,
    ListPart,
    ListPlan,
    Member,
    NodesPart,
    ObjectPlan,
    ObjectsPlan,
    PageInfoPart,
    Plan,
    Same,
    TotalPart,
    is_written_part,
)
from schema.execution.variables import has_variables, varies
from schema.records import RECORDS, Kind
from schema.store import Column, Literal
from schema.types.api_key import ApiKey

_DEFINITION = "strawberry-definition"
_MOST_WRITTEN = 24
"""The maximum number of list parts that the store writes. Each is a subquery in a statement that contains the response
keys, so the statement can hardly be shared and takes long to compile. Any more parts are read level by level."""
_STORED = {Kind.LEAK, Kind.RESOURCE, Kind.USER, Kind.ENDPOINT}
_KINDS = {record.__name__: kind for kind, record in RECORDS.items()}
_RECORDS: Mapping[str, type] = {record.__name__: record for record in (*RECORDS.values(), RateLimit, ApiKey)}


class Declined(Exception):
    """The operation cannot be planned; the interpreter runs it."""


class Planner:
    """Plans the operations of a schema."""

    def __init__(self, schema: Schema, graphql_schema: GraphQLSchema) -> None:
        self._strawberry = schema
        self._schema = graphql_schema

    def plan_or_decline(
        self,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: VariableValues,
    ) -> Plan | Declined:
        """The plan of a valid operation, for these values of the variables used in `@include` and `@skip`."""
        if operation.operation is not OperationType.QUERY or operation.directives:
            return Declined()
        try:
            return _Planning(self._strawberry, self._schema, fragments, variables).plan(operation)
        except Declined as declined:
            return declined


class _Planning:
    def __init__(
        self,
        schema: Schema,
        graphql_schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: VariableValues,
    ) -> None:
        self._strawberry = schema
        self._schema = graphql_schema
        self._fragments = fragments
        self._variables = variables
        self._leak_lists = 0
        self._written = 0

    def plan(self, operation: OperationDefinitionNode) -> Plan:
        query = self._schema.query_type
        assert query is not None  # noqa: S101 - the schema has one
        roots: list[tuple[str, Edge | Literal]] = []
        for key, nodes in self._fields([operation.selection_set], query).items():
            member = self._member(query, nodes)
            if not isinstance(member, (Edge, Literal)):
                raise Declined
            roots.append((key, member))
        return Plan(tuple(roots))

    # ------------------------------------------------------------- selections

    def _fields(
        self, selection_sets: Iterable[SelectionSetNode | None], type_: GraphQLObjectType
    ) -> dict[str, list[FieldNode]]:
        """The fields of an object by response key (GraphQL, section 6.3.2: CollectFields)."""
        fields: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        for selection_set in selection_sets:
            if selection_set is not None:
                self._collect(selection_set, type_, fields, spread)
        return fields

    def _collect(
        self,
        selection_set: SelectionSetNode,
        type_: GraphQLObjectType,
        fields: dict[str, list[FieldNode]],
        spread: set[str],
    ) -> None:
        for selection in selection_set.selections:
            if not self._is_included(selection):
                continue
            match selection:
                case FieldNode():
                    key = (selection.alias or selection.name).value
                    fields.setdefault(key, []).append(selection)
                case InlineFragmentNode():
                    if self._applies(selection.type_condition, type_):
                        self._collect(selection.selection_set, type_, fields, spread)
                case FragmentSpreadNode():
                    self._collect_spread(selection.name.value, type_, fields, spread)

    def _collect_spread(
        self, name: str, type_: GraphQLObjectType, fields: dict[str, list[FieldNode]], spread: set[str]
    ) -> None:
        if name not in spread:
            spread.add(name)
            fragment = self._fragments[name]
            if self._applies(fragment.type_condition, type_):
                self._collect(fragment.selection_set, type_, fields, spread)

    def _applies(self, condition: Any, type_: GraphQLObjectType) -> bool:
        if condition is None:
            return True
        wanted = self._schema.get_type(condition.name.value)
        return wanted is type_ or (isinstance(wanted, GraphQLInterfaceType) and wanted in type_.interfaces)

    def _is_included(self, node: Any) -> bool:
        for directive in node.directives or ():
            if directive.name.value not in {"include", "skip"}:
                raise Declined
        skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
        return not (skip and skip["if"]) and not (include and not include["if"])

    # ---------------------------------------------------------------- objects

    def _object(self, type_: GraphQLObjectType, nodes: Sequence[FieldNode]) -> ObjectPlan:
        fields = self._fields([node.selection_set for node in nodes], type_)
        return ObjectPlan(type_.name, tuple((key, self._member(type_, found)) for key, found in fields.items()))

    def _member(self, type_: GraphQLObjectType, nodes: Sequence[FieldNode]) -> Member:
        name = nodes[0].name.value
        if name == "__typename":
            return Literal(type_.name)
        field = type_.fields.get(name)
        if field is None:
            raise Declined  # __schema and __type
        definition: StrawberryField = field.extensions[_DEFINITION]
        resolve = definition.metadata.get(BATCH)
        if resolve is None:
            return _leaf(type_, field, definition)
        target = get_named_type(field.type)
        if definition.metadata.get(SAME):
            return Same(self._object(_object_type(target), nodes))
        arguments = self._arguments(field, definition, nodes[0])
        plan = self._target(field, target, nodes)
        return Edge(
            type_.name,
            name,
            resolve,
            arguments,
            definition.metadata[NEEDS],
            plan,
            is_inlined=self._is_inlined(type_, plan) and not _is_filtered(nodes[0]),
            is_constant=isinstance(plan, ListPlan) and not varies(nodes[0]) and plan.is_constant,
        )

    def _is_inlined(self, type_: GraphQLObjectType, plan: ListPlan | ObjectsPlan) -> bool:
        """Whether a list is written as a part of its parent, once for each, provided that it is not filtered.

        The same nodes recur in a list of leaks, so their leaks are read once, in a level of their own. A filter has
        many possible access paths and needs its own statement.
        """
        is_of_leak = type_.name == "Connections"
        return isinstance(plan, ListPlan) and plan.is_written and (is_of_leak or not self._leak_lists)

    def _target(
        self, field: GraphQLField, target: GraphQLNamedType, nodes: Sequence[FieldNode]
    ) -> ListPlan | ObjectsPlan:
        if target.name.endswith("Connection"):
            return self._list(_object_type(target), nodes)
        types = self._schema.get_possible_types(target) if isinstance(target, GraphQLInterfaceType) else [target]
        if any(type_.name not in _RECORDS for type_ in types):
            raise Declined
        plans = {type_.name: self._object(_object_type(type_), nodes) for type_ in types}
        return ObjectsPlan(plans, isinstance(get_nullable_type(field.type), GraphQLList))

    def _arguments(self, field: GraphQLField, definition: StrawberryField, node: FieldNode) -> Arguments:
        """A function from variables to arguments; they are computed only once if they have no variables."""
        converter, config = self._strawberry.schema_converter, self._strawberry.config
        names = {config.name_converter.from_argument(one): one.python_name for one in definition.arguments}

        def arguments(variables: VariableValues) -> Mapping[str, Any]:
            values = get_argument_values(field, node, variables, hide_suggestions=True)
            return convert_arguments(values, definition.arguments, converter.scalar_registry, config)

        if not has_variables(node):
            constant = arguments(self._variables)
            return lambda _: constant
        plain = {
            names[argument.name.value]: argument.value.name.value
            for argument in node.arguments or ()
            if isinstance(argument.value, VariableNode) and _is_plain(field.args[argument.name.value].type)
        }
        if len(plain) != len(node.arguments or ()) or any(_has_default(one) for one in field.args.values()):
            return arguments

        required = [names[name] for name, argument in field.args.items() if isinstance(argument.type, GraphQLNonNull)]

        def plain_arguments(variables: VariableValues) -> Mapping[str, Any]:
            """The arguments, with built-in scalars unchanged; Strawberry converts the others."""
            coerced = variables.coerced
            try:
                given = {name: coerced[variable] for name, variable in plain.items()}
            except KeyError:
                return arguments(variables)
            if any([given[name] is None for name in required]):  # noqa: C419 - a list is made for less
                return arguments(variables)
            return given

        return plain_arguments

    # ------------------------------------------------------------------ lists

    def _list(self, type_: GraphQLObjectType, nodes: Sequence[FieldNode]) -> ListPlan:
        fields = self._fields([node.selection_set for node in nodes], type_)
        is_of_leaks = type_.name == "LeakConnection"
        self._leak_lists += is_of_leaks
        parts = tuple((key, self._part(type_, found)) for key, found in fields.items())
        self._leak_lists -= is_of_leaks
        is_stored = _KINDS.get(type_.name.removesuffix("Connection")) in _STORED
        return ListPlan(parts, is_stored and all(is_written_part(part) for _, part in parts) and self._is_room(parts))

    def _is_room(self, parts: Sequence[tuple[str, ListPart]]) -> bool:
        """Whether the store may write these parts in addition; if so, they are counted."""
        more = sum(not isinstance(part, Literal) for _, part in parts)
        if self._written + more > _MOST_WRITTEN:
            return False
        self._written += more
        return True

    def _part(self, type_: GraphQLObjectType, nodes: Sequence[FieldNode]) -> ListPart:
        name = nodes[0].name.value
        if name == "__typename":
            return Literal(type_.name)
        if name == "totalCount":
            return TotalPart()
        target = _object_type(get_named_type(type_.fields[name].type))
        if name == "pageInfo":
            return self._page_info(target, nodes)
        return NodesPart(self._object(target, nodes)) if name == "nodes" else self._edges(target, nodes)

    def _page_info(self, type_: GraphQLObjectType, nodes: Sequence[FieldNode]) -> PageInfoPart:
        fields = self._fields([node.selection_set for node in nodes], type_)
        return PageInfoPart(tuple((key, _property(type_, found[0])) for key, found in fields.items()))

    def _edges(self, type_: GraphQLObjectType, nodes: Sequence[FieldNode]) -> NodesPart:
        fields = self._fields([node.selection_set for node in nodes], type_)
        members: list[tuple[str, Cursor | Literal | None]] = []
        node_fields: list[FieldNode] = []
        for key, found in fields.items():
            match found[0].name.value:
                case "cursor":
                    members.append((key, Cursor()))
                case "__typename":
                    members.append((key, Literal(type_.name)))
                case _ if node_fields:
                    raise Declined  # the node twice under two names
                case _:
                    node_fields = found
                    members.append((key, None))
        node_type = _object_type(get_named_type(type_.fields["node"].type))
        return NodesPart(self._object(node_type, node_fields) if node_fields else None, tuple(members))


def _is_filtered(node: FieldNode) -> bool:
    return any(argument.name.value == "filter" for argument in node.arguments or ())


def _property(type_: GraphQLObjectType, node: FieldNode) -> str | Literal:
    if node.name.value == "__typename":
        return Literal(type_.name)
    definition: StrawberryField = type_.fields[node.name.value].extensions[_DEFINITION]
    return definition.python_name


def _is_plain(type_: GraphQLInputType) -> bool:
    """Whether a resolver takes values of a type unchanged: a built-in scalar, or a list of them."""
    return is_specified_scalar_type(get_named_type(type_))


def _has_default(argument: GraphQLArgument) -> bool:
    return argument.default is not None or argument.default_value is not Undefined


def _leaf(type_: GraphQLObjectType, field: GraphQLField, definition: StrawberryField) -> Column | Literal:
    """A column of the record, which may be a list, or a literal that is the same for all records of the type."""
    if not is_leaf_type(get_named_type(field.type)):
        raise Declined
    record = _RECORDS[type_.name]
    constant = record.__dict__.get(definition.python_name)
    if isinstance(constant, str):
        return Literal(constant)
    return Column(definition.python_name, as_name=isinstance(get_named_type(field.type), GraphQLEnumType))


def _object_type(type_: Any) -> GraphQLObjectType:
    assert isinstance(type_, GraphQLObjectType)  # noqa: S101 - the caller has seen to it
    return type_
