"""GET /leaks/{leak_id}, contract 1.0.0: a stored operation on the resolvers of GraphQL, reshaped."""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.auth import Authenticator
from gateway.errors import MASKED, error_response
from gateway.negotiation import preferred
from gateway.timeouts import Timeouts
from schema.batches import Request as OperationRequest
from schema.errors import NotFound
from schema.execution.execute import Executor, Result
from schema.pages import PageLimits
from schema.scope import KeyScope

logger = logging.getLogger(__name__)

OPERATION = """
query Leak($id: ID!, $domainIds: [ID!]) {
  leak(id: $id, domainIds: $domainIds) {
    id risk_level: riskLevel risk_level_name: riskLevelName status url login password
    first_seen: firstSeen added_at: addedAt
    connections {
      resources { nodes { resource type } }
      users { nodes { identity_type: identityType } }
      endpoints { nodes { filename date } }
    }
  }
}
"""
WHOLE_LISTS = PageLimits(default=None, maximum=None)
_JSON_TYPE = "application/json"
_CODES = {"resources": "type", "users": "identity_type"}


class LeakEndpoint:
    """Answers with one leak and its connections."""

    def __init__(
        self, authenticator: Authenticator, executor: Executor, timeouts: Timeouts, cursor_secret: bytes
    ) -> None:
        self._authenticator = authenticator
        self._executor = executor
        self._operation = executor.stored(OPERATION)
        self._timeouts = timeouts
        self._cursor_secret = cursor_secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: as ASGI, so that nothing stands between the router and this door."""
        response = await self.respond(Request(scope, receive, send))
        await response(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        """The leak, 304 where the client has it already, or an error in the contract's shape."""
        if preferred(request.headers.get("accept"), (_JSON_TYPE,), default=_JSON_TYPE) is None:
            return error_response(406, "Not acceptable. Valid: application/json.")
        caller = await self._authenticator.caller(request)
        caller.require(KeyScope.LEAKS_READ)
        domain_ids = _domain_ids(request.query_params.getlist("domain_id"))
        caller.scope(domain_ids, "domain_id")
        context = OperationRequest(caller, self._timeouts.store(request.receive), self._cursor_secret, WHOLE_LISTS)
        variables = {"id": request.path_params["leak_id"], "domainIds": domain_ids}
        result = await self._executor.run(self._operation, variables, context)
        return _response(request, result)


def rest_routes(endpoint: LeakEndpoint) -> list[Route]:
    """The one route of the contract."""
    return [Route("/leaks/{leak_id}", endpoint, methods=["GET"])]


def _domain_ids(values: Sequence[str]) -> list[str] | None:
    """The ids of `domain_id`, separated by commas or repeated; None where it is left out."""
    return [part.strip() for value in values for part in value.split(",")] if values else None


def _response(request: Request, result: Result) -> Response:
    if result.errors:
        return _failure(result)
    leak = orjson.loads(orjson.dumps(result.data))["leak"]
    if leak is None:
        raise NotFound("No leak with this id is visible.")
    body = orjson.dumps({"data": _contract_leak(leak)})
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-store", "Vary": "Accept, Authorization, X-API-Key"}
    if _is_known(etag, request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=_JSON_TYPE)


def _failure(result: Result) -> Response:
    logger.error("The stored operation failed", exc_info=result.errors[0])
    return error_response(500, MASKED)


def _contract_leak(leak: dict[str, Any]) -> dict[str, Any]:
    """The leak as the contract has it: its lists are bare, and what is a name in GraphQL is written small."""
    lists = {name: listed["nodes"] for name, listed in leak["connections"].items()}
    for name, nodes in lists.items():
        if (code := _CODES.get(name)) is not None:
            for node in nodes:
                node[code] = node[code].lower()
    names = {name: leak[name].lower() for name in ("risk_level_name", "status")}
    return {**leak, **names, "connections": lists}


def _is_known(etag: str, if_none_match: Sequence[str]) -> bool:
    """Whether the client names this version (RFC 9110, section 13.1.2: weak comparison)."""
    named = {tag.strip().removeprefix("W/") for value in if_none_match for tag in value.split(",")}
    return etag in named or "*" in named
