"""How a response goes out: where it is there as a whole, in one piece, with one system call."""

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.responses import WHOLE, lines

_EXTENSIONS: dict[str, dict[object, object]] = {WHOLE: {}}


class Sending:
    """Sends the messages of one response as uvicorn does, and one that is whole at once."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        cycle.scope["extensions"] = _EXTENSIONS

    async def __call__(self, message: Message) -> None:
        """Send a message."""
        cycle = self._cycle
        if message["type"] != WHOLE:
            await RequestResponseCycle.send(cycle, message)  # type: ignore[arg-type]
            return
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.response_started:
            raise RuntimeError("A response was sent, and another one follows.")
        send_whole(cycle, message["head"], b"" if cycle.scope["method"] == "HEAD" else message["body"])


def send_whole(cycle: RequestResponseCycle, head: bytes, body: bytes) -> None:
    """Send a response with the server's own headers (`Date`), and go on with the connection where its client does.

    What still comes of the request's body is passed over.
    """
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if cycle.disconnected or cycle.transport.is_closing():
        return
    # Whoever waits to be told to send the body is told to go: it is not known whether the body comes.
    goes_on = cycle.keep_alive and not cycle.waiting_for_100_continue
    ending = b"\r\n" if goes_on else b"connection: close\r\n\r\n"
    cycle.transport.writelines((head, lines(cycle.default_headers), ending, body))
    if not goes_on:
        cycle.transport.close()
    cycle.on_response()
