"""The header fields of requests, and the security headers of every response."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from starlette.types import Scope

Fields: TypeAlias = Mapping[bytes, bytes]
"""Header fields by their names, in lower case."""

Headers: TypeAlias = list[tuple[bytes, bytes]]

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
"""The headers for browsers, unless a response has its own."""


def fields_of(scope: Scope) -> Fields:
    """The fields of a request; several of one name are joined with commas (RFC 9110, section 5.3)."""
    listed: Headers = scope["headers"]
    fields = dict(listed)
    return fields if len(fields) == len(listed) else _joined(listed)


def _joined(listed: Headers) -> Fields:
    values: dict[bytes, list[bytes]] = {}
    for name, value in listed:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(several) for name, several in values.items()}


def security_headers(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """The security headers that a response with these headers lacks."""
    own = dict(headers)
    return [header for header in SECURITY_HEADERS if header[0] not in own]


def encoded(headers: Mapping[str, str]) -> Headers:
    """Headers as they are sent, their names in lower case."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
