"""Which heads are refused: the parser accepts HTTP versions that are not supported here, and any `Host` or none."""

import re
from http import HTTPStatus
from typing import TypeAlias

from uvicorn._types import HTTPScope

Refusal: TypeAlias = tuple[HTTPStatus, str]
"""The status, and a message that says what is wrong and what would be right."""

_HOST = re.compile(rb"(?:(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*|\[[\w.~!$&'()*+,;=:%-]+\])(?::[0-9]*)?")
_VERSION_REFUSED = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Unsupported version. Valid: HTTP/1.1 and HTTP/1.0."
_HOST_REFUSED = HTTPStatus.BAD_REQUEST, "Invalid Host. Valid: one name or address, with a port or without."


def refusal_of(scope: HTTPScope) -> Refusal | None:
    """Why a request is refused for its version or its `Host` (RFC 9112, section 3.2), or None if it is not."""
    version = scope["http_version"]
    if version not in {"1.1", "1.0"}:
        return _VERSION_REFUSED
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts and version == "1.0":
        return None
    return None if len(hosts) == 1 and _HOST.fullmatch(hosts[0]) else _HOST_REFUSED
