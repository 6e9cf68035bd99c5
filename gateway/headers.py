"""What every response says to browsers, and how long an address may be."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import error_response

MAX_TARGET_BYTES = 16_384

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class HeadersMiddleware:
    """Adds the security headers that a response does not set itself, and refuses an address that is too long."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in SECURITY_HEADERS if header[0] not in own),
                ]
            await send(message)

        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
            response = error_response(414, f"The address is too long; at most {MAX_TARGET_BYTES} bytes are taken.")
            await response(scope, receive, send_hardened)
            return
        await self._app(scope, receive, send_hardened)
