"""A line of a file becomes a validated record, or a reason why it is refused.

A password becomes its fingerprint here and goes no further, and neither does one in a URL or after a login. No reason
repeats a value that could be a password in the wrong place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from schema.instants import parse_instant
from schema.records import MASK, IdentityType, LeakStatus, ResourceType, RiskLevelName
from schema.scope import canonical_uuid

MAX_LINE_BYTES = 1 << 20
MAX_INDEXED_BYTES = 2048
"""The limit of a text that is indexed: PostgreSQL takes no index row over 2,704 bytes."""
MAX_TEXT_BYTES = 8192

NAMES_BY_LEVEL = ("none", *("low",) * 3, *("medium",) * 3, *("high",) * 4)
"""The name of each risk level, for records that have none."""

Fingerprint: TypeAlias = Callable[[str | None], str | None]
Object: TypeAlias = dict[str, Any]

_USERINFO = re.compile(r"(?<=://)([^/?#:]*):[^/?#]*(?=@)")
"""A name and a password in a URL (RFC 3986, section 3.2.1)."""

_STATUSES = tuple(status.value for status in LeakStatus)
_RISK_LEVEL_NAMES = tuple(name.value for name in RiskLevelName)
_RESOURCE_TYPES = tuple(type_.value for type_ in ResourceType)
_IDENTITY_TYPES = tuple(type_.value for type_ in IdentityType)
_BYTES_A_CHARACTER = 4


class BadLine(Exception):
    """A line that is refused; the reason is one line for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class ImportedConnections:
    """What one line says its leak is connected to.

    Attributes:
        resources: Pairs of a resource and its `ResourceType`.
        users: Pairs of an identity and its `IdentityType`.
        endpoints: Pairs of a file name and its date.
    """

    resources: tuple[tuple[str, str], ...] = ()
    users: tuple[tuple[str, str], ...] = ()
    endpoints: tuple[tuple[str, str | None], ...] = ()


@dataclass(slots=True)
class ImportedLeak:
    """One leak as its line tells it.

    Attributes:
        id: As given, or None if it is to be derived.
        domain: The domain's name in lower case, if the line has it; at least one of `domain` and `domain_id` is there.
        domain_id: The domain's id, if the line has it.
        risk_level_name: A value of `RiskLevelName`, as given or by the level.
        status: A value of `LeakStatus`.
        fingerprint: Of the password, which is not kept.
        connections: None if the line does not mention them.
    """

    id: str | None
    domain: str | None
    domain_id: str | None
    risk_level: int
    risk_level_name: str
    status: str
    url: str | None
    login: str
    login_folded: str
    first_seen: str | None
    added_at: str | None
    fingerprint: str | None
    connections: ImportedConnections | None


def parse_record(line: bytes, fingerprint: Fingerprint) -> ImportedLeak:
    """The record of a line; unknown keys are ignored.

    Raises:
        BadLine: it is not a record, or one of its values is invalid.
    """
    fields = _object(line)
    password = _text(fields, "password", MAX_TEXT_BYTES)
    login = _login(fields, password)
    login_folded = login.casefold()
    _check_length(login_folded, "login", MAX_INDEXED_BYTES)
    risk_level = _risk_level(fields)
    domain, domain_id = _domain(fields)
    return ImportedLeak(
        id=_uuid(fields, "id"),
        domain=domain,
        domain_id=domain_id,
        risk_level=risk_level,
        risk_level_name=_choice(fields, "risk_level_name", _RISK_LEVEL_NAMES, NAMES_BY_LEVEL[risk_level]),
        status=_choice(fields, "status", _STATUSES, "new"),
        url=_url(fields, password),
        login=login,
        login_folded=login if login_folded == login else login_folded,
        first_seen=_instant(fields, "first_seen"),
        added_at=_instant(fields, "added_at"),
        fingerprint=fingerprint(password),
        connections=_connections(fields),
    )


def _object(line: bytes) -> Object:
    if len(line) > MAX_LINE_BYTES:
        raise BadLine(f"The line is longer than {MAX_LINE_BYTES} bytes.")
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine(f"The line is no JSON in UTF-8: {error.msg} (at character {error.pos}).") from None
    if not isinstance(parsed, dict):
        raise BadLine("The line is no JSON object.")
    return parsed


def _login(fields: Object, password: str | None) -> str:
    """The login, without the password if it ends in `:` and that."""
    login = _required_text(fields, "login", MAX_INDEXED_BYTES)
    return login.removesuffix(f":{password}") or login if password else login


def _url(fields: Object, password: str | None) -> str | None:
    """The URL, with any password in it masked."""
    url = _text(fields, "url", MAX_TEXT_BYTES)
    if url is None or "@" not in url:
        return url
    if password:
        url = url.replace(f":{password}@", f":{MASK}@")
    return _USERINFO.sub(rf"\1:{MASK}", url)


def _domain(fields: Object) -> tuple[str | None, str | None]:
    name, id_ = (_text(fields, "domain", MAX_INDEXED_BYTES) or "").strip().lower(), _uuid(fields, "domain_id")
    if not name and id_ is None:
        raise BadLine("There is no domain. Required: domain or domain_id.")
    return name or None, id_


def _risk_level(fields: Object) -> int:
    level = fields.get("risk_level")
    if type(level) is not int or not 0 <= level < len(NAMES_BY_LEVEL):
        raise BadLine("Invalid risk_level. Valid: an integer from 0 to 10.")
    return level


def _choice(fields: Object, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
    given = fields.get(name)
    if given is None and default is not None:
        return default
    if given not in choices:
        raise BadLine(f"Invalid {name}. Valid: {', '.join(choices)}.")
    return str(given)


def _text(fields: Object, name: str, limit: int) -> str | None:
    text = fields.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadLine(f"Invalid {name}: not a string.")
    if "\0" in text:
        raise BadLine(f"Invalid {name}: it holds a NUL.")
    _check_length(text, name, limit)
    return text


def _required_text(fields: Object, name: str, limit: int) -> str:
    text = _text(fields, name, limit)
    if not text:
        raise BadLine(f"There is no {name}.")
    return text


def _check_length(text: str, name: str, limit: int) -> None:
    if len(text) * _BYTES_A_CHARACTER > limit and len(text.encode()) > limit:
        raise BadLine(f"Invalid {name}: longer than {limit} bytes.")


def _uuid(fields: Object, name: str) -> str | None:
    text = fields.get(name)
    if text is None:
        return None
    canonical = canonical_uuid(text) if isinstance(text, str) else None
    if canonical is None:
        raise BadLine(f"Invalid {name}. Valid: a UUID.")
    return canonical


def _instant(fields: Object, name: str) -> str | None:
    text = fields.get(name)
    if text is None:
        return None
    try:
        return parse_instant(text)
    except (TypeError, ValueError):
        raise BadLine(f"Invalid {name}. Valid: ISO 8601 with an offset, such as 2025-12-05T00:00:00.000Z.") from None


def _connections(fields: Object) -> ImportedConnections | None:
    connections = fields.get("connections")
    if connections is None:
        return None
    if not isinstance(connections, dict):
        raise BadLine("Invalid connections: not an object.")
    return ImportedConnections(
        resources=tuple([_resource(entry) for entry in _entries(connections, "resources")]),
        users=tuple([_user(entry) for entry in _entries(connections, "users")]),
        endpoints=tuple([_endpoint(entry) for entry in _entries(connections, "endpoints")]),
    )


def _entries(connections: Object, name: str) -> list[Object]:
    entries = connections.get(name)
    if entries is None:
        return []
    if not isinstance(entries, list) or not all([isinstance(entry, dict) for entry in entries]):  # noqa: C419
        raise BadLine(f"Invalid connections.{name}: not an array of objects.")
    return entries


def _resource(entry: Object) -> tuple[str, str]:
    return _required_text(entry, "resource", MAX_INDEXED_BYTES), _choice(entry, "type", _RESOURCE_TYPES)


def _user(entry: Object) -> tuple[str, str]:
    return _required_text(entry, "identity", MAX_INDEXED_BYTES), _choice(entry, "identity_type", _IDENTITY_TYPES)


def _endpoint(entry: Object) -> tuple[str, str | None]:
    return _required_text(entry, "filename", MAX_INDEXED_BYTES), _instant(entry, "date")
