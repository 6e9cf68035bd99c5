"""An API key becomes a caller with a scope.

A key's caller is kept for a few seconds, so what an administrator changes takes effect within those.
"""

import hashlib
import hmac
from collections import OrderedDict
from datetime import UTC, datetime
from time import monotonic

from starlette.datastructures import Headers

from gateway.keys import hash_key, parse
from gateway.storage.directory import StoredKey, find_key
from gateway.storage.engine import Engine
from schema.errors import Unauthenticated
from schema.scope import Caller

KEPT_SECONDS = 4.0
_CALLERS_KEPT = 1024


class Authenticator:
    """Tells who sends a request."""

    def __init__(self, engine: Engine, secret: bytes) -> None:
        self._engine = engine
        self._secret = secret
        self._callers: OrderedDict[bytes, tuple[float, StoredKey]] = OrderedDict()

    async def caller(self, headers: Headers) -> Caller:
        """The caller by the key in the headers.

        Raises:
            Unauthenticated: there is no key, two that differ, or one that is unknown, revoked or expired.
            Unavailable: the store does not answer.
        """
        key = presented_key(headers)
        # Kept by its hash: a dump of the process's memory shows no key for longer than its request lasts.
        digest = hashlib.sha256(key.encode()).digest()
        kept_until, stored = self._callers.get(digest, (0.0, None))
        if stored is None or monotonic() > kept_until:
            stored = await self._look_up(key)
            self._keep(digest, stored)
        if stored.expires_at is not None and stored.expires_at <= _now():
            raise Unauthenticated
        return stored.caller

    async def _look_up(self, key: str) -> StoredKey:
        key_id = parse(key)
        stored = await find_key(self._engine, key_id) if key_id is not None else None
        expected = stored.hash if stored is not None else ""
        matches = hmac.compare_digest(hash_key(key, self._secret), expected)
        if stored is None or not matches or stored.revoked_at is not None:
            raise Unauthenticated
        return stored

    def _keep(self, digest: bytes, stored: StoredKey) -> None:
        self._callers[digest] = monotonic() + KEPT_SECONDS, stored
        self._callers.move_to_end(digest)
        if len(self._callers) > _CALLERS_KEPT:
            self._callers.popitem(last=False)


def presented_key(headers: Headers) -> str:
    """The key of a request: `X-API-Key`, or `Authorization` with or without `Bearer`.

    Raises:
        Unauthenticated: there is none, or several that differ.
    """
    presented = set()
    for name, value in headers.raw:
        if name == b"x-api-key":
            presented.add(value.decode("latin-1").strip())
        elif name == b"authorization":
            presented.add(_without_scheme(value.decode("latin-1")))
    if len(presented) != 1:
        raise Unauthenticated
    return presented.pop()


def _without_scheme(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest else value.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
