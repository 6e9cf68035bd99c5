"""Parsing of durations and instants in command options."""

import re
from datetime import datetime, timedelta

import typer

from schema.instants import parse_instant, write_instant

_SPAN = re.compile(r"([0-9]{1,5})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_expiry(text: str, at: datetime) -> str:
    """The instant given by a duration from `at`, such as `12h`, `90d` or `2w`, or by an instant itself.

    Raises:
        typer.BadParameter: it is neither, or is not after `at`.
    """
    try:
        instant = write_instant(at + _span(text)) if _SPAN.fullmatch(text) else parse_instant(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--expires {text}. Valid: 12h, 90d, 2w or an instant in ISO 8601.") from None
    if instant <= write_instant(at):
        raise typer.BadParameter(f"--expires {text} is not in the future.")
    return instant


def parse_overlap(text: str, at: datetime) -> str:
    """The instant at which an overlap that begins at `at` ends; `0h` ends at once.

    Raises:
        typer.BadParameter: it is not a duration.
    """
    try:
        return write_instant(at + _span(text))
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--overlap {text}. Valid: 0h, 24h, 7d or 2w.") from None


def _span(text: str) -> timedelta:
    span = _SPAN.fullmatch(text)
    if span is None:
        raise ValueError("no span")
    return int(span[1]) * _UNITS[span[2]]
