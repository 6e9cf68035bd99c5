"""What operations cost, as it is published, after the GraphQL Cost Directives draft (https://ibm.github.io/graphql-specs).

An object weighs 1 where its type says nothing else, so a list weighs 1 and each of its nodes 1; a field and a field of
an input weigh nothing where they say nothing else.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import strawberry
from strawberry import UNSET
from strawberry.schema_directive import Location

from schema.pages import PageLimits

T = TypeVar("T")


@strawberry.schema_directive(
    name="cost",
    locations=[
        Location.ARGUMENT_DEFINITION,
        Location.ENUM,
        Location.FIELD_DEFINITION,
        Location.INPUT_FIELD_DEFINITION,
        Location.OBJECT,
        Location.SCALAR,
    ],
    description="How many points it adds to what an operation costs, as often as it can come up.",
)
class Cost:
    """How many points it adds to what an operation costs."""

    weight: str


@strawberry.schema_directive(
    name="listSize",
    locations=[Location.FIELD_DEFINITION],
    description="How long a list can be: as its slicing arguments say, or as assumed where they are left out.",
)
class ListSize:
    """How long a list can be."""

    assumed_size: int | None = UNSET
    slicing_arguments: list[str] | None = UNSET
    sized_fields: list[str] | None = UNSET
    require_one_slicing_argument: bool | None = True


FREE = Cost(weight="0")
"""Of what comes with the objects around it."""

COUNTED = Cost(weight="10")
"""Of a count: it reads the index of all that it counts."""

SEARCHED = Cost(weight="100")
"""Of a search that no index helps: it reads its scope row by row."""

PAGE = ListSize(
    assumed_size=PageLimits().default,
    slicing_arguments=["first", "last"],
    sized_fields=["nodes", "edges"],
    require_one_slicing_argument=False,
)
"""Of every connection."""


def find_directive(directives: Iterable[Any], kind: type[T]) -> T | None:
    """The directive of a kind among those of a definition."""
    return next((directive for directive in directives if isinstance(directive, kind)), None)
