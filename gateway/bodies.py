"""A request's body, bounded, as JSON."""

import re
from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.types import Receive

_JSON_TYPE = re.compile(r'application/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*', re.IGNORECASE)


class BodyError(Exception):
    """A body that is not taken.

    Attributes:
        status: The HTTP status that says so.
        message: What was wrong, and what would be right.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


async def read_json(request: Request, max_bytes: int) -> Any:
    """The value that the body holds, as JSON in UTF-8 (RFC 8259, section 8.1).

    Raises:
        BodyError: it is declared as something else, too long, or no JSON.
    """
    headers = request.headers
    if not _JSON_TYPE.fullmatch(headers.get("content-type", "")) or "content-encoding" in headers:
        raise BodyError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type. Valid: application/json in UTF-8, uncompressed."
        )
    body = await _read(request.receive, max_bytes)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BodyError(HTTPStatus.BAD_REQUEST, "Invalid body: no JSON in UTF-8.") from None


async def _read(receive: Receive, max_bytes: int) -> bytes:
    chunks, size, is_whole = [], 0, False
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyError(HTTPStatus.BAD_REQUEST, "Invalid body: it ends early.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        is_whole = not message.get("more_body", False)
        if size > max_bytes:
            raise BodyError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is too long; at most {max_bytes} bytes are taken."
            )
    return b"".join(chunks)
