"""What every request gets, whatever answers it: an id, the common response headers, and a line in the log."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access import CAME_AT, REQUEST_ID, log_access, request_id_of
from gateway.budgets import SPENDING
from gateway.errors import error_response
from gateway.headers import Headers, security_headers
from gateway.responses import WHOLE, lines

MAX_TARGET_BYTES = 16_384


class EnvelopeMiddleware:
    """Gives each request an id, adds headers to its response, logs how it ended, and refuses too long an address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        token = REQUEST_ID.set(request_id)
        began, status = scope.get(CAME_AT) or perf_counter(), 500

        async def send_enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == WHOLE:
                status = message["status"]
                message["head"] += lines(_headers(scope, request_id))
            elif message["type"] == "http.response.start":
                status = message["status"]
                own = message["headers"]
                message["headers"] = [*own, *security_headers(own), *_headers(scope, request_id)]
            await send(message)

        try:
            await self._answer(scope)(scope, receive, send_enveloped)
        finally:
            log_access(scope, status, perf_counter() - began)
            REQUEST_ID.reset(token)

    def _answer(self, scope: Scope) -> ASGIApp:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
            return error_response(414, f"The address is too long; at most {MAX_TARGET_BYTES} bytes are taken.")
        return self._app


def _headers(scope: Scope, request_id: str) -> Headers:
    """The headers of this request alone: its id, and what it spent."""
    spent = scope[SPENDING].headers() if SPENDING in scope else ()
    return [*spent, (b"x-request-id", request_id.encode())]
