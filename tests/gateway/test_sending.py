"""How a response goes out."""

import asyncio
from collections.abc import Iterable

from gateway.sending import CorkedTransport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Wire(asyncio.Transport):
    """A connection that notes what is written to it, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.writes.append(b"".join(list_of_data))

    def close(self) -> None:
        self.is_closed = True


def test_a_head_goes_out_with_its_body() -> None:
    wire = Wire()
    corked = CorkedTransport(wire)
    for piece in (HEAD, b"body", HEAD, b"more"):
        corked.write(piece)
    assert wire.writes == [HEAD + b"body", HEAD + b"more"]


def test_a_head_that_nothing_follows_goes_out_where_the_response_or_the_connection_ends() -> None:
    wire = Wire()
    corked = CorkedTransport(wire)
    corked.write(HEAD)
    assert wire.writes == []
    corked.flush()
    corked.flush()
    assert wire.writes == [HEAD]
    corked.write(HEAD)
    corked.close()
    assert (wire.writes, wire.is_closed) == ([HEAD, HEAD], True)


def test_a_client_that_waits_to_be_told_to_send_its_body_is_told_at_once() -> None:
    wire = Wire()
    CorkedTransport(wire).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
