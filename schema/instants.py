"""Instants as text: any ISO 8601 with an offset comes in, one canonical form comes out."""

import re
from datetime import UTC, datetime

_WITH_OFFSET = re.compile(r"[0-9W-]{7,10}T[0-9:]{2,8}(?:[.,][0-9]{1,18})?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)")
_CANONICAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?!24)[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


def now() -> str:
    """This instant, in the canonical form."""
    return write_instant(datetime.now(UTC))


def write_instant(at: datetime) -> str:
    """The canonical form of an instant."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_instant(text: str) -> str:
    """The canonical form of an instant: UTC, 24 characters, `2025-12-05T00:00:00.000Z`.

    What is finer than a millisecond is cut off, not rounded.

    Raises:
        ValueError: it is no ISO 8601 date and time with an offset, or lies outside the years 0001 to 9999 in UTC.
    """
    if _CANONICAL.fullmatch(text):
        datetime.fromisoformat(text)
        return text
    return _to_utc(text).isoformat(timespec="milliseconds") + "Z"


def _to_utc(text: str) -> datetime:
    upper = text.upper()
    if not _WITH_OFFSET.fullmatch(upper):
        raise ValueError("no ISO 8601 date and time with an offset")
    try:
        return datetime.fromisoformat(upper).astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError("outside the years 0001 to 9999") from error
