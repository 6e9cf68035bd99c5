"""What the database itself holds a statement to, whatever the statement's conditions say.

PostgreSQL's policies compare rows with settings (`leaks.organization`, `leaks.domains`, `leaks.keys`) that live as long
as a transaction. A statement without bounds sees no row of anybody's. SQLite has no such thing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

from schema.scope import Scope


@dataclass(frozen=True, slots=True)
class KeyIds:
    """The keys that a statement may see, each with its organization and domains; records it sees none."""

    ids: tuple[str, ...]


Bounds: TypeAlias = Scope | KeyIds | None


@lru_cache(maxsize=256)
def settings_of(bounds: Bounds) -> str:
    """The settings that hold what follows in a transaction to its bounds, in SQL.

    Nothing but numbers and UUIDs is rendered: so they need no statement, no parameters and no round trip of their own.
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
