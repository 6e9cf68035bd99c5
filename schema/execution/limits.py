"""What an operation may be at most; its shape is measured in one walk in which every fragment is walked once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    """The ceilings.

    Attributes:
        tokens: Lexical tokens of a document.
        depth: Fields inside fields.
        aliases: Aliases of an operation, a fragment's as often as it is spread.
        nodes: Nodes that an operation can return, by the sizes of its pages.
        points: What an operation can cost, by the weights of the schema.
    """

    tokens: int = 2000
    depth: int = 15
    aliases: int = 30
    nodes: int = 100_000
    points: int = 200_000


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


def check_cost(cost: Cost, limits: Limits) -> None:
    """Refuse an operation that can return too many nodes, or cost too much.

    Raises:
        OperationTooCostly: it can; the message says how much and how much would be taken.
    """
    _check("nodes", cost.nodes, limits.nodes)
    _check("points", cost.points, limits.points)


_WORDS = {
    "deep": "The operation is {found} fields deep; at most {ceiling} are taken.",
    "aliases": "The operation has {found} aliases; at most {ceiling} are taken.",
    "nodes": "The operation can return {found} nodes; at most {ceiling} are taken. Ask for smaller pages.",
    "points": "The operation can cost {found} points; at most {ceiling} are taken. Ask for smaller pages.",
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
