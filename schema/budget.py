"""What an operation costs before it runs, and the port to the budget that it is taken from."""

from dataclasses import dataclass
from operator import add
from typing import NamedTuple, Protocol

LARGEST_INT = 2**31 - 1
ALWAYS_WHOLE = "1970-01-01T00:00:00.000Z"
"""When a budget without end was last whole: always."""


class Cost(NamedTuple):
    """The most that an operation can cost.

    Attributes:
        nodes: The nodes that it can return.
        objects: What all objects weigh that it can return, nodes and lists.
        work: What it weighs whatever it returns: the operation itself, its counts and searches.
        values: The values of fields that it can return; they weigh nothing.
        sought: The objects that it looks for by id in lists: they are spent whether there are any or not.
    """

    nodes: int = 0
    objects: int = 0
    work: int = 0
    values: int = 0
    sought: int = 0

    @property
    def points(self) -> int:
        """What is taken from the budget."""
        return self.objects + self.work

    def plus(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(*map(add, self, other))

    def times(self, number: int) -> "Cost":
        """The same again and again."""
        return Cost(*(part * number for part in self))


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a request costs and what is left of its key's budget.

    Attributes:
        limit: The most points that the budget holds.
        cost: The points that this request can cost.
        remaining: The points that are left, these taken.
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
            RateLimited: there is not so much left.
        """
        ...

    @property
    def rate_limit(self) -> RateLimit:
        """What was taken, and what is left."""
        ...


class Unlimited:
    """A budget without end: its numbers are the largest that there are."""

    def __init__(self) -> None:
        self.cost: Cost | None = None

    def take(self, cost: Cost) -> None:
        """Remember the cost."""
        self.cost = cost

    @property
    def rate_limit(self) -> RateLimit:
        """What was taken of a budget that is always whole."""
        return RateLimit(LARGEST_INT, self.cost.points if self.cost else 0, LARGEST_INT, ALWAYS_WHOLE)
