"""Names of organizations, domains and keys: what they may be, and what is meant by one."""

import unicodedata
from collections.abc import Sequence
from typing import TypeVar

from schema.errors import BadUserInput
from schema.records import Domain, Organization

MAX_NAME = 255

Named = TypeVar("Named", Organization, Domain)


def checked_name(name: str, what: str) -> str:
    """A name without white space around it.

    Raises:
        BadUserInput: it is empty, too long, or holds a control character.
    """
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= MAX_NAME or any(unicodedata.category(c) in {"Cc", "Cs"} for c in trimmed):
        raise BadUserInput(f"Invalid {what} name. Valid: 1 to {MAX_NAME} characters, none of them a control character.")
    return trimmed


def by_name_or_id(known: Sequence[Named], name: str, id_: str | None) -> Named | None:
    """The one with an id, else with a name: whoever names something after another's id does not get in its way."""
    return next((one for one in known if one.id == id_), None) or next((one for one in known if one.name == name), None)
