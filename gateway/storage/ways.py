"""How the page of a long list of leaks is found: in the list's order, or through an index of what is wanted.

In order, a page costs what stands ahead of its last row; through an index, it costs all that the index finds. Neither
is good for all values. So a statement counts what an index would find, no further than to a bound, and takes the first
that stays below it. Where none does, what is wanted is frequent, and the order soon meets enough of it.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import orjson
from sqlalchemy import ColumnElement, Text, literal_column

from schema.pages import Order
from schema.records import LeakStatus, RiskLevelName

FEW: Final = 4096
"""The most that is gathered: some milliseconds. What is more frequent, stands once in 244 rows of a million."""

RANGES: Final = {
    "risk_level": ("risk_level_min", "risk_level_max"),
    "first_seen": ("first_seen_since", "first_seen_until"),
    "added_at": ("added_at_since", "added_at_until"),
}
LISTS: Final = {"status": "status", "risk_level_name": "risk_level_name", "domains": "domain_number"}
"""What the index of statuses is asked for, column by column, and the list of values that this is among."""

EVERY_VALUE: Final[dict[str, ColumnElement[str]]] = {
    column: literal_column(f"'{orjson.dumps(list(values)).decode()}'", Text())
    for column, values in (("status", LeakStatus), ("risk_level_name", RiskLevelName))
}
"""All that can stand in the first columns of an index that is asked for a later one, each as a JSON list."""

NAMED: Final = ("filename", "identity", "resource")


@dataclass(frozen=True, slots=True)
class Way:
    """An index that finds rows of a list.

    Attributes:
        parts: The parts of the filter that it is asked for; all others are looked at in what it finds.
        lists: What it is asked for value by value: the index of statuses, risk levels' names and domains.
        is_few: Whether it finds few whatever the values are, so that nothing is counted.
    """

    parts: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    is_few: bool = False

    @property
    def is_named(self) -> bool:
        """Whether it is the index of what leaks are connected to."""
        return self.parts[:1] in {(part,) for part in NAMED} and len(self.parts) == 1


def in_order(wanted: Collection[str], order: Order) -> Way:
    """The index of an order, which finds a range of its own column as well."""
    return Way(tuple(part for part in RANGES[order.column] if part in wanted))


def ways_of(
    wanted: Collection[str], order: Order, *, is_of_domain: bool = False, is_narrow: bool = False
) -> tuple[Way, ...]:
    """The ways to a page other than in its order, those first that tend to find less.

    Args:
        wanted: The parts of the filter.
        order: The list's order.
        is_of_domain: Whether the list is a domain's.
        is_narrow: Whether the list is to be found by the scope's domains.
    """
    if "login" in wanted:
        return (Way(("login",), is_few=True),)
    return tuple(_ways(wanted, order, is_of_domain=is_of_domain, is_narrow=is_narrow))


def _ways(wanted: Collection[str], order: Order, *, is_of_domain: bool, is_narrow: bool) -> Iterator[Way]:
    yield from (Way((part,)) for part in NAMED if part in wanted)
    asked = [part for part in LISTS if part in wanted or (part == "domains" and is_narrow)]
    if asked:
        lists = tuple(LISTS)
        last = "risk_level_name" if is_of_domain else asked[-1]
        yield Way(tuple(part for part in asked if part in wanted), lists[: lists.index(last) + 1])
    for column, ends in RANGES.items():
        parts = tuple(part for part in ends if part in wanted)
        if parts and column != order.column:
            yield Way(parts)
