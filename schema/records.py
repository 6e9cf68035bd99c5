"""The nouns as they are stored, and the codes their columns hold.

Ids are UUIDs in lower case. Instants are ISO 8601 text in UTC with milliseconds and `Z`, so that they sort and
travel as they are. Numbers of organizations and domains are the store's own and never shown.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import ClassVar, TypeAlias

MASK = "***"


class Kind(StrEnum):
    """The kinds of record that have an id of their own."""

    ORGANIZATION = "organization"
    DOMAIN = "domain"
    LEAK = "leak"
    RESOURCE = "resource"
    USER = "user"
    ENDPOINT = "endpoint"


class RiskLevelName(StrEnum):
    """How grave a leak is, by name."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class LeakStatus(StrEnum):
    """Where a leak stands in triage."""

    NEW = "new"
    INVESTIGATING = "investigating"
    RESOLVED = "resolved"
    FALSE_POSITIVE = "false_positive"


class ResourceType(StrEnum):
    """What sort of thing a resource is."""

    DOMAIN = "domain"
    IP = "ip"
    APK = "apk"


class IdentityType(StrEnum):
    """What sort of name an identity is."""

    EMAIL = "email"
    USERNAME = "username"


@dataclass(frozen=True, slots=True)
class Organization:
    """Whose records these are."""

    number: int
    id: str
    name: str

    kind: ClassVar = Kind.ORGANIZATION


@dataclass(frozen=True, slots=True)
class Domain:
    """A part of an organization that leaks belong to."""

    number: int
    id: str
    name: str
    archived_at: str | None

    kind: ClassVar = Kind.DOMAIN


@dataclass(frozen=True, slots=True)
class Leak:
    """One exposed login. Its password is a mask by nature: no other is stored."""

    id: str
    domain_number: int
    risk_level: int
    risk_level_name: RiskLevelName
    status: LeakStatus
    url: str | None
    login: str
    first_seen: str | None
    added_at: str | None

    kind: ClassVar = Kind.LEAK
    password: ClassVar = MASK


@dataclass(frozen=True, slots=True)
class Resource:
    """A host, address or app whose credentials were exposed."""

    id: str
    resource: str
    type: ResourceType

    kind: ClassVar = Kind.RESOURCE


@dataclass(frozen=True, slots=True)
class User:
    """An identity that appears in leaks."""

    id: str
    identity: str
    identity_type: IdentityType

    kind: ClassVar = Kind.USER


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An infected machine, known by the stealer log's file name."""

    id: str
    filename: str
    date: str | None

    kind: ClassVar = Kind.ENDPOINT


Record: TypeAlias = Organization | Domain | Leak | Resource | User | Endpoint

RECORDS: dict[Kind, type[Record]] = {
    record.kind: record for record in (Organization, Domain, Leak, Resource, User, Endpoint)
}
CONNECTED = (Kind.RESOURCE, Kind.USER, Kind.ENDPOINT)
"""The kinds that a leak is connected to, many to many."""


@cache
def columns(kind: Kind) -> tuple[str, ...]:
    """The stored columns of a kind, in the order of its record's fields."""
    return tuple(field.name for field in fields(RECORDS[kind]))
