"""How a response goes out: its head in one piece with its body, and no header that is always the same encoded again."""

import asyncio
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

_HEAD = b"HTTP/1.1 "
_INTERIM_HEAD = b"HTTP/1.1 1"
_LINES_KEPT = 256
_CHANGING = {b"content-length", b"etag", b"ratelimit", b"x-leaks-cost", b"x-request-id"}
_lines: dict[tuple[bytes, bytes], bytes] = {}
"""Header lines that are sent again and again."""


class Sending:
    """Sends the messages of one response as uvicorn does; a common head for a fraction of what that takes."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    async def __call__(self, message: Message) -> None:
        """Send a message."""
        cycle = self._cycle
        if message["type"] == "http.response.start" and cycle.keep_alive and not self._must_wait:
            headers = dict(message["headers"])
            if b"content-length" in headers and b"connection" not in headers:
                self._send_head(message, int(headers[b"content-length"]))
                return
        await RequestResponseCycle.send(cycle, message)  # type: ignore[arg-type]

    @property
    def _must_wait(self) -> bool:
        cycle = self._cycle
        return cycle.flow.write_paused or cycle.disconnected or cycle.response_started

    def _send_head(self, message: Message, length: int) -> None:
        cycle = self._cycle
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.chunked_encoding, cycle.expected_content_length = False, length
        lines = [_lines.get(header) or _line(header) for header in message["headers"]]
        cycle.transport.write(b"".join((STATUS_LINE[message["status"]], *lines, b"\r\n")))


def _line(header: tuple[bytes, bytes]) -> bytes:
    """A header as it is sent.

    Raises:
        RuntimeError: it would be read as something else.
    """
    name, value = header
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("A header cannot be sent.")
    line = b"%b: %b\r\n" % header
    if name not in _CHANGING and len(_lines) < _LINES_KEPT:
        _lines[header] = line
    return line


class CorkedTransport:
    """A connection that holds the head of a response back until the next piece of it, or the end, is there.

    So there is one system call, and one waking of the client, in place of two.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading
        self.abort = transport.abort

    def write(self, data: bytes) -> None:
        """Write a piece of a response, or hold it back where it is a head."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data.startswith(_HEAD) and not data.startswith(_INTERIM_HEAD):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write what is held back: nothing follows it."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Write what is held back, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
