"""ApiKey: what the caller's key may do."""

import strawberry

from schema.types.scalars import ApiKeyScope, DateTime


@strawberry.type(description="An API key: what the caller may do.")
class ApiKey:
    """An API key, made from the caller."""

    id: strawberry.ID
    name: str
    scopes: list[ApiKeyScope]
    expires_at: DateTime | None
    domain_ids: list[strawberry.ID] | None = strawberry.field(
        description="Null where the key sees every domain of its organization."
    )
