"""What a plan is: an operation as a tree of what is read, with every decision made that needs no values.

A leaf names the column that it comes from. An edge names the batch resolver that the interpreter would call, so there
is one truth of what a field reads. What a plan cannot say, the interpreter runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql.execution.values import VariableValues

from schema.batches import BatchResolver
from schema.cache import Cache
from schema.store import Column, Literal

AT_HAND = {"Organization", "Domain", "RateLimit", "ApiKey"}
"""The types whose records come with the caller or the request, and are not read."""

_WRITTEN_KEPT = 64

Arguments: TypeAlias = Callable[[VariableValues], Mapping[str, Any]]
"""From the operation's variables to the arguments of a field, by the resolver's names."""


@dataclass(frozen=True, slots=True)
class Same:
    """A field whose object is made from the same record as its parent."""

    object: "ObjectPlan"


@dataclass(frozen=True, slots=True)
class Edge:
    """A field that a batch resolver resolves.

    Attributes:
        parent_type: The type that has the field.
        field_name: Its name there.
        resolve: The batch resolver.
        arguments: What it is called with.
        needs: The columns of the parents that it reads.
        target: What it leads to: a list, or an object of one of some types.
        is_inlined: Whether the store can write it into what it writes of the parent.
        is_constant: Whether what it reads is the same for every request: no variable and no cursor is in it, nor below.
    """

    parent_type: str
    field_name: str
    resolve: BatchResolver
    arguments: Arguments
    needs: tuple[str, ...]
    target: "ListPlan | ObjectsPlan"
    is_inlined: bool = False
    is_constant: bool = False


Member: TypeAlias = Column | Literal | Same | Edge


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """The members of an object, in the order of the response.

    Attributes:
        type_name: The type of the object.
        members: Its members, by key.
        has_lists: Whether there are lists in it.
        is_written: Whether the store can write it, and all below it, as JSON.
        is_constant: Whether what is read for it, and for all below it, is the same for every request.
        is_settled: Whether that is a part of what is read for the object itself, so that nothing is left to a request.
    """

    type_name: str
    members: tuple[tuple[str, Member], ...]
    has_lists: bool = field(init=False)
    is_written: bool = field(init=False)
    is_constant: bool = field(init=False)
    is_settled: bool = field(init=False)

    def __post_init__(self) -> None:
        """Find out once what is asked of it for every request."""
        members = [member for _, member in self.members]
        object.__setattr__(self, "has_lists", any(_has_lists(member) for member in members))
        is_stored = self.type_name not in AT_HAND
        object.__setattr__(self, "is_written", is_stored and all(_is_written(member) for member in members))
        object.__setattr__(self, "is_constant", all(_is_constant(member) for member in members))
        object.__setattr__(self, "is_settled", self.is_constant and (self.is_written or not self.has_lists))


@dataclass(frozen=True, slots=True)
class ObjectsPlan:
    """An object of one of several types, or a list of such objects.

    Attributes:
        by_type: The plan for each type that it may be of.
        is_list: Whether the field is a list of them.
        is_settled: Whether nothing of what is read for them is left to a request.
    """

    by_type: Mapping[str, ObjectPlan]
    is_list: bool = False
    is_settled: bool = field(init=False)

    def __post_init__(self) -> None:
        """Find out once what is asked of it for every request."""
        object.__setattr__(self, "is_settled", all(plan.is_settled for plan in self.by_type.values()))


@dataclass(frozen=True, slots=True)
class Cursor:
    """The cursor of an edge."""


@dataclass(frozen=True, slots=True)
class NodesPart:
    """The nodes of a page, bare or in edges.

    Attributes:
        node: The plan for each of them; None where edges are asked for cursors alone.
        edge: The members of an edge: its cursor, its node (None), or a text. None where the nodes are bare.
    """

    node: ObjectPlan | None
    edge: tuple[tuple[str, Cursor | Literal | None], ...] | None = None


@dataclass(frozen=True, slots=True)
class PageInfoPart:
    """What lies around a page: a property of the listing, or a text, by key."""

    members: tuple[tuple[str, str | Literal], ...]


@dataclass(frozen=True, slots=True)
class TotalPart:
    """How many records the whole list has."""


ListPart: TypeAlias = NodesPart | PageInfoPart | TotalPart | Literal


@dataclass(frozen=True, slots=True)
class ListPlan:
    """What is asked of a connection.

    Attributes:
        parts: Its members, in the order of the response.
        is_written: Whether the store can write all of it as JSON.
    """

    parts: tuple[tuple[str, ListPart], ...]
    is_written: bool

    @property
    def is_constant(self) -> bool:
        """Whether what is read for it, and for all below it, is the same for every request."""
        nodes = (part.node for _, part in self.parts if isinstance(part, NodesPart))
        return all(node is None or node.is_constant for node in nodes)


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation: its root fields, in the order of the response.

    Attributes:
        roots: The root fields, by key.
        written: What is bound of it once for all requests: what the store writes and no request changes.
    """

    roots: tuple[tuple[str, Edge | Literal], ...]
    written: Cache[Any, Any] = field(default_factory=lambda: Cache(_WRITTEN_KEPT), compare=False)


def is_written_part(part: ListPart) -> bool:
    """Whether the store can write a part of a list as JSON: cursors it cannot."""
    match part:
        case NodesPart():
            has_cursor = any(isinstance(member, Cursor) for _, member in part.edge or ())
            return part.node is not None and not has_cursor and part.node.is_written
        case PageInfoPart():
            return False
    return True


def _has_lists(member: Member) -> bool:
    return isinstance(member, Edge) or (isinstance(member, Same) and member.object.has_lists)


def _is_written(member: Member) -> bool:
    match member:
        case Same():
            return member.object.is_written
        case Edge():
            return member.is_inlined
    return True


def _is_constant(member: Member) -> bool:
    match member:
        case Same():
            return member.object.is_constant
        case Edge():
            return member.is_constant
    return True
