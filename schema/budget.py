"""What an operation costs before it runs, and the port to the budget that it is taken from."""

from dataclasses import dataclass
from operator import add
from typing import NamedTuple, Protocol

LARGEST_INT = 2**31 - 1
ALWAYS_WHOLE = "1970-01-01T00:00:00.000Z"
"""When an unlimited budget is whole again: it always was."""


class Cost(NamedTuple):
    """The most that an operation can cost.

    Attributes:
        nodes: The nodes that it can return.
        objects: The weight of all objects that it can return, nodes and lists.
    work: The weight that does not depend on what it returns: the operation itself, its counts and searches.
    values: The number of field values that it can return; they have no weight.
    sought: The objects that it looks up by id in lists: they are spent whether they are found or not.
    """

    nodes: int = 0
    objects: int = 0
    work: int = 0
    values: int = 0
    sought: int = 0

    @property
    def points(self) -> int:
        """The points that are taken from the budget."""
        return self.objects + self.work

    def plus(self, other: "Cost") -> "Cost":
        """The sum of both."""
        return Cost(*map(add, self, other))

    def times(self, number: int) -> "Cost":
        """The same cost several times."""
        return Cost(*(part * number for part in self))


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a request costs and what is left of its key's budget.

    Attributes:
        limit: The most points that the budget holds.
        cost: The points that this request can cost.
        remaining: The points that are left after these.
        reset_at: When the budget is whole again, if nothing more is taken.
    """

    limit: int
    cost: int
    remaining: int
    reset_at: str


class Budget(Protocol):
    """The budget of the caller, as one request sees it."""

    def take(self, cost: Cost) -> None:
        """Take the most that an operation can cost, before anything is read; if some is taken already, the rest.

        Raises:
            RateLimited: less is left.
        """
        ...

    @property
    def rate_limit(self) -> RateLimit:
        """What was taken, and what is left."""
        ...


class Unlimited:
    """A budget without a limit, which shows the largest numbers that GraphQL's `Int` holds."""

    def __init__(self) -> None:
        self.cost: Cost | None = None

    def take(self, cost: Cost) -> None:
        """Remember the cost."""
        self.cost = cost

    @property
    def rate_limit(self) -> RateLimit:
        """What was taken, of a budget that is always whole."""
        return RateLimit(LARGEST_INT, self.cost.points if self.cost else 0, LARGEST_INT, ALWAYS_WHOLE)
