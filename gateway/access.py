"""A request id for every response, and one line in the log for it: no key, no query string, no body."""

import logging
import random
import re
from contextvars import ContextVar
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.keys import PATTERN, PREFIX

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")

_HEADER = b"x-request-id"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
logger = logging.getLogger("gateway.access")


class AccessMiddleware:
    """Names each request, by the client's own id where it sends a sane one, and logs how it ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        token = REQUEST_ID.set(request_id)
        started, status = perf_counter(), 500

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (_HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            if logger.isEnabledFor(logging.INFO):
                logger.info(_line(scope, status, (perf_counter() - started) * 1000))
            REQUEST_ID.reset(token)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _HEADER and _SANE.fullmatch(sent := value.decode("latin-1")):
            return str(sent)
    return f"{random.getrandbits(128):032x}"


def _line(scope: Scope, status: int, milliseconds: float) -> str:
    """How a request ended; its path stays on the line, whatever the client put into it."""
    client = scope["client"][0] if scope.get("client") else "-"
    return f"{scope['method']} {_printable(scope['path'])} {status} {milliseconds:.1f} ms {client}"


def _printable(path: str) -> str:
    """A path on one line; a key that was sent in the wrong place is none there."""
    shown = PATTERN.sub(f"{PREFIX}***", path) if PREFIX in path else path
    return shown[:512].encode("unicode_escape").decode()
