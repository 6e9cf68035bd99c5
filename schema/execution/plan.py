"""Plans: an operation as a tree of reads, with every decision made that does not depend on values.

A leaf names its column. An edge names the batch resolver that the interpreter would call, so what a field reads is
defined only once. Operations that a plan cannot express are run by the interpreter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql.execution.values import VariableValues

from schema.batches import BatchResolver
from schema.cache import Cache
from schema.store import Column, Literal

AT_HAND = {"Organization", "Domain", "RateLimit", "ApiKey"}
"""The types whose records come with the caller or the request, and need no read."""

_WRITTEN_KEPT = 64

Arguments: TypeAlias = Callable[[VariableValues], Mapping[str, Any]]
"""A function from the operation's variables to a field's arguments, by the resolver's parameter names."""


@dataclass(frozen=True, slots=True)
class Same:
    """A field whose object is built from the same record as its parent."""

    object: "ObjectPlan"


@dataclass(frozen=True, slots=True)
class Edge:
    """A field that a batch resolver resolves.

    Attributes:
        parent_type: The type that has the field.
        field_name: Its name there.
        resolve: The batch resolver.
        arguments: The resolver's arguments.
        needs: The columns that it reads from the parents.
        target: What it returns: a list, or an object of one of several types.
        is_inlined: Whether the store can write it as a part of its parent.
        is_constant: Whether it reads the same for every request: neither it nor a field below has a variable or cursor.
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
        has_lists: Whether it contains lists.
        is_written: Whether the store can write it, and everything below it, as JSON.
        is_constant: Whether the reads for it, and for everything below it, are the same for every request.
        is_settled: Whether they are also a part of the read for the object itself, so that a request adds nothing.
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
        by_type: The plan for each possible type.
        is_list: Whether the field is a list of them.
        is_settled: Whether a request adds nothing to what is read for them.
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
    """The nodes of a page, directly or in edges.

    Attributes:
        node: The plan for each node; None if only the cursors of edges are requested.
        edge: The members of an edge: its cursor, its node (None), or a text. None if the nodes are not in edges.
    """

    node: ObjectPlan | None
    edge: tuple[tuple[str, Cursor | Literal | None], ...] | None = None


@dataclass(frozen=True, slots=True)
class PageInfoPart:
    """The page info: for each key, a property of the listing or a text."""

    members: tuple[tuple[str, str | Literal], ...]


@dataclass(frozen=True, slots=True)
class TotalPart:
    """The number of records in the whole list."""


ListPart: TypeAlias = NodesPart | PageInfoPart | TotalPart | Literal


@dataclass(frozen=True, slots=True)
class ListPlan:
    """What is requested of a connection.

    Attributes:
        parts: Its members, in the order of the response.
        is_written: Whether the store can write it completely as JSON.
    """

    parts: tuple[tuple[str, ListPart], ...]
    is_written: bool

    @property
    def is_constant(self) -> bool:
        """Whether the reads for it, and for everything below it, are the same for every request."""
        nodes = (part.node for _, part in self.parts if isinstance(part, NodesPart))
        return all(node is None or node.is_constant for node in nodes)


@dataclass(frozen=True, slots=True)
class Plan:
    """An operation: its root fields, in the order of the response.

    Attributes:
        roots: The root fields, by key.
        written: Bound parts that are the same for all requests.
    """

    roots: tuple[tuple[str, Edge | Literal], ...]
    written: Cache[Any, Any] = field(default_factory=lambda: Cache(_WRITTEN_KEPT), compare=False)


def is_written_part(part: ListPart) -> bool:
    """Whether the store can write a part of a list as JSON, which it cannot for cursors."""
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
