"""Leak: one exposed login."""

from collections.abc import Sequence
from typing import Any

import strawberry

from schema import records
from schema.batches import Batch, Call, at_hand, edge
from schema.types.connections import Connections
from schema.types.domain import Domain
from schema.types.node import Node
from schema.types.scalars import DateTime, LeakStatus, RiskLevelName


def _domains(parents: Sequence[records.Leak], call: Call) -> Batch:
    """The domain that the leak belongs to."""
    return at_hand([call.caller.domains_by_number[leak.domain_number] for leak in parents])


def _connections(parents: Sequence[records.Leak], _call: Call) -> Batch:
    """What the leak is connected to."""
    return at_hand(parents)


@strawberry.type(description="One exposed login.")
class Leak(Node):
    """One exposed login."""

    risk_level: int = strawberry.field(description="0 to 10.")
    risk_level_name: RiskLevelName
    status: LeakStatus
    url: str | None
    login: str
    password: str = strawberry.field(
        description="Always the mask ***. No plaintext is stored, so none can be asked for."
    )
    first_seen: DateTime | None
    added_at: DateTime | None
    domain: Domain = edge(_domains, needs=("domain_number",))
    connections: Connections = edge(_connections, same=True)

    @classmethod
    def is_type_of(cls, record: Any, _info: Any) -> bool:
        """Whether a record is published as this type."""
        return isinstance(record, records.Leak)
