"""Bounds: the rows that PostgreSQL's row-level security shows a statement, whatever its conditions say.

The policies compare rows with settings (`leaks.organization`, `leaks.domains`, `leaks.keys`) that last as long as a
transaction. A statement without bounds sees no row at all. SQLite has no such thing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

from schema.scope import Scope


@dataclass(frozen=True, slots=True)
class KeyIds:
    """The keys that a statement may see, with their organizations and domains, and no leaks."""

    ids: tuple[str, ...]


Bounds: TypeAlias = Scope | KeyIds | None


@lru_cache(maxsize=256)
def settings_of(bounds: Bounds) -> str:
    """The SQL that sets the bounds of a transaction.

    Only numbers and UUIDs are rendered into it, so it needs no parameters and no round trip of its own.
    """
    organization, domains, keys = "", "", ""
    if isinstance(bounds, Scope):
        organization, domains = f"{bounds.organization:d}", _array(f"{number:d}" for number in bounds.domains)
    elif isinstance(bounds, KeyIds):
        keys = _array(str(UUID(id_)) for id_ in bounds.ids)
    values = {"organization": organization, "domains": domains, "keys": keys}
    return "; ".join(f"SET LOCAL leaks.{name} = '{value}'" for name, value in values.items())


def _array(values: Iterable[str]) -> str:
    return f"{{{','.join(values)}}}"
