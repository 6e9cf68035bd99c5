"""A request's body, bounded, as JSON."""

import json
import re
from http import HTTPStatus
from typing import Any

import orjson
from starlette.types import Receive

from gateway.headers import Fields

_JSON_TYPE = re.compile(rb'application/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?(;\s*)?', re.IGNORECASE)


class InvalidJSON(ValueError):
    """A text that is refused as JSON; the message says why."""


class BodyError(Exception):
    """A body that is refused.

    Attributes:
        status: The HTTP status of the refusal.
        message: What is wrong, and what would be right.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


async def read_json(receive: Receive, fields: Fields, max_bytes: int) -> Any:
    """The JSON value of the body, in UTF-8 (RFC 8259, section 8.1).

    Raises:
        BodyError: it is declared as something else, too long, incomplete, or not JSON.
    """
    if not _is_json(fields.get(b"content-type", b"")) or b"content-encoding" in fields:
        raise BodyError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type. Valid: application/json in UTF-8, uncompressed."
        )
    try:
        return parse_json(await _read(receive, max_bytes))
    except InvalidJSON as error:
        raise BodyError(HTTPStatus.BAD_REQUEST, f"Invalid body: {error}.") from None


def _is_json(content_type: bytes) -> bool:
    return content_type == b"application/json" or _JSON_TYPE.fullmatch(content_type) is not None


def parse_json(text: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        InvalidJSON: it is not JSON, or an object in it has two members of one name, which parsers treat differently.
    """
    try:
        value = orjson.loads(text)
        if orjson.dumps(value).count(b":") != text.count(b":") or b"\\u003" in text:
            # The colons tell whether a member was dropped, unless some are written as escapes: parse again, slowly.
            json.loads(text, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except orjson.JSONDecodeError:
        raise InvalidJSON("no JSON in UTF-8") from None
    except orjson.JSONEncodeError:
        raise InvalidJSON("nested too deep") from None
    return value


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(members)
    if len(named) < len(members):
        raise InvalidJSON("an object has two members of one name")
    return named


async def _read(receive: Receive, max_bytes: int) -> bytes:
    chunks, size, is_whole = [], 0, False
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyError(HTTPStatus.REQUEST_TIMEOUT, "The body did not come whole.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        is_whole = not message.get("more_body", False)
        if size > max_bytes:
            raise BodyError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is too long; at most {max_bytes} bytes are taken."
            )
    return b"".join(chunks)
