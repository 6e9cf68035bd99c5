"""GET /leaks/{leak_id}, contract 1.0.0: a stored operation on the resolvers of GraphQL, reshaped."""

import hashlib
import logging
from asyncio import CancelledError
from functools import lru_cache
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.admission import BUSY
from gateway.doors import Entrance
from gateway.errors import MASKED, error_response, gateway_error_response
from gateway.gate import Refusal
from gateway.headers import Fields, fields_of
from gateway.negotiation import preferred
from gateway.responses import Head, Prepared
from schema.errors import GatewayError, NotFound, Unavailable
from schema.execution.execute import Result
from schema.pages import PageLimits

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
_HEADERS = [(b"cache-control", b"no-store"), (b"vary", b"Accept, Authorization, X-API-Key")]
_FOUND = Head(200, [*_HEADERS, (b"content-type", b"application/json")])
_NOT_MODIFIED = Head(304, _HEADERS)
_CODES = {"resources": "type", "users": "identity_type"}


class LeakEndpoint:
    """Answers with one leak and its connections."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._operation = entrance.executor.stored(OPERATION)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as an ASGI application: nothing stands between the router and this endpoint."""
        response = await self.respond(scope, receive)
        await response(scope, receive, send)

    def busy(self, _fields: Fields) -> Refusal:
        """The response to a request that there is no room for."""
        return _busy

    async def respond(self, scope: Scope, receive: Receive) -> Prepared:
        """The leak, a 304 if the client has it already, or an error in the contract's shape."""
        fields = fields_of(scope)
        if preferred(fields.get(b"accept"), (_JSON_TYPE,), default=_JSON_TYPE) is None:
            return error_response(406, "Not acceptable. Valid: application/json.")
        try:
            return await self._answer(scope, receive, fields)
        except GatewayError as error:
            return gateway_error_response(error)
        except CancelledError:
            # The process ends, and this took too long.
            return _busy(1)
        except Exception:
            logger.exception("A request failed")
            return error_response(500, MASKED)

    async def _answer(self, scope: Scope, receive: Receive, fields: Fields) -> Prepared:
        caller = await self._entrance.caller(scope, fields)
        domain_ids = _domain_ids(scope["query_string"])
        caller.scope(domain_ids, "domain_id")
        variables = {"id": scope["path"].rpartition("/")[2], "domainIds": domain_ids}
        # The cost is the same whatever the leak is connected to, so nothing is given back.
        with await self._entrance.admit(caller, scope, receive, WHOLE_LISTS) as visit:
            result = await self._entrance.executor.run(self._operation, variables, visit.request)
            return _response(fields, result)


def rest_routes(endpoint: LeakEndpoint) -> list[Route]:
    """The one route of the contract."""
    return [Route("/leaks/{leak_id}", endpoint, methods=["GET"])]


@lru_cache
def _busy(seconds: int) -> Prepared:
    return gateway_error_response(Unavailable(BUSY, seconds))


def _domain_ids(query: bytes) -> list[str] | None:
    """The ids in `domain_id`, which may be separated by commas or repeated; None if there is no `domain_id`."""
    values = QueryParams(query).getlist("domain_id") if query else ()
    return [part.strip() for value in values for part in value.split(",")] if values else None


def _response(fields: Fields, result: Result) -> Prepared:
    if result.errors:
        return _failure(result)
    leak = orjson.loads(orjson.dumps(result.data))["leak"]
    if leak is None:
        raise NotFound("No leak with this id is visible.")
    body = orjson.dumps({"data": _contract_leak(leak)})
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'.encode()
    own = [(b"etag", etag)]
    if _is_known(etag, fields.get(b"if-none-match")):
        return Prepared(b"", _NOT_MODIFIED, own)
    return Prepared(body, _FOUND, own)


def _failure(result: Result) -> Prepared:
    error = result.errors[0]
    logger.error("The stored operation failed", exc_info=error.original_error or error)
    return error_response(500, MASKED)


def _contract_leak(leak: dict[str, Any]) -> dict[str, Any]:
    """The leak as the contract has it: lists are bare, and GraphQL's enum names are in lower case."""
    lists = {name: listed["nodes"] for name, listed in leak["connections"].items()}
    for name, nodes in lists.items():
        if (code := _CODES.get(name)) is not None:
            for node in nodes:
                node[code] = node[code].lower()
    names = {name: leak[name].lower() for name in ("risk_level_name", "status")}
    return {**leak, **names, "connections": lists}


def _is_known(etag: bytes, if_none_match: bytes | None) -> bool:
    """Whether the client names this version (RFC 9110, section 13.1.2: weak comparison)."""
    if if_none_match is None:
        return False
    named = {tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")}
    return etag in named or b"*" in named
