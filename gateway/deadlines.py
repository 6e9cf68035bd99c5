"""How long a client may take to send a request or read its answer, how long a head may be, and what is not a request.

uvicorn limits none of these: it keeps a silent socket, or one with half a request, forever. It also treats trailers as
headers, and the body of a request with `Upgrade` as the next request. A request that arrives in one piece, as nearly
all do, sets no timer here.
"""

import asyncio
import fcntl
import termios
from array import array
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, Literal, TypeAlias, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.access import CAME_AT, REQUEST_ID, log_access, request_id_of
from gateway.errors import error_response
from gateway.heads import refusal_of
from gateway.responses import lines
from gateway.sending import sending

_PIECE_BYTES = 4096
"""The precision with which heads are measured."""
_MOST_HEADERS = 1000
_MOST_PIPELINED = 100
_LAST_LOOK_SECONDS = 0.01
"""However short this is, the loop reads once before it ends."""

_NO_HTTP = "Invalid HTTP request received."

_Part: TypeAlias = Literal["head", "body"]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The limits on a client.

    Attributes:
        head_seconds: From the connection, or the previous response, until the head is complete.
        body_seconds: From the head until the body is complete; also how long a client may read nothing of a response.
        head_bytes: The longest head (URL and headers), and the longest trailers and chunk extensions.
    """

    head_seconds: float
    body_seconds: float
    head_bytes: int


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with httptools, and deadlines for its clients."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        deadlines: Deadlines,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadlines = deadlines
        self._awaited: _Part | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None
        self._idling: asyncio.TimerHandle | None = None
        self._answered_at = 0.0
        self._framing_bytes = 0
        """Bytes received since a head began or ended, or since the last part of a body."""
        self._host: bytes | None = None
        """The `Host` of the last request that was not refused."""
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a head."""
        super().connection_made(transport)
        self._wait_for("head")
        self._watch(0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._wait_for(None)
        for timer in (self._watching, self._idling):
            if timer is not None:
                timer.cancel()
        self._stop_answering()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data, and wait for the rest of an incomplete request."""
        if len(data) > _PIECE_BYTES:
            self._take_in_pieces(data)
            return
        if self._is_refused:
            return
        scope, cycle_before = self.scope, self.cycle
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except HttpParserError:
            self.logger.warning(_NO_HTTP)
            self._refuse(HTTPStatus.BAD_REQUEST, _NO_HTTP)
        cycle = self.cycle
        is_whole = cycle is not None and cycle.scope is self.scope and not (cycle.more_body or cycle.response_complete)
        if not is_whole or self._awaited is not None or self.pipeline:
            if self.scope is not scope or cycle is not cycle_before:
                self._framing_bytes = 0
            self._framing_bytes += len(data)
            self._check()

    def _take_in_pieces(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            if not self.transport.is_closing():
                self.data_received(data[start : start + _PIECE_BYTES])

    def _should_upgrade(self) -> bool:
        """True: uvicorn then leaves a request with `Upgrade` alone, and it is parsed again."""
        return True

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse a request again without its `Upgrade`, which a server may ignore (RFC 9110, section 7.8).

        The parser would not read the body of such a request, and would take it for the next request.
        """
        if self.scope["method"] == "CONNECT":
            self._refuse(HTTPStatus.NOT_IMPLEMENTED, "CONNECT is not supported.")
            return
        version = self.parser.get_http_version()
        start = b"%b %b HTTP/%b\r\n" % (self.scope["method"].encode(), self.url, version.encode())
        headers = lines(header for header in self.headers if header[0] != b"upgrade")
        # The old one stops reading after `Connection: close`.
        self.parser = HttpRequestParser(self)
        self.data_received(start + headers + b"\r\n" + rest)

    def on_body(self, body: bytes) -> None:
        """Process a part of a body."""
        self._framing_bytes = 0
        HttpToolsProtocol.on_body(self, body)

    def on_chunk_header(self) -> None:
        """Keep trailers, which follow the last chunk, separate from headers; they are ignored (RFC 9110, 6.5.1)."""
        self.headers = []

    def _check(self) -> None:
        if self.transport.is_closing() or self._is_refused:
            return
        self._wait_for(self._missing_part())
        if self._framing_bytes > self._deadlines.head_bytes or len(self.headers or ()) > _MOST_HEADERS:
            self._refuse_head()
        elif len(self.pipeline) > _MOST_PIPELINED:
            self._stop_answering()
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        scope, host, hosts = cycle.scope, None, 0
        for name, value in scope["headers"]:
            if name == b"host":
                host, hosts = value, hosts + 1
        if hosts != 1 or host != self._host or scope["http_version"] != "1.1":
            if (refusal := refusal_of(scope)) is not None:
                self._say(*refusal, cast("Scope", scope))
                return
            self._host = host
        self._answering = cycle
        HttpToolsProtocol._start_asgi_task(self, cycle, sending(app, cycle))  # noqa: SLF001 - as `super()`, for less

    def on_response_complete(self) -> None:
        """Continue with the next request, or wait for it, with one timer per connection instead of one per response."""
        if self.pipeline or self.transport.is_closing():
            HttpToolsProtocol.on_response_complete(self)
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._answered_at = self.loop.time()
        if self._idling is None:
            self._idling = self.loop.call_later(self._deadlines.head_seconds, self._end_idling)

    def shutdown(self) -> None:
        """Close the connection, after answering requests that have arrived but are not read yet."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_LAST_LOOK_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _stop_answering(self) -> None:
        # uvicorn notifies only the last request, and another may be running.
        for cycle in (self._answering, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    # ------------------------------------------------------------------ time

    @property
    def _is_head_there(self) -> bool:
        # uvicorn creates a scope when a request begins, and its cycle when the head is complete.
        return self.cycle is not None and self.cycle.scope is self.scope

    def _end_idling(self) -> None:
        """Close the connection if nothing has arrived since the last response in time, or check again later."""
        self._idling = None
        if not self._is_head_there or not self.cycle.response_complete:
            return
        # While reading is paused, it is unknown whether the client has sent anything.
        quiet_since = self.loop.time() if self.flow.read_paused else self._answered_at
        seconds = quiet_since + self._deadlines.head_seconds - self.loop.time()
        if seconds > 0:
            self._idling = self.loop.call_later(seconds, self._end_idling)
        else:
            self.timeout_keep_alive_handler()

    def _missing_part(self) -> _Part | None:
        """What the client has to send next; None while there is a complete request to answer."""
        if not self._is_head_there or self.cycle.response_complete:
            return "head"
        return "body" if self.cycle.more_body else None

    def _wait_for(self, part: _Part | None) -> None:
        if part == self._awaited:
            return
        self._awaited = part
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if part is None else self.loop.call_later(self._seconds(part), self._expire, part)

    def _seconds(self, part: _Part) -> float:
        return self._deadlines.head_seconds if part == "head" else self._deadlines.body_seconds

    def _expire(self, part: _Part) -> None:
        self._awaited = self._timer = None
        if self.transport.is_closing():
            return
        if self._is_ours_to_move:
            self._wait_for(part)
        elif self._has_begun:
            seconds = self._seconds(part)
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The {part} did not come whole within {seconds} seconds.")
        else:
            self.transport.close()

    @property
    def _is_ours_to_move(self) -> bool:
        """Whether the delay is the server's: an earlier request is still running, or this one is not being read."""
        if self.cycle is None or self.cycle.response_complete:
            return False
        return not self._is_head_there or self.flow.read_paused or self.cycle.waiting_for_100_continue

    @property
    def _has_begun(self) -> bool:
        """Whether a part of a request has arrived that has no response yet."""
        return not self.cycle.response_started if self._is_head_there else self.scope is not None

    # --------------------------------------------------------------- reading

    def _watch(self, unread_before: int) -> None:
        """Check periodically that the client reads what is sent to it, and disconnect it otherwise."""
        unread = self._unread() if self.transport.get_write_buffer_size() else 0
        if unread and unread >= unread_before > 0:
            self.transport.abort()
        else:
            self._watching = self.loop.call_later(self._deadlines.body_seconds, self._watch, unread)

    def _unread(self) -> int:
        """Bytes that the client has not received yet: in the write buffer and in the operating system's."""
        queued = array("i", [0])
        with suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + queued[0]

    # --------------------------------------------------------------- refusal

    def _refuse_head(self) -> None:
        most = self._deadlines.head_bytes
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"The head, the trailers or a chunk's extensions are too long; at most {most} bytes are taken.",
        )

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Refuse the current request and all that follow, after answering earlier ones."""
        self._is_refused = True
        self._wait_for(None)
        if self._is_head_there and self.cycle.more_body:
            self._drop()
        last = self.pipeline[0][0] if self.pipeline else self._answering
        if last is None or last.response_complete or last.disconnected:
            self._say(status, detail)
        else:
            self.flow.pause_reading()
            last.on_response = partial(self._say, status, detail)

    def _drop(self) -> None:
        """End the request whose body will not be completed; close the connection if its response has begun."""
        if self.cycle.response_started:
            self.transport.close()
        elif self.pipeline:
            self.pipeline.popleft()
        else:
            self._stop_answering()

    def _say(self, status: HTTPStatus, detail: str, scope: Scope | None = None) -> None:
        """Respond instead of the application, which never saw the request or waits for its rest, and disconnect."""
        if self.transport.is_closing():
            return
        response = error_response(status, detail)
        scope = scope or self._refused
        request_id = request_id_of(scope)
        own = (*self.server_state.default_headers, (b"x-request-id", request_id.encode()), (b"connection", b"close"))
        self.transport.write(response.head + lines(own) + b"\r\n" + response.body)
        self.transport.close()
        token = REQUEST_ID.set(request_id)
        now = perf_counter()
        log_access(scope, status, now - scope.get(CAME_AT, now))
        REQUEST_ID.reset(token)

    @property
    def _refused(self) -> Scope:
        """The request that is refused; of one whose head is incomplete, nothing is known."""
        if self._is_head_there and not self.cycle.response_complete:
            return cast("Scope", self.cycle.scope)
        return {"method": "-", "path": "-", "headers": (), "client": self.client}
