"""From a plan to the reads of one request: arguments are checked, the scope is applied, and every page is determined.

The resolver of a list is called once, with a stand-in for its parents, before anything is read: whether it raises
depends on its arguments alone. If it does, the operation is left to the interpreter, which reports each error at
its own place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from graphql.execution.values import VariableValues

from schema.batches import Batch, Branch, Call, Request
from schema.cache import Cache
from schema.execution.plan import (
    AT_HAND,
    Edge,
    ListPart,
    ListPlan,
    Member,
    NodesPart,
    ObjectPlan,
    ObjectsPlan,
    Plan,
    Same,
    TotalPart,
)
from schema.listings import Listing
from schema.pages import Page
from schema.records import (
    Domain,
    Endpoint,
    IdentityType,
    Leak,
    LeakStatus,
    Organization,
    Resource,
    ResourceType,
    RiskLevelName,
    User,
)
from schema.store import (
    Column,
    JsonList,
    JsonListPart,
    JsonNodes,
    JsonObject,
    JsonTotal,
    Literal,
    Pages,
    Selected,
    Written,
)

T = TypeVar("T")

_LEAK = Leak("", 0, 0, RiskLevelName.NONE, LeakStatus.NEW, None, "", None, None)
_STAND_INS: Mapping[str, Any] = {
    "Query": None,
    "Organization": Organization(0, "", ""),
    "Domain": Domain(0, "", "", None),
    "Leak": _LEAK,
    "Connections": _LEAK,
    "Resource": Resource("", "", ResourceType.DOMAIN),
    "User": User("", "", IdentityType.EMAIL),
    "Endpoint": Endpoint("", "", None),
}
_EMPTY: Page[Any] = Page((), has_more=False)


@dataclass(frozen=True, slots=True)
class BoundObject:
    """How to build objects from the rows of a level.

    Attributes:
        keys: The response keys of the members.
        start: The index in a row of the first member; each member has one column.
        fragments: The keys of the members that the store writes as JSON.
        inner: Objects made from the same rows, by key.
        later: Members that are read or resolved afterwards for all objects of the level, by key.
    """

    keys: tuple[str, ...]
    start: int
    fragments: tuple[str, ...]
    inner: "tuple[tuple[str, BoundObject], ...]"
    later: "tuple[tuple[str, BoundList | BoundOne], ...]"


@dataclass(frozen=True, slots=True)
class BoundRows:
    """The columns selected from each record, and the object built from them, or None if the store writes it as text."""

    select: tuple[Selected, ...]
    object: BoundObject | None


@dataclass(frozen=True, slots=True)
class BoundList:
    """A list for each parent, read as a level of its own.

    Attributes:
        listing: An empty page, for its cursors, order and count; or the page itself if it needs no read.
        pages: The read, without its parents; None if the page needs no read.
        parent_at: The index in the parents' rows of the store's key for each; None if the scope is the parent.
        parts: The members of each list, by key, with the object for nodes.
        select: The columns selected from each record.
        value_at: The index in the rows of the sort key.
        id_at: The index in the rows of the id.
    """

    branch: Branch
    listing: Listing
    pages: Pages | None
    parent_at: int | None
    parts: tuple[tuple[str, ListPart, BoundObject | None], ...]
    select: tuple[Selected, ...]
    value_at: int
    id_at: int


@dataclass(frozen=True, slots=True)
class BoundOne:
    """One object for each parent, resolved from the parents' rows without a read."""

    edge: Edge
    call: Call
    arguments: Mapping[str, Any]
    needs: tuple[tuple[str, int], ...]
    objects: "BoundObjects"


@dataclass(frozen=True, slots=True)
class BoundObjects:
    """Objects of several types."""

    by_type: Mapping[str, BoundRows]
    is_list: bool


@dataclass(frozen=True, slots=True)
class BoundRoot:
    """A root field that returns objects: its batch, and how to build them."""

    branch: Branch
    batch: Batch
    objects: BoundObjects


@dataclass(frozen=True, slots=True)
class BoundWritten:
    """A root field that the store writes as a whole."""

    branch: Branch
    read: Written


Bound = BoundRoot | BoundList | BoundWritten | Literal


def bind(plan: Plan, request: Request, variables: VariableValues) -> list[tuple[str, Bound]]:
    """The reads of a request, by root field.

    Raises:
        GatewayError: an argument is invalid.
    """
    return [(key, _Binding(request, key, variables, plan.written).root(edge)) for key, edge in plan.roots]


class _Layout:
    """The columns of a level, in the order in which they were requested."""

    def __init__(self, *, is_stored: bool) -> None:
        self.select: list[Selected] = []
        self.is_stored = is_stored

    def append(self, selected: list[Selected]) -> int:
        start = len(self.select)
        self.select += selected
        return start

    def find(self, name: str) -> int:
        column = Column(name)
        return self.select.index(column) if column in self.select else self.append([column])


class _Binding:
    """Binds one root field and everything below it."""

    def __init__(self, request: Request, key: str, variables: VariableValues, written: Cache[Any, Any]) -> None:
        self._request = request
        self._written = written
        self._branch = request.branch(key)
        self._variables = variables

    def root(self, edge: Edge | Literal) -> Bound:
        if isinstance(edge, Literal):
            return edge
        batch = self._batch(edge)
        if isinstance(edge.target, ObjectsPlan):
            return BoundRoot(self._branch, batch, self._objects(edge.target))
        if edge.target.is_written:
            return BoundWritten(self._branch, Written(self._json_list(edge.target, batch)))
        return self._list(edge.target, batch, None)

    def _call(self, edge: Edge) -> Call:
        return Call(self._request, self._branch, f"{edge.parent_type}.{edge.field_name}")

    def _batch(self, edge: Edge) -> Batch:
        parents = (_STAND_INS[edge.parent_type],)
        return edge.resolve(parents, self._call(edge), **edge.arguments(self._variables))

    # -------------------------------------------------------------- by level

    def _objects(self, plan: ObjectsPlan) -> BoundObjects:
        return self._once(plan, plan.is_settled, lambda: self._new_objects(plan))

    def _new_objects(self, plan: ObjectsPlan) -> BoundObjects:
        return BoundObjects({name: self._rows(object_) for name, object_ in plan.by_type.items()}, plan.is_list)

    def _rows(self, plan: ObjectPlan) -> BoundRows:
        if plan.has_lists and plan.is_written:
            return self._once(plan, plan.is_constant, lambda: BoundRows((self._json_object(plan),), None))
        layout = _Layout(is_stored=plan.type_name not in AT_HAND)
        bound = self._object(plan, layout)
        return BoundRows(tuple(layout.select), bound)

    def _object(self, plan: ObjectPlan, layout: _Layout) -> BoundObject:
        own: list[Selected] = [self._selected(member, layout) for _, member in plan.members]
        start = layout.append(own)
        fragments = tuple(
            key for (key, _), selected in zip(plan.members, own, strict=True) if isinstance(selected, JsonList)
        )
        inner = tuple(
            (key, self._object(member.object, layout)) for key, member in plan.members if isinstance(member, Same)
        )
        later = tuple(
            (key, self._later(member, layout))
            for key, member in plan.members
            if isinstance(member, Edge) and key not in fragments
        )
        return BoundObject(tuple(key for key, _ in plan.members), start, fragments, inner, later)

    def _selected(self, member: Member, layout: _Layout) -> Selected:
        match member:
            case Column() | Literal():
                return member
            case Edge(target=ListPlan() as target, is_inlined=True) if layout.is_stored:
                return self._json_list(target, self._batch(member))
        return Literal("")  # a placeholder; the value comes later

    def _later(self, edge: Edge, layout: _Layout) -> BoundList | BoundOne:
        if isinstance(edge.target, ListPlan):
            return self._list(edge.target, self._batch(edge), layout.find(edge.needs[0]))
        needs = tuple((name, layout.find(name)) for name in edge.needs)
        arguments = edge.arguments(self._variables)
        return BoundOne(edge, self._call(edge), arguments, needs, self._objects(edge.target))

    def _list(self, plan: ListPlan, batch: Batch, parent_at: int | None) -> BoundList:
        listing: Listing = batch.values([[_EMPTY]])[0]
        layout = _Layout(is_stored=bool(batch.reads))
        parts = tuple((key, part, self._node(part, layout)) for key, part in plan.parts)
        value_at, id_at = layout.find(listing.order.column), layout.find("id")
        pages = _pages(batch) if batch.reads else None
        select = tuple(layout.select)
        return BoundList(self._branch, listing, pages, parent_at, parts, select, value_at, id_at)

    def _node(self, part: ListPart, layout: _Layout) -> BoundObject | None:
        return self._object(part.node, layout) if isinstance(part, NodesPart) and part.node is not None else None

    # --------------------------------------------------- written by the store

    def _json_list(self, plan: ListPlan, batch: Batch) -> JsonList:
        parts = self._once(
            plan, plan.is_constant, lambda: tuple((key, self._json_part(part)) for key, part in plan.parts)
        )
        return JsonList(_pages(batch), parts)

    def _once(self, plan: ListPlan | ObjectPlan | ObjectsPlan, is_constant: bool, bind: Callable[[], T]) -> T:
        """Bind a constant part once for all requests with the same page limits."""
        if not is_constant:
            return bind()
        bound: T = self._written.get((id(plan), self._request.page_limits), bind)
        return bound

    def _json_part(self, part: ListPart) -> JsonListPart:
        match part:
            case NodesPart(node=ObjectPlan()):
                return JsonNodes(self._json_object(part.node), part.edge)  # type: ignore[arg-type]
            case TotalPart():
                return JsonTotal()
            case Literal():
                return part
        raise AssertionError(part)

    def _json_object(self, plan: ObjectPlan) -> JsonObject:
        return JsonObject(tuple((key, self._json_member(member)) for key, member in plan.members))

    def _json_member(self, member: Member) -> Selected:
        match member:
            case Same():
                return self._json_object(member.object)
            case Edge(target=ListPlan() as target):
                return self._json_list(target, self._batch(member))
            case Column() | Literal():
                return member
        raise AssertionError(member)


def _pages(batch: Batch) -> Pages:
    (pages,) = batch.reads
    assert isinstance(pages, Pages)  # noqa: S101 - a list reads nothing else
    return pages
