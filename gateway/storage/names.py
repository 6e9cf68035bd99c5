"""Names of organizations, domains and keys: which are valid, and which thing one refers to."""

import unicodedata
from collections.abc import Sequence
from typing import TypeVar

from schema.errors import BadUserInput
from schema.records import Domain, Organization

MAX_NAME = 255

Named = TypeVar("Named", Organization, Domain)


def checked_name(name: str, what: str) -> str:
    """A valid name, stripped of white space around it.

    Raises:
        BadUserInput: it is empty, too long, or holds a control character.
    """
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= MAX_NAME or any(unicodedata.category(c) in {"Cc", "Cs"} for c in trimmed):
        raise BadUserInput(f"Invalid {what} name. Valid: 1 to {MAX_NAME} characters, none of them a control character.")
    return trimmed


def by_name_or_id(known: Sequence[Named], name: str, id_: str | None) -> Named | None:
    """The one with this id, else with this name: a thing that is named like another's id does not hide that."""
    return next((one for one in known if one.id == id_), None) or next((one for one in known if one.name == name), None)
