"""Whose data: every read takes a scope, and a caller is where scopes come from."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from schema.errors import BadUserInput, Forbidden
from schema.records import Domain, Organization

MAX_DOMAIN_IDS = 100
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class KeyScope(StrEnum):
    """What a key may do."""

    LEAKS_READ = "leaks:read"
    LEAKS_WRITE = "leaks:write"
    LEAKS_EXPLAIN = "leaks:explain"


@dataclass(frozen=True, slots=True)
class Scope:
    """The records that one root field may reach.

    Attributes:
        organization: The organization's number in the store.
        domains: The numbers of the visible domains, ascending; no records of others are read or counted.
        named: The domain ids that the request named, if any; cursors are bound to them.
        restricted: Whether the caller is limited to some domains: then no answer may depend on the others.
    """

    organization: int
    domains: tuple[int, ...]
    named: tuple[str, ...] = ()
    restricted: bool = True


@dataclass(frozen=True)
class Caller:
    """Who asks: a key, its organization, and the domains the key may see, archived ones included."""

    key_id: str
    key_name: str
    key_scopes: frozenset[KeyScope]
    expires_at: str | None
    restricted: bool
    organization: Organization
    domains: tuple[Domain, ...]

    @cached_property
    def domains_by_id(self) -> dict[str, Domain]:
        """The visible domains, archived ones included."""
        return {domain.id: domain for domain in self.domains}

    @cached_property
    def domains_by_number(self) -> dict[int, Domain]:
        """The visible domains by the store's number."""
        return {domain.number: domain for domain in self.domains}

    def require(self, scope: KeyScope) -> None:
        """Raise `Forbidden` unless the key has the scope."""
        if scope not in self.key_scopes:
            raise Forbidden(f"The key lacks the scope {scope.value}.")

    @cached_property
    def default_scope(self) -> Scope:
        """All visible domains that are not archived."""
        return self._scope(domain for domain in self.domains if domain.archived_at is None)

    def scope(self, domain_ids: Sequence[str] | None, argument: str = "domainIds") -> Scope:
        """The scope that a request names, or the default where it names none.

        Raises:
            BadUserInput: the list is empty or too long, or one of its values is not a UUID.
            Forbidden: one of them is not the key's, be it another organization's or nobody's.
        """
        if domain_ids is None:
            return self.default_scope
        if not 1 <= len(domain_ids) <= MAX_DOMAIN_IDS:
            raise BadUserInput(f"Invalid {argument}: {len(domain_ids)} ids. Valid: 1 to {MAX_DOMAIN_IDS} domain ids.")
        ids = tuple(sorted({parse_uuid(value, argument) for value in domain_ids}))
        if not all(domain_id in self.domains_by_id for domain_id in ids):
            raise Forbidden(f"The key does not have every domain in {argument}.")
        return self._scope((self.domains_by_id[domain_id] for domain_id in ids), named=ids)

    def scope_naming(self, ids: Sequence[str]) -> Scope:
        """The default scope, and with it the archived domains that are among `ids`."""
        archived = {domain.id for domain in self.domains if domain.archived_at is not None}
        named = tuple(sorted(archived.intersection(ids)))
        if not named:
            return self.default_scope
        visible = (d for d in self.domains if d.archived_at is None or d.id in named)
        return self._scope(visible, named=named)

    def _scope(self, domains: Iterable[Domain], named: tuple[str, ...] = ()) -> Scope:
        numbers = tuple(sorted(domain.number for domain in domains))
        return Scope(self.organization.number, numbers, named=named, restricted=self.restricted)


def parse_uuid(value: str, argument: str) -> str:
    """The canonical form of a UUID in its usual notation, in either case.

    Raises:
        BadUserInput: it is not a UUID.
    """
    canonical = canonical_uuid(value)
    if canonical is None:
        raise BadUserInput(f'Invalid {argument}: "{value[:64]}". Valid: UUIDs.')
    return canonical


def canonical_uuid(value: str) -> str | None:
    """The canonical form of a UUID (RFC 9562, section 4), or None if `value` is not one."""
    return value.lower() if _UUID.fullmatch(value) else None
