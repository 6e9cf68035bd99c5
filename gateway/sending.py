"""Sends responses: one that is complete goes out in one piece, with one system call."""

from asyncio import CancelledError, current_task
from typing import Any

from starlette.types import Message
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.responses import WHOLE, lines

_EXTENSIONS: dict[str, dict[object, object]] = {WHOLE: {}}


def sending(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """An application that may send complete responses (`WHOLE`) to one request.

    The cycle does not refer to its `send`, which refers to it: only the garbage collector would free both.
    """
    cycle.scope["extensions"] = _EXTENSIONS
    send: Any = _Sending(cycle)
    return lambda scope, receive, _: app(scope, receive, send)


class _Sending:
    """The `send` of one request: as uvicorn's, and for complete responses as well."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    async def __call__(self, message: Message) -> None:
        """Send a message."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await _drain(cycle)
        if (task := current_task()) is not None and task.cancelling():
            # The process ends, and requests that follow are not to begin.
            cycle.keep_alive = False
        if message["type"] != WHOLE:
            await RequestResponseCycle.send(cycle, message)  # type: ignore[arg-type]
            return
        if cycle.response_started:
            raise RuntimeError("A response was sent, and another one follows.")
        send_whole(cycle, message["head"], message["body"])


async def _drain(cycle: RequestResponseCycle) -> None:
    """Wait until the client reads, but not beyond the end of the process: uvicorn would wait again, to send a 500."""
    try:
        await cycle.flow.drain()
    except CancelledError:
        cycle.disconnected = True
        cycle.transport.abort()


def send_whole(cycle: RequestResponseCycle, head: bytes, body: bytes) -> None:
    """Send a complete response with the server's own headers (`Date`), and keep the connection if the client does.

    The rest of the request's body is ignored. A response to HEAD is sent without its body.
    """
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if cycle.disconnected or cycle.transport.is_closing():
        return
    # A client that waits for `100 Continue` may send its body or not; the connection cannot be used after that.
    goes_on = cycle.keep_alive and not cycle.waiting_for_100_continue
    ending = b"\r\n" if goes_on else b"connection: close\r\n\r\n"
    sent = b"" if cycle.scope["method"] == "HEAD" else body
    cycle.transport.writelines((head, lines(cycle.default_headers), ending, sent))
    if not goes_on:
        cycle.transport.close()
    cycle.on_response()
