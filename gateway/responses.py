"""Responses made of bytes, which are sent as one message if the server takes that."""

from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE

from gateway.headers import Headers, security_headers

WHOLE = "leaks.response.whole"
"""An ASGI extension: in a scope it says that the server takes a complete response as one message of this type.

The message has a `status`, a `head` to which middleware may add lines, and a `body`.
"""

_BODILESS = {204, 304}


class Head:
    """The status and the constant headers of a response, security headers included.

    Raises:
        ValueError: a header holds characters that end or split it.
    """

    __slots__ = ("headers", "status", "text")

    def __init__(self, status: int, headers: Headers) -> None:
        if any(HEADER_RE.search(name) or HEADER_VALUE_RE.search(value) for name, value in headers):
            raise ValueError("A header cannot be sent.")
        self.status = status
        self.headers = [*headers, *security_headers(headers)]
        self.text = STATUS_LINE[status] + lines(self.headers)


class Prepared(Response):
    """A response whose head and body are bytes; `Content-Length` is added where there is a body.

    Args:
        body: The body.
        head: The status and headers, shared with other responses.
        own: Headers of this response alone. They are not checked, so they must not hold text from a request.
    """

    body: bytes

    def __init__(self, body: bytes, head: Head, own: Headers | None = None) -> None:
        self.status_code, self.body, self.background = head.status, body, None
        self._head = head
        self._own = own or []
        if head.status not in _BODILESS:
            self._own.append((b"content-length", b"%d" % len(body)))

    @property
    def raw_headers(self) -> Headers:  # type: ignore[override]
        """All headers."""
        return [*self._head.headers, *self._own]

    @property
    def head(self) -> bytes:
        """The head as it is sent, without the empty line at its end."""
        return self._head.text + lines(self._own)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        if WHOLE in scope.get("extensions", ()):
            await send({"type": WHOLE, "status": self.status_code, "head": self.head, "body": self.body})
        else:
            await super().__call__(scope, receive, send)


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as lines of HTTP."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
