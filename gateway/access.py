"""A request's id, and its one line in the access log: no key, no query string, no body."""

import logging
import random
import re
from contextvars import ContextVar
from time import time
from typing import NamedTuple

from starlette.types import Scope

from gateway.keys import PREFIX, masked

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")

CAME_AT = "leaks.came_at"
"""Where the scope of a request that waited before it had a task says since when, by `perf_counter`."""

_ID, _IS_LOGGED = "leaks.request_id", "leaks.is_logged"
_HEADER = b"x-request-id"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
logger = logging.getLogger("gateway.access")


def request_id_of(scope: Scope) -> str:
    """The id of a request, always the same: the client's `X-Request-ID` if that is sane, else a random one."""
    if _ID not in scope:
        scope[_ID] = _sent_id(scope) or f"{random.getrandbits(128):032x}"
    request_id: str = scope[_ID]
    return request_id


def _sent_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == _HEADER and _SANE.fullmatch(sent := value.decode("latin-1")):
            # It is logged, so it may not be what begins like a key.
            return None if PREFIX in sent.lower() else sent
    return None


def log_access(scope: Scope, status: int, seconds: float) -> None:
    """Log how a request ended, once: what the client was told first."""
    if logger.isEnabledFor(logging.INFO) and _IS_LOGGED not in scope:
        scope[_IS_LOGGED] = True
        client = scope["client"][0] if scope.get("client") else "-"
        logger.callHandlers(_Record(_Ended(scope["method"], scope["path"], status, seconds, client)))


class _Ended(NamedTuple):
    """How a request ended; formatted only when the log is written, many lines at a time."""

    method: str
    path: str
    status: int
    seconds: float
    client: str

    def __str__(self) -> str:
        """The line in the log; text from the client cannot break out of it."""
        return (
            f"{self.method} {printable(self.path)} {self.status} {self.seconds * 1000:.1f} ms {printable(self.client)}"
        )


_BLANK = vars(logging.LogRecord(logger.name, logging.INFO, "", 0, "", None, None))


class _Record(logging.LogRecord):
    """A record at half the usual cost: it does not say from which place in the code it comes."""

    def __init__(self, message: _Ended) -> None:
        created = time()
        self.__dict__ = {**_BLANK, "msg": message, "created": created, "msecs": created % 1 * 1000}


def printable(text: str) -> str:
    """A text on one line, cut to 512 characters; a key that was sent in the wrong place is masked."""
    return masked(text)[:512].encode("unicode_escape").decode()
