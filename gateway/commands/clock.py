"""Instants as commands write them: now, and when something ends."""

import re
from datetime import UTC, datetime, timedelta

import typer

from schema.instants import parse_instant

_SPAN = re.compile(r"([0-9]{1,5})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def now() -> str:
    """This instant."""
    return _text(datetime.now(UTC))


def parse_expiry(text: str, at: datetime) -> str:
    """The instant that `12h`, `90d`, `2w` or an instant stands for.

    Raises:
        typer.BadParameter: it is neither, or is not after `at`.
    """
    try:
        span = _SPAN.fullmatch(text)
        instant = _text(at + int(span[1]) * _UNITS[span[2]]) if span else parse_instant(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--expires {text}. Valid: 12h, 90d, 2w or an instant in ISO 8601.") from None
    if instant <= _text(at):
        raise typer.BadParameter(f"--expires {text} is not in the future.")
    return instant


def _text(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
