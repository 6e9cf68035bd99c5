"""Connections: what a leak is connected to."""

from collections.abc import Sequence
from typing import Any

import strawberry

from schema import records
from schema.batches import Batch, Call, edge
from schema.listings import Wanted, list_pages
from schema.pages import Order
from schema.records import Kind
from schema.types.connection import Connection
from schema.types.directives import FREE, PAGE
from schema.types.endpoint import Endpoint
from schema.types.resource import Resource
from schema.types.user import User


def _connected(kind: Kind, order: Order, description: str) -> Any:
    def connected(
        parents: Sequence[records.Leak],
        call: Call,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Batch:
        ids = tuple(leak.id for leak in parents)
        return list_pages(call, Wanted(first, after, last, before), order, kind, Kind.LEAK, ids)

    connected.__doc__ = description
    return edge(connected, directives=[PAGE])


@strawberry.type(description="What a leak is connected to. Ties go by id.", directives=[FREE])
class Connections:
    """What a leak is connected to; it is made from the leak itself."""

    resources: Connection[Resource] = _connected(Kind.RESOURCE, Order("resource"), "Ordered by resource.")
    users: Connection[User] = _connected(Kind.USER, Order("identity"), "Ordered by identity.")
    endpoints: Connection[Endpoint] = _connected(
        Kind.ENDPOINT, Order("date", descending=True), "Newest first, undated last."
    )
