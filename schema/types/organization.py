"""Organization: whose records these are."""

from collections.abc import Sequence
from typing import Any

import strawberry

from schema import records
from schema.batches import Batch, Call, edge
from schema.listings import Wanted, list_at_hand
from schema.pages import Order
from schema.types.connection import Connection
from schema.types.directives import PAGE
from schema.types.domain import Domain
from schema.types.node import Node


def _domains(
    parents: Sequence[records.Organization],
    call: Call,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    include_archived: bool = False,
) -> Batch:
    """The domains that the caller's key sees, by name."""
    shown = [domain for domain in call.caller.domains if include_archived or domain.archived_at is None]
    return list_at_hand(call, Wanted(first, after, last, before), Order("name"), [shown for _ in parents])


@strawberry.type(description="Whose records these are.")
class Organization(Node):
    """Whose records these are."""

    name: str
    domains: Connection[Domain] = edge(_domains, directives=[PAGE])

    @classmethod
    def is_type_of(cls, record: Any, _info: Any) -> bool:
        """Whether a record is published as this type."""
        return isinstance(record, records.Organization)
