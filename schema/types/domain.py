"""Domain: a part of an organization that leaks belong to."""

from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from schema import records
from schema.batches import edge
from schema.types.connection import Connection
from schema.types.directives import PAGE
from schema.types.leak_list import leaks_of
from schema.types.node import Node
from schema.types.scalars import DateTime

if TYPE_CHECKING:
    from schema.types.leak import Leak


@strawberry.type(description="A part of an organization that leaks belong to.")
class Domain(Node):
    """A part of an organization that leaks belong to."""

    name: str
    archived_at: DateTime | None
    leaks: Connection[Annotated["Leak", strawberry.lazy("schema.types.leak")]] = edge(
        leaks_of(records.Kind.DOMAIN), needs=("number",), directives=[PAGE]
    )

    @classmethod
    def is_type_of(cls, record: Any, _info: Any) -> bool:
        """Whether a record is published as this type."""
        return isinstance(record, records.Domain)
