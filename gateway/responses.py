"""Responses that are bytes already, so that nothing is encoded for each request."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import Response


class Prepared(Response):
    """A response whose body and headers are bytes already; how long it is, is added where a body is."""

    def __init__(self, body: bytes, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status_code, self.body, self.background = status, body, None
        length = () if status == HTTPStatus.NOT_MODIFIED else ((b"content-length", b"%d" % len(body)),)
        self.raw_headers = [*headers, *length]
