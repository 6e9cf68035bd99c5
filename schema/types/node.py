"""Node: whatever has an id."""

import strawberry


@strawberry.interface(
    description="Whatever has an id: a UUID, unique over all types, and the same one that the REST route uses."
)
class Node:
    """Whatever has an id."""

    id: strawberry.ID
