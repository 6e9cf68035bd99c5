"""An API key becomes a caller with a scope."""

import hmac
from datetime import UTC, datetime

from starlette.datastructures import Headers

from gateway.keys import hash_key, parse
from gateway.storage.directory import StoredKey, find_key
from gateway.storage.engine import Engine
from schema.errors import Unauthenticated
from schema.scope import Caller


class Authenticator:
    """Tells who sends a request."""

    def __init__(self, engine: Engine, secret: bytes) -> None:
        self._engine = engine
        self._secret = secret

    async def caller(self, headers: Headers) -> Caller:
        """The caller by the key in the headers.

        Raises:
            Unauthenticated: there is no key, two that differ, or one that is unknown, revoked or expired.
            Unavailable: the store does not answer.
        """
        key = presented_key(headers)
        key_id = parse(key)
        stored = await find_key(self._engine, key_id) if key_id is not None else None
        expected = stored.hash if stored is not None else ""
        matches = hmac.compare_digest(hash_key(key, self._secret), expected)
        if stored is None or not matches or not _is_valid(stored, datetime.now(UTC)):
            raise Unauthenticated
        return stored.caller


def presented_key(headers: Headers) -> str:
    """The key of a request: `X-API-Key`, or `Authorization` with or without `Bearer`.

    Raises:
        Unauthenticated: there is none, or several that differ.
    """
    presented = {
        *(value.strip() for value in headers.getlist("x-api-key")),
        *(_without_scheme(value) for value in headers.getlist("authorization")),
    }
    if len(presented) != 1:
        raise Unauthenticated
    return presented.pop()


def _without_scheme(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest else value.strip()


def _is_valid(stored: StoredKey, now: datetime) -> bool:
    instant = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return stored.revoked_at is None and (stored.expires_at is None or instant < stored.expires_at)
