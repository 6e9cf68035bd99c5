"""Where a query may start. A root field settles the scope of all that lies below it."""

from collections.abc import Sequence
from typing import Any

import strawberry

from schema.batches import Batch, Call, at_hand, edge
from schema.errors import BadUserInput
from schema.listings import Wanted, list_pages
from schema.records import CONNECTED, Kind, Record
from schema.scope import canonical_uuid
from schema.store import Answer, Lookup
from schema.types.api_key import ApiKey
from schema.types.connection import Connection
from schema.types.directives import PAGE, ListSize
from schema.types.domain import Domain
from schema.types.leak import Leak
from schema.types.leak_filter import NEWEST_FIRST, LeakFilter, LeakOrder, stored_filter, stored_order
from schema.types.node import Node
from schema.types.organization import Organization
from schema.types.rate_limit import RateLimit
from schema.types.scalars import DateTime

MAX_NODES = 100
_STORED = (Kind.LEAK, *CONNECTED)


def _nodes_by_id(call: Call, ids: Sequence[str]) -> Batch:
    """The visible things by id, as the value of the one parent there is."""
    canonical = [canonical_uuid(id_) for id_ in ids]
    known = tuple(dict.fromkeys(id_ for id_ in canonical if id_ is not None))
    call.enter(call.caller.scope_naming(known))
    found: dict[str, Record] = {call.caller.organization.id: call.caller.organization}
    found |= call.caller.domains_by_id

    def in_order(answers: Sequence[Answer]) -> Sequence[Any]:
        for answer in answers:
            found.update({id_: record for id_, record in zip(known, answer, strict=True) if record is not None})
        return [[None if id_ is None else found.get(id_) for id_ in canonical]]

    return Batch(tuple(Lookup(kind, known) for kind in _STORED if known), in_order)


def _first(batch: Batch) -> Batch:
    return Batch(batch.reads, lambda answers: [batch.values(answers)[0][0]])


def _node(_parents: Sequence[None], call: Call, id: strawberry.ID) -> Batch:  # noqa: A002
    """A thing of any type by its id; null where nothing visible has it."""
    return _first(_nodes_by_id(call, [id]))


def _nodes(_parents: Sequence[None], call: Call, ids: list[strawberry.ID]) -> Batch:
    """At most 100 ids. In the order asked; null where nothing visible has that id."""
    if len(ids) > MAX_NODES:
        raise BadUserInput(f"Invalid ids: {len(ids)} of them. Valid: at most {MAX_NODES}.")
    return _nodes_by_id(call, ids)


def _organization(_parents: Sequence[None], call: Call) -> Batch:
    """The caller's own organization."""
    return at_hand([call.caller.organization])


def _viewer(_parents: Sequence[None], call: Call) -> Batch:
    """What the caller's key may do."""
    caller = call.caller
    return at_hand(
        [
            ApiKey(
                id=strawberry.ID(caller.key_id),
                name=caller.key_name,
                scopes=sorted(caller.key_scopes),
                expires_at=None if caller.expires_at is None else DateTime(caller.expires_at),
                domain_ids=[strawberry.ID(d.id) for d in caller.domains] if caller.restricted else None,
            )
        ]
    )


def _leak(
    _parents: Sequence[None],
    call: Call,
    id: strawberry.ID,  # noqa: A002
    domain_ids: list[strawberry.ID] | None = None,
) -> Batch:
    """Null where no leak with this id is visible in the scope."""
    call.enter(call.caller.scope(domain_ids))
    canonical = canonical_uuid(id)
    if canonical is None:
        return at_hand([None])
    return Batch((Lookup(Kind.LEAK, (canonical,)),), lambda answers: answers[0])


def _leaks(
    parents: Sequence[None],
    call: Call,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    domain_ids: list[strawberry.ID] | None = None,
    filter: LeakFilter | None = None,  # noqa: A002
    order_by: LeakOrder | None = NEWEST_FIRST,
) -> Batch:
    """The leaks of the scope: `domainIds` where given, else all domains of the organization that are not archived.

    An archived domain is in scope only when named.
    """
    call.enter(call.caller.scope(domain_ids))
    wanted = Wanted(first, after, last, before)
    one = tuple(0 for _ in parents)
    return list_pages(call, wanted, stored_order(order_by), Kind.LEAK, None, one, stored_filter(filter))


def _domain(_parents: Sequence[None], call: Call, id: strawberry.ID) -> Batch:  # noqa: A002
    """Null where the caller's key sees no domain with this id. Naming an archived one brings it into scope."""
    canonical = canonical_uuid(id)
    found = call.caller.domains_by_id.get(canonical) if canonical is not None else None
    if found is not None:
        call.enter(call.caller.scope_naming([found.id]))
    return at_hand([found])


def _rate_limit(_parents: Sequence[None], call: Call) -> Batch:
    """What this request costs and what is left of the key's budget."""
    return at_hand([call.request.budget.rate_limit])


@strawberry.type(description="Where a query may start.")
class Query:
    """Where a query may start."""

    node: Node | None = edge(_node)
    nodes: list[Node | None] = edge(_nodes, directives=[ListSize(assumed_size=MAX_NODES)])
    organization: Organization = edge(_organization)
    viewer: ApiKey = edge(_viewer)
    leak: Leak | None = edge(_leak)
    leaks: Connection[Leak] = edge(_leaks, directives=[PAGE])
    domain: Domain | None = edge(_domain)
    rate_limit: RateLimit = edge(_rate_limit)
