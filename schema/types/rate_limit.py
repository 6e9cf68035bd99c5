"""RateLimit: what a request costs, and what is left."""

import strawberry

from schema.types.directives import FREE
from schema.types.scalars import DateTime


@strawberry.type(
    description="The budget of the caller's key, in points that come back steadily."
    " Where there is no limit, the numbers are the largest that there are.",
    directives=[FREE],
)
class RateLimit:
    """The budget of the caller's key."""

    limit: int = strawberry.field(description="The most points that the budget holds; so many come back in a minute.")
    cost: int = strawberry.field(
        description="The points that this operation can cost, worked out from `@cost` and `@listSize` before it runs."
        " What it turns out not to use is given back."
    )
    remaining: int = strawberry.field(description="The points that are left while this operation runs.")
    reset_at: DateTime = strawberry.field(description="When the budget is whole again, if nothing more is asked.")
