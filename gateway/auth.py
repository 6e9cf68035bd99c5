"""An API key becomes a caller with a scope.

The caller of a key is cached for a few seconds, within which changes by an administrator take effect. A key that is
refused costs the same and gets the same response whatever is wrong with it; only the log says what.
"""

import asyncio
import hashlib
import hmac
import logging
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from starlette.types import Scope

from gateway.access import printable
from gateway.headers import Fields
from gateway.keys import hash_key, parse
from gateway.storage.callers import StoredKey, find_key
from gateway.storage.engine import Engine
from gateway.storage.patience import promptly
from gateway.throttle import Throttle, network_of
from gateway.uses import Uses
from schema.errors import Unauthenticated
from schema.instants import now
from schema.scope import Caller

KEPT_SECONDS = 4.0
_KEYS_KNOWN = 1024
_NO_HASH = "0" * 64

logger = logging.getLogger(__name__)


class Refused(Unauthenticated):
    """A request without a valid key.

    Attributes:
        reason: What is wrong with the key, for the log only.
    """

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Authenticator:
    """Finds out who sends a request.

    Args:
        engine: The database that keys are looked up in.
        secret: The key of their hashes.
        throttle: Which addresses have to wait.
        uses: Where the use of a key is noted.
        kept_seconds: How long a key's caller is cached.
        clock: The time of day, for keys that expire; it may jump.
        steady_clock: A monotonic clock, for the cache.
    """

    def __init__(
        self,
        engine: Engine,
        secret: bytes,
        throttle: Throttle,
        uses: Uses,
        kept_seconds: float = KEPT_SECONDS,
        clock: Callable[[], str] = now,
        steady_clock: Callable[[], float] = monotonic,
    ) -> None:
        self._engine = engine
        self._secret = secret
        self._throttle = throttle
        self._uses = uses
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._steady_clock = steady_clock
        self._known: OrderedDict[bytes, tuple[float, StoredKey]] = OrderedDict()
        self._looking: dict[bytes, asyncio.Task[StoredKey]] = {}

    async def caller(self, scope: Scope, fields: Fields) -> Caller:
        """The caller whose key is in the header fields of a request.

        Raises:
            Unauthenticated: there is no key, or two that differ, or one that is unknown, revoked or expired.
            RateLimited: too many wrong keys came from the address, and this one has never been valid here.
            Unavailable: the store does not answer.
        """
        try:
            key = presented_key(fields)
            # By its hash: a dump of the process's memory shows a key only while a request with it runs.
            digest = hashlib.sha256(key).digest()
            stored = self._kept(digest) or await self._let_in(key.decode("latin-1"), digest, network_of(_client(scope)))
        except Refused as refused:
            logger.warning("Refused %s: %s", printable(_client(scope) or "-"), refused.reason)
            raise
        return stored.caller

    def known(self, fields: Fields) -> str | None:
        """The id of the key in the header fields of a request; None if it has not been valid here lately."""
        try:
            key = presented_key(fields)
        except Refused:
            return None
        _, stored = self._known.get(hashlib.sha256(key).digest(), (0.0, None))
        return None if stored is None else stored.caller.key_id

    def _kept(self, digest: bytes) -> StoredKey | None:
        """A key as it was found a few seconds ago, or None."""
        kept_until, stored = self._known.get(digest, (0.0, None))
        is_kept = stored is not None and self._steady_clock() <= kept_until and not self._is_past(stored.expires_at)
        return stored if is_kept else None

    async def _let_in(self, key: str, digest: bytes, network: str) -> StoredKey:
        # A key that was valid before goes on, even from an address that somebody guesses keys from.
        if digest in self._known:
            return await self._look_up_once(key, digest, network)
        async with self._throttle.attempt(network):
            # Another request may have looked it up while this one waited.
            return self._kept(digest) or await self._look_up(key, digest, network)

    async def _look_up_once(self, key: str, digest: bytes, network: str) -> StoredKey:
        """As `_look_up`, for all requests of a key that come meanwhile."""
        looking = self._looking.get(digest)
        if looking is None:
            looking = self._looking[digest] = asyncio.create_task(self._look_up(key, digest, network))
            looking.add_done_callback(lambda _: self._looking.pop(digest))
        # Whoever goes away does not end it for the others.
        return await asyncio.shield(looking)

    async def _look_up(self, key: str, digest: bytes, network: str) -> StoredKey:
        # What is changed from now on may be missing in the answer, however long that takes.
        kept_until = self._steady_clock() + self._kept_seconds
        try:
            stored = await self._find(key)
        except Refused:
            self._known.pop(digest, None)
            self._throttle.count(network)
            raise
        self._uses.note(stored.caller.key_id, self._clock())
        self._keep(digest, stored, kept_until)
        return stored

    async def _find(self, key: str) -> StoredKey:
        key_id, hash_ = parse(key), hash_key(key, self._secret)
        stored = await promptly(find_key(self._engine, key_id, self._clock())) if key_id is not None else None
        is_right = hmac.compare_digest(hash_, _NO_HASH if stored is None else stored.hash)
        if key_id is None:
            raise Refused("a key that is mistyped or not ours")
        if stored is None or not is_right:
            raise Refused(f"key {key_id} is unknown")
        if stored.revoked_at is not None:
            raise Refused(f"key {key_id} is revoked")
        if self._is_past(stored.expires_at):
            raise Refused(f"key {key_id} is expired")
        return stored

    def _keep(self, digest: bytes, stored: StoredKey, kept_until: float) -> None:
        self._known[digest] = kept_until, stored
        self._known.move_to_end(digest)
        if len(self._known) > _KEYS_KNOWN:
            self._known.popitem(last=False)

    def _is_past(self, instant: str | None) -> bool:
        return instant is not None and instant <= self._clock()


def _client(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def presented_key(fields: Fields) -> bytes:
    """The key of a request: `X-API-Key`, or `Authorization` with or without `Bearer`.

    Raises:
        Refused: there is none, or several that differ.
    """
    key, authorization = fields.get(b"x-api-key"), fields.get(b"authorization")
    presented = [] if key is None else key.split(b",")
    if authorization is not None:
        presented += [_without_scheme(one) for one in authorization.split(b",")]
    presented = [one.strip() for one in presented]
    if not presented or presented.count(presented[0]) < len(presented):
        raise Refused("two keys that differ" if presented else "no key")
    return presented[0]


def _without_scheme(value: bytes) -> bytes:
    scheme, _, rest = value.strip().partition(b" ")
    return rest if scheme.lower() == b"bearer" and rest else value
