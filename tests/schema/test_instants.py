"""Any ISO 8601 with an offset becomes one canonical form."""

import pytest
from hypothesis import given
from hypothesis.strategies import datetimes, text, timezones

from schema.instants import parse_instant


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [
        ("2025-12-05T00:00:00.000Z", "2025-12-05T00:00:00.000Z"),
        ("2025-12-05T00:00:00Z", "2025-12-05T00:00:00.000Z"),
        ("2025-12-05t00:00:00z", "2025-12-05T00:00:00.000Z"),
        ("2025-12-05T00:00Z", "2025-12-05T00:00:00.000Z"),
        ("20251205T000000Z", "2025-12-05T00:00:00.000Z"),
        ("2025-W49-5T00:00:00Z", "2025-12-05T00:00:00.000Z"),
        ("2025-12-05T01:00:00+02:00", "2025-12-04T23:00:00.000Z"),
        ("2025-12-05T01:00:00-0330", "2025-12-05T04:30:00.000Z"),
        ("2025-12-05T01:00:00+01", "2025-12-05T00:00:00.000Z"),
        ("2025-12-05T00:00:00,5Z", "2025-12-05T00:00:00.500Z"),
        ("2025-12-05T00:00:00.123999Z", "2025-12-05T00:00:00.123Z"),
        ("2025-12-05T00:00:00.123456789Z", "2025-12-05T00:00:00.123Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_has_one_canonical_form(given_text: str, canonical: str) -> None:
    assert parse_instant(given_text) == canonical


@pytest.mark.parametrize(
    "no_instant",
    [
        "",
        "now",
        "2025-12-05",
        "2025-12-05Z",
        "2025-12-05T00:00:00",
        "2025-12-05T00:00:00.000",
        "2025-12-05 00:00:00Z",
        "2025-12-05T00:00:00.000Z\n",
        " 2025-12-05T00:00:00.000Z",
        "2025-02-30T00:00:00.000Z",
        "2025-12-05T24:00:00.000Z",
        "2025-12-05T00:00:60.000Z",
        "0000-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "2025-12-05T00:00:00+24:00",
        "\u0662\u0660\u0662\u0665-12-05T00:00:00.000Z",
        "1764892800",
    ],
)
def test_what_is_no_instant_is_refused(no_instant: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_instant(no_instant)


@given(datetimes(timezones=timezones()))
def test_every_instant_comes_out_canonical_and_stays_so(instant: object) -> None:
    try:
        canonical = parse_instant(str(instant).replace(" ", "T"))
    except ValueError:
        # An offset with seconds, or a year that falls out of range.
        return
    assert len(canonical) == len("2025-12-05T00:00:00.000Z")
    assert parse_instant(canonical) == canonical


@given(text(max_size=30))
def test_no_text_raises_anything_else(anything: str) -> None:
    try:
        parse_instant(anything)
    except ValueError:
        return
