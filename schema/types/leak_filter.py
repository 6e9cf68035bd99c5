"""LeakFilter and LeakOrder: which leaks a list holds, and in what order."""

from typing import TypeVar

import strawberry
from strawberry import UNSET

from schema.errors import BadUserInput
from schema.pages import Order
from schema.store import Filter
from schema.types.directives import SEARCHED
from schema.types.scalars import DateTime, LeakOrderField, LeakStatus, OrderDirection, RiskLevelName

T = TypeVar("T")

MAX_TEXT = 8192
_RISK_LEVELS = range(11)


@strawberry.input(description="Both ends inclusive; an end left out is open.")
class IntRange:
    """A range of integers."""

    min: int | None = UNSET
    max: int | None = UNSET


@strawberry.input(description="`since` inclusive, `until` exclusive; an end left out is open.")
class DateTimeRange:
    """A range of instants."""

    since: DateTime | None = UNSET
    until: DateTime | None = UNSET


@strawberry.input(description="Every part that is given holds. An empty list matches nothing; null is as if left out.")
class LeakFilter:
    """Which leaks a list holds."""

    status: list[LeakStatus] | None = UNSET
    risk_level_name: list[RiskLevelName] | None = UNSET
    risk_level: IntRange | None = UNSET
    first_seen: DateTimeRange | None = UNSET
    added_at: DateTimeRange | None = UNSET
    login: str | None = strawberry.field(default=UNSET, description="Exact, case-insensitive.")
    resource: str | None = strawberry.field(default=UNSET, description="Leaks connected to exactly this resource.")
    identity: str | None = strawberry.field(default=UNSET, description="Leaks connected to exactly this user.")
    filename: str | None = strawberry.field(default=UNSET, description="Leaks connected to exactly this endpoint.")
    url_contains: str | None = strawberry.field(
        default=UNSET, description="Substring; case-insensitive in ASCII.", directives=[SEARCHED]
    )


@strawberry.input(description="An order of leaks. Ties go by id, so every order is total.")
class LeakOrder:
    """An order of leaks."""

    field: LeakOrderField
    direction: OrderDirection = OrderDirection.DESC

    def __hash__(self) -> int:
        """Let it be the default of an argument."""
        return hash((self.field, self.direction))


NEWEST_FIRST = LeakOrder(field=LeakOrderField.ADDED_AT, direction=OrderDirection.DESC)


def stored_order(order: LeakOrder | None) -> Order:
    """The order of a list of leaks; newest first where none is asked for."""
    wanted = order or NEWEST_FIRST
    return Order(wanted.field.value, descending=wanted.direction is OrderDirection.DESC)


def stored_filter(wanted: LeakFilter | None) -> Filter:
    """The filter in the terms of the store.

    Raises:
        BadUserInput: a text holds a NUL or is too long.
    """
    if wanted is None:
        return Filter()
    risk_level = wanted.risk_level or IntRange()
    first_seen, added_at = wanted.first_seen or DateTimeRange(), wanted.added_at or DateTimeRange()
    return Filter(
        status=_choice(wanted.status),
        risk_level_name=_choice(wanted.risk_level_name),
        risk_level_min=_near_levels(risk_level.min),
        risk_level_max=_near_levels(risk_level.max),
        first_seen_since=first_seen.since or None,
        first_seen_until=first_seen.until or None,
        added_at_since=added_at.since or None,
        added_at_until=added_at.until or None,
        login=_folded(_text(wanted.login, "login")),
        resource=_text(wanted.resource, "resource"),
        identity=_text(wanted.identity, "identity"),
        filename=_text(wanted.filename, "filename"),
        url_contains=_lowered(_text(wanted.url_contains, "urlContains")),
    )


def _choice(values: list[T] | None) -> tuple[T, ...] | None:
    """What a list allows; an empty list allows nothing."""
    return None if values is None or values is UNSET else tuple(dict.fromkeys(values))


def _near_levels(level: int | None) -> int | None:
    """A bound that says the same, and fits the column."""
    return None if level is None or level is UNSET else max(_RISK_LEVELS.start - 1, min(level, _RISK_LEVELS.stop))


def _text(value: str | None, name: str) -> str | None:
    if value is None or value is UNSET:
        return None
    if "\x00" in value or len(value) > MAX_TEXT:
        raise BadUserInput(f"Invalid {name}. Valid: a text of at most {MAX_TEXT} characters, without NUL.")
    return value


def _folded(value: str | None) -> str | None:
    return None if value is None else value.casefold()


def _lowered(value: str | None) -> str | None:
    """Lower case in ASCII only, as both engines have it."""
    return None if value is None else "".join(c.lower() if c.isascii() else c for c in value)
