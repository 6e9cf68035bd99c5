"""The limits on an operation; its shape is measured in one walk that visits each fragment once."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from schema.budget import Cost
from schema.errors import OperationTooCostly


@dataclass(frozen=True, slots=True)
class Limits:
    """The maximum of each measure.

    Attributes:
        tokens: Lexical tokens of a document.
        depth: Levels of nested fields.
        aliases: Aliases of an operation, counting a fragment's each time it is spread.
        directives: Directives of an operation, counted in the same way.
        selections: Fields, inline fragments and spreads of an operation, counted in the same way.
        repeats: Selections that are merged into one: with the same response key, or spreads, in one place.
        root_fields: Root fields of an operation, by response key.
        nodes: Nodes that an operation can return, by the sizes of its pages.
        values: Field values that an operation can return.
        points: The cost of an operation, by the weights of the schema.
        variable_depth: Levels of nested lists and objects in the variables.
        variable_length: Items of a list, or members of an object, in the variables.
    """

    tokens: int = 2000
    depth: int = 15
    aliases: int = 30
    directives: int = 50
    selections: int = 1000
    repeats: int = 50
    root_fields: int = 30
    nodes: int = 100_000
    values: int = 1_000_000
    points: int = 200_000
    variable_depth: int = 8
    variable_length: int = 1000


UNLIMITED = Limits(*[sys.maxsize] * len(fields(Limits)))
"""For the gateway's own operations."""


def check_shape(
    operations: Iterable[OperationDefinitionNode], fragments: Mapping[str, FragmentDefinitionNode], limits: Limits
) -> None:
    """Refuse a document that is too deep or too large with its fragments spread; it need not be validated yet.

    Raises:
        OperationTooCostly: it is; the message states its size and the limit.
    """
    walk = _ShapeWalk(fragments)
    for operation in operations:
        depth, aliases, directives, selections = walk.measure(operation)
        _check("deep", depth, limits.depth)
        _check("aliases", aliases, limits.aliases)
        _check("directives", directives, limits.directives)
        _check("selections", selections, limits.selections)


def check_merging(
    operations: Iterable[OperationDefinitionNode], fragments: Mapping[str, FragmentDefinitionNode], limits: Limits
) -> None:
    """Refuse a document in which too many selections are merged into one, because merging compares each with each.

    Its shape must have been checked, and its fragments must be defined and not circular.

    Raises:
        OperationTooCostly: there are too many; the message states the number and the limit.
    """
    for operation in operations:
        counts: Counter[_Place] = Counter()
        _count_merged(operation.selection_set, (), fragments, counts)
        _check("repeats", max(counts.values(), default=0), limits.repeats)
        _check("root fields", sum(len(place) == 1 and place != _SPREADS for place in counts), limits.root_fields)


def check_variables(variables: Mapping[str, Any], limits: Limits) -> None:
    """Refuse variables that are nested too deep or too long.

    Raises:
        OperationTooCostly: they are; the message states their size and the limit.
    """
    for value in variables.values():
        if isinstance(value, _NESTED):
            _check_nested(value, 1, limits)


_NESTED = (list, dict)


def _check_nested(value: Any, depth: int, limits: Limits) -> None:
    _check("variables", depth, limits.variable_depth)
    _check("items", len(value), limits.variable_length)
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, _NESTED):
            _check_nested(inner, depth + 1, limits)


def check_cost(cost: Cost, limits: Limits) -> None:
    """Refuse an operation that can return too many nodes or values, or cost too much.

    Raises:
        OperationTooCostly: it can; the message states the amount and the limit.
    """
    _check("nodes", cost.nodes, limits.nodes)
    _check("values", cost.values, limits.values)
    _check("points", cost.points, limits.points)


def check_interpreted(cost: Cost, limits: Limits) -> None:
    """Refuse an operation that costs too much because it is not planned.

    Raises:
        OperationTooCostly: it does; the message states its cost and the limit.
    """
    _check("interpreted", cost.points, limits.points)


_WORDS = {
    "deep": "The operation is {found} fields deep; at most {ceiling} are taken.",
    "nested": "The operation has {found} selection sets inside each other, or more; at most {ceiling} are taken.",
    "aliases": "The operation has {found} aliases; at most {ceiling} are taken.",
    "directives": "The operation has {found} directives; at most {ceiling} are taken.",
    "selections": "The operation has {found} selections, its fragments spread; at most {ceiling} are taken.",
    "repeats": "The operation asks for the same {found} times at one place; at most {ceiling} are taken.",
    "root fields": "The operation has {found} fields at its root; at most {ceiling} are taken.",
    "variables": "The variables are {found} lists and objects deep; at most {ceiling} are taken.",
    "items": "A list or an object in the variables has {found} items; at most {ceiling} are taken.",
    "nodes": "The operation can return {found} nodes; at most {ceiling} are taken. Ask for smaller pages.",
    "values": "The operation can return {found} values; at most {ceiling} are taken. Ask for smaller pages.",
    "interpreted": "The operation cannot be planned, and can cost {found} points without that; at most {ceiling} are"
    " taken. Ask for introspection by itself, for an edge's node once, or for smaller pages.",
    "points": "The operation can cost {found} points; at most {ceiling} are taken. Ask for smaller pages.",
}


def _check(what: str, found: int, ceiling: int) -> None:
    if found > ceiling:
        raise OperationTooCostly(_WORDS[what].format(found=found, ceiling=ceiling))


_Shape = tuple[int, int, int, int]
"""Depth, aliases, directives, selections."""

_NOTHING: _Shape = (0, 0, 0, 0)
_MOST_NESTED = 100
"""Maximum nesting of selection sets, fragments spread: walking them recurses as deep."""


class _ShapeWalk:
    """Measures definitions; unknown and circular fragments count as empty, since validation refuses them."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._measured: dict[str, _Shape] = {}
        self._level = 0

    def measure(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> _Shape:
        depth, aliases, directives, selections = self._measure_set(definition.selection_set)
        own = sum(len(each.directives or ()) for each in (definition, *(definition.variable_definitions or ())))
        return depth, aliases, directives + own, selections

    def _measure_set(self, selection_set: SelectionSetNode | None) -> _Shape:
        if selection_set is None:
            return _NOTHING
        self._level += 1
        _check("nested", self._level, _MOST_NESTED)
        shape = self._measure_selections(selection_set)
        self._level -= 1
        return shape

    def _measure_selections(self, selection_set: SelectionSetNode) -> _Shape:
        depth = aliases = directives = selections = 0
        for selection in selection_set.selections:
            below, more_aliases, more_directives, more = self._measure_selection(selection)
            depth, aliases = max(depth, below), aliases + more_aliases
            directives += more_directives + len(selection.directives or ())
            selections += more + 1
        return depth, aliases, directives, selections

    def _measure_selection(self, selection: Any) -> _Shape:
        match selection:
            case FieldNode():
                depth, aliases, directives, selections = self._measure_set(selection.selection_set)
                return depth + 1, aliases + (selection.alias is not None), directives, selections
            case InlineFragmentNode():
                return self._measure_set(selection.selection_set)
            case FragmentSpreadNode():
                return self._measure_fragment(selection.name.value)
        raise AssertionError(selection)

    def _measure_fragment(self, name: str) -> _Shape:
        if name not in self._measured:
            self._measured[name] = _NOTHING
            fragment = self._fragments.get(name)
            self._measured[name] = self.measure(fragment) if fragment else _NOTHING
        return self._measured[name]


_Place = tuple[str, ...]
"""The response keys from the root."""

_SPREADS = ("...",)


def _count_merged(
    selection_set: SelectionSetNode | None,
    place: _Place,
    fragments: Mapping[str, FragmentDefinitionNode],
    counts: Counter[_Place],
) -> None:
    for selection in selection_set.selections if selection_set else ():
        match selection:
            case FieldNode():
                key = (*place, (selection.alias or selection.name).value)
                counts[key] += 1
                _count_merged(selection.selection_set, key, fragments, counts)
            case InlineFragmentNode():
                _count_merged(selection.selection_set, place, fragments, counts)
            case FragmentSpreadNode():
                counts[place + _SPREADS] += 1
                _count_merged(fragments[selection.name.value].selection_set, place, fragments, counts)
