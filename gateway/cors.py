"""Which other origins' pages may call, and what browsers are told of it (CORS)."""

from starlette.datastructures import Headers as StarletteHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from gateway.headers import Fields, Headers

_EXPOSED = ["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Leaks-Cost", "X-Request-ID"]


def shared_headers(origins: tuple[str, ...], fields: Fields) -> Headers:
    """The headers that let the page of a request read a response that no middleware saw."""
    origin = fields.get(b"origin")
    if origin is None or origin.decode("latin-1") not in origins:
        return []
    exposed = (b"access-control-expose-headers", ", ".join(_EXPOSED).encode())
    return [(b"access-control-allow-origin", origin), exposed, (b"vary", b"Origin")]


def cors(origins: tuple[str, ...]) -> list[Middleware]:
    """The middleware that lets these origins call, never with cookies: there are none. No origins, no middleware."""
    if not origins:
        return []
    return [
        Middleware(
            _CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Leaks-Explain", "X-Request-ID"],
            expose_headers=_EXPOSED,
            max_age=600,
        )
    ]


class _CORSMiddleware(CORSMiddleware):
    """Starlette's, which adds its headers to the message that starts a response: none may go out in one piece."""

    async def simple_response(
        self, scope: Scope, receive: Receive, send: Send, request_headers: StarletteHeaders
    ) -> None:
        """Answer what is no preflight request."""
        scope["extensions"] = {}
        await super().simple_response(scope, receive, send, request_headers)
