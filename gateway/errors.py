"""From a code to an HTTP status, and the one body of an error outside GraphQL."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson

from gateway.headers import encoded
from gateway.responses import Head, Prepared
from schema.errors import Code, GatewayError, RateLimited, Unavailable

STATUSES: dict[Code, HTTPStatus] = {
    Code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Code.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Code.BAD_USER_INPUT: HTTPStatus.BAD_REQUEST,
    Code.GRAPHQL_PARSE_FAILED: HTTPStatus.BAD_REQUEST,
    Code.GRAPHQL_VALIDATION_FAILED: HTTPStatus.BAD_REQUEST,
    Code.OPERATION_TOO_COSTLY: HTTPStatus.BAD_REQUEST,
    Code.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.PERSISTED_QUERY_NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_TYPES = {
    HTTPStatus.BAD_REQUEST: "validation_error",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "payload_too_large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "uri_too_long",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "headers_too_large",
}
"""The types of the contract, where they are not the status's phrase."""

_HEADERS: dict[int, dict[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'ApiKey realm="leaks"'},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "1"},
}

MASKED = "An internal error occurred."


def status_headers(status: int) -> Mapping[str, str]:
    """The headers that go with a status."""
    return _HEADERS.get(status, {})


def error_headers(error: GatewayError) -> Mapping[str, str]:
    """The headers that go with one error, beside those of its status."""
    if isinstance(error, (RateLimited, Unavailable)):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {}


def error_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Prepared:
    """An error in the contract's shape: `{"type": string, "status": integer, "detail": string}`."""
    known = HTTPStatus(status)
    kind = _TYPES.get(known) or known.phrase.lower().replace(" ", "_")
    body = orjson.dumps({"type": kind, "status": int(status), "detail": detail})
    own = {"Content-Type": "application/json", "Cache-Control": "no-store", **status_headers(status), **(headers or {})}
    return Prepared(body, Head(status, encoded(own)))


def gateway_error_response(error: GatewayError) -> Prepared:
    """The response to an error of ours; its message is for the caller."""
    return error_response(STATUSES[error.code], error.message, error_headers(error))
