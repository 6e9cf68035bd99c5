"""/graphql: GraphQL over HTTP, after the draft of September 2025 (https://graphql.github.io/graphql-over-http/draft/)."""

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from time import perf_counter_ns
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.admission import BUSY
from gateway.bodies import BodyError, InvalidJSON, parse_json, read_json
from gateway.documents import NamedDocuments
from gateway.doors import Entrance
from gateway.errors import MASKED, STATUSES, error_headers, status_headers
from gateway.gate import Refusal
from gateway.headers import Fields, Headers, encoded, fields_of
from gateway.negotiation import preferred
from gateway.responses import Head, Prepared
from schema.batches import Request as OperationRequest
from schema.errors import BadUserInput, Code, GatewayError, Unavailable
from schema.execution.execute import NotAQuery, Operation, Result
from schema.execution.refusal import RequestError
from schema.scope import KeyScope
from schema.store import Level

logger = logging.getLogger(__name__)

RESPONSE_TYPE = "application/graphql-response+json"
JSON_TYPE = "application/json"
EXPLAIN_HEADER = b"x-leaks-explain"

_HEADERS: Mapping[str, Headers] = {
    media_type: [
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept, Authorization, X-API-Key"),
    ]
    for media_type in (RESPONSE_TYPE, JSON_TYPE)
}
_ANSWERED = {media_type: Head(200, headers) for media_type, headers in _HEADERS.items()}

Page = Callable[[Request], Awaitable[Response]]


class GraphQLEndpoint:
    """Takes operations by POST, and queries by GET."""

    def __init__(self, entrance: Entrance, documents: NamedDocuments, max_request_bytes: int) -> None:
        self._entrance = entrance
        self._documents = documents
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as an ASGI application: nothing stands between the router and this endpoint."""
        response = await self.respond(scope, receive)
        await response(scope, receive, send)

    def busy(self, fields: Fields) -> Refusal:
        """The response to a request that there is no room for."""
        media_type = preferred(fields.get(b"accept"), (RESPONSE_TYPE, JSON_TYPE), default=JSON_TYPE)
        return partial(_busy, media_type or JSON_TYPE)

    async def respond(self, scope: Scope, receive: Receive) -> Prepared:
        """The response to a request, errors included, in GraphQL's shape and the preferred media type."""
        fields = fields_of(scope)
        media_type = preferred(fields.get(b"accept"), (RESPONSE_TYPE, JSON_TYPE), default=JSON_TYPE)
        if media_type is None:
            return _refusal(
                406, Code.BAD_USER_INPUT, f"Not acceptable. Valid: {RESPONSE_TYPE}, {JSON_TYPE}.", JSON_TYPE
            )
        try:
            return await self._answer(scope, receive, fields, media_type)
        except CancelledError:
            # The process ends, and this took too long.
            return _busy(media_type, 1)
        except Exception as error:  # noqa: BLE001 - whatever fails, a client of this endpoint reads GraphQL
            return _failure(error, media_type)

    async def _answer(self, scope: Scope, receive: Receive, fields: Fields, media_type: str) -> Prepared:
        caller = await self._entrance.caller(scope, fields)
        by_get = scope["method"] != "POST"
        sent = _sent_by_get(scope) if by_get else await read_json(receive, fields, self._max_request_bytes)
        operation = _operation(self._documents.resolved(sent, caller.organization.id))
        with await self._entrance.admit(caller, scope, receive) as visit:
            self._documents.keep(sent, caller.organization.id, visit.spending)
            if fields.get(EXPLAIN_HEADER) == b"1":
                result, explanation = await self._explained(operation, visit.request, only_queries=by_get)
            else:
                result = await self._entrance.executor.execute(operation, visit.request, only_queries=by_get)
                explanation = None
            response = _result_response(result, media_type, explanation)
            if result.is_planned:
                # Not if it was interpreted: that may have worked for long for a short answer.
                visit.spending.settle(response.body)
            return response

    async def _explained(
        self, operation: Operation, context: OperationRequest, *, only_queries: bool
    ) -> tuple[Result, Mapping[str, Any]]:
        context.caller.require(KeyScope.LEAKS_EXPLAIN)
        context.levels = []
        began = perf_counter_ns()
        result = await self._entrance.executor.execute(operation, context, only_queries=only_queries)
        microseconds = (perf_counter_ns() - began) // 1000
        return result, {"explain": _explanation(result, context.levels, microseconds)}


def graphql_routes(endpoint: GraphQLEndpoint, page: Page | None) -> list[Route]:
    """`/graphql`: operations, and GraphiQL's page for a browser."""
    return [Route("/graphql", endpoint if page is None else _Either(endpoint, page), methods=["GET", "POST"])]


class _Either:
    """Operations, or GraphiQL's page if a browser asks for HTML."""

    def __init__(self, endpoint: GraphQLEndpoint, page: Page) -> None:
        self._endpoint = endpoint
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" and _wants_page(request := Request(scope, receive, send)):
            await (await self._page(request))(scope, receive, send)
        else:
            await self._endpoint(scope, receive, send)


def _wants_page(request: Request) -> bool:
    types = ("text/html", RESPONSE_TYPE, JSON_TYPE)
    accept = request.headers.get("accept", "").encode("latin-1")
    return (
        b"text/html" in accept
        and "query" not in request.query_params
        and preferred(accept, types, default=JSON_TYPE) == "text/html"
    )


# ---------------------------------------------------------------- requests


def _sent_by_get(scope: Scope) -> dict[str, Any]:
    """The parameters of a GET (section 5.3): objects are sent as JSON."""
    parameters = QueryParams(scope["query_string"])
    if len(parameters) < len(parameters.multi_items()):
        raise BadUserInput("Invalid parameters: one is given twice. Valid: each once.")
    texts = ("query", "documentId", "operationName")
    sent: dict[str, Any] = {name: parameters[name] for name in texts if name in parameters}
    for name in ("variables", "extensions"):
        if parameters.get(name):
            try:
                sent[name] = parse_json(parameters[name].encode())
            except InvalidJSON as error:
                raise BadUserInput(f"Invalid {name}: {error}. Valid: a JSON object.") from None
    return sent


def _operation(sent: Any) -> Operation:
    """The operation that a request describes (section 5.1)."""
    if not isinstance(sent, dict):
        raise BadUserInput("Invalid body. Valid: a JSON object with a query.")
    query, name = sent.get("query"), sent.get("operationName")
    variables, extensions = sent.get("variables"), sent.get("extensions")
    if not isinstance(query, str):
        raise BadUserInput("Invalid query. Valid: a GraphQL document as a string.")
    if not (name is None or isinstance(name, str)):
        raise BadUserInput("Invalid operationName. Valid: a string or null.")
    for part, value in (("variables", variables), ("extensions", extensions)):
        if not (value is None or isinstance(value, dict)):
            raise BadUserInput(f"Invalid {part}. Valid: an object or null.")
    return Operation(query, variables or {}, name or None)


# --------------------------------------------------------------- responses


def _result_response(result: Result, media_type: str, extensions: Mapping[str, Any] | None = None) -> Prepared:
    if not (result.errors or extensions):
        return Prepared(orjson.dumps({"data": result.data}), _ANSWERED[media_type])
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body = {"errors": [_formatted(error) for error in result.errors], **body}
    if extensions:
        body["extensions"] = extensions
    return _response(body, 200, media_type)


def _explanation(result: Result, levels: Sequence[Level], microseconds: int) -> Mapping[str, Any]:
    """How an operation ran: in which executor, and the statements of each level with their rows and microseconds."""
    return {
        "executor": "planner" if result.is_planned else "interpreter",
        "microseconds": microseconds,
        "levels": [
            {"microseconds": sum(step.microseconds for step in level), "statements": [asdict(step) for step in level]}
            for level in levels
        ],
    }


def _formatted(error: GraphQLError) -> dict[str, Any]:
    """An error as it is shown: one that was not raised on purpose is masked and logged."""
    formatted: dict[str, Any] = dict(error.formatted)
    original = error.original_error
    if isinstance(original, GatewayError):
        code = original.code
    elif original is None or isinstance(original, GraphQLError):
        code = Code.BAD_USER_INPUT
    else:
        logger.error("A resolver failed", exc_info=original)
        formatted["message"], code = MASKED, Code.INTERNAL
    return {**formatted, "extensions": {"code": code}}


def _failure(error: Exception, media_type: str) -> Prepared:
    """The response to a request without a result: an error that was not raised on purpose is masked and logged."""
    match error:
        case NotAQuery():
            message = "Only queries are taken by GET; send it by POST."
            return _refusal(405, Code.BAD_USER_INPUT, message, media_type, {"Allow": "POST"})
        case BodyError():
            return _refusal(error.status, Code.BAD_USER_INPUT, error.message, media_type)
        case RequestError():
            # Legacy clients take whatever is not 200 for a failure of transport (section 6.4.1).
            status = 200 if media_type == JSON_TYPE else STATUSES[error.code]
            errors = [{**e.formatted, "extensions": {"code": error.code}} for e in error.errors]
            return _response({"errors": errors}, status, media_type)
        case GatewayError():
            return _refusal(STATUSES[error.code], error.code, error.message, media_type, error_headers(error))
    logger.error("An operation failed", exc_info=error)
    return _refusal(500, Code.INTERNAL, MASKED, media_type)


@lru_cache
def _busy(media_type: str, seconds: int) -> Prepared:
    return _failure(Unavailable(BUSY, seconds), media_type)


def _refusal(
    status: int, code: Code, message: str, media_type: str, headers: Mapping[str, str] | None = None
) -> Prepared:
    return _response({"errors": [{"message": message, "extensions": {"code": code}}]}, status, media_type, headers)


def _response(
    body: Mapping[str, Any], status: int, media_type: str, headers: Mapping[str, str] | None = None
) -> Prepared:
    own = encoded({**status_headers(status), **(headers or {})})
    return Prepared(orjson.dumps(body), Head(status, [*_HEADERS[media_type], *own]))
