"""The scalars and enums of the schema."""

from enum import Enum
from typing import NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from schema.instants import parse_instant
from schema.records import IdentityType, LeakStatus, ResourceType, RiskLevelName
from schema.scope import KeyScope

__all__ = [
    "SCALARS",
    "ApiKeyScope",
    "DateTime",
    "IdentityType",
    "LeakOrderField",
    "LeakStatus",
    "OrderDirection",
    "ResourceType",
    "RiskLevelName",
]

DateTime = NewType("DateTime", str)

SCALARS: dict[object, ScalarDefinition] = {
    DateTime: strawberry.scalar(
        name="DateTime",
        description="An instant in UTC, ISO 8601 with milliseconds and Z: 2025-12-05T01:09:22.879Z",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=str,
        parse_value=parse_instant,
    )
}

for _enum, _description in {
    RiskLevelName: "How grave a leak is, by name.",
    LeakStatus: "Where a leak stands in triage.",
    ResourceType: "What sort of thing a resource is.",
    IdentityType: "What sort of name an identity is.",
}.items():
    strawberry.enum(_enum, description=_description)
strawberry.enum(KeyScope, name="ApiKeyScope", description="What an API key may do.")
ApiKeyScope = KeyScope


@strawberry.enum(description="The direction of an order.")
class OrderDirection(Enum):
    """The direction of an order."""

    ASC = "ASC"
    DESC = "DESC"


@strawberry.enum(description="What leaks can be ordered by. Ties go by id; no date counts as older than any date.")
class LeakOrderField(Enum):
    """What leaks can be ordered by: the value is the column."""

    RISK_LEVEL = "risk_level"
    FIRST_SEEN = "first_seen"
    ADDED_AT = "added_at"
